"""All rules over all that an app has exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measure.attribute_rules import structure_findings
from measure.signal_rules import (
    metric_findings,
    points_of,
    record_findings,
    resource_findings,
)
from measure.span_rules import span_findings
from measure.values import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measure.findings import Finding
    from measure.received import Received
    from measure.registry import Registry


def findings(registry: Registry, received: Received) -> list[Finding]:
    """Return each distinct thing that the runner would flag, sorted.

    Args:
        registry: The conventions.
        received: What an app has exported.
    """
    return sorted(set(_all(registry, received)))


def stricter_findings(registry: Registry, received: Received) -> list[Finding]:
    """Return what the runner lets pass: wrong structures, wrong buckets.

    Args:
        registry: The conventions.
        received: What an app has exported.
    """
    found = {
        finding
        for record in received.each_record()
        for finding in structure_findings(
            registry, f"event {record.event_name}", as_dict(record.attributes)
        )
    }
    return sorted(found)


def wrong_buckets(registry: Registry, received: Received) -> dict[str, tuple[float]]:
    """Return the histograms whose buckets are not those that are advised.

    Args:
        registry: The conventions.
        received: What an app has exported.
    """
    return {
        metric.name: tuple(point.explicit_bounds)
        for metric in received.each_metric()
        if metric.name in registry.metrics
        for point in points_of(metric)
        if tuple(point.explicit_bounds) != registry.metrics[metric.name].buckets
    }


def _all(registry: Registry, received: Received) -> Iterator[Finding]:
    """Yield every finding, repeated ones too."""
    for resource in received.resources():
        yield from resource_findings(registry, resource)
    for span in received.each_span():
        yield from span_findings(registry, span)
    for metric in received.each_metric():
        yield from metric_findings(registry, metric)
    for record in received.each_record():
        yield from record_findings(registry, record)
