"""Convert foreign values to JSON types: without credentials, with bounded work."""

from __future__ import annotations

import binascii
import dataclasses
import datetime as dt
import enum
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

from langchain_core.documents import Document
from langchain_core.load.serializable import Serializable
from langchain_core.messages import BaseMessage
from pydantic import BaseModel

_CHUNK: Final = 1 << 20
"""Characters decoded at a time; base64 needs a multiple of 4."""

_FROM_URL_SAFE: Final = str.maketrans("-_", "+/", " \t\r\n")
_LINE: Final = 80
"""Base64 in emails is wrapped at 76 characters."""

_DATA_URL: Final = re.compile(
    r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,"
    r"((?:[A-Za-z0-9+/_=%-]+(?:\r?\n(?=[A-Za-z0-9+/]{32}))?)*)"
)
_RUN: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{512,}={0,2}")
"""A run of base64 characters longer than any word, path or token."""

_MIXED: Final = tuple(map(re.compile, ("[a-z]", "[A-Z]", "[0-9]")))
_LONG_ENOUGH: Final = 512

# https://opentelemetry.io/docs/specs/semconv/registry/attributes/url/ names these.
_SIGNATURES: Final = re.compile(
    r"(?i)([?&](?:AWSAccessKeyId|Signature|sig|X-Goog-Signature|X-Amz-Signature"
    r"|X-Amz-Credential|X-Amz-Security-Token|token|access_token|key|api_key)=)[^&#\s]+"
)
_USER: Final = re.compile(r"(?<=://)[^/?#@\s]+@")


def digest(data: str | bytes) -> dict[str, Any]:
    """Return the size and the SHA-256 of data."""
    sha = hashlib.sha256()
    size = 0
    try:
        for chunk in _chunks(data):
            sha.update(chunk)
            size += len(chunk)
    except ValueError:  # not base64
        raw = str(data).encode(errors="surrogatepass")
        sha, size = hashlib.sha256(raw), len(raw)
    return {"size": size, "sha256": sha.hexdigest()}


def _chunks(data: str | bytes) -> Iterator[bytes]:
    """Yield the decoded data in chunks."""
    if isinstance(data, bytes | bytearray | memoryview):
        yield bytes(data)
        return
    head = data[:_LINE]
    if "-" in data or "_" in data or head != head.translate(_FROM_URL_SAFE):
        data = data.translate(_FROM_URL_SAFE)
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        chunk += "=" * (-len(chunk) % 4)
        yield binascii.a2b_base64(chunk, strict_mode=True)


def split_data_url(url: str) -> tuple[str, str] | None:
    """Split a ``data:`` URL into its MIME type and its data."""
    if not url.startswith("data:"):
        return None
    head, _, data = url.partition(",")
    return head.removeprefix("data:").partition(";")[0], data


def without_data(text: str, *, whole: bool = True) -> str:
    """Replace each piece of base64 in a text with a note."""

    def note_of(found: re.Match[str]) -> str:
        if found.re is _RUN and not all(kind.search(found[0]) for kind in _MIXED):
            return found[0]
        if not whole and found.end() == len(found.string):
            return f"[binary data, more than {len(found[0]) // 4 * 3} bytes]"
        if found.re is _RUN:
            return note(found[0])
        return note(found[2], found[1] or "binary data")

    if "base64," in text:
        text = _DATA_URL.sub(note_of, text)
    return _RUN.sub(note_of, text) if len(text) >= _LONG_ENOUGH else text


def note(data: str | bytes, mime_type: str = "binary data") -> str:
    """Return the note that replaces data."""
    described = digest(data)
    return f"[{mime_type}, {described['size']} bytes, sha256 {described['sha256']}]"


def without_credentials(url: str) -> str:
    """Return a URL without user, password and known signatures."""
    return _SIGNATURES.sub(r"\1REDACTED", _USER.sub("REDACTED@", url))


MORE: Final = "…"
"""Replaces values that are nested too deep or exceed the work."""

UNREADABLE: Final = "<unreadable>"
"""Replaces a value that raised when it was read."""

_MOST_VALUES: Final = 20_000
_DEEPEST: Final = 24
_INT64: Final = 1 << 63
"""OTLP's integers have 64 bits."""

_LONGEST_JSON: Final = 1 << 20
"""Longest string that is parsed as JSON, in characters."""

_NAMES_LONGEST: Final = 256
_BY_THEIR_TEXT: Final = (Decimal, uuid.UUID, dt.date, dt.time, dt.timedelta, PurePath)
_CREDENTIALS: Final = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "authorization",
        "client_secret",
        "cookie",
        "password",
        "proxy_authorization",
        "refresh_token",
        "secret_key",
        "set_cookie",
        "x_api_key",
    }
)


class NotPlainError(TypeError):
    """A value has no JSON type."""


@dataclasses.dataclass(slots=True)
class Work:
    """The values that may still be read for one attribute, and the last error."""

    remaining: int = _MOST_VALUES
    strict: bool = False
    error: Exception | None = None


def plain(value: object, work: Work, depth: int = _DEEPEST) -> Any:
    """Convert a value to JSON types; strings are not copied."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    try:
        return _plain(value, work, depth)
    except Exception as error:
        if work.strict:
            raise
        work.error = error
        return UNREADABLE


def _plain(value: object, work: Work, depth: int) -> Any:
    """Convert a value that may raise when it is read."""
    if isinstance(value, int | float | str):
        return _constant(value)
    if depth <= 0 or work.remaining <= 0:
        return MORE
    if isinstance(value, Mapping):
        return _dictionary(value.items(), work, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        return note(bytes(value))
    if isinstance(value, Sequence | AbstractSet):
        return _items(value, work, depth)
    if work.strict:
        raise NotPlainError(type(value).__name__)
    return _object(value, work, depth)


def parsed(value: object) -> object:
    """Parse JSON in a string, the form of tool arguments at many providers."""
    if not isinstance(value, str) or len(value) > _LONGEST_JSON:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # truncated, not JSON, or too deep
        return str.__str__(value)


def _constant(value: float | str) -> Any:
    """Return a string, or a number that JSON and OTLP can hold, else its text."""
    if isinstance(value, enum.Enum):
        return plain(value.value, Work())
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return int(value)
        return f"an integer of {value.bit_length()} bits"
    # JSON has no infinity and no NaN.
    return float(value) if value - value == 0 else float.__repr__(value)


def _dictionary(
    pairs: Iterable[tuple[object, object]], work: Work, depth: int
) -> dict[str, Any]:
    """Convert a dictionary until the work is used up."""
    copied: dict[str, Any] = {}
    for key, value in pairs:
        if work.remaining <= 0:
            copied[MORE] = MORE
            break
        work.remaining -= 1
        name = _name(key)
        if (
            issubclass(type(value), str)
            and name.lower().replace("-", "_") in _CREDENTIALS
        ):
            copied[name] = "REDACTED"
        else:
            copied[name] = plain(value, work, depth - 1)
    return copied


def _items(values: Iterable[object], work: Work, depth: int) -> list[Any]:
    """Convert a list until the work is used up."""
    copied: list[Any] = []
    for value in values:
        if work.remaining <= 0:
            copied.append(MORE)
            break
        work.remaining -= 1
        copied.append(plain(value, work, depth - 1))
    return copied


def _name(key: object) -> str:
    """Return a dictionary's key as a string."""
    if isinstance(key, str):
        return str.__str__(key)[:_NAMES_LONGEST]
    if key is None or isinstance(key, int | float):
        return str(_constant(key) if key is not None else key)
    return f"<{type(key).__name__}>"


def _object(value: object, work: Work, depth: int) -> Any:
    """Convert an object of a data class; name others, which may hold keys."""
    if isinstance(value, enum.Enum):
        return plain(value.value, work, depth - 1)
    if isinstance(value, _BY_THEIR_TEXT):
        return str(value)
    found: Mapping[str, object]
    if isinstance(value, BaseMessage):
        found = {"type": value.type, "content": value.content}
    elif isinstance(value, Document):
        found = {"content": value.page_content, "metadata": value.metadata}
    elif isinstance(value, BaseModel) and not isinstance(value, Serializable):
        found = vars(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        found = {name: getattr(value, name, None) for name in names}
    else:
        return f"<{type(value).__name__}>"
    return _dictionary(found.items(), work, depth)
