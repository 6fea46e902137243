"""How many tokens go in, at most, before the provider has counted them.

Only for what a budget reserves, and for what a call is worth that never said its
usage; where the provider says its number, that is what counts.

The weights hold for the counts of four tokenizers in ``tests/data/token_counts.json``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any, Final, NamedTuple

from langchain_core.messages import BaseMessage

from otel_callbacks._records import Estimate

FRAME: Final = 4
"""Tokens that mark where a message begins and ends, and whose it is."""

IMAGE: Final = 1_600
"""Tokens of an image: Anthropic's most for one of usual size, OpenAI's is 1,445.
https://docs.claude.com/en/docs/build-with-claude/vision"""

SMALL_IMAGE: Final = 85
"""Tokens of an image whose detail is ``low``.
https://platform.openai.com/docs/guides/images-vision"""

SECOND_OF_AUDIO: Final = 32
"""Tokens of a second of audio: Gemini's, OpenAI's is 10.
https://ai.google.dev/gemini-api/docs/audio"""

TOOL_PROMPT: Final = 530
"""Tokens that Anthropic adds where there are tools, at most.
https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview"""

_UNKNOWN_AUDIO: Final = 60
"""Seconds of audio of which only an address is known."""
_BYTES_A_SECOND: Final = 2_000
"""Of speech that is packed tightly (16 kbit/s)."""
_BYTES_A_SECOND_PLAIN: Final = 16_000
"""Of a WAV file of 8 kHz, 16 bits."""
_BYTES_A_TOKEN: Final = 10
"""Of a file: a page of PDF has 20 kB and 2,000 tokens."""
_AN_ADDRESS: Final = 500
"""Bytes; what is shorter is an id or an address, and no audio."""
_BASE64: Final = 3 / 4
_DEEPEST: Final = 24
_LONG_WORD: Final = 14

_RANDOM: Final = 0.75
"""Tokens of a letter or digit where they are in no order that a tokenizer knows."""

_RUNS: Final = re.compile(r"[A-Za-z0-9+/_-]{40,}")
_CAPITALS: Final = re.compile(r"[A-Z]{2,}")
_PIECES: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_DIGITS: Final = re.compile(r"[0-9]| (?=[0-9])")
_MARKS: Final = re.compile(r"[!-/:-@\[-`{-~]")
_GAPS: Final = re.compile(r"\s{2,}|[\t\n\r\x0b\x0c\x00-\x08\x0e-\x1f\x7f]")

_WEIGHTS: Final = (
    (0x058F, 1.0),  # Latin with accents, Greek, Cyrillic, Armenian
    (0x07FF, 1.5),  # Hebrew, Arabic
    (0x0FFF, 2.0),  # Indic scripts, Thai
    (0x200F, 3.0),
    (0x2027, 1.0),  # dashes, quotation marks
    (0x2FFF, 3.0),
    (0x30FF, 1.5),  # kana, Chinese punctuation
    (0x4DFF, 3.0),
    (0x9FFF, 2.0),  # Chinese characters
    (0xABFF, 3.0),
    (0xD7A3, 2.0),  # Hangul
    (0xFEFF, 3.0),
    (0xFF5E, 2.0),  # full-width letters and punctuation
    (0xFFFF, 3.0),
    (0x1F9FF, 3.0),  # emoji
    (0x10FFFF, 4.0),
)
"""The last character of a range -> tokens for one; the bytes of UTF-8 are the most."""

_SHARES: Final = 4
"""In how many steps the share of a class of characters counts for a prompt's shape."""


class _Parts(NamedTuple):
    """The most tokens that go in, by what they are of."""

    words: float = 0
    digits: float = 0
    marks: float = 0
    others: float = 0
    schemas: float = 0
    media: float = 0

    def estimate(self) -> Estimate:
        """Return all of them, and how much of the prompt each class is."""
        whole = sum(self) or 1
        shape = tuple(round(part * _SHARES / whole) for part in self)
        return Estimate(max(math.ceil(whole), 1), shape)

    def plus(self, other: _Parts) -> _Parts:
        """Return the sum."""
        return _Parts(*map(float.__add__, map(float, self), map(float, other)))


NOTHING: Final = _Parts()


def prompt_estimate(payload: object, parameters: object = None) -> Estimate:
    """Estimate what goes in, rather too many than too few."""
    try:
        parts = payload if type(payload) is list else [payload]
        whole = NOTHING
        for part in parts:
            whole = whole.plus(_message(part))
        return whole.plus(_schemas(parameters)).estimate()
    except Exception:  # noqa: BLE001 -- an estimate is not worth a failure
        return _by_size(payload).estimate()


def text_tokens(text: object) -> int:
    """Estimate a text, rather too many than too few."""
    return _text(text).estimate().tokens if isinstance(text, str) and text else 0


def output_tokens(result: object) -> int:
    """Estimate what a model has given back."""
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


def _by_size(payload: object) -> _Parts:
    """Estimate what cannot be read by the messages that there are."""
    return _Parts(marks=FRAME * (len(payload) if type(payload) is list else 1))


def _message(message: object) -> _Parts:
    """Estimate one message, or one text."""
    if isinstance(message, str):
        return _text(message)
    if not isinstance(message, BaseMessage):
        return _value(message)
    found = _Parts(marks=FRAME).plus(_content(message.content))
    for calls in (
        getattr(message, "tool_calls", None),
        getattr(message, "invalid_tool_calls", None),
        message.additional_kwargs.get("function_call"),
    ):
        if calls:
            found = found.plus(_value(calls))
    return found


def _content(content: object) -> _Parts:
    """Estimate what a message holds: a text, or parts of several kinds."""
    if isinstance(content, str):
        return _text(content)
    found = NOTHING
    for part in content if isinstance(content, list) else ():
        found = found.plus(_part(part) if isinstance(part, dict) else _value(part))
    return found


def _part(part: dict[Any, Any]) -> _Parts:
    """Estimate one part of a message by its type."""
    kind = part.get("type")
    kind = f"{kind} {part.get('mime_type', '')}" if isinstance(kind, str) else ""
    if "image" in kind:
        inner = part.get("image_url")
        detail = inner.get("detail") if isinstance(inner, dict) else part.get("detail")
        return _Parts(media=SMALL_IMAGE if detail == "low" else IMAGE)
    if "audio" in kind:
        return _Parts(media=_seconds(part) * SECOND_OF_AUDIO)
    if any(word in kind for word in ("file", "video", "document", "media")):
        return _Parts(media=max(_bytes(part) / _BYTES_A_TOKEN, IMAGE))
    if kind.strip() == "text":
        return _text(part.get("text"))
    if kind.strip() == "tool_result":
        return _content(part.get("content")).plus(_Parts(marks=FRAME))
    return _value(part)


def _seconds(part: dict[Any, Any]) -> float:
    """Estimate how long audio is by its size."""
    size = _bytes(part)
    if size < _AN_ADDRESS:
        return _UNKNOWN_AUDIO
    inner = part.get("input_audio")
    kind = inner.get("format") if isinstance(inner, dict) else part.get("mime_type")
    is_plain = isinstance(kind, str) and "wav" in kind
    return size / (_BYTES_A_SECOND_PLAIN if is_plain else _BYTES_A_SECOND)


def _bytes(part: object, depth: int = 3) -> float:
    """Return the size of what a part holds as base64; its longest text."""
    if isinstance(part, str):
        return len(part) * _BASE64
    if isinstance(part, dict) and depth:
        return max((_bytes(value, depth - 1) for value in part.values()), default=0)
    return 0


_SCHEMAS: Final = (
    *("tools", "functions", "response_format", "text", "format", "toolConfig"),
    *("tool_config", "output_config", "output_format", "ls_structured_output_format"),
)
"""Parameters that hold schemas, which count as text of the prompt."""

_KEPT: Final = 64
_known: dict[int, tuple[object, _Parts]] = {}
"""Estimates of the tools that models hold; the object is kept, so its id is its own."""


def _schemas(parameters: object) -> _Parts:
    """Estimate the tools and the schemas of an answer."""
    found = NOTHING
    if not isinstance(parameters, dict):
        return found
    for name in _SCHEMAS:
        value = parameters.get(name)
        if value is not None and name in parameters:
            found = found.plus(_remembered(value))
    kind = parameters.get("_type")
    if found is not NOTHING and isinstance(kind, str) and "openai" not in kind:
        found = found.plus(_Parts(schemas=TOOL_PROMPT))
    return found


def _remembered(value: object) -> _Parts:
    """Estimate a schema, once for each object that holds it."""
    known = _known.get(id(value))
    if known is not None and known[0] is value:
        return known[1]
    found = _Parts(schemas=sum(_value(value)))
    if len(_known) >= _KEPT:
        _known.clear()
    _known[id(value)] = value, found
    return found


def _value(value: object, depth: int = _DEEPEST) -> _Parts:
    """Estimate a value as JSON, with the marks that hold it together."""
    if isinstance(value, str):
        return _text(value).plus(_Parts(marks=2))
    if isinstance(value, bool | None):
        return _Parts(words=1)
    if isinstance(value, int | float):
        return _text(f"{value!s:.40}")
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
        found = found.plus(_value(schema(), depth - 1))
    return found


def _text(text: object) -> _Parts:
    """Estimate a text by the classes of its characters."""
    if not isinstance(text, str):
        return NOTHING
    words = _words(text)
    for run in _RUNS.findall(text):
        digits = len(_DIGITS.findall(run))
        words += max(len(run) * _RANDOM - _words(run) - digits, 0)
    marks = len(_MARKS.findall(text)) + len(_GAPS.findall(text))
    digits = len(_DIGITS.findall(text))
    others = 0.0
    if not text.isascii():
        for letter, count in Counter(text).items():
            if letter > "\x7f":
                others += _weight(ord(letter)) * count
    return _Parts(words, digits, marks, others)


def _words(text: str) -> float:
    """Estimate the letters of ASCII: a token for two, and one for a short word."""
    sizes = Counter(map(len, _PIECES.findall(text)))
    words = sum(
        (size * _RANDOM if size > _LONG_WORD else size // 2 or 1) * count
        for size, count in sizes.items()
    )
    return words + sum(map(len, _CAPITALS.findall(text))) / 4


def _weight(point: int) -> float:
    """Return the tokens of a character that is not ASCII."""
    return next(weight for last, weight in _WEIGHTS if point <= last)
