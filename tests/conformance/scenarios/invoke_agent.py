"""An agent without tools: itself and one model call."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

agent = create_agent(
    model=ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90),  # type: ignore[call-arg]
    tools=[],
    system_prompt="You sell flowers.",
    name="florist",
)
agent.invoke({"messages": [("human", "What grows in the shade?")]})
