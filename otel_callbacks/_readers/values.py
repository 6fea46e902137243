"""Read single values of a payload so that they are safe as attributes.

OpenTelemetry's exporters send a whole batch or nothing: one lone surrogate, or one
integer beyond 64 bits, loses every span of the batch. So every attribute's value
passes through these functions.
"""

from __future__ import annotations

import functools
import re
from decimal import Decimal
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import Generation, LLMResult
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_TEXT: Final = 1024
"""Characters kept of a name, an id or a description."""

MOST_STRINGS: Final = 64
"""Items kept of a list of strings."""

LARGEST_INTEGER: Final = 2**53
"""Beyond it Prometheus' doubles are inexact, and sums may exceed 64 bits."""


_SHORTEST_SECRET: Final = 12
_KEY_PREFIXES: Final = (
    *("sk-", "Bearer ", "bearer ", "eyJ", "AIza", "AKIA", "ghp_", "github_pat_"),
    *("glpat-", "gsk_", "hf_", "pplx-", "xai-", "xoxb-", "xoxp-"),
)
"""Prefixes of providers' keys and tokens."""

_KEY: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:(sk-|[Bb]earer |eyJ|pplx-|xai-|xox[bp]-|glpat-)[\w.*~+/=-]{6,}"
    r"|(AIza|AKIA|ghp_|github_pat_|gsk_|hf_)[\w-]*[A-Za-z0-9]{12,}[\w-]*)"
)
_USER: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY: Final = re.compile(r"(?<=://)([^?#\s]*)[?#]\S*")


def text(value: object) -> str:
    """Read a string, without keys and passwords."""
    if type(value) is str:
        if value.isascii() and len(value) <= LONGEST_TEXT:
            # A fast path: most names and ids cannot hold a secret.
            if len(value) < _SHORTEST_SECRET or not (
                ":" in value
                or "sk-" in value
                or " " in value
                or "=" in value
                or value.startswith(_KEY_PREFIXES)
            ):
                return value
            return without_secrets(value)
        return without_secrets(_valid(value[:LONGEST_TEXT]))
    if issubclass(type(value), str):  # the type: a proxy's __class__ is its target's
        return without_secrets(_valid(str.__str__(value)[:LONGEST_TEXT]))
    return ""


@functools.lru_cache(1024)
def without_secrets(value: str) -> str:
    """Return a name or an id without keys; of a URL, keep host and path.

    An app may set a URL with a password, or a key, as a model's name.
    """
    if "://" in value:
        value = _QUERY.sub(r"\1", _USER.sub("", value))
    return _KEY.sub(r"\1\2REDACTED", value)


def _valid(value: str) -> str:
    """Join paired surrogates, and replace lone ones with U+FFFD."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def number(value: object) -> float | None:
    """Read a finite double."""
    if type(value) is float:
        return value if value - value == 0 else None
    if type(value) is int:
        return float(value) if abs(value) <= LARGEST_INTEGER else None
    if issubclass(type(value), float):
        return number(float.__float__(value))  # type: ignore[arg-type]
    return None


def integer(value: object) -> int | None:
    """Read an integer of at most 53 bits."""
    if type(value) is int:
        return value if abs(value) <= LARGEST_INTEGER else None
    if type(value) is float and value.is_integer() and abs(value) <= LARGEST_INTEGER:
        return int(value)
    return None


def count(value: object) -> int | None:
    """Read a count: an integer that is not negative."""
    if type(value) is int:
        return value if 0 <= value <= LARGEST_INTEGER else None
    if value is None:
        return None
    whole = integer(value)
    return whole if whole is not None and whole >= 0 else None


def identifier(value: object) -> str:
    """Read an id that the app chose."""
    if type(value) is str:
        return text(value)
    kind = type(value)
    if issubclass(kind, int) and kind is not bool:
        whole = int.__int__(value)  # type: ignore[arg-type]
        return str(whole) if whole.bit_length() <= LONGEST_TEXT else ""
    if issubclass(kind, UUID):
        return UUID.__str__(value)  # other packages have subclasses
    return text(str(value)) if kind.__name__ in _ID_CLASSES else text(value)


_ID_CLASSES: Final = frozenset(
    {"UUID", "ULID", "ObjectId", "int32", "int64", "uint32", "uint64"}
)
"""Classes of uuid_utils, bson and numpy whose text is the id."""


def strings(value: object) -> tuple[str, ...] | None:
    """Read a list of strings."""
    if issubclass(type(value), str):
        value = (value,)
    found = [text(item) for item in items(value)[:MOST_STRINGS]]
    return tuple(filter(None, found)) or None


def has_value(value: object) -> bool:
    """Return whether a value is set: not None, not False, and no empty builtin."""
    if value is None or value is False:
        return False
    return bool(value) if id(type(value)) in _MAY_BE_EMPTY else True


# By their ids: a class's metaclass may forbid hashing or comparing.
_MAY_BE_EMPTY: Final = frozenset(map(id, (str, list, dict, tuple)))


def mapping(value: object) -> dict[object, object]:
    """Read a dictionary, without calling a subclass's own methods."""
    kind = type(value)
    if kind is dict:
        return value  # type: ignore[return-value]
    return dict(dict.items(value)) if issubclass(kind, dict) else {}  # type: ignore[arg-type]


def fields(value: object) -> dict[object, object]:
    """Read a dictionary, or the fields of a Pydantic object that are set."""
    if not issubclass(type(value), BaseModel):
        return mapping(value)
    named = object.__getattribute__(value, "__dict__").items()
    return {name: field for name, field in named if field is not None}


def items(value: object) -> list[object] | tuple[object, ...]:
    """Read a list or a tuple, without calling a subclass's own methods."""
    kind = type(value)
    if kind is list or kind is tuple:
        return value  # type: ignore[return-value]
    if issubclass(kind, list):
        return list.copy(value)  # type: ignore[arg-type]
    if issubclass(kind, tuple):
        return (*tuple.__iter__(value),)  # type: ignore[arg-type]
    return ()


def first_text(keys: tuple[str, ...], *places: dict[object, object]) -> str:
    """Return the first text under one of the keys, searching place after place."""
    for place in places:
        if place:
            for key in keys:
                value = place.get(key)
                if value is not None and (found := text(value)):
                    return found
    return ""


_SHORTEST_WORD: Final = 3


def once(value: str) -> str:
    """Return one copy of a value that LangChain concatenated from several chunks."""
    period = (value + value).find(value, 1)
    return value[:period] if period >= _SHORTEST_WORD else value


# The events of ``stream_events(version="v3")`` with output; the others mark the start
# and end of a message and its blocks, at the same moments.
_CHUNK: Final = "content-block-delta"


def is_chunk(event: Any) -> bool:
    """Return whether a protocol event holds output of the model."""
    return isinstance(event, dict) and text(event.get("event")) == _CHUNK


def first_of(batch: Any) -> object:
    """Return the payload of a start: LangChain wraps each prompt in a new list."""
    return batch[0] if isinstance(batch, list) and batch else batch


_SIMPLE: Final = frozenset(map(id, (str, int, float, bool, type(None), UUID, Decimal)))
_CONVERSIONS: Final[tuple[tuple[type, Callable[[Any], object]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (UUID, UUID.__str__),
)
_DATA_CLASSES: Final = (BaseMessage, Document, Generation, LLMResult)
_DEEPEST: Final = 12
_MOST_VALUES: Final = 10_000


class _Chunk(SimpleNamespace):
    """The copy of an object that LangChain merged from a stream's chunks."""


def plain(value: object) -> Any:
    """Copy values of Python's and LangChain's classes, and leave out others.

    For a second attempt after a value of any class raised in the first.
    """
    return _plain(value, _DEEPEST, iter(range(_MOST_VALUES)))


def _plain(value: object, depth: int, left: Iterator[int]) -> Any:
    """Copy one value, while the limits of depth and number allow."""
    kind = type(value)
    if id(kind) in _SIMPLE:
        return value
    for base, simple in _CONVERSIONS:
        if issubclass(kind, base):
            return simple(value)
    if not depth or next(left, None) is None:
        return None
    if issubclass(kind, dict):
        return {
            str.__str__(key): _plain(item, depth - 1, left)
            for key, item in islice(mapping(value).items(), _MOST_VALUES)
            if issubclass(type(key), str)
        }
    if issubclass(kind, list | tuple):
        found = items(value)[:_MOST_VALUES]
        return [_plain(item, depth - 1, left) for item in found]
    return _object(value, depth, left)


def _object(value: object, depth: int, left: Iterator[int]) -> Any:
    """Copy an object of LangChain's; others may hold a key and are not read."""
    kind = type(value)
    if not issubclass(kind, _DATA_CLASSES):
        return None
    fields = _plain(object.__getattribute__(value, "__dict__"), depth, left)
    copied = _Chunk if kind.__name__.endswith("Chunk") else SimpleNamespace
    return copied(**(fields or {}))
