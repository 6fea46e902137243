"""The shape that each attribute of content must have: the schemas' required entries.

What an app's redaction gives back is held against it, and so is what cutting leaves.
https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv

if TYPE_CHECKING:
    from collections.abc import Callable

_ANY: Final = object
_PARTS: Final[dict[str, dict[str, type]]] = {
    "text": {"content": str},
    "reasoning": {"content": str},
    "tool_call": {"name": str},
    "tool_call_response": {"response": _ANY},
    "server_tool_call": {"name": str, "server_tool_call": dict},
    "server_tool_call_response": {"server_tool_call_response": dict},
    "blob": {"modality": str, "content": str},
    "file": {"modality": str, "file_id": str},
    "uri": {"modality": str, "uri": str},
}
"""A part's type -> what it must have beside it."""

_TYPED: Final = ("server_tool_call", "server_tool_call_response")
_TEXT_OR_NONE: Final = ("id", "mime_type")


def has_shape(name: str, value: Any) -> bool:
    """Say whether a value may be sent as an attribute of content.

    Args:
        name: The attribute's name.
        value: What is to be sent.
    """
    check = _SHAPES.get(name)
    return check is None or check(value)


def _is_part(part: Any) -> bool:
    """Check one part of a message."""
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    for key, kind in _PARTS.get(part["type"], {}).items():
        if key not in part or not isinstance(part[key], kind):
            return False
        if key in _TYPED and not isinstance(part[key].get("type"), str):
            return False
    if part["type"] not in _PARTS:
        return True
    return all(isinstance(part.get(key), str | None) for key in _TEXT_OR_NONE)


def _are_parts(value: Any) -> bool:
    """Check a list of parts."""
    return isinstance(value, list) and all(map(_is_part, value))


def _is_message(message: Any) -> bool:
    """Check one message."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("name"), str | None)
        and _are_parts(message.get("parts"))
    )


def _are_messages(value: Any) -> bool:
    """Check messages that go in."""
    return isinstance(value, list) and all(map(_is_message, value))


def _are_answers(value: Any) -> bool:
    """Check messages that come out, which say why they ended."""
    return _are_messages(value) and all(
        isinstance(message.get("finish_reason"), str) for message in value
    )


def _are_definitions(value: Any) -> bool:
    """Check definitions of tools."""
    return isinstance(value, list) and all(
        isinstance(tool, dict)
        and isinstance(tool.get("type"), str)
        and isinstance(tool.get("name"), str)
        for tool in value
    )


def _are_documents(value: Any) -> bool:
    """Check documents of a retriever."""
    return isinstance(value, list) and all(
        isinstance(document, dict)
        and isinstance(document.get("id"), str | None)
        and isinstance(document.get("score"), int | float | None)
        for document in value
    )


_SHAPES: Final[dict[str, Callable[[Any], bool]]] = {
    semconv.INPUT_MESSAGES: _are_messages,
    semconv.OUTPUT_MESSAGES: _are_answers,
    semconv.SYSTEM_INSTRUCTIONS: _are_parts,
    semconv.TOOL_DEFINITIONS: _are_definitions,
    semconv.TOOL_CALL_ARGUMENTS: lambda value: isinstance(value, dict),
    semconv.TOOL_CALL_RESULT: lambda value: isinstance(value, dict),
    semconv.RETRIEVAL_DOCUMENTS: _are_documents,
    semconv.RETRIEVAL_QUERY_TEXT: lambda value: isinstance(value, str),
    semconv.EXCEPTION_MESSAGE: lambda value: isinstance(value, str),
}
