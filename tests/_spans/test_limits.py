"""The SDK's limits, applied to our spans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks._spans.current import Shared, StandIn
from otel_callbacks._spans.limits import NO_LIMITS, limits_of
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Mapping

USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
LONG = [HumanMessage("roses and 百合花 " * 60), HumanMessage("a lily?")]
CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages")


def _call(
    limits: SpanLimits | None, *, extensions: bool = True, content: str = "SPAN_ONLY"
) -> Mapping[str, Any]:
    """Return the attributes of a call within limits."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = OTelCallbackHandler(
        tracer_provider=provider,
        registry=CollectorRegistry(),
        settings=Settings(strict=True, extensions=extensions, capture_content=content),
    )
    model = FakeChatModel(model_name="m", usage=USAGE, answer="a daisy " * 50)
    model.invoke(LONG, {"callbacks": [handler], "metadata": {"user_id": "u"}})
    handler.close()
    (span,) = exporter.get_finished_spans()
    return span.attributes or {}


@pytest.mark.parametrize("longest", [1, 2, 3, 10, 60, 100, 333, 900, 5000])
def test_content_is_json_below_any_limit(longest: int) -> None:
    """It is cut in its structure, and left out where not even a list fits."""
    attributes = _call(SpanLimits(max_span_attribute_length=longest))
    for name in CONTENT:
        text = attributes.get(name)
        if text is None:
            assert longest < len("[]")
            continue
        assert len(text) <= longest
        messages = json.loads(text)
        assert isinstance(messages, list)
        assert all({"role", "parts"} <= set(one) for one in messages)
    cut = attributes.get("otel_callbacks.content.length.input.messages")
    assert (cut is None) == (longest == 5000)


def test_what_is_left_is_the_newest() -> None:
    """The last message stays whole where it fits, and the rest is noted."""
    attributes = _call(SpanLimits(max_span_attribute_length=333))
    (*_, last) = json.loads(attributes["gen_ai.input.messages"])
    assert last["parts"] == [{"type": "text", "content": "a lily?"}]
    assert attributes["otel_callbacks.content.length.input.messages"] > 600


def _notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is noted about cut content."""
    start = "otel_callbacks.content."
    return {k.removeprefix(start): v for k, v in attributes.items() if start in k}


def test_content_that_just_fits_stays_whole() -> None:
    """One character less cuts it, and drops no message."""
    whole = _call(None)
    longest = max(CONTENT, key=lambda name: len(whole[name]))
    length = len(whole[longest])
    attributes = _call(SpanLimits(max_span_attribute_length=length))
    assert {name: attributes[name] for name in CONTENT} == {
        name: whole[name] for name in CONTENT
    }
    assert _notes(attributes) == {}
    attributes = _call(SpanLimits(max_span_attribute_length=length - 1))
    assert len(attributes[longest]) < length
    assert _notes(attributes) == {"length.input.messages": 863}


def test_dropped_messages_are_counted() -> None:
    """Those that a limit leaves no room for."""
    assert _notes(_call(SpanLimits(max_span_attribute_length=90))) == {
        "length.input.messages": 863,
        "dropped.input.messages": 1,
        "length.output.messages": 420,
    }


@pytest.mark.parametrize("variable", ["OTEL_ATTRIBUTE", "OTEL_SPAN_ATTRIBUTE"])
def test_the_variables_of_the_sdk_are_kept_to(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A limit by environment is one like that in code."""
    monkeypatch.setenv(f"{variable}_VALUE_LENGTH_LIMIT", "250")
    attributes = _call(None, extensions=False)
    for name in CONTENT:
        assert len(attributes[name]) <= 250
        assert json.loads(attributes[name])
    assert not [name for name in attributes if name.startswith("otel_callbacks.")]


@pytest.mark.parametrize("most", [1, 2, 4, 6, 12, 20, 40])
def test_what_matters_most_is_kept(most: int) -> None:
    """Of few attributes the operation, the model, the tokens; content after these."""
    whole = _call(None)
    attributes = _call(SpanLimits(max_span_attributes=most))
    assert len(attributes) == min(most, len(whole))
    first = (
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.provider.name",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "user.id",
    )
    assert set(first[:most]) <= set(attributes)
    assert set(attributes) <= set(whole)
    if most >= len(whole):
        assert dict(attributes) == dict(whole)


def test_names_of_the_conventions_come_before_ours() -> None:
    """Of those that are not looked for first; the app's own come before both."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        span_limits=SpanLimits(max_span_attributes=8), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=CollectorRegistry()
    )
    run_id = uuid4()
    asked = {"model": "m", "temperature": 0.5, "top_p": 0.5, "seed": 1}
    handler.on_chat_model_start(
        {}, [["?"]], run_id=run_id, invocation_params=asked, tags=["shop"]
    )
    trace.get_current_span().set_attribute("shop.order", 5)
    handler.on_llm_error(ValueError("no"), run_id=run_id)
    handler.close()
    (span,) = exporter.get_finished_spans()
    kept = set(span.attributes or {})
    first = {"gen_ai.operation.name", "gen_ai.request.model", "error.type"}
    assert len(kept) == 8
    assert kept >= first | {"shop.order"}
    assert "otel_callbacks.tags" not in kept


def test_no_attribute_at_all() -> None:
    """A limit of none is kept to."""
    assert _call(SpanLimits(max_span_attributes=0)) == {}


def test_without_content_a_limit_is_kept_to() -> None:
    """Nothing is added where nothing is captured."""
    attributes = _call(SpanLimits(max_span_attributes=3), content="NO_CONTENT")
    assert set(attributes) == {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
    }


def test_the_apps_own_attributes_are_kept() -> None:
    """What the app writes on the current span is not driven out by ours."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        span_limits=SpanLimits(max_span_attributes=3), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=CollectorRegistry()
    )

    def step(_: Any) -> None:
        trace.get_current_span().set_attribute("shop.order", 5)

    lambda_: Any = RunnableLambda(step, name="step")
    about = {"user_id": "u", "session_id": "s", "thread_id": "t", "langgraph_node": "n"}
    lambda_.invoke("x", {"callbacks": [handler], "metadata": about})
    handler.close()
    (span,) = exporter.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["shop.order"] == 5
    assert "gen_ai.conversation.id" in span.attributes


def test_a_tracer_without_limits_has_none() -> None:
    """A vendor's tracer, and one of the SDK with limits above all that we have."""

    class _Odd:
        max_span_attribute_length = "12"
        max_span_attributes = None

    class _Tracer:
        _span_limits = _Odd()

    assert limits_of(object()) is NO_LIMITS
    assert limits_of(_Tracer()) is NO_LIMITS
    assert limits_of(TracerProvider().get_tracer("x")) is NO_LIMITS


def test_a_stand_in_hides_no_name_of_a_span() -> None:
    """Whoever reads the current span's parent or name gets the span's."""
    public = {name for name in dir(ReadableSpan) if not name.startswith("_")}
    slots = {
        name
        for kind in (*StandIn.__mro__, *Shared.__mro__)
        for name in getattr(kind, "__slots__", ())
    }
    assert public & slots == set()
    provider = TracerProvider(shutdown_on_exit=False)
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=CollectorRegistry()
    )
    seen: list[Any] = []

    def look(_: str) -> None:
        current: Any = trace.get_current_span()
        seen.append(current.parent)

    inner: Any = RunnableLambda(look)

    def look_twice(question: str) -> None:
        look(question)
        inner.invoke("y")

    outer: Any = RunnableLambda(look_twice)
    with provider.get_tracer("app").start_as_current_span("app") as span:
        outer.invoke("x", {"callbacks": [handler]})
    handler.close()
    assert seen[0] == span.get_span_context()
    assert isinstance(seen[1], trace.SpanContext)
    assert seen[1].span_id != span.get_span_context().span_id


def test_a_step_without_content_is_within_limits() -> None:
    """A limit moves content to the end of a span, where there is any."""
    exporter = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=10)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = OTelCallbackHandler(
        tracer_provider=provider,
        registry=CollectorRegistry(),
        settings=Settings(strict=True, capture_content="SPAN_ONLY"),
    )
    run_id = uuid4()
    handler.on_chain_start({}, None, run_id=run_id, name="step")
    handler.on_chain_end(None, run_id=run_id)
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.attributes) == ("step", {})
