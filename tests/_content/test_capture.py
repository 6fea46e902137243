"""Content is read, redacted and cut; an error affects only its own attribute."""

from __future__ import annotations

from collections import UserDict
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, LLMResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Content

INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
DEFINITIONS = "gen_ai.tool.definitions"
ARGUMENTS = "gen_ai.tool.call.arguments"
RESULT = "gen_ai.tool.call.result"
QUERY = "gen_ai.retrieval.query.text"
DOCUMENTS = "gen_ai.retrieval.documents"
CLAUDE = {"ls_provider": "anthropic"}
QUESTION = [SystemMessage("Be kind."), HumanMessage("Roses?")]
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


def test_input_of_chat_call(content: Content) -> None:
    """Messages, including the system's, and the tools; no other parameter."""
    assert content.call(QUESTION, params=PARAMS) == {
        INPUT: [{"role": "system", "parts": [KIND]}, ROSES],
        DEFINITIONS: TOOLS,
    }


@pytest.mark.parametrize(
    "provider", ["anthropic", "amazon_bedrock", "google_genai", "google_vertexai"]
)
def test_system_instructions_are_separate_where_provider_takes_them_so(
    provider: str, content: Content
) -> None:
    """Anthropic, Google and Bedrock take system instructions beside the messages."""
    assert content.call(QUESTION, metadata={"ls_provider": provider}) == {
        INPUT: [ROSES],
        INSTRUCTIONS: [KIND],
    }


def test_instructions_of_the_responses_api(content: Content) -> None:
    """OpenAI's ``instructions`` are system instructions, too."""
    found = content.call([QUESTION[1]], params={"instructions": "Be kind."})
    assert found == {INPUT: [ROSES], INSTRUCTIONS: [KIND]}


@pytest.mark.parametrize(
    ("kind", "payloads", "expected"),
    [
        ("completion", ["Roses?"], {INPUT: [ROSES]}),
        ("agent", [{"messages": QUESTION[1:]}], {INPUT: [ROSES]}),
        ("workflow", [{"messages": QUESTION[1:]}], {INPUT: [ROSES]}),
        ("chain", [{"messages": QUESTION}], {}),
        ("call", [[]], {}),
        ("call", [[], ANSWER], {OUTPUT: [ANSWERED]}),
        ("agent", [None, {"messages": [AIMessage("Tulips.")]}], {OUTPUT: [ANSWERED]}),
        ("workflow", [None, AIMessage("Tulips.")], {OUTPUT: [ANSWERED]}),
        ("chain", [None, {"messages": QUESTION}], {}),
        (
            "tool",
            ["3", "rose", {"of": "rose"}],
            {ARGUMENTS: {"of": "rose"}, RESULT: {"content": "3"}},
        ),
        (
            "retrieval",
            [[Document("Roses.")], "Roses?"],
            {QUERY: "Roses?", DOCUMENTS: [{"content": "Roses."}]},
        ),
    ],
)
def test_attributes_of_each_operation(
    kind: str, payloads: list[Any], expected: dict[str, Any], content: Content
) -> None:
    """Each operation has the attributes of the conventions."""
    assert getattr(content, kind)(*payloads) == expected


def test_agent_gets_tools_and_system_instructions_of_its_model_call(
    content: Content,
) -> None:
    """An agent's own run has none; its first model call provides them at its end."""

    def node(agent_id: Any) -> None:
        content.chain(parent_run_id=agent_id, inside=call)

    def call(node_id: Any) -> None:
        content.call(QUESTION, params=PARAMS, parent_run_id=node_id)
        content.call(
            [SystemMessage("Be brief.")],
            params={"tools": [{"type": "other"}]},
            parent_run_id=node_id,
        )

    assert content.agent(None, "Tulips.", inside=node) == {
        OUTPUT: [{**ANSWERED, "finish_reason": "stop"}],
        INSTRUCTIONS: [KIND],
        DEFINITIONS: TOOLS,
    }


def test_only_model_calls_inside_agent_provide_its_content(content: Content) -> None:
    """A tool in an agent, and a call without instructions, give it nothing."""

    def inside(agent_id: Any) -> None:
        content.tool("3", "rose", parent_run_id=agent_id)
        content.call([], parent_run_id=agent_id)
        content.call(QUESTION, metadata=CLAUDE, parent_run_id=agent_id)
        content.call([HumanMessage("Roses?")], parent_run_id=agent_id)

    assert content.agent(inside=inside) == {INSTRUCTIONS: [KIND]}


def test_a_call_outside_of_an_agent_provides_nothing(content: Content) -> None:
    """A chain and a graph have no instructions and no tools."""

    def inside(run_id: Any) -> None:
        content.call(QUESTION, params=PARAMS, parent_run_id=run_id)

    assert content.chain(inside=inside) == {}
    assert content.workflow(inside=inside) == {}


def test_redaction_precedes_cutting(content_of: Callable[..., Content]) -> None:
    """The hook receives the whole structure, before anything is cut."""
    seen: list[tuple[str, int]] = []

    def redact(name: str, value: Any) -> Any:
        seen.append((name, len(value[0]["parts"][0]["content"])))
        value[0]["parts"][0]["content"] = "***"
        return value

    content = content_of(redact, content_limit=1_024)
    assert content.completion("x" * 5_000) == {
        INPUT: [{"role": "user", "parts": [{"type": "text", "content": "***"}]}]
    }
    assert seen == [(INPUT, 5_000)]


def test_redaction_may_drop_an_attribute(content_of: Callable[..., Content]) -> None:
    """If the hook returns None, the attribute is dropped without an error."""
    assert content_of(lambda *_: None).call(["Roses?"]) == {}


@pytest.mark.parametrize(
    "redacted",
    [
        object(),
        "text",
        [{"role": "user"}],
        {1: object()},
        [{"role": "user", "parts": [{"type": "own", "value": object()}]}],
    ],
    ids=["object", "text", "no parts", "dictionary", "object in a part"],
)
def test_invalid_redaction_is_dropped(
    redacted: Any, content_of: Callable[..., Content]
) -> None:
    """A result that is not JSON, or not in the attribute's shape, is dropped."""
    content = content_of(lambda *_: redacted, strict=False)
    assert content.call(["Roses?"]) == {}
    assert content.errors == {"redact": 1}


def test_failed_redaction_quotes_nothing(
    content_of: Callable[..., Content], caplog: pytest.LogCaptureFixture
) -> None:
    """The attribute is dropped; the log line has the error's place, not its text."""

    def redact(_: str, value: Any) -> Any:
        raise ValueError(value)

    content = content_of(redact, strict=False)
    assert content.tool("secret", "secret") == {}
    assert content.errors == {"redact": 2}
    assert "redact failed with ContentError at capture.py:" in caplog.text
    assert "test_capture.py:" in caplog.text
    assert "secret" not in caplog.text


def test_failed_redaction_raises_its_type_in_tests(
    content_of: Callable[..., Content],
) -> None:
    """The error that strict mode raises has no text of the app, and no cause."""

    def redact(_: str, value: Any) -> Any:
        raise ValueError(value)

    with pytest.raises(Exception, match=r"^ValueError$") as caught:
        content_of(redact).tool("secret", "secret")
    assert caught.value.__cause__ is caught.value.__context__ is None


class Broken(UserDict[str, Any]):
    """A dictionary that raises."""

    def items(self) -> Any:
        """Fail."""
        message = "secret"
        raise RuntimeError(message)


def test_unreadable_value_affects_no_other_attribute(
    content_of: Callable[..., Content], caplog: pytest.LogCaptureFixture
) -> None:
    """A value that raises leaves the messages and the values beside it."""
    content = content_of(strict=False)
    params = {"tools": [{"name": "n", "parameters": {"a": Broken(b=1)}}]}
    assert content.call(["Roses?"], params=params) == {
        INPUT: [ROSES],
        DEFINITIONS: [
            {"type": "function", "name": "n", "parameters": {"a": "<unreadable>"}}
        ],
    }
    assert content.errors == {"content": 1}
    assert "secret" not in caplog.text


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
    content_of: Callable[..., Content],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The readable parts of it remain, and so do the others, in input and output."""
    content = content_of(strict=False)
    unreadable: Any = Unreadable()
    odd = made(unreadable)
    choices = [ChatGeneration.model_construct(message=odd, text="")]
    choices.append(ChatGeneration(message=AIMessage("Lilies.")))
    found = content.call(
        [odd, HumanMessage("Roses?")], LLMResult.model_construct(generations=[choices])
    )
    *others, last = found[INPUT]
    first, second = found[OUTPUT]
    assert last == ROSES
    assert second["parts"] == [{"type": "text", "content": "Lilies."}]
    if odd is not unreadable:
        tulips = {"type": "text", "content": "Tulips."}
        assert tulips in others[0]["parts"]
        assert tulips in first["parts"]
    assert content.errors["content"] == 2
    assert "secret" not in f"{found}{caplog.text}"


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("tool", lambda odd: [{"bill": odd, "price": 12}]),
        ("retrieval", lambda odd: [[odd, Document("12", metadata={"rows": odd})]]),
        ("workflow", lambda odd: [None, {"rows": odd, "price": 12}]),
    ],
)
def test_unreadable_value_affects_no_other_value(
    kind: str, made: Callable[[Any], Any], content_of: Callable[..., Content]
) -> None:
    """Results, documents and states are read without it."""
    content = content_of(strict=False)
    found = getattr(content, kind)(*made(Unreadable()))
    assert "12" in str(found)
    assert content.errors["content"] == 1
    assert "secret" not in str(found)


def test_blocks_are_read_until_work_is_used_up(
    content_of: Callable[..., Content],
) -> None:
    """The first ones may use all of it."""
    blocks = [{"type": "own", "rows": list(range(500))}, *["Roses"] * 500]
    found = content_of(content_limit=1_024).call([HumanMessage(blocks)])
    (message,) = found[INPUT]
    assert len(message["parts"]) == 1


def test_cut_content_has_length_and_dropped_attributes(
    content_of: Callable[..., Content],
) -> None:
    """The length before and the items dropped, only with extensions."""
    messages = [HumanMessage(f"Rose {number} " * 5) for number in range(40)]
    content = content_of(content_limit=1_024)
    found = content.call(messages)
    length = sum(len(str(message.content)) + 8 for message in messages)
    dropped = "otel_callbacks.content.dropped.input.messages"
    assert found[dropped] == 40 - len(found[INPUT])
    assert found["otel_callbacks.content.length.input.messages"] == length
    more = content.call(messages * 1_000)
    assert more[dropped] == 40_000 - len(more[INPUT])
    plain = content_of(content_limit=1_024, extensions=False)
    assert set(plain.call(messages)) == {INPUT}
