"""The composition root: build a pipeline of all sinks.

Handlers on the same providers and registry share one table of runs and one set of
series, so a run that two of them report is one span and is counted once.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from concurrent import futures
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry._logs import get_logger, get_logger_provider
from opentelemetry.metrics import get_meter_provider
from prometheus_client import REGISTRY

from otel_callbacks import _semconv as semconv
from otel_callbacks._background import ForkSafeLock
from otel_callbacks._diagnostics import Counts, Diagnostics
from otel_callbacks._events import EventSink
from otel_callbacks._metrics.wiring import ByIdentity, SeriesWiring
from otel_callbacks._runs.lifecycle import Pipeline
from otel_callbacks._runs.table import RunTable
from otel_callbacks._spans import current as current_span
from otel_callbacks._spans.current import StandIn
from otel_callbacks._spans.sink import SpanSink
from otel_callbacks._spend import accounts
from otel_callbacks._spend.accounts import Account, use_account
from otel_callbacks._spend.budgets import limits
from otel_callbacks._spend.ledger import LedgerSink
from otel_callbacks._spend.pricing import Pricing

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from otel_callbacks._runs.run import Run
    from otel_callbacks.settings import Settings

_SCOPE: Final = "otel_callbacks"


_NOT_PLAIN: Final = (
    "this process uses a runtime context that is not OpenTelemetry's own and does not "
    "return what is attached to it. Spans of runs still nest in each other, but none "
    "is the current span, so spans of HTTP clients are not children of model calls. If "
    "the other tracer can work without its own context, set "
    "OTEL_PYTHON_CONTEXT=contextvars_context."
)


class Providers(NamedTuple):
    """The providers of a handler; None stands for the global provider."""

    tracer: TracerProvider | None = None
    meter: MeterProvider | None = None
    logger: LoggerProvider | None = None

    def flush(self, timeout: float) -> bool:
        """Flush the providers concurrently; return whether all succeeded."""
        timeout = min(timeout, threading.TIMEOUT_MAX)
        used = (
            trace.get_tracer_provider() if self.tracer is None else self.tracer,
            get_meter_provider() if self.meter is None else self.meter,
            get_logger_provider() if self.logger is None else self.logger,
        )
        flushes = [_flush(one, timeout) for one in used if hasattr(one, "force_flush")]
        ended, waiting = futures.wait(flushes, timeout)
        return not waiting and all(flush.result() for flush in ended)


def _flush(provider: Any, timeout: float) -> futures.Future[bool]:
    """Flush a provider in a thread of its own."""
    ended: futures.Future[bool] = futures.Future()

    def flush() -> None:
        ok = False
        with contextlib.suppress(Exception):  # the SDK raises if a reader fails
            ok = provider.force_flush(timeout_millis=int(timeout * 1e3)) is not False
        ended.set_result(ok)

    threading.Thread(target=flush, daemon=True).start()
    return ended


class _Registry:
    """The diagnostics, series and pipelines of one Prometheus registry."""

    def __init__(self, settings: Settings) -> None:
        self.diagnostics = Diagnostics(strict=settings.strict)
        self.series = SeriesWiring(self.diagnostics, settings)
        self.pipelines: ByIdentity[Pipeline] = ByIdentity()
        self.before_global: Pipeline | None = None


# Held while a pipeline is built; a signal handler may interrupt that and build one.
_building: Final = ForkSafeLock()
_registries: ByIdentity[_Registry] = ByIdentity()


def pipeline(
    providers: Providers,
    registry: CollectorRegistry | None,
    settings: Settings,
) -> Pipeline:
    """Return the pipeline of these providers, and build it on first use."""
    provider = providers.tracer
    if provider is None:
        provider = trace.get_tracer_provider()
    series = REGISTRY if registry is None else registry
    with _building.lock:
        known = _registries.get(series)
        if known is None:
            known = _Registry(settings)
        known.series.open(series, providers.meter, settings)
        _registries.put(series, known)
        found = known.pipelines.get(provider)
        if found is None and provider is trace.get_tracer_provider():
            # A handler made before the global provider was set now uses it, too.
            found = known.before_global
            if found is not None:
                known.pipelines.put(provider, found)
        if found is None:
            found = _build(provider, known, settings, providers.logger)
            known.pipelines.put(provider, found)
            if isinstance(provider, trace.ProxyTracerProvider):
                known.before_global = found
    if found.settings != settings:
        found.diagnostics.log_once(
            "settings",
            "a second handler on the same tracer provider and registry has other "
            "settings; the first one's stay in force.",
        )
    return found


def _build(
    provider: TracerProvider,
    registry: _Registry,
    settings: Settings,
    logger: LoggerProvider | None,
) -> Pipeline:
    """Build a table of runs with its sinks."""
    diagnostics = registry.diagnostics
    tracer = _tracer(provider, diagnostics)
    price = Pricing(diagnostics, settings.prices, is_logged=settings.extensions).cost
    exceeded = registry.series.calls.budget_exceeded
    _open_process_account(settings, diagnostics)
    table = RunTable(
        # Series first: an exemplar needs the span, which the last sink releases. Sinks
        # that may block come after those that never do.
        (
            *registry.series.sinks,
            LedgerSink(price, diagnostics, exceeded),
            *_events(logger, settings, diagnostics),
            SpanSink(
                tracer,
                extensions=settings.extensions,
                content=settings.capture_content in {"SPAN_ONLY", "SPAN_AND_EVENT"},
                sdk_spans=settings.sdk_spans,
                shortest_step=settings.shortest_step,
                registry=settings.registry,
                set_up=_close_at_exit,
            ),
        ),
        diagnostics,
        factory=StandIn,
        price=price,
        time_limit=settings.run_time_limit,
        size_limit=settings.run_limit,
        lost=registry.series.calls.lost,
    )
    registry.series.calls.add_table(table)
    if not current_span.holds_what_is_attached():
        diagnostics.log_once("context", _NOT_PLAIN)
    _tables.add(table)
    _close_at_exit()
    return Pipeline(table, diagnostics, _restore_current, settings)


def _tracer(provider: TracerProvider, diagnostics: Diagnostics) -> trace.Tracer:
    """Return a provider's tracer, or a no-op tracer if the provider raises."""
    try:
        try:
            return trace.get_tracer(
                _SCOPE, version("otel-callbacks"), provider, semconv.SCHEMA_URL
            )
        except TypeError:  # a provider for an older API has fewer parameters
            return provider.get_tracer(_SCOPE)
    except Exception as error:  # noqa: BLE001 -- the app's own provider
        diagnostics.trouble("tracer_provider", error)
        return trace.NoOpTracer()


def ledger_only(settings: Settings, *, for_process: bool = False) -> Pipeline:
    """Return a pipeline that only keeps accounts."""
    diagnostics = Diagnostics(strict=settings.strict)
    if for_process:
        _open_process_account(settings, diagnostics)
    price = Pricing(diagnostics, settings.prices, is_logged=False).cost
    sink = LedgerSink(price, diagnostics, Counts(), has_spans=False)
    table = RunTable(
        (sink,),
        diagnostics,
        price=price,
        time_limit=settings.run_time_limit,
        size_limit=settings.run_limit,
    )
    return Pipeline(table, diagnostics, lambda _: None, settings)


def _open_process_account(settings: Settings, diagnostics: Diagnostics) -> None:
    """Open the account of the whole process, if the settings give it a budget."""
    chosen = limits(
        settings.budget_tokens,
        settings.budget_cost_usd,
        settings.budget_calls,
        settings.budget_on_exceed,
        settings.budget_on_unpriced,
    )
    if chosen is None:
        return
    if not accounts.process:
        accounts.process.append(Account(chosen))
        use_account(1)
    elif chosen != accounts.process[0].limits:
        diagnostics.log_once(
            "budget",
            "a second handler has another budget for the process; the first one's "
            "stays in force.",
        )


def _events(
    provider: LoggerProvider | None, settings: Settings, diagnostics: Diagnostics
) -> tuple[EventSink, ...]:
    """Return the sink of events if events are enabled."""
    if not settings.has_events:
        return ()
    try:
        logger = get_logger(
            _SCOPE, version("otel-callbacks"), provider, semconv.SCHEMA_URL
        )
    except Exception as error:  # noqa: BLE001 -- the app's own provider
        diagnostics.trouble("logger_provider", error)
        return ()
    content = settings.capture_content in {"EVENT_ONLY", "SPAN_AND_EVENT"}
    return (
        EventSink(
            logger,
            extensions=settings.extensions,
            content=content,
            registry=settings.registry,
        ),
    )


_tables: Final[weakref.WeakSet[RunTable]] = weakref.WeakSet()


def _close_at_exit() -> None:
    """Register to end open runs at exit, before an SDK that is already set up."""
    atexit.unregister(_close_all)
    atexit.register(_close_all)


def _close_all() -> None:
    """End all open runs at the exit of the process."""
    for table in list(_tables):
        table.close()


def _restore_current(run: Run) -> None:
    """Restore the span that was current before a stream, for the stream's reader."""
    if isinstance(run, StandIn):
        current_span.put_back(run)
