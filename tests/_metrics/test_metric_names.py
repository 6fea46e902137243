"""The series' names as OpenTelemetry has them, and the rule to Prometheus' own."""

from __future__ import annotations

from otel_callbacks._metrics import series as catalogue
from otel_callbacks._metrics.series import Series


def test_names_are_not_shared() -> None:
    """Two series are never one instrument."""
    names = [series.metric for series in catalogue.SERIES]
    assert len(names) == len(set(names))


def test_prometheus_name_follows_from_type_and_unit() -> None:
    """Seconds and counters end as Prometheus' translation from OTLP ends them."""
    assert Series("a.b", "counter", "{token}", "x").name == "a_b_total"
    assert Series("a.b", "histogram", "s", "x").name == "a_b_seconds"
    assert Series("a.b", "counter", "s", "x").name == "a_b_seconds_total"
    assert Series("a.b", "gauge", "{run}", "x").name == "a_b"


def test_series_about_the_handler_are_read_in_order() -> None:
    """Calls in flight settle the queue first; the last one ends the collection."""
    assert catalogue.ABOUT[0] is catalogue.IN_FLIGHT
    assert catalogue.ABOUT[-1] is catalogue.OPEN_RUNS
    assert set(catalogue.ABOUT) < set(catalogue.SERIES)
