"""The series by OpenTelemetry's meters are those of a scrape."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import CollectorRegistry
from waiting import WAIT_S

from otel_callbacks import (
    BudgetExceeded,
    OTelCallbackHandler,
    Settings,
    track_usage,
)
from otel_callbacks._metrics import wiring
from otel_callbacks._metrics.series import ATTRIBUTES
from otel_callbacks._metrics.wiring import start_anew
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
STRICT = Settings(strict=True, metrics_exporter="both", labels="team,chain,tag.vip")
LABELS = {attribute: label for label, attribute in ATTRIBUTES.items()}


class Pushed:
    """A handler on fresh providers and what it has pushed."""

    def __init__(self, settings: Settings = STRICT) -> None:
        self.registry = CollectorRegistry()
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        self.spans = InMemorySpanExporter()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.handler = OTelCallbackHandler(
            tracer_provider=tracers,
            meter_provider=self.provider,
            registry=self.registry,
            settings=settings,
        )

    def points(self) -> Iterator[tuple[Any, Any]]:
        """Yield each metric with each of its points."""
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        yield metric, point

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return sums and counts as Prometheus' translation names them."""
        found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for metric, point in self.points():
            labels = frozenset(
                (LABELS.get(name, name), str(value))
                for name, value in point.attributes.items()
            )
            name = metric.name.replace(".", "_")
            name += "_seconds" if metric.unit == "s" else ""
            if hasattr(point, "bucket_counts"):
                found[f"{name}_sum", labels] = point.sum
                found[f"{name}_count", labels] = point.count
            else:
                suffix = "_total" if metric.data.is_monotonic else ""
                found[name + suffix, labels] = point.value
        return found

    def scraped(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return sums and counts of a scrape; an empty label is none."""
        return {
            (one.name, frozenset(pair for pair in one.labels.items() if pair[1])): (
                one.value
            )
            for family in self.registry.collect()
            for one in family.samples
            if not one.name.endswith(("_bucket", "_created"))
        }

    def call(self, **options: Any) -> None:
        """Call a model that says its tokens."""
        model = FakeChatModel(usage=USAGE, **options)
        config: Any = {
            "callbacks": [self.handler],
            "metadata": {"team": "flowers"},
            "tags": ["vip"],
        }
        list(model.stream("?", config))


def test_pushed_is_what_is_scraped() -> None:
    """Names, labels and values of every series are the same by either way."""
    pushed = Pushed()
    for _ in range(3):
        pushed.call()
    assert pushed.samples() == pytest.approx(pushed.scraped())
    total = "otel_callbacks_tokens_total"
    labels = [dict(labels) for name, labels in pushed.samples() if name == total]
    assert [(one["team"], one["tag_vip"]) for one in labels] == [
        ("flowers", "true")
    ] * 2


@pytest.mark.parametrize("extensions", [True, False], ids=["all", "conventions"])
def test_label_sets_begin_before_their_first_point(*, extensions: bool) -> None:
    """In milliseconds, as Prometheus tells time: it adds a zero at the beginning."""
    pushed = Pushed(
        Settings(strict=True, metrics_exporter="otlp", extensions=extensions)
    )

    def refuse() -> None:
        with track_usage(max_calls=1):
            pushed.call()
            with pytest.raises(BudgetExceeded):
                pushed.call()

    def fail() -> None:
        with pytest.raises(ValueError, match="no"):
            pushed.call(error=ValueError("no"))

    for act, least in ((None, 0), (pushed.call, 5), (fail, 5), (refuse, 5)):
        if act is not None:
            act()
        points = [
            point
            for metric, point in pushed.points()
            if getattr(metric.data, "is_monotonic", True)
        ]
        assert len(points) >= least
        for point in points:
            began = point.start_time_unix_nano // 1_000_000
            assert began < point.time_unix_nano // 1_000_000


def test_label_sets_beyond_the_limit_are_one() -> None:
    """What is too many goes into the same point, call after call."""
    pushed = Pushed(Settings(strict=True, metrics_exporter="otlp", series_limit=1))
    for number in range(4):
        pushed.call(model_name=f"model-{number}")
    models = {
        dict(labels)["gen_ai_request_model"]: value
        for (name, labels), value in pushed.samples().items()
        if name == "otel_callbacks_operations_total"
    }
    assert models == {"model-0": 1, "other": 3}


def test_whole_numbers_are_whole() -> None:
    """Tokens and ports are integers, as the conventions say; time is no integer."""
    pushed = Pushed()
    pushed.call()
    kinds = {
        metric.name: type(getattr(point, "sum", 0)) for metric, point in pushed.points()
    }
    assert kinds["gen_ai.client.token.usage"] is int
    assert kinds["gen_ai.client.operation.duration"] is float


def test_only_the_port_is_a_number() -> None:
    """A model or a team with a number for a name stays a text."""
    pushed = Pushed(Settings(strict=True, labels="team"))
    pushed.handler.on_chat_model_start(
        {},
        [["?"]],
        run_id=(run_id := uuid4()),
        metadata={"ls_model_name": "405", "ls_provider": "openai", "team": "7"},
        invocation_params={"_type": "openai-chat", "base_url": "http://host:80/v1"},
    )
    pushed.handler.on_llm_error(ValueError("no"), run_id=run_id)
    found = {
        name: value
        for _, point in pushed.points()
        for name, value in point.attributes.items()
    }
    assert found["gen_ai.request.model"] == "405"
    assert found["team"] == "7"
    assert found["server.port"] == 80


def test_exemplars_are_the_calls() -> None:
    """The SDK's exemplars name the call's span, though it is added later."""
    pushed = Pushed()
    pushed.call()
    (span,) = pushed.spans.get_finished_spans()
    found = {
        (exemplar.trace_id, exemplar.span_id)
        for _, point in pushed.points()
        for exemplar in getattr(point, "exemplars", ())
    }
    assert span.context
    assert found == {(span.context.trace_id, span.context.span_id)}


def test_no_exemplar_is_of_the_span_in_which_metrics_are_read() -> None:
    """A host may flush inside a span of its own; a call that has no span has none."""
    pushed = Pushed()
    sampled = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    with sampled.start_as_current_span("flush"):
        unsampled = OTelCallbackHandler(
            tracer_provider=TracerProvider(ALWAYS_OFF, shutdown_on_exit=False),
            meter_provider=pushed.provider,
            registry=CollectorRegistry(),
            settings=STRICT,
        )
        FakeChatModel(usage=USAGE).invoke("?", {"callbacks": [unsampled]})
        read = [point for _, point in pushed.points()]
    assert len(read) > 10
    assert [one for point in read for one in getattr(point, "exemplars", ())] == []


def test_conventions_alone() -> None:
    """Without extensions nothing of ours is pushed."""
    pushed = Pushed(Settings(strict=True, metrics_exporter="otlp", extensions=False))
    pushed.call()
    names = {metric.name for metric, _ in pushed.points()}
    assert "gen_ai.client.token.usage" in names
    assert all(name.startswith("gen_ai.") for name in names)
    assert pushed.scraped() == {}


PROXY = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from otel_callbacks import (
    BudgetExceeded,
    OTelCallbackHandler,
    Settings,
    track_usage,
)
from otel_callbacks.testing import FakeChatModel

def handler():
    settings = Settings(strict=True, metrics_exporter="otlp")
    return OTelCallbackHandler(tracer_provider=TracerProvider(), settings=settings)

usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
early, reader = handler(), InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
for one in (early, handler()):
    FakeChatModel(usage=usage).invoke("?", {"callbacks": [one]})
(resource,) = reader.get_metrics_data().resource_metrics
print(*(
    point.value
    for scope in resource.scope_metrics
    for metric in scope.metrics
    if metric.name == "otel_callbacks.operations"
    for point in metric.data.data_points
))
"""


def test_the_global_provider_may_be_set_later() -> None:
    """A handler of before pushes to it by then, and one of after no second time."""
    done = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", PROXY],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["2"], "")


def test_handlers_of_one_pipeline_count_once() -> None:
    """Two handlers on the same providers push a call once."""
    pushed = Pushed()
    other = OTelCallbackHandler(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        meter_provider=pushed.provider,
        registry=pushed.registry,
        settings=STRICT,
    )
    FakeChatModel(usage=USAGE).invoke("?", {"callbacks": [pushed.handler, other]})
    assert pushed.samples() == pytest.approx(pushed.scraped())
    values = [
        value
        for (name, _), value in pushed.samples().items()
        if name == "otel_callbacks_operations_total"
    ]
    assert values == [1]


@pytest.mark.slow
def test_a_thousand_calls_are_added_before_anybody_asks() -> None:
    """What waits to be pushed never grows beyond a thousand calls."""
    pushed = Pushed()
    for _ in range(1_001):
        FakeChatModel(usage=USAGE).invoke("?", {"callbacks": [pushed.handler]})
    assert pushed.samples() == pytest.approx(pushed.scraped())


def test_starting_anew_begins_at_nothing() -> None:
    """In a forked child the parent's numbers are not pushed again."""
    pushed = Pushed()
    pushed.call()
    assert pushed.samples()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    start_anew(pushed.provider, provider)
    pushed.reader = reader
    pushed.call()
    values = {
        value
        for (name, _), value in pushed.samples().items()
        if name.startswith("otel_callbacks_operations_total")
    }
    assert values == {1}
    start_anew(MeterProvider(shutdown_on_exit=False), provider)


def test_money_is_a_double() -> None:
    """What is spent is pushed as a number, from decimals."""
    pushed = Pushed()
    run_id = uuid4()
    pushed.handler.on_chat_model_start(
        {},
        [["?"]],
        run_id=run_id,
        metadata={"ls_provider": "openai", "ls_model_name": "gpt-4o-mini"},
    )
    message = AIMessage("roses", usage_metadata=USAGE)
    result = LLMResult(generations=[[ChatGeneration(message=message)]])
    pushed.handler.on_llm_end(result, run_id=run_id)
    values = [
        value
        for (name, _), value in pushed.samples().items()
        if name == "otel_callbacks_cost_usd_total"
    ]
    assert [type(value) for value in values] == [float]
    assert 0 < values[0] < 0.001


def test_several_registries_push_together() -> None:
    """What two handlers count is added up on the one provider they push to."""
    pushed = Pushed()
    other = OTelCallbackHandler(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        meter_provider=pushed.provider,
        registry=CollectorRegistry(),
        settings=STRICT,
    )
    for handler in (pushed.handler, other):
        FakeChatModel(usage=USAGE).invoke("?", {"callbacks": [handler]})
    tokens = [
        value
        for (name, _), value in pushed.samples().items()
        if name == "otel_callbacks_tokens_total"
    ]
    assert sum(tokens) == 20


def test_a_deleted_registry_is_not_read() -> None:
    """The provider outlives it, and goes on."""
    pushed = Pushed()
    reader = pushed.reader
    FakeChatModel(usage=USAGE).invoke("?", {"callbacks": [pushed.handler]})
    # What the queue's registry holds goes with it.
    # A handler keeps its registry, and a garbage cycle more than this test can free.
    meters: Any = wiring._meters.get(pushed.provider)
    gone: Any = lambda: None  # noqa: E731 -- as a dead weak reference answers
    meters._sources = [(gone, fold) for _, fold in meters._sources]
    names = {name for name, _ in pushed.samples()}
    assert "otel_callbacks_open_runs" not in names
    assert reader is pushed.reader
