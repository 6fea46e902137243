"""HTTP children in place, and the caller's context the caller's afterwards."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import warnings
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from langchain_core._api import LangChainBetaWarning, LangChainDeprecationWarning
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanProcessor,
    TracerProvider,
    sampling,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler
from otel_callbacks._records import Request
from otel_callbacks._spans import current
from otel_callbacks._spans.current import Delegate, Forwarded, StandIn
from otel_callbacks.settings import Settings
from otel_callbacks.testing import FakeChatModel, FakeTextModel, capture

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otel_callbacks.testing import Capture, FakeOpenAI

CHAT = "chat gpt-4o-mini"
TEXT = "text_completion gpt-3.5-turbo-instruct"

pytestmark = pytest.mark.usefixtures("http_spans")


def parents_of_http(telemetry: Capture) -> list[str | None]:
    """Return the parents' names of the HTTP spans."""
    return [span["parent"] for span in telemetry.spans if span["name"] == "POST"]


def parent_ids(telemetry: Capture, name: str) -> list[str | None]:
    """Return the parents' ids of the spans of a name."""
    return [span["parent_id"] for span in telemetry.spans if span["name"] == name]


def one_http_child_each(telemetry: Capture, name: str, count: int) -> None:
    """Assert that every span of a name has one HTTP child of its own."""
    models = [span["span_id"] for span in telemetry.spans if span["name"] == name]
    assert len(models) == count
    assert sorted(map(str, parent_ids(telemetry, "POST"))) == sorted(models)


async def _astream(model: Any) -> None:
    async for _ in model.astream("Roses?"):
        pass


async def _events(model: Any, version: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)
        async for _ in model.astream_events("Roses?", version=version):
            pass


SYNC: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "invoke": (1, lambda model: model.invoke("Roses?")),
    "stream": (1, lambda model: list(model.stream("Roses?"))),
    "batch": (3, lambda model: model.batch(["a", "b", "c"])),
}
ASYNC: dict[str, tuple[int, Callable[[Any], Awaitable[Any]]]] = {
    "ainvoke": (1, lambda model: model.ainvoke("Roses?")),
    "astream": (1, _astream),
    "abatch": (3, lambda model: model.abatch(["a", "b", "c"])),
    "astream_events v1": (1, lambda model: _events(model, "v1")),
    "astream_events v2": (1, lambda model: _events(model, "v2")),
}


@pytest.mark.parametrize("way", SYNC)
def test_sync_calls_nest_http(
    telemetry: Capture, chat: Callable[..., Any], way: str
) -> None:
    """Each sync way of calling a chat model has its HTTP span below its own."""
    count, call = SYNC[way]
    call(chat())
    one_http_child_each(telemetry, CHAT, count)


@pytest.mark.parametrize("way", ASYNC)
async def test_async_calls_nest_http(
    telemetry: Capture, chat: Callable[..., Any], way: str
) -> None:
    """Each async way of calling a chat model has its HTTP span below its own."""
    count, call = ASYNC[way]
    await call(chat())
    one_http_child_each(telemetry, CHAT, count)


@pytest.mark.recent
async def test_stream_events_v3_nests_http(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """The third version of event streams has its HTTP span below the model's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        async for _ in await chat().astream_events("Roses?", version="v3"):
            pass
    # The task that feeds the stream ends the run, a little after the last event.
    while not telemetry.value("otel_callbacks_operations_total"):
        await asyncio.sleep(0.01)
    one_http_child_each(telemetry, CHAT, 1)
    span = telemetry.span(CHAT)
    assert span["attributes"]["gen_ai.request.stream"] is True
    assert span["attributes"]["gen_ai.response.time_to_first_chunk"] > 0


def test_generate_of_several_nests_each(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """In a batch whose runs all start first, each HTTP span is below its own run."""
    chat().generate([[HumanMessage(text)] for text in ("a", "b", "c")])
    one_http_child_each(telemetry, CHAT, 3)


async def test_agenerate_of_several_nests_each(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """In an async batch, too, each HTTP span is below its own run."""
    await chat().agenerate([[HumanMessage(text)] for text in ("a", "b", "c")])
    one_http_child_each(telemetry, CHAT, 3)


async def test_gathered_agenerate_nests_each(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """A hundred gathered calls keep apart, and are all children of the caller's."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()
    with tracer.start_as_current_span("request") as request:
        await asyncio.gather(
            *(model.agenerate([[HumanMessage(f"{n}?")]]) for n in range(100))
        )
        assert trace.get_current_span() is request
    one_http_child_each(telemetry, CHAT, 100)
    assert {s["parent"] for s in telemetry.spans if s["name"] == CHAT} == {"request"}


@pytest.mark.parametrize("way", SYNC)
def test_sync_text_calls_nest_http(
    telemetry: Capture, text: Callable[..., Any], way: str
) -> None:
    """Each sync way of calling a text model nests its HTTP span."""
    _, call = SYNC[way]
    call(text())
    assert set(parents_of_http(telemetry)) == {TEXT}


@pytest.mark.parametrize("way", ["ainvoke", "astream", "abatch"])
async def test_async_text_calls_nest_http(
    telemetry: Capture, text: Callable[..., Any], way: str
) -> None:
    """Each async way of calling a text model nests its HTTP span."""
    _, call = ASYNC[way]
    await call(text())
    assert set(parents_of_http(telemetry)) == {TEXT}


async def test_async_text_batch_nests_in_first(
    telemetry: Capture, text: Callable[..., Any]
) -> None:
    """Several prompts in one request: its HTTP span is below the first run."""
    await text().agenerate(["a", "b"])
    first = next(span for span in telemetry.spans if span["name"] == TEXT)
    assert parent_ids(telemetry, "POST") == [first["span_id"]]


def test_tools_nest_what_is_called_in_them(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """A model that a tool calls is below the tool, however it is called."""
    model = chat()

    @tool
    def florist(question: str) -> str:
        """Ask the florist."""
        model.invoke(question)
        model.generate([[HumanMessage(question)]])
        return "roses"

    florist.invoke({"question": "?"}, config={"callbacks": [telemetry.handler]})
    models = [span for span in telemetry.spans if span["name"] == CHAT]
    assert [span["parent"] for span in models] == ["execute_tool florist"] * 2
    assert parents_of_http(telemetry) == [CHAT, CHAT]


async def test_langgraph_nodes_nest_http(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """In a graph's node, HTTP spans of the model and of the node are in place."""
    from langgraph.graph import END, START, StateGraph  # noqa: PLC0415

    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()

    async def ask(state: dict[str, Any]) -> dict[str, Any]:
        with tracer.start_as_current_span("before"):
            pass
        answer = await model.ainvoke(state["question"])
        with tracer.start_as_current_span("after"):
            pass
        return {"answer": answer.content}

    graph = StateGraph(dict)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    await graph.compile().ainvoke(
        {"question": "Roses?"}, config={"callbacks": [telemetry.handler]}
    )
    assert telemetry.span(CHAT)["parent"] == "ask"
    assert telemetry.span("before")["parent"] == "ask"
    assert telemetry.span("after")["parent"] == "ask"
    assert parents_of_http(telemetry) == [CHAT]


def test_app_span_lies_between(telemetry: Capture, chat: Callable[..., Any]) -> None:
    """A span that the app opens in a chain's step is the parent of what is in it."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()

    def step(question: str) -> str:
        with tracer.start_as_current_span("between"):
            model.invoke(question)
            model.invoke(question)
        return "done"

    RunnableLambda(step, name="step").invoke(
        "?", config={"callbacks": [telemetry.handler]}
    )
    assert telemetry.tree().splitlines() == [
        "step",
        "  between",
        f"    {CHAT}",
        "      POST",
        f"    {CHAT}",
        "      POST",
    ]


async def test_app_span_lies_between_in_async_code(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """After a first async call in it, the app's span is still the parent."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()

    async def step(question: str) -> str:
        with tracer.start_as_current_span("between"):
            await model.ainvoke(question)
            with tracer.start_as_current_span("own"):
                pass
            await model.ainvoke(question)
        return "done"

    await RunnableLambda(step, name="step").ainvoke(
        "?", config={"callbacks": [telemetry.handler]}
    )
    models = [span["parent"] for span in telemetry.spans if span["name"] == CHAT]
    assert models == ["between", "between"]
    assert telemetry.span("own")["parent"] == "between"


async def _call(model: FakeChatModel) -> None:
    await model.ainvoke("?")


async def _batch(model: FakeChatModel) -> None:
    await model.agenerate([[HumanMessage("?")]] * 2)


async def _call_twice(model: FakeChatModel) -> None:
    await model.ainvoke("?")
    model.invoke("?")


@pytest.mark.parametrize("first", [_call, _batch, _call_twice, _astream])
async def test_app_span_after_an_async_call(
    telemetry: Capture, first: Callable[[Any], Awaitable[None]]
) -> None:
    """A span that the app opens after a call is the parent of the next call in it."""
    tracer = telemetry.tracer_provider.get_tracer("app")

    async def step(_: str, config: RunnableConfig) -> str:
        model = FakeChatModel(callbacks=config["callbacks"])
        await first(model)
        with tracer.start_as_current_span("one"):
            await model.ainvoke("?")
            await first(model)
            with tracer.start_as_current_span("two"):
                await model.ainvoke("?")
        with tracer.start_as_current_span("three"):
            await model.ainvoke("?")
        return "done"

    config: RunnableConfig = {"callbacks": [telemetry.handler]}
    await RunnableLambda(step, name="step").ainvoke("?", config)
    before = telemetry.tree().partition("  one")[0]
    calls = before.count("chat")
    call = "chat fake-model"
    assert telemetry.tree().splitlines() == [
        "step",
        *[f"  {call}"] * calls,
        "  one",
        *[f"    {call}"] * (1 + calls),
        "    two",
        f"      {call}",
        "  three",
        f"    {call}",
    ]


async def test_spans_after_a_call_are_not_in_it(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """What the app does after an async call is beside it, not below it."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    with tracer.start_as_current_span("request"):
        await chat().ainvoke("?")
        with tracer.start_as_current_span("after"):
            pass
    assert telemetry.span("after")["parent"] == "request"


async def test_worker_loop_keeps_requests_apart(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """Requests that one task handles one after another are traces of their own."""
    model = chat()
    for number in range(5):
        await model.ainvoke(f"{number}?")
    traces = {span["trace_id"] for span in telemetry.spans if span["name"] == CHAT}
    assert len(traces) == 5
    assert {s["parent"] for s in telemetry.spans if s["name"] == CHAT} == {None}


def test_interleaved_streams_keep_apart(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """Two streams read in turn are siblings, and their reader is in neither."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()
    with tracer.start_as_current_span("request") as request:
        first, second = model.stream("a"), model.stream("b")
        next(first)
        assert trace.get_current_span() is request
        next(second)
        with tracer.start_as_current_span("reader"):
            list(first)
        list(second)
        assert trace.get_current_span() is request
    one_http_child_each(telemetry, CHAT, 2)
    models = [span["parent"] for span in telemetry.spans if span["name"] == CHAT]
    assert models == ["request", "request"]
    assert telemetry.span("reader")["parent"] == "request"


async def test_interleaved_async_streams_keep_apart(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """Two async streams read in turn in one task are siblings."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()
    with tracer.start_as_current_span("request"):
        first, second = model.astream("a"), model.astream("b")
        await anext(first)
        await anext(second)
        with tracer.start_as_current_span("reader"):
            async for _ in first:
                pass
        async for _ in second:
            pass
    one_http_child_each(telemetry, CHAT, 2)
    models = [span["parent"] for span in telemetry.spans if span["name"] == CHAT]
    assert models == ["request", "request"]
    assert telemetry.span("reader")["parent"] == "request"


def test_parallel_branches_nest(telemetry: Capture, chat: Callable[..., Any]) -> None:
    """Branches that run in threads each hold their own model and HTTP span."""
    model = chat()
    RunnableParallel(left=model, right=model).invoke(
        "?", config={"callbacks": [telemetry.handler]}
    )
    one_http_child_each(telemetry, CHAT, 2)
    models = [span["parent"] for span in telemetry.spans if span["name"] == CHAT]
    assert models == ["RunnableParallel<left,right>"] * 2


def test_context_is_the_callers_afterwards(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """A sync call leaves the very context that it found."""
    from opentelemetry import context  # noqa: PLC0415

    def calls() -> None:
        before = context.get_current()
        chat().invoke("?")
        assert context.get_current() is before
        list(chat().stream("?"))
        assert context.get_current() is before

    # Without a span that a test before has left.
    contextvars.Context().run(calls)
    assert len(telemetry.spans) == 4


@pytest.mark.parametrize("count", [2, 3])
def test_a_batch_leaves_the_context_as_it_was(telemetry: Capture, count: int) -> None:
    """Its runs start before the first call, and share what is put back."""
    model = FakeChatModel(callbacks=[telemetry.handler])
    asked: list[list[BaseMessage]] = [[HumanMessage("Roses?")]] * count
    before = otel_context.get_current()
    model.generate(asked)
    assert otel_context.get_current() is before
    model.generate(asked[1:])
    assert otel_context.get_current() is before


@pytest.mark.parametrize("size", [3, 4])
def test_a_batch_inside_the_start_of_another(telemetry: Capture, size: int) -> None:
    """A handler after ours may ask a model of its own, such as for a check."""

    class Check(BaseCallbackHandler):
        """Checks the first prompt by a batch of its own."""

        is_asked = False

        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            """Ask, once."""
            if not self.is_asked:
                self.is_asked = True
                prompts = [[HumanMessage(str(n))] for n in range(size)]
                FakeChatModel(model_name="check").generate(
                    prompts, callbacks=[telemetry.handler]
                )

    FakeChatModel().generate(
        [[HumanMessage("a")], [HumanMessage("b")]],
        callbacks=[telemetry.handler, Check()],
    )
    assert trace.get_current_span() is trace.INVALID_SPAN
    names = Counter(span["name"] for span in telemetry.spans)
    assert names == {"chat check": size, "chat fake-model": 2}


def test_a_batch_is_current_until_its_last_run_ends(telemetry: Capture) -> None:
    """The context of the caller is restored once, after all runs."""
    manager = CallbackManager.configure([telemetry.handler])

    def calls() -> None:
        before = otel_context.get_current()
        first, second = manager.on_chat_model_start(
            {}, [[HumanMessage("Roses?")]] * 2, batch_size=2
        )
        inside = otel_context.get_current()
        assert inside is not before
        first.on_llm_end(LLMResult(generations=[]))
        assert otel_context.get_current() is inside
        second.on_llm_end(LLMResult(generations=[]))
        assert otel_context.get_current() is before

    # Without a span that a test before has left.
    contextvars.Context().run(calls)


def test_a_batch_in_a_batch_may_outlive_it(telemetry: Capture) -> None:
    """The outer batch restores its caller's context, though inner runs are open."""
    inner_is_open, outer_has_ended = threading.Event(), threading.Event()
    asked: list[list[BaseMessage]] = [[HumanMessage("Roses?")]] * 2

    class Slow(FakeChatModel):
        """Waits for the end of the outer batch."""

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            inner_is_open.set()
            outer_has_ended.wait()
            return super()._generate(*args, **kwargs)

    inner = Slow(callbacks=[telemetry.handler])
    threads: list[threading.Thread] = []

    class Starts(FakeChatModel):
        """Starts an inner batch in the first call."""

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            if not threads:
                run = contextvars.copy_context().run
                threads.append(
                    threading.Thread(target=run, args=(inner.generate, asked))
                )
                threads[0].start()
                inner_is_open.wait()
            return super()._generate(*args, **kwargs)

    def outer() -> bool:
        before = otel_context.get_current()
        Starts(callbacks=[telemetry.handler]).generate(asked)
        return otel_context.get_current() is before

    # Without a span that a test before has left.
    is_restored = contextvars.Context().run(outer)
    outer_has_ended.set()
    threads[0].join()
    assert is_restored
    assert len(telemetry.spans) == 4


@pytest.mark.parametrize("sdk_spans", [False, True])
def test_a_run_without_a_parent_is_no_child_of_a_current_run(
    *, sdk_spans: bool
) -> None:
    """LangChain knows which run calls another; what is only current does not."""
    with capture(Settings(strict=True, sdk_spans=sdk_spans)) as telemetry:
        handler, ids = telemetry.handler, [uuid4(), uuid4()]
        for run_id in ids:
            handler.on_chain_start({}, "x", run_id=run_id, name="request")
        for run_id in reversed(ids):
            handler.on_chain_end("y", run_id=run_id)
    assert parent_ids(telemetry, "request") == [None, None]


def test_app_span_around_the_parent_is_no_parent(telemetry: Capture) -> None:
    """It stays current if the parent was started in another context."""
    handler = telemetry.handler
    ids = [uuid4(), uuid4(), uuid4()]
    parents = dict(zip(ids, [None, *ids], strict=False))

    def start(run_id: UUID, name: str) -> None:
        parent = parents[run_id]
        handler.on_chain_start({}, "x", run_id=run_id, parent_run_id=parent, name=name)

    start(ids[0], "outer")
    with telemetry.tracer_provider.get_tracer("app").start_as_current_span("between"):
        contextvars.copy_context().run(start, ids[1], "parent")
        start(ids[2], "child")
        for run_id in reversed(ids):
            handler.on_chain_end("y", run_id=run_id)
    assert telemetry.tree().splitlines() == [
        "outer",
        "  between",
        "    parent",
        "      child",
    ]


class Fails(sampling.Sampler):
    """A sampler that fails for a chain's span."""

    def should_sample(self, *args: Any, **kwargs: Any) -> sampling.SamplingResult:
        """Fail, or sample."""
        if "invoke_workflow chain" in (*args, *kwargs.values()):
            raise ValueError
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        """Name it."""
        return "fails"


def test_a_run_whose_span_could_not_start_has_children() -> None:
    """They are children of the nearest span outside."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(sampler=Fails(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=CollectorRegistry(), settings=Settings()
    )
    chain = RunnableLambda(lambda x: x, name="first") | RunnableLambda(str, name="last")
    chain.invoke("x", {"callbacks": [handler], "run_name": "chain"})
    found = [(span.name, span.parent) for span in memory.get_finished_spans()]
    assert found == [("first", None), ("last", None)]


def test_what_is_no_span_is_no_parent(telemetry: Capture) -> None:
    """A context may hold anything; OpenTelemetry takes it for no span."""
    odd: Any = "no span"
    token = otel_context.attach(trace.set_span_in_context(odd))
    try:
        FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
    finally:
        otel_context.detach(token)
    assert telemetry.span("chat fake-model")["parent_id"] is None


def test_what_the_app_attaches_inside_stays(telemetry: Capture) -> None:
    """Baggage attached inside a run survives the run's end, the run's span not."""
    from opentelemetry import baggage, context  # noqa: PLC0415

    def step(_: str) -> str:
        return "x"

    handler = telemetry.handler

    def work() -> None:
        import uuid  # noqa: PLC0415

        run_id = uuid.uuid4()
        handler.on_chain_start({}, "x", run_id=run_id, name="step")
        context.attach(baggage.set_baggage("team", "flowers"))
        handler.on_chain_end("y", run_id=run_id)
        assert baggage.get_baggage("team") == "flowers"
        assert not trace.get_current_span().get_span_context().is_valid

    contextvars.copy_context().run(work)
    assert step("x") == "x"
    assert [span["name"] for span in telemetry.spans] == ["step"]


async def test_nothing_is_logged_about_detaching(
    telemetry: Capture,
    server: FakeOpenAI,
    chat: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No call of any kind logs that a context could not be detached."""
    model = chat()
    await model.ainvoke("a")
    stream = model.astream("b")
    await anext(stream)
    await asyncio.create_task(stream.aclose())  # type: ignore[attr-defined]
    await asyncio.gather(*(_astream(model) for _ in range(3)))
    assert "detach" not in caplog.text
    assert len(server.requests) == 5
    assert len(telemetry.spans) == 10


async def test_chain_of_stand_ins_does_not_grow(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """After many calls in one task the current stand-in is one step from outside."""
    model = chat()
    for _ in range(10):
        await model.ainvoke("?")
    current: Any = trace.get_current_span()
    current.resolve()
    assert current.outer is trace.INVALID_SPAN
    assert len(telemetry.spans) == 20


# -- runtime contexts of vendors ---------------------------------------------------


class Translating:
    """As ddtrace's: what is attached is translated, and never detached."""

    def __init__(self) -> None:
        self.span: contextvars.ContextVar[trace.Span | None] = contextvars.ContextVar(
            "span", default=None
        )

    def attach(self, context: Context) -> object:
        """Keep the span alone."""
        self.span.set(trace.get_current_span(context))
        return object()

    def get_current(self) -> Context:
        """Make a context of the span that is kept."""
        span = self.span.get()
        return Context() if span is None else trace.set_span_in_context(span, Context())

    def detach(self, token: object) -> None:
        """Do nothing."""


class Keeping(ContextVarsRuntimeContext):
    """One that copies what it is given."""

    def attach(self, context: Context) -> Any:
        """Keep a copy."""
        return super().attach(Context({**context, "vendor": 1}))


class Deaf(ContextVarsRuntimeContext):
    """One that ignores what is attached."""

    def attach(self, context: Context) -> Any:
        """Do nothing."""
        del context
        return super().attach(self.get_current())


class Leaking(ContextVarsRuntimeContext):
    """One that never detaches."""

    def detach(self, token: object) -> None:
        """Do nothing."""


class Raising(ContextVarsRuntimeContext):
    """One that lets nobody attach what it does not know."""

    def attach(self, context: Context) -> Any:
        """Refuse."""
        if any(key.startswith("otel_callbacks") for key in context):
            raise TypeError
        return super().attach(context)


class Faithful(ContextVarsRuntimeContext):
    """A class of its own that does what OpenTelemetry's does, and notes it."""

    def __init__(self) -> None:
        super().__init__()
        self.attached: list[Context] = []

    def attach(self, context: Context) -> Any:
        """Note what is attached."""
        self.attached.append(context)
        return super().attach(context)


class Fresh(Faithful):
    """One that makes a context each time while none is attached."""

    def get_current(self) -> Context:
        """Return what is attached, or a new context."""
        return super().get_current() or Context()


class OfThread(Faithful):
    """One that keeps the context in an attribute, and that is not empty."""

    def __init__(self) -> None:
        super().__init__()
        self.context = Context({"vendor": 1})

    def attach(self, context: Context) -> Any:
        """Keep it, and return the one before."""
        self.attached.append(context)
        before, self.context = self.context, context
        return before

    def get_current(self) -> Context:
        """Return it."""
        return self.context

    def detach(self, token: Any) -> None:
        """Restore the one before."""
        self.context = token


def use_runtime(monkeypatch: pytest.MonkeyPatch, runtime: Any) -> None:
    """Let the process have another runtime context."""
    monkeypatch.setattr(otel_context, "_RUNTIME_CONTEXT", runtime)


@pytest.mark.parametrize("kind", [Translating, Keeping, Raising])
def test_context_that_is_not_plain_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """Each request is a trace of its own, and its runs are in each other."""
    runtime = kind()
    use_runtime(monkeypatch, runtime)
    with capture(Settings()) as telemetry:
        chain = RunnableLambda(lambda x: x) | FakeChatModel()
        for _ in range(3):
            chain.invoke("Roses?", {"callbacks": [telemetry.handler]})
            list(chain.stream("Roses?", {"callbacks": [telemetry.handler]}))
        assert not trace.get_current_span().get_span_context().is_valid
    tree = "RunnableSequence\n  RunnableLambda\n  chat fake-model"
    assert telemetry.tree() == "\n".join([tree] * 6)
    assert len({span["trace_id"] for span in telemetry.spans}) == 6


@pytest.mark.parametrize("kind", [Translating, Keeping, Deaf, Leaking, Raising])
def test_app_without_a_plain_context_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    """The line says what is not below a call, and how to have it."""
    use_runtime(monkeypatch, kind())
    with capture(Settings()) as telemetry:
        for _ in range(2):
            FakeChatModel(callbacks=[telemetry.handler]).invoke("?")
    lines = [line for line in caplog.messages if "runtime context" in line]
    assert len(lines) == 1
    assert "OTEL_PYTHON_CONTEXT" in lines[0]


@pytest.mark.parametrize("kind", [Faithful, Fresh, OfThread])
def test_context_as_good_as_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    """What returns what was attached is used with all that it does, whoever made it."""
    runtime = kind()
    use_runtime(monkeypatch, runtime)
    with capture() as telemetry:
        tracer = telemetry.tracer_provider.get_tracer("app")

        def step(_: object) -> None:
            tracer.start_span("inside").end()

        RunnableLambda(step).invoke("?", {"callbacks": [telemetry.handler]})
    assert telemetry.tree() == "step\n  inside"
    assert not caplog.messages
    # After the probe.
    assert runtime.attached[1].get(current.RUN_KEY) is not None


# -- span processors that read a span's parent --------------------------------------


class Parents(SpanProcessor):
    """Reads the parent of each span that starts."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note the parent's name and operation, where it is a span that can be read."""
        parent = trace.get_current_span(parent_context)
        if isinstance(parent, ReadableSpan):
            operation = (parent.attributes or {}).get("gen_ai.operation.name")
            self.seen.append((span.name, parent.name, operation))


def test_processor_reads_the_parent(telemetry: Capture) -> None:
    """Spans of runs and of the app have parents of the SDK's own class."""
    parents = Parents()
    telemetry.tracer_provider.add_span_processor(parents)
    tracer = telemetry.tracer_provider.get_tracer("app")

    @tool
    def water(flower: str) -> str:
        """Water a flower."""
        with tracer.start_as_current_span("pour"):
            return flower

    chain = RunnableLambda(lambda _: {"flower": "rose"}, name="pick") | water  # type: ignore[var-annotated]
    with tracer.start_as_current_span("request"):
        chain.invoke("?", {"callbacks": [telemetry.handler]})
    assert parents.seen == [
        ("RunnableSequence", "request", None),
        ("pick", "RunnableSequence", None),
        ("execute_tool water", "RunnableSequence", None),
        ("pour", "execute_tool water", "execute_tool"),
    ]


class Keepers(SpanProcessor):
    """Keeps the parent of each span that starts."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, Any]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Keep the parent."""
        self.kept.append((span.name, trace.get_current_span(parent_context)))


def test_processor_keeps_the_parent(telemetry: Capture) -> None:
    """After a run has ended, too, the parent of the runs below it is that run."""
    keepers = Keepers()
    telemetry.tracer_provider.add_span_processor(keepers)
    chain = RunnableLambda(lambda x: x, name="pick") | FakeChatModel()
    with telemetry.tracer_provider.get_tracer("app").start_as_current_span("request"):
        chain.invoke("?", {"callbacks": [telemetry.handler]})
    assert [(name, parent.name) for name, parent in keepers.kept[1:]] == [
        ("RunnableSequence", "request"),
        ("pick", "RunnableSequence"),
        ("chat fake-model", "RunnableSequence"),
    ]


class Answers(Delegate):
    """Answers as the span it is given."""

    def __init__(self, span: Any) -> None:
        self.span = span

    def resolve(self) -> trace.Span:
        """Return that span."""
        found: trace.Span = self.span
        return found


@pytest.fixture
def span() -> Span:
    """Return a span of the SDK that is open."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    started = tracer.start_span("first")
    assert isinstance(started, Span)
    return started


def test_every_method_of_a_span_is_passed_on(span: Span) -> None:
    """What is written to the one stands on the other."""
    other = trace.SpanContext(1, 2, is_remote=True)
    delegate = Answers(span)
    delegate.update_name("second")
    delegate.set_attribute("one", 1)
    delegate.set_attributes({"two": 2})
    delegate.add_event("asked", {"by": "me"}, timestamp=7)
    delegate.add_link(other, {"why": "cause"})
    delegate.record_exception(ValueError("no"), {"where": "here"})
    delegate.set_status(Status(StatusCode.ERROR, "broken"))
    assert span.name == "second"
    assert dict(span.attributes or {}) == {"one": 1, "two": 2}
    assert [event.name for event in span.events] == ["asked", "exception"]
    assert span.events[0].timestamp == 7
    assert dict(span.events[0].attributes or {}) == {"by": "me"}
    assert (span.events[1].attributes or {})["where"] == "here"
    assert [link.context for link in span.links] == [other]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "broken"


def test_answers_of_a_span_come_back(span: Span) -> None:
    """Its context, whether it records, and what only the SDK's spans have."""
    delegate: Any = Answers(span)
    assert delegate.get_span_context() == span.get_span_context()
    assert delegate.is_recording() is True
    assert delegate.name == "first"
    assert delegate.kind is trace.SpanKind.INTERNAL
    span.end()
    assert delegate.is_recording() is False


def test_no_method_of_a_span_is_left_out() -> None:
    """The API's methods are all there, so none is the abstract class's own."""
    # The context manager's two are the API's own: they call what is passed on.
    public = {name for name in vars(trace.Span) if not name.startswith("_")}
    assert public - vars(Delegate).keys() == set()


def test_end_is_left_to_the_owner(span: Span) -> None:
    """Whoever finds the span current cannot end it."""
    delegate = Answers(span)
    delegate.end()
    delegate.end(1)
    with delegate:
        pass
    assert span.end_time is None


def test_unknown_attributes_are_missing(span: Span) -> None:
    """What the other span lacks is missing here, too, and magic is never passed on."""
    delegate: Any = Answers(span)
    assert not hasattr(delegate, "petals")
    with pytest.raises(AttributeError, match="__rose__"):
        _ = delegate.__rose__


def test_a_delegate_must_define_its_span() -> None:
    """The base class cannot be used by itself."""
    kind: Any = Delegate
    with pytest.raises(TypeError, match="abstract"):
        kind()


RUN = StandIn(7, Request("chat", "m"), None)
MANAGER = SimpleNamespace(run_id=SimpleNamespace(int=7))
START = "AsyncCallbackManager.on_llm_start"
mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="")


def called_in(function: str, module: str, variable: str, value: object) -> object:
    """Ask which run is called from a function of this name in this module."""
    names: dict[str, Any] = {"__name__": module, "ask": current.run_being_called}
    source = f"def {function}({variable}, runs):\n    return ask(runs)\n"
    exec(compile(source, module, "exec"), names)  # noqa: S102 -- only so can a frame be made
    return names[function](value, {7: RUN})


@pytest.mark.parametrize(
    ("function", "variable", "value"),
    [
        ("_generate_with_cache", "run_manager", MANAGER),
        ("_agenerate_with_cache", "run_manager", MANAGER),
        ("_generate_helper", "run_managers", [MANAGER, None]),
        ("_agenerate_helper", "run_managers", [MANAGER]),
    ],
)
def test_run_is_found_up_the_stack(function: str, variable: str, value: object) -> None:
    """Each of LangChain's generate steps holds its run's manager."""
    module = "langchain_core.language_models.some"
    assert called_in(function, module, variable, value) is RUN


def test_run_of_another_batch_is_not_found() -> None:
    """What is being called need not be one of these runs."""
    other = SimpleNamespace(run_id=SimpleNamespace(int=8))
    module = "langchain_core.language_models.some"
    assert called_in("_generate_with_cache", module, "run_manager", other) is None


def test_function_of_the_same_name_is_passed_over() -> None:
    """An app's own function may have such a name."""
    assert called_in("_generate_with_cache", "app", "run_manager", MANAGER) is None


@pytest.mark.parametrize("value", [None, [], SimpleNamespace(run_id=None)])
def test_changed_privates_find_nothing(value: object) -> None:
    """Where LangChain's variables are not as known, less is nested."""
    module = "langchain_core.language_models.some"
    assert called_in("_generate_with_cache", module, "run_manager", value) is None


def test_off_the_stack_nothing_is_called() -> None:
    """Outside a generate step there is no run."""
    assert current.run_being_called({7: RUN}) is None


def test_search_up_the_stack_ends() -> None:
    """From very deep it is given up, as it costs time."""

    def deep(depth: int) -> object:
        return deep(depth - 1) if depth else current.run_being_called({7: RUN})

    module = "langchain_core.language_models.some"
    names: dict[str, Any] = {"__name__": module, "deep": deep}
    source = "def _generate_with_cache(run_manager, depth):\n    return deep(depth)\n"
    exec(compile(source, module, "exec"), names)  # noqa: S102 -- only so can a frame be made
    assert names["_generate_with_cache"](MANAGER, 10) is RUN
    assert names["_generate_with_cache"](MANAGER, 250) is None


class AsksChat(FakeChatModel):
    """A chat model whose calls open a span of the app's own."""

    tracer: Any = None

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        with self.tracer.start_as_current_span("inside"):
            return super()._generate(*args, **kwargs)


class AsksText(FakeTextModel):
    """A text model whose calls open a span of the app's own."""

    tracer: Any = None

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        with self.tracer.start_as_current_span("inside"):
            return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        with self.tracer.start_as_current_span("inside"):
            return await super()._agenerate(*args, **kwargs)


def test_langchain_is_as_it_is_read(telemetry: Capture) -> None:
    """In a real batch each call is below its own run; a text batch's, the first."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    chat = AsksChat(callbacks=[telemetry.handler], tracer=tracer)
    chat.generate([[HumanMessage("a")], [HumanMessage("b")]])
    parents = [s["parent_id"] for s in telemetry.spans if s["name"] == "inside"]
    runs = [s["span_id"] for s in telemetry.spans if s["name"] == "chat fake-model"]
    assert parents == runs
    telemetry.clear()
    AsksText(callbacks=[telemetry.handler], tracer=tracer).generate(["a", "b"])
    assert telemetry.span("inside")["parent"] == "text_completion"


async def test_waiting_task_of_langchain_is_found(telemetry: Capture) -> None:
    """An async text call is below its run, though that starts in a task of its own."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = AsksText(callbacks=[telemetry.handler], tracer=tracer)
    await model.agenerate(["a"])
    assert telemetry.span("inside")["parent"] == "text_completion"
    await asyncio.gather(*(model.agenerate([text]) for text in "abc"))
    runs = [s["span_id"] for s in telemetry.spans if s["name"].startswith("text_")]
    inside = [s["parent_id"] for s in telemetry.spans if s["name"] == "inside"]
    assert sorted(runs) == sorted(inside)
    assert not trace.get_current_span().get_span_context().is_valid


async def start_in_gather() -> contextvars.Context | None:
    """Ask for the waiting context from a task that looks like LangChain's."""
    return current.waiting_context()


start_in_gather.__qualname__ = START


async def test_context_of_gathers_waiter() -> None:
    """It is the context of the task that waits for ``gather``, not the child's."""
    mark.set("the waiter's")
    gathered = asyncio.gather(start_in_gather())
    # As Python 3.14 does.
    gathered.add_done_callback(lambda _: None, context=contextvars.Context())
    (found,) = await gathered
    assert found is not None
    assert found[mark] == "the waiter's"


def test_no_loop_no_context() -> None:
    """Outside a loop nobody waits."""
    assert current.waiting_context() is None


async def test_no_task_no_context() -> None:
    """In a loop's callback nobody waits."""
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(
        lambda: done.set_result(current.waiting_context())
    )
    assert await done is None


async def test_other_tasks_have_no_waiting_context() -> None:
    """Any other task's current context is the right one."""

    async def other() -> object:
        return current.waiting_context()

    assert await other() is None
    for name in ("Agent.run", "ask"):
        other.__qualname__ = name
        assert await asyncio.gather(other()) == [None]  # type: ignore[comparison-overlap]


async def test_task_that_nobody_waits_for() -> None:
    """A start in a task without a waiter has no other context."""
    task = asyncio.create_task(start_in_gather())
    while not task.done():
        await asyncio.sleep(0)
    assert task.result() is None


def _plain() -> Callable[[object], None]:
    """Return a callback that closes over nothing."""
    return lambda _: None


def _closed() -> Callable[[object], None]:
    """Return a callback that closes over something, but no future."""
    name = "rose"
    return lambda _: mark.set(name) and None


def _of_nobody() -> Callable[[object], None]:
    """Return a callback that closes over a future that nobody waits for."""
    outer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return lambda _: outer.cancel() and None  # type: ignore[return-value]


@pytest.mark.parametrize("make", [_plain, _closed, _of_nobody, lambda: print])
async def test_other_callbacks_have_no_context(
    make: Callable[[], Callable[[object], None]],
) -> None:
    """Where the task's callbacks are not gather's, less is nested."""
    task = asyncio.create_task(start_in_gather())
    task.add_done_callback(make())
    while not task.done():
        await asyncio.sleep(0)
    assert task.result() is None


class Rose(trace.NonRecordingSpan):
    """A span of another maker's, which has what the SDK's have not."""

    petals = 5


class Garden(trace.TracerProvider, trace.Tracer):
    """Makes them."""

    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        """Return itself."""
        return self

    def start_span(self, *_: Any, **__: Any) -> trace.Span:
        """Start one."""
        return Rose(trace.SpanContext(1, 2, is_remote=False))

    def start_as_current_span(self, *_: Any, **__: Any) -> Any:
        """Nobody asks for it."""
        raise NotImplementedError


def test_what_another_makers_spans_have_is_passed_on() -> None:
    """Whatever it is called; of the SDK's spans only what these have is looked for."""
    handler = OTelCallbackHandler(
        tracer_provider=Garden(), registry=CollectorRegistry(), settings=Settings()
    )

    def called() -> tuple[int, bool]:
        run_id = uuid4()
        handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        current: Any = trace.get_current_span()
        found = current.petals, hasattr(current, "__petals__")
        handler.on_llm_end(None, run_id=run_id)
        return found

    assert contextvars.Context().run(called) == (5, False)
    assert isinstance(vars(Delegate)["name"], Forwarded)
    assert vars(Delegate)["name"] is Delegate.name  # type: ignore[attr-defined]
