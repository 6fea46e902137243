"""A span of our own is, byte for byte, the span that the SDK would have made."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk import trace as trace_sdk
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    SpanLimits,
    SpanProcessor,
    TracerProvider,
    id_generator,
    sampling,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags
from prometheus_client import CollectorRegistry

from otel_callbacks import (
    BudgetExceeded,
    OTelCallbackHandler,
    Settings,
    track_usage,
)
from otel_callbacks._spans.own import OwnSpan, SpanMaker, is_tested
from otel_callbacks.testing import FakeChatModel, FakeTextModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

Scenario = "Callable[[OTelCallbackHandler, TracerProvider], None]"
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


class _Shelf(BaseRetriever):
    """A retriever that finds one document."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document(query)]


_RANDOM_ID = re.compile("[0-9a-f]{32}")


class _Counting(id_generator.IdGenerator):
    """Ids that are the same in each run."""

    def __init__(self, *, is_random: bool = True) -> None:
        self._next = 0
        self._is_random = is_random

    def _id(self) -> int:
        self._next += 1
        return self._next

    generate_trace_id = _id
    generate_span_id = _id

    def is_trace_id_random(self) -> bool:
        """Return whether they could be random, so that the flag is compared, too."""
        return self._is_random


def _sent(spans: Sequence[ReadableSpan]) -> list[bytes]:
    """Return the spans as they are sent, without times and an interrupt's random id."""
    return [_encoded(span) for span in spans]


def _encoded(ended: ReadableSpan) -> bytes:
    (resource,) = encode_spans([ended]).resource_spans
    (scope,) = resource.scope_spans
    (span,) = scope.spans
    span.start_time_unix_nano = span.end_time_unix_nano = 0
    for event in span.events:
        event.time_unix_nano = 0
    kept = [one for one in span.attributes if "chunk" not in one.key]
    for one in kept:
        if one.value.HasField("string_value"):
            text = _RANDOM_ID.sub("0", one.value.string_value)
            one.value.string_value = text
    del span.attributes[:]
    span.attributes.extend(kept)
    sent: bytes = (
        resource.resource.SerializeToString(deterministic=True)
        + scope.scope.SerializeToString(deterministic=True)
        + scope.schema_url.encode()
        + span.SerializeToString(deterministic=True)
        # OTLP has neither its flags nor whether it is valid.
        + str(tuple(ended.context or ())).encode()
    )
    return sent


def _ran(scenario: Any, *, sdk_spans: bool, **provider: Any) -> list[bytes]:
    """Return what a scenario sends with our spans or with the SDK's."""
    exporter = InMemorySpanExporter()
    processors = provider.pop("processors", ())
    settings = provider.pop("settings", Settings(strict=True))
    provider.setdefault("id_generator", _Counting())
    made = TracerProvider(shutdown_on_exit=False, **provider)
    for processor in processors:
        made.add_span_processor(processor)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    handler = OTelCallbackHandler(
        tracer_provider=made,
        registry=CollectorRegistry(),
        settings=replace(settings, sdk_spans=sdk_spans),
    )
    scenario(handler, made)
    handler.close()
    made.shutdown()
    return _sent(exporter.get_finished_spans())


def _plain(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """One call after another."""
    model = FakeChatModel(usage=USAGE, callbacks=[handler])
    model.invoke("Roses?")
    list(model.stream("Tulips?"))
    model.batch(["a", "b"], {"max_concurrency": 1})


def _remote(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """Calls in traces of other services: sampled or not, with random ids or not."""
    model = FakeChatModel(usage=USAGE, callbacks=[handler])
    for flags in range(4):
        state = trace.TraceState([("vendor", str(flags))])
        of_caller = SpanContext(7, 8, True, TraceFlags(flags), state)  # noqa: FBT003 -- is remote
        with trace.use_span(trace.NonRecordingSpan(of_caller)):
            model.invoke("Roses?")


def _async(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """An async call and an async stream."""

    async def run() -> None:
        model = FakeChatModel(usage=USAGE, callbacks=[handler])
        await model.ainvoke("Roses?")
        async for _ in model.astream("Tulips?"):
            pass

    asyncio.run(run())


def _failing(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """Errors, in a model and in a step."""
    model = FakeChatModel(error=TimeoutError("slow"), callbacks=[handler])
    for failing in (model, RunnableLambda(lambda x: x) | model):
        with contextlib.suppress(TimeoutError):
            failing.invoke("Roses?", {"callbacks": [handler]})


def _nested(handler: OTelCallbackHandler, provider: TracerProvider) -> None:
    """A chain with a tool, inside and around spans of the app's own."""

    @tool
    def price(flower: str) -> str:
        """Return a price."""
        return f"{flower}: 3"

    model = FakeChatModel(usage=USAGE)
    chain = RunnableLambda(price.invoke) | model
    with provider.get_tracer("app").start_as_current_span("request"):
        chain.invoke("rose", {"callbacks": [handler], "run_name": "shop"})


def _touched(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """The app does to the current span all that the API allows."""
    link = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))

    def touch(text: str) -> str:
        span = trace.get_current_span()
        assert span.is_recording()
        span.set_attribute("app.one", [1, 2])
        span.set_attributes({"app.two": "x", "gen_ai.operation.name": "mine"})
        span.add_event("seen", {"n": 1}, timestamp=5)
        span.add_link(link, {"why": "test"})
        span.update_name("renamed")
        span.record_exception(ValueError("kept by the app"), timestamp=6)
        span.set_status(Status(StatusCode.OK))
        return text

    def fail(text: str) -> str:
        trace.get_current_span().set_status(StatusCode.ERROR, "set by the app")
        raise ValueError(text)

    RunnableLambda(touch).invoke("x", {"callbacks": [handler]})
    with contextlib.suppress(ValueError):
        RunnableLambda(fail).invoke("x", {"callbacks": [handler]})


def _read(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """The app reads what only the SDK's spans have."""
    seen: list[Any] = []

    def read(text: str) -> str:
        span: Any = trace.get_current_span()
        seen.append((span.name, span.kind, dict(span.attributes), span.parent))
        return text

    RunnableLambda(read).invoke("x", {"callbacks": [handler], "run_name": "step"})
    assert seen[0][0] == "step"
    assert seen[0][3] is None


def _texts(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """Two prompts of a text model in one batch, and a retriever."""
    FakeTextModel(callbacks=[handler]).generate(["Roses?", "Tulips?"])
    _Shelf().invoke("Roses?", {"callbacks": [handler]})


def _graph(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """A graph that is interrupted and resumed: its second span has a link."""
    builder: Any = StateGraph(dict)
    builder.add_node("ask", lambda _: {"answer": interrupt("How many?")})
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=InMemorySaver(), name="shop")
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "1"}}
    messages: list[Any] = [{"question": "Roses?"}, Command(resume="10")]
    for message in messages:
        graph.invoke(message, config)


def _cancelled(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """A call that is cancelled while its provider is silent."""

    async def run() -> None:
        started = asyncio.Event()

        class Hangs(FakeChatModel):
            """A model that never answers."""

            async def _agenerate(self, *_: Any, **__: Any) -> Any:
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(Hangs(callbacks=[handler]).ainvoke("Roses?"))
        await started.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())


def _abandoned(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """A stream that is open when the handler is closed."""
    stream = FakeChatModel(usage=USAGE, callbacks=[handler]).stream("Tulips?")
    next(stream)
    handler.close()


def _refused(handler: OTelCallbackHandler, _: TracerProvider) -> None:
    """A call that a budget refuses."""
    model = FakeChatModel(usage=USAGE, callbacks=[handler])
    with track_usage(max_calls=1):
        model.invoke("Roses?")
        with contextlib.suppress(BudgetExceeded):
            model.invoke("Tulips?")


SCENARIOS = [
    *(_plain, _remote, _async, _failing, _nested, _touched, _read),
    *(_texts, _graph, _cancelled, _abandoned, _refused),
]


class _Choosing(sampling.Sampler):
    """A sampler that leaves attributes out, adds some, and writes a trace state."""

    def __init__(
        self, decision: sampling.Decision, *, keeps: bool, more: int = 0
    ) -> None:
        self._decision = decision
        self._keeps = keeps
        self._more = {f"sampler.{number}": number for number in range(more)}

    def should_sample(self, *args: Any, **kwargs: Any) -> sampling.SamplingResult:
        """Decide the same each time."""
        attributes = args[4] if len(args) > 4 else kwargs["attributes"]
        kept = (attributes or {}) if self._keeps else {}
        added = {**kept, "sampler": ("a", "b"), **self._more}
        state = trace.TraceState([("vendor", "1")])
        return sampling.SamplingResult(self._decision, added, state)

    def get_description(self) -> str:
        """Name it."""
        return "choosing"


SAMPLERS = {
    "on": sampling.ALWAYS_ON,
    "off": sampling.ALWAYS_OFF,
    "parent": sampling.ParentBased(sampling.ALWAYS_ON),
    "half": sampling.TraceIdRatioBased(0.5),
    "adds": _Choosing(sampling.Decision.RECORD_AND_SAMPLE, keeps=True),
    "records": _Choosing(sampling.Decision.RECORD_ONLY, keeps=True),
    "drops": _Choosing(sampling.Decision.DROP, keeps=True),
}
LIMITS = {
    "three attributes": SpanLimits(max_span_attributes=3),
    "none": SpanLimits(max_span_attributes=0),
    "short": SpanLimits(max_span_attribute_length=4),
    "many": SpanLimits(max_span_attributes=100),
    "events": SpanLimits(max_events=1, max_links=0, max_event_attributes=1),
}
SETTINGS = {
    "default": Settings(strict=True),
    "content": Settings(strict=True, capture_content="SPAN_AND_EVENT"),
    "conventions": Settings(strict=True, extensions=False, semconv="latest"),
    "labels": Settings(strict=True, labels="team,chain", emit_event=True),
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__[1:])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_exported_protobuf_is_the_same(scenario: Any, settings: Settings) -> None:
    """Ids, flags, names, attributes, events, links and status are the SDK's."""
    ours = _ran(scenario, sdk_spans=False, settings=settings)
    assert ours
    assert ours == _ran(scenario, sdk_spans=True, settings=settings)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__[1:])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_exported_protobuf_is_the_same_with_each_sampler(
    scenario: Any, sampler: str
) -> None:
    """A sampler gets the same arguments, and its result has the same effect."""
    if scenario in (_read, _touched) and sampler in {"off", "drops"}:
        scenario = _plain  # the app finds no recording span to touch
    sampled = {"sampler": SAMPLERS[sampler]}
    ours = _ran(scenario, sdk_spans=False, **sampled)
    assert ours == _ran(scenario, sdk_spans=True, **sampled)


@pytest.mark.parametrize("sdk_spans", [False, True])
def test_a_sampler_that_returns_no_attributes_loses_none(*, sdk_spans: bool) -> None:
    """As OpenTelemetry's composable one, and Azure Monitor's of old.

    The SDK makes a span of what the result has, so what was given at the start is set
    again, by either way to make a span.
    """
    made = []
    for keeps in (True, False):
        sampler = _Choosing(sampling.Decision.RECORD_AND_SAMPLE, keeps=keeps)
        provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        memory = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(memory))
        handler = OTelCallbackHandler(
            tracer_provider=provider,
            registry=CollectorRegistry(),
            settings=Settings(strict=True, sdk_spans=sdk_spans),
        )
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
        (span,) = memory.get_finished_spans()
        made.append(dict(span.attributes or {}))
        assert made[-1]["sampler"] == ("a", "b")
        assert made[-1]["gen_ai.operation.name"] == "chat"
    made[0].pop("gen_ai.response.id", None)
    made[1].pop("gen_ai.response.id", None)
    assert made[0] == made[1]


def test_a_sampler_that_adds_many_attributes_gets_the_limit_of_the_sdk() -> None:
    """The SDK's span has 128 attributes at most, and counts the others."""
    decision = sampling.Decision.RECORD_AND_SAMPLE
    ours, sdks = (
        _ran(
            _plain,
            sdk_spans=sdk_spans,
            sampler=_Choosing(decision, keeps=True, more=200),
        )
        for sdk_spans in (False, True)
    )
    assert ours == sdks


class _Masking(sampling.Sampler):
    """A sampler that replaces an attribute."""

    def should_sample(self, *args: Any, **kwargs: Any) -> sampling.SamplingResult:
        """Sample each span, with another model."""
        attributes = args[4] if len(args) > 4 else kwargs["attributes"]
        masked = {**attributes, "gen_ai.request.model": "masked"}
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, masked)

    def get_description(self) -> str:
        """Name it."""
        return "masking"


@pytest.mark.parametrize("sdk_spans", [False, True])
def test_an_attribute_that_a_sampler_replaces_stays_replaced(
    *, sdk_spans: bool
) -> None:
    """A span has the value of the sampler, not that of the request."""
    (sent,) = _ran(
        lambda handler, _: FakeChatModel(callbacks=[handler]).invoke("Roses?"),
        sdk_spans=sdk_spans,
        sampler=_Masking(),
    )
    assert b"masked" in sent


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__[1:])
@pytest.mark.parametrize("limit", LIMITS)
def test_exported_protobuf_is_the_same_within_limits(scenario: Any, limit: str) -> None:
    """The same attributes, events and links are cut, dropped and counted."""
    limits = {"span_limits": LIMITS[limit]}
    ours = _ran(scenario, sdk_spans=False, **limits)
    assert ours == _ran(scenario, sdk_spans=True, **limits)


class _Early(SpanProcessor):
    """A processor that writes to a span at its start and while it ends."""

    def on_start(
        self,
        span: Span,
        parent_context: Context | None = None,  # noqa: ARG002 -- the SDK names it
    ) -> None:
        """Write at the start."""
        span.set_attribute("early", len(span.attributes or {}))

    def _on_ending(self, span: Span) -> None:
        """Write before the end."""
        span.set_attribute("ending", len(span.attributes or {}))


class _Ending(SpanProcessor):
    """A processor that looks at a span while it ends."""

    def _on_ending(self, span: Span) -> None:
        """Write before the end."""
        span.set_attribute("ending", span.name)


@pytest.mark.parametrize("kind", [_Early, _Ending])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__[1:])
def test_processors_that_read_early_get_the_sdks_span(
    scenario: Any, kind: type[SpanProcessor]
) -> None:
    """They read and change the same spans as with the SDK's tracer."""
    ours = _ran(scenario, sdk_spans=False, processors=[kind()])
    assert ours == _ran(scenario, sdk_spans=True, processors=[kind()])


@pytest.mark.parametrize("kind", [_Early, _Ending])
def test_a_processor_that_is_added_while_a_run_is_open(
    kind: type[SpanProcessor],
) -> None:
    """It sees the end of the open span, and the whole of each later one."""

    def scenario(handler: OTelCallbackHandler, provider: TracerProvider) -> None:
        def add(text: str) -> str:
            provider.add_span_processor(kind())
            return text

        RunnableLambda(add).invoke("x", {"callbacks": [handler]})
        FakeChatModel(callbacks=[handler]).invoke("Roses?")

    ours = _ran(scenario, sdk_spans=False)
    assert ours == _ran(scenario, sdk_spans=True)


class _Short(SpanProcessor):
    """Fails once, without memory or stack."""

    def __init__(self, error: type[Exception]) -> None:
        self._errors = [error]

    def on_end(self, span: ReadableSpan) -> None:
        """Fail the first time."""
        del span
        if self._errors:
            raise self._errors.pop()


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_processor_without_memory_gets_the_span_later(error: type[Exception]) -> None:
    """Each span reaches the processors behind it once."""
    processors = [_Short(error)]
    sent = _ran(_plain, sdk_spans=False, processors=processors, settings=Settings())
    assert len(sent) == len(_ran(_plain, sdk_spans=False))
    assert not processors[0]._errors


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_an_end_that_is_repeated_counts_once(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """The sums of the root are right, and no span ends twice."""

    def scenario(handler: OTelCallbackHandler, _: TracerProvider) -> None:
        chain = FakeChatModel(usage=USAGE) | RunnableLambda(lambda x: x)
        chain.invoke("Roses?", {"callbacks": [handler]})

    whole = _ran(scenario, sdk_spans=False)
    first, second = (
        _ran(scenario, sdk_spans=False, processors=processors, settings=Settings())
        for processors in ([_Short(error)], [SpanProcessor(), _Short(error)])
    )
    assert sorted(first) == sorted(whole)
    # A span that a processor has seen is not passed to it again.
    assert second == whole[1:]
    assert "ended span" not in caplog.text


def test_a_processor_whose_method_was_replaced_is_seen() -> None:
    """Also a method set on the one object looks at spans early."""
    seen: list[str] = []
    processor = SpanProcessor()
    processor.on_start = lambda span, **_: seen.append(span.name)  # type: ignore[method-assign,misc]
    _ran(_plain, sdk_spans=False, processors=[processor])
    assert len(seen) == 4


@pytest.fixture
def spans() -> list[trace.Span]:
    """Return a list for the spans that are current inside a step."""
    return []


def test_a_late_write_logs_the_sdks_warning(
    spans: list[trace.Span], caplog: pytest.LogCaptureFixture
) -> None:
    """A write to an ended span of ours logs the warning of the SDK's span."""

    def scenario(handler: OTelCallbackHandler, _: TracerProvider) -> None:
        def keep(text: str) -> str:
            held: Any = trace.get_current_span()
            spans.append(held.resolve())
            return text

        RunnableLambda(keep).invoke("x", {"callbacks": [handler]})

    _ran(scenario, sdk_spans=False)
    span = spans[0]
    assert isinstance(span, OwnSpan)
    assert not span.is_recording()
    span.set_attribute("late", 1)
    assert "on ended span" in caplog.text
    with pytest.raises(AttributeError):
        span.__missing__  # type: ignore[attr-defined]  # noqa: B018
    caplog.clear()
    span.end()
    assert "ended span" in caplog.text


def test_two_threads_get_one_span(spans: list[trace.Span]) -> None:
    """Eight threads that request the SDK's span at once get the same one."""

    def scenario(handler: OTelCallbackHandler, _: TracerProvider) -> None:
        def race(text: str) -> str:
            held: Any = trace.get_current_span()
            own = held.resolve()
            start = threading.Barrier(8)

            def ask() -> None:
                start.wait()
                spans.append(own.as_sdk_span())

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return text

        RunnableLambda(race).invoke("x", {"callbacks": [handler]})

    _ran(scenario, sdk_spans=False)
    assert len(spans) == 8
    assert len({id(span) for span in spans}) == 1


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.38.0", True),
        ("1.45.1", True),
        ("1.46.0", False),
        ("1.37.9", False),
        ("2.0", False),
        ("x", False),
    ],
)
def test_only_tested_versions_are_used(version: str, *, expected: bool) -> None:
    """With an SDK version that was not tested, the SDK makes the spans."""
    assert is_tested(version) is expected


def test_a_link_makes_it_the_sdks_span() -> None:
    """The SDK applies the limits of links."""
    link = Link(SpanContext(7, 8, is_remote=True))
    provider = TracerProvider(shutdown_on_exit=False)
    maker = SpanMaker(provider.get_tracer("x"))
    none = trace.INVALID_SPAN_CONTEXT
    started = (context.get_current(), none, trace.SpanKind.CLIENT, {})  # type: ignore[var-annotated]
    assert type(maker.start("a", *started, None, 1)) is OwnSpan
    assert type(maker.start("a", *started, [link], 1)) is not OwnSpan


def test_concurrent_processors_and_a_disabled_tracer_use_the_sdk() -> None:
    """Spans that the SDK passes to threads, or does not make, are not ours."""
    ours, sdks = (
        _ran(
            _nested,
            sdk_spans=sdk_spans,
            processors=[_Early()],
            active_span_processor=ConcurrentMultiSpanProcessor(),
        )
        for sdk_spans in (False, True)
    )
    assert len(ours) == 5
    assert ours == sdks
    off = getattr(trace_sdk, "_disable_tracer_configurator", None)
    if off is not None:  # the lowest version that is allowed has none
        assert _ran(_nested, sdk_spans=False, _tracer_configurator=off) == []


def test_a_disabled_tracer_passes_the_callers_trace_on() -> None:
    """Requests below a run belong to the trace of the caller, as without a handler."""
    of_caller = SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(1))
    seen = []

    def scenario(handler: OTelCallbackHandler, _: TracerProvider) -> None:
        def step(text: str) -> str:
            seen.append(trace.get_current_span().get_span_context())
            return text

        with trace.use_span(trace.NonRecordingSpan(of_caller)):
            RunnableLambda(step).invoke("x", {"callbacks": [handler]})

    off = getattr(trace_sdk, "_disable_tracer_configurator", None)
    if off is not None:  # the lowest version that is allowed has none
        _ran(scenario, sdk_spans=False, _tracer_configurator=off)
        assert seen == [of_caller]


def test_ids_that_are_not_random_have_no_random_flag() -> None:
    """The flag of random trace ids is the id generator's to set."""
    ours, sdks = (
        _ran(_plain, sdk_spans=sdk_spans, id_generator=_Counting(is_random=False))
        for sdk_spans in (False, True)
    )
    assert ours == sdks


class _Zero(id_generator.RandomIdGenerator):
    """Makes ids that OpenTelemetry takes for none."""

    def generate_trace_id(self) -> int:
        """Return no id."""
        return 0

    generate_span_id = generate_trace_id


def test_a_span_with_an_invalid_id_is_invalid() -> None:
    """The ids of a generator of the app's own are checked, as by the SDK."""
    ours = _ran(_nested, sdk_spans=False, id_generator=_Zero())
    assert ours == _ran(_nested, sdk_spans=True, id_generator=_Zero())


def test_a_random_id_makes_the_same_context_as_the_api() -> None:
    """It is local, valid, and of the API's class."""
    provider = TracerProvider(shutdown_on_exit=False)
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=CollectorRegistry(), settings=Settings()
    )
    found = []

    def step(text: str) -> str:
        found.append(trace.get_current_span().get_span_context())
        return text

    RunnableLambda(step).invoke("x", {"callbacks": [handler]})
    (own,) = found
    assert type(own) is SpanContext
    assert tuple(own) == tuple(
        SpanContext(own.trace_id, own.span_id, False, own.trace_flags, own.trace_state)  # noqa: FBT003 -- is not remote
    )


def test_a_proxy_is_resolved_and_another_tracer_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler made before the provider has spans of ours once there is one."""
    started = (context.get_current(), trace.INVALID_SPAN_CONTEXT)
    more = (trace.SpanKind.CLIENT, {}, None, 1)  # type: ignore[var-annotated]
    early = SpanMaker(trace.ProxyTracerProvider().get_tracer("x"))
    assert not early.start("a", *started, *more).is_recording()
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert type(early.start("a", *started, *more)) is OwnSpan
    none = SpanMaker(trace.NoOpTracer()).start("a", *started, *more)
    assert not none.is_recording()
