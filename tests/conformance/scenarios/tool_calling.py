"""A model that asks for a tool; the app answers by hand, so no tool runs."""

from __future__ import annotations

from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

PRICE = {
    "type": "function",
    "function": {
        "name": "price_of",
        "description": "Says what a stem of a flower costs.",
        "parameters": {
            "type": "object",
            "properties": {"flower": {"type": "string"}},
            "required": ["flower"],
        },
    },
}
model = ChatOpenAI(model="gpt-4o-mini", temperature=0.4, max_tokens=90)  # type: ignore[call-arg]
with_tool = model.bind_tools([PRICE])

messages = [
    SystemMessage("You sell flowers."),
    HumanMessage("Please look up the price of an iris."),
]
answer = with_tool.invoke(messages)
messages.append(answer)
messages.extend(
    ToolMessage("1.50 euros", tool_call_id=call["id"]) for call in answer.tool_calls
)
with_tool.invoke(messages)
