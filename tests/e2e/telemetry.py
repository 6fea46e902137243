"""Spans and logs with GenAI attributes, sent by OpenTelemetry's own SDK.

What the Collector does with them does not depend on who made them, so these stand
for every instrumentation, well-behaved or not.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry._logs import Logger
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span, Tracer

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4.1",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 34,
}


@contextmanager
def sending(grpc: str, service: str) -> Iterator[Tracer]:
    """Yield a tracer whose spans are exported when the block ends.

    Args:
        grpc: Host and port of the Collector.
        service: The service's name.
    """
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(f"http://{grpc}", insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer("tests")
    finally:
        provider.shutdown()


def chat(tracer: Tracer, **attributes: Any) -> Span:
    """Start a span of a model call.

    Args:
        tracer: From ``sending``.
        attributes: Beside those of ``CHAT``, dots written as two underscores.
    """
    more = {name.replace("__", "."): value for name, value in attributes.items()}
    merged = {**CHAT, **more}
    return tracer.start_span(
        f"chat {merged['gen_ai.request.model']}",
        kind=SpanKind.CLIENT,
        attributes=merged,
    )


def trace_id(span: Span) -> str:
    """Return a span's trace id in hexadecimal.

    Args:
        span: Any span.
    """
    return format(span.get_span_context().trace_id, "032x")


@contextmanager
def measuring(grpc: str, service: str) -> Iterator[Meter]:
    """Yield a meter whose measurements are exported when the block ends.

    Args:
        grpc: Host and port of the Collector.
        service: The service's name.
    """
    exporter = OTLPMetricExporter(f"http://{grpc}", insecure=True)
    provider = MeterProvider(
        [PeriodicExportingMetricReader(exporter)],
        resource=Resource.create({"service.name": service}),
    )
    try:
        yield provider.get_meter("tests")
    finally:
        provider.shutdown()


class _Writer:
    """Emit log records that belong to spans.

    Args:
        logger: From a logger provider.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def __call__(
        self, span: Span, body: Any, event: str | None = None, **attributes: Any
    ) -> None:
        """Send one record.

        Args:
            span: The span it belongs to.
            body: Text, or an event's structure.
            event: The event's name, for records that are events.
            attributes: Of the record.
        """
        self._logger.emit(
            timestamp=time.time_ns(),
            context=set_span_in_context(span),
            severity_number=SeverityNumber.INFO,
            body=body,
            attributes=attributes,
            event_name=event,
        )


@contextmanager
def sending_logs(grpc: str, service: str) -> Iterator[_Writer]:
    """Yield a writer whose records are exported when the block ends.

    Args:
        grpc: Host and port of the Collector.
        service: The service's name.
    """
    provider = LoggerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPLogExporter(f"http://{grpc}", insecure=True)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    try:
        yield _Writer(provider.get_logger("tests"))
    finally:
        provider.shutdown()


class Sender:
    """Export spans in batches, and record whether the Collector accepted the last one.

    Args:
        grpc: Host and port of the Collector.
        service: The service's name.
    """

    def __init__(self, grpc: str, service: str) -> None:
        self.accepted = False
        self._finished = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource.create({"service.name": service}))
        provider.add_span_processor(SimpleSpanProcessor(self._finished))
        self._tracer = provider.get_tracer("tests")
        self._exporter = OTLPSpanExporter(f"http://{grpc}", insecure=True, timeout=1)

    @contextmanager
    def batch(self) -> Iterator[Tracer]:
        """Yield a tracer whose ended spans are exported as one request."""
        self._finished.clear()
        yield self._tracer
        result = self._exporter.export(self._finished.get_finished_spans())
        self.accepted = result is SpanExportResult.SUCCESS
