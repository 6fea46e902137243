"""Events on their way out: queued, sent in batches, each loss counted.

OpenTelemetry's classes for logs changed their names between 1.38 and 1.45; here they
are asked for what they do, not for what they are called.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from opentelemetry._logs import get_logger_provider, set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider, export
from opentelemetry.sdk.environment_variables import (
    OTEL_BLRP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BLRP_MAX_QUEUE_SIZE,
)
from opentelemetry.sdk.resources import Resource

from otel_callbacks._forks import tell_after_fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_callbacks._diagnostics import Health
    from otel_callbacks.settings import Settings

_logger: Final = logging.getLogger("otel_callbacks")

# Whose lines about logs ours stand in for.
_TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk._shared_internal",
)
_OF_A_SHUTDOWN: Final = ("Shutdown in progress", "Exporter already shutdown")
_DEFAULT_TARGETS: Final = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}
# The SDK's own defaults.
_MAX_QUEUE_SIZE: Final = 2_048
_MAX_EXPORT_BATCH_SIZE: Final = 512
_PATIENCE: Final = 2.0


def event_provider(
    settings: Settings, service_name: str | None
) -> LoggerProvider | None:
    """Return a new provider for events, or None if the app has one or wants none.

    Args:
        settings: The settings.
        service_name: The service's name, as for spans.
    """
    if not settings.has_events:
        return None
    known = get_logger_provider()
    if isinstance(known, LoggerProvider) and not getattr(known, _CLOSED, False):
        return None
    # We shut it down ourselves, after the runs that are still open have ended.
    attributes = {"service.name": service_name} if service_name else {}
    resource = Resource.create(attributes)
    return LoggerProvider(resource=resource, shutdown_on_exit=False)


def send_events(provider: LoggerProvider, settings: Settings, health: Health) -> None:
    """Let a provider send its events where the settings say; make it the global one.

    Args:
        provider: Made by `event_provider`.
        settings: The settings.
        health: Counts the events that are lost.
    """
    if settings.logs_exporter == "console":
        console: Any = getattr(export, "ConsoleLogRecordExporter", None)
        console = console or export.ConsoleLogExporter
        printing = export.SimpleLogRecordProcessor(console(out=sys.stdout))
        provider.add_log_record_processor(printing)
    elif settings.logs_exporter == "otlp":
        protocol = settings.protocol
        exporter = ReportingLogExporter(_otlp(protocol), _target(protocol), health)
        provider.add_log_record_processor(CountingLogProcessor(exporter, health))
    if not isinstance(get_logger_provider(), LoggerProvider):
        set_logger_provider(provider)


def close_events(provider: LoggerProvider) -> None:
    """Send what waits, and end; the provider may still be the global one.

    Args:
        provider: Made by `event_provider`.
    """
    setattr(provider, _CLOSED, True)
    provider.shutdown()


_CLOSED: Final = "_closed_by_otel_callbacks"


class ReportingLogExporter:
    """Sends through another exporter; says once that it fails, and when it is well.

    Args:
        inner: Sends the events.
        target: Where to, for people.
        health: Counts the events that are lost.
    """

    def __init__(self, inner: Any, target: str, health: Health) -> None:
        self.waiting = 0
        self._inner = inner
        self._target = target
        self._health = health
        self._failing = False
        self._lock = threading.Lock()
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(_is_not_about_logs)
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Begin with nothing: the SDK empties the queue in a forked child."""
        self._lock = threading.Lock()
        self.waiting = 0

    def takes(self, size: int) -> bool:
        """Note an event on its way, and say whether the queue has room for it.

        Args:
            size: How many may wait.
        """
        with self._lock:
            full = self.waiting >= size
            self.waiting += not full
        return not full

    def export(self, batch: Sequence[Any]) -> Any:
        """Send events.

        Args:
            batch: The events; they are lost if they cannot be sent.
        """
        with self._lock:
            self.waiting = max(self.waiting - len(batch), 0)
        try:
            result = self._inner.export(batch)
        except Exception:  # noqa: BLE001 -- counted and said below
            result = None
        if result is not None and result.name == "SUCCESS":
            if self._failing:
                self._failing = False
                _logger.info("otel_callbacks: events reach %s again.", self._target)
        else:
            self._failing = True
            self._health.oddity(
                "export_events",
                f"events cannot be sent to {self._target}; the app goes on, and these "
                "events are lost. Is a Collector with a pipeline for logs listening "
                "there? Lost events are counted in "
                "otel_callbacks_errors_total{where='export_events'}, not logged.",
                count=len(batch),
            )
        return result

    def shutdown(self) -> None:
        """Stop sending."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what the exporter itself holds back.

        Args:
            timeout_millis: How long that may take, in milliseconds.
        """
        return bool(self._inner.force_flush(timeout_millis))


class CountingLogProcessor(export.BatchLogRecordProcessor):
    """Sends events in batches, and counts those that found the queue full.

    Args:
        exporter: Sends the batches.
        health: Counts the events that are lost.
    """

    def __init__(self, exporter: ReportingLogExporter, health: Health) -> None:
        self._size = _number(OTEL_BLRP_MAX_QUEUE_SIZE, _MAX_QUEUE_SIZE)
        self._out = exporter
        self._health = health
        batch = _number(OTEL_BLRP_MAX_EXPORT_BATCH_SIZE, _MAX_EXPORT_BATCH_SIZE)
        inner: Any = exporter
        super().__init__(
            inner,
            max_queue_size=self._size,
            # The SDK refuses a batch that is longer than the queue.
            max_export_batch_size=min(batch, self._size),
        )

    def on_emit(self, log_record: Any) -> None:
        """Queue an event.

        Args:
            log_record: The event.
        """
        if not self._out.takes(self._size):
            self._health.oddity(
                "event_queue_full",
                f"more than {self._size} events wait to be sent; the oldest are "
                "dropped. Raise OTEL_BLRP_MAX_QUEUE_SIZE. Dropped events are counted "
                "in otel_callbacks_errors_total{where='event_queue_full'}.",
            )
        super().on_emit(log_record)

    def shutdown(self) -> None:
        """Send what waits, but with little patience: an app's end is near."""
        impatient = threading.Timer(_PATIENCE, self._out.shutdown)
        impatient.daemon = True
        impatient.start()
        try:
            super().shutdown()  # type: ignore[no-untyped-call]
        finally:
            impatient.cancel()


def _otlp(protocol: str) -> Any:
    """Return the exporter of a protocol; each is a second of imports, so only one."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (  # noqa: PLC0415
            OTLPLogExporter as Grpc,
        )

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http._log_exporter import (  # noqa: PLC0415
        OTLPLogExporter as Http,
    )

    return Http()


def _target(protocol: str) -> str:
    """Return where events are sent, for people."""
    return (
        os.environ.get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
        or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or _DEFAULT_TARGETS[protocol]
    )


def _is_not_about_logs(record: logging.LogRecord) -> bool:
    """Let pass what `ReportingLogExporter` does not say itself."""
    if record.levelno < logging.WARNING:
        return True
    said = record.getMessage()
    if record.name.endswith("_log_exporter") or said.startswith(_OF_A_SHUTDOWN):
        return False
    return "logs" not in said and "Log." not in said


def _number(variable: str, default: int) -> int:
    """Read a number; what is none is left to the SDK, which says so."""
    text = os.environ.get(variable, "").strip()
    return int(text) if text.isdecimal() and int(text) else default
