"""OTLP messages made by hand, for the tests of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.common.v1.common_pb2 import (
    AnyValue,
    ArrayValue,
    KeyValue,
    KeyValueList,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Histogram,
    HistogramDataPoint,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import (
    ResourceSpans,
    ScopeSpans,
    Span,
    Status,
)

from measure.received import Received

if TYPE_CHECKING:
    from collections.abc import Mapping


def value(of: Any) -> AnyValue:
    """Return a value as OTLP carries it.

    Args:
        of: Text, a truth, a number, a list or a dictionary.

    Raises:
        TypeError: It is something else.
    """
    match of:
        case bool():
            return AnyValue(bool_value=of)
        case str():
            return AnyValue(string_value=of)
        case int():
            return AnyValue(int_value=of)
        case float():
            return AnyValue(double_value=of)
        case list():
            return AnyValue(array_value=ArrayValue(values=map(value, of)))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(of)))
        case _:
            raise TypeError(type(of))


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Return attributes as OTLP carries them.

    Args:
        attributes: The values by name.
    """
    return [KeyValue(key=key, value=value(of)) for key, of in attributes.items()]


def span(
    name: str,
    attributes: Mapping[str, Any],
    *,
    kind: Span.SpanKind.ValueType = Span.SPAN_KIND_CLIENT,
    status: Status.StatusCode.ValueType = Status.STATUS_CODE_UNSET,
    event: Mapping[str, Any] | None = None,
) -> Span:
    """Make a span.

    Args:
        name: Its name.
        attributes: Its attributes.
        kind: Its kind.
        status: Its status.
        event: The attributes of an event on it.
    """
    events = (
        [] if event is None else [Span.Event(name="event", attributes=pairs(event))]
    )
    return Span(
        name=name,
        attributes=pairs(attributes),
        kind=kind,
        status=Status(code=status),
        events=events,
    )


def histogram(
    name: str,
    unit: str,
    attributes: Mapping[str, Any],
    bounds: tuple[float, ...] = (),
) -> Metric:
    """Make a metric with one point.

    Args:
        name: Its name.
        unit: Its unit.
        attributes: The attributes of its point.
        bounds: The limits of its buckets.
    """
    point = HistogramDataPoint(attributes=pairs(attributes), explicit_bounds=bounds)
    return Metric(name=name, unit=unit, histogram=Histogram(data_points=[point]))


def record(event: str, attributes: Mapping[str, Any]) -> LogRecord:
    """Make a log record.

    Args:
        event: The event's name, or nothing.
        attributes: Its attributes.
    """
    return LogRecord(event_name=event, attributes=pairs(attributes))


def received(
    *parts: Span | Metric | LogRecord, resource: Mapping[str, Any] | None = None
) -> Received:
    """Return what has come when these messages have.

    Args:
        parts: Spans, metrics and log records.
        resource: The attributes of where they come from.
    """
    origin = Resource(attributes=pairs(resource or {}))
    spans = [part for part in parts if isinstance(part, Span)]
    metrics = [part for part in parts if isinstance(part, Metric)]
    records = [part for part in parts if isinstance(part, LogRecord)]
    return Received(
        [ResourceSpans(resource=origin, scope_spans=[ScopeSpans(spans=spans)])],
        [
            ResourceMetrics(
                resource=origin, scope_metrics=[ScopeMetrics(metrics=metrics)]
            )
        ],
        [ResourceLogs(resource=origin, scope_logs=[ScopeLogs(log_records=records)])],
    )
