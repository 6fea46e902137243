"""Spans on their way out: one log line when they cannot be sent, each loss counted.

OpenTelemetry's exporters log every retry and every lost batch, and may hold an app's
end up for as long as they retry. An app must not pay that for a Collector that is away.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
)
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from otel_callbacks._forks import tell_after_fork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks._diagnostics import Health

# Whose lines ours stand in for.
_TALKATIVE: Final = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk._shared_internal",
)
# The SDK's own defaults.
_MAX_QUEUE_SIZE: Final = 2_048
_MAX_EXPORT_BATCH_SIZE: Final = 512
_OTHER_SIGNALS: Final = ("metrics", "logs")
_PATIENCE: Final = 2.0

_logger: Final = logging.getLogger("otel_callbacks")


class ReportingExporter(SpanExporter):
    """Sends through another exporter; says once that it fails, and when it is well.

    Args:
        inner: Sends the spans.
        target: Where to, for people.
        health: Counts the spans that are lost.
    """

    def __init__(self, inner: SpanExporter, target: str, health: Health) -> None:
        self._inner = inner
        self._target = target
        self._health = health
        self._failing = False
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(_is_not_about_exports)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans.

        Args:
            spans: The spans; they are lost if they cannot be sent.
        """
        try:
            result = self._inner.export(spans)
        except Exception:  # noqa: BLE001 -- counted and said below
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            if self._failing:
                self._failing = False
                _logger.info("otel_callbacks: spans reach %s again.", self._target)
        else:
            self._failing = True
            self._health.oddity(
                "export",
                f"spans cannot be sent to {self._target}; the app goes on, and these "
                "spans are lost. Is a Collector listening there, and is "
                "OTEL_EXPORTER_OTLP_PROTOCOL right for the port? Lost spans are "
                "counted in otel_callbacks_errors_total{where='export'}, not logged.",
                count=len(spans),
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
        return self._inner.force_flush(timeout_millis)


class CountingProcessor(BatchSpanProcessor):
    """Sends spans in batches, and counts those that found the queue full.

    Args:
        exporter: Sends the batches.
        health: Counts the spans that are lost.
    """

    def __init__(self, exporter: ReportingExporter, health: Health) -> None:
        self._size = _number(OTEL_BSP_MAX_QUEUE_SIZE, _MAX_QUEUE_SIZE)
        batch = _number(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, _MAX_EXPORT_BATCH_SIZE)
        self._waiting = 0
        self._lock = threading.Lock()
        self._health = health
        self._out = exporter
        super().__init__(
            _Counted(exporter, self),
            max_queue_size=self._size,
            # The SDK refuses a batch that is longer than the queue.
            max_export_batch_size=min(batch, self._size),
        )
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Begin with nothing: the SDK empties the queue in a forked child."""
        self._lock = threading.Lock()
        self._waiting = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue an ended span.

        Args:
            span: The span.
        """
        if span.context is not None and span.context.trace_flags.sampled:
            with self._lock:
                self._waiting += 1
                full = self._waiting > self._size
                self._waiting -= full
            if full:
                self._health.oddity(
                    "span_queue_full",
                    f"more than {self._size} spans wait to be sent; the oldest are "
                    "dropped. Raise OTEL_BSP_MAX_QUEUE_SIZE. Dropped spans are counted "
                    "in otel_callbacks_errors_total{where='span_queue_full'}.",
                )
        super().on_end(span)

    def sent(self, count: int) -> None:
        """Take note that spans have left the queue.

        Args:
            count: How many.
        """
        with self._lock:
            self._waiting = max(self._waiting - count, 0)

    def shutdown(self) -> None:
        """Send what waits, but with little patience: an app's end is near."""
        # Ends the exporter's retries; without it they hold the app up for seconds.
        impatient = threading.Timer(_PATIENCE, self._out.shutdown)
        impatient.daemon = True
        impatient.start()
        try:
            super().shutdown()  # type: ignore[no-untyped-call]
        finally:
            impatient.cancel()


class _Counted(SpanExporter):
    """Tells a processor what leaves its queue."""

    def __init__(self, inner: ReportingExporter, processor: CountingProcessor) -> None:
        self._inner = inner
        self._processor = processor

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Pass a batch on."""
        self._processor.sent(len(spans))
        return self._inner.export(spans)

    def shutdown(self) -> None:
        """Stop sending."""
        self._inner.shutdown()


def _is_not_about_exports(record: logging.LogRecord) -> bool:
    """Let pass what `ReportingExporter` does not say itself."""
    if record.levelno < logging.WARNING:
        return True
    # An app's own exporters of other signals log under the same names.
    return any(signal in record.getMessage() for signal in _OTHER_SIGNALS)


def _number(variable: str, default: int) -> int:
    """Read a number that `check_sdk_variables` has let pass."""
    text = os.environ.get(variable, "").strip()
    return int(text) if text else default
