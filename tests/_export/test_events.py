"""Events on their way out: queued, sent in batches, one line and a count for a loss."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import _logs, trace
from opentelemetry._logs import LogRecord, NoOpLoggerProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.util._once import Once
from prometheus_client import CollectorRegistry
from waiting import WAIT_S

from otel_callbacks import Settings, configure
from otel_callbacks._diagnostics import Health
from otel_callbacks._export import events as event_export
from otel_callbacks._export.events import (
    CountingLogProcessor,
    ReportingLogExporter,
    close_events,
    event_provider,
    send_events,
)
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Iterator

TALKATIVE = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk._shared_internal",
)
WITH_EVENTS = Settings(emit_event=True)
# Far more than it takes.


class Line:
    """A line to a Collector that may be up, down, broken or stuck."""

    def __init__(self, state: str = "up") -> None:
        self.state = state
        self.names: list[str] = []
        self.shutdowns = 0
        self.busy = threading.Event()
        self.freed = threading.Event()

    def export(self, batch: Any) -> Any:
        """Send events, as far as the line's state allows."""
        self.busy.set()
        if self.state == "stuck":
            self.freed.wait(WAIT_S)
        if self.state == "broken":
            message = "a bug in the exporter"
            raise RuntimeError(message)
        if self.state != "up":
            return SimpleNamespace(name="FAILURE")
        self.names += [said.log_record.event_name for said in batch]
        return SimpleNamespace(name="SUCCESS")

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self.shutdowns += 1
        self.freed.set()

    def force_flush(self, _: int = 30_000) -> bool:
        """Hold nothing back."""
        return True


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """Take our filters off OpenTelemetry's loggers again."""
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    before = [list(logger.filters) for logger in loggers]
    yield
    for logger, filters in zip(loggers, before, strict=True):
        logger.filters[:] = filters


@pytest.fixture
def global_provider(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand in for the global provider, which can be set once in a process."""
    holder: list[Any] = [NoOpLoggerProvider()]
    monkeypatch.setattr(event_export, "get_logger_provider", lambda: holder[0])
    monkeypatch.setattr(
        event_export, "set_logger_provider", lambda new: holder.__setitem__(0, new)
    )
    return holder


def emit(provider: LoggerProvider, count: int = 1) -> None:
    """Emit events."""
    for _ in range(count):
        provider.get_logger("test").emit(LogRecord(event_name="said"))


def sending(line: Line, health: Health) -> LoggerProvider:
    """Return a provider that sends through a line."""
    provider = LoggerProvider(shutdown_on_exit=False)
    exporter = ReportingLogExporter(line, "http://collector", health)
    provider.add_log_record_processor(CountingLogProcessor(exporter, health))
    return provider


def test_without_events_nothing_is_set_up() -> None:
    """Events are off by default."""
    assert event_provider(Settings(), "shop") is None


@pytest.mark.usefixtures("global_provider")
def test_a_provider_bears_the_services_name() -> None:
    """Events come from the same service as the spans."""
    provider = event_provider(WITH_EVENTS, "shop")
    assert provider is not None
    assert provider.resource.attributes["service.name"] == "shop"
    unnamed = event_provider(WITH_EVENTS, None)
    assert unnamed is not None
    assert str(unnamed.resource.attributes["service.name"]).startswith("unknown")


def test_an_app_keeps_its_provider(global_provider: list[Any]) -> None:
    """One that the app has set up is used; one of ours that was closed is not."""
    ours = event_provider(WITH_EVENTS, None)
    assert ours is not None
    send_events(ours, Settings(logs_exporter="none"), Health())
    assert global_provider == [ours]
    assert event_provider(WITH_EVENTS, None) is None
    close_events(ours)
    again = event_provider(WITH_EVENTS, None)
    assert again is not None
    send_events(again, Settings(logs_exporter="none"), Health())
    assert global_provider == [ours]


@pytest.mark.usefixtures("global_provider")
def test_events_go_to_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    """For a first look events are printed."""
    provider = LoggerProvider(shutdown_on_exit=False)
    send_events(provider, Settings(logs_exporter="console"), Health())
    emit(provider)
    close_events(provider)
    assert '"event_name": "said"' in capsys.readouterr().out


@pytest.mark.usefixtures("global_provider")
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_events_that_cannot_be_sent(
    protocol: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no Collector there: one line that names the target, and a count."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setattr(event_export, "_PATIENCE", 0.05)
    health = Health()
    provider = LoggerProvider(shutdown_on_exit=False)
    send_events(provider, Settings(protocol=protocol), health)
    emit(provider, 3)
    close_events(provider)
    assert health.counts() == {"export_events": 3}
    (line,) = caplog.messages
    assert line.startswith(
        "otel_callbacks: events cannot be sent to http://127.0.0.1:1;"
    )


def test_configure_sends_events_and_redacts_them(
    global_provider: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With content for events `configure` sets their provider up, and ends it."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    settings = Settings(
        capture_content="EVENT_ONLY",
        logs_exporter="console",
        traces_exporter="none",
        metrics_exporter="none",
    )
    with configure(
        service_name="flower-shop",
        settings=settings,
        registry=CollectorRegistry(),
        redact=lambda name, value: value if "input" in name else None,
    ) as handler:
        FakeChatModel(answer="Tulips.", callbacks=[handler]).invoke("Roses?")
    said = capsys.readouterr().out
    assert '"event_name": "gen_ai.client.inference.operation.details"' in said
    assert '"service.name": "flower-shop"' in said
    assert "Roses?" in said
    assert "Tulips." not in said
    assert isinstance(global_provider[0], LoggerProvider)
    assert getattr(global_provider[0], event_export._CLOSED)
    handler.close()


def test_events_are_sent_in_the_background() -> None:
    """Whoever emits an event does not wait for the line."""
    line, health = Line("stuck"), Health()
    provider = sending(line, health)
    emit(provider)
    flusher = threading.Thread(target=provider.force_flush)
    flusher.start()
    assert line.busy.wait(WAIT_S)
    emit(provider)
    line.state = "up"
    line.freed.set()
    flusher.join(WAIT_S)
    close_events(provider)
    assert line.names == ["said", "said"]
    assert health.counts() == {}


@pytest.mark.parametrize("state", ["down", "broken"])
def test_a_loss_is_said_once_and_the_return_too(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each lost event is counted; when the line is up again, that is said."""
    caplog.set_level(logging.INFO, "otel_callbacks")
    line, health = Line(state), Health()
    provider = sending(line, health)
    for _ in range(2):
        emit(provider, 2)
        provider.force_flush()
    line.state = "up"
    for _ in range(2):
        emit(provider)
        provider.force_flush()
    close_events(provider)
    assert health.counts() == {"export_events": 4}
    assert line.names == ["said", "said"]
    said = [line for line in caplog.messages if line.startswith("otel_callbacks")]
    assert len(said) == 2
    assert said[1] == "otel_callbacks: events reach http://collector again."


def test_what_finds_the_queue_full_is_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest events go; each is counted, and it is said once."""
    monkeypatch.setenv("OTEL_BLRP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BLRP_SCHEDULE_DELAY", "60000")
    line, health = Line("stuck"), Health()
    provider = sending(line, health)
    emit(provider, 4)
    assert line.busy.wait(WAIT_S)
    deadline = time.monotonic() + WAIT_S
    exporter: Any = provider._multi_log_record_processor._log_record_processors[0]
    while exporter._out.waiting and time.monotonic() < deadline:
        time.sleep(0.001)
    emit(provider, 7)
    line.state = "up"
    line.freed.set()
    close_events(provider)
    assert health.counts() == {"event_queue_full": 3}
    assert sum("OTEL_BLRP_MAX_QUEUE_SIZE" in line for line in caplog.messages) == 1


def test_a_stuck_line_does_not_hold_the_end_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a while of patience the exporter's retries are ended."""
    monkeypatch.setattr(event_export, "_PATIENCE", 0.01)
    line = Line("stuck")
    provider = sending(line, Health())
    emit(provider)
    close_events(provider)
    assert line.shutdowns >= 1


def test_a_forked_child_begins_with_an_empty_queue() -> None:
    """The SDK empties the queue there, so nothing waits."""
    exporter = ReportingLogExporter(Line(), "http://collector", Health())
    assert exporter.takes(1)
    assert not exporter.takes(1)
    exporter.after_fork()
    assert exporter.takes(1)
    assert exporter.force_flush()


def test_other_lines_of_opentelemetry_stay(caplog: pytest.LogCaptureFixture) -> None:
    """Only what is about logs is ours to say."""
    ReportingLogExporter(Line(), "http://collector", Health())
    logger = logging.getLogger(TALKATIVE[0])
    logger.warning("Failed to export traces")
    logger.warning("Failed to export logs")
    caplog.set_level(logging.INFO, TALKATIVE[0])
    logger.info("exporting logs")
    assert caplog.messages == ["Failed to export traces", "exporting logs"]


def test_the_target_is_the_one_for_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable of the signal comes before the general one, then the default."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert event_export._target("grpc") == "http://localhost:4317"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1")
    assert event_export._target("grpc") == "http://all:1"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:1")
    assert event_export._target("grpc") == "http://logs:1"


def test_the_global_functions_are_opentelemetrys() -> None:
    """What the other tests replace is what an app sets."""
    assert event_export.get_logger_provider is _logs.get_logger_provider
    assert event_export.set_logger_provider is _logs.set_logger_provider
