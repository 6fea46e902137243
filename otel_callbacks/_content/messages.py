"""Read LangChain's messages into the conventions' schemas."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_callbacks._content.jsonable import Work, plain
from otel_callbacks._content.parts import (
    Part,
    content_parts,
    media_part,
    response_part,
    tool_call_part,
)
from otel_callbacks._data import by_item, data_beside
from otel_callbacks._readers.response import reason_of
from otel_callbacks._readers.values import has_value, mapping, once, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_MESSAGES: Final = "messages"

_UNFINISHED: Final = "error"
"""Finish reason of a message that an error or the caller interrupted."""

_UNKNOWN: Final = "unknown"
"""Finish reason where none is reported: the schemas require one."""

_TABLES: Final = data_beside(__file__)
_SCHEMA_REASONS: Final = by_item(_TABLES["finish_reasons"])
_ROLES: Final = by_item(_TABLES["roles"])


def messages_in(inputs: object, work: Work) -> tuple[list[Message], int]:
    """Read the input of an agent or a workflow."""
    if (raw := _messages_of(inputs)) is not None:
        return input_messages(raw, work)
    if not _has_content(inputs):
        return [], 0
    return [{"role": "user", "parts": [_state(inputs, work)]}], 0


def messages_out(outputs: object, work: Work) -> list[Message]:
    """Read the output of an agent or a workflow: its last message."""
    raw = _messages_of(outputs)
    if raw is None or isinstance(outputs, str):
        if not _has_content(outputs):
            return []
        part = _state(outputs, work)
        return [{"role": "assistant", "parts": [part], "finish_reason": "stop"}]
    last = raw[-1:] if isinstance(raw, list | tuple) else [raw]
    return [
        {**message, "finish_reason": finish_reason(None, each)}
        for each in last
        if (message := one_message(each, work)) is not None
    ]


def _has_content(state: object) -> bool:
    """Return whether a state is neither None nor an empty dictionary."""
    return has_value(state) if type(state) is dict else state is not None


def _messages_of(state: object) -> Any:
    """Return the messages of a state, or its single message, or None."""
    if isinstance(state, str) or (
        is_message(state) and _MESSAGES not in _fields(state)
    ):
        return state
    if isinstance(state, list | tuple):
        return state if state and all(map(_is_message, state)) else None
    raw = _fields(state).get(_MESSAGES)
    if isinstance(raw, str) or is_message(raw):
        return raw
    return raw if isinstance(raw, list | tuple) and raw else None


def _is_message(value: object) -> bool:
    """Return whether a list item is a message in any of its forms."""
    return is_message(value) or (
        isinstance(value, tuple) and len(value) == 2  # noqa: PLR2004 -- a pair
    )


def _fields(state: object) -> dict[Any, Any]:
    """Return the fields of a state, which is a dictionary or an object."""
    if isinstance(state, dict):
        return mapping(state)
    # LangGraph's Command has them.
    if isinstance(update := getattr(state, "update", None), dict):
        return update
    return mapping(getattr(state, "__dict__", None))


def _state(state: object, work: Work) -> dict[str, Any]:
    """Read a state without messages."""
    if isinstance(state, str):
        return {"type": "text", "content": str.__str__(state)}
    return {"type": "state", "content": plain(state, work)}


Message: TypeAlias = dict[str, Any]
"""A message of the conventions' schemas."""

SYSTEM: Final = "system"
_VALUES_PER_MESSAGE: Final = 4
"""A role, a part, its type and its content."""


def input_messages(raw: object, work: Work) -> tuple[list[Message], int]:
    """Read a model's input, the newest message first, until the work is used up."""
    entries: Sequence[object] = raw if isinstance(raw, list | tuple) else [raw]
    read: list[Message] = []
    for count, each in enumerate(reversed(entries)):
        if work.remaining <= 0:
            return read[::-1], len(entries) - count
        work.remaining -= _VALUES_PER_MESSAGE
        if (message := one_message(each, work)) is not None:
            read.append(message)
    return read[::-1], 0


def output_messages(result: object, work: Work, *, finished: bool) -> list[Message]:
    """Read a model's output, one message for each choice."""
    generations = getattr(result, "generations", None)
    if not isinstance(generations, list | tuple):
        return []
    messages = []
    for choice in chain.from_iterable(
        each for each in generations if isinstance(each, list | tuple)
    ):
        message = _choice(choice, work)
        if message["parts"] or finished:
            raw = getattr(choice, "message", None)
            reason = finish_reason(choice, raw) if finished else _UNFINISHED
            messages.append({**message, "finish_reason": reason})
    return messages


def one_message(raw: object, work: Work) -> Message | None:
    """Read one message in any of its forms."""
    if isinstance(raw, str):
        return {"role": "user", "parts": content_parts(raw, work)}
    if isinstance(raw, tuple) and len(raw) == 2:  # noqa: PLR2004 -- a pair
        return {"role": _role(text(raw[0])), "parts": content_parts(raw[1], work)}
    if isinstance(raw, dict):
        if not (role := text(raw.get("role")) or text(raw.get("type"))):
            return None
        found = {**raw, "tool_calls": _calls(raw.get("tool_calls"))}
        return _message(_role(role), found, work)
    kind = text(getattr(raw, "type", None))
    if not kind or kind == "remove" or not hasattr(raw, "content"):
        return None
    extra = mapping(getattr(raw, "additional_kwargs", None))
    return _message(
        text(getattr(raw, "role", None))
        or text(extra.get("__openai_role__"))
        or _role(kind),
        {
            "content": getattr(raw, "content", None),
            "name": getattr(raw, "name", None),
            "tool_call_id": getattr(raw, "tool_call_id", None),
            "tool_calls": [
                *_calls(getattr(raw, "tool_calls", None)),
                *_calls(getattr(raw, "invalid_tool_calls", None)),
            ]
            or _calls(extra.get("tool_calls"))
            or _calls([extra.get("function_call")]),
            "reasoning_content": extra.get("reasoning_content"),
            "refusal": extra.get("refusal"),
            "audio": extra.get("audio"),
        },
        work,
    )


def is_message(value: object) -> bool:
    """Return whether a value is a LangChain message or the dictionary of one."""
    if isinstance(value, dict):
        return "content" in value and ("role" in value or "type" in value)
    return hasattr(value, "content") and isinstance(getattr(value, "type", None), str)


def _message(role: str, raw: dict[Any, Any], work: Work) -> Message:
    """Build a message from its fields."""
    if role == "tool":
        parts = [response_part(raw.get("tool_call_id"), raw.get("content"), work)]
    else:
        parts = _parts(raw, work)
    message: Message = {"role": role, "parts": parts}
    if name := text(raw.get("name")):
        message["name"] = name
    return message


def _parts(raw: dict[Any, Any], work: Work) -> list[Part]:
    """Read content and tool calls; a call that is in both is read once."""
    calls = [tool_call_part(call, work) for call in raw["tool_calls"]]
    by_id = {call["id"]: call for call in calls if "id" in call}
    parts: list[Part] = []
    for key in ("reasoning_content", "refusal"):
        if isinstance(extra := raw.get(key), str) and extra:
            kind = key.partition("_")[0]
            parts.append({"type": kind, "content": str.__str__(extra)})
    for part in content_parts(raw.get("content"), work):
        if part["type"] == "tool_call":
            # A streamed block may lack the arguments that LangChain merged.
            if (whole := by_id.pop(part.get("id"), None)) is not None:
                calls.remove(whole)
                parts.append(whole)
                continue
            if part in calls:
                continue
        parts.append(part)
    return [*parts, *_spoken(mapping(raw.get("audio"))), *calls]


def _spoken(audio: dict[object, object]) -> Iterator[Part]:
    """Yield the speech of OpenAI's audio models, which is beside the content."""
    if isinstance(transcript := audio.get("transcript"), str) and transcript:
        yield {"type": "text", "content": str.__str__(transcript)}
    if (medium := media_part("audio", audio)) is not None:
        yield medium


def _choice(choice: object, work: Work) -> Message:
    """Read one choice of a model's response."""
    if (read := one_message(getattr(choice, "message", None), work)) is not None:
        return read
    raw = getattr(choice, "text", None)
    return {"role": "assistant", "parts": content_parts(raw, work)}


def _calls(value: object) -> list[dict[object, object]]:
    """Return the tool calls of a list."""
    if not isinstance(value, list | tuple):
        return []
    return [call for call in value if isinstance(call, dict)]


def _role(kind: str) -> str:
    """Return the conventions' role."""
    return _ROLES.get(kind, kind) or "user"


def finish_reason(generation: object, message: object) -> str:
    """Read the finish reason of a message."""
    info = mapping(getattr(generation, "generation_info", None))
    metadata = mapping(getattr(message, "response_metadata", None))
    if not (found := reason_of(metadata, info)):
        return _UNKNOWN
    reason = once(found).lower()
    return _SCHEMA_REASONS.get(reason, reason)
