"""The answer to one question, read piece by piece to its end."""

from __future__ import annotations

from langchain_openai import ChatOpenAI

model = ChatOpenAI(  # type: ignore[call-arg]
    model="gpt-4o-mini",
    temperature=0.4,
    top_p=0.8,
    max_tokens=90,
    frequency_penalty=0.1,
    presence_penalty=0.1,
    stop=["###"],
    seed=7,
    stream_usage=True,
)
question = [("system", "You sell flowers."), ("human", "Which roses last long?")]
for _ in model.stream(question):
    pass
