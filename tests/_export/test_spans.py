"""Spans on their way out: one line when they cannot be sent, each loss counted."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    Sampler,
    SamplingResult,
)
from waiting import WAIT_S

from otel_callbacks._diagnostics import Health
from otel_callbacks._export import spans as exporting
from otel_callbacks._export.spans import CountingProcessor, ReportingExporter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

TARGET = "http://localhost:4317"
TALKATIVE = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk._shared_internal",
)
# Far more than it takes.


class Line(SpanExporter):
    """A line to a Collector that may be up, down, broken or stuck."""

    def __init__(self, state: str = "up") -> None:
        self.state = state
        self.names: list[str] = []
        self.flushes: list[int] = []
        self.shutdowns = 0
        self.busy = threading.Event()
        self.freed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, as far as the line's state allows."""
        self.busy.set()
        if self.state == "stuck":
            self.freed.wait(WAIT_S)
            return SpanExportResult.FAILURE
        if self.state == "broken":
            message = "a bug in the exporter"
            raise RuntimeError(message)
        if self.state == "down":
            return SpanExportResult.FAILURE
        self.names.extend(span.name for span in spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self.shutdowns += 1
        self.freed.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Note how long it may take."""
        self.flushes.append(timeout_millis)
        return True


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """Leave the SDK's loggers as they were."""
    before = {name: list(logging.getLogger(name).filters) for name in TALKATIVE}
    yield
    for name, filters in before.items():
        logging.getLogger(name).filters = filters


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Keep all that is said, by the SDK too."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def messages(logged: pytest.LogCaptureFixture) -> list[str]:
    """Return what our own logger said."""
    return [
        record.getMessage()
        for record in logged.records
        if record.name == "otel_callbacks"
    ]


def spans(count: int) -> list[ReadableSpan]:
    """Return some ended spans."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    made = [tracer.start_span(f"span {number}") for number in range(count)]
    for span in made:
        span.end()
    return made  # type: ignore[return-value]


# -- the exporter --------------------------------------------------------------


def test_what_can_be_sent_is_sent_in_silence(
    logged: pytest.LogCaptureFixture,
) -> None:
    """A line that is up costs no log line and no count."""
    line, health = Line(), Health()
    exporter = ReportingExporter(line, TARGET, health)
    assert exporter.export(spans(2)) is SpanExportResult.SUCCESS
    assert line.names == ["span 0", "span 1"]
    assert health.counts() == {}
    assert messages(logged) == []


@pytest.mark.parametrize("state", ["down", "broken"])
def test_what_cannot_be_sent_is_said_once_and_counted(
    logged: pytest.LogCaptureFixture, state: str
) -> None:
    """However often it fails: one line, and a count of the spans that are lost."""
    health = Health(strict=True)
    exporter = ReportingExporter(Line(state), TARGET, health)
    for count in (3, 1, 2):
        assert exporter.export(spans(count)) is SpanExportResult.FAILURE
    assert health.counts() == {"export": 6}
    (message,) = messages(logged)
    assert f"spans cannot be sent to {TARGET}" in message
    assert "OTEL_EXPORTER_OTLP_PROTOCOL" in message
    assert "otel_callbacks_errors_total{where='export'}" in message


def test_recovery_is_said_once(logged: pytest.LogCaptureFixture) -> None:
    """When spans pass again that is one line; a second failure is only counted."""
    line, health = Line("down"), Health()
    exporter = ReportingExporter(line, TARGET, health)
    for state in ("down", "up", "up", "down"):
        line.state = state
        exporter.export(spans(1))
    said = messages(logged)
    assert len(said) == 2
    assert said[1] == f"otel_callbacks: spans reach {TARGET} again."
    assert health.counts() == {"export": 2}


def test_flush_and_shutdown_are_passed_on() -> None:
    """What the SDK asks of the exporter, the one beneath is asked."""
    line = Line()
    exporter = ReportingExporter(line, TARGET, Health())
    assert exporter.force_flush(7) is True
    assert exporter.force_flush() is True
    exporter.shutdown()
    assert line.flushes == [7, 30_000]
    assert line.shutdowns == 1


@pytest.mark.parametrize("name", TALKATIVE)
def test_lines_of_the_sdk_are_replaced(
    logged: pytest.LogCaptureFixture, name: str
) -> None:
    """The SDK's own warnings of each retry are not said beside ours."""
    for _ in range(2):
        ReportingExporter(Line(), TARGET, Health())
    logger = logging.getLogger(name)
    logger.error("Failed to export traces")
    logger.warning("Transient error while exporting traces")
    logger.info("started")
    # An app's own exporters of other signals log under the same names.
    logger.warning("Transient error while exporting metrics")
    logger.error("Failed to export logs")
    assert [record.getMessage() for record in logged.records] == [
        "started",
        "Transient error while exporting metrics",
        "Failed to export logs",
    ]
    assert logger.filters.count(exporting._is_not_about_exports) == 1


# -- the processor -------------------------------------------------------------


class Way:
    """A provider whose spans go out through the processor."""

    def __init__(self, line: Line, sampler: Sampler | None = None) -> None:
        self.line = line
        self.health = Health()
        exporter = ReportingExporter(line, TARGET, self.health)
        self.processor = CountingProcessor(exporter, self.health)
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(self.processor)

    def make(self, count: int) -> None:
        """End some spans."""
        tracer = self.provider.get_tracer("test")
        for number in range(count):
            tracer.start_span(f"span {number}").end()


def test_spans_are_sent_in_batches() -> None:
    """What has ended is with the exporter when the provider is shut down."""
    line = Line()
    way = Way(line)
    way.make(5)
    way.provider.shutdown()
    assert sorted(line.names) == [f"span {number}" for number in range(5)]
    assert line.shutdowns == 1
    assert way.processor._waiting == 0
    assert way.health.counts() == {}


def test_flush_sends_what_waits() -> None:
    """An app may ask for all to be sent now."""
    line = Line()
    way = Way(line)
    way.make(3)
    assert way.provider.force_flush()
    assert len(line.names) == 3
    assert way.processor._waiting == 0
    way.provider.shutdown()


def test_spans_that_find_the_queue_full_are_counted(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture
) -> None:
    """While nothing gets out, what is dropped is counted, and said once."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    line = Line("stuck")
    way = Way(line)
    way.make(2)
    assert line.busy.wait(WAIT_S)
    assert way.processor._waiting == 0  # they are on their way
    way.make(4)
    assert way.health.counts() == {}
    way.make(3)
    assert way.health.counts() == {"span_queue_full": 3}
    (message,) = messages(logged)
    assert "more than 4 spans wait to be sent" in message
    assert "OTEL_BSP_MAX_QUEUE_SIZE" in message
    line.state = "up"
    line.freed.set()
    way.provider.shutdown()
    assert len(line.names) == 4
    # The two of the first batch are lost on the way, three found no place.
    assert way.health.counts() == {"span_queue_full": 3, "export": 2}


class RecordsOnly(Sampler):
    """A sampler whose spans are recorded and not sent."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Record."""
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        """Say what it does."""
        return "RecordsOnly"


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, RecordsOnly()])
def test_spans_that_are_not_sampled_do_not_wait(sampler: Sampler) -> None:
    """What the sampler left out takes no place and is not missed."""
    line = Line()
    way = Way(line, sampler)
    way.make(3)
    way.provider.shutdown()
    assert line.names == []
    assert way.processor._waiting == 0
    assert way.health.counts() == {}


@pytest.mark.parametrize("text", ["", "  ", None])
def test_queue_size_has_the_sdks_default(
    monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Without a variable the queue is as long as the SDK's."""
    monkeypatch.delenv("OTEL_BSP_MAX_QUEUE_SIZE", raising=False)
    if text is not None:
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", text)
    way = Way(Line())
    assert way.processor._size == 2_048
    assert way.processor._batch_processor._max_queue_size == 2_048
    way.provider.shutdown()


def test_queue_may_be_shorter_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small queue is an allowed setting: then batches are small, too."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    monkeypatch.delenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", raising=False)
    way = Way(Line())
    way.make(3)
    way.provider.shutdown()
    assert len(way.line.names) == 3


def test_shutdown_has_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that hangs is given up, so that the app can end."""
    monkeypatch.setattr(exporting, "_PATIENCE", 0.05)
    line = Line("stuck")
    way = Way(line)
    way.make(2)
    way.provider.shutdown()
    assert line.freed.is_set()
    assert line.shutdowns >= 1
    assert way.health.counts() == {"export": 2}


def test_shutdown_that_is_quick_leaves_no_timer() -> None:
    """The guard against a hanging export ends with the shutdown."""
    way = Way(Line())
    way.provider.shutdown()
    timers = [one for one in threading.enumerate() if isinstance(one, threading.Timer)]
    for timer in timers:
        timer.join(WAIT_S)
    assert way.line.shutdowns == 1


def test_forked_child_does_not_wait_for_its_parents_lock() -> None:
    """A span that ends in a child, forked while a thread counts, is no deadlock."""
    way = Way(Line())
    held, release = threading.Event(), threading.Event()

    def count() -> None:
        with way.processor._lock:
            held.set()
            release.wait(WAIT_S)

    thread = threading.Thread(target=count)
    thread.start()
    held.wait(WAIT_S)
    with warnings.catch_warnings():
        # From Python 3.12 on it warns where threads run, as here on purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        way.make(1)
        os._exit(7)
    release.set()
    thread.join(WAIT_S)
    assert _ended(pid) == 7
    way.provider.shutdown()


def test_forked_child_counts_from_zero() -> None:
    """What waits in the parent takes no place in the child's queue."""
    way = Way(Line())
    way.make(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        way.make(1)
        os._exit(10 + way.processor._waiting)
    assert _ended(pid) == 11
    way.provider.shutdown()
    assert len(way.line.names) == 3


def _ended(pid: int) -> int:
    """Return a child's exit code; end it if it hangs."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_fork_leaves_the_queue_to_the_parent() -> None:
    """What a child is told after a fork: an own lock, and nothing that waits."""
    way = Way(Line())
    lock = way.processor._lock
    way.processor._waiting = 3
    way.processor.after_fork()
    assert way.processor._lock is not lock
    assert way.processor._waiting == 0
    way.provider.shutdown()


def test_lines_about_other_signals_pass(caplog: pytest.LogCaptureFixture) -> None:
    """An app's own exporters of metrics and logs keep their lines."""
    way = Way(Line())
    logger = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")
    logger.warning("Failed to export %s", "metrics")
    logger.warning("Failed to export %s", "traces")
    assert caplog.messages == ["Failed to export metrics"]
    way.provider.shutdown()
