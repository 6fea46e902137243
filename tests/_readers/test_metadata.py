"""What an application says about a run: conversation, user, node and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from otel_callbacks._readers.request import add_metadata, identifier

if TYPE_CHECKING:
    from otel_callbacks._records import AttributeValue


def _added(metadata: object, tags: object = None) -> dict[str, AttributeValue]:
    """Read metadata and tags into new attributes."""
    attributes: dict[str, AttributeValue] = {}
    add_metadata(attributes, metadata, tags)
    return attributes


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"thread_id": "t1"}, {"gen_ai.conversation.id": "t1"}),
        (
            {"session_id": "s1"},
            {"gen_ai.conversation.id": "s1", "session.id": "s1"},
        ),
        (
            {"session_id": "s1", "thread_id": "t1", "conversation_id": "c1"},
            {"gen_ai.conversation.id": "c1", "session.id": "s1"},
        ),
        (
            {"session_id": "s1", "thread_id": "t1"},
            {"gen_ai.conversation.id": "t1", "session.id": "s1"},
        ),
        ({"user_id": "u1"}, {"user.id": "u1"}),
        ({"user_id": 42}, {"user.id": "42"}),
        (
            {"thread_id": UUID(int=1)},
            {"gen_ai.conversation.id": "00000000-0000-0000-0000-000000000001"},
        ),
        (
            {
                "langgraph_step": 2,
                "langgraph_node": "agent",
                "langgraph_triggers": ("branch:to:agent",),
                "langgraph_path": ("__pregel_pull", "agent"),
                "langgraph_checkpoint_ns": "agent:8b5f",
            },
            {
                "otel_callbacks.langgraph.node": "agent",
                "otel_callbacks.langgraph.step": 2,
            },
        ),
        ({"langgraph_step": "2", "langgraph_node": 3.5}, {}),
        ({"thread_id": None, "user_id": "", "session_id": ["x"]}, {}),
        ({"ls_provider": "openai", "team": "flowers"}, {}),
        ({}, {}),
        (None, {}),
        ("thread", {}),
    ],
)
def test_metadata_become_attributes(
    metadata: object, expected: dict[str, AttributeValue]
) -> None:
    """Only known keys, and only ids of a sound type."""
    assert _added(metadata) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["flowers", "vip"], ("flowers", "vip")),
        (["seq:step:1", "flowers", "graph:step:2", "map:key:a"], ("flowers",)),
        ("flowers", ("flowers",)),
    ],
)
def test_the_applications_own_tags_are_kept(
    tags: object, expected: tuple[str, ...]
) -> None:
    """LangChain's tags say what the span tree shows."""
    assert _added(None, tags) == {"otel_callbacks.tags": expected}


@pytest.mark.parametrize("tags", [None, [], ["seq:step:1"], [3, None], 7, {"a": 1}])
def test_no_tags_are_no_attribute(tags: object) -> None:
    """There is no empty list of tags."""
    assert _added({}, tags) == {}


def test_an_id_is_bounded() -> None:
    """A number with a million digits is no id."""
    assert identifier(10**100_000) == ""
    odd: object = True
    assert identifier(odd) == ""
