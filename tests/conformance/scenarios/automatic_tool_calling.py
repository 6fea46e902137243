"""An agent whose model decides to call a tool, sees its result, and answers."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@tool
def stock_of(flower: str) -> str:
    """Say how many stems of a flower are in the shop."""
    return f"12 stems of {flower}"


agent = create_agent(
    model=ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90),  # type: ignore[call-arg]
    tools=[stock_of],
    system_prompt="You sell flowers.",
    name="florist",
)
agent.invoke({"messages": [("human", "Please count the peonies in stock.")]})
