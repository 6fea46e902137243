"""Streams in each of today's ways: one call, its chunks, and how it was left."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, MessagesState, StateGraph
from waiting import until

from otel_callbacks.testing import Capture, FakeOpenAI, Reply

CHAT = "chat gpt-4o-mini"
LONG = Reply("one two three four five six seven eight")
ASK: Any = {"messages": [("user", "?")]}


def graph_of(model: Any) -> Any:
    """Return a graph whose one node calls the model."""
    graph = StateGraph(MessagesState)
    graph.add_node("ask", lambda state: {"messages": model.invoke(state["messages"])})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(name="shop")


def agraph_of(model: Any) -> Any:
    """Return the same graph in async code."""

    async def ask(state: MessagesState, config: RunnableConfig) -> Any:
        """Call the model."""
        return {"messages": await model.ainvoke(state["messages"], config)}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(name="shop")


def flowed(telemetry: Capture) -> dict[str, Any]:
    """Assert that there was one call with chunks; return its attributes."""
    attributes: dict[str, Any] = telemetry.span(CHAT)["attributes"]
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["otel_callbacks.chunk_count"] > 3
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes["otel_callbacks.chunks_per_second"] > 0
    assert attributes["otel_callbacks.longest_chunk_gap"] > 0
    return attributes


@pytest.mark.recent
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_astream_events(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], version: Any
) -> None:
    """LangChain's own tracer does not change our spans."""
    server.script(LONG)
    model = chat(stream_usage=True)
    if version == "v1":
        warnings.simplefilter("ignore", LangChainDeprecationWarning)
    events = [event async for event in model.astream_events("?", version=version)]
    assert any("stream" in event["event"] for event in events)
    attributes = flowed(telemetry)
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert "otel_callbacks.outcome" not in attributes


@pytest.mark.recent
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_stream_events_v3(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """The third version of events reports chunks by its own callback."""
    server.script(LONG, LONG)
    assert list(chat(stream_usage=True).stream_events("?", version="v3"))
    flowed(telemetry)
    telemetry.clear()
    stream = await chat(stream_usage=True).astream_events("?", version="v3")
    assert [event async for event in stream]
    assert (await stream).text
    assert "otel_callbacks.outcome" not in flowed(telemetry)


@pytest.mark.recent
@pytest.mark.parametrize(
    "mode",
    [
        "values",
        "updates",
        "messages",
        "custom",
        "debug",
        "tasks",
        ["updates", "messages", "custom"],
    ],
)
def test_stream_modes(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], mode: Any
) -> None:
    """The span tree is the same for each stream mode."""
    server.script(LONG)
    graph = graph_of(chat(stream_usage=True, callbacks=None))
    list(graph.stream(ASK, {"callbacks": [telemetry.handler]}, stream_mode=mode))
    assert telemetry.tree().splitlines() == [
        "invoke_workflow shop",
        "  ask",
        f"    {CHAT}",
    ]
    streamed = "messages" in mode
    attributes = telemetry.span(CHAT)["attributes"]
    assert ("otel_callbacks.chunk_count" in attributes) is streamed
    assert attributes["gen_ai.usage.output_tokens"] > 0
    assert all("error.type" not in span["attributes"] for span in telemetry.spans)


def outcome(telemetry: Capture, name: str) -> str | None:
    """Return how a run ended."""
    found: str | None = telemetry.span(name)["attributes"].get("otel_callbacks.outcome")
    return found


def test_a_reader_who_leaves(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A stream that is left early is abandoned; one that is read to its end is not."""
    server.script(LONG, LONG)
    stream = chat().stream("?")
    next(stream)
    stream.close()
    assert outcome(telemetry, CHAT) == "abandoned"
    telemetry.clear()
    list(chat().stream("?"))
    assert outcome(telemetry, CHAT) is None


async def test_a_reader_who_leaves_in_async_code(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """This also holds if the event loop closes the stream."""
    server.script(LONG)
    stream = chat().astream("?")
    await anext(stream)
    await stream.aclose()
    assert outcome(telemetry, CHAT) == "abandoned"


@pytest.mark.recent
@pytest.mark.parametrize("way", ["astream", "astream_events"])
async def test_a_reader_who_leaves_a_graph(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], way: str
) -> None:
    """The call and its node are abandoned with the graph."""
    server.script(Reply("one two three four five six", chunk_delay=0.05))
    graph = agraph_of(chat(callbacks=None))
    about: Any = {"callbacks": [telemetry.handler]}
    if way == "astream":
        stream = graph.astream(ASK, about, stream_mode="messages")
        await anext(stream)
    else:
        stream = graph.astream_events(ASK, about, version="v2")
        async for event in stream:
            if event["event"] == "on_chat_model_stream":
                break
    await stream.aclose()
    del stream
    await until(lambda: len(telemetry.spans) == 3)
    gone = {"abandoned", "cancelled"}
    for name in ("invoke_workflow shop", "ask", CHAT):
        assert outcome(telemetry, name) in gone, telemetry.tree()
