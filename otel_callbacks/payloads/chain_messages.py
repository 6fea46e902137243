"""Messages in what agents and workflows are given and give back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._readers.values import mapping
from otel_callbacks.payloads.messages import (
    final_message,
    input_messages,
    is_message,
)
from otel_callbacks.payloads.plain_json import plain

if TYPE_CHECKING:
    from otel_callbacks.payloads.messages import Message
    from otel_callbacks.payloads.plain_json import Work

_MESSAGES: Final = "messages"
_STATE: Final = "state"
_STOP: Final = "stop"


def messages_in(inputs: object, work: Work) -> tuple[list[Message], int]:
    """Read what an agent or a workflow is given.

    Args:
        inputs: A chain's inputs.
        work: How much may be read.

    Returns:
        The messages, and how many older ones were not read. Inputs without messages
        are one message of the user's, with the state as its part.
    """
    said = _messages_of(inputs)
    if said is not None:
        return input_messages(said, work)
    if inputs is None or inputs == {}:
        return [], 0
    return [{"role": "user", "parts": [_state(inputs, work)]}], 0


def messages_out(outputs: object, work: Work) -> list[Message]:
    """Read what an agent or a workflow gave back: its last message.

    Args:
        outputs: A chain's outputs.
        work: How much may be read.
    """
    said = _messages_of(outputs)
    if said is None or isinstance(outputs, str):
        if outputs is None or outputs == {}:
            return []
        part = _state(outputs, work)
        return [{"role": "assistant", "parts": [part], "finish_reason": _STOP}]
    last = said[-1:] if isinstance(said, list | tuple) else [said]
    read = [final_message(each, work) for each in last]
    return [message for message in read if message is not None]


def _messages_of(state: object) -> Any:
    """Find the messages in a state, or a message in their place."""
    if isinstance(state, str) or (
        is_message(state) and _MESSAGES not in _fields(state)
    ):
        return state
    if isinstance(state, list | tuple):
        return state if state and all(map(_is_said, state)) else None
    said = _fields(state).get(_MESSAGES)
    if isinstance(said, str) or is_message(said):
        return said
    return said if isinstance(said, list | tuple) and said else None


def _is_said(value: object) -> bool:
    """Say whether an item of a list is a message in one of its forms."""
    return is_message(value) or (
        isinstance(value, tuple) and len(value) == 2  # noqa: PLR2004 -- a pair
    )


def _fields(state: object) -> dict[Any, Any]:
    """Return the entries of a state that is a dictionary or an object."""
    if isinstance(state, dict):
        return mapping(state)
    update = getattr(state, "update", None)  # LangGraph's Command
    if isinstance(update, dict):
        return update
    return mapping(getattr(state, "__dict__", None))


def _state(state: object, work: Work) -> dict[str, Any]:
    """Read a state that holds no messages."""
    if isinstance(state, str):
        return {"type": "text", "content": str.__str__(state)}
    return {"type": _STATE, "content": plain(state, work)}
