"""A prompt and a model as one chain with a name: the smallest workflow."""

from __future__ import annotations

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

prompt = ChatPromptTemplate.from_messages(
    [("system", "You sell flowers."), ("human", "Which flowers are {wish}?")]
)
model = ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90)  # type: ignore[call-arg]
advice = (prompt | model).with_config(run_name="flower_advice")
advice.invoke({"wish": "yellow"})
