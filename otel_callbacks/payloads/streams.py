"""What tells the parts of a stream, and one start's payload from another's."""

from __future__ import annotations

from typing import Any, Final

# Of the events of ``stream_events(version="v3")`` the ones that bring output; the
# others mark where a message and its blocks begin and end, at the same moments.
_CHUNK: Final = "content-block-delta"


def is_chunk(event: Any) -> bool:
    """Say whether a protocol event brings output of the model.

    Args:
        event: An event of ``stream_events(version="v3")``.
    """
    return isinstance(event, dict) and event.get("event") == _CHUNK


def first_of(batch: Any) -> object:
    """Return the payload of a start: LangChain wraps each prompt in a new list.

    Args:
        batch: The list of one prompt or one list of messages.
    """
    return batch[0] if isinstance(batch, list) and batch else batch
