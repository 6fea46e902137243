"""OpenTelemetry's providers for an app that has none, and what sends for them."""

from __future__ import annotations

import copy
import os
import sys
import time
import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk import _logs as sdk_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs import export as log_export
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from otel_callbacks._background import call_after_fork
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._export.otlp import LOGS, METRICS, TRACES, exporter_class, route
from otel_callbacks._export.sender import PATIENCE, QueueSender, Sender
from otel_callbacks._metrics.wiring import start_anew

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks._export.otlp import Signal
    from otel_callbacks.settings import Settings

# The SDK's own defaults, in its own units.
_QUEUES: Final = {"traces": "OTEL_BSP", "logs": "OTEL_BLRP"}
_DELAYS_MS: Final = {"traces": 5_000, "logs": 1_000}
_QUEUE_SIZE: Final = 2_048
_BATCH_SIZE: Final = 512
_PUSH_MS: Final = 60_000
_PUSHED: Final = frozenset({"otlp", "both"})

_closed: weakref.WeakSet[Any] = weakref.WeakSet()


def is_set_up(provider: object, kind: type) -> bool:
    """Say whether the app has a provider that works."""
    if isinstance(provider, kind):
        # One of ours that was closed sends nothing any more, though it stays global.
        return provider not in _closed
    # Those of the API stand for none; another package's cannot be replaced.
    return not type(provider).__module__.startswith(_OF_THE_API)


_OF_THE_API: Final = (
    "opentelemetry.trace",
    "opentelemetry.metrics",
    "opentelemetry._logs",
)


class SpanQueue(SpanProcessor):
    """Puts ended spans on a queue."""

    def __init__(self, sender: QueueSender) -> None:
        self._sender = sender
        self._put = sender.put

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._put(span)

    def shutdown(self) -> None:
        """Send what waits, and end."""
        _end([self._sender], PATIENCE)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Say whether all that waits was accepted in time."""
        return _flush([self._sender], timeout_millis / 1e3)


class LogQueue(sdk_logs.LogRecordProcessor):
    """Puts emitted events on a queue."""

    def __init__(self, sender: QueueSender) -> None:
        self._sender = sender

    def on_emit(self, log_record: Any) -> None:
        """Queue an event; its context, which may be large, is not kept."""
        kept = copy.copy(log_record)
        kept.log_record = copy.copy(log_record.log_record)
        kept.log_record.context = otel_context.Context()
        self._sender.put(kept)

    def shutdown(self) -> None:
        """Send what waits, and end."""
        _end([self._sender], PATIENCE)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Say whether all that waits was accepted in time."""
        return _flush([self._sender], timeout_millis / 1e3)


class PushSender(Sender):
    """Pushes the sums of a meter provider at intervals."""

    def __init__(self, settings: Settings) -> None:
        to = route(METRICS, settings)
        # The reader asks for both of these; a connection is not made for it.
        asked = to.exporter()
        self._preferred = asked._preferred_temporality, asked._preferred_aggregation  # noqa: SLF001
        asked.shutdown()
        self._reader: MetricReader | None = None
        interval = _number("OTEL_METRIC_EXPORT_INTERVAL", _PUSH_MS) / 1e3
        # Until the handler is there, which has its own.
        super().__init__(to, Diagnostics(), interval)

    def reader(self) -> MetricReader:
        """Return a new reader, of which the last one is pushed."""
        self._reader = _Reader(self, *self._preferred)
        return self._reader

    def _send(self) -> None:
        """Collect, which gives the sums to the reader and so to `export`."""
        if self._reader is not None:
            self._reader.collect()


class _Reader(MetricReader):
    """Gives what it collects to a sender."""

    def __init__(self, sender: PushSender, temporality: Any, aggregation: Any) -> None:
        super().__init__(temporality, aggregation)
        self._sender = sender

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any
    ) -> None:
        """Push, in the sender's thread."""
        self._sender.export(metrics_data, 1, timeout_millis=timeout_millis)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Say whether the sums were accepted in time."""
        return _flush([self._sender], timeout_millis / 1e3)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Push for the last time, and end."""
        _end([self._sender], min(timeout_millis / 1e3, PATIENCE))


def show(provider: TracerProvider) -> None:
    """Let a provider print each trace in the terminal."""
    # By its name: the command line, whose picture it is, stands above this package.
    module = import_module("otel_callbacks.cli.picture.waterfall")
    provider.add_span_processor(SimpleSpanProcessor(module.WaterfallExporter()))


class Exports:
    """The providers made for an app that lacks them; what they send, and its end."""

    # After the others in a forked child: their locks are new then.
    forks_last = True

    def __init__(self, settings: Settings, service_name: str | None) -> None:
        self._settings = settings
        self._senders: list[Sender] = []
        self._push: PushSender | None = None
        # Once: the SDK makes threads for it, which a child just forked cannot.
        attributes = {"service.name": service_name} if service_name else {}
        self._resource = Resource.create(attributes)
        self.tracer_provider: TracerProvider | None = None
        self.meter_provider: MeterProvider | None = None
        self.logger_provider: LoggerProvider | None = None
        if not is_set_up(trace.get_tracer_provider(), TracerProvider):
            # We shut it down ourselves, after the runs that are still open have ended.
            self.tracer_provider = TracerProvider(
                resource=self._resource, shutdown_on_exit=False
            )
        if settings.has_events and not is_set_up(get_logger_provider(), LoggerProvider):
            self.logger_provider = LoggerProvider(
                resource=self._resource, shutdown_on_exit=False
            )

        known = metrics.get_meter_provider()
        pushes = settings.metrics_exporter in _PUSHED
        if pushes and not is_set_up(known, MeterProvider):
            self._push = PushSender(settings)
            self._senders.append(self._push)
            self.meter_provider = self._make_meter_provider(self._push)
            call_after_fork(self)

    def start(self, diagnostics: Diagnostics) -> None:
        """Let all send where the settings say; make them global where there is none."""
        settings = self._settings
        if self._push is not None and self.meter_provider is not None:
            self._push.diagnostics = diagnostics
            self._push.start()
            if not isinstance(metrics.get_meter_provider(), MeterProvider):
                metrics.set_meter_provider(self.meter_provider)
        if self.logger_provider is not None:
            self._send_logs(self.logger_provider, settings.logs_exporter, diagnostics)
            if not isinstance(get_logger_provider(), LoggerProvider):
                set_logger_provider(self.logger_provider)
        if self.tracer_provider is not None:
            self._send_spans(
                self.tracer_provider, settings.traces_exporter, diagnostics
            )
            if not isinstance(trace.get_tracer_provider(), TracerProvider):
                trace.set_tracer_provider(self.tracer_provider)

    def flush(self, timeout: float) -> bool:
        """Say whether all that waits, of all signals, was accepted in time."""
        return _flush(self._senders, timeout)

    def close(self, patience: float = PATIENCE) -> None:
        """Send what waits, all signals at the same time, and end; safe twice."""
        _end(self._senders, patience)
        for provider in (
            self.tracer_provider,
            self.meter_provider,
            self.logger_provider,
        ):
            if provider is not None and provider not in _closed:
                _closed.add(provider)
                provider.shutdown()

    def after_fork(self) -> None:
        """Begin at nothing: what was counted is the parent process's to push."""
        before = self.meter_provider
        if before is not None and self._push is not None and before not in _closed:
            self.meter_provider = self._make_meter_provider(self._push)
            start_anew(before, self.meter_provider)
            self._push.start()

    def _make_meter_provider(self, push: PushSender) -> MeterProvider:
        """Return a provider of this process."""
        resource = self._resource
        if SERVICE_INSTANCE_ID not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            # Two workers' series must not be one in Prometheus; an id of the SDK's own
            # would be that of the process it was forked from.
            own = Resource({SERVICE_INSTANCE_ID: str(uuid4())})
            resource = resource.merge(own)
        return MeterProvider([push.reader()], resource, shutdown_on_exit=False)

    def _send_spans(
        self, provider: TracerProvider, kind: str, diagnostics: Diagnostics
    ) -> None:
        """Let a tracer provider send its spans."""
        if kind == "console":
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        elif kind == "waterfall":
            show(provider)
        elif kind == "otlp":
            sender = self._queue(TRACES, diagnostics)
            provider.add_span_processor(SpanQueue(sender))

    def _send_logs(
        self, provider: LoggerProvider, kind: str, diagnostics: Diagnostics
    ) -> None:
        """Let a logger provider send its events."""
        if kind == "console":
            console: Any = getattr(log_export, "ConsoleLogRecordExporter", None)
            console = console or log_export.ConsoleLogExporter
            printing = log_export.SimpleLogRecordProcessor(console(out=sys.stdout))
            provider.add_log_record_processor(printing)
        elif kind == "otlp":
            provider.add_log_record_processor(LogQueue(self._queue(LOGS, diagnostics)))

    def _queue(self, signal: Signal, diagnostics: Diagnostics) -> QueueSender:
        """Return a sender with the queue that OpenTelemetry's variables describe."""
        to = route(signal, self._settings)
        exporter_class(signal, to.protocol)  # imported now, not at the first span
        prefix = _QUEUES[signal.name]
        delay = _number(f"{prefix}_SCHEDULE_DELAY", _DELAYS_MS[signal.name])
        sender = QueueSender(
            to,
            diagnostics,
            interval=delay / 1e3,
            size=_number(f"{prefix}_MAX_QUEUE_SIZE", _QUEUE_SIZE),
            batch=_number(f"{prefix}_MAX_EXPORT_BATCH_SIZE", _BATCH_SIZE),
            variable=f"{prefix}_MAX_QUEUE_SIZE",
        )
        self._senders.append(sender)
        return sender


def _flush(senders: Sequence[Sender], timeout: float) -> bool:
    """Flush all at the same time, and say whether all of it was accepted."""
    deadline = time.monotonic() + timeout
    asked = [sender.request_flush() for sender in senders]
    # Asked one by one: each has its answer, also behind one that failed.
    answers = [one.wait(deadline) for one in asked]
    return all(answers)


def _end(senders: Sequence[Sender], patience: float) -> None:
    """End all at the same time."""
    deadline = time.monotonic() + patience
    for sender in senders:
        sender.finish()
    for sender in senders:
        sender.join(deadline)


def _number(variable: str, default: int) -> int:
    """Read a number that `check_sdk_variables` has let pass."""
    text = os.environ.get(variable, "").strip()
    return int(text) if text else default
