"""Emit model calls as events: log records with a name, trace ids and content.

https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-events.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from opentelemetry import trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import ERROR, Content, End
from otel_callbacks._spans.sink import end_attributes, of_the_conventions

if TYPE_CHECKING:
    from otel_callbacks._spans.current import StandIn


@dataclass(frozen=True)
class EventSink:
    """Emits an event for each model call, and one for each exception of a client."""

    name: ClassVar = "events"
    is_foreign: ClassVar = True

    logger: Logger
    extensions: bool = True
    content: bool = False
    registry: semconv.Registry = semconv.REGISTRIES[semconv.DEFAULT_REGISTRY]

    def started(self, run: StandIn) -> None:
        """Do nothing: the event is emitted at the end of the run."""

    def ended(self, run: StandIn, end: End) -> None:
        """Emit the events of a run."""
        operation = run.request.operation
        if (
            end.late
            or operation not in semconv.CLIENT_OPERATIONS
            or run.refusal is not None
        ):
            return
        if operation in semconv.MODEL_OPERATIONS:
            self._emit(run, end, semconv.DETAILS_EVENT, self._details(run, end), None)
        if end.failure is not None and end.outcome == ERROR:
            about = {semconv.EXCEPTION_TYPE: end.failure.error_type}
            message = (end.content or {}).get(semconv.EXCEPTION_MESSAGE)
            if message and self.content:
                about[semconv.EXCEPTION_MESSAGE] = message
            self._emit(run, end, semconv.EXCEPTION_EVENT, about, SeverityNumber.WARN)

    def _details(self, run: StandIn, end: End) -> dict[str, Any]:
        """Return all span attributes, and the content as structured values."""
        about = {
            **run.request.attributes,
            **end_attributes(run, end, self.registry, content=False),
        }
        if not self.extensions:
            about = {**of_the_conventions(about)}
        if self.content:
            return {**about, **_as_body(run.content), **_as_body(end.content)}
        return about

    def _emit(
        self,
        run: StandIn,
        end: End,
        name: str,
        attributes: dict[str, Any],
        severity: SeverityNumber | None,
    ) -> None:
        """Emit an event with the ids of the run's span."""
        context = Context()
        if run.span is not None:
            # Not the span itself: a queue of events must not keep it alive.
            span = trace.NonRecordingSpan(run.span.get_span_context())
            context = trace.set_span_in_context(span, context)
        self.logger.emit(
            LogRecord(
                timestamp=end.end_ns,
                observed_timestamp=end.end_ns,
                context=context,
                severity_number=severity,
                severity_text=None if severity is None else severity.name,
                attributes=attributes,
                event_name=name,
            )
        )


def _as_body(content: Content | None) -> Content:
    """Return content without the exception's message, which has its own event."""
    return {
        name: value
        for name, value in (content or {}).items()
        if name != semconv.EXCEPTION_MESSAGE
    }
