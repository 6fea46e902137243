"""Each run's span: name, kind, status and every attribute, no more."""

from __future__ import annotations

import contextvars
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import ToolException, tool
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    Sampler,
    SamplingResult,
)
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks._records import End, Failure, Request, Response, Usage
from otel_callbacks._semconv import DEFAULT_REGISTRY, REGISTRIES
from otel_callbacks._spans import current
from otel_callbacks._spans.current import StandIn
from otel_callbacks._spans.sink import MOST_THREADS, SpanSink, Threads
from otel_callbacks.testing import FakeChatModel, Reply, Tokens, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks._records import Outcome
    from otel_callbacks.testing import Capture, FakeOpenAI

CHAT = "chat gpt-4o-mini"
USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
CONVENTIONS = ("gen_ai.", "openai.", "server.", "error.")


def asked(server: FakeOpenAI) -> dict[str, Any]:
    """Return the attributes of a chat request to the fake provider."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "openai.api.type": "chat_completions",
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }


def answered(server: FakeOpenAI, **more: Any) -> dict[str, Any]:
    """Return the attributes of a chat call that the fake provider answered."""
    return {
        **asked(server),
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
        "openai.response.system_fingerprint": "fp_flower_shop",
        "otel_callbacks.cost_usd": 4.8e-06,
        **more,
    }


def span_sink(telemetry: Capture) -> SpanSink:
    """Return a sink that is not part of a pipeline."""
    return SpanSink(
        telemetry.tracer_provider.get_tracer("app"),
        extensions=True,
        content=False,
        sdk_spans=False,
        shortest_step=None,
        registry=REGISTRIES[DEFAULT_REGISTRY],
        set_up=lambda: None,
    )


def reply(tokens: Tokens | None = None) -> Reply:
    """Return an answer whose id and tokens are known."""
    return Reply("Roses.", usage=tokens or Tokens(12, 5), response_id="chatcmpl-1")


def shape(span: dict[str, Any]) -> tuple[str, str, str | None]:
    """Return a span's kind and status."""
    return span["kind"], span["status"], span["status_description"]


def test_chat(telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]) -> None:
    """A call that went well has what was asked and answered; no status, no event."""
    server.script(reply())
    chat().invoke("Roses?")
    span = telemetry.span(CHAT)
    assert span["attributes"] == answered(server)
    assert shape(span) == ("CLIENT", "UNSET", None)
    assert (span["parent"], span["events"], span["links"]) == (None, [], [])
    assert span["end_ns"] > span["start_ns"]


def test_details_of_the_tokens(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Cached and reasoning tokens are there where there are any."""
    server.script(reply(Tokens(12, 5, cached=8, reasoning=4)))
    chat().invoke("Roses?")
    assert telemetry.span(CHAT)["attributes"] == answered(
        server,
        **{
            "gen_ai.usage.cache_read.input_tokens": 8,
            "gen_ai.usage.reasoning.output_tokens": 4,
            "otel_callbacks.cost_usd": 4.2e-06,
        },
    )


def test_stream(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A stream says so, and when its first chunk came; the client drops its id."""
    server.script(reply())
    chunks = len(list(chat(stream_usage=True).stream("Roses?")))
    span = telemetry.span(CHAT)
    first = span["attributes"].pop("gen_ai.response.time_to_first_chunk")
    count = span["attributes"].pop("otel_callbacks.chunk_count")
    rate = span["attributes"].pop("otel_callbacks.chunks_per_second")
    gap = span["attributes"].pop("otel_callbacks.longest_chunk_gap")
    assert 0 < gap <= (count - 1) / rate
    expected = answered(server, **{"gen_ai.request.stream": True})
    del expected["gen_ai.response.id"]
    assert span["attributes"] == expected
    assert shape(span) == ("CLIENT", "UNSET", None)
    assert 0 < first < (span["end_ns"] - span["start_ns"]) / 1e9
    assert 1 <= count <= chunks


@pytest.mark.recent
def test_error(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A refused call has its type and its class; no message, no event."""
    server.script(Reply.failing(429, message="secret"))
    with pytest.raises(Exception, match="secret"):
        chat().invoke("Roses?")
    span = telemetry.span(CHAT)
    assert span["attributes"] == {
        **asked(server),
        "error.type": "OpenAIRateLimitError",
        "otel_callbacks.error_class": "rate_limited",
        "otel_callbacks.http.status_code": 429,
        "otel_callbacks.outcome": "error",
    }
    assert shape(span) == ("CLIENT", "ERROR", None)
    assert span["events"] == []
    assert "secret" not in str(span)


def test_several_choices(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Two choices are one span with two finish reasons and one usage."""
    server.script(reply())
    chat(n=2).invoke("Roses?")
    assert telemetry.span(CHAT)["attributes"] == answered(
        server,
        **{
            "gen_ai.request.choice.count": 2,
            "gen_ai.response.finish_reasons": ("stop", "stop"),
        },
    )


def test_cache_hit(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """What LangChain's cache answered has no usage, but what that saved."""
    server.script(reply())
    model = chat(cache=InMemoryCache())
    model.invoke("Roses?")
    telemetry.clear()
    model.invoke("Roses?")
    span = telemetry.span(CHAT)
    expected = answered(
        server,
        **{
            "otel_callbacks.outcome": "cache_hit",
            "otel_callbacks.saved.input_tokens": 12,
            "otel_callbacks.saved.output_tokens": 5,
            "otel_callbacks.saved.cost_usd": 4.8e-06,
        },
    )
    del expected["otel_callbacks.cost_usd"]
    del expected["gen_ai.usage.input_tokens"], expected["gen_ai.usage.output_tokens"]
    assert span["attributes"] == expected
    assert shape(span) == ("CLIENT", "UNSET", None)


def test_text_completion(
    telemetry: Capture, server: FakeOpenAI, text: Callable[..., Any]
) -> None:
    """A text model's call is an operation of its own."""
    server.script(reply())
    text().invoke("Roses?")
    span = telemetry.span("text_completion gpt-3.5-turbo-instruct")
    assert span["attributes"] == {
        "gen_ai.operation.name": "text_completion",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-3.5-turbo-instruct",
        "gen_ai.request.frequency_penalty": 0.0,
        "gen_ai.request.presence_penalty": 0.0,
        "gen_ai.request.max_tokens": 256,
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 5,
        "otel_callbacks.cost_usd": 2.8e-05,
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }
    assert shape(span) == ("CLIENT", "UNSET", None)


@tool
def florist(flower: str) -> str:
    """Ask the florist."""
    if flower == "weed":
        message = "no weeds"
        raise ValueError(message)
    if flower == "nettle":
        message = "no nettles"
        raise ToolException(message)
    return f"3 {flower}"


FLORIST = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.description": "Ask the florist.",
    "gen_ai.tool.name": "florist",
    "gen_ai.tool.type": "function",
}


def test_tool(telemetry: Capture) -> None:
    """A tool is named after what it is called; its arguments are not there."""
    florist.invoke({"flower": "rose"}, {"callbacks": [telemetry.handler]})
    span = telemetry.span("execute_tool florist")
    assert span["attributes"] == FLORIST
    assert shape(span) == ("INTERNAL", "UNSET", None)


def test_tool_that_fails(telemetry: Capture) -> None:
    """A tool's exception is an error on its span."""
    with pytest.raises(ValueError, match="weeds"):
        florist.invoke({"flower": "weed"}, {"callbacks": [telemetry.handler]})
    span = telemetry.span("execute_tool florist")
    assert span["attributes"] == {
        **FLORIST,
        "error.type": "ValueError",
        "otel_callbacks.error_class": "other",
        "otel_callbacks.outcome": "error",
    }
    assert shape(span) == ("INTERNAL", "ERROR", None)


@pytest.mark.recent
def test_tool_that_handles_its_error(telemetry: Capture) -> None:
    """What it made a message of is an error on the tool's span and on no other."""
    handling = florist.model_copy(update={"handle_tool_error": True})
    call: Any = {
        "type": "tool_call",
        "id": "call-1",
        "name": "florist",
        "args": {"flower": "nettle"},
    }
    step = RunnableLambda(lambda _: handling.invoke(call), name="step")
    message: Any = step.invoke("?", config={"callbacks": [telemetry.handler]})
    assert message.status == "error"
    span = telemetry.span("execute_tool florist")
    assert span["attributes"] == {
        **FLORIST,
        "error.type": "tool_error",
        "gen_ai.tool.call.id": "call-1",
        "otel_callbacks.error_class": "other",
        "otel_callbacks.outcome": "error",
    }
    assert shape(span) == ("INTERNAL", "ERROR", None)
    assert shape(telemetry.span("step")) == ("INTERNAL", "UNSET", None)


def test_retrieval(telemetry: Capture) -> None:
    """A retrieval is a call to its source and says how much it found."""

    class Herbarium(BaseRetriever):
        """A retriever that finds two flowers."""

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return [Document(query), Document("tulip")]

    Herbarium().invoke("rose", {"callbacks": [telemetry.handler]})
    span = telemetry.span("retrieval Herbarium")
    assert span["attributes"] == {
        "gen_ai.data_source.id": "Herbarium",
        "gen_ai.operation.name": "retrieval",
        "otel_callbacks.document_count": 2,
    }
    assert shape(span) == ("CLIENT", "UNSET", None)


def test_chain(telemetry: Capture) -> None:
    """A chain that calls nothing is its name and no more."""
    RunnableLambda(str, name="step").invoke("x", {"callbacks": [telemetry.handler]})
    span = telemetry.span("step")
    assert span["attributes"] == {}
    assert shape(span) == ("INTERNAL", "UNSET", None)


def test_between_the_calls_of_a_batch(telemetry: Capture) -> None:
    """While no call of a batch is on the stack, the span outside is the current one."""
    handler = telemetry.handler
    ids = [uuid4(), uuid4()]

    def work() -> None:
        for run_id in ids:
            handler.on_chat_model_start({}, [["?"]], run_id=run_id, batch_size=2)
        tracer = telemetry.tracer_provider.get_tracer("app")
        assert not trace.get_current_span().is_recording()
        with tracer.start_as_current_span("request"):
            more = [uuid4(), uuid4()]
            for run_id in more:
                handler.on_chat_model_start({}, [["?"]], run_id=run_id, batch_size=2)
            with tracer.start_as_current_span("between"):
                pass
            ids.extend(more)
        for run_id in ids:
            handler.on_llm_error(ValueError("no"), run_id=run_id)

    contextvars.copy_context().run(work)
    assert telemetry.span("between")["parent"] == "request"
    parents = [s["parent"] for s in telemetry.spans if s["name"] == "chat"]
    assert parents == [None, None, "request", "request"]


def test_child_of_a_run_that_is_not_shown(telemetry: Capture) -> None:
    """Of an unknown parent, the nearest open span is what a run is put below."""
    handler = telemetry.handler

    def work() -> None:
        outer, ended, child = uuid4(), uuid4(), uuid4()
        handler.on_chain_start({}, "x", run_id=outer, name="outer")
        handler.on_chain_start({}, "x", run_id=ended, name="ended", parent_run_id=outer)
        # As LangChain ends an async run: in another task, with a copied context.
        contextvars.copy_context().run(lambda: handler.on_chain_end("y", run_id=ended))
        handler.on_chain_start(
            {}, "x", run_id=child, name="child", parent_run_id=uuid4()
        )
        handler.on_chain_end("y", run_id=child)
        handler.on_chain_end("y", run_id=outer)

    contextvars.copy_context().run(work)
    assert telemetry.tree().splitlines() == ["outer", "  ended", "  child"]


def test_run_without_a_name(telemetry: Capture) -> None:
    """A chain that has no name at all is a run."""
    run_id = uuid4()
    telemetry.handler.on_chain_start(None, "x", run_id=run_id)
    telemetry.handler.on_chain_end("y", run_id=run_id)
    (span,) = telemetry.spans
    assert span["name"] == "run"


def test_interrupt_is_no_error(telemetry: Capture) -> None:
    """LangGraph stops a graph with an exception that is control flow."""
    from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415
    from langgraph.graph import END, START, StateGraph  # noqa: PLC0415
    from langgraph.types import interrupt  # noqa: PLC0415

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        return {"answer": interrupt("which flower?"), **state}

    graph = StateGraph(dict)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    result = graph.compile(checkpointer=InMemorySaver()).invoke(
        {"question": "?"},
        config={
            "callbacks": [telemetry.handler],
            "configurable": {"thread_id": "1"},
        },
    )
    assert "__interrupt__" in result
    assert telemetry.span("ask")["attributes"]["otel_callbacks.interrupted"] is True
    (root,) = (span for span in telemetry.spans if span["parent"] is None)
    assert root["attributes"]["otel_callbacks.interrupted"] is True
    for span in telemetry.spans:
        assert (span["status"], span["status_description"]) == ("UNSET", None)
        assert "error.type" not in span["attributes"]
        assert "otel_callbacks.outcome" not in span["attributes"]


def test_root_sums_up_its_tree(telemetry: Capture) -> None:
    """The outermost run's span says what was done below it; inner ones do not."""
    model = FakeChatModel(usage=USAGE)

    def inner(question: str) -> str:
        model.invoke(question)
        return str(florist.invoke({"flower": "rose"}))

    def outer(question: str) -> str:
        model.invoke(question)
        return RunnableLambda(inner, name="inner").invoke(question)

    RunnableLambda(outer, name="outer").invoke(
        "?", config={"callbacks": [telemetry.handler]}
    )
    assert telemetry.span("outer")["attributes"] == {
        "otel_callbacks.calls": 2,
        "otel_callbacks.tool_calls": 1,
        "otel_callbacks.input_tokens": 14,
        "otel_callbacks.output_tokens": 6,
    }
    assert telemetry.span("inner")["attributes"] == {}


def test_model_alone_sums_up_nothing(telemetry: Capture) -> None:
    """A call that is its own root has its tokens and no sums beside them."""
    FakeChatModel(usage=USAGE, callbacks=[telemetry.handler]).invoke("?")
    (span,) = telemetry.spans
    assert "otel_callbacks.calls" not in span["attributes"]
    assert span["attributes"]["gen_ai.usage.input_tokens"] == 7


def test_conventions_alone(server: FakeOpenAI, chat: Callable[..., Any]) -> None:
    """Without extensions no span and no series has a name of ours."""
    with capture(Settings(strict=True, extensions=False)) as telemetry:
        handler = telemetry.handler
        server.script(reply(), reply(), Reply.failing(429))
        model = chat(callbacks=[], stream_usage=True, cache=InMemoryCache())

        def step(question: str) -> str:
            list(model.stream(question))
            model.invoke(question)
            model.invoke(question)
            with pytest.raises(Exception, match="429"):
                model.invoke("other")
            return str(florist.invoke({"flower": "rose"}))

        config: Any = {
            "callbacks": [handler],
            "tags": ["shop"],
            "metadata": {"user_id": "u", "langgraph_node": "n", "langgraph_step": 1},
        }
        RunnableLambda(step, name="step").invoke("?", config=config)
        lost = uuid4()
        handler.on_chain_start({}, "x", run_id=lost, name="lost")
        handler.close()
        for span in telemetry.spans:
            for key in span["attributes"]:
                assert key.startswith(CONVENTIONS), (span["name"], key)
        assert telemetry.span("lost")["attributes"] == {"error.type": "abandoned"}
        assert telemetry.span("step")["status"] == "UNSET"
        assert len([s for s in telemetry.spans if s["name"] == CHAT]) >= 3
        assert all(name.startswith("gen_ai_") for name, _ in telemetry.samples)
        assert telemetry.value("gen_ai_client_operation_duration_seconds_count") >= 3


class Looks(Sampler):
    """A sampler that keeps what it is shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, Any, dict[str, Any]]] = []

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        """Keep what is known of a span before it starts."""
        names = ("parent_context", "trace_id", "name", "kind", "attributes")
        seen = {**dict(zip(names, args, strict=False)), **kwargs}
        self.shown.append((seen["name"], seen["kind"], dict(seen["attributes"] or {})))
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        """Return the sampler's name."""
        return "looks"


def test_sampler_sees_what_it_needs(
    server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Operation, provider, model and server are known when the span is made."""
    sampler = Looks()
    handler = OTelCallbackHandler(
        tracer_provider=TracerProvider(sampler=sampler, shutdown_on_exit=False),
        registry=CollectorRegistry(),
        settings=Settings(strict=True),
    )
    chat(callbacks=[handler]).invoke("Roses?")
    assert sampler.shown == [(CHAT, trace.SpanKind.CLIENT, asked(server))]


def test_span_that_is_not_sampled_writes_nothing() -> None:
    """Where nothing records the call is made, nested and ended all the same."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    handler = OTelCallbackHandler(
        tracer_provider=provider,
        registry=CollectorRegistry(),
        settings=Settings(strict=True),
    )
    current: list[trace.Span] = []

    class Asks(FakeChatModel):
        """A model that looks at the current span while it is called."""

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            current.append(trace.get_current_span())
            assert not current[-1].is_recording()
            assert current[-1].get_span_context().is_valid
            return super()._generate(*args, **kwargs)

    Asks(usage=USAGE, callbacks=[handler]).invoke("?")
    assert len(current) == 1
    assert not trace.get_current_span().get_span_context().is_valid


class BrokenTracer(trace.NoOpTracer):
    """A tracer that cannot start a span."""

    def start_span(self, *_: Any, **__: Any) -> trace.Span:
        """Fail."""
        message = "no spans today"
        raise RuntimeError(message)


class BrokenProvider(trace.NoOpTracerProvider):
    """A provider whose tracers cannot start a span."""

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        """Return such a tracer."""
        return BrokenTracer()


async def test_tracer_that_raises(
    text: Callable[..., Any],
    server: FakeOpenAI,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged once without its text, counted, and never reaches the app."""
    registry = CollectorRegistry()
    handler = OTelCallbackHandler(
        tracer_provider=BrokenProvider(), registry=registry, settings=Settings()
    )
    model = FakeChatModel(usage=USAGE, callbacks=[handler])
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        assert model.invoke("?").text == "Twelve red roses."
        assert len(list(model.stream("?"))) >= 3
        assert await text(callbacks=[handler]).ainvoke("?")
        model.generate([[], []])
    ours = [one for one in caplog.records if one.name == "otel_callbacks"]
    assert len(ours) == 1
    assert "spans failed with RuntimeError at " in ours[0].getMessage()
    assert "no spans today" not in caplog.text
    errors = registry.get_sample_value(
        "otel_callbacks_errors_total", {"where": "spans"}
    )
    assert errors == 5
    counted = sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "otel_callbacks_operations_total"
    )
    assert counted == 5
    assert len(server.requests) == 1
    assert not trace.get_current_span().get_span_context().is_valid


def test_tracer_that_raises_is_raised_when_strict() -> None:
    """In tests a broken tracer is seen at once."""
    handler = OTelCallbackHandler(
        tracer_provider=BrokenProvider(),
        registry=CollectorRegistry(),
        settings=Settings(strict=True),
    )
    with pytest.raises(RuntimeError, match="no spans today"):
        FakeChatModel(callbacks=[handler]).invoke("?")
    handler.close()


def test_waiting_context_in_use(
    telemetry: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the waiting task's context cannot be entered the span starts here."""
    in_use = contextvars.copy_context()
    monkeypatch.setattr(current, "waiting_context", lambda: in_use)
    sink = span_sink(telemetry)
    run = StandIn(1, Request("text_completion", "m"), None)

    def work() -> None:
        sink.started(run)
        assert trace.get_current_span() is run
        run.open = False
        sink.ended(run, End("ok", run.start_ns + 1))

    in_use.run(work)
    assert telemetry.span("text_completion m")["status"] == "UNSET"


def test_late_end_is_no_second_span(telemetry: Capture) -> None:
    """The span of a run that was given up has ended already."""
    sink = span_sink(telemetry)
    run = StandIn(1, Request("chat", "m"), None)

    def work() -> None:
        sink.started(run)
        run.open = False
        sink.ended(run, End("abandoned", run.start_ns + 1))
        sink.ended(run, End("abandoned", 0, Response(usage=Usage(1, 1)), late=True))

    contextvars.copy_context().run(work)
    assert telemetry.span("chat m")["attributes"] == {
        "otel_callbacks.outcome": "abandoned"
    }


def test_usage_that_is_half_known(telemetry: Capture) -> None:
    """A total that the provider did not say is not there; nor is a detail of none."""
    sink = span_sink(telemetry)
    for number, usage in enumerate((Usage(5, None), Usage(None, 4, cache_write=2))):
        run = StandIn(number, Request("chat", f"m{number}"), None)

        def work(run: StandIn = run, usage: Usage = usage) -> None:
            sink.started(run)
            run.open = False
            sink.ended(run, End("ok", run.start_ns + 1, Response(usage=usage)))

        contextvars.copy_context().run(work)
    assert telemetry.span("chat m0")["attributes"] == {"gen_ai.usage.input_tokens": 5}
    assert telemetry.span("chat m1")["attributes"] == {
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_creation.input_tokens": 2,
    }


def ended(telemetry: Capture, *ends: End) -> list[dict[str, Any]]:
    """Return the attributes of the spans of chat calls that end so."""
    sink = span_sink(telemetry)
    telemetry.clear()
    for number, end in enumerate(ends):
        run = StandIn(number, Request("chat", "m"), None)

        def work(run: StandIn = run, end: End = end) -> None:
            sink.started(run)
            run.open = False
            sink.ended(run, end)

        contextvars.copy_context().run(work)
    return [span["attributes"] for span in telemetry.spans]


def test_saved_tokens_that_are_half_known(telemetry: Capture) -> None:
    """An unknown number of tokens is not there, on a cache hit either."""
    hits = (
        End("cache_hit", 1, Response(usage=usage, cache_hit=True))
        for usage in (Usage(5, None), Usage(None, 4))
    )
    hit = {"otel_callbacks.outcome": "cache_hit"}
    assert ended(telemetry, *hits) == [
        {"otel_callbacks.saved.input_tokens": 5, **hit},
        {"otel_callbacks.saved.output_tokens": 4, **hit},
    ]


@pytest.mark.parametrize("outcome", ["ok", "error", "cancelled", "abandoned"])
def test_only_a_cache_hit_saves(telemetry: Capture, outcome: Outcome) -> None:
    """What a call without a whole answer cost is spent."""
    (attributes,) = ended(telemetry, End(outcome, 1, cost=Decimal(2)))
    assert attributes["otel_callbacks.cost_usd"] == 2
    assert "otel_callbacks.saved.cost_usd" not in attributes
    (attributes,) = ended(telemetry, End("cache_hit", 1, cost=Decimal(2)))
    assert attributes["otel_callbacks.saved.cost_usd"] == 2


def test_a_cost_of_a_part_is_marked(telemetry: Capture) -> None:
    """More is billed than the cost says."""
    whole = End("ok", 1, cost=Decimal(2))
    cost = {"otel_callbacks.cost_usd": 2.0}
    assert ended(telemetry, whole, whole._replace(is_partly_priced=True)) == [
        cost,
        {**cost, "otel_callbacks.partly_priced": True},
    ]


@pytest.mark.parametrize("error_class", ["auth", "timeout"])
def test_the_class_of_an_error_is_there(telemetry: Capture, error_class: str) -> None:
    """It is left out only if it is the outcome."""
    failure = Failure("error", "E", error_class)
    cancelled = Failure("cancelled", "E", "cancelled")
    found = ended(
        telemetry,
        End("error", 1, failure=failure),
        End("cancelled", 1, failure=cancelled),
    )
    assert found == [
        {
            "error.type": "E",
            "otel_callbacks.error_class": error_class,
            "otel_callbacks.outcome": "error",
        },
        {"error.type": "E", "otel_callbacks.outcome": "cancelled"},
    ]


class Unrecorded(trace.NonRecordingSpan):
    """A span of another library, which is not recorded."""

    ends: list[int | None]

    def end(self, end_time: int | None = None) -> None:
        """Note the end."""
        self.ends.append(end_time)


def test_a_span_that_is_not_recorded_ends(telemetry: Capture) -> None:
    """The library that made it may have to release it."""
    span = Unrecorded(trace.INVALID_SPAN_CONTEXT)
    span.ends = []
    run = StandIn(1, Request("chat", "m"), None)
    run.span = span
    span_sink(telemetry).ended(run, End("ok", 7))
    assert span.ends == [7]


def test_content_is_on_the_span_where_it_is_wanted(server: FakeOpenAI) -> None:
    """What goes in is written at the start, what comes back at the end."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 -- a second of imports

    server.script(Reply("Two."))
    with capture(Settings(capture_content="SPAN_ONLY", strict=True)) as captured:
        model = ChatOpenAI(
            base_url=server.base_url, api_key=SecretStr("x"), model="gpt-4o-mini"
        )
        model.invoke("Roses?", {"callbacks": [captured.handler]})
        said = captured.span(CHAT)["attributes"]
    assert "Roses?" in str(said["gen_ai.input.messages"])
    assert "Two." in str(said["gen_ai.output.messages"])


TRACER = TracerProvider().get_tracer("test")


def of(thread: str, *, resumes: bool = False, graph: str = "shop") -> Request:
    """Return the request of a graph's run."""
    return Request("invoke_workflow", graph, thread=thread, resumes=resumes)


def test_the_last_run_of_the_thread_is_linked() -> None:
    """Only for a run that resumes, of the same graph, on the same thread."""
    threads = Threads()
    first, last = TRACER.start_span("first"), TRACER.start_span("last")
    threads.remember(of("t"), first)
    threads.remember(of("t"), last)
    (link,) = threads.links(of("t", resumes=True))
    assert link.context == last.get_span_context()
    assert threads.links(of("t")) == ()
    assert threads.links(of("u", resumes=True)) == ()
    assert threads.links(of("t", resumes=True, graph="other")) == ()


def test_memory_is_bounded() -> None:
    """The thread that was not used for the longest time is forgotten."""
    threads = Threads()
    span = TRACER.start_span("x")
    for number in range(MOST_THREADS):
        threads.remember(of(str(number)), span)
    threads.remember(of("0"), span)
    threads.remember(of("new"), span)
    assert threads.links(of("0", resumes=True))
    assert threads.links(of("1", resumes=True)) == ()


FOREVER = Settings(strict=True, shortest_step=86_400.0)


def traced(settings: Settings, work: Callable[[Capture], object]) -> list[str]:
    """Return the names of the spans that work makes."""
    with capture(settings=settings) as telemetry:
        work(telemetry)
        assert telemetry.value("otel_callbacks_open_runs") == 0
        return sorted(span["name"] for span in telemetry.spans)


def chain(telemetry: Capture, *steps: Any) -> object:
    """Run a chain of steps around a model's call."""
    whole: Any = RunnablePassthrough() | ChatPromptTemplate.from_messages(
        [("user", "{x}")]
    )
    for step in steps:
        whole |= step
    whole = whole | FakeChatModel() | StrOutputParser()
    config: Any = {"callbacks": [telemetry.handler], "run_name": "whole"}
    return whole.invoke({"x": "Roses?"}, config)


@pytest.mark.parametrize("content", ["NO_CONTENT", "SPAN_ONLY"])
def test_trivial_steps_are_left_out(content: str) -> None:
    """A prompt, a parser and a passthrough; the call and the whole stay."""
    settings = Settings(strict=True, shortest_step=86_400.0, capture_content=content)
    assert traced(settings, chain) == [
        "chat fake-model",
        "invoke_workflow whole",
    ]


def test_by_default_each_step_has_a_span() -> None:
    """The picture is the program's own shape."""
    assert len(traced(Settings(strict=True), chain)) == 5


def test_a_root_is_no_step() -> None:
    """A chain that nothing calls is a trace of its own, however short."""

    def work(telemetry: Capture) -> None:
        chain = RunnableLambda(lambda x: x, name="alone")
        chain.invoke("x", {"callbacks": [telemetry.handler]})

    assert traced(FOREVER, work) == ["alone"]


def test_a_step_that_takes_longer_stays() -> None:
    """Nothing is done in a nanosecond."""
    assert len(traced(Settings(strict=True, shortest_step=1e-9), chain)) == 5


def test_a_step_with_something_below_it_stays() -> None:
    """A child is never without its parent: ours, and the app's own spans."""
    inner = RunnableLambda(lambda x: x, name="inner")
    model = FakeChatModel()

    def called(x: Any) -> object:
        return model.invoke(x) and x

    def work(telemetry: Capture) -> None:
        tracer = telemetry.tracer_provider.get_tracer("app")

        def opened(x: object) -> object:
            with tracer.start_as_current_span("app"):
                return x

        chain(
            telemetry,
            RunnableLambda(inner.invoke, name="nested"),
            RunnableLambda(called, name="calls"),
            RunnableLambda(opened, name="opens"),
        )

    names = traced(FOREVER, work)
    assert {"nested", "calls", "opens", "app"} <= set(names)
    assert not {"RunnablePassthrough", "ChatPromptTemplate"} & set(names)


def test_a_step_that_the_app_writes_to_stays() -> None:
    """An attribute of the app's own is worth its span."""

    def written(x: object) -> object:
        trace.get_current_span().set_attribute("app.key", 1)
        return x

    def work(telemetry: Capture) -> None:
        chain(telemetry, RunnableLambda(written, name="written"))
        (span,) = (one for one in telemetry.spans if one["name"] == "written")
        assert span["attributes"] == {"app.key": 1}

    assert "written" in traced(FOREVER, work)


def test_a_step_that_fails_stays() -> None:
    """What went wrong is never trivial."""

    def broken(x: object) -> object:
        raise ValueError(x)

    def work(telemetry: Capture) -> None:
        with pytest.raises(ValueError, match="Roses"):
            chain(telemetry, RunnableLambda(broken, name="broken"))

    assert traced(FOREVER, work) == ["broken", "invoke_workflow whole"]


def test_with_spans_of_the_sdk_each_step_has_one() -> None:
    """Its processors have seen it start; they must see it end."""
    settings = Settings(strict=True, shortest_step=86_400.0, sdk_spans=True)
    assert len(traced(settings, chain)) == 5
