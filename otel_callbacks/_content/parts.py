"""Read content blocks of LangChain and of providers into parts of messages.

The parts are those of the conventions' schemas. A block without such a part becomes a
generic part with the block's own type.
https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._content.jsonable import (
    MORE,
    digest,
    parsed,
    plain,
    split_data_url,
    without_credentials,
)
from otel_callbacks._data import by_item, data_beside
from otel_callbacks._readers.values import first_text, has_value, mapping, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks._content.jsonable import Work

_TABLES: Final = data_beside(__file__)
_TYPES: Final = by_item(_TABLES["types"])
_BY_KEY: Final = by_item(_TABLES["keys"])
_MEDIA: Final[dict[str, tuple[str, ...]]] = _TABLES["media"]


Part = dict[str, Any]
"""One part of a message."""


def _part(kind: str, *ids: object) -> Part:
    """Return the beginning of a part: its type, and the first id that is a text."""
    part: Part = {"type": kind}
    if found := next(filter(None, map(text, ids)), ""):
        part["id"] = found
    return part


def server_call(kind: str, block: dict[object, object], work: Work) -> Part:
    """Read a call of a server tool, which the provider itself runs."""
    part = _part("server_tool_call", block.get("id"))
    name = text(block.get("name")) or kind.removesuffix("_call")
    part["name"] = name
    keys = ("args", "input", "arguments", "action", "queries", "code")
    fields = {
        key: plain(parsed(block[key]), work)
        for key in keys
        if has_value(block.get(key))
    }
    part["server_tool_call"] = {"type": name, **fields}
    return part


def server_result(kind: str, block: dict[object, object], work: Work) -> Part:
    """Read the result of a server tool."""
    ids = block.get("tool_use_id"), block.get("tool_call_id")
    part = _part("server_tool_call_response", *ids)
    keys = ("output", "content", "outcome", "status")
    fields = {key: plain(block[key], work) for key in keys if key in block}
    part["server_tool_call_response"] = {"type": kind.removesuffix("_result"), **fields}
    return part


_TEXT_KEYS: Final = ("text", "content", "data")
_REASONING_KEYS: Final = ("reasoning", "thinking", "text", "content")
_NOISE: Final = frozenset({"index", "cache_control", "signature", "encrypted_content"})
"""Keys without meaning in a generic part."""


def content_parts(content: object, work: Work) -> list[Part]:
    """Read a message's content."""
    if isinstance(content, str):
        return [{"type": "text", "content": str.__str__(content)}] if content else []
    if isinstance(content, dict):
        content = [content]
    if not isinstance(content, list | tuple):
        return []
    blocks = islice(content, max(work.remaining, 0))
    return [part for block in blocks for part in _block_parts(block, work)]


def tool_call_part(call: dict[object, object], work: Work) -> Part:
    """Read a tool call in LangChain's or in a provider's shape."""
    inner = mapping(call.get("function")) or call
    arguments = next(
        (inner[k] for k in ("args", "arguments", "input") if has_value(inner.get(k))),
        {},
    )
    part = _part("tool_call", *map(call.get, ("call_id", "id", "toolUseId")))
    part["name"] = text(inner.get("name"))
    part["arguments"] = plain(parsed(arguments), work)
    return part


def response_part(identifier: object, content: object, work: Work) -> Part:
    """Read a tool's result."""
    read = content_parts if isinstance(content, list | tuple) else plain
    return {**_part("tool_call_response", identifier), "response": read(content, work)}


def _block_parts(block: object, work: Work) -> Iterator[Part]:
    """Read one content block, nearly always as one part."""
    if work.remaining <= 0:
        return
    work.remaining -= 1
    if isinstance(block, str):
        yield {"type": "text", "content": str.__str__(block)}
        return
    fields = mapping(block)
    kind = text(fields.get("type"))
    if not kind:
        key = next((key for key in _BY_KEY if key in fields), "")
        kind = _BY_KEY.get(key, "unknown")
        fields = fields if kind == "text" else mapping(fields.get(key)) or fields
    if kind == "non_standard" and isinstance(fields.get("value"), dict):
        yield from _block_parts(fields["value"], work)
        return
    read = _READERS.get(_TYPES.get(kind, ""))
    part = read(kind, fields, work) if read is not None else None
    yield part if part is not None else _generic(kind, fields, work)


def _of_text(
    kind: str, block: dict[object, object], keys: tuple[str, ...]
) -> Part | None:
    """Read the first text under one of the keys as a part of a type."""
    for key in keys:
        if isinstance(value := block.get(key), str):
            return {"type": kind, "content": str.__str__(value)}
    return None


def _reasoning(_: str, block: dict[object, object], __: Work) -> Part | None:
    """Read a block of reasoning, in full or as a summary."""
    if found := _of_text("reasoning", block, _REASONING_KEYS):
        return found
    inner = mapping(block.get("reasoning_content")) or mapping(
        block.get("reasoningText")
    )
    if isinstance(inner.get("text"), str):
        return {"type": "reasoning", "content": inner["text"]}
    if isinstance(summary := block.get("summary"), list | tuple):
        entries = [mapping(each).get("text") for each in summary]
        texts = [str.__str__(each) for each in entries if isinstance(each, str)]
        return {"type": "reasoning", "content": "\n".join(texts)}
    return None


def _tool_result(_: str, block: dict[object, object], work: Work) -> Part:
    """Read a block that is a tool's result."""
    keys = ("tool_use_id", "tool_call_id", "call_id", "toolUseId", "id", "name")
    identifier = next((block[key] for key in keys if has_value(block.get(key))), None)
    results = ("content", "output", "response")
    content = next((block[key] for key in results if key in block), None)
    return response_part(identifier, content, work)


def _medium(kind: str, block: dict[object, object], work: Work) -> Part | None:
    """Read a block of media, or a document that is text."""
    source = mapping(block.get("source"))
    if text(source.get("type")) == "text":
        return _of_text("text", source, _TEXT_KEYS)
    if isinstance(source.get("content"), list):
        return _generic("document_content", source, work)
    return media_part(kind, block)


def _compaction(_: str, block: dict[object, object], __: Work) -> Part:
    """Read the summary that replaces older messages."""
    part = _part("compaction", block.get("id"))
    if isinstance(content := block.get("content"), str):
        part["content"] = str.__str__(content)
    return part


def _generic(kind: str, block: dict[object, object], work: Work) -> Part:
    """Convert a block without a part in the schemas."""
    kept = {key: value for key, value in block.items() if key not in _NOISE}
    copied = plain(kept, work)
    fields = copied if isinstance(copied, dict) else {"content": MORE}
    # A part with a type of the schemas must have its fields, which this one lacks.
    name = kind if kind not in _TYPES and kind not in _RESERVED else f"other_{kind}"
    return {**fields, "type": name}


_RESERVED: Final = frozenset(
    {"blob", "uri", "tool_call_response", "server_tool_call_response"}
)
_READERS: Final[dict[str, Callable[[str, dict[object, object], Work], Part | None]]] = {
    "text": lambda _, block, __: _of_text("text", block, _TEXT_KEYS),
    "reasoning": _reasoning,
    "tool_call": lambda _, block, work: tool_call_part(block, work),
    "tool_result": _tool_result,
    "server_call": server_call,
    "server_result": server_result,
    "image": _medium,
    "audio": _medium,
    "video": _medium,
    "file": _medium,
    # The schemas have no part for it.
    "refusal": lambda kind, block, _: _of_text(kind, block, ("refusal",)),
    "compaction": _compaction,
}
"""The readers of blocks; one returns None if a block lacks the fields of its type."""

_MODALITIES: Final = ("image", "audio", "video")
"""Other blocks with data are documents, unless their MIME type is more specific."""

_DEEPEST: Final = 3


def media_part(kind: str, block: dict[object, object]) -> dict[str, Any] | None:
    """Read a medium: by its URL, its file id or its data."""
    places = _places(block, _DEEPEST)
    known = _TYPES.get(kind, "")
    modality = known if known in _MODALITIES else ""
    mime = first_text(_MEDIA["mime"], *places)
    if not mime and modality and (form := first_text(("format",), *places)):
        mime = f"{modality}/{form}"
    head = _head(modality, mime)
    for place in places:
        for key in _MEDIA["url"]:
            url = place.get(key)
            if isinstance(url, str) and url:
                return _by_url(url, modality, mime)
        for key in _MEDIA["file"]:
            if name := text(place.get(key)):
                return {"type": "file", **head, "file_id": name}
        for key in _MEDIA["data"]:
            data = place.get(key)
            if isinstance(data, str | bytes | bytearray) and data:
                if isinstance(data, str) and data.startswith("data:"):
                    return _by_url(data, modality, mime)
                data = data if isinstance(data, str) else bytes(data)
                return {"type": "blob", **head, "content": "", **digest(data)}
    return None


def _head(modality: str, mime: str) -> dict[str, str]:
    """Return the fields that all parts of media have."""
    kind = mime.partition("/")[0]
    known = kind if kind in _MODALITIES else "document"
    head = {"modality": modality or known}
    return {"mime_type": mime, **head} if mime else head


def _by_url(url: str, modality: str, mime: str) -> dict[str, Any]:
    """Read a medium with a URL, which may hold the data itself."""
    inline = split_data_url(url)
    if inline is None:
        return {"type": "uri", **_head(modality, mime), "uri": without_credentials(url)}
    own, data = inline
    head = _head(modality, text(own) or mime)
    return {"type": "blob", **head, "content": "", **digest(data)}


def _places(block: dict[object, object], depth: int) -> list[dict[object, object]]:
    """Return the dictionaries that may hold the medium's fields."""
    places = [block]
    if depth:
        for key in _MEDIA["nested"]:
            if isinstance(block.get(key), dict):
                places += _places(mapping(block[key]), depth - 1)
    return places
