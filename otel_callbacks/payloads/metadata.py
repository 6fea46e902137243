"""What an application says about a run: its conversation, user, node and tags.

All of it goes to spans and none to labels: these values are without bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from otel_callbacks import _semconv as semconv
from otel_callbacks.payloads.values import LONGEST_TEXT, integer, strings, text

if TYPE_CHECKING:
    from otel_callbacks._records import AttributeValue

_CONVERSATION_KEYS: Final = ("conversation_id", "thread_id", "session_id")
"""The first that is set is the conversation: ``thread_id`` is LangGraph's name."""

_TEXTS: Final = (
    ("session_id", semconv.SESSION_ID),
    ("user_id", semconv.USER_ID),
    ("langgraph_node", semconv.LANGGRAPH_NODE),
)

_OWN_TAGS: Final = ("seq:step:", "graph:step:", "map:key:", "langsmith:")
"""LangChain's own tags: the span tree says the same."""


def identifier(value: object) -> str:
    """Read an id that an application chose.

    Args:
        value: Anything; a string, an integer or a UUID counts.

    Returns:
        The id, or empty.
    """
    if type(value) is str:
        return text(value)
    if type(value) is int:
        return str(value) if value.bit_length() <= LONGEST_TEXT else ""
    if isinstance(value, UUID):
        return text(str(value))
    return text(value)


def add_metadata(
    attributes: dict[str, AttributeValue],
    metadata: object,
    tags: object,
) -> None:
    """Add what the run's metadata and tags say to its span attributes.

    Args:
        attributes: Span attributes, changed in place.
        metadata: The run's metadata as LangChain handed it over.
        tags: The run's tags.
    """
    if isinstance(metadata, dict):
        _add_conversation(attributes, metadata)
        for key, attribute in _TEXTS:
            if key in metadata and (value := identifier(metadata[key])):
                attributes[attribute] = value
        step = metadata.get("langgraph_step")
        if step is not None and (step := integer(step)) is not None:
            attributes[semconv.LANGGRAPH_STEP] = step
    if tags and (words := strings(tags)):
        own = [tag for tag in words if not tag.startswith(_OWN_TAGS)]
        if own:
            attributes[semconv.RUN_TAGS] = tuple(own)


def _add_conversation(
    attributes: dict[str, AttributeValue], metadata: dict[object, object]
) -> None:
    """Add the conversation, if one is named."""
    for key in _CONVERSATION_KEYS:
        if key in metadata and (conversation := identifier(metadata[key])):
            attributes[semconv.CONVERSATION_ID] = conversation
            return
