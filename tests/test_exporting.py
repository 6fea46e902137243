"""Spans that cannot be sent: one log line, and each of them counted."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    DEFAULT_ON,
    Decision,
    Sampler,
    SamplingResult,
)

from otel_callbacks.exporting import CountingProcessor, ReportingExporter
from otel_callbacks.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

TALKATIVE = "opentelemetry.exporter.otlp.proto.grpc.exporter"


class Flaky(SpanExporter):
    """An exporter that does what it is told, and keeps what it was given."""

    def __init__(self) -> None:
        self.result: SpanExportResult | None = SpanExportResult.SUCCESS
        self.gate = threading.Event()
        self.gate.set()
        self.spans: list[ReadableSpan] = []
        self.ended = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take spans, or fail."""
        self.gate.wait(10)
        if self.result is None:
            message = "broken"
            raise OSError(message)
        self.spans.extend(spans)
        return self.result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Say that it was asked in good time."""
        return timeout_millis == 100

    def shutdown(self) -> None:
        """Stop waiting."""
        self.ended += 1
        self.gate.set()


class RecordsOnly(Sampler):
    """A sampler whose spans are recorded and not sent."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Record."""
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        """Return its name."""
        return "RecordsOnly"


@pytest.fixture(autouse=True)
def _filters() -> Iterator[None]:
    """Leave other tests' loggers as they were."""
    logger = logging.getLogger(TALKATIVE)
    before = list(logger.filters)
    yield
    logger.filters = before


def made(
    health: Health, monkeypatch: pytest.MonkeyPatch, *, queue: int = 100
) -> tuple[Flaky, CountingProcessor]:
    """Return an exporter and the processor in front of it."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(queue))
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(min(queue, 50)))
    flaky = Flaky()
    reporting = ReportingExporter(flaky, "http://collector:4317", health)
    return flaky, CountingProcessor(reporting, health)


def test_failures_are_said_once_and_counted_each(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused and raising exports lose spans, and the count says how many."""
    caplog.set_level(logging.INFO, "otel_callbacks")
    health = Health()
    flaky, processor = made(health, monkeypatch)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("test")
    for result in (SpanExportResult.FAILURE, None, SpanExportResult.SUCCESS):
        flaky.result = result
        tracer.start_span("x").end()
        tracer.start_span("y").end()
        assert provider.force_flush()
    assert health.counts() == {"export": 4}
    assert [span.name for span in flaky.spans][-2:] == ["x", "y"]
    assert "spans cannot be sent to http://collector:4317" in caplog.messages[0]
    assert caplog.messages[1] == (
        "otel_callbacks: spans reach http://collector:4317 again."
    )
    assert len(caplog.messages) == 2
    provider.shutdown()
    assert flaky.ended == 1


def test_exporters_own_lines_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What OpenTelemetry's exporter says of each retry is said by our one line."""
    _, processor = made(Health(), monkeypatch)
    logger = logging.getLogger(TALKATIVE)
    logger.setLevel(logging.INFO)
    logger.error("Failed to export")
    logger.info("something else")
    assert caplog.messages == ["something else"]
    processor.shutdown()


def test_full_queue_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Spans that find the queue full push out others, each of them counted."""
    health = Health()
    flaky, processor = made(health, monkeypatch, queue=2)
    flaky.gate.clear()
    provider = TracerProvider(shutdown_on_exit=False, sampler=DEFAULT_ON)
    provider.add_span_processor(processor)
    for _ in range(20):
        provider.get_tracer("test").start_span("x").end()
    flaky.gate.set()
    provider.shutdown()
    lost = health.counts()["span_queue_full"]
    assert lost + len(flaky.spans) == 20
    assert lost > 0
    assert caplog.text.count("OTEL_BSP_MAX_QUEUE_SIZE") == 1


def test_unsampled_spans_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded but not sampled is neither queued nor counted."""
    health = Health()
    flaky, processor = made(health, monkeypatch, queue=1)
    provider = TracerProvider(shutdown_on_exit=False, sampler=RecordsOnly())
    provider.add_span_processor(processor)
    for _ in range(5):
        provider.get_tracer("test").start_span("x").end()
    provider.shutdown()
    assert health.counts() == {}
    assert flaky.spans == []


def test_end_does_not_wait_for_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that hangs is told to stop when the app ends."""
    monkeypatch.setattr("otel_callbacks.exporting._PATIENCE", 0.05)
    flaky, processor = made(Health(), monkeypatch)
    flaky.gate.clear()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    provider.get_tracer("test").start_span("x").end()
    provider.shutdown()
    assert flaky.ended >= 1


def test_flush_reaches_the_exporter() -> None:
    """What an exporter holds back itself is flushed, too."""
    reporting = ReportingExporter(Flaky(), "nowhere", Health())
    assert reporting.force_flush(100) is True
