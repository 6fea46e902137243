"""Single values of a payload are read so that they are safe as attributes."""

from __future__ import annotations

import enum
import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from otel_callbacks._readers.values import (
    LARGEST_INTEGER,
    LONGEST_TEXT,
    MOST_STRINGS,
    count,
    has_value,
    integer,
    mapping,
    number,
    plain,
    strings,
    text,
)

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


class _Model(enum.StrEnum):
    """An enum of strings."""

    SMALL = "gpt-4o-mini"


class _Celsius(float):
    """A subclass of float."""


def test_text_is_kept_as_it_is() -> None:
    """A short ASCII string is returned as the same object, without a copy."""
    model = "gpt-4o-mini"
    assert text(model) is model


@pytest.mark.parametrize(
    "value",
    [
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "projects/p-1/locations/europe-west1/endpoints/123",
        "https://models.example:8000/v1/llama",
        "llama3.1:8b-instruct-q4_K_M",
        "hf_search_models_and_datasets",
        "github_patterns_of_last_week",
        "task-force-of-the-shop",
        "bearer of good news, and more",
        "AIzawa, a tool for plans",
    ],
)
def test_text_keeps_names_that_only_look_odd(value: str) -> None:
    """A colon, a space or a prefix's letters alone are no secret."""
    assert text(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://u:p@h.example/m?k=1#f", "https://h.example/m"),
        ("team:sk-0123456789", "team:sk-REDACTED"),
        ("x=Bearer abcdef0123", "x=Bearer REDACTED"),
        ("hf_abcdefghijklmnopqrst", "hf_REDACTED"),
    ],
)
def test_text_has_no_secrets(value: str, expected: str) -> None:
    """Of a URL, host and path remain; of a key, its prefix."""
    assert text(value) == expected


@pytest.mark.parametrize("value", ["月季多少钱一束?", "🌹", "naïve"])
def test_text_keeps_every_script(value: str) -> None:
    """Chinese and emoji are unchanged."""
    assert text(value) == value


def test_text_replaces_lone_surrogates() -> None:
    """A lone surrogate would lose the exporter's whole batch."""
    assert text("rose \ud83c here") == "rose \ufffd here"


def test_text_joins_paired_surrogates() -> None:
    """Two surrogates from JSON become one character."""
    assert text("\ud83c\udf39") == "🌹"


@pytest.mark.parametrize("letter", ["a", "花", "\ud800"])
def test_text_is_bounded(letter: str) -> None:
    """Ten million characters are cut to the limit."""
    assert len(text(letter * 10_000_000)) == LONGEST_TEXT


def test_text_of_a_string_enum_is_a_plain_string() -> None:
    """Exporters check exact types."""
    found = text(_Model.SMALL)
    assert (found, type(found)) == ("gpt-4o-mini", str)


@pytest.mark.parametrize("value", [None, 3, 1.5, True, b"x", ["x"], {"x": 1}, object()])
def test_text_of_anything_else_is_empty(value: object) -> None:
    """Only a string is text."""
    assert text(value) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.2, 0.2), (1, 1.0), (0, 0.0), (-2.0, -2.0), (_Celsius(1.5), 1.5)],
)
def test_number_is_a_double(value: object, expected: float) -> None:
    """Integers become doubles, the type in the conventions."""
    found = number(value)
    assert (found, type(found)) == (expected, float)


@pytest.mark.parametrize(
    "value", [True, None, "0.2", math.nan, math.inf, -math.inf, 10**400, [0.2]]
)
def test_number_of_anything_else_is_none(value: object) -> None:
    """No boolean, no text, and no value that is not finite."""
    assert number(value) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(12, 12), (0, 0), (-1, -1), (12.0, 12), (2**53, 2**53)]
)
def test_integer_takes_whole_numbers(value: object, expected: int) -> None:
    """Protobuf's JSON has no integers, so a whole double is one."""
    found = integer(value)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize(
    "value", ["12", True, 1.5, math.nan, math.inf, 2**53 + 1, -(2**63), 1e300, None]
)
def test_integer_of_anything_else_is_none(value: object) -> None:
    """Beyond 53 bits a sum could exceed the exporter's 64."""
    assert integer(value) is None


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (7, 7), (7.0, 7)])
def test_count_takes_integers_from_zero(value: object, expected: int) -> None:
    """Zero is a valid count."""
    assert count(value) == expected


@pytest.mark.parametrize(
    "value", [-1, -1.0, None, "12", True, 1.5, math.nan, 10**30, [1]]
)
def test_count_of_anything_else_is_none(value: object) -> None:
    """A negative count is invalid."""
    assert count(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("###", ("###",)),
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        (["a", None, 3, "", "b"], ("a", "b")),
    ],
)
def test_strings_are_a_tuple(value: object, expected: tuple[str, ...]) -> None:
    """Other items are left out."""
    assert strings(value) == expected


@pytest.mark.parametrize("value", [None, [], "", 3, {"a": 1}, [1, 2], {"a"}])
def test_no_strings_are_none(value: object) -> None:
    """An empty list is no attribute."""
    assert strings(value) is None


def test_strings_are_bounded() -> None:
    """A long list is cut to the limit."""
    assert strings(["x"] * 100_000) == ("x",) * MOST_STRINGS


def test_mapping_is_the_dictionary_or_an_empty_one() -> None:
    """So a reader needs no check of its own."""
    payload = {"a": 1}
    assert mapping(payload) is payload
    assert [mapping(other) for other in (None, [], "x", object())] == [{}] * 4


@given(ANYTHING)
def test_every_value_is_read_into_exportable_value(value: object) -> None:
    """Any value becomes valid UTF-8, a finite double, 53 bits, or None."""
    assert len(text(value).encode()) <= 4 * LONGEST_TEXT
    assert (read := number(value)) is None or math.isfinite(read)
    assert (whole := integer(value)) is None or abs(whole) <= LARGEST_INTEGER
    assert (things := count(value)) is None or 0 <= things <= LARGEST_INTEGER
    assert all(item.encode() for item in strings(value) or ())


def test_plain_is_of_pythons_own_classes() -> None:
    """Keys that are no texts, foreign values and excess values are left out."""

    class Own(dict[object, object]):
        """A class of an app."""

    assert plain(Own(a=Own(b=object()), c=(1, 2.5))) == {
        "a": {"b": None},
        "c": [1, 2.5],
    }
    assert plain({1: 2, "a": True}) == {"a": True}
    whole: object = ["x"]
    for _ in range(50):
        whole = [whole, whole]
    assert "x" not in str(plain(whole))
    many = plain([["x"]] * 20_000)
    assert len(many) == 10_000
    assert many.count(None) == 1
    assert len(plain(dict.fromkeys(map(str, range(20_000))))) == 10_000


def test_plain_copies_langchains_objects() -> None:
    """They hold only data; another object may hold a key."""

    class Kind(type):
        """A metaclass whose classes cannot be hashed or compared."""

        __hash__ = None  # type: ignore[assignment]

    class Row(metaclass=Kind):
        """A value whose class cannot be looked up in a table."""

    message = AIMessage("Twelve.", response_metadata={"id": "a", "raw": object()})
    chunk = ChatGenerationChunk(message=AIMessageChunk(content="Tulips."))
    copied = plain(LLMResult(generations=[[ChatGeneration(message=message), chunk]]))
    whole, piece = copied.generations[0]
    assert whole.message.content == "Twelve."
    assert whole.message.response_metadata == {"id": "a", "raw": None}
    assert type(piece).__name__.endswith("Chunk")
    assert piece.message.content == "Tulips."
    assert has_value(Row())
    assert plain([SimpleNamespace(key="sk"), Row(), str]) == [None] * 3
