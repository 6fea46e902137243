"""Content is read, redacted and cut; an error affects only its own attribute."""

from __future__ import annotations

from collections import UserDict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.capture import (
    NOTHING,
    Capture,
    ContentError,
    copy_to_agent,
)
from otel_callbacks._records import Request

if TYPE_CHECKING:
    from collections.abc import Callable

CHAT = Request(semconv.CHAT, "m", "openai")
CLAUDE = Request(semconv.CHAT, "m", "anthropic")
AGENT = Request(semconv.INVOKE_AGENT, "shop")
WORKFLOW = Request(semconv.INVOKE_WORKFLOW, "flow")
TOOL = Request(semconv.EXECUTE_TOOL, "price")
RETRIEVAL = Request(semconv.RETRIEVAL, "shelf")
STEP = Request("", "step")
SAID = [SystemMessage("Be kind."), HumanMessage("Roses?")]
KIND = {"type": "text", "content": "Be kind."}
ROSES = {"role": "user", "parts": [{"type": "text", "content": "Roses?"}]}
PARAMS = {"tools": [{"type": "web_search"}], "api_key": "sk-secret"}
TOOLS = [{"type": "web_search", "name": "web_search"}]
ANSWER = LLMResult(generations=[[ChatGeneration(message=AIMessage("Tulips."))]])
ANSWERED = {
    "role": "assistant",
    "parts": [{"type": "text", "content": "Tulips."}],
    "finish_reason": "unknown",
}


def capture(redact: Any = None, **options: Any) -> Capture:
    """Return a capture with the usual limit."""
    return Capture(redact, options.pop("limit", 32_768), **options)


def test_input_of_chat_call() -> None:
    """Messages, including the system's, and the tools; no other parameter."""
    assert capture().of_start(CHAT, SAID, PARAMS) == (
        {
            semconv.INPUT_MESSAGES: [{"role": "system", "parts": [KIND]}, ROSES],
            semconv.TOOL_DEFINITIONS: TOOLS,
        },
        (),
    )


def test_system_instructions_are_separate_where_provider_takes_them_so() -> None:
    """Anthropic, Google and Bedrock take system instructions beside the messages."""
    assert capture().of_start(CLAUDE, SAID, None).content == {
        semconv.INPUT_MESSAGES: [ROSES],
        semconv.SYSTEM_INSTRUCTIONS: [KIND],
    }


def test_instructions_of_the_responses_api() -> None:
    """OpenAI's ``instructions`` are system instructions, too."""
    captured = capture().of_start(CHAT, [SAID[1]], {"instructions": "Be kind."})
    assert captured.content == {
        semconv.INPUT_MESSAGES: [ROSES],
        semconv.SYSTEM_INSTRUCTIONS: [KIND],
    }


@pytest.mark.parametrize(
    ("request_", "payload", "more", "expected"),
    [
        (
            Request(semconv.TEXT_COMPLETION, "m"),
            "Roses?",
            None,
            {semconv.INPUT_MESSAGES: [ROSES]},
        ),
        (AGENT, {"messages": SAID[1:]}, None, {semconv.INPUT_MESSAGES: [ROSES]}),
        (WORKFLOW, {"messages": SAID[1:]}, None, {semconv.INPUT_MESSAGES: [ROSES]}),
        (
            TOOL,
            "rose",
            {"of": "rose"},
            {semconv.TOOL_CALL_ARGUMENTS: {"of": "rose"}},
        ),
        (RETRIEVAL, "Roses?", None, {semconv.RETRIEVAL_QUERY_TEXT: "Roses?"}),
        (STEP, {"messages": SAID}, None, None),
        (CHAT, [], None, None),
    ],
)
def test_input_attributes_of_each_operation(
    request_: Request, payload: Any, more: Any, expected: dict[str, Any] | None
) -> None:
    """Each operation has the input attributes of the conventions."""
    assert capture().of_start(request_, payload, more) == (expected, ())


@pytest.mark.parametrize(
    ("request_", "payload", "expected"),
    [
        (CHAT, ANSWER, {semconv.OUTPUT_MESSAGES: [ANSWERED]}),
        (
            AGENT,
            {"messages": [AIMessage("Tulips.")]},
            {semconv.OUTPUT_MESSAGES: [ANSWERED]},
        ),
        (WORKFLOW, AIMessage("Tulips."), {semconv.OUTPUT_MESSAGES: [ANSWERED]}),
        (TOOL, "3", {semconv.TOOL_CALL_RESULT: {"content": "3"}}),
        (
            RETRIEVAL,
            [Document("Roses.")],
            {semconv.RETRIEVAL_DOCUMENTS: [{"content": "Roses."}]},
        ),
        (STEP, {"messages": SAID}, None),
        (CHAT, None, None),
    ],
)
def test_output_attributes_of_each_operation(
    request_: Request, payload: Any, expected: dict[str, Any] | None
) -> None:
    """Each operation has the output attributes of the conventions."""
    assert capture().of_end(request_, None, payload) == (expected, ())


def test_agent_gets_tools_and_system_instructions_of_its_model_call() -> None:
    """An agent's own run has none; its first model call provides them at its end."""
    content = capture().of_start(CHAT, SAID, PARAMS).content
    agent = SimpleNamespace(request=AGENT, content=None, parent_run=None)
    node = SimpleNamespace(request=STEP, content=None, parent_run=agent)
    copy_to_agent(SimpleNamespace(request=CHAT, content=content, parent_run=node))
    expected = {semconv.SYSTEM_INSTRUCTIONS: [KIND], semconv.TOOL_DEFINITIONS: TOOLS}
    assert agent.content == expected
    assert capture().of_end(AGENT, agent.content, "Tulips.").content == {
        semconv.OUTPUT_MESSAGES: [{**ANSWERED, "finish_reason": "stop"}],
        **expected,
    }


def test_only_model_calls_inside_agent_provide_its_content() -> None:
    """A call outside of an agent, and a tool inside one, change no agent."""
    step = SimpleNamespace(request=STEP, content=None, parent_run=None)
    content = {semconv.TOOL_DEFINITIONS: TOOLS}
    copy_to_agent(SimpleNamespace(request=CHAT, content=content, parent_run=step))
    agent = SimpleNamespace(request=AGENT, content=None, parent_run=None)
    copy_to_agent(SimpleNamespace(request=TOOL, content=content, parent_run=agent))
    assert (step.content, agent.content) == (None, None)
    apart = {semconv.SYSTEM_INSTRUCTIONS: [KIND]}
    copy_to_agent(SimpleNamespace(request=CHAT, content=apart, parent_run=agent))
    copy_to_agent(SimpleNamespace(request=CHAT, content={}, parent_run=agent))
    assert agent.content == apart
    alone = {semconv.INPUT_MESSAGES: [ROSES]}
    copy_to_agent(SimpleNamespace(request=CHAT, content=alone, parent_run=agent))
    assert agent.content == apart


def test_redaction_precedes_cutting() -> None:
    """The hook receives the whole structure, before anything is cut."""
    seen: list[tuple[str, Any]] = []

    def redact(name: str, value: Any) -> Any:
        seen.append((name, value))
        value[0]["parts"][0]["content"] = "***"
        return value

    captured = capture(redact, limit=1_024).of_start(CHAT, "x" * 5_000, None)
    assert [name for name, _ in seen] == [semconv.INPUT_MESSAGES]
    assert captured.content == {
        semconv.INPUT_MESSAGES: [
            {"role": "user", "parts": [{"type": "text", "content": "***"}]}
        ]
    }


def test_redaction_may_drop_an_attribute() -> None:
    """If the hook returns None, the attribute is dropped without an error."""
    assert capture(lambda *_: None).of_start(CHAT, "Roses?", None) == NOTHING


@pytest.mark.parametrize(
    "redacted", [object(), "text", [{"role": "user"}], {1: object()}]
)
def test_invalid_redaction_is_dropped(redacted: Any) -> None:
    """A result that is not JSON, or not in the attribute's shape, is dropped."""
    captured = capture(lambda *_: redacted).of_start(CHAT, "Roses?", None)
    assert captured.content is None
    ((where, error),) = captured.errors
    assert where == "redact"
    assert isinstance(error, ContentError)


def test_failed_redaction_quotes_nothing() -> None:
    """The attribute is dropped; the error has a traceback and no message of its own."""

    def redact(_: str, value: Any) -> Any:
        raise ValueError(value)

    captured = capture(redact).of_start(TOOL, "secret", {"of": "secret"})
    assert captured.content is None
    ((where, error),) = captured.errors
    assert (where, str(error)) == ("redact", "ValueError")
    assert error.__traceback__ is not None
    assert error.__cause__ is error.__context__ is None


def test_unreadable_value_affects_no_other_attribute() -> None:
    """A value that raises leaves the messages and the values beside it."""

    class Broken(UserDict[str, Any]):
        def items(self) -> Any:
            message = "secret"
            raise RuntimeError(message)

    params = {"tools": [{"name": "n", "parameters": {"a": Broken(b=1)}}]}
    captured = capture().of_start(CHAT, "Roses?", params)
    tool = {"type": "function", "name": "n", "parameters": {"a": "<unreadable>"}}
    assert captured.content == {
        semconv.INPUT_MESSAGES: [ROSES],
        semconv.TOOL_DEFINITIONS: [tool],
    }
    assert [(where, str(error)) for where, error in captured.errors] == [
        ("content", "RuntimeError")
    ]


class Unreadable:
    """A value whose ``__class__`` raises, as lazy values do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        message = "secret"
        raise RuntimeError(message)


@pytest.mark.parametrize(
    "made",
    [
        lambda odd: AIMessage("Tulips.", additional_kwargs={"refusal": odd}),
        lambda odd: AIMessage("Tulips.", additional_kwargs={"tool_calls": [odd]}),
        lambda odd: AIMessage.model_construct(content="Tulips.", tool_calls=odd),
        lambda odd: AIMessage.model_construct(content=["Tulips.", odd]),
        lambda odd: odd,
    ],
    ids=["refusal", "calls", "no calls", "content", "no message"],
)
def test_unreadable_message_affects_no_other_message(
    made: Callable[[Any], Any],
) -> None:
    """The readable parts of it remain, and so do the others, in input and output."""
    unreadable: Any = Unreadable()
    odd = made(unreadable)
    captured = capture().of_start(CHAT, [odd, HumanMessage("Roses?")], None)
    assert captured.content is not None
    *others, last = captured.content[semconv.INPUT_MESSAGES]
    assert last == ROSES
    assert [where for where, _ in captured.errors] == ["content"]
    choices = [ChatGeneration.model_construct(message=odd, text="")]
    choices.append(ChatGeneration(message=AIMessage("Lilies.")))
    taken = capture().of_end(
        CHAT, None, LLMResult.model_construct(generations=[choices])
    )
    assert taken.content is not None
    first, second = taken.content[semconv.OUTPUT_MESSAGES]
    assert second["parts"] == [{"type": "text", "content": "Lilies."}]
    if odd is not unreadable:
        tulips = {"type": "text", "content": "Tulips."}
        assert tulips in others[0]["parts"]
        assert tulips in first["parts"]
    assert "secret" not in str((captured, taken))


@pytest.mark.parametrize(
    ("request_", "made"),
    [
        (TOOL, lambda odd: {"bill": odd, "price": 12}),
        (RETRIEVAL, lambda odd: [odd, Document("12", metadata={"rows": odd})]),
        (WORKFLOW, lambda odd: {"rows": odd, "price": 12}),
    ],
)
def test_unreadable_value_affects_no_other_value(
    request_: Request, made: Callable[[Any], Any]
) -> None:
    """Results, documents and states are read without it."""
    captured = capture().of_end(request_, None, made(Unreadable()))
    assert "12" in str(captured.content)
    assert [where for where, _ in captured.errors] == ["content"]
    assert "secret" not in str(captured)


class Speechless(Exception):  # noqa: N818
    """An exception whose ``__str__`` raises."""

    def __str__(self) -> str:
        raise self


def test_unreadable_exception_affects_no_other_attribute() -> None:
    """If the second attempt fails, too, the attribute is left out."""
    partial = LLMResult(generations=[[ChatGeneration(message=AIMessage("Tul"))]])
    captured = capture(exceptions=True).of_end(CHAT, None, partial, Speechless())
    assert captured.content is not None
    assert list(captured.content) == [semconv.OUTPUT_MESSAGES]
    assert [where for where, _ in captured.errors] == ["content"]


def test_blocks_are_read_until_work_is_used_up() -> None:
    """The first ones may use all of it."""
    blocks = [{"type": "own", "rows": list(range(500))}, *["Roses"] * 500]
    captured = capture(limit=600).of_start(CHAT, [HumanMessage(blocks)], None)
    assert captured.content is not None
    (message,) = captured.content[semconv.INPUT_MESSAGES]
    assert len(message["parts"]) == 1


def test_cut_content_has_length_and_dropped_attributes() -> None:
    """The length before and the items dropped, only with extensions."""
    messages = [HumanMessage(f"Rose {number} " * 5) for number in range(40)]
    content = capture(limit=1_024).of_start(CHAT, messages, None).content
    assert content is not None
    kept = len(content[semconv.INPUT_MESSAGES])
    length = sum(len(str(message.content)) + 8 for message in messages)
    assert content["otel_callbacks.content.dropped.input.messages"] == 40 - kept
    assert content["otel_callbacks.content.length.input.messages"] == length
    more = capture(limit=1_024).of_start(CHAT, messages * 1_000, None).content or {}
    dropped = more["otel_callbacks.content.dropped.input.messages"]
    assert dropped == 40_000 - len(more[semconv.INPUT_MESSAGES])
    plain = capture(limit=1_024, extensions=False).of_start(CHAT, messages, None)
    assert set(plain.content or {}) == {semconv.INPUT_MESSAGES}


def test_an_exceptions_message_is_read_for_events() -> None:
    """Only if exceptions are captured; keys that a provider quotes are redacted."""
    error = ValueError("Incorrect API key provided: sk-abcdef123456. Bearer abcdef12")
    assert capture().of_end(CHAT, None, None, error) == NOTHING
    captured = capture(exceptions=True).of_end(CHAT, None, ANSWER, error)
    assert captured.content == {
        semconv.OUTPUT_MESSAGES: [{**ANSWERED, "finish_reason": "error"}],
        semconv.EXCEPTION_MESSAGE: "Incorrect API key provided: REDACTED REDACTED",
    }
