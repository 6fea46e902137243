"""The rules for metrics, log records and resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from measure.attribute_rules import attribute_findings, required_findings
from measure.findings import Finding
from measure.values import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    from measure.registry import Registry

# The field of an OTLP metric -> the instrument it comes from.
_INSTRUMENTS: Final = {
    "histogram": "histogram",
    "exponential_histogram": "histogram",
    "sum": "counter",
    "gauge": "gauge",
}


def points_of(metric: Metric) -> list[Any]:
    """Return a metric's points, whatever its instrument.

    Args:
        metric: The metric.
    """
    field = metric.WhichOneof("data")
    return [] if field is None else list(getattr(metric, field).data_points)


def metric_findings(registry: Registry, metric: Metric) -> Iterator[Finding]:
    """Yield what is wrong with a metric and its points.

    Args:
        registry: The conventions.
        metric: The metric.
    """
    where = f"metric {metric.name}"
    known = registry.metrics.get(metric.name)
    if known is None:
        yield Finding("missing_metric", where, metric.name)
    else:
        instrument = _INSTRUMENTS.get(metric.WhichOneof("data") or "", "none")
        if metric.name in registry.deprecated:
            yield Finding("deprecated", where, metric.name)
        if metric.unit != known.unit:
            detail = f"{metric.unit!r}, not {known.unit!r}"
            yield Finding("unit_mismatch", where, detail)
        if instrument != known.instrument:
            detail = f"{instrument}, not {known.instrument}"
            yield Finding("unexpected_instrument", where, detail)
    for point in points_of(metric):
        attributes = as_dict(point.attributes)
        yield from attribute_findings(registry, where, attributes)
        if known is not None:
            yield from required_findings(where, known.attributes, attributes)


def record_findings(registry: Registry, record: LogRecord) -> Iterator[Finding]:
    """Yield what is wrong with a log record; without an event's name it may be any.

    Args:
        registry: The conventions.
        record: The record.
    """
    where = f"event {record.event_name}" if record.event_name else "log"
    attributes = as_dict(record.attributes)
    yield from attribute_findings(registry, where, attributes)
    if not record.event_name:
        return
    declared = registry.events.get(record.event_name)
    if declared is None:
        yield Finding("missing_event", where, record.event_name)
        return
    if record.event_name in registry.deprecated:
        yield Finding("deprecated", where, record.event_name)
    yield from required_findings(where, declared, attributes)


def resource_findings(registry: Registry, resource: Resource) -> Iterator[Finding]:
    """Yield what is wrong with a resource.

    Args:
        registry: The conventions.
        resource: The resource.
    """
    attributes = as_dict(resource.attributes)
    ignored = registry.ignored["resource"]
    yield from attribute_findings(registry, "resource", attributes, ignored)
