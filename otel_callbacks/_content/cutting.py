"""Cut content to a number of bytes, keeping its structure, without reading all of it.

Where messages exceed the limit together, their texts are shortened, the longest first;
if that is not enough, the oldest messages are dropped. The rest keeps the schema's
shape: it is never cut in the middle of JSON. The work depends on the limit and on the
number of values, not on the length of the texts.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.jsonable import without_data

if TYPE_CHECKING:
    from collections.abc import Callable

_PARTS: Final[dict[str, dict[str, type]]] = {
    "text": {"content": str},
    "reasoning": {"content": str},
    "tool_call": {"name": str},
    "tool_call_response": {"response": object},
    "server_tool_call": {"name": str, "server_tool_call": dict},
    "server_tool_call_response": {"server_tool_call_response": dict},
    "blob": {"modality": str, "content": str},
    "file": {"modality": str, "file_id": str},
    "uri": {"modality": str, "uri": str},
}
"""A part's type -> its required fields."""

_TYPED: Final = ("server_tool_call", "server_tool_call_response")


def has_shape(name: str, value: Any) -> bool:
    """Return whether a value has the shape of its content attribute."""
    check = _SHAPES.get(name)
    return check is None or check(value)


def _is_part(part: Any) -> bool:
    """Return whether a value is a part of a message."""
    if not _has(part, type=str) or part["type"] not in _PARTS:
        return _has(part, type=str)
    required = _PARTS[part["type"]]
    return (
        required.keys() <= part.keys()
        and _has(part, id=str | None, mime_type=str | None, **required)
        and all(_has(part[key], type=str) for key in _TYPED if key in required)
    )


def _are_parts(value: Any) -> bool:
    """Return whether a value is a list of parts."""
    return isinstance(value, list) and all(map(_is_part, value))


def _has(item: Any, **kinds: Any) -> bool:
    """Return whether a value is an object with fields of these types."""
    return isinstance(item, dict) and all(
        isinstance(item.get(key), kind) for key, kind in kinds.items()
    )


def _are_messages(value: Any, **kinds: Any) -> bool:
    """Return whether a value is a list of messages with these further fields."""
    return isinstance(value, list) and all(
        _has(message, role=str, name=str | None, **kinds)
        and _are_parts(message.get("parts"))
        for message in value
    )


def _list_of(**kinds: Any) -> Callable[[Any], bool]:
    """Return a check for a list of objects with fields of these types."""
    return lambda value: (
        isinstance(value, list) and all(_has(item, **kinds) for item in value)
    )


_SHAPES: Final[dict[str, Callable[[Any], bool]]] = {
    semconv.INPUT_MESSAGES: _are_messages,
    semconv.OUTPUT_MESSAGES: partial(_are_messages, finish_reason=str),
    semconv.SYSTEM_INSTRUCTIONS: _are_parts,
    semconv.TOOL_DEFINITIONS: _list_of(type=str, name=str),
    semconv.TOOL_CALL_ARGUMENTS: lambda value: isinstance(value, dict),
    semconv.TOOL_CALL_RESULT: lambda value: isinstance(value, dict),
    semconv.RETRIEVAL_DOCUMENTS: _list_of(id=str | None, score=int | float | None),
    semconv.RETRIEVAL_QUERY_TEXT: lambda value: isinstance(value, str),
    semconv.EXCEPTION_MESSAGE: lambda value: isinstance(value, str),
}


_FLOOR: Final = 256
"""Bytes that every text keeps before items are dropped."""

_MARK: Final = 32
"""Bytes reserved for the note at the end of a shortened text."""

_SHORTEST: Final = 64
"""Bytes of each required text where a single message is too long."""

_TRIES: Final = 5
_NEWEST_LAST: Final = frozenset({semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES})
# Without these an item is meaningless or does not match its schema.
_KEPT: Final = frozenset(
    {
        *("role", "type", "name", "finish_reason", "id", "mime_type", "parts"),
        *(key for required in _PARTS.values() for key in required),
    }
)


class Cut(NamedTuple):
    """A cut value, and its size before."""

    value: Any
    length: int = 0
    """Characters of all texts before the cut; 0 if nothing was cut."""
    dropped: int = 0
    """How many messages, documents or other items were left out."""


def cut(name: str, value: Any, limit: int) -> Cut:
    """Cut a value to a limit, and replace binary data with notes."""
    if _size(value, limit) <= limit:
        whole = _copied(value, _clean, _clean)
        if size_of(whole) <= limit:
            return Cut(whole)
    before = length(value)
    room = limit
    for _ in range(_TRIES):
        left, dropped = _fit(name, value, room)
        left = _copied(left, _clean, _clean)
        if size_of(left) <= limit and has_shape(name, left):
            return Cut(left, before, dropped)
        room //= 2  # escapes and notes took more than estimated
    return Cut(type(value)(), before, len(value) if isinstance(value, list) else 0)


def size_of(value: Any) -> int:
    """Return the bytes of a value as JSON."""
    text = value if isinstance(value, str) else to_json(value)
    return len(text.encode())


def to_json(value: Any) -> str:
    """Return a value as JSON, without escaping characters beyond ASCII."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fit(name: str, value: Any, room: int) -> tuple[Any, int]:
    """Shorten texts, then drop items, until a value fits."""
    if isinstance(value, str):
        return _shorten(value, room - _MARK), 0
    if isinstance(value, dict):
        return _fit_items([value], room)[0][0], 0
    kept, dropped = _fit_items(value[::-1] if name in _NEWEST_LAST else value, room)
    return (kept[::-1] if name in _NEWEST_LAST else kept), dropped


def _fit_items(items: list[Any], room: int) -> tuple[list[Any], int]:
    """Keep the first items that fit with their texts shortened."""
    left = room - 2
    kept: list[Any] = []
    costs: list[int] = []
    for item in items:
        texts: list[int] = []
        base = _weigh(item, texts, room) + 1
        least = base + sum(min(cost, _FLOOR + _MARK) for cost in texts)
        if least > left:
            break
        left -= least
        kept.append(item)
        costs += texts
    if not kept:
        return [_prune(items[0], room - 2)], len(items) - 1
    spare = left + sum(min(cost, _FLOOR + _MARK) for cost in costs)
    level = _level(costs, spare)
    shorten = partial(_shorten, most=level)
    return [_copied(item, shorten) for item in kept], len(items) - len(kept)


def _level(costs: list[int], room: int) -> int:
    """Return the bytes to which long texts are shortened so that all texts fit."""
    for count, cost in enumerate(sorted(costs)):
        share = room // (len(costs) - count)
        if cost > share:
            return max(share - _MARK, _FLOOR)
        room -= cost
    return max(costs, default=_FLOOR)


def _weigh(value: Any, texts: list[int], most: int) -> int:
    """Return the bytes of a value without its texts, and append those of each text."""
    if isinstance(value, str):
        texts.append(_bytes(value, most))
        return 2
    if isinstance(value, dict):
        return 2 + sum(
            _bytes(key, most) + 4 + _weigh(item, texts, most)
            for key, item in value.items()
        )
    if isinstance(value, list):
        return 2 + sum(1 + _weigh(item, texts, most) for item in value)
    return len(str(value)) + 1


def _size(value: Any, most: int = 1 << 20) -> int:
    """Return the approximate bytes of a value."""
    texts: list[int] = []
    return _weigh(value, texts, most) + sum(texts)


def length(value: Any) -> int:
    """Return the characters of all texts."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(length(item) for item in value.values())
    return sum(map(length, value)) if isinstance(value, list) else 0


def _bytes(text: str, most: int) -> int:
    """Return the bytes of a text, or a lower bound if it exceeds the limit."""
    if text.isascii() or len(text) > most:
        return len(text)
    return len(text.encode(errors="surrogatepass"))


def _copied(
    value: Any, change: Callable[[str], str], key_of: Callable[[str], str] = str
) -> Any:
    """Copy a value with its texts changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {
            key_of(key): _copied(item, change, key_of) for key, item in value.items()
        }
    if type(value) is list:
        return [_copied(item, change, key_of) for item in value]
    return value


def _shorten(text: str, most: int) -> str:
    """Keep the beginning of a text, and add a note of how much is left out."""
    if _bytes(text, most) <= most:
        return text
    # Data cut in the middle has no valid digest, so it is replaced before the cut.
    window = text[: 4 * most + 4096]
    head = without_data(window, whole=len(window) == len(text))[:most]
    while head and _bytes(head, most) > most:
        head = head[: most * len(head) // max(_bytes(head, most), len(head)) - 1]
    return f"{head}…[+{len(text) - len(head)} characters]"


def _clean(text: str) -> str:
    """Return a valid text, with notes instead of binary data."""
    text = without_data(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _prune(value: Any, room: int) -> Any:
    """Cut one item that is too long even with short texts: also drop entries."""
    if isinstance(value, str):
        return _shorten(value, max(min(room - _MARK, _FLOOR), 0))
    if isinstance(value, list):
        return _prune_list(value, room)
    if isinstance(value, dict):
        return _prune_dictionary(value, room)
    return value


def _prune_list(items: list[Any], room: int) -> list[Any]:
    """Keep the first items that fit."""
    kept: list[Any] = []
    left = room - 2
    for item in items:
        pruned = _prune(item, left // 2)
        left -= _size(pruned) + 1
        if left < 0:
            break
        kept.append(pruned)
    return kept


def _prune_dictionary(entries: dict[str, Any], room: int) -> dict[str, Any]:
    """Keep the entries that its schema requires, and of the others what fits."""
    kept: dict[str, Any] = {}
    left = room - 2
    # Texts first: nested values get the room that is left.
    for key in sorted(entries, key=lambda key: isinstance(entries[key], dict | list)):
        item = entries[key]
        needed = key in _KEPT
        if isinstance(item, str):
            pruned: Any = _shorten(
                item, _SHORTEST if needed else min(_FLOOR, left // 2)
            )
        else:
            pruned = _prune(item, max(left - len(key) - 8, 0))
        size = _size(pruned) + _bytes(key, room) + 4
        if needed or size <= left:
            kept[key] = pruned
            left -= size
    return {key: kept[key] for key in entries if key in kept}
