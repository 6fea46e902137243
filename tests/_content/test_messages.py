"""LangChain's messages are read into the conventions' schemas."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langgraph.types import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Content

INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
ROSES = {"type": "text", "content": "Roses?"}
CALL = {"type": "tool_call", "id": "c1", "name": "price", "arguments": {"of": "rose"}}
RAW_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "price", "arguments": '{"of": "rose"}'},
}
TOOL_CALL = {"name": "price", "args": {"of": "rose"}, "id": "c1"}
INVALID = {"name": "price", "args": "{", "id": "c1", "error": "secret"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (HumanMessage("Roses?"), {"role": "user", "parts": [ROSES]}),
        (
            HumanMessage("Roses?", name="rosa"),
            {"role": "user", "parts": [ROSES], "name": "rosa"},
        ),
        (SystemMessage("Roses?"), {"role": "system", "parts": [ROSES]}),
        (
            SystemMessage("Roses?", additional_kwargs={"__openai_role__": "developer"}),
            {"role": "developer", "parts": [ROSES]},
        ),
        (AIMessage("Roses?"), {"role": "assistant", "parts": [ROSES]}),
        (AIMessageChunk("Roses?"), {"role": "assistant", "parts": [ROSES]}),  # type: ignore[call-arg]
        (
            AIMessage("", tool_calls=[TOOL_CALL]),
            {"role": "assistant", "parts": [CALL]},
        ),
        (
            AIMessage("", invalid_tool_calls=[INVALID]),
            {
                "role": "assistant",
                "parts": [{**CALL, "arguments": "{"}],
            },
        ),
        (
            AIMessage("", additional_kwargs={"tool_calls": [RAW_CALL]}),
            {"role": "assistant", "parts": [CALL]},
        ),
        (
            AIMessage(
                "",
                additional_kwargs={
                    "function_call": {"name": "price", "arguments": "{}"}
                },
            ),
            {
                "role": "assistant",
                "parts": [{"type": "tool_call", "name": "price", "arguments": {}}],
            },
        ),
        (
            AIMessage(
                [
                    {"type": "text", "text": "Roses?"},
                    {"type": "tool_use", "id": "c1", "name": "price", "input": {}},
                    {"type": "text", "text": "Roses?"},
                ],
                tool_calls=[TOOL_CALL],
            ),
            {"role": "assistant", "parts": [ROSES, CALL, ROSES]},
        ),
        (
            AIMessage(
                [{"type": "tool_call", "name": "price", "args": {"of": "rose"}}],
                tool_calls=[{**TOOL_CALL, "id": None}],
            ),
            {
                "role": "assistant",
                "parts": [
                    {
                        "type": "tool_call",
                        "name": "price",
                        "arguments": {"of": "rose"},
                    }
                ],
            },
        ),
        (
            AIMessage(
                "Roses?",
                additional_kwargs={"reasoning_content": "Hm.", "refusal": "No."},
            ),
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "Hm."},
                    {"type": "refusal", "content": "No."},
                    ROSES,
                ],
            },
        ),
        (
            ToolMessage("3", tool_call_id="c1", name="price"),
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": "3"}],
                "name": "price",
            },
        ),
        (
            FunctionMessage(content="3", name="price"),
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "response": "3"}],
                "name": "price",
            },
        ),
        (ChatMessage("Roses?", role="judge"), {"role": "judge", "parts": [ROSES]}),  # type: ignore[call-arg]
        (RemoveMessage(id="x"), None),
        ("Roses?", {"role": "user", "parts": [ROSES]}),
        (("human", "Roses?"), {"role": "user", "parts": [ROSES]}),
        (
            {"role": "user", "content": "Roses?"},
            {"role": "user", "parts": [ROSES]},
        ),
        (
            {"type": "ai", "content": "", "tool_calls": [RAW_CALL]},
            {"role": "assistant", "parts": [CALL]},
        ),
        ({"content": "Roses?"}, None),
        (3, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_is_read(source: Any, expected: Any, content: Content) -> None:
    """Roles, names, parts and tool calls of each LangChain message."""
    expected = {} if expected is None else {INPUT: [expected]}
    assert content.call([source]) == expected


class Unreadable:
    """A value whose ``__class__`` raises, as lazy values do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError


@pytest.mark.parametrize(("newer", "errors"), [(42, {"content": 1}), (43, {})])
def test_the_newest_messages_are_read_first(
    newer: int, errors: dict[str, int], content_of: Callable[..., Content]
) -> None:
    """With a limit of 1,024 bytes the newest 43 are read, and older ones counted."""
    content = content_of(content_limit=1_024, strict=False)
    found = content.call([Unreadable(), *["Roses?"] * newer])
    kept = len(found[INPUT])
    assert found[INPUT] == [{"role": "user", "parts": [ROSES]}] * kept
    unread = newer - kept + (not errors)
    assert found["otel_callbacks.content.dropped.input.messages"] == unread
    assert content.errors == errors


def test_a_prompt_is_a_message(content: Content) -> None:
    """A text model's input is one message of the user."""
    assert content.completion("Roses?") == {INPUT: [{"role": "user", "parts": [ROSES]}]}


def test_value_that_is_no_message_is_left_out(content: Content) -> None:
    """An invalid item affects no other message."""
    found = content.call([3, "Roses?"])
    assert found == {INPUT: [{"role": "user", "parts": [ROSES]}]}


def result(*generations: Any) -> LLMResult:
    """Return the result of one prompt."""
    return LLMResult(generations=[list(generations)])


def test_each_choice_is_a_message(content: Content) -> None:
    """Several choices are several messages, each with its finish reason."""
    choices = [
        ChatGeneration(
            message=AIMessage("Roses?"), generation_info={"finish_reason": reason}
        )
        for reason in ("stop", "length")
    ]
    assert content.call([], result(*choices))[OUTPUT] == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "stop"},
        {"role": "assistant", "parts": [ROSES], "finish_reason": "length"},
    ]


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        *(("COMPLETE", "stop"), ("eos_token", "stop"), ("STOP_SEQUENCE", "stop")),
        *(("ERROR_LIMIT", "length"), ("model_context_window_exceeded", "length")),
        *(("SPII", "content_filter"), ("ERROR_TOXIC", "content_filter")),
        *(("MALFORMED_FUNCTION_CALL", "error"), ("malformed_tool_use", "error")),
        # The schemas have no word for it.
        ("pause_turn", "pause_turn"),
    ],
)
def test_reason_is_in_words_of_the_schemas(
    reported: str, expected: str, content: Content
) -> None:
    """Each provider has its own words for the same reason."""
    choice = ChatGeneration(
        message=AIMessage("Roses?", response_metadata={"finish_reason": reported})
    )
    (message,) = content.call([], result(choice))[OUTPUT]
    assert message["finish_reason"] == expected


SOUND = {
    "type": "blob",
    "modality": "audio",
    "content": "",
    "size": 4,
    "sha256": hashlib.sha256(b"RIFF").hexdigest(),
}


@pytest.mark.parametrize(
    ("audio", "expected"),
    [
        ({"id": "a", "data": "UklGRg==", "transcript": "Roses?"}, [ROSES, SOUND]),
        ({"transcript": "Roses?"}, [ROSES]),
        ({"id": "a", "data": "UklGRg==", "transcript": ""}, [SOUND]),
        ({"id": "a"}, []),
        ("?", []),
    ],
)
def test_answer_of_an_audio_model(audio: Any, expected: Any, content: Content) -> None:
    """LangChain keeps it beside the content, which is empty."""
    answer = AIMessage("", additional_kwargs={"audio": audio})
    for message in (answer, {"role": "assistant", "content": None, "audio": audio}):
        found = content.call([message])
        assert found == {INPUT: [{"role": "assistant", "parts": expected}]}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"status": "completed"}, "stop"),
        ({"status": "incomplete"}, "length"),
        (
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "max_output_tokens"},
            },
            "length",
        ),
        (
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "content_filter"},
            },
            "content_filter",
        ),
        (
            {"prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}},
            "content_filter",
        ),
        ({"prompt_feedback": {"block_reason": None}}, "unknown"),
    ],
)
def test_reason_is_that_of_the_span(
    metadata: Any, expected: str, content: Content
) -> None:
    """A status has its details, and Gemini says why it refused the prompt."""
    choice = ChatGeneration(message=AIMessage("R", response_metadata=metadata))
    (message,) = content.call([], result(choice))[OUTPUT]
    assert message["finish_reason"] == expected


def test_response_of_text_model_is_message(content: Content) -> None:
    """A text model has generations without messages."""
    response = result(Generation(text="Roses?"))
    assert content.completion("", response)[OUTPUT] == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "unknown"}
    ]


def test_output_before_error_is_unfinished(content: Content) -> None:
    """A partial output has the reason ``error``; an empty one is no message."""
    part = ChatGeneration(message=AIMessageChunk("Roses?"))  # type: ignore[call-arg]
    nothing = ChatGeneration(message=AIMessageChunk(""))  # type: ignore[call-arg]
    found = content.call([], result(part, nothing), error=ValueError())
    assert found[OUTPUT] == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "error"}
    ]


@pytest.mark.parametrize("odd", [None, 3, LLMResult(generations=[])])
def test_no_result_is_no_message(odd: Any, content: Content) -> None:
    """A result without generations gives no message."""
    assert content.call([], odd) == {}


def test_choice_without_message_is_its_text(content: Content) -> None:
    """If the message is invalid, the generation's text is read."""

    class Odd:
        message = 3
        text = "Roses?"

    class Result:
        generations = ([Odd()],)

    assert content.call([], Result())[OUTPUT] == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "unknown"}
    ]


def test_last_message_of_agent_has_finish_reason(content: Content) -> None:
    """The reason is in the message's metadata."""
    last = AIMessage("Roses?", response_metadata={"finish_reason": "stop"})
    assert content.agent(None, [last])[OUTPUT] == [
        {
            "role": "assistant",
            "parts": [ROSES],
            "finish_reason": "stop",
        }
    ]


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (HumanMessage("x"), {"type": "text", "content": "x"}),
        ({"role": "user", "content": "x"}, {"type": "text", "content": "x"}),
        ({"content": "x"}, {"type": "state", "content": {"content": "x"}}),
        ({"role": "user"}, {"type": "state", "content": {"role": "user"}}),
    ],
)
def test_messages_are_recognized(value: Any, part: Any, content: Content) -> None:
    """Objects and dictionaries with content and a role are messages."""
    assert content.workflow(value) == {INPUT: [{"role": "user", "parts": [part]}]}


BLOCKS = st.one_of(
    st.text(),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "image", "tool_use", "thinking", "odd"])},
        optional={
            "text": st.text(),
            "id": st.text(),
            "name": st.text(),
            "input": st.dictionaries(st.text(), st.integers() | st.text()),
            "thinking": st.text(),
            "url": st.text(),
            "base64": st.text(),
        },
    ),
)


@pytest.mark.slow
def test_any_message_fits_the_schema(content: Content) -> None:
    """Whatever blocks a message has, its parts match the schema."""

    @given(
        blocks=st.text() | st.lists(BLOCKS),
        kind=st.sampled_from([HumanMessage, AIMessage, SystemMessage]),
    )
    def report(blocks: Any, kind: Any) -> None:
        assert len(content.call([kind(blocks)])[INPUT]) == 1

    report()


CHAIN_MESSAGES_ROSES = {
    "role": "user",
    "parts": [{"type": "text", "content": "Roses?"}],
}


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
def test_messages_are_found(inputs: Any, content: Content) -> None:
    """All forms in which LangGraph takes messages are read."""
    assert content.agent(inputs) == {INPUT: [CHAIN_MESSAGES_ROSES]}


def test_a_state_without_messages_is_a_part(content: Content) -> None:
    """A workflow's state without messages becomes one part."""
    state = {"topic": "roses", "count": 3}
    part = {"type": "state", "content": state}
    text = {"type": "text", "content": "Roses?"}
    answer = {"role": "assistant", "finish_reason": "stop"}
    assert content.workflow(state, state) == {
        INPUT: [{"role": "user", "parts": [part]}],
        OUTPUT: [{**answer, "parts": [part]}],
    }
    assert content.workflow([3], "Roses?") == {
        INPUT: [{"role": "user", "parts": [{"type": "state", "content": [3]}]}],
        OUTPUT: [{**answer, "parts": [text]}],
    }


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_is_no_message(nothing: Any, content: Content) -> None:
    """Empty input and empty output give no message."""
    assert content.workflow(nothing, nothing) == {}


def test_output_is_last_message(content: Content) -> None:
    """An agent's output is its last message, not the whole history."""
    answer = AIMessage("Roses?", response_metadata={"finish_reason": "stop"})
    history = [HumanMessage("x"), ToolMessage("y", tool_call_id="c"), answer]
    expected = [{**CHAIN_MESSAGES_ROSES, "role": "assistant", "finish_reason": "stop"}]
    assert content.agent(None, {"messages": history}) == {OUTPUT: expected}
    assert content.agent(None, answer) == {OUTPUT: expected}
    assert content.agent(None, {"messages": [3]}) == {}


@pytest.mark.parametrize(
    ("info", "metadata", "expected"),
    [
        ({"finish_reason": "stop"}, {}, "stop"),
        ({}, {"finish_reason": "tool_calls"}, "tool_call"),
        ({}, {"stop_reason": "end_turn"}, "stop"),
        ({}, {"stopReason": "max_tokens"}, "length"),
        ({}, {"finish_reason": "SAFETY"}, "content_filter"),
        ({}, {"status": "completed"}, "stop"),
        ({"finish_reason": "stopstop"}, {}, "stop"),
        ({"finish_reason": "malformed"}, {}, "malformed"),
        ({"finish_reason": None}, {}, "unknown"),
        ({}, {}, "unknown"),
    ],
)
def test_finish_reason_is_mapped_to_schema(
    info: dict[str, Any], metadata: dict[str, Any], expected: str, content: Content
) -> None:
    """Known reasons are mapped, others stay, and a missing one is ``unknown``."""
    message = AIMessage("x", response_metadata=metadata)
    generation = ChatGeneration(message=message, generation_info=info)
    (read,) = content.call([], result(generation))[OUTPUT]
    assert read["finish_reason"] == expected


def test_finish_reason_of_text_model_is_in_generation(content: Content) -> None:
    """A text model has no message."""
    generation = Generation(text="x", generation_info={"finish_reason": "length"})
    (read,) = content.completion("", result(generation))[OUTPUT]
    assert read["finish_reason"] == "length"
