"""LangGraph's node tree is the span tree, in the order in which the nodes ran."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture

pytestmark = pytest.mark.recent

INTERRUPTED = "otel_callbacks.interrupted"


class State(TypedDict):
    """What has run so far, by the nodes' own record."""

    log: Annotated[list[str], operator.add]


def step(name: str) -> Callable[[Any], dict[str, list[str]]]:
    """Return a node that records itself."""
    return lambda _: {"log": [name]}


def ask(_: State) -> dict[str, list[str]]:
    """Wait for somebody."""
    return {"log": [f"ask:{interrupt('ok?')}"]}


def shop(**options: Any) -> Any:
    """Return a graph with a subgraph, branches, ``Send`` and an interrupt."""
    inner: Any = StateGraph(State)
    inner.add_node("cut", step("cut"))
    inner.add_node("ask", ask)
    inner.add_edge(START, "cut")
    inner.add_edge("cut", "ask")
    graph: Any = StateGraph(State)
    for name in ("order", "roses", "tulips", "pack", "wrap"):
        graph.add_node(name, step(name))
    graph.add_node("bind", inner.compile(name="binder"))
    graph.add_edge(START, "order")
    graph.add_edge("order", "roses")
    graph.add_edge("order", "tulips")
    graph.add_edge(["roses", "tulips"], "bind")
    graph.add_conditional_edges(
        "bind", lambda _: [Send("wrap", {"log": []}) for _ in range(3)], ["wrap"]
    )
    graph.add_edge("wrap", "pack")
    graph.add_edge("pack", END)
    return graph.compile(name="shop", checkpointer=InMemorySaver(), **options)


def config(telemetry: Capture, thread: str = "t") -> Any:
    """Return the config of a run on a thread."""
    return {
        "callbacks": [telemetry.handler],
        "configurable": {"thread_id": thread},
    }


async def call(graph: Any, state: Any, about: Any, way: str) -> list[str]:
    """Run a graph in one of its ways; return its nodes' tasks in their order."""
    if way == "sync":
        events = list(graph.stream(state, about, stream_mode="debug", subgraphs=True))
    else:
        stream = graph.astream(state, about, stream_mode="debug", subgraphs=True)
        events = [event async for event in stream]
    return [event["payload"]["name"] for _, event in events if event["type"] == "task"]


def link_to(span: Any) -> dict[str, str]:
    """Return a link to a span."""
    return {key: span[key] for key in ("trace_id", "span_id")}


def names_of(telemetry: Capture, trace_id: str) -> list[str]:
    """Return a trace's nodes in the order of their starts: no graphs, no edges."""
    spans = [span for span in telemetry.spans if span["trace_id"] == trace_id]
    node = "otel_callbacks.langgraph.node"
    return [s["name"] for s in spans if s["name"] == s["attributes"].get(node)]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_the_tree_is_the_run(telemetry: Capture, way: str) -> None:
    """Each node has a span in its place, before and after the interrupt."""
    graph, about = shop(), config(telemetry)
    before = await call(graph, {"log": []}, about, way)
    assert sorted((s["parent"] or "", s["name"]) for s in telemetry.spans) == [
        ("", "invoke_workflow shop"),
        ("bind", "binder"),
        ("binder", "ask"),
        ("binder", "cut"),
        ("invoke_workflow shop", "bind"),
        ("invoke_workflow shop", "order"),
        ("invoke_workflow shop", "roses"),
        ("invoke_workflow shop", "tulips"),
    ]
    first = telemetry.span("invoke_workflow shop")
    ran = names_of(telemetry, first["trace_id"])
    assert ran[0] == before[0] == "order"
    assert sorted(ran[1:3]) == sorted(before[1:3]) == ["roses", "tulips"]
    assert ran[3:] == before[3:] == ["bind", "cut", "ask"]
    waiting = [
        span["name"] for span in telemetry.spans if INTERRUPTED in span["attributes"]
    ]
    assert waiting == ["invoke_workflow shop", "bind", "binder", "ask"]
    assert {span["status"] for span in telemetry.spans} == {"UNSET"}

    after = await call(graph, Command(resume="yes"), about, way)
    second = [s for s in telemetry.spans if s["name"] == "invoke_workflow shop"][1]
    assert second["trace_id"] != first["trace_id"]
    assert second["links"] == [link_to(first)]
    assert INTERRUPTED not in second["attributes"]
    assert names_of(telemetry, second["trace_id"]) == after
    assert after == ["bind", "ask", "wrap", "wrap", "wrap", "pack"]
    log = graph.get_state(about).values["log"]
    assert log[-5:] == ["ask:yes", "wrap", "wrap", "wrap", "pack"]


def test_a_new_run_on_a_thread_is_no_resume(telemetry: Capture) -> None:
    """A new run on a thread has no link to the interrupted run."""
    graph, about = shop(), config(telemetry)
    graph.invoke({"log": []}, about)
    graph.invoke({"log": []}, about)
    graph.invoke(Command(resume="yes"), config(telemetry, "another"))
    spans = [s for s in telemetry.spans if s["name"] == "invoke_workflow shop"]
    assert [span["links"] for span in spans] == [[], [], []]


def test_a_stop_before_a_node_is_resumed_too(telemetry: Capture) -> None:
    """With ``interrupt_before`` no node waits, but the resumed run has the link."""
    graph, about = shop(interrupt_before=["roses"]), config(telemetry)
    graph.invoke({"log": []}, about)
    graph.invoke(None, about)
    first, second = [
        span for span in telemetry.spans if span["name"] == "invoke_workflow shop"
    ]
    assert INTERRUPTED not in first["attributes"]
    assert second["links"] == [link_to(first)]


def test_the_functional_api(telemetry: Capture) -> None:
    """An entrypoint is a workflow, and its tasks are steps."""

    @task
    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    @entrypoint()
    def flow(number: int) -> int:
        """Double a number twice."""
        return double(double(number).result()).result()

    assert flow.invoke(2, {"callbacks": [telemetry.handler]}) == 8
    assert telemetry.tree().splitlines()[1:] == ["  flow", "    double", "    double"]
    root = telemetry.spans[0]["attributes"]
    assert root["gen_ai.operation.name"] == "invoke_workflow"


def test_a_legacy_agent_is_a_workflow(telemetry: Capture, chat: Any) -> None:
    """LangGraph's prebuilt agent has no metadata of an agent."""
    from langgraph.prebuilt import create_react_agent  # noqa: PLC0415

    with pytest.warns(DeprecationWarning, match="create_agent"):
        agent = create_react_agent(chat(callbacks=None), [], name="old")
    agent.invoke({"messages": [("user", "?")]}, {"callbacks": [telemetry.handler]})
    assert telemetry.spans[0]["name"] == "invoke_workflow old"
