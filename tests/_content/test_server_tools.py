"""Tools that a provider runs itself are parts of their own."""

from __future__ import annotations

from otel_callbacks._content.jsonable import Work
from otel_callbacks._content.parts import (
    SERVER_CALLS,
    SERVER_RESULTS,
    server_call,
    server_result,
)


def test_a_call_of_the_providers_tool() -> None:
    """The tool's name and what it was given are kept, whoever says it."""
    block: dict[object, object] = {
        "type": "server_tool_use",
        "id": "s1",
        "name": "web_search",
        "input": {"query": "roses"},
    }
    assert server_call("server_tool_use", block, Work()) == {
        "type": "server_tool_call",
        "id": "s1",
        "name": "web_search",
        "server_tool_call": {"type": "web_search", "input": {"query": "roses"}},
    }


def test_a_call_is_named_by_its_type() -> None:
    """OpenAI's calls have no name but their type."""
    block: dict[object, object] = {"action": {"query": "roses"}}
    assert server_call("web_search_call", block, Work()) == {
        "type": "server_tool_call",
        "name": "web_search",
        "server_tool_call": {"type": "web_search", "action": {"query": "roses"}},
    }


def test_a_result_of_the_providers_tool() -> None:
    """A result names its call and holds what came back."""
    block: dict[object, object] = {"tool_use_id": "s1", "content": [{"url": "u"}]}
    assert server_result("web_search_tool_result", block, Work()) == {
        "type": "server_tool_call_response",
        "id": "s1",
        "server_tool_call_response": {
            "type": "web_search_tool",
            "content": [{"url": "u"}],
        },
    }


def test_calls_and_results_are_told_apart() -> None:
    """No type of block is both."""
    assert not set(SERVER_CALLS) & set(SERVER_RESULTS)
