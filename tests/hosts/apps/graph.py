"""A graph that a LangGraph server serves."""

import os
from typing import Any

from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph

from otel_callbacks import configure

handler = configure(service_name="shop")


async def answer(state: MessagesState) -> dict[str, Any]:
    """Answer the last message."""
    llm = ChatOpenAI(
        model="gpt-4o-mini", base_url=os.environ["SHOP_PROVIDER"], api_key="none"
    )
    return {"messages": [await llm.ainvoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
graph = builder.compile().with_config(callbacks=[handler])
