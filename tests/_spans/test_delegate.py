"""Every method of a span is passed on to the one it answers as."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.trace import Status, StatusCode

from otel_callbacks._spans.current import Delegate


class Answers(Delegate):
    """Answers as the span it is given."""

    def __init__(self, span: Any) -> None:
        self.span = span

    def resolve(self) -> trace.Span:
        """Return that span."""
        found: trace.Span = self.span
        return found


@pytest.fixture
def span() -> Span:
    """Return a span of the SDK that is open."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("app")
    started = tracer.start_span("first")
    assert isinstance(started, Span)
    return started


def test_every_method_of_a_span_is_passed_on(span: Span) -> None:
    """What is written to the one stands on the other."""
    other = trace.SpanContext(1, 2, is_remote=True)
    delegate = Answers(span)
    delegate.update_name("second")
    delegate.set_attribute("one", 1)
    delegate.set_attributes({"two": 2})
    delegate.add_event("asked", {"by": "me"}, timestamp=7)
    delegate.add_link(other, {"why": "cause"})
    delegate.record_exception(ValueError("no"), {"where": "here"})
    delegate.set_status(Status(StatusCode.ERROR, "broken"))
    assert span.name == "second"
    assert dict(span.attributes or {}) == {"one": 1, "two": 2}
    assert [event.name for event in span.events] == ["asked", "exception"]
    assert span.events[0].timestamp == 7
    assert dict(span.events[0].attributes or {}) == {"by": "me"}
    assert (span.events[1].attributes or {})["where"] == "here"
    assert [link.context for link in span.links] == [other]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "broken"


def test_answers_of_a_span_come_back(span: Span) -> None:
    """Its context, whether it records, and what only the SDK's spans have."""
    delegate = Answers(span)
    assert delegate.get_span_context() == span.get_span_context()
    assert delegate.is_recording() is True
    assert delegate.name == "first"
    assert delegate.kind is trace.SpanKind.INTERNAL
    span.end()
    assert delegate.is_recording() is False


def test_no_method_of_a_span_is_left_out() -> None:
    """The API's methods are all there, so none is the abstract class's own."""
    # The context manager's two are the API's own: they call what is passed on.
    public = {name for name in vars(trace.Span) if not name.startswith("_")}
    assert public - vars(Delegate).keys() == set()


def test_end_is_left_to_the_owner(span: Span) -> None:
    """Whoever finds the span current cannot end it."""
    delegate = Answers(span)
    delegate.end()
    delegate.end(1)
    with delegate:
        pass
    assert span.end_time is None


def test_unknown_attributes_are_missing(span: Span) -> None:
    """What the other span lacks is missing here, too, and magic is never passed on."""
    delegate: Any = Answers(span)
    assert not hasattr(delegate, "petals")
    with pytest.raises(AttributeError, match="__rose__"):
        _ = delegate.__rose__


def test_it_must_be_told_what_to_answer_as() -> None:
    """By itself it is no span."""
    with pytest.raises(NotImplementedError):
        Delegate().get_span_context()
