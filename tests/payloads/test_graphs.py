"""Agents and workflows are told from their nodes by what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph

from otel_callbacks.payloads.graphs import graph_operation
from otel_callbacks.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture, FakeOpenAI


@tool
def price(flower: str) -> str:
    """Say what a flower costs."""
    return f"{flower}: 2 EUR"


ASKS = Reply(tool_calls=(ToolCall("price", {"flower": "rose"}),))


@pytest.mark.recent
@pytest.mark.parametrize("name", ["florist", None])
def test_agent_is_one_operation(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], name: str | None
) -> None:
    """``create_agent``'s graph is an agent, with a name or without."""
    server.script(ASKS, Reply("Two."))
    named = {"name": name} if name else {}
    agent = create_agent(chat(callbacks=None), [price], **named)
    agent.invoke({"messages": [("user", "?")]}, {"callbacks": [telemetry.handler]})
    span = telemetry.spans[0]
    assert span["name"] == ("invoke_agent florist" if name else "invoke_agent")
    assert span["kind"] == "INTERNAL"
    assert span["attributes"].get("gen_ai.agent.name") == name
    assert span["attributes"]["otel_callbacks.calls"] == 2
    assert span["attributes"]["otel_callbacks.tool_calls"] == 1
    names = [one["name"] for one in telemetry.spans if one["parent"] == span["name"]]
    assert names == ["model", "tools", "model"]
    labels = {"gen_ai_agent_name": name or ""}
    duration = "gen_ai_invoke_agent_duration_seconds_count"
    assert telemetry.value(duration, **labels) == 1
    calls = "gen_ai_invoke_agent_inference_calls"
    assert telemetry.value(f"{calls}_sum", **labels) == 2
    assert telemetry.value(f"{calls}_count", **labels) == 1
    assert telemetry.value("gen_ai_invoke_agent_tool_calls_sum", **labels) == 1
    operations = "otel_callbacks_operations_total"
    assert telemetry.value(operations, gen_ai_operation_name="invoke_agent") == 1


@pytest.mark.recent
def test_agent_in_a_node_counts_its_own_calls(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """An agent inside a workflow is an agent; the graph around it a workflow."""
    server.script(ASKS, Reply("Two."))
    agent = create_agent(chat(callbacks=None), [price], name="florist")
    graph = StateGraph(dict)
    graph.add_node("ask", lambda _: agent.invoke({"messages": [("user", "?")]}))
    graph.add_node("pack", RunnableLambda(lambda _: {"done": True}, name="inner"))
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "pack")
    graph.add_edge("pack", END)
    graph.compile(name="shop").invoke({}, {"callbacks": [telemetry.handler]})
    assert telemetry.tree().splitlines()[:3] == [
        "invoke_workflow shop",
        "  ask",
        "    invoke_agent florist",
    ]
    assert telemetry.span("pack")["attributes"].get("gen_ai.operation.name") is None
    workflow = telemetry.span("invoke_workflow shop")["attributes"]
    assert workflow["gen_ai.workflow.name"] == "shop"
    assert workflow["otel_callbacks.calls"] == 2
    duration = "gen_ai_workflow_duration_seconds_count"
    assert telemetry.value(duration, gen_ai_workflow_name="shop") == 1
    calls = "gen_ai_invoke_agent_inference_calls_sum"
    assert telemetry.value(calls, gen_ai_agent_name="florist") == 2


AGENT = {"ls_integration": "langchain_create_agent"}
IN_NODE = {"langgraph_node": "ask"}
NAMED = {"lc_agent_name": "florist"}


@pytest.mark.parametrize(
    ("name", "about", "tags", "operation"),
    [
        ("LangGraph", AGENT, [], "invoke_agent"),
        ("florist", AGENT | NAMED | IN_NODE, ["seq:step:1"], "invoke_agent"),
        ("florist", AGENT | NAMED | IN_NODE, ["graph:step:1"], ""),
        ("inner", AGENT | NAMED | IN_NODE, [], ""),
        ("inner", AGENT | IN_NODE, [], ""),
        ("shop", {"ls_integration": "langgraph"}, None, "invoke_workflow"),
        ("inner", {"ls_integration": "langgraph"} | IN_NODE, [5], ""),
        ("agent", {}, [], ""),
        ("agent", {"ls_integration": ["langgraph"]}, [], ""),
    ],
)
def test_operation(name: str, about: Any, tags: Any, operation: str) -> None:
    """Neither a name nor a guess decides, but what made the graph."""
    assert graph_operation(name, about, tags)[0] == operation
