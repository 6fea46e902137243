"""Spans of runs, according to OpenTelemetry's GenAI conventions.

https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import Link

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import CACHE_HIT, NO_ATTRIBUTES, OK
from otel_callbacks._runs.lost import TASK_CANCELLED
from otel_callbacks._spans import current as current_span
from otel_callbacks._spans import sums
from otel_callbacks._spans.limits import NO_LIMITS
from otel_callbacks._spans.own import OwnSpan, SpanMaker, StepSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from otel_callbacks._records import (
        Attributes,
        AttributeValue,
        Content,
        End,
        Failure,
        Request,
        Response,
    )
    from otel_callbacks._runs.run import Run
    from otel_callbacks._spans.current import StandIn


def end_attributes(
    run: Run,
    end: End,
    registry: semconv.Registry,
    *,
    content: bool,
    held: dict[str, AttributeValue] | None = None,
) -> dict[str, AttributeValue]:
    """Add the attributes that are known at the end of a run, and return them all."""
    attributes: dict[str, AttributeValue] = {} if held is None else held
    if end.chunk_ns:
        sums.add_chunk_times(attributes, run.start_tick, end.chunk_ns)
    if end.response is not None:
        _add_response(attributes, run.request, end.response, registry)
    if run.named:
        for name in run.named:  # the SDK moves an attribute that is set again, too
            attributes.pop(name, None)
        attributes.update(run.named)
    if end.failure is not None:
        _add_failure(attributes, run, end, end.failure)
    elif end.outcome != OK:
        attributes[semconv.OUTCOME] = end.outcome
    if end.cost is not None:
        saved = end.outcome == CACHE_HIT
        name = semconv.SAVED_COST_USD if saved else semconv.COST_USD
        attributes[name] = float(end.cost)
        if end.is_partly_priced:
            attributes[semconv.PARTLY_PRICED] = True
    if end.content and content:
        attributes.update(as_json(end.content))
    return attributes


def _add_failure(
    attributes: dict[str, AttributeValue], run: Run, end: End, failure: Failure
) -> None:
    """Add the reason of an unsuccessful end."""
    attributes[semconv.ERROR_TYPE] = failure.error_type
    attributes[semconv.OUTCOME] = end.outcome
    # An error class equal to the outcome, such as "cancelled", is redundant.
    if failure.error_class != end.outcome:
        attributes[semconv.ERROR_CLASS] = failure.error_class
    attributes.update(failure.attributes)
    if run.lost and run.lost != TASK_CANCELLED:
        attributes[semconv.LOST_REASON] = run.lost


def as_json(content: Content) -> dict[str, str | int]:
    """Return content as JSON for a span, without escapes of non-ASCII text."""
    return {
        name: value
        if isinstance(value, str | int)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in content.items()
        if name != semconv.EXCEPTION_MESSAGE
    }


def of_the_conventions(attributes: Attributes) -> Attributes:
    """Return only the attributes of the conventions."""
    return {
        key: value
        for key, value in attributes.items()
        if key.startswith(semconv.CONVENTION_PREFIXES)
    }


def _add_response(
    attributes: dict[str, AttributeValue],
    request: Request,
    response: Response,
    registry: semconv.Registry,
) -> None:
    """Add the attributes of a response."""
    if response.attributes is not NO_ATTRIBUTES:
        attributes.update(response.attributes)
        if (
            attributes.get(semconv.OPENAI_RESPONSE_SERVICE_TIER) == _USUAL_TIER
            and semconv.OPENAI_REQUEST_SERVICE_TIER not in request.attributes
        ):
            del attributes[semconv.OPENAI_RESPONSE_SERVICE_TIER]
    if response.model:
        attributes[semconv.RESPONSE_MODEL] = response.model
    if response.id:
        attributes[semconv.RESPONSE_ID] = response.id
    if response.finish_reasons:
        attributes[semconv.RESPONSE_FINISH_REASONS] = response.finish_reasons
    usage = response.usage
    if usage is None:
        return
    if response.cache_hit:
        # Under our own names, so that sums of gen_ai.usage contain only used tokens.
        if usage.input_tokens is not None:
            attributes[semconv.SAVED_INPUT_TOKENS] = usage.input_tokens
        if usage.output_tokens is not None:
            attributes[semconv.SAVED_OUTPUT_TOKENS] = usage.output_tokens
    else:
        sums.add_usage(attributes, usage, registry)


@functools.lru_cache(1_000)
def _name(operation: str, target: str) -> str:
    """Return the name of a span, the same object for open runs of the same model."""
    return f"{operation} {target}".strip() or "run"


_USUAL_TIER: Final = "default"
_OWN: Final[frozenset[type]] = frozenset({OwnSpan, StepSpan})
_KNOWN: Final = _OWN | {
    current_span.StandIn,
    trace.NonRecordingSpan,
    getattr(sdk, "_Span", sdk.Span),  # the class of the SDK's spans has no public name
}
_CLIENT: Final = trace.SpanKind.CLIENT
_INTERNAL: Final = trace.SpanKind.INTERNAL


class SpanSink:
    """One span for each run."""

    name: Final = "spans"
    is_foreign: Final = True

    def __init__(
        self,
        tracer: trace.Tracer,
        *,
        extensions: bool,
        content: bool,
        sdk_spans: bool,
        shortest_step: float | None,
        registry: semconv.Registry,
        set_up: Callable[[], None],
    ) -> None:
        self._maker = SpanMaker(tracer, sdk_spans=sdk_spans, set_up=set_up)
        self._shortest_ns = int((shortest_step or 0) * 1e9)
        self._extensions = extensions
        self._content = content
        self._registry = registry
        self._threads = Threads()

    def started(self, run: StandIn) -> None:
        """Start a run's span and make its stand-in current."""
        if run.request.operation == semconv.TEXT_COMPLETION:
            waiting = current_span.waiting_context()
            if waiting is not None:
                with contextlib.suppress(RuntimeError):  # that context is in use
                    waiting.run(self._start, run)
        if run.span is None:
            self._start(run)

    def ended(self, run: StandIn, end: End) -> None:
        """End a run's span, and restore the context before it."""
        if end.late:
            return
        span = run.span
        try:
            if span is not None:
                self._end(run, span, end)
        except (MemoryError, RecursionError):
            raise  # tried again with a shallow stack
        except Exception:
            _leave(run)
            raise
        _leave(run)

    def _start(self, run: StandIn) -> None:
        """Start the span as a child of the right one, then attach the stand-in."""
        current_span.holds_what_is_attached()  # or another runtime is used since
        context = current_span.current_context()
        request = run.request
        current = current_span.span_in(context)
        parent = current_span.parent_of(run, context, current)
        attributes = request.attributes
        if run.refusal is not None:  # no call is made: nothing leaves this process
            attributes = {**attributes, **run.refusal.attributes}
        run.span = self._maker.start(
            _name(request.operation, request.target),
            context
            if parent is current
            else trace.set_span_in_context(parent, context),
            parent.get_span_context(),
            _CLIENT
            if request.operation in semconv.CLIENT_OPERATIONS and run.refusal is None
            else _INTERNAL,
            attributes if self._extensions else of_the_conventions(attributes),
            self._threads.links(request) if request.thread else None,
            run.start_ns,
            is_step=self._shortest_ns > 0 and _is_step(run),
        )
        if type(run.span) not in _OWN or type(current) not in _KNOWN:
            current_span.open_up(run)
        if request.thread:
            self._threads.remember(request, run.span)
        if run.content and self._content and run.span.is_recording():
            if isinstance(run.span, OwnSpan):
                run.span.add(as_json(run.content))
            elif self._maker.limits.most is None:
                run.span.set_attributes(self._fitting(run.content))
        if request.batch_size > 1:
            _attach_shared(run, context, current)
        else:
            current_span.attach(run, context, current)

    def _end(self, run: StandIn, span: Any, end: End) -> None:
        """Set the last attributes, and end the span."""
        if run.parent_run is not None and not run.is_summed:
            self._note(run, run.parent_run, end)
        is_own = type(span) in _OWN
        if type(span) is StepSpan and self._is_trivial(run, span, end):
            span.end_ns = end.end_ns
        elif span.end_ns is None if is_own else span.is_recording():
            # Extended in place, if the span is not the SDK's and has no limits.
            is_held = is_own and span.real is None and self._extensions
            held = span.attributes_now if is_held else None
            attributes = end_attributes(
                run, end, self._registry, content=self._content, held=held
            )
            if run.parent_run is None and run.rollup:
                attributes.update(sums.attributes(run.rollup))
            if run.of_agent and run.request.operation == semconv.INVOKE_AGENT:
                attributes.update(sums.agent_attributes(run.of_agent, self._registry))
            if run.interrupted_below:
                attributes[semconv.INTERRUPTED] = True
            if held is None:
                attributes = self._bounded(run, span, attributes, end)
            if is_own:
                span.finish(attributes, end.end_ns, failed=end.failure is not None)
            else:
                _finish(span, attributes, end)
        elif not is_own:  # not recorded; an own span has ended
            span.end(end.end_ns)

    def _fitting(self, content: Content) -> dict[str, AttributeValue]:
        """Return content as JSON that fits the limits of the SDK."""
        attributes: dict[str, AttributeValue] = {**as_json(content)}
        limits = self._maker.limits
        limits.shorten(attributes, content, extensions=self._extensions)
        return attributes

    def _bounded(
        self,
        run: Run,
        span: trace.Span,
        attributes: dict[str, AttributeValue],
        end: End,
    ) -> dict[str, AttributeValue]:
        """Return the last attributes that extensions and limits allow."""
        if not self._extensions:
            attributes = dict(of_the_conventions(attributes))
        limits = self._maker.limits
        if limits is NO_LIMITS:
            return attributes
        if self._content:
            if run.content and limits.most is not None:
                attributes = {**self._fitting(run.content), **attributes}
            limits.shorten(attributes, end.content or {}, extensions=self._extensions)
        return dict(limits.at_end(span, attributes))

    def _is_trivial(self, run: Run, span: StepSpan, end: End) -> bool:
        """Return whether a step was short, empty and successful."""
        return (
            end.failure is None
            and end.end_ns - run.start_ns < self._shortest_ns
            and not span.is_used
            and not run.interrupted_below
        )

    def _note(self, run: StandIn, parent: Run, end: End) -> None:
        """Add a run to the sums of its root and of its agent."""
        run.is_summed = True
        # A graph itself ends as if done.
        if end.response is not None and semconv.INTERRUPTED in end.response.attributes:
            parent.interrupted_below = True
        if run.refusal is not None:
            return
        sums.note(run.rollup, run.request.operation, end)
        # For an agent: the outer agent, as its own list is for the runs below it.
        if parent.of_agent is not None:
            sums.note_in_agent(parent.of_agent, run, end)


def _is_step(run: Run) -> bool:
    """Return whether a run is an inner step without an operation of its own."""
    return run.parent_run is not None and not run.request.operation


def _finish(span: Any, attributes: dict[str, AttributeValue], end: End) -> None:
    """End a span with its last attributes."""
    # Without a description: messages may hold content, and `error.type` has the type.
    if end.failure is not None:
        span.set_status(trace.StatusCode.ERROR)
    span.set_attributes(attributes)
    span.end(end.end_ns)


def _attach_shared(run: StandIn, context: Context, current: trace.Span) -> None:
    """Share one stand-in among the runs of a batch."""
    if type(current) is current_span.Shared and current.takes(run):
        current.add(run)
        return
    shared = current_span.Shared(current_span.run_being_called, run)
    current_span.attach(shared, context, current)
    shared.add(run)


def _leave(run: StandIn) -> None:
    """Restore the context before a run, and release the run's span."""
    if run.shared is None:
        current_span.put_back(run)
    else:
        _leave_shared(run, run.shared)
    run.release()


def _leave_shared(run: StandIn, shared: current_span.Shared) -> None:
    """Leave a batch; the last run restores the context before it."""
    if shared.remove(run):
        current_span.put_back(shared)
        shared.release()


MOST_THREADS: Final = 1_000
"""Threads remembered, the ones used last; in this process alone."""


class Threads:
    """The last run of each thread of a graph."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], SpanContext] = {}

    def links(self, request: Request) -> tuple[Link, ...]:
        """Return the link of a run that resumes its thread, if the thread is known."""
        if not request.resumes:
            return ()
        before = self._last.get((request.target, request.thread))
        return () if before is None else (Link(before),)

    def remember(self, request: Request, span: Span) -> None:
        """Remember a run as the last one of its thread."""
        key = (request.target, request.thread)
        # Removed and added again, so that the threads used last are at the end.
        self._last.pop(key, None)
        self._last[key] = span.get_span_context()
        if len(self._last) > MOST_THREADS:
            # Another thread is changing it, and evicts then.
            with contextlib.suppress(RuntimeError):
                self._last.pop(next(iter(self._last)), None)
