"""What is set up for an app that has nothing, over real sockets; and its end."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    Decision,
    Sampler,
    SamplingResult,
)
from waiting import WAIT_S

from otel_callbacks import Settings

# The providers of a process are made, forked and closed many times here.
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._export import providers
from otel_callbacks._export.providers import Exports, SpanQueue, is_set_up
from otel_callbacks._export.sender import QueueSender

if TYPE_CHECKING:
    from otlp_receiver import Receiver

ALL = {"metrics_exporter": "otlp", "emit_event": True}


pytestmark = pytest.mark.usefixtures("nothing_is_set_up")


def started(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, **more: Any
) -> Exports:
    """Return what is set up to send to a receiver."""
    protocol = more.setdefault("protocol", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url(protocol))
    exports = Exports(Settings(**more), "shop")
    exports.start(Diagnostics())
    return exports


def use_all() -> None:
    """Send one of each through the global providers."""
    trace.get_tracer("test").start_span("span").end()
    _logs.get_logger("test").emit(
        body="text", event_name="event", attributes={"key": "value"}
    )
    metrics.get_meter("test").create_counter("roses").add(3)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_all_signals_arrive(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """By the global providers, over either protocol; a flush says that they did."""
    exports = started(receiver, monkeypatch, protocol=protocol, **ALL)
    use_all()
    assert exports.flush(WAIT_S)
    assert [(who, span.name) for who, span in receiver.spans()] == [("shop", "span")]
    assert receiver.events() == 1
    assert list(receiver.sums("roses").values()) == [3]
    assert {used for _, used in receiver.protocols} == {protocol}
    exports.close()
    exports.close()


def test_each_signal_has_its_own_protocol(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One over gRPC, the others over HTTP."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", receiver.url("grpc"))
    exports = started(receiver, monkeypatch, logs_protocol="grpc", **ALL)
    use_all()
    exports.close()
    assert dict(receiver.protocols) == {
        "traces": "http/protobuf",
        "metrics": "http/protobuf",
        "logs": "grpc",
    }


def test_the_sdk_may_flush_and_shut_down_what_is_ours(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts of functions do that by themselves."""
    exports = started(receiver, monkeypatch, **ALL)
    use_all()
    made = exports.tracer_provider, exports.meter_provider, exports.logger_provider
    for provider in made:
        assert provider is not None
        assert provider.force_flush()
    assert receiver.counts()["traces"] == receiver.counts()["logs"] == 1
    use_all()
    for provider in made:
        assert provider is not None
        provider.shutdown()
    assert len(receiver.names()) == receiver.events() == 2
    exports.close()


def test_providers_of_the_app_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made where there is one; one of ours that was closed is none."""
    theirs: tuple[Any, ...] = (
        TracerProvider(shutdown_on_exit=False),
        MeterProvider(shutdown_on_exit=False),
        LoggerProvider(shutdown_on_exit=False),
    )
    trace.set_tracer_provider(theirs[0])
    metrics.set_meter_provider(theirs[1])
    _logs.set_logger_provider(theirs[2])
    exports = Exports(Settings(**ALL), None)
    made = exports.tracer_provider, exports.meter_provider, exports.logger_provider
    assert made == (None, None, None)
    exports.start(Diagnostics())
    assert exports.flush(0.0)
    exports.close()
    exports.after_fork()
    for provider in theirs:
        assert is_set_up(provider, type(provider))
        provider.shutdown()
    # A provider of the process can be set once, so none of these tests may set it.
    monkeypatch.setattr(providers, "_closed", set(theirs))
    second = Exports(Settings(**ALL), None)
    second.start(Diagnostics())
    assert second.tracer_provider is not None
    assert second.logger_provider is not None
    assert second.meter_provider is not None
    assert trace.get_tracer_provider() is theirs[0]
    second.close()


def test_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans and events may be printed."""
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stdout", printed)
    settings = Settings(
        traces_exporter="console",
        logs_exporter="console",
        metrics_exporter="none",
        emit_event=True,
    )
    monkeypatch.setattr(
        providers, "ConsoleSpanExporter", lambda: _console_spans(printed)
    )
    exports = Exports(settings, None)
    exports.start(Diagnostics())
    use_all()
    exports.close()
    assert '"name": "span"' in printed.getvalue()
    assert '"event_name": "event"' in printed.getvalue()


def _console_spans(out: io.StringIO) -> Any:
    """Return OpenTelemetry's own, on a text."""
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415

    return ConsoleSpanExporter(out=out)


def test_nowhere() -> None:
    """``none`` makes providers that send nothing."""
    settings = Settings(
        traces_exporter="none",
        logs_exporter="none",
        metrics_exporter="none",
        emit_event=True,
    )
    exports = Exports(settings, None)
    exports.start(Diagnostics())
    use_all()
    assert exports.flush(0.0)
    exports.close()


class RecordsOnly(Sampler):
    """A sampler whose spans are recorded and not sent."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Record."""
        return SamplingResult(Decision.RECORD_ONLY)

    def get_description(self) -> str:
        """Say what it does."""
        return "RecordsOnly"


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, RecordsOnly()])
def test_spans_that_are_not_sampled_are_not_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, sampler: Sampler
) -> None:
    """What the sampler left out takes no place and is not missed."""
    exports = started(receiver, monkeypatch)
    assert exports.tracer_provider is not None
    exports.tracer_provider.sampler = sampler
    use_all()
    assert exports.flush(WAIT_S)
    exports.close()
    assert receiver.names() == []


@pytest.mark.parametrize(
    ("text", "size"), [("", 2_048), ("  ", 2_048), (None, 2_048), ("100", 100)]
)
def test_queue_sizes_are_the_sdks(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, text: str | None, size: int
) -> None:
    """Its variables hold; a queue may be shorter than a batch."""
    monkeypatch.delenv("OTEL_BSP_MAX_QUEUE_SIZE", raising=False)
    if text is not None:
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", text)
    exports = started(receiver, monkeypatch)
    # A full queue would show it, and would need a receiver that hangs.
    (sender,) = exports._senders
    assert isinstance(sender, QueueSender)
    assert (sender._size, sender._batch) == (size, min(size, 512))
    exports.close()


def test_a_forked_child_pushes_its_own_sums(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an instance of its own that begins at nothing; a closed one stays closed."""
    exports = started(receiver, monkeypatch, **ALL)
    use_all()
    before = exports.meter_provider
    exports.after_fork()
    assert exports.meter_provider not in {None, before}
    assert exports.meter_provider is not None
    exports.meter_provider.get_meter("test").create_counter("roses").add(5)
    exports.close()
    assert list(receiver.sums("roses").values()) == [5]
    after = exports.meter_provider
    exports.after_fork()
    assert exports.meter_provider is after


def test_an_id_that_is_set_is_kept(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names the instance knows what they do."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one")
    exports = started(receiver, monkeypatch, **ALL)
    use_all()
    exports.close()
    assert receiver.sums("roses") == {"one": 3}


def test_a_push_sender_without_a_provider_sends_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no reader yet."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url())
    push = providers.PushSender(Settings(protocol="http/protobuf"))
    # No provider uses a sender before it has started.
    providers._end([push], WAIT_S)
    assert receiver.counts() == {}


def test_a_span_without_a_context_is_none_to_send() -> None:
    """The SDK's type allows that there is none."""
    put: list[Any] = []
    sender: Any = type("Sender", (), {"put": put.append})()
    nothing: Any = type("Span", (), {"context": None})()
    SpanQueue(sender).on_end(nothing)
    assert put == []
