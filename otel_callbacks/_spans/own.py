"""A span that is a dictionary until its end, instead of the SDK's span.

The SDK's span guards its attributes with locks and checks each of them twice. A run
sets its attributes at its start and at its end, and other code rarely writes to its
span. So `OwnSpan` holds them in one dictionary, and passes the SDK's `ReadableSpan` to
the processors when it ends. Sampler, id generator, limits, resource, scope and
processors are those of the provider.

Any other use of the span (an event, a new name, a property that is read) converts it to
the SDK's span, so that it behaves as the SDK's.

It is used only where the result is the same as the SDK's: the tracer is of the SDK's
class in a tested version, and no processor reads a span before its end. Otherwise, and
with ``OTEL_CALLBACKS_SDK_SPANS=true``, `SpanMaker` calls the tracer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import sampling as sdk_sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.version import __version__ as sdk_version
from opentelemetry.trace import Status, StatusCode

from otel_callbacks._spans.current import forward, resolved
from otel_callbacks._spans.limits import ENOUGH, NO_LIMITS, limits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context

    from otel_callbacks._records import AttributeValue

LOWEST: Final = (1, 38)
NEWEST: Final = (1, 45)
"""The SDK's versions that the tests have seen; it renames its privates at will."""

_SILENT: Final = (sdk.SpanProcessor, SimpleSpanProcessor, BatchSpanProcessor)
# Methods that read a span before its end: a processor that overrides one of them gets
# the SDK's span.
_EARLY: Final = ("on_start", "_on_ending")
_READ_EARLY: Final = {
    name: {getattr(kind, name, None) for kind in _SILENT} for name in _EARLY
}

_UNSET: Final = Status(StatusCode.UNSET)
_FAILED: Final = Status(StatusCode.ERROR)
_NO_STATE: Final = trace.INVALID_SPAN_CONTEXT.trace_state
_SAMPLED: Final = int(trace.TraceFlags.SAMPLED)
_RANDOM: Final = getattr(trace.TraceFlags, "RANDOM_TRACE_ID", 0)
# Indexed by whether the span is sampled and whether its trace id is random.
_FLAGS: Final = tuple(
    (trace.TraceFlags(sampled), trace.TraceFlags(sampled | _RANDOM))
    for sampled in (trace.TraceFlags.DEFAULT, trace.TraceFlags.SAMPLED)
)

_new: Final = tuple.__new__  # a third of the time of calling the class


def is_tested(version: str) -> bool:
    """Return whether this version of the SDK is tested."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and LOWEST <= (int(found[1]), int(found[2])) <= NEWEST


_IS_TESTED: Final = is_tested(sdk_version)


class OwnSpan(trace.Span):
    """The span of one run, a dictionary until its end."""

    __slots__ = (
        "attributes_now",
        "context",
        "end_ns",
        "kind_now",
        "name_now",
        "parent_context",
        "start_ns",
        "tracer",
    )

    real: sdk.Span | None = None
    """The SDK's span, once it is needed."""

    def __init__(
        self,
        tracer: sdk.Tracer,
        name: str,
        context: trace.SpanContext,
        parent: trace.SpanContext | None,
        kind: trace.SpanKind,
        attributes: dict[str, AttributeValue],
        start_ns: int,
    ) -> None:
        self.tracer = tracer
        self.name_now = name
        self.context = context
        self.parent_context = parent
        self.kind_now = kind
        self.attributes_now = attributes
        self.start_ns = start_ns
        self.end_ns: int | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # read by isinstance, for the current span
        return sdk.Span

    def get_span_context(self) -> trace.SpanContext:
        """Return the span's context."""
        return self.context

    def is_recording(self) -> bool:
        """Return whether the span has not ended."""
        return self.end_ns is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute."""
        self.as_sdk_span().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes."""
        self.as_sdk_span().set_attributes(attributes)

    def add_event(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Add an event."""
        self.as_sdk_span().add_event(name, *args, **kwargs)

    def add_link(self, *args: Any, **kwargs: Any) -> None:
        """Add a link."""
        self.as_sdk_span().add_link(*args, **kwargs)

    def update_name(self, name: str) -> None:
        """Rename the span."""
        self.as_sdk_span().update_name(name)

    def set_status(self, *args: Any, **kwargs: Any) -> None:
        """Set the status."""
        self.as_sdk_span().set_status(*args, **kwargs)

    def record_exception(self, *args: Any, **kwargs: Any) -> None:
        """Record an exception."""
        self.as_sdk_span().record_exception(*args, **kwargs)

    def end(self, end_time: int | None = None) -> None:
        """End the span with its attributes."""
        self.as_sdk_span().end(end_time)

    def as_sdk_span(self) -> sdk.Span:
        """Return the SDK's span with the data of this one, always the same object."""
        if self.real is None:
            # In one step, as two threads may create the SDK's span at once.
            vars(self).setdefault("real", self._made())
        return self.real  # type: ignore[return-value]

    def resolve(self) -> sdk.Span:
        """Return the SDK's span, for properties that only it has."""
        return self.as_sdk_span()

    def _made(self) -> sdk.Span:
        """Create the SDK's span."""
        tracer: Any = self.tracer
        span: Any = sdk._Span(  # noqa: SLF001 -- as the tracer does
            name=self.name_now,
            context=self.context,
            parent=self.parent_context,
            sampler=tracer.sampler,
            resource=tracer.resource,
            attributes=self.attributes_now.copy(),  # its run may be ending
            span_processor=tracer.span_processor,
            kind=self.kind_now,
            instrumentation_info=tracer.instrumentation_info,
            limits=tracer._span_limits,  # noqa: SLF001 -- has no public name
            instrumentation_scope=tracer._instrumentation_scope,  # noqa: SLF001
        )
        # Not with `start`, as no processor reads it: see `SpanMaker`.
        span._start_time = self.start_ns  # noqa: SLF001 -- as above
        span._end_time = self.end_ns  # noqa: SLF001 -- late writes are logged
        return span  # type: ignore[no-any-return]

    def add(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Add attributes at the start, before other code can use the span."""
        self.attributes_now.update(attributes)

    def finish(
        self, attributes: Mapping[str, AttributeValue], end_ns: int, *, failed: bool
    ) -> None:
        """End the span; the attributes may be its own dictionary, extended."""
        tracer: Any = self.tracer
        span = self.real
        if span is not None:
            span.set_attributes(attributes)
        else:
            held = self.attributes_now
            if attributes is not held:
                for name in attributes:  # moved to the end, as by the SDK
                    held.pop(name, None)
                held.update(attributes)
            if len(held) <= ENOUGH and is_silent(tracer.span_processor):
                ended = sdk.ReadableSpan(
                    self.name_now,
                    self.context,
                    self.parent_context,
                    tracer.resource,
                    held,
                    kind=self.kind_now,
                    instrumentation_info=tracer.instrumentation_info,
                    status=_FAILED if failed else _UNSET,
                    start_time=self.start_ns,
                    end_time=end_ns,
                    instrumentation_scope=tracer._instrumentation_scope,  # noqa: SLF001
                )
                # First, as in the SDK, so that an interrupted end is not repeated.
                self.end_ns = end_ns
                try:
                    tracer.span_processor.on_end(ended)
                except (MemoryError, RecursionError) as error:
                    self.end_ns = None  # tried again with a shallow stack
                    if _was_seen(error, tracer.span_processor):
                        self.end_ns = end_ns
                    raise
                return
            span = self.as_sdk_span()
        if failed:
            span.set_status(StatusCode.ERROR)
        self.end_ns = end_ns
        span.end(end_ns)


forward(OwnSpan)


class StepSpan(OwnSpan):
    """The span of a step, dropped at its end if it was never used."""

    __slots__ = ("is_used",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_used = False

    def get_span_context(self) -> trace.SpanContext:
        """Return the span's context, for a child, a log line or an HTTP header."""
        self.is_used = True
        return self.context

    def as_sdk_span(self) -> sdk.Span:
        """Return the SDK's span, for a write to it."""
        self.is_used = True
        return super().as_sdk_span()


_silent: object = None


def is_silent(processor: Any) -> bool:
    """Return whether no processor reads a span before its end."""
    global _silent  # noqa: PLW0603 -- one check for each set of processors
    if type(processor) is not sdk.SynchronousMultiSpanProcessor:
        return False
    processors = processor._span_processors  # noqa: SLF001 -- has no public name
    if processors is _silent:
        return True
    for one in processors:
        for name, silent in _READ_EARLY.items():
            if name in vars(one) or getattr(type(one), name, None) not in silent:
                return False
    _silent = processors
    return True


def _was_seen(error: BaseException, processor: Any) -> bool:
    """Return whether a processor was done with a span before another one failed."""
    failed = first = processor._span_processors[0]  # noqa: SLF001 -- as above
    found = error.__traceback__
    while found is not None:
        frame, found = found.tb_frame, found.tb_next
        if frame.f_code is sdk.SynchronousMultiSpanProcessor.on_end.__code__:
            failed = frame.f_locals.get("sp", first)
    return failed is not first


class SpanMaker:
    """Starts spans: `OwnSpan` if that is safe, else the tracer's."""

    def __init__(
        self,
        tracer: trace.Tracer,
        *,
        sdk_spans: bool = False,
        set_up: Callable[[], None] | None = None,
    ) -> None:
        self._tracer = tracer
        self._set_up = set_up
        self._known: trace.Tracer | None = None
        self.limits = NO_LIMITS
        self._is_safe = False
        self._is_off = sdk_spans or not _IS_TESTED

    def start(
        self,
        name: str,
        context: Context,
        parent: trace.SpanContext,
        kind: trace.SpanKind,
        attributes: Mapping[str, AttributeValue],
        links: Sequence[trace.Link] | None,
        start_ns: int,
        *,
        is_step: bool = False,
    ) -> trace.Span:
        """Start a span like the tracer; a step's span may be dropped at its end."""
        tracer: Any = self._tracer
        if type(tracer) is trace.ProxyTracer:
            tracer = tracer._tracer  # noqa: SLF001 -- has no public name
        if tracer is not self._known:
            self._is_safe = not self._is_off and _is_plain(tracer)
            self.limits = limits_of(tracer)
            self._known = tracer
            if self._set_up is not None:
                self._set_up()
        if not self._is_safe or links or not is_silent(tracer.span_processor):
            first = self.limits.at_start(attributes)
            span = self._tracer.start_span(
                name,
                context=_of_itself(context),
                kind=kind,
                attributes=first,
                links=links,
                start_time=start_ns,
            )
            _give_again(span, first)
            return span
        kind_of_span = StepSpan if is_step else OwnSpan
        read = attributes, start_ns
        return _start(tracer, name, context, parent, kind, *read, kind_of_span)


def _give_again(span: Any, attributes: Mapping[str, AttributeValue]) -> None:
    """Set attributes that the sampler did not return, as the SDK keeps only those."""
    # Attributes dropped by a limit stay dropped; other spans than the SDK's keep all.
    if getattr(span, "dropped_attributes", True):
        return
    held = span.attributes
    if left_out := {k: v for k, v in attributes.items() if k not in held}:
        span.set_attributes(left_out)


def _of_itself(context: Context) -> Context:
    """Return the context with the parent's real span, for samplers and processors."""
    current = trace.get_current_span(context)
    real = resolved(current)
    return context if real is current else trace.set_span_in_context(real, context)


def _is_plain(tracer: Any) -> bool:
    """Return whether a tracer is the SDK's, without limits or metrics of its own."""
    if type(tracer) is not sdk.Tracer:
        return False
    limits = tracer._span_limits  # noqa: SLF001 -- has no public name
    counted = getattr(tracer, "_tracer_metrics", None)
    return (
        limits.max_span_attribute_length is None
        and (limits.max_span_attributes is None or limits.max_span_attributes >= ENOUGH)
        and type(counted).__name__ in {"NoneType", "NoOpTracerMetrics"}
    )


def _start(
    tracer: Any,
    name: str,
    context: Context,
    current: trace.SpanContext,
    kind: trace.SpanKind,
    attributes: Mapping[str, AttributeValue],
    start_ns: int,
    kind_of_span: type[OwnSpan],
) -> trace.Span:
    """Start an `OwnSpan` the way the SDK's `Tracer.start_span` starts its span."""
    is_enabled = getattr(tracer, "_is_enabled", None)
    if is_enabled is not None and not is_enabled():
        return trace.NonRecordingSpan(current)
    ids = tracer.id_generator
    if current.is_valid:
        parent: trace.SpanContext | None = current
        trace_id = current.trace_id
        is_random = current.trace_flags & _RANDOM
    else:
        parent = None
        trace_id = ids.generate_trace_id()
        is_random = _RANDOM and ids.is_trace_id_random()
    held: dict[str, Any] = dict(attributes)
    is_sampled = is_recording = True
    if tracer.sampler is sdk_sampling.DEFAULT_ON and (
        parent is None or parent.trace_flags & _SAMPLED
    ):
        # The result of the default sampler, without its copies.
        state = _NO_STATE if parent is None else parent.trace_state
    else:
        sampled = tracer.sampler.should_sample(
            context, trace_id, name, kind, attributes, links=()
        )
        is_sampled = sampled.decision.is_sampled()
        is_recording = sampled.decision.is_recording()
        state = sampled.trace_state
        if sampled.attributes != held:
            # A sampler may remove, add or replace attributes.
            held.update(BoundedAttributes(None, sampled.attributes))
    flags = _FLAGS[is_sampled][bool(is_random)]
    span_id = ids.generate_span_id()
    own = (
        _new(trace.SpanContext, (trace_id, span_id, False, flags, state, True))
        if type(ids) is RandomIdGenerator  # otherwise it is checked
        else trace.SpanContext(
            trace_id, span_id, is_remote=False, trace_flags=flags, trace_state=state
        )
    )
    if not is_recording:
        return trace.NonRecordingSpan(own)
    return kind_of_span(tracer, name, own, parent, kind, held, start_ns)
