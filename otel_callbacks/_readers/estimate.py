"""Estimate an upper bound of a call's input tokens before the provider counts them.

Used for a budget's reservation, and for calls that end without usage. A provider's own
number always wins.

The weights hold for the counts of four tokenizers in ``tests/data/token_counts.json``.
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from operator import add
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.messages import BaseMessage

from otel_callbacks._data import data_beside
from otel_callbacks._readers.values import fields, text
from otel_callbacks._records import Estimate

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME: Final = 4
"""Tokens that mark a message's start, end and role."""

_ENDS: Final = 2
"""Tokens that mark a text's start and end, at some providers."""

IMAGE: Final = 1_600
"""Tokens of an image: Anthropic's maximum for a usual size; OpenAI's is 1,445.
https://docs.claude.com/en/docs/build-with-claude/vision"""

SMALL_IMAGE: Final = 85
"""Tokens of an image whose detail is ``low``.
https://platform.openai.com/docs/guides/images-vision"""

SECOND_OF_AUDIO: Final = 32
"""Tokens of a second of audio at Gemini; OpenAI's are 10.
https://ai.google.dev/gemini-api/docs/audio"""

PAGE: Final = 4_600
"""Tokens of a PDF page: 3,000 for its text, and one image.
https://docs.claude.com/en/docs/build-with-claude/pdf-support"""

SECOND_OF_VIDEO: Final = 300
"""Tokens of a second of video with sound, at Gemini.
https://ai.google.dev/gemini-api/docs/video-understanding"""

TOOL_PROMPT: Final = 530
"""Tokens that Anthropic adds to a request with tools, at most.
https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview"""

_UNKNOWN_LENGTH: Final = 60
"""Seconds assumed for audio or video with only an address."""
_BYTES_A_SECOND: Final = 2_000
"""Of tightly compressed speech (16 kbit/s)."""
_BYTES_A_SECOND_PLAIN: Final = 16_000
"""Of a WAV file of 8 kHz, 16 bits."""
_BYTES_OF_VIDEO: Final = 25_000
"""Of a second of tightly compressed video (200 kbit/s)."""
_BYTES_OF_PAGE: Final = 20_000
_BYTES_OF_TEXT: Final = 2
"""Of a token, in a text file."""
_LONGEST_ADDRESS: Final = 500
"""Bytes; shorter data is an id or an address."""
_BASE64: Final = 3 / 4
_DEEPEST: Final = 24
_SHORT_WORD: Final = 3
_MIDDLE_WORD: Final = 7
_LONG_WORD: Final = 14

_RANDOM: Final = 0.75
"""Tokens of a letter or digit in a random string."""

_PAGES: Final = re.compile(rb"/Type\s*/Page\b")
_TEXTS: Final = re.compile(r"text|json|csv|xml|yaml|html|markdown|\b(?:txt|md)\b")
_RUNS: Final = re.compile(r"[A-Za-z0-9+/_-]{40,}")
_CAPITALS: Final = re.compile(r"[A-Z]{2,}")
_PIECES: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_DIGITS: Final = re.compile(r"[0-9]| (?=[0-9])")
_MARKS: Final = re.compile(r"[!-/:-@\[-`{-~]")
_GAPS: Final = re.compile(
    r"\r?\n[\r\n]{0,11} {0,16}| {2,64}| $|\t{1,8}|[\r\x0b\x0c\x00-\x08\x0e-\x1f\x7f]"
)

_TABLES: Final = data_beside(__file__)
_RARE_PAIRS: Final = frozenset(
    letter + other
    for letter, followers in zip(
        ascii_lowercase, _TABLES["followers"].split(), strict=True
    )
    for other in ascii_lowercase
    if other not in followers
)
_RARE: Final = 0.95
"""Extra tokens for each rare pair of letters."""

_MIDDLE: Final = 2.0
_HEAVY: Final = 3.0
"""Weights at which a character counts for another part of the shape."""

_SHARES: Final = 4
"""Steps to which the share of a part is rounded in a prompt's shape."""


class _Parts(NamedTuple):
    """An upper bound of the input tokens, by kinds with about the same error."""

    short_words: float = 0
    words: float = 0
    long_words: float = 0
    rare: float = 0
    digits: float = 0
    marks: float = 0
    alphabets: float = 0
    scripts: float = 0
    symbols: float = 0
    schemas: float = 0
    media: float = 0

    def estimate(self) -> Estimate:
        """Return the total, with its magnitude and each part's share as the shape."""
        whole = sum(self) or 1
        tokens = max(math.ceil(whole), 1)
        size = tokens.bit_length() // 2
        return Estimate(
            tokens, (size, *(round(part * _SHARES / whole) for part in self))
        )

    def plus(self, other: _Parts) -> _Parts:
        """Return the sum of two estimates."""
        return _Parts(*map(float.__add__, map(float, self), map(float, other)))


NOTHING: Final = _Parts()


def prompt_estimate(payload: object, parameters: object = None) -> Estimate:
    """Estimate the tokens of a prompt and its tools, erring high."""
    images = _images(parameters)
    whole = _guarded(_schemas, parameters, NOTHING)
    for part in payload if type(payload) is list else [payload]:
        whole = whole.plus(_guarded(_message, part, _Parts(marks=FRAME), images))
    estimate = whole.estimate()
    best_of = parameters.get("best_of") if isinstance(parameters, dict) else None
    return estimate._replace(answers=best_of) if type(best_of) is int else estimate


def _guarded(
    read: Callable[..., _Parts], value: object, instead: _Parts, *more: object
) -> _Parts:
    """Estimate one part of a prompt, with a fallback for a part that raises."""
    try:
        return read(value, *more)
    except Exception:  # noqa: BLE001 -- an estimate is not worth a failure
        return instead


def output_tokens(result: object) -> int:
    """Estimate the output tokens of a model's result."""
    found, frames = NOTHING, 0
    try:
        batches = getattr(result, "generations", None)
        for generations in batches if isinstance(batches, list | tuple) else ():
            for generation in generations:
                message = getattr(generation, "message", None)
                part = getattr(generation, "text", "") if message is None else message
                found = found.plus(_message(part))
                frames += message is not None
    except Exception:  # noqa: BLE001 -- an estimate is not worth a failure
        return 0
    return max(math.ceil(sum(found)) - frames * FRAME, 0)


class _Images(NamedTuple):
    """Tokens of an image, and of an image with detail ``low``."""

    usual: int = IMAGE
    low: int = SMALL_IMAGE


_USUAL: Final = _Images()


def _images(parameters: object) -> _Images:
    """Return the tokens of an image at the requested model."""
    if not isinstance(parameters, dict):
        return _USUAL
    name = parameters.get("model", parameters.get("model_name"))
    if isinstance(name, str):
        for model, tokens in _TABLES["images"].items():
            if model in name:
                return _Images(*tokens)
    kind = parameters.get("_type")
    # Only OpenAI's models have the detail.
    is_openai = not isinstance(kind, str) or "openai" in kind
    return _USUAL if is_openai else _Images(IMAGE, IMAGE)


def _message(message: object, images: _Images = _USUAL) -> _Parts:
    """Estimate one message, or one text."""
    if isinstance(message, str):
        return _text(message).plus(_Parts(marks=_ENDS))
    if not isinstance(message, BaseMessage):
        return _value(message)
    found = _Parts(marks=FRAME).plus(_content(message.content, images))
    for more in (
        message.name,
        getattr(message, "tool_calls", None),
        getattr(message, "invalid_tool_calls", None),
        message.additional_kwargs.get("function_call"),
        message.additional_kwargs.get("reasoning_content"),
    ):
        if more:
            found = found.plus(_value(more))
    return found


def _content(content: object, images: _Images) -> _Parts:
    """Estimate a message's content: a text, or a list of parts."""
    if isinstance(content, str):
        return _text(content)
    found = NOTHING
    for part in content if isinstance(content, list) else ():
        is_part = isinstance(part, dict)
        found = found.plus(_part(part, images) if is_part else _value(part))
    return found


def _part(part: dict[Any, Any], images: _Images) -> _Parts:
    """Estimate one content part by its type, which is a key in Bedrock's."""
    keys = (key for key in part if isinstance(key, str))
    kind = part.get("type", " ".join(keys))
    kind = f"{kind} {part.get('mime_type', '')}" if isinstance(kind, str) else ""
    if "image" in kind:
        inner = part.get("image_url")
        detail = inner.get("detail") if isinstance(inner, dict) else part.get("detail")
        return _Parts(media=images.low if text(detail) == "low" else images.usual)
    if "audio" in kind or "video" in kind:
        return _Parts(media=_seconds(part, kind))
    if any(word in kind for word in ("file", "document", "media")):
        return _file(part, kind)
    if kind.strip() == "text":
        return _text(part.get("text"))
    if kind.strip() == "tool_result":
        return _content(part.get("content"), images).plus(_Parts(marks=FRAME))
    return _value(part)


def _file(part: dict[Any, Any], kind: str) -> _Parts:
    """Estimate a file by its text, else by its pages."""
    document = part.get("document")  # Bedrock's
    part = document if isinstance(document, dict) else part
    inner = part.get("source", part.get("file"))
    inner = inner if isinstance(inner, dict) else {}
    for place in (part, inner):
        is_plain = isinstance(place.get("text"), str) or "content" in place
        if is_plain or text(place.get("type")) in _PLAIN:
            return _value(place)
    data = _longest(part)
    size = _size(data)
    names = (inner.get("media_type"), inner.get("filename"), part.get("format"))
    kind = f"{kind} {' '.join(map(text, names))} {data[:40]!r}"
    if _TEXTS.search(kind):
        return _Parts(media=max(size / _BYTES_OF_TEXT, IMAGE))
    # One that is named by an id or an address has a page at least.
    return _Parts(media=max(_pages(data), size / _BYTES_OF_PAGE, 1) * PAGE)


_PLAIN: Final = frozenset({"text", "content"})
"""Source types of Anthropic's documents that hold text."""


def _pages(data: str | bytes) -> int:
    """Count the pages of a PDF; compressed pages are not found."""
    if isinstance(data, str):
        try:
            data = base64.b64decode(data.rpartition(",")[2] + "==")
        except ValueError:
            return 0
    return len(_PAGES.findall(data))


def _seconds(part: dict[Any, Any], kind: str) -> float:
    """Estimate the tokens of audio or video by the length that its size suggests."""
    size = _size(_longest(part))
    known = size >= _LONGEST_ADDRESS
    if "video" in kind:
        seconds = size / _BYTES_OF_VIDEO if known else _UNKNOWN_LENGTH
        return max(seconds, 1) * SECOND_OF_VIDEO
    inner = part.get("input_audio")
    form = inner.get("format") if isinstance(inner, dict) else part.get("mime_type")
    is_plain = isinstance(form, str) and "wav" in form
    rate = _BYTES_A_SECOND_PLAIN if is_plain else _BYTES_A_SECOND
    return (size / rate if known else _UNKNOWN_LENGTH) * SECOND_OF_AUDIO


def _size(data: str | bytes) -> float:
    """Return the size of raw or base64 data in bytes."""
    return len(data) * (_BASE64 if isinstance(data, str) else 1)


def _longest(part: object, depth: int = 3) -> str | bytes:
    """Return the longest text or bytes in a part."""
    if isinstance(part, str | bytes):
        return part
    if isinstance(part, dict) and depth:
        inner = (_longest(value, depth - 1) for value in part.values())
        return max(inner, key=len, default="")
    return ""


_SCHEMAS: Final = frozenset(_TABLES["schemas"])
_SETTINGS: Final = frozenset(_TABLES["settings"])

_KEPT: Final = 64
_known: dict[int, tuple[object, _Parts]] = {}
"""Estimates of schemas by the object's id; the object is kept, so no other has it."""


def _schemas(parameters: object) -> _Parts:
    """Estimate the tools, the output schemas and the texts in the parameters."""
    found = NOTHING
    if not isinstance(parameters, dict):
        return found
    has_schemas = False
    for name, value in parameters.items():
        if type(name) is str and name in _SCHEMAS and value is not None:
            has_schemas = True
        elif name in _SETTINGS or not isinstance(value, dict | list | tuple | str):
            continue
        found = found.plus(_remembered(value))
    kind = parameters.get("_type")
    if has_schemas and isinstance(kind, str) and "openai" not in kind:
        found = found.plus(_Parts(schemas=TOOL_PROMPT))
    return found


def _remembered(value: object) -> _Parts:
    """Estimate a schema, once for each object."""
    known = _known.get(id(value))
    if known is not None and known[0] is value:
        return known[1]
    found = _Parts(schemas=sum(_value(value)))
    if len(_known) >= _KEPT:
        _known.clear()
    _known[id(value)] = value, found
    return found


def _value(value: object, depth: int = _DEEPEST) -> _Parts:
    """Estimate a value as JSON, including its punctuation."""
    if isinstance(value, str):
        return _text(value).plus(_Parts(marks=2))
    if isinstance(value, bytes):  # of an unknown type
        return _Parts(media=len(value) / _BYTES_OF_TEXT)
    if isinstance(value, bool | int | float | None):
        is_word = isinstance(value, bool | None)
        return _Parts(words=1) if is_word else _text(f"{value!s:.40}")
    found = _Parts(marks=1)
    if not depth:
        return found
    if isinstance(value, dict):
        for key, inner in value.items():
            found = found.plus(_value(key, depth - 1)).plus(_value(inner, depth - 1))
            found = found.plus(_Parts(marks=2))
    elif isinstance(value, list | tuple):
        for inner in value:
            found = found.plus(_value(inner, depth - 1)).plus(_Parts(marks=1))
    elif callable(schema := getattr(value, "model_json_schema", None)):
        # Cohere's package binds objects instead of classes.
        inner = schema() if isinstance(value, type) else fields(value)
        found = found.plus(_value(inner, depth - 1))
    return found


def _text(text: object) -> _Parts:
    """Estimate a text by the classes of its characters."""
    if not isinstance(text, str):
        return NOTHING
    words, rare = _words(text), _rare(text)
    for run in _RUNS.findall(text):
        known = sum(_words(run)) + _rare(run) + len(_DIGITS.findall(run))
        rare += max(len(run) * _RANDOM - known, 0)
    marks = len(_MARKS.findall(text)) + len(_GAPS.findall(text))
    digits = len(_DIGITS.findall(text))
    alphabets, scripts, symbols = _others(text)
    return _Parts(*words, rare, digits, marks, alphabets, scripts, symbols)


def _words(text: str) -> tuple[float, float, float]:
    """Estimate ASCII letters: a token for a short word, else for each two letters."""
    short, middle, long = 0.0, sum(map(len, _CAPITALS.findall(text))) / 4, 0.0
    for size, count in Counter(map(len, _PIECES.findall(text))).items():
        if size <= _SHORT_WORD:
            short += count
        elif size <= _MIDDLE_WORD:
            middle += size // 2 * count
        else:
            long += (size * _RANDOM if size > _LONG_WORD else size // 2) * count
    return short, middle, long


def _others(text: str) -> tuple[float, float, float]:
    """Estimate characters beyond ASCII by their weights."""
    found = [0.0, 0.0, 0.0]
    for letter, count in () if text.isascii() else Counter(text).items():
        if letter > "\x7f":
            point = ord(letter)
            weight = next(by for last, by in _TABLES["weights"] if point <= last)
            found[(weight >= _MIDDLE) + (weight >= _HEAVY)] += weight * count
    light, middle, heavy = found
    return light, middle, heavy


def _rare(text: str) -> float:
    """Estimate the extra tokens of rare pairs of letters."""
    letters = text.lower()
    pairs = Counter(map(add, letters, letters[1:]))
    return _RARE * sum(pairs[pair] for pair in _RARE_PAIRS & pairs.keys())
