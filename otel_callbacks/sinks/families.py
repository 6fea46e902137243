"""Counters and histograms of our own, cheap to add to in bulk.

prometheus_client's own objects take a lock and several dictionaries for each
observation; these are added to by one thread at a time, under the collector's lock.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_callbacks.sinks.catalogue import Series
    from otel_callbacks.sinks.labels import LabelValues


class Trace(NamedTuple):
    """What an exemplar points to."""

    trace_id: int
    span_id: int
    time: float
    """Unix time in seconds."""

    def exemplar(self, value: float) -> Exemplar:
        """Return the exemplar of an observation.

        Args:
            value: What was observed.
        """
        ids = {
            "trace_id": f"{self.trace_id:032x}",
            "span_id": f"{self.span_id:016x}",
        }
        return Exemplar(ids, value, self.time)


class Counters:
    """One counter family: a value and its last exemplar for each label set.

    Args:
        series: What it is.
    """

    __slots__ = ("_values", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        self._values: dict[LabelValues, tuple[float, float, Trace | None]] = {}

    def add(self, labels: LabelValues, value: float, trace: Trace | None) -> None:
        """Add to a label set.

        Args:
            labels: The label values, in the series' order.
            value: What to add, not negative.
            trace: Where it comes from, if that span is sampled.
        """
        total, last, before = self._values.get(labels, (0.0, 0.0, None))
        if trace is None:
            self._values[labels] = (total + value, last, before)
        else:
            self._values[labels] = (total + value, value, trace)

    def family(self) -> Metric:
        """Return it as prometheus_client writes it out."""
        family = CounterMetricFamily(
            self.series.name, self.series.help, labels=self.series.labels
        )
        for labels, (total, last, trace) in self._values.items():
            exemplar = trace.exemplar(last) if trace else None
            family.add_metric(labels, total, exemplar=exemplar)
        return family


class _Buckets:
    """The state of one label set of a histogram."""

    __slots__ = ("counts", "exemplars", "sum")

    def __init__(self, count: int) -> None:
        self.counts = [0] * count
        self.sum = 0.0
        self.exemplars: dict[int, tuple[float, Trace]] = {}


class Histograms:
    """One histogram family: buckets, sum and each bucket's last exemplar.

    Args:
        series: What it is.
    """

    __slots__ = ("_bounds", "_names", "_states", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        self._bounds = series.buckets
        self._names = [floatToGoString(b) for b in (*series.buckets, float("inf"))]
        self._states: dict[LabelValues, _Buckets] = {}

    def observe(
        self, labels: LabelValues, values: Iterable[float], trace: Trace | None
    ) -> None:
        """Observe some values of one label set.

        Args:
            labels: The label values, in the series' order.
            values: What was observed, in the series' unit.
            trace: Where they come from, if that span is sampled.
        """
        state = self._states.get(labels)
        if state is None:
            state = self._states[labels] = _Buckets(len(self._names))
        for value in values:
            bucket = bisect_left(self._bounds, value)
            state.counts[bucket] += 1
            state.sum += value
            if trace is not None:
                state.exemplars[bucket] = (value, trace)

    def family(self) -> Metric:
        """Return it as prometheus_client writes it out."""
        family = HistogramMetricFamily(
            self.series.name,
            self.series.help,
            labels=self.series.labels,
            unit=self.series.unit,
        )
        for labels, state in self._states.items():
            count = 0
            buckets: list[tuple[str, float, Exemplar | None]] = []
            for bucket, name in enumerate(self._names):
                count += state.counts[bucket]
                seen = state.exemplars.get(bucket)
                exemplar = seen[1].exemplar(seen[0]) if seen else None
                buckets.append((name, count, exemplar))
            family.add_metric(labels, buckets, state.sum)  # type: ignore[arg-type]
        return family


def gauge(series: Series, values: Mapping[LabelValues, float]) -> Metric:
    """Return a gauge family with these values.

    Args:
        series: What it is.
        values: A value for each label set.
    """
    family = GaugeMetricFamily(series.name, series.help, labels=series.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def counter(series: Series, values: Mapping[LabelValues, float]) -> Metric:
    """Return a counter family with these values, which are counted elsewhere.

    Args:
        series: What it is.
        values: A value for each label set.
    """
    family = CounterMetricFamily(series.name, series.help, labels=series.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def empty(series: Series) -> Metric:
    """Return a family without values.

    Args:
        series: What it is.
    """
    return Metric(
        series.name.removesuffix("_total"), series.help, series.kind, series.unit
    )
