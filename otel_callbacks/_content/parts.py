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
from otel_callbacks._readers.values import has_value, mapping, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks._content.jsonable import Work

SERVER_CALLS: Final = (
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_use",
    "mcp_tool_use",
    "mcp_call",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "computer_call",
    "executable_code",
)
"""Types of blocks that call a server tool."""

SERVER_RESULTS: Final = (
    "server_tool_result",
    "code_execution_result",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "mcp_tool_result",
)
"""Types of blocks that hold a server tool's result."""


def server_call(kind: str, block: dict[object, object], work: Work) -> dict[str, Any]:
    """Read a call of a server tool, which the provider itself runs."""
    part: dict[str, Any] = {"type": "server_tool_call"}
    if identifier := text(block.get("id")):
        part["id"] = identifier
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


def server_result(kind: str, block: dict[object, object], work: Work) -> dict[str, Any]:
    """Read the result of a server tool."""
    part: dict[str, Any] = {"type": "server_tool_call_response"}
    if found := text(block.get("tool_use_id")) or text(block.get("tool_call_id")):
        part["id"] = found
    keys = ("output", "content", "outcome", "status")
    fields = {key: plain(block[key], work) for key in keys if key in block}
    part["server_tool_call_response"] = {"type": kind.removesuffix("_result"), **fields}
    return part


_TEXTS: Final = ("text", "input_text", "output_text", "text-plain", "plain_text")
_TEXT_KEYS: Final = ("text", "content", "data")
_REASONING: Final = ("reasoning", "thinking", "reasoning_content")
_REASONING_KEYS: Final = ("reasoning", "thinking", "text", "content")
_TOOL_CALLS: Final = (
    "tool_call",
    "tool_call_chunk",
    "invalid_tool_call",
    "tool_use",
    "function_call",
    "custom_tool_call",
)
_TOOL_RESULTS: Final = (
    "tool_result",
    "tool_call_response",
    "function_call_output",
    "function_response",
)
_MEDIA: Final = (
    "image",
    "image_url",
    "input_image",
    "image_generation_call",
    "audio",
    "input_audio",
    "output_audio",
    "video",
    "video_url",
    "file",
    "input_file",
    "document",
    "media",
)
# Bedrock's Converse API and Google's parts have one key instead of a type.
_BY_KEY: Final = {
    "toolUse": "tool_use",
    "toolResult": "tool_result",
    "reasoningContent": "reasoning",
    "functionCall": "function_call",
    "functionResponse": "function_response",
    "executableCode": "executable_code",
    "codeExecutionResult": "code_execution_result",
    "inlineData": "media",
    "fileData": "media",
    "image": "image",
    "video": "video",
    "document": "document",
    "audio": "audio",
    "text": "text",
}
_NOISE: Final = frozenset({"index", "cache_control", "signature", "encrypted_content"})
"""Keys without meaning in a generic part."""

Part = dict[str, Any]
"""One part of a message."""


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
    part: Part = {"type": "tool_call"}
    ids = (text(call.get(key)) for key in ("call_id", "id", "toolUseId"))
    if found := next(filter(None, ids), ""):
        part["id"] = found
    part["name"] = text(inner.get("name"))
    part["arguments"] = plain(parsed(arguments), work)
    return part


def response_part(identifier: object, content: object, work: Work) -> Part:
    """Read a tool's result."""
    part: Part = {"type": "tool_call_response"}
    if found := text(identifier):
        part["id"] = found
    if isinstance(content, list | tuple):
        part["response"] = content_parts(content, work)
    else:
        part["response"] = plain(content, work)
    return part


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
        fields = fields if kind in _TEXTS else mapping(fields.get(key)) or fields
    if kind == "non_standard" and isinstance(fields.get("value"), dict):
        yield from _block_parts(fields["value"], work)
        return
    read = _READERS.get(kind)
    part = read(kind, fields, work) if read is not None else None
    yield part if part is not None else _generic(kind, fields, work)


def _of_text(
    kind: str, block: dict[object, object], keys: tuple[str, ...]
) -> Part | None:
    """Read the first text under one of the keys as a part of a type."""
    for key in keys:
        value = block.get(key)
        if isinstance(value, str):
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
    summary = block.get("summary")
    if isinstance(summary, list | tuple):
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
    part: Part = {"type": "compaction"}
    if identifier := text(block.get("id")):
        part["id"] = identifier
    if isinstance(content := block.get("content"), str):
        part["content"] = str.__str__(content)
    return part


def _generic(kind: str, block: dict[object, object], work: Work) -> Part:
    """Convert a block without a part in the schemas."""
    kept = {key: value for key, value in block.items() if key not in _NOISE}
    copied = plain(kept, work)
    fields = copied if isinstance(copied, dict) else {"content": MORE}
    # A part with a type of the schemas must have its fields, which this one lacks.
    name = kind if kind not in _READERS and kind not in _RESERVED else f"other_{kind}"
    return {**fields, "type": name}


_RESERVED: Final = frozenset(
    {"blob", "uri", "tool_call_response", "server_tool_call_response"}
)
_READERS: Final[dict[str, Callable[[str, dict[object, object], Work], Part | None]]] = {
    **dict.fromkeys(_TEXTS, lambda _, block, __: _of_text("text", block, _TEXT_KEYS)),
    **dict.fromkeys(_REASONING, _reasoning),
    **dict.fromkeys(_TOOL_CALLS, lambda _, block, work: tool_call_part(block, work)),
    **dict.fromkeys(_TOOL_RESULTS, _tool_result),
    **dict.fromkeys(SERVER_CALLS, server_call),
    **dict.fromkeys(SERVER_RESULTS, server_result),
    **dict.fromkeys(_MEDIA, _medium),
    # The schemas have no part for it.
    "refusal": lambda kind, block, _: _of_text(kind, block, ("refusal",)),
    "compaction": _compaction,
}
"""A block's type -> its reader, which returns None if the block lacks the fields of
its type."""


_MODALITIES: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "image_generation_call": "image",
    "audio": "audio",
    "input_audio": "audio",
    "output_audio": "audio",
    "video": "video",
    "video_url": "video",
}
"""A block's type -> its modality; other blocks with data are documents."""

_MIME_MODALITIES: Final = ("image", "audio", "video")
_DATA_KEYS: Final = (
    "base64",
    "data",
    "bytes",
    "file_data",
    "b64_json",
    "result",
    "image_base64",
)
_URL_KEYS: Final = ("url", "uri", "file_uri", "fileUri", "image_url", "file_url")
_FILE_KEYS: Final = ("file_id", "fileId")
_MIME_KEYS: Final = ("mime_type", "mimeType", "media_type")
_NESTED_KEYS: Final = (
    "source",
    "image_url",
    "input_audio",
    "video_url",
    "file",
    "audio",
    "image",
    "video",
    "document",
    "inline_data",
    "inlineData",
    "file_data",
    "fileData",
    "bytes",
)
"""Keys under which providers nest a medium's fields."""

_DEEPEST: Final = 3


def media_part(kind: str, block: dict[object, object]) -> dict[str, Any] | None:
    """Read a medium: by its URL, its file id or its data."""
    places = _places(block, _DEEPEST)
    mime = _text_of(places, _MIME_KEYS)
    form = _text_of(places, ("format",))
    medium = _Medium(_MODALITIES.get(kind, ""), mime, form)
    for place in places:
        for key in _URL_KEYS:
            url = place.get(key)
            if isinstance(url, str) and url:
                return _by_url(url, medium)
        for key in _FILE_KEYS:
            if name := text(place.get(key)):
                return {"type": "file", **medium.head(), "file_id": name}
        for key in _DATA_KEYS:
            data = place.get(key)
            if isinstance(data, str | bytes | bytearray) and data:
                if isinstance(data, str) and data.startswith("data:"):
                    return _by_url(data, medium)
                data = data if isinstance(data, str) else bytes(data)
                return {"type": "blob", **medium.head(), "content": "", **digest(data)}
    return None


class _Medium:
    """The modality and the MIME type of a block's medium."""

    def __init__(self, modality: str, mime: str, form: str) -> None:
        if not mime and modality and form:
            mime = f"{modality}/{form}"
        self.modality, self.mime = modality, mime

    def head(self, mime: str = "") -> dict[str, str]:
        """Return the fields that all parts of media have."""
        mime = mime or self.mime
        kind = mime.partition("/")[0]
        known = kind if kind in _MIME_MODALITIES else "document"
        head = {"modality": self.modality or known}
        return {"mime_type": mime, **head} if mime else head


def _by_url(url: str, medium: _Medium) -> dict[str, Any]:
    """Read a medium with a URL, which may hold the data itself."""
    inline = split_data_url(url)
    if inline is None:
        uri = without_credentials(url)
        return {"type": "uri", **medium.head(), "uri": uri}
    mime, data = inline
    return {"type": "blob", **medium.head(text(mime)), "content": "", **digest(data)}


def _places(block: dict[object, object], depth: int) -> list[dict[object, object]]:
    """Return the dictionaries that may hold the medium's fields."""
    places = [block]
    if depth:
        for key in _NESTED_KEYS:
            if isinstance(block.get(key), dict):
                places += _places(mapping(block[key]), depth - 1)
    return places


def _text_of(places: list[dict[object, object]], keys: tuple[str, ...]) -> str:
    """Return the first text under one of the keys."""
    for place in places:
        for key in keys:
            if found := text(place.get(key)):
                return found
    return ""
