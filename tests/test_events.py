"""Events of model calls: the attributes of the span, and structured content."""

from __future__ import annotations

import gc
import uuid
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, export
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel, FakeTextModel

if TYPE_CHECKING:
    from collections.abc import Iterator

DETAILS = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"


class Signals:
    """A handler with spans and events in memory."""

    def __init__(self, tracers: TracerProvider | None = None, **settings: Any) -> None:
        memory: Any = getattr(export, "InMemoryLogRecordExporter", None)
        self._logs = (memory or export.InMemoryLogExporter)()
        self.exporter = InMemorySpanExporter()
        self.loggers = LoggerProvider(shutdown_on_exit=False)
        self.loggers.add_log_record_processor(
            export.SimpleLogRecordProcessor(self._logs)
        )
        self.tracers = tracers or TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.handler = OTelCallbackHandler(
            tracer_provider=self.tracers,
            logger_provider=self.loggers,
            registry=CollectorRegistry(),
            settings=replace(Settings(strict=True), **settings),
        )

    @property
    def events(self) -> list[Any]:
        """The events so far."""
        return [log.log_record for log in self._logs.get_finished_logs()]

    @property
    def spans(self) -> tuple[Any, ...]:
        """The ended spans so far."""
        return self.exporter.get_finished_spans()


@pytest.fixture
def signals() -> Iterator[Signals]:
    """A handler with events that carry content."""
    signals = Signals(capture_content="SPAN_AND_EVENT")
    yield signals
    signals.handler.close()


def test_event_has_attributes_of_span(signals: Signals) -> None:
    """All attributes of the span, its ids and its end; content not as JSON."""
    FakeChatModel(answer="Tulips.", callbacks=[signals.handler]).invoke("Roses?")
    (event,), (span,) = signals.events, signals.spans
    content = {"gen_ai.input.messages", "gen_ai.output.messages"}
    assert event.event_name == DETAILS
    assert event.trace_id == span.context.trace_id
    assert event.span_id == span.context.span_id
    assert event.timestamp == span.end_time
    assert event.severity_number is None
    assert event.body is None
    assert set(event.attributes) == set(span.attributes)
    for name in set(event.attributes) - content:
        assert event.attributes[name] == span.attributes[name]
    ((message,), (answer,)) = (event.attributes[name] for name in sorted(content))
    assert (message["role"], dict(message["parts"][0])) == (
        "user",
        {"type": "text", "content": "Roses?"},
    )
    assert answer["parts"][0]["content"] == "Tulips."


@pytest.mark.parametrize(
    ("mode", "emit", "on_span", "in_event"),
    [
        ("NO_CONTENT", True, False, False),
        ("SPAN_ONLY", True, True, False),
        ("EVENT_ONLY", None, False, True),
        ("SPAN_AND_EVENT", None, True, True),
    ],
)
def test_content_follows_setting(
    mode: str,
    emit: bool | None,  # noqa: FBT001
    on_span: bool,  # noqa: FBT001
    in_event: bool,  # noqa: FBT001
) -> None:
    """Events and content are switched independently."""
    signals = Signals(capture_content=mode, emit_event=emit)
    FakeChatModel(callbacks=[signals.handler]).invoke("Roses?")
    (event,), (span,) = signals.events, signals.spans
    assert ("gen_ai.input.messages" in span.attributes) is on_span
    assert ("gen_ai.input.messages" in event.attributes) is in_event


@pytest.mark.parametrize(
    ("mode", "emit"), [("NO_CONTENT", None), ("SPAN_ONLY", None), ("EVENT_ONLY", False)]
)
def test_events_are_off_by_default_and_by_setting(
    mode: str,
    emit: bool | None,  # noqa: FBT001
) -> None:
    """Events are off by default and by setting."""
    signals = Signals(capture_content=mode, emit_event=emit)
    FakeChatModel(callbacks=[signals.handler]).invoke("Roses?")
    assert signals.events == []


def test_a_failed_call_has_an_event_of_its_exception(signals: Signals) -> None:
    """The event has the exception's type, and its message if content is captured."""
    model = FakeTextModel(error=ValueError("No roses."), callbacks=[signals.handler])
    with pytest.raises(ValueError, match=r"No roses\."):
        model.invoke("Roses?")
    details, exception = signals.events
    assert details.attributes["error.type"] == "ValueError"
    assert "exception.message" not in details.attributes
    assert (exception.event_name, exception.severity_number) == (
        EXCEPTION,
        SeverityNumber.WARN,
    )
    assert dict(exception.attributes) == {
        "exception.type": "ValueError",
        "exception.message": "No roses.",
    }
    assert exception.span_id == details.span_id
    assert "exception.message" not in signals.spans[0].attributes


def test_keys_that_an_exception_quotes_are_redacted(signals: Signals) -> None:
    """Providers quote the key that they refuse."""
    error = ValueError("Incorrect API key provided: sk-abcdef123456. Bearer abcdef12")
    model = FakeChatModel(error=error, callbacks=[signals.handler])
    with pytest.raises(ValueError, match="Incorrect"):
        model.invoke("Roses?")
    message = signals.events[1].attributes["exception.message"]
    assert message == "Incorrect API key provided: REDACTED REDACTED"


class Speechless(Exception):  # noqa: N818
    """An exception whose ``__str__`` raises."""

    def __str__(self) -> str:
        raise self


def test_an_exception_without_a_text_affects_no_other_content() -> None:
    """The answer until then is still there."""
    signals = Signals(capture_content="SPAN_AND_EVENT", strict=False)
    model = FakeChatModel(answer="Tulips.", chunks=2, error=Speechless(), error_after=1)
    with pytest.raises(Speechless):
        list(model.stream("Roses?", config={"callbacks": [signals.handler]}))
    details, exception = signals.events
    assert dict(exception.attributes) == {"exception.type": "Speechless"}
    (answer,) = details.attributes["gen_ai.output.messages"]
    assert answer["parts"][0]["content"] == "Tuli"


def test_without_content_an_exception_has_no_message() -> None:
    """Messages of exceptions may hold content."""
    signals = Signals(emit_event=True)
    model = FakeChatModel(error=ValueError("No."), callbacks=[signals.handler])
    with pytest.raises(ValueError, match="No"):
        model.invoke("Roses?")
    assert dict(signals.events[1].attributes) == {"exception.type": "ValueError"}


def test_without_extensions_an_event_has_the_conventions_names() -> None:
    """An event has no attribute of ours, even if content is cut."""
    signals = Signals(
        capture_content="EVENT_ONLY", extensions=False, content_limit=1_024
    )
    model = FakeChatModel(callbacks=[signals.handler], error=ValueError("No."))
    with pytest.raises(ValueError, match="No"):
        model.invoke("Roses " * 1_000, config={"metadata": {"user_id": "u"}})
    names = {name for event in signals.events for name in event.attributes}
    assert "gen_ai.input.messages" in names
    assert {name.partition(".")[0] for name in names} == {
        "gen_ai",
        "error",
        "exception",
    }


def test_a_step_has_no_event(signals: Signals) -> None:
    """The conventions have an event for a model call, not for a chain's step."""
    handler = signals.handler
    (FakeChatModel() | str).invoke("Roses?", config={"callbacks": [handler]})
    assert [event.event_name for event in signals.events] == [DETAILS]


def test_a_queue_of_events_keeps_no_span_alive(signals: Signals) -> None:
    """An event holds the span's ids, not the span."""
    FakeChatModel(callbacks=[signals.handler]).invoke("Roses?")
    span = weakref.ref(signals.spans[0])
    signals.exporter.clear()
    gc.collect()
    assert len(signals.events) == 1
    assert span() is None


def test_the_late_end_of_a_lost_run_is_no_second_event(signals: Signals) -> None:
    """A lost run has its event already."""
    run_id = uuid.uuid4()
    signals.handler.on_chat_model_start({}, [[]], run_id=run_id)
    signals.handler.close()
    assert len(signals.events) == 1
    signals.handler.on_llm_end(None, run_id=run_id)
    assert len(signals.events) == 1


def test_a_failed_retrieval_has_the_event_of_its_exception(signals: Signals) -> None:
    """A client operation without a details event has an event for its exception."""
    for error in (KeyError("shelf"), None):
        run_id = uuid.uuid4()
        signals.handler.on_retriever_start({}, "Roses?", run_id=run_id)
        if error is not None:
            signals.handler.on_retriever_error(error, run_id=run_id)
        else:
            signals.handler.on_retriever_end([], run_id=run_id)
    (event,) = signals.events
    assert event.event_name == EXCEPTION
    assert event.timestamp == signals.spans[0].end_time
    assert dict(event.attributes) == {
        "exception.type": "KeyError",
        "exception.message": "'shelf'",
    }


class Spanless(TracerProvider):
    """A provider whose tracers cannot create a span."""

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        """Return such a tracer."""
        return self


def test_a_run_without_a_span_has_an_event_without_ids() -> None:
    """If the span cannot be created, the event is emitted without ids."""
    signals = Signals(Spanless(shutdown_on_exit=False), emit_event=True, strict=False)
    FakeChatModel(callbacks=[signals.handler]).invoke("Roses?")
    (event,) = signals.events
    assert (event.event_name, event.trace_id, event.span_id) == (DETAILS, 0, 0)
