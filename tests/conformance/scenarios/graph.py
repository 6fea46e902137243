"""A graph of two steps, the second of which asks a chat model."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """What the steps hand on."""

    wish: str
    question: str
    answer: str


model = ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90)  # type: ignore[call-arg]


def ask(state: State) -> dict[str, Any]:
    """Make a question of a wish."""
    return {"question": f"Which flowers are {state['wish']}?"}


def answer(state: State) -> dict[str, Any]:
    """Ask the model."""
    messages = [("system", "You sell flowers."), ("human", state["question"])]
    return {"answer": model.invoke(messages).text}


graph = StateGraph(State)
graph.add_node("ask", ask)
graph.add_node("answer", answer)
graph.add_edge(START, "ask")
graph.add_edge("ask", "answer")
graph.add_edge("answer", END)
graph.compile(name="flower_advice").invoke({"wish": "yellow"})
