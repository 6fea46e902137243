"""Handlers, tracer providers and registries: what they share and what not."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import logging
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, Counter
from waiting import WAIT_S
from wrapt import ObjectProxy

from otel_callbacks import OTelCallbackHandler
from otel_callbacks import _pipeline as sinks
from otel_callbacks._pipeline import Providers, pipeline
from otel_callbacks._records import Request
from otel_callbacks._runs.run import Run
from otel_callbacks._spend import accounts
from otel_callbacks._spend.accounts import use_account
from otel_callbacks._spend.budgets import BudgetExceeded, Limits
from otel_callbacks.settings import Settings
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks._spend.accounts import Account
    from otel_callbacks.testing import Capture

OPERATIONS = "otel_callbacks_operations_total"
USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
STRICT = Settings(strict=True)


def provider() -> tuple[TracerProvider, InMemorySpanExporter]:
    """Return a tracer provider and where its spans are kept."""
    exporter = InMemorySpanExporter()
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(exporter))
    return made, exporter


def handler(
    tracer_provider: TracerProvider,
    registry: CollectorRegistry,
    settings: Settings = STRICT,
) -> OTelCallbackHandler:
    """Return a handler on these."""
    return OTelCallbackHandler(
        tracer_provider=tracer_provider, registry=registry, settings=settings
    )


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """Return the sum of a registry's samples of a name with these labels."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def finished(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, ...]:
    """Return the spans that have ended."""
    return tuple(exporter.get_finished_spans())


def run_script(script: str) -> str:
    """Run a script in a process of its own and return what it printed."""
    done = subprocess.run(  # noqa: S603 -- our own interpreter, our own script
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    assert "Traceback" not in done.stderr
    return done.stdout


def test_registries_do_not_meet() -> None:
    """A registry does not show what another one counts."""
    tracer_provider, exporter = provider()
    registries = CollectorRegistry(), CollectorRegistry()
    first, _ = (handler(tracer_provider, registry) for registry in registries)
    FakeChatModel(usage=USAGE, callbacks=[first]).invoke("?")
    assert [value(registry, OPERATIONS) for registry in registries] == [1, 0]
    assert len(finished(exporter)) == 1


def test_second_handler_on_one_registry() -> None:
    """Two handlers on one registry share its series without a name conflict."""
    tracer_provider, exporter = provider()
    registry = CollectorRegistry()
    for _ in range(2):
        model = FakeChatModel(
            usage=USAGE, callbacks=[handler(tracer_provider, registry)]
        )
        model.invoke("?")
    assert value(registry, OPERATIONS) == 2
    assert value(registry, "otel_callbacks_tokens_total") == 20
    assert len(finished(exporter)) == 2


def test_two_handlers_report_one_run_once() -> None:
    """Two handlers on the same providers make one span and one count."""
    tracer_provider, exporter = provider()
    registry = CollectorRegistry()
    first, second = (handler(tracer_provider, registry) for _ in range(2))
    model = FakeChatModel(usage=USAGE, callbacks=[first, second])
    model.invoke("?")
    list(model.stream("?"))
    assert value(registry, OPERATIONS) == 2
    assert value(registry, "otel_callbacks_tokens_total") == 20
    assert value(registry, "otel_callbacks_errors_total") == 0
    assert len(finished(exporter)) == 2


def test_handler_given_twice_reports_once(telemetry: Capture) -> None:
    """A handler that is passed twice, in any way, makes one span and one count."""
    one = telemetry.handler
    FakeChatModel(usage=USAGE, callbacks=[one, one]).invoke(
        "?", config={"callbacks": [one]}
    )
    assert [span["name"] for span in telemetry.spans] == ["chat fake-model"]
    assert telemetry.value(OPERATIONS) == 1
    assert telemetry.value("otel_callbacks_tokens_total") == 10
    assert telemetry.value("otel_callbacks_errors_total") == 0


def test_two_tracer_providers_on_one_registry() -> None:
    """Each tracer provider gets a span, and the run is counted once."""
    (first, one), (second, other) = provider(), provider()
    registry = CollectorRegistry()
    both: list[Any] = [handler(first, registry), handler(second, registry)]
    seen: list[float] = []

    class Looks(FakeChatModel):
        """A model that looks at the series while it is called."""

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(value(registry, "otel_callbacks_operations_in_flight"))
            return super()._generate(*args, **kwargs)

    Looks(usage=USAGE, callbacks=both).invoke("?")
    assert [len(finished(exporter)) for exporter in (one, other)] == [1, 1]
    assert value(registry, OPERATIONS) == 1
    assert value(registry, "otel_callbacks_tokens_total") == 10
    assert seen == [1]
    FakeChatModel(usage=USAGE, callbacks=both[1:]).invoke("?")
    assert value(registry, OPERATIONS) == 2
    assert [len(finished(exporter)) for exporter in (one, other)] == [1, 2]


def test_pipeline_is_shared() -> None:
    """The same providers share a table and diagnostics; others have their own."""
    tracer_provider, _ = provider()
    registry = CollectorRegistry()
    first = pipeline(Providers(tracer_provider), registry, STRICT)
    assert pipeline(Providers(tracer_provider), registry, STRICT) is first
    other = pipeline(Providers(provider()[0]), registry, STRICT)
    assert other.table is not first.table
    assert other.diagnostics is first.diagnostics
    assert pipeline(
        Providers(tracer_provider), CollectorRegistry(), STRICT
    ).diagnostics is not (first.diagnostics)


def test_other_settings_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The first handler's settings stay in force, and one line is logged."""
    tracer_provider, _ = provider()
    registry = CollectorRegistry()
    first = pipeline(Providers(tracer_provider), registry, STRICT)
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        assert pipeline(Providers(tracer_provider), registry, STRICT) is first
        assert caplog.records == []
        for limit in (3, 4):
            other = Settings(strict=True, run_limit=limit)
            assert pipeline(Providers(tracer_provider), registry, other) is first
    assert first.settings is STRICT
    assert len(caplog.records) == 1
    assert "the first one's stay in force" in caplog.records[0].getMessage()


def test_name_that_is_taken_is_refused() -> None:
    """A registry with a series of the same name is refused at the start."""
    registry = CollectorRegistry()
    Counter("otel_callbacks_tokens", "Somebody else's.", registry=registry)
    with pytest.raises(ValueError, match="otel_callbacks_tokens"):
        pipeline(Providers(provider()[0]), registry, STRICT)


def test_defaults_are_the_global_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments the handler uses the global registry and provider."""
    registry = CollectorRegistry()
    monkeypatch.setattr(sinks, "REGISTRY", registry)
    found = pipeline(Providers(), None, STRICT)
    assert pipeline(Providers(), registry, STRICT) is found


def test_global_provider_may_be_set_later() -> None:
    """Handlers made before and after the provider is set both use it."""
    printed = run_script(
        """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY
from otel_callbacks import OTelCallbackHandler
from otel_callbacks.testing import FakeChatModel

handler = OTelCallbackHandler()
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
second = OTelCallbackHandler()
FakeChatModel(callbacks=[handler, second]).invoke("?")
print([span.name for span in exporter.get_finished_spans()])
print(REGISTRY.get_sample_value("otel_callbacks_open_runs") == 0)
"""
    )
    assert printed.splitlines() == ["['chat fake-model']", "True"]


@pytest.mark.slow
def test_process_that_ends_ends_its_runs() -> None:
    """Open runs end as abandoned at exit, before the SDK shuts down."""
    printed = run_script(
        """
import uuid
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from otel_callbacks import OTelCallbackHandler

provider = TracerProvider()
line = lambda span: f"{span.name}: {span.attributes['error.type']}\\n"
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=line)))
handler = OTelCallbackHandler(tracer_provider=provider)
run_id = uuid.uuid4()
handler.on_chain_start({}, "x", run_id=run_id, name="step")
"""
    )
    assert printed.splitlines() == ["step: abandoned"]


@pytest.mark.slow
@pytest.mark.parametrize("sdk_spans", ["false", "true"])
@pytest.mark.parametrize("first_run", ["before", "after"])
def test_handler_made_before_the_provider_ends_its_runs(
    monkeypatch: pytest.MonkeyPatch, sdk_spans: str, first_run: str
) -> None:
    """The provider shuts down last even if it was set up last."""
    monkeypatch.setenv("OTEL_CALLBACKS_SDK_SPANS", sdk_spans)
    printed = run_script(
        f"""
import uuid
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from otel_callbacks import OTelCallbackHandler

handler = OTelCallbackHandler()
if "{first_run}" == "before":
    early = uuid.uuid4()
    handler.on_chain_start({{}}, "x", run_id=early, name="early")
    handler.on_chain_end("x", run_id=early)
line = lambda span: f"{{span.name}}: {{span.attributes['error.type']}}\\n"
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=line)))
trace.set_tracer_provider(provider)
root, call = uuid.uuid4(), uuid.uuid4()
handler.on_chain_start({{}}, "x", run_id=root, name="step")
handler.on_chat_model_start({{}}, [["?"]], run_id=call, parent_run_id=root)
"""
    )
    assert sorted(printed.splitlines()) == ["chat: abandoned", "step: abandoned"]


def test_the_exit_ends_runs_of_a_table_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exit hook closes an existing table and does nothing without one."""
    tracer_provider, exporter = provider()
    registry = CollectorRegistry()
    hooks: list[Any] = []
    monkeypatch.setattr(atexit, "register", hooks.append)
    one = handler(tracer_provider, registry)
    built = pipeline(Providers(tracer_provider), registry, STRICT)
    run_id = uuid4()
    one.on_chain_start({}, "x", run_id=run_id, name="step")
    table_ref = weakref.ref(built.table)
    hooks[-1]()
    assert [span.name for span in finished(exporter)] == ["step"]
    assert value(registry, "otel_callbacks_runs_lost_total", reason="closed") == 1
    del one, built, registry, tracer_provider
    gc.collect()
    assert table_ref() is None
    hooks[-1]()


def test_stepping_out_of_a_plain_run_does_nothing() -> None:
    """A plain run was never current, so nothing changes."""
    built = pipeline(Providers(provider()[0]), CollectorRegistry(), STRICT)
    run = Run(1, Request("chat", "m"), None)
    built.step_out(run)
    assert run.open


def test_handler_made_before_the_global_provider_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handlers made before and after the global provider is set share one table."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    registry = CollectorRegistry()
    before = pipeline(Providers(), registry, STRICT)
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert pipeline(Providers(), registry, STRICT) is before
    assert pipeline(Providers(provider), registry, STRICT) is before
    other = TracerProvider(shutdown_on_exit=False)
    assert pipeline(Providers(other), registry, STRICT) is not before
    # Where no handler was made before, there is none to share with.
    fresh = CollectorRegistry()
    assert pipeline(Providers(provider), fresh, STRICT) is pipeline(
        Providers(), fresh, STRICT
    )


@pytest.fixture
def process() -> Iterator[list[Account]]:
    """Return the list of the process' account; afterwards there is none."""
    yield accounts.process
    if accounts.process:
        accounts.process.clear()
        use_account(-1)


def test_settings_give_the_process_a_budget(process: list[Account]) -> None:
    """A budget of the process holds in all threads and refuses before the call."""
    settings = Settings(strict=True, budget_calls=1)
    with capture(settings) as telemetry:
        llm = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
        llm.invoke("Roses?")
        with pytest.raises(BudgetExceeded):
            llm.invoke("Roses?")
    assert process[0].refused == 1
    assert process[0].read()[0].total_tokens == 10


def test_a_second_budget_of_the_process_is_logged(
    process: list[Account], caplog: pytest.LogCaptureFixture
) -> None:
    """The first budget stays in force; an equal second one logs nothing."""
    with caplog.at_level(logging.DEBUG, "otel_callbacks"):
        for calls in (1, 1, 2):
            with capture(Settings(strict=True, budget_calls=calls)):
                assert "another budget" not in caplog.text or calls == 2
    assert len(process) == 1
    assert process[0].limits == Limits(calls=1)
    assert caplog.text.count("another budget for the process") == 1


def test_a_ledger_alone_leaves_the_current_span() -> None:
    """Runs of a ledger have no spans, so a first chunk changes nothing."""
    built = sinks.ledger_only(STRICT)
    run = Run(1, Request("chat", "m"), None)
    built.step_out(run)
    assert run.open


# -- providers of other kinds ------------------------------------------------------


@dataclasses.dataclass
class Vendor:
    """A provider as a vendor wraps it: a dataclass, so it has no hash."""

    provider: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.provider, name)


class Bare(trace.TracerProvider):
    """A provider that is not the SDK's, with no weak references to it."""

    __slots__ = ("provider",)

    def __init__(self, provider: Any) -> None:
        self.provider = provider

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        """Return the tracer of what is behind."""
        tracer: trace.Tracer = self.provider.get_tracer(*args, **kwargs)
        return tracer


class Empty(Vendor):
    """A provider that is not true."""

    def __len__(self) -> int:
        return 0


class Undecided(Vendor):
    """A provider that raises where it is asked whether it is true."""

    def __bool__(self) -> bool:
        raise RuntimeError


class Older(Bare):
    """A provider that is made for an older API: it knows no attributes of a scope."""

    __slots__ = ()

    def get_tracer(self, name: str, version: Any = None, url: Any = None) -> Any:  # type: ignore[override]
        """Return the tracer of what is behind."""
        return self.provider.get_tracer(name, version, url)


WRAPPERS: list[Any] = [Vendor, Bare, Empty, ObjectProxy, Undecided]


@pytest.mark.parametrize("wrap", [*WRAPPERS, Older])
def test_any_provider_makes_the_spans(wrap: Any) -> None:
    """A tracer provider needs no hash, no weak references and no SDK class."""
    behind, exporter = provider()
    wrapped = wrap(behind)
    registry = CollectorRegistry()
    for _ in range(2):
        made = handler(wrapped, registry)
        FakeChatModel(usage=USAGE, callbacks=[made]).invoke("?")
        assert made.flush()
    assert [span.name for span in finished(exporter)] == ["chat fake-model"] * 2
    assert value(registry, OPERATIONS) == 2


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_any_meter_provider_takes_the_series(wrap: Any) -> None:
    """A meter is requested once, however many handlers there are."""
    reader = InMemoryMetricReader()
    wrapped = wrap(MeterProvider([reader], shutdown_on_exit=False))
    if wrap is Bare:
        wrapped = Vendor(wrapped.provider)
    for _ in range(2):
        made = OTelCallbackHandler(
            tracer_provider=provider()[0],
            meter_provider=wrapped,
            registry=CollectorRegistry(),
            settings=STRICT,
        )
        FakeChatModel(usage=USAGE, callbacks=[made]).invoke("?")
    data: Any = reader.get_metrics_data()
    (resource,) = data.resource_metrics
    (scope,) = resource.scope_metrics
    (calls,) = [one for one in scope.metrics if one.name == "otel_callbacks.operations"]
    assert sum(point.value for point in calls.data.data_points) == 2


@pytest.mark.parametrize("wrap", [Vendor, Empty, ObjectProxy])
def test_any_registry_shows_the_series(wrap: Any) -> None:
    """A wrapped registry works too."""
    behind = CollectorRegistry()
    registry = wrap(behind)
    for _ in range(2):
        made = handler(provider()[0], registry)
        FakeChatModel(usage=USAGE, callbacks=[made]).invoke("?")
    assert value(behind, OPERATIONS) == 2


class Failing:
    """A provider that has nothing."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(name)


def test_provider_that_fails_costs_its_own_signal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If a provider fails, the app and the other signals continue."""
    failing: Any = Failing()
    registry = CollectorRegistry()
    made = OTelCallbackHandler(
        tracer_provider=failing,
        meter_provider=failing,
        logger_provider=failing,
        registry=registry,
        settings=Settings(capture_content="EVENT_ONLY", logs_exporter="otlp"),
    )
    FakeChatModel(usage=USAGE, callbacks=[made]).invoke("?")
    assert value(registry, OPERATIONS) == 1
    for signal in ("tracer", "meter", "logger"):
        where = f"{signal}_provider"
        assert value(registry, "otel_callbacks_errors_total", where=where) == 1
    assert len(caplog.records) == 3


def test_registry_that_was_cleared() -> None:
    """After the registry was cleared, a new handler registers the series again."""
    registry = CollectorRegistry()
    tracer_provider, _ = provider()
    for round_ in (1, 2):
        made = handler(tracer_provider, registry)
        FakeChatModel(usage=USAGE, callbacks=[made]).invoke("?")
        assert value(registry, OPERATIONS) == round_
        for collector in list(registry._collector_to_names):
            registry.unregister(collector)
        assert value(registry, OPERATIONS) == 0
