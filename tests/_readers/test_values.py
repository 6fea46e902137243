"""Single values of a payload are read so that they are safe as attributes."""

from __future__ import annotations

import enum
import json
import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from reporting import Reporter

from otel_callbacks import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_TEXT = 1_024
MOST_STRINGS = 64
LARGEST_INTEGER = 2**53


@pytest.fixture
def text(request_of: Any) -> Callable[[object], str]:
    """Return what reads a text: a model's name, which may be of any class."""
    return lambda value: request_of({"model": value}).get("gen_ai.request.model", "")


@pytest.fixture
def number(request_of: Any) -> Callable[[object], Any]:
    """Return what reads a number."""
    name = "gen_ai.request.temperature"
    return lambda value: request_of({"temperature": value}).get(name)


@pytest.fixture
def integer(request_of: Any) -> Callable[[object], Any]:
    """Return what reads an integer."""
    return lambda value: request_of({"seed": value}).get("gen_ai.request.seed")


@pytest.fixture
def count(request_of: Any) -> Callable[[object], Any]:
    """Return what reads a count."""
    name = "gen_ai.request.max_tokens"
    return lambda value: request_of({"max_tokens": value}).get(name)


@pytest.fixture
def strings(request_of: Any) -> Callable[[object], Any]:
    """Return what reads a list of strings."""
    name = "gen_ai.request.stop_sequences"
    return lambda value: request_of({"stop": value}).get(name)


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
def test_text_keeps_names_that_only_look_odd(value: str, text: Any) -> None:
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
def test_text_has_no_secrets(value: str, expected: str, text: Any) -> None:
    """Of a URL, host and path remain; of a key, its prefix."""
    assert text(value) == expected


@pytest.mark.parametrize("value", ["月季多少钱一束?", "🌹", "naïve"])
def test_text_keeps_every_script(value: str, text: Any) -> None:
    """Chinese and emoji are unchanged."""
    assert text(value) == value


def test_text_replaces_lone_surrogates(text: Any) -> None:
    """A lone surrogate would lose the exporter's whole batch."""
    assert text("rose \ud83c here") == "rose \ufffd here"


def test_text_joins_paired_surrogates(text: Any) -> None:
    """Two surrogates from JSON become one character."""
    assert text("\ud83c\udf39") == "🌹"


@pytest.mark.parametrize("letter", ["a", "花", "\ud800"])
def test_text_is_bounded(letter: str, text: Any) -> None:
    """Ten million characters are cut to the limit."""
    assert len(text(letter * 10_000_000)) == LONGEST_TEXT


def test_text_of_a_string_enum_is_a_plain_string(text: Any) -> None:
    """Exporters check exact types."""
    found = text(_Model.SMALL)
    assert (found, type(found)) == ("gpt-4o-mini", str)


@pytest.mark.parametrize("value", [None, 3, 1.5, True, b"x", ["x"], {"x": 1}, object()])
def test_text_of_anything_else_is_empty(value: object, text: Any) -> None:
    """Only a string is text."""
    assert text(value) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.2, 0.2), (1, 1.0), (0, 0.0), (-2.0, -2.0), (_Celsius(1.5), 1.5)],
)
def test_number_is_a_double(value: object, expected: float, number: Any) -> None:
    """Integers become doubles, the type in the conventions."""
    found = number(value)
    assert (found, type(found)) == (expected, float)


@pytest.mark.parametrize(
    "value", [True, None, "0.2", math.nan, math.inf, -math.inf, 10**400, [0.2]]
)
def test_number_of_anything_else_is_none(value: object, number: Any) -> None:
    """No boolean, no text, and no value that is not finite."""
    assert number(value) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(12, 12), (0, 0), (-1, -1), (12.0, 12), (2**53, 2**53)]
)
def test_integer_takes_whole_numbers(
    value: object, expected: int, integer: Any
) -> None:
    """Protobuf's JSON has no integers, so a whole double is one."""
    found = integer(value)
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize(
    "value", ["12", True, 1.5, math.nan, math.inf, 2**53 + 1, -(2**63), 1e300, None]
)
def test_integer_of_anything_else_is_none(value: object, integer: Any) -> None:
    """Beyond 53 bits a sum could exceed the exporter's 64."""
    assert integer(value) is None


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (7, 7), (7.0, 7)])
def test_count_takes_integers_from_zero(
    value: object, expected: int, count: Any
) -> None:
    """Zero is a valid count."""
    assert count(value) == expected


@pytest.mark.parametrize(
    "value", [-1, -1.0, None, "12", True, 1.5, math.nan, 10**30, [1]]
)
def test_count_of_anything_else_is_none(value: object, count: Any) -> None:
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
def test_strings_are_a_tuple(
    value: object, expected: tuple[str, ...], strings: Any
) -> None:
    """Other items are left out."""
    assert strings(value) == expected


@pytest.mark.parametrize("value", [None, [], "", 3, {"a": 1}, [1, 2], {"a"}])
def test_no_strings_are_none(value: object, strings: Any) -> None:
    """An empty list is no attribute."""
    assert strings(value) is None


def test_strings_are_bounded(strings: Any) -> None:
    """A long list is cut to the limit."""
    assert strings(["x"] * 100_000) == ("x",) * MOST_STRINGS


def test_every_value_is_read_into_exportable_value(request_of: Any) -> None:
    """Any value becomes valid UTF-8, a finite double, 53 bits, or None."""

    @given(ANYTHING)
    def report(value: object) -> None:
        names = ("model", "temperature", "seed", "max_tokens", "stop")
        found = request_of(dict.fromkeys(names, value))
        model = found.get("gen_ai.request.model", "")
        assert len(model.encode()) <= 4 * LONGEST_TEXT
        assert math.isfinite(found.get("gen_ai.request.temperature", 0.0))
        assert abs(found.get("gen_ai.request.seed", 0)) <= LARGEST_INTEGER
        assert 0 <= found.get("gen_ai.request.max_tokens", 0) <= LARGEST_INTEGER
        assert all(
            item.encode() for item in found.get("gen_ai.request.stop_sequences", ())
        )

    report()


class Unreadable:
    """A value whose ``__class__`` raises, as lazy values do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError


def read_again(value: object) -> Any:
    """Return a value as it is on a span if another one beside it cannot be read.

    Then the whole payload is copied, without values of foreign classes.
    """
    settings = Settings(
        strict=False, capture_content="SPAN_ONLY", content_limit=1_000_000
    )
    block = {"type": "own", "value": value}
    messages = [{"role": "user", "content": [block]}, Unreadable()]
    with Reporter(settings) as reporter:
        attributes = reporter.call(messages)["attributes"]
        assert reporter.errors == {"content": 1}
    (message,) = json.loads(attributes["gen_ai.input.messages"])
    return message["parts"][0]["value"]


class Other(UUID):
    """As of packages for newer versions of UUIDs."""

    def __str__(self) -> str:
        raise AssertionError


class Own(dict[object, object]):
    """A dictionary of an app's own class."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Own(a=Own(b=object()), c=(1, 2.5)), {"a": {"b": None}, "c": [1, 2.5]}),
        ({1: 2, "a": True}, {"a": True}),
        ([SimpleNamespace(key="sk"), str], [None, None]),
        ({"id": Other(int=7)}, {"id": str(UUID(int=7))}),
    ],
)
def test_a_second_reading_has_no_foreign_values(value: Any, expected: Any) -> None:
    """Keys that are no texts, and objects that may hold a key, are left out."""
    assert read_again(value) == expected


def test_a_second_reading_is_bounded() -> None:
    """Neither a deep value nor a long one is copied whole."""
    whole: object = ["x"]
    for _ in range(50):
        whole = [whole, whole]
    assert "x" not in str(read_again(whole))
    many = read_again([[]] * 20_000)
    assert (len(many), many[0], many[-1]) == (10_000, [], None)
    assert len(read_again(dict.fromkeys(map(str, range(20_000)), 1))) == 10_000


class Kind(type):
    """A metaclass whose classes cannot be hashed or compared."""

    __hash__ = None  # type: ignore[assignment]


class Row(metaclass=Kind):
    """A value whose class cannot be looked up in a table."""


class Hostile(LLMResult):
    """A result whose field cannot be read."""

    def __getattribute__(self, name: str) -> Any:
        if name == "llm_output":
            raise RuntimeError
        return super().__getattribute__(name)


def test_an_answer_that_cannot_be_read_is_read_again() -> None:
    """LangChain's objects hold only data, and are copied; a stream's stay merged."""
    metadata = {"id": "a", "finish_reason": "stopstop", "raw": Row()}
    chunk = AIMessageChunk(content="Tulips.", response_metadata=metadata)
    result = Hostile(generations=[[ChatGenerationChunk(message=chunk)]])
    with Reporter(Settings(strict=False)) as reporter:
        attributes = reporter.call([], result)["attributes"]
        assert reporter.errors == {"response": 1}
    assert attributes["gen_ai.response.id"] == "a"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
