"""What real LangChain calls say is on their spans, in the shape of the schemas."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool

from otel_callbacks import Settings
from otel_callbacks.testing import Reply, ToolCall, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture, FakeOpenAI

INPUT = "gen_ai.input.messages"
OUTPUT = "gen_ai.output.messages"
ROSES = {"role": "user", "parts": [{"type": "text", "content": "玫瑰? 🌹"}]}


@pytest.fixture
def telemetry() -> Iterator[Capture]:
    """Capture spans with content."""
    with capture(Settings(strict=True, capture_content="SPAN_ONLY")) as captured:
        yield captured


@pytest.fixture
def content(
    telemetry: Capture, check_schema: Callable[[str, Any], None]
) -> Callable[[str], dict[str, Any]]:
    """Return how to get a span's content, held against the schemas."""

    def of(name: str) -> dict[str, Any]:
        found = {}
        for key, value in telemetry.span(name)["attributes"].items():
            if isinstance(value, str) and value[:1] in {"[", "{"}:
                found[key] = json.loads(value)
                check_schema(key, found[key])
        return found

    return of


def answer(text: str, reason: str = "stop") -> dict[str, Any]:
    """Return a model's message."""
    parts = [{"type": "text", "content": text}]
    return {"role": "assistant", "parts": parts, "finish_reason": reason}


def test_a_call(
    chat: Callable[..., Any], server: FakeOpenAI, telemetry: Capture, content: Any
) -> None:
    """The span has question and answer, with letters unescaped in the JSON."""
    server.script(Reply("郁金香 🌷"))
    chat().invoke("玫瑰? 🌹")
    captured = content("chat gpt-4o-mini")
    assert captured == {INPUT: [ROSES], OUTPUT: [answer("郁金香 🌷")]}
    assert "🌷" in telemetry.span("chat gpt-4o-mini")["attributes"][OUTPUT]


def test_several_choices(
    chat: Callable[..., Any], server: FakeOpenAI, content: Any
) -> None:
    """Each choice is an output message."""
    server.script(Reply("Tulips."))
    chat(n=2).invoke("玫瑰? 🌹")
    assert content("chat gpt-4o-mini")[OUTPUT] == [answer("Tulips.")] * 2


def test_a_text_model(
    text: Callable[..., Any], server: FakeOpenAI, content: Any
) -> None:
    """The prompt of a text model is the user's message."""
    server.script(Reply("Tulips."))
    text().invoke("玫瑰? 🌹")
    captured = content("text_completion gpt-3.5-turbo-instruct")
    assert captured == {INPUT: [ROSES], OUTPUT: [answer("Tulips.")]}


def test_a_stream(chat: Callable[..., Any], server: FakeOpenAI, content: Any) -> None:
    """The chunks of a stream are one answer."""
    server.script(Reply("Tulips and roses."))
    list(chat(stream_usage=True).stream("玫瑰? 🌹"))
    captured = content("chat gpt-4o-mini")
    assert captured == {INPUT: [ROSES], OUTPUT: [answer("Tulips and roses.")]}


def test_a_stream_that_is_left(
    chat: Callable[..., Any], server: FakeOpenAI, content: Any
) -> None:
    """A stream that is left early has its chunks and an unfinished message."""
    server.script(Reply("Tulips and roses and asters."))
    for piece in chat().stream("玫瑰? 🌹"):
        if piece.content:
            break
    (message,) = content("chat gpt-4o-mini")[OUTPUT]
    assert message["finish_reason"] == "error"
    assert "Tulips and roses and asters.".startswith(message["parts"][0]["content"])


def test_a_failed_call(
    chat: Callable[..., Any], server: FakeOpenAI, content: Any
) -> None:
    """A failed call has its question and no answer."""
    server.script(Reply.failing(400))
    with pytest.raises(Exception, match="400"):
        chat().invoke("玫瑰? 🌹")
    assert content("chat gpt-4o-mini") == {INPUT: [ROSES]}


def test_tool_calls_and_definitions(
    chat: Callable[..., Any], server: FakeOpenAI, content: Any
) -> None:
    """The span has the tool definitions and the tool calls, streamed or not."""
    call = ToolCall("price", {"of": "rose"}, id="c1")
    server.script(Reply(tool_calls=(call,)))
    list(chat().bind_tools([price]).stream("玫瑰? 🌹"))
    captured = content("chat gpt-4o-mini")
    (definition,) = captured["gen_ai.tool.definitions"]
    assert (definition["name"], definition["description"]) == (
        "price",
        "Tell the price of a flower.",
    )
    assert definition["parameters"]["required"] == ["of"]
    part = {
        "type": "tool_call",
        "id": "c1",
        "name": "price",
        "arguments": {"of": "rose"},
    }
    assert captured[OUTPUT] == [
        {"role": "assistant", "parts": [part], "finish_reason": "tool_call"}
    ]


@pytest.mark.slow
def test_the_responses_api(
    chat: Callable[..., Any], server: FakeOpenAI, content: Any
) -> None:
    """The Responses API has the same content in content blocks."""
    server.script(Reply("Tulips."))
    chat(use_responses_api=True).invoke("玫瑰? 🌹")
    captured = content("chat gpt-4o-mini")
    assert captured == {INPUT: [ROSES], OUTPUT: [answer("Tulips.")]}


@pytest.mark.slow
async def test_concurrent_calls(
    chat: Callable[..., Any], server: FakeOpenAI, telemetry: Capture
) -> None:
    """Each of a hundred concurrent calls has its own question and answer."""
    server.when(lambda _: True, lambda question: Reply(f"Answer to {question.text}"))
    model = chat()
    await asyncio.gather(*(model.ainvoke(f"Question {n}") for n in range(100)))
    pairs = [
        (
            json.loads(span["attributes"][INPUT])[0]["parts"][0]["content"],
            json.loads(span["attributes"][OUTPUT])[0]["parts"][0]["content"],
        )
        for span in telemetry.spans
    ]
    assert len(pairs) == 100
    assert {answered for _, answered in pairs} == {
        f"Answer to {question}" for question, _ in pairs
    }


@tool
def price(of: str) -> str:
    """Tell the price of a flower."""
    return json.dumps({"of": of, "price": 3})


def test_a_tool(telemetry: Capture, content: Any) -> None:
    """A tool's arguments and result are objects."""
    price.invoke({"of": "rose"}, {"callbacks": [telemetry.handler]})
    assert content("execute_tool price") == {
        "gen_ai.tool.call.arguments": {"of": "rose"},
        "gen_ai.tool.call.result": {"of": "rose", "price": 3},
    }


class Shelf(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(self, _: str, **__: Any) -> list[Document]:
        return [Document("Roses.", id="d1", metadata={"score": 0.5})]


def test_a_retrieval(telemetry: Capture, content: Any) -> None:
    """A retrieval has its query and documents."""
    Shelf().invoke("玫瑰", {"callbacks": [telemetry.handler]})
    (span,) = telemetry.spans
    assert span["attributes"]["gen_ai.retrieval.query.text"] == "玫瑰"
    assert content(span["name"])["gen_ai.retrieval.documents"] == [
        {
            "id": "d1",
            "score": 0.5,
            "content": "Roses.",
            "metadata": {"score": 0.5},
        }
    ]


@pytest.mark.recent
def test_an_agent(
    chat: Callable[..., Any], server: FakeOpenAI, telemetry: Capture, content: Any
) -> None:
    """An agent's span has question, answer, system instructions and tools."""
    from langchain.agents import create_agent  # noqa: PLC0415 -- a second of imports

    call = ToolCall("price", {"of": "rose"}, id="c1")
    server.script(Reply(tool_calls=(call,)), Reply("Three."))
    agent: Any = create_agent(
        chat(callbacks=None), [price], system_prompt="Be kind.", name="shop"
    )
    agent.invoke(
        {"messages": [HumanMessage("玫瑰? 🌹")]},
        {"callbacks": [telemetry.handler]},
    )
    captured = content("invoke_agent shop")
    assert captured[INPUT] == [ROSES]
    assert captured[OUTPUT] == [{**answer("Three."), "name": "shop"}]
    kind = [{"type": "text", "content": "Be kind."}]
    assert captured["gen_ai.system_instructions"] == kind
    assert [each["name"] for each in captured["gen_ai.tool.definitions"]] == ["price"]


def test_a_workflow(telemetry: Capture, content: Any) -> None:
    """A graph without messages in its state shows the state."""
    from langgraph.graph import END, START, StateGraph  # noqa: PLC0415 -- heavy

    graph: Any = StateGraph(dict)
    graph.add_node("find", lambda state: {"found": f"three {state['of']}"})
    graph.add_edge(START, "find")
    graph.add_edge("find", END)
    flow = graph.compile(name="flow")
    flow.invoke({"of": "roses"}, {"callbacks": [telemetry.handler]})
    captured = content("invoke_workflow flow")
    part = {"type": "state", "content": {"of": "roses"}}
    assert captured[INPUT] == [{"role": "user", "parts": [part]}]
    assert captured[OUTPUT][0]["parts"][0]["content"]["found"] == "three roses"
