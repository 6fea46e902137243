"""Runs become spans, as OpenTelemetry's GenAI conventions name them.

https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry import trace

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import OK
from otel_callbacks.sinks import agent_sums, batch, current_span, rollup
from otel_callbacks.sinks.resumes import Threads
from otel_callbacks.sinks.span_attributes import (
    as_json,
    end_attributes,
    of_the_conventions,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from otel_callbacks._records import End, Response
    from otel_callbacks._runs.run import Run
    from otel_callbacks.sinks.current_span import StandIn

_CALLS: Final = semconv.MODEL_OPERATIONS | {semconv.EMBEDDINGS, semconv.RETRIEVAL}
_CLIENT: Final = trace.SpanKind.CLIENT
_INTERNAL: Final = trace.SpanKind.INTERNAL


class SpanSink:
    """One span for each run.

    Args:
        tracer: Makes the spans.
        extensions: Whether attributes that the conventions lack are written too.
        content: Whether what was said is written, where it was captured.
    """

    name: Final = "spans"

    def __init__(
        self, tracer: trace.Tracer, *, extensions: bool = True, content: bool = False
    ) -> None:
        self._tracer = tracer
        self._extensions = extensions
        self._content = content
        self._threads = Threads()
        # Keys of open runs below which a run waits for somebody.
        self._interrupted: set[int] = set()

    def started(self, run: StandIn) -> None:
        """Start a run's span and make its stand-in current.

        Args:
            run: The run that starts.
        """
        if run.request.operation == semconv.TEXT_COMPLETION:
            waiting = batch.waiting_context()
            if waiting is not None:
                with contextlib.suppress(RuntimeError):  # that context is in use
                    waiting.run(self._start, run)
        if run.span is None:
            self._start(run)

    def ended(self, run: StandIn, end: End) -> None:
        """End a run's span, and put back what was current before it.

        Args:
            run: The run that ended.
            end: How it ended.
        """
        if end.late:
            return
        span = run.span
        try:
            if span is not None:
                self._end(run, span, end)
        finally:
            if run.shared is None:
                current_span.put_back(run)
            else:
                _leave_shared(run, run.shared)
            run.let_go()

    def _start(self, run: StandIn) -> None:
        """Start the span as a child of the right one, then attach the stand-in."""
        context = otel_context.get_current()
        request = run.request
        current = trace.get_current_span(context)
        parent = current_span.parent_of(run, context, current)
        run.span = self._tracer.start_span(
            f"{request.operation} {request.target}".strip() or "run",
            context=(
                context
                if parent is current
                else trace.set_span_in_context(parent, context)
            ),
            kind=_CLIENT if request.operation in _CALLS else _INTERNAL,
            attributes=(
                request.attributes
                if self._extensions
                else of_the_conventions(request.attributes)
            ),
            links=self._threads.links(request) if request.thread else None,
            start_time=run.start_ns,
        )
        if request.thread:
            self._threads.remember(request, run.span)
        if run.content and self._content and run.span.is_recording():
            run.span.set_attributes(as_json(run.content))
        if request.batch_size > 1:
            _attach_shared(run, context, current)
        else:
            current_span.attach(run, context, current)

    def _end(self, run: StandIn, span: trace.Span, end: End) -> None:
        """Write what became known, and end the span."""
        if run.parent is not None:
            rollup.note(run.rollup, run.request.operation, end)
            # Of an agent itself: the one outside, as its own list is for what is below.
            outer = run.parent.of_agent
            if outer is not None:
                agent_sums.note(outer, run, end)
            if end.response is not None and end.outcome == OK:
                self._tell_interrupt(run.parent, end.response)
        if span.is_recording():
            attributes = end_attributes(run, end, content=self._content)
            if run.parent is None and run.rollup:
                attributes.update(rollup.attributes(run.rollup))
            if run.of_agent and run.request.operation == semconv.INVOKE_AGENT:
                attributes.update(agent_sums.attributes(run.of_agent))
            if self._interrupted and run.key in self._interrupted:
                attributes[semconv.INTERRUPTED] = True
            if end.failure is not None:
                # The description is the type alone: messages may hold content.
                span.set_status(trace.StatusCode.ERROR, end.failure.error_type)
            if attributes:
                span.set_attributes(
                    attributes if self._extensions else of_the_conventions(attributes)
                )
        span.end(end.end_ns)
        self._interrupted.discard(run.key)

    def _tell_interrupt(self, parent: Run, response: Response) -> None:
        """Note for a run that one below it waits; a graph itself ends as if done."""
        if semconv.INTERRUPTED in response.attributes:
            self._interrupted.add(parent.key)


def _attach_shared(run: StandIn, context: Context, current: trace.Span) -> None:
    """Share one stand-in among the runs of a batch."""
    if isinstance(current, current_span.Shared) and current.takes(run):
        current.add(run)
        return
    shared = current_span.Shared(batch.run_being_called, run)
    current_span.attach(shared, context, current)
    shared.add(run)


def _leave_shared(run: StandIn, shared: current_span.Shared) -> None:
    """Leave a batch; the last one to do so makes current what was before."""
    if shared.remove(run):
        current_span.put_back(shared)
        shared.let_go()
