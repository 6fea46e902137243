"""The series' names as OpenTelemetry has them."""

from __future__ import annotations

from otel_callbacks._metrics import series as catalogue
from otel_callbacks._metrics.series import METRICS, WHOLE


def test_every_series_has_a_name() -> None:
    """No series is left out of what is pushed, and no name is without a series."""
    assert set(METRICS) == {series.name for series in catalogue.SERIES}
    assert set(METRICS) >= WHOLE


def test_names_are_not_shared() -> None:
    """Two series are never one instrument."""
    names = [name for name, _ in METRICS.values()]
    assert len(names) == len(set(names))
