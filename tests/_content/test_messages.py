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

from otel_callbacks._content.jsonable import Work
from otel_callbacks._content.messages import (
    finish_reason,
    input_messages,
    is_message,
    messages_in,
    messages_out,
    one_message,
    output_messages,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
def test_a_message_is_read(
    source: Any, expected: Any, check_schema: Callable[[str, Any], None]
) -> None:
    """Roles, names, parts and tool calls of each LangChain message."""
    message = one_message(source, Work())
    assert message == expected
    check_schema("gen_ai.input.messages", [message] if message else [])


def test_the_newest_messages_are_read_first() -> None:
    """When the work is used up, older messages are counted and not read."""
    history = [HumanMessage(str(number)) for number in range(10)]
    messages, unread = input_messages(history, Work(12))
    assert [message["parts"][0]["content"] for message in messages] == ["7", "8", "9"]
    assert unread == 7
    assert input_messages("Roses?", Work()) == ([{"role": "user", "parts": [ROSES]}], 0)


def test_value_that_is_no_message_is_left_out() -> None:
    """An invalid item affects no other message."""
    messages, unread = input_messages([3, "Roses?"], Work())
    assert (len(messages), unread) == (1, 0)


def result(*generations: Any) -> LLMResult:
    """Return the result of one prompt."""
    return LLMResult(generations=[list(generations)])


def test_each_choice_is_a_message() -> None:
    """Several choices are several messages, each with its finish reason."""
    choices = [
        ChatGeneration(
            message=AIMessage("Roses?"), generation_info={"finish_reason": reason}
        )
        for reason in ("stop", "length")
    ]
    messages = output_messages(result(*choices), Work(), finished=True)
    assert messages == [
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
def test_reason_is_in_words_of_the_schemas(reported: str, expected: str) -> None:
    """Each provider has its own words for the same reason."""
    choice = ChatGeneration(
        message=AIMessage("Roses?", response_metadata={"finish_reason": reported})
    )
    (message,) = output_messages(result(choice), Work(), finished=True)
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
def test_answer_of_an_audio_model(
    audio: Any, expected: Any, check_schema: Callable[[str, Any], None]
) -> None:
    """LangChain keeps it beside the content, which is empty."""
    answer = AIMessage("", additional_kwargs={"audio": audio})
    for message in (answer, {"role": "assistant", "content": None, "audio": audio}):
        messages, unread = input_messages([message], Work())
        assert (messages, unread) == ([{"role": "assistant", "parts": expected}], 0)
        check_schema("gen_ai.input.messages", messages)


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
def test_reason_is_that_of_the_span(metadata: Any, expected: str) -> None:
    """A status has its details, and Gemini says why it refused the prompt."""
    choice = ChatGeneration(message=AIMessage("R", response_metadata=metadata))
    (message,) = output_messages(result(choice), Work(), finished=True)
    assert message["finish_reason"] == expected


def test_response_of_text_model_is_message() -> None:
    """A text model has generations without messages."""
    response = result(Generation(text="Roses?"))
    assert output_messages(response, Work(), finished=True) == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "unknown"}
    ]


def test_output_before_error_is_unfinished() -> None:
    """A partial output has the reason ``error``; an empty one is no message."""
    part = ChatGeneration(message=AIMessageChunk("Roses?"))  # type: ignore[call-arg]
    nothing = ChatGeneration(message=AIMessageChunk(""))  # type: ignore[call-arg]
    assert output_messages(result(part, nothing), Work(), finished=False) == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "error"}
    ]


@pytest.mark.parametrize("odd", [None, 3, LLMResult(generations=[])])
def test_no_result_is_no_message(odd: Any) -> None:
    """A result without generations gives no message."""
    assert output_messages(odd, Work(), finished=True) == []


def test_choice_without_message_is_its_text() -> None:
    """If the message is invalid, the generation's text is read."""

    class Odd:
        message = 3
        text = "Roses?"

    class Result:
        generations = ([Odd()],)

    assert output_messages(Result(), Work(), finished=True) == [
        {"role": "assistant", "parts": [ROSES], "finish_reason": "unknown"}
    ]


def test_last_message_of_agent_has_finish_reason() -> None:
    """The reason is in the message's metadata."""
    last = AIMessage("Roses?", response_metadata={"finish_reason": "stop"})
    assert messages_out([last], Work()) == [
        {
            "role": "assistant",
            "parts": [ROSES],
            "finish_reason": "stop",
        }
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (HumanMessage("x"), True),
        ({"role": "user", "content": "x"}, True),
        ({"content": "x"}, False),
        ("x", False),
    ],
)
def test_messages_are_recognized(
    value: Any,
    expected: bool,  # noqa: FBT001
) -> None:
    """Objects and dictionaries with content and a role are messages."""
    assert is_message(value) is expected


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
@given(
    content=st.text() | st.lists(BLOCKS),
    kind=st.sampled_from([HumanMessage, AIMessage, SystemMessage]),
)
def test_any_message_fits_the_schema(
    content: Any, kind: Any, check_schema: Callable[[str, Any], None]
) -> None:
    """Whatever blocks a message has, its parts match the schema."""
    check_schema("gen_ai.input.messages", [one_message(kind(content), Work())])


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
def test_messages_are_found(inputs: Any) -> None:
    """All forms in which LangGraph takes messages are read."""
    assert messages_in(inputs, Work()) == ([CHAIN_MESSAGES_ROSES], 0)


def test_a_state_without_messages_is_a_part() -> None:
    """A workflow's state without messages becomes one part."""
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
    """Empty input and empty output give no message."""
    assert messages_in(nothing, Work()) == ([], 0)
    assert messages_out(nothing, Work()) == []


def test_output_is_last_message() -> None:
    """An agent's output is its last message, not the whole history."""
    answer = AIMessage("Roses?", response_metadata={"finish_reason": "stop"})
    history = [HumanMessage("x"), ToolMessage("y", tool_call_id="c"), answer]
    expected = [{**CHAIN_MESSAGES_ROSES, "role": "assistant", "finish_reason": "stop"}]
    assert messages_out({"messages": history}, Work()) == expected
    assert messages_out(answer, Work()) == expected
    assert messages_out({"messages": [3]}, Work()) == []


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
    info: dict[str, Any], metadata: dict[str, Any], expected: str
) -> None:
    """Known reasons are mapped, others stay, and a missing one is ``unknown``."""
    message = AIMessage("x", response_metadata=metadata)
    generation = ChatGeneration(message=message, generation_info=info)
    assert finish_reason(generation, message) == expected


def test_finish_reason_of_text_model_is_in_generation() -> None:
    """A text model has no message."""
    generation = Generation(text="x", generation_info={"finish_reason": "length"})
    assert finish_reason(generation, None) == "length"
