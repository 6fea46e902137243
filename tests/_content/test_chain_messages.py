"""Messages in what agents and workflows are given and give back."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.types import Command

from otel_callbacks._content.jsonable import Work
from otel_callbacks._content.messages import messages_in, messages_out

ROSES = {"role": "user", "parts": [{"type": "text", "content": "Roses?"}]}


@dataclasses.dataclass
class State:
    """A state that is an object."""

    messages: Any


@pytest.mark.parametrize(
    "inputs",
    [
        {"messages": [HumanMessage("Roses?")]},
        {"messages": [{"role": "user", "content": "Roses?"}]},
        {"messages": [("user", "Roses?")]},
        {"messages": "Roses?"},
        {"messages": HumanMessage("Roses?")},
        [HumanMessage("Roses?")],
        [("human", "Roses?")],
        HumanMessage("Roses?"),
        "Roses?",
        State([HumanMessage("Roses?")]),
        Command(update={"messages": [HumanMessage("Roses?")]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_messages_are_found(inputs: Any) -> None:
    """All ways in which LangGraph takes messages are read."""
    assert messages_in(inputs, Work()) == ([ROSES], 0)


def test_a_state_without_messages_is_a_part() -> None:
    """What a workflow works on, if not on messages, is shown as its state."""
    state = {"topic": "roses", "count": 3}
    part = {"type": "state", "content": state}
    assert messages_in(state, Work()) == ([{"role": "user", "parts": [part]}], 0)
    assert messages_out(state, Work()) == [
        {"role": "assistant", "parts": [part], "finish_reason": "stop"}
    ]
    text = {"type": "text", "content": "Roses?"}
    assert messages_out("Roses?", Work()) == [
        {"role": "assistant", "parts": [text], "finish_reason": "stop"}
    ]
    assert messages_in([3], Work())[0][0]["parts"][0]["content"] == [3]


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_is_no_message(nothing: Any) -> None:
    """Nothing goes in and nothing comes out."""
    assert messages_in(nothing, Work()) == ([], 0)
    assert messages_out(nothing, Work()) == []


def test_the_last_message_comes_out() -> None:
    """An agent's output is the message it ends with, not the whole history."""
    answer = AIMessage("Roses?", response_metadata={"finish_reason": "stop"})
    history = [HumanMessage("x"), ToolMessage("y", tool_call_id="c"), answer]
    expected = [{**ROSES, "role": "assistant", "finish_reason": "stop"}]
    assert messages_out({"messages": history}, Work()) == expected
    assert messages_out(answer, Work()) == expected
    assert messages_out({"messages": [3]}, Work()) == []
