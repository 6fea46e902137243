"""OpenTelemetry providers for an app that has none, and their export."""

from __future__ import annotations

import copy
import os
import sys
import threading
import time
import weakref
from concurrent import futures
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
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from otel_callbacks._background import call_after_fork
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._export.otlp import LOGS, METRICS, TRACES, exporter_class, route
from otel_callbacks._export.sender import PATIENCE, QueueSender, Sender
from otel_callbacks._metrics.wiring import start_anew

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_callbacks._export.otlp import Signal
    from otel_callbacks.settings import Settings

# The SDK's own defaults, in its own units.
_QUEUES: Final = {"traces": "OTEL_BSP", "logs": "OTEL_BLRP"}
_DELAYS_MS: Final = {"traces": 5_000, "logs": 1_000}
_QUEUE_SIZE: Final = 2_048
_BATCH_SIZE: Final = 512
_PUSH_MS: Final = 60_000

_closed: weakref.WeakSet[Any] = weakref.WeakSet()


def is_set_up(provider: object, kind: type) -> bool:
    """Return whether the app has a working provider."""
    if isinstance(provider, kind):
        # A closed provider of ours stays global but exports nothing.
        return provider not in _closed
    # The API's providers are placeholders; those of other packages cannot be replaced.
    return not type(provider).__module__.startswith(_OF_THE_API)


_OF_THE_API: Final = (
    "opentelemetry.trace",
    "opentelemetry.metrics",
    "opentelemetry._logs",
)


class _Queue:
    """A processor of the SDK that puts what ends on a sender's queue."""

    def __init__(self, sender: QueueSender) -> None:
        self._sender = sender
        self._put = sender.put

    def shutdown(self) -> None:
        """Export all that is queued, and end."""
        _end([self._sender], PATIENCE)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return whether all that is queued was accepted in time."""
        return _flush([self._sender], timeout_millis / 1e3)


class SpanQueue(_Queue, SpanProcessor):
    """Puts ended spans on a queue."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._put(span)


class LogQueue(_Queue, sdk_logs.LogRecordProcessor):
    """Puts emitted events on a queue."""

    def on_emit(self, log_record: Any) -> None:
        """Queue an event without its context, which may be large."""
        kept = copy.copy(log_record)
        kept.log_record = copy.copy(log_record.log_record)
        kept.log_record.context = otel_context.Context()
        self._put(kept)


class PushSender(Sender):
    """Pushes the metrics of a meter provider at intervals."""

    def __init__(self, settings: Settings) -> None:
        to = route(METRICS, settings)
        # The reader needs both preferences; the exporter opens no connection here.
        one = to.exporter()
        self._preferred = one._preferred_temporality, one._preferred_aggregation  # noqa: SLF001
        one.shutdown()
        self._reader: MetricReader | None = None
        interval = _number("OTEL_METRIC_EXPORT_INTERVAL", _PUSH_MS) / 1e3
        # Replaced by the handler's in `Exports.start`.
        super().__init__(to, Diagnostics(), interval)

    def reader(self) -> MetricReader:
        """Return a new reader; only the last one is pushed."""
        self._reader = _Reader(self, *self._preferred)
        return self._reader

    def _send(self) -> None:
        """Collect; the reader passes the metrics to `export`."""
        if self._reader is not None:
            self._reader.collect()


class _Reader(MetricReader):
    """Passes collected metrics to a sender."""

    def __init__(self, sender: PushSender, temporality: Any, aggregation: Any) -> None:
        super().__init__(temporality, aggregation)
        self._sender = sender

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any
    ) -> None:
        """Push in the sender's thread."""
        self._sender.export(metrics_data, 1, timeout_millis=timeout_millis)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Return whether the metrics were accepted in time."""
        return _flush([self._sender], timeout_millis / 1e3)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Push a last time, and end."""
        _end([self._sender], min(timeout_millis / 1e3, PATIENCE))


def show(provider: TracerProvider) -> None:
    """Print each trace of a provider in the terminal."""
    # Imported by name: the layering does not let this package import the CLI.
    module = import_module("otel_callbacks.cli.picture.waterfall")
    provider.add_span_processor(SimpleSpanProcessor(module.WaterfallExporter()))


class Exports:
    """The providers made for an app that lacks them, and their senders."""

    # Last in a forked child, when the others have renewed their locks.
    forks_last = True

    def __init__(self, settings: Settings, service_name: str | None) -> None:
        self._settings = settings
        self._senders: list[Sender] = []
        self._push: PushSender | None = None
        # Made once: the SDK starts threads for it, which a fresh fork cannot.
        attributes = {"service.name": service_name} if service_name else {}
        self._resource = Resource.create(attributes)
        self.tracer_provider: TracerProvider | None = None
        self.meter_provider: MeterProvider | None = None
        self.logger_provider: LoggerProvider | None = None
        # `close` shuts them down, after open runs have ended.
        options: Any = {"resource": self._resource, "shutdown_on_exit": False}
        if not is_set_up(trace.get_tracer_provider(), TracerProvider):
            self.tracer_provider = TracerProvider(**options)
        if settings.has_events and not is_set_up(get_logger_provider(), LoggerProvider):
            self.logger_provider = LoggerProvider(**options)
        known = metrics.get_meter_provider()
        pushes = settings.metrics_exporter in {"otlp", "both"}
        if pushes and not is_set_up(known, MeterProvider):
            self._push = PushSender(settings)
            self._senders.append(self._push)
            self.meter_provider = self._make_meter_provider(self._push)
            call_after_fork(self)

    def start(self, diagnostics: Diagnostics) -> None:
        """Start the senders of the settings; set the providers that are not set."""
        if self._push is not None and self.meter_provider is not None:
            self._push.diagnostics = diagnostics
            self._push.start()
            if not isinstance(metrics.get_meter_provider(), MeterProvider):
                metrics.set_meter_provider(self.meter_provider)
        if self.logger_provider is not None:
            self._send_logs(self.logger_provider, diagnostics)
            if not isinstance(get_logger_provider(), LoggerProvider):
                set_logger_provider(self.logger_provider)
        if self.tracer_provider is not None:
            self._send_spans(self.tracer_provider, diagnostics)
            if not isinstance(trace.get_tracer_provider(), TracerProvider):
                trace.set_tracer_provider(self.tracer_provider)

    def flush(self, timeout: float) -> bool:
        """Return whether all that is queued, of all signals, was accepted in time."""
        return _flush(self._senders, timeout)

    def close(self, patience: float = PATIENCE) -> None:
        """Export all signals concurrently, and end; safe to call twice."""
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
        """Start the metrics at zero: the parent process pushes its own counts."""
        before = self.meter_provider
        if before is not None and self._push is not None and before not in _closed:
            self.meter_provider = self._make_meter_provider(self._push)
            start_anew(before, self.meter_provider)
            self._push.start()

    def _make_meter_provider(self, push: PushSender) -> MeterProvider:
        """Return a meter provider for this process."""
        resource = self._resource
        if SERVICE_INSTANCE_ID not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            # The series of two workers must differ in Prometheus; the SDK's id would be
            # that of the parent process.
            resource = resource.merge(Resource({SERVICE_INSTANCE_ID: str(uuid4())}))
        return MeterProvider([push.reader()], resource, shutdown_on_exit=False)

    def _send_spans(self, provider: TracerProvider, diagnostics: Diagnostics) -> None:
        """Add the span processor of the exporter in the settings."""
        kind = self._settings.traces_exporter
        if kind == "console":
            provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
        elif kind == "waterfall":
            show(provider)
        elif kind == "otlp":
            provider.add_span_processor(SpanQueue(self._queue(TRACES, diagnostics)))

    def _send_logs(self, provider: LoggerProvider, diagnostics: Diagnostics) -> None:
        """Add the log record processor of the exporter in the settings."""
        kind = self._settings.logs_exporter
        if kind == "console":
            console: Any = getattr(log_export, "ConsoleLogRecordExporter", None)
            console = console or log_export.ConsoleLogExporter
            printing = log_export.SimpleLogRecordProcessor(console(out=sys.stdout))
            provider.add_log_record_processor(printing)
        elif kind == "otlp":
            provider.add_log_record_processor(LogQueue(self._queue(LOGS, diagnostics)))

    def _queue(self, signal: Signal, diagnostics: Diagnostics) -> QueueSender:
        """Return a sender with a queue as set by OpenTelemetry's variables."""
        to = route(signal, self._settings)
        exporter_class(signal, to.protocol)  # imported now, not at the first span
        prefix = _QUEUES[signal.name]
        sender = QueueSender(
            to,
            diagnostics,
            interval=_number(f"{prefix}_SCHEDULE_DELAY", _DELAYS_MS[signal.name]) / 1e3,
            size=_number(f"{prefix}_MAX_QUEUE_SIZE", _QUEUE_SIZE),
            batch=_number(f"{prefix}_MAX_EXPORT_BATCH_SIZE", _BATCH_SIZE),
            variable=f"{prefix}_MAX_QUEUE_SIZE",
        )
        self._senders.append(sender)
        return sender


def _flush(senders: Sequence[Sender], timeout: float) -> bool:
    """Flush all senders concurrently; return whether everything was accepted."""
    flushes = [sender.request_flush() for sender in senders]
    ended, waiting = futures.wait(flushes, min(timeout, threading.TIMEOUT_MAX))
    return not waiting and all(flush.result() for flush in ended)


def _end(senders: Sequence[Sender], patience: float) -> None:
    """End all senders concurrently."""
    deadline = time.monotonic() + patience
    for sender in senders:
        sender.finish()
    for sender in senders:
        sender.join(deadline)


def _number(variable: str, default: int) -> int:
    """Return a number that `check_sdk_variables` has validated."""
    text = os.environ.get(variable, "").strip()
    return int(text) if text else default
