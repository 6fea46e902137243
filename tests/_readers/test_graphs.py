"""Agents and workflows are told from their nodes by what they say of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from otel_callbacks._readers.steps import (
    graph_operation,
    is_composed,
    is_resumed,
    thread_of,
)
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
        ("deep", {"ls_integration": "deepagents"}, [], "invoke_agent"),
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


def test_an_agent_is_said_by_the_metadata() -> None:
    """LangChain has no place for its id, description and version; inside not known."""
    about: dict[Any, Any] = {
        **AGENT,
        **NAMED,
        "assistant_id": "a-1",
        "agent_id": "a-2",
        "agent_description": "sells",
        "agent_version": 2,
    }
    assert graph_operation("florist", about, [])[2] == {
        "gen_ai.agent.description": "sells",
        "gen_ai.agent.id": "a-1",
        "gen_ai.agent.name": "florist",
        "gen_ai.agent.version": "2",
        "gen_ai.operation.name": "invoke_agent",
    }
    inside = graph_operation("florist", about | IN_NODE, [])[2]
    assert inside == {
        "gen_ai.agent.name": "florist",
        "gen_ai.operation.name": "invoke_agent",
    }


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("flower advice", "invoke_workflow"),
        ("RunnableSequence", ""),
        ("RunnableParallel<a,b>", ""),
        ("", ""),
    ],
)
def test_an_outermost_chain_with_a_name(name: str, operation: str) -> None:
    """The app's own name makes a workflow, the name of LangChain's class does not."""
    assert graph_operation(name, {}, [], outermost=True)[0] == operation
    assert graph_operation(name, {}, [])[0] == ""


def test_which_chains_are_workflows(telemetry: Capture) -> None:
    """A chain of several with a name; no single step, no inner chain."""
    about: Any = {"callbacks": [telemetry.handler]}
    shout = RunnableLambda(str.upper, name="shout")
    inner = (shout | StrOutputParser()).with_config(run_name="inner")
    (inner | shout).with_config(run_name="whole").invoke("a", about)
    list((shout | shout).with_config(run_name="flow").stream("a", about))
    (shout | shout).invoke("a", about)
    shout.invoke("a", about)
    StrOutputParser().invoke("a", about)
    ChatPromptTemplate.from_template("a").invoke({}, about)
    roots = [span["name"] for span in telemetry.spans if span["parent"] is None]
    assert roots == [
        "invoke_workflow whole",
        "invoke_workflow flow",
        "RunnableSequence",
        "shout",
        "StrOutputParser",
        "ChatPromptTemplate",
    ]
    assert telemetry.span("inner")["attributes"] == {}


@pytest.mark.parametrize(
    ("serialized", "inputs", "more", "composed"),
    [
        (None, "a", {}, True),
        (None, {"input": ""}, {"run_type": None}, True),
        (None, "a", {"run_type": None}, False),
        (None, {"input": ""}, {"run_type": "parser"}, False),
        ({}, "a", {}, False),
    ],
)
def test_composed(serialized: Any, inputs: Any, more: Any, *, composed: bool) -> None:
    """LangChain says of a single step which kind of step it is."""
    assert is_composed(serialized, inputs, more) is composed


@pytest.mark.parametrize(
    ("inputs", "resumed"),
    [
        (None, True),
        (Command(resume="yes"), True),
        (Command(goto="a"), False),
        (type("Command", (), {"resume": 1})(), False),
        ({"resume": 1}, False),
    ],
)
def test_resumed(inputs: Any, *, resumed: bool) -> None:
    """By LangGraph's own command, or by no input."""
    assert is_resumed(inputs) is resumed


def test_thread() -> None:
    """The thread of the whole graph; a node's is not asked for."""
    assert thread_of({"thread_id": 7}) == "7"
    assert thread_of({}) == ""
    assert thread_of({"thread_id": "t", "langgraph_node": "a"}) == ""


@pytest.mark.recent
def test_an_agent_says_what_its_calls_did(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """An agent that is another one's tool is counted on both; usage is the sum."""
    inner: Any = create_agent(chat(callbacks=None, temperature=0.5), [], name="picker")

    @tool
    def pick(flower: str) -> str:
        """Pick a flower."""
        said = inner.invoke({"messages": [("user", flower)]})
        return str(said["messages"][-1].content)

    picks = Reply(tool_calls=(ToolCall("pick", {"flower": "rose"}),))
    server.script(picks, Reply("A rose."), Reply("Done."))
    outer: Any = create_agent(
        chat(callbacks=None, temperature=0.5), [pick], name="florist"
    )
    outer.invoke({"messages": [("user", "?")]}, {"callbacks": [telemetry.handler]})
    calls = [s["attributes"] for s in telemetry.spans if s["name"].startswith("chat")]
    assert len(calls) == 3
    for name, below in (("florist", calls), ("picker", calls[1:2])):
        said = telemetry.span(f"invoke_agent {name}")["attributes"]
        assert said["gen_ai.request.model"] == "gpt-4o-mini"
        assert said["gen_ai.request.temperature"] == 0.5
        assert said["gen_ai.response.finish_reasons"] == ("stop",)
        for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
            assert said[key] == sum(call[key] for call in below) > 0
        count = "gen_ai_invoke_agent_inference_calls_sum"
        assert telemetry.value(count, gen_ai_agent_name=name) == len(below)
    assert telemetry.span("invoke_agent picker")["parent"] == "execute_tool pick"
