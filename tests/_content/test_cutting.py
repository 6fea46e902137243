"""Content is cut to its limit, keeps its schema's shape, with bounded work."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.cutting import cut, has_shape, size_of, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1_024
INPUT = semconv.INPUT_MESSAGES


def message(text: str, role: str = "user") -> dict[str, Any]:
    """Return a message of one text."""
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def texts(messages: list[dict[str, Any]]) -> list[str]:
    """Return the texts of messages."""
    return [part["content"] for each in messages for part in each["parts"]]


def test_content_that_fits_is_unchanged() -> None:
    """Short content is unchanged, without a note."""
    messages = [message("玫瑰 🌹"), message("Tulips?")]
    found = cut(INPUT, messages, LIMIT)
    assert found.value == messages
    assert (found.length, found.dropped) == (0, 0)


def test_the_longest_text_is_shortened_first() -> None:
    """A long text is shortened; short ones beside it are unchanged."""
    messages = [
        message("Be kind.", "system"),
        message("x " * 5_000),
        message("And now?"),
    ]
    found = cut(INPUT, messages, LIMIT)
    first, second, third = texts(found.value)
    assert (first, third) == ("Be kind.", "And now?")
    assert second.startswith("x x x")
    kept = second.partition("…")[0]
    assert second == f"{kept}…[+{10_000 - len(kept)} characters]"
    assert LIMIT * 3 // 4 < size_of(found.value) <= LIMIT
    assert (found.length, found.dropped) == (10_016 + 4 * 3 + 4 + 6 + 4, 0)


def test_the_newest_messages_are_kept() -> None:
    """If shortened texts do not fit, the oldest messages are dropped and counted."""
    messages = [message(f"Question {number}") for number in range(100)]
    found = cut(INPUT, messages, LIMIT)
    kept = texts(found.value)
    assert kept[-1] == "Question 99"
    assert kept == texts(messages)[-len(kept) :]
    assert found.dropped == 100 - len(kept)
    assert len(kept) > 10


def test_the_first_documents_are_kept() -> None:
    """A retriever returns the best documents first."""
    documents = [{"id": str(number), "content": "rose " * 20} for number in range(100)]
    found = cut(semconv.RETRIEVAL_DOCUMENTS, documents, LIMIT)
    assert [each["id"] for each in found.value][:2] == ["0", "1"]
    assert found.dropped == 100 - len(found.value)


def test_a_text_is_cut_between_characters() -> None:
    """Characters of several bytes are not split."""
    found = cut(semconv.RETRIEVAL_QUERY_TEXT, "玫瑰🌹" * 1_000, LIMIT)
    assert found.value.startswith("玫瑰🌹玫瑰🌹")
    assert size_of(found.value) <= LIMIT


def test_lone_surrogates_become_valid() -> None:
    """Text that is not UTF-8 does not lose the export of a whole batch."""
    found = cut(INPUT, [message("a\ud800b \ud83c\udf39")], LIMIT)
    assert texts(found.value) == ["a\ufffdb 🌹"]


def test_data_in_text_is_replaced_before_shortening() -> None:
    """No piece of base64 remains from a cut in its middle."""
    data = base64.b64encode(hashlib.sha512(b"rose").digest() * 500).decode()
    found = cut(INPUT, [message(f"See {data} " + "rose " * 1_000)], LIMIT)
    assert data[:40] not in to_json(found.value)
    assert texts(found.value)[0].startswith("See [binary data, ")


def test_one_message_with_too_many_values_is_pruned() -> None:
    """Thousands of parts or arguments are pruned inside the message."""
    parts = [{"type": "text", "content": f"part {number}"} for number in range(5_000)]
    call = {
        "type": "tool_call",
        "id": "c1",
        "name": "price",
        "arguments": {f"k{number}": [number, "x" * 50] for number in range(5_000)},
    }
    found = cut(INPUT, [{"role": "user", "parts": parts}], LIMIT)
    assert found.value[0]["parts"][0] == {"type": "text", "content": "part 0"}
    assert len(found.value[0]["parts"]) > 5
    found = cut(INPUT, [{"role": "assistant", "parts": [call]}], LIMIT)
    part = found.value[0]["parts"][0]
    assert (part["type"], part["name"]) == ("tool_call", "price")
    assert part["arguments"]["k0"] == [0, "x" * 50]
    assert size_of(found.value) <= LIMIT


def test_a_tools_arguments_are_cut() -> None:
    """An object keeps its first entries and remains an object."""
    arguments = {f"k{number}": "x" * 100 for number in range(1_000)}
    found = cut(semconv.TOOL_CALL_ARGUMENTS, arguments, LIMIT)
    assert "k0" in found.value
    assert size_of(found.value) <= LIMIT
    assert found.length == 100_000


def test_content_that_cannot_fit_is_empty() -> None:
    """If nothing fits, the attribute is an empty value of its type, and counted."""
    messages = [{"role": "user", "parts": [], "x" * 5_000: 1}]
    messages[0]["role"] = "\x00" * 5_000
    found = cut(INPUT, messages, 64)
    assert found.value == []
    assert found.dropped == 1


@pytest.mark.parametrize("character", ["\x00", '"', "\\", "\ud800", "é", "🌹"])
def test_escapes_are_counted(character: str) -> None:
    """Characters that JSON escapes do not exceed the limit."""
    found = cut(INPUT, [message(character * 5_000)], LIMIT)
    assert size_of(found.value) <= LIMIT
    assert texts(found.value)[0]


def test_huge_texts_are_not_read_whole() -> None:
    """The work of a cut does not grow with the length of a text."""

    class Counted(str):
        """Counts the characters that are read."""

        __slots__ = ()
        read = 0

        def __getitem__(self, key: Any) -> str:
            piece = super().__getitem__(key)
            Counted.read += len(piece)
            return piece

        def encode(self, *args: Any, **options: Any) -> bytes:
            Counted.read += len(self)
            return super().encode(*args, **options)

    huge = Counted("玫瑰 " * 1_000_000)
    found = cut(INPUT, [message(huge)], LIMIT)
    assert size_of(found.value) <= LIMIT
    assert 0 < Counted.read < 50 * LIMIT


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
@settings(max_examples=60)
@given(messages=MESSAGES, limit=st.sampled_from([1_024, 1_500, 4_096]))
def test_messages_fit_limit_and_schema(
    messages: list[dict[str, Any]], limit: int, check_schema: Callable[[str, Any], None]
) -> None:
    """Cut messages are within the limit and valid against their schema."""
    for name in (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES):
        found = cut(name, messages, limit)
        assert size_of(found.value) <= limit
        check_schema(name, found.value)
        assert has_shape(name, found.value)
        assert len(found.value) + found.dropped == len(messages)


@pytest.mark.slow
@given(arguments=st.dictionaries(TEXT, ANY))
def test_objects_fit_limit_and_schema(
    arguments: dict[str, Any], check_schema: Callable[[str, Any], None]
) -> None:
    """A tool's arguments remain an object within the limit."""
    found = cut(semconv.TOOL_CALL_ARGUMENTS, arguments, LIMIT)
    assert size_of(found.value) <= LIMIT
    check_schema(semconv.TOOL_CALL_ARGUMENTS, found.value)


PART = {"type": "text", "content": "x"}
MESSAGE = {"role": "user", "parts": [PART]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (semconv.INPUT_MESSAGES, [MESSAGE], True),
        (semconv.INPUT_MESSAGES, [{**MESSAGE, "name": None}], True),
        (semconv.INPUT_MESSAGES, [{**MESSAGE, "name": 3}], False),
        (semconv.INPUT_MESSAGES, ["x"], False),
        (semconv.INPUT_MESSAGES, [{"parts": []}], False),
        (semconv.INPUT_MESSAGES, [{"role": "user"}], False),
        (semconv.INPUT_MESSAGES, "x", False),
        (semconv.INPUT_MESSAGES, [{"role": "u", "parts": ["x"]}], False),
        (semconv.INPUT_MESSAGES, [{"role": "u", "parts": [{"type": "text"}]}], False),
        (semconv.INPUT_MESSAGES, [{"role": "u", "parts": [{"type": "odd"}]}], True),
        (
            semconv.INPUT_MESSAGES,
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
            semconv.INPUT_MESSAGES,
            [{"role": "u", "parts": [{"type": "tool_call", "name": "n", "id": 3}]}],
            False,
        ),
        (semconv.OUTPUT_MESSAGES, [MESSAGE], False),
        (semconv.OUTPUT_MESSAGES, [{**MESSAGE, "finish_reason": "stop"}], True),
        (semconv.SYSTEM_INSTRUCTIONS, [PART], True),
        (semconv.SYSTEM_INSTRUCTIONS, PART, False),
        (semconv.TOOL_DEFINITIONS, [{"type": "function", "name": "n"}], True),
        (semconv.TOOL_DEFINITIONS, [{"type": "function"}], False),
        (semconv.TOOL_CALL_ARGUMENTS, {}, True),
        (semconv.TOOL_CALL_RESULT, [], False),
        (semconv.RETRIEVAL_DOCUMENTS, [{"id": "1", "score": 0.5}], True),
        (semconv.RETRIEVAL_DOCUMENTS, [{"id": 1}], False),
        (semconv.RETRIEVAL_QUERY_TEXT, "x", True),
        (semconv.RETRIEVAL_QUERY_TEXT, 3, False),
        ("another.attribute", 3, True),
    ],
)
def test_value_without_required_field_has_wrong_shape(
    name: str,
    value: Any,
    expected: bool,  # noqa: FBT001
) -> None:
    """A value without a field that its schema requires is refused."""
    assert has_shape(name, value) is expected
