"""Content is cut to its limit, keeps its schema's shape, with bounded work."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Content

LIMIT = 1_024
INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
DEFINITIONS = "gen_ai.tool.definitions"
ARGUMENTS = "gen_ai.tool.call.arguments"
RESULT = "gen_ai.tool.call.result"
QUERY = "gen_ai.retrieval.query.text"
DOCUMENTS = "gen_ai.retrieval.documents"


@dataclasses.dataclass
class Cut:
    """A cut value, and its size before."""

    value: Any
    length: int
    dropped: int


@pytest.fixture
def cut(content_of: Callable[..., Content]) -> Callable[..., Cut]:
    """Return what sends a value as an attribute's content, by a redaction."""
    sent: dict[str, Any] = {}

    @functools.cache
    def content(limit: int) -> Content:
        return content_of(lambda name, _: sent.get(name), content_limit=limit)

    def send(name: str, value: Any, limit: int = LIMIT) -> Cut:
        sent.clear()
        sent[name] = value
        found = report(content(limit), name)
        assert size_of(found[name]) <= limit
        short = name.removeprefix("gen_ai.")
        return Cut(
            found[name],
            found.get(f"otel_callbacks.content.length.{short}", 0),
            found.get(f"otel_callbacks.content.dropped.{short}", 0),
        )

    return send


def report(content: Content, name: str) -> Any:
    """Report a run that has an attribute of content, and return its content."""
    if name in {ARGUMENTS, RESULT}:
        return content.tool("3", "rose")
    if name in {QUERY, DOCUMENTS}:
        return content.retrieval([Document("Roses.")], "Roses?")
    params = {"instructions": "Be kind.", "tools": [{"type": "web_search"}]}
    answer = ChatGeneration(message=AIMessage("Tulips."))
    return content.call(["Roses?"], LLMResult(generations=[[answer]]), params=params)


def size_of(value: Any) -> int:
    """Return the bytes of a value on a span."""
    if isinstance(value, str):
        return len(value.encode())
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def message(text: str, role: str = "user") -> dict[str, Any]:
    """Return a message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """Return the texts of messages."""
    return [part["content"] for each in messages for part in each["parts"]]


def test_content_that_fits_is_unchanged(cut: Callable[..., Cut]) -> None:
    """Short content is unchanged, without a note."""
    messages = [message("玫瑰 🌹"), message("Tulips?")]
    found = cut(INPUT, messages)
    assert found.value == messages
    assert (found.length, found.dropped) == (0, 0)


def test_the_longest_text_is_shortened_first(cut: Callable[..., Cut]) -> None:
    """A long text is shortened; short ones beside it are unchanged."""
    messages = [
        message("Be kind.", "system"),
        message("x " * 5_000),
        message("And now?"),
    ]
    found = cut(INPUT, messages)
    first, second, third = texts(found.value)
    assert (first, third) == ("Be kind.", "And now?")
    assert second.startswith("x x x")
    kept = second.partition("…")[0]
    assert second == f"{kept}…[+{10_000 - len(kept)} characters]"
    assert LIMIT * 3 // 4 < size_of(found.value) <= LIMIT
    assert (found.length, found.dropped) == (10_016 + 4 * 3 + 4 + 6 + 4, 0)


def test_the_newest_messages_are_kept(cut: Callable[..., Cut]) -> None:
    """If shortened texts do not fit, the oldest messages are dropped and counted."""
    messages = [message(f"Question {number}") for number in range(100)]
    found = cut(INPUT, messages)
    kept = texts(found.value)
    assert kept[-1] == "Question 99"
    assert kept == texts(messages)[-len(kept) :]
    assert found.dropped == 100 - len(kept)
    assert len(kept) > 10


def test_the_first_documents_are_kept(cut: Callable[..., Cut]) -> None:
    """A retriever returns the best documents first."""
    documents = [{"id": str(number), "content": "rose " * 20} for number in range(100)]
    found = cut(DOCUMENTS, documents)
    assert [each["id"] for each in found.value][:2] == ["0", "1"]
    assert found.dropped == 100 - len(found.value)


def test_a_text_is_cut_between_characters(cut: Callable[..., Cut]) -> None:
    """Characters of several bytes are not split."""
    found = cut(QUERY, "玫瑰🌹" * 1_000)
    assert found.value.startswith("玫瑰🌹玫瑰🌹")


def test_lone_surrogates_become_valid(cut: Callable[..., Cut]) -> None:
    """Text that is not UTF-8 does not lose the export of a whole batch."""
    found = cut(INPUT, [message("a\ud800b \ud83c\udf39")])
    assert texts(found.value) == ["a\ufffdb 🌹"]


def test_data_in_text_is_replaced_before_shortening(cut: Callable[..., Cut]) -> None:
    """No piece of base64 remains from a cut in its middle."""
    data = base64.b64encode(hashlib.sha512(b"rose").digest() * 500).decode()
    found = cut(INPUT, [message(f"See {data} " + "rose " * 1_000)])
    assert data[:40] not in json.dumps(found.value)
    assert texts(found.value)[0].startswith("See [binary data, ")


def test_one_message_with_too_many_values_is_pruned(cut: Callable[..., Cut]) -> None:
    """Thousands of parts or arguments are pruned inside the message."""
    parts = [{"type": "text", "content": f"part {number}"} for number in range(5_000)]
    call = {
        "type": "tool_call",
        "id": "c1",
        "name": "price",
        "arguments": {f"k{number}": [number, "x" * 50] for number in range(5_000)},
    }
    found = cut(INPUT, [{"role": "user", "parts": parts}])
    assert found.value[0]["parts"][0] == {"type": "text", "content": "part 0"}
    assert len(found.value[0]["parts"]) > 5
    found = cut(INPUT, [{"role": "assistant", "parts": [call]}])
    part = found.value[0]["parts"][0]
    assert (part["type"], part["name"]) == ("tool_call", "price")
    assert part["arguments"]["k0"] == [0, "x" * 50]


def test_a_tools_arguments_are_cut(cut: Callable[..., Cut]) -> None:
    """An object keeps its first entries and remains an object."""
    arguments = {f"k{number}": "x" * 100 for number in range(1_000)}
    found = cut(ARGUMENTS, arguments)
    assert "k0" in found.value
    assert found.length == 100_000


def test_content_that_cannot_fit_is_empty(cut: Callable[..., Cut]) -> None:
    """If nothing fits, the attribute is an empty value of its type, and counted."""
    kept = ("role", "name", "id", "finish_reason", "mime_type", "uri", "file_id")
    messages = [{**dict.fromkeys(kept, "\x00" * 5_000), "parts": []}]
    found = cut(INPUT, messages)
    assert found.value == []
    assert found.dropped == 1


@pytest.mark.parametrize("character", ["\x00", '"', "\\", "\ud800", "é", "🌹"])
def test_escapes_are_counted(character: str, cut: Callable[..., Cut]) -> None:
    """Characters that JSON escapes do not exceed the limit."""
    found = cut(INPUT, [message(character * 5_000)])
    assert texts(found.value)[0]


def test_huge_texts_are_not_read_whole(content_of: Callable[..., Content]) -> None:
    """The memory of a cut does not grow with the length of a text."""
    content = content_of(content_limit=LIMIT)
    huge = "玫瑰 " * 3_000_000
    report(content, INPUT)
    tracemalloc.start()
    found = content.call([huge])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts(found[INPUT])[0].startswith("玫瑰 玫瑰 ")
    assert peak < 1_000_000


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
ANY = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
TEXT = st.text() | st.text(min_size=200, max_size=2_000)
PARTS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "reasoning"]), "content": TEXT}
    ),
    st.fixed_dictionaries(
        {"type": st.just("tool_call"), "name": TEXT, "arguments": ANY},
        optional={"id": TEXT | st.none()},
    ),
    st.fixed_dictionaries({"type": st.just("tool_call_response"), "response": ANY}),
    st.fixed_dictionaries(
        {
            "type": st.just("server_tool_call"),
            "name": TEXT,
            "server_tool_call": st.fixed_dictionaries({"type": TEXT, "input": ANY}),
        }
    ),
    st.fixed_dictionaries(
        {"type": st.just("uri"), "modality": TEXT, "uri": TEXT},
        optional={"mime_type": TEXT},
    ),
    st.fixed_dictionaries({"type": st.just("odd"), "more": ANY}),
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": TEXT, "parts": st.lists(PARTS), "finish_reason": TEXT},
        optional={"name": TEXT},
    )
)


@pytest.mark.slow
def test_messages_fit_limit_and_schema(cut: Callable[..., Cut]) -> None:
    """Cut messages are within the limit and valid against their schema."""

    @settings(max_examples=60)
    @given(messages=MESSAGES, limit=st.sampled_from([1_024, 1_500, 4_096]))
    def send(messages: list[dict[str, Any]], limit: int) -> None:
        for name in (INPUT, OUTPUT):
            found = cut(name, messages, limit)
            assert len(found.value) + found.dropped == len(messages)

    send()


@pytest.mark.slow
def test_objects_fit_limit_and_schema(cut: Callable[..., Cut]) -> None:
    """A tool's arguments remain an object within the limit."""

    @given(arguments=st.dictionaries(TEXT, ANY))
    def send(arguments: dict[str, Any]) -> None:
        assert isinstance(cut(ARGUMENTS, arguments).value, dict)

    send()


PART = {"type": "text", "content": "x"}
MESSAGE = {"role": "user", "parts": [PART]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (INPUT, [MESSAGE], True),
        (INPUT, [{**MESSAGE, "name": None}], True),
        (INPUT, [{**MESSAGE, "name": 3}], False),
        (INPUT, ["x"], False),
        (INPUT, [{"parts": []}], False),
        (INPUT, [{"role": "user"}], False),
        (INPUT, "x", False),
        (INPUT, [{"role": "u", "parts": ["x"]}], False),
        (INPUT, [{"role": "u", "parts": [{"type": "text"}]}], False),
        (INPUT, [{"role": "u", "parts": [{"type": "odd"}]}], True),
        (
            INPUT,
            [
                {
                    "role": "u",
                    "parts": [
                        {
                            "type": "server_tool_call",
                            "name": "n",
                            "server_tool_call": {},
                        }
                    ],
                }
            ],
            False,
        ),
        (
            INPUT,
            [{"role": "u", "parts": [{"type": "tool_call", "name": "n", "id": 3}]}],
            False,
        ),
        (OUTPUT, [MESSAGE], False),
        (OUTPUT, [{**MESSAGE, "finish_reason": "stop"}], True),
        (INSTRUCTIONS, [PART], True),
        (INSTRUCTIONS, PART, False),
        (DEFINITIONS, [{"type": "function", "name": "n"}], True),
        (DEFINITIONS, [{"type": "function"}], False),
        (ARGUMENTS, {}, True),
        (RESULT, [], False),
        (DOCUMENTS, [{"id": "1", "score": 0.5}], True),
        (DOCUMENTS, [{"id": 1}], False),
        (QUERY, "x", True),
        (QUERY, 3, False),
    ],
)
def test_value_without_required_field_has_wrong_shape(
    name: str,
    value: Any,
    expected: bool,  # noqa: FBT001
    content_of: Callable[..., Content],
) -> None:
    """A value without a field that its schema requires is refused."""
    content = content_of(lambda of, _: value if of == name else None, strict=False)
    found = report(content, name)
    assert found == ({name: value} if expected else {})
    assert content.errors == ({} if expected else {"redact": 1})
