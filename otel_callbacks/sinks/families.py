"""Counters and histograms of our own, cheap to add to in bulk.

prometheus_client's own objects take a lock and several dictionaries for each
observation. Here the state of one label set is an object that is found once and then
added to, by one thread at a time, under the collector's lock.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import repeat
from operator import sub
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_callbacks.sinks.catalogue import Series
    from otel_callbacks.sinks.labels import LabelValues

_SECONDS: Final = 1e-9


Trace: TypeAlias = tuple[int, int, int]
"""What an exemplar points to: trace id, span id, Unix time in nanoseconds. A plain
tuple, as one is made for each call and few are ever shown."""


def _exemplar(trace: Trace, value: float) -> Exemplar:
    """Return the exemplar of an observation."""
    trace_id, span_id, time_ns = trace
    ids = {"trace_id": f"{trace_id:032x}", "span_id": f"{span_id:016x}"}
    return Exemplar(ids, value, time_ns * _SECONDS)


class Count:
    """One label set of a counter: its value, and where the last part came from."""

    __slots__ = ("last", "trace", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.last = 0.0
        self.trace: Trace | None = None

    def add(self, value: float, trace: Trace | None) -> None:
        """Add to it.

        Args:
            value: What to add, not negative.
            trace: Where it comes from, if that span is sampled.
        """
        self.value += value
        if trace is not None:
            self.last = value
            self.trace = trace


class Distribution:
    """One label set of a histogram: its buckets, and the last exemplar of each.

    Args:
        bounds: The buckets' upper bounds without infinity.
    """

    __slots__ = ("_bounds_ns", "bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._bounds_ns = [round(bound / _SECONDS) for bound in bounds]
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, tuple[float, Trace]] = {}

    def observe(self, value: float, trace: Trace | None) -> None:
        """Observe one value.

        Args:
            value: What was observed, in the series' unit.
            trace: Where it comes from, if that span is sampled.
        """
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace is not None:
            self.exemplars[bucket] = (value, trace)

    def observe_gaps(self, ticks: Sequence[int], trace: Trace | None) -> None:
        """Observe the seconds between each two readings of a clock.

        Args:
            ticks: The readings in nanoseconds, at least two of them.
            trace: Where they come from, if that span is sampled.
        """
        # All in C and in whole nanoseconds: a stream has many chunks.
        gaps = list(map(sub, ticks[1:], ticks))
        counts = self.counts
        bucket = 0
        for bucket in map(bisect_left, repeat(self._bounds_ns), gaps):
            counts[bucket] += 1
        self.sum += sum(gaps) * _SECONDS
        if trace is not None:
            self.exemplars[bucket] = (gaps[-1] * _SECONDS, trace)


class Counters:
    """One counter family.

    Args:
        series: What it is.
    """

    __slots__ = ("_counts", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        self._counts: dict[LabelValues, Count] = {}

    def at(self, labels: LabelValues) -> Count:
        """Return the state of a label set, new if need be.

        Args:
            labels: The label values, in the series' order.
        """
        found = self._counts.get(labels)
        if found is None:
            found = self._counts[labels] = Count()
        return found

    def family(self) -> Metric:
        """Return it as prometheus_client writes it out."""
        family = CounterMetricFamily(
            self.series.name, self.series.help, labels=self.series.labels
        )
        for labels, count in self._counts.items():
            exemplar = _exemplar(count.trace, count.last) if count.trace else None
            family.add_metric(labels, count.value, exemplar=exemplar)
        return family


class Histograms:
    """One histogram family.

    Args:
        series: What it is.
    """

    __slots__ = ("_names", "_states", "series")

    def __init__(self, series: Series) -> None:
        self.series = series
        bounds = (*series.buckets, float("inf"))
        self._names = [str(floatToGoString(b)) for b in bounds]  # type: ignore[no-untyped-call]
        self._states: dict[LabelValues, Distribution] = {}

    def at(self, labels: LabelValues) -> Distribution:
        """Return the state of a label set, new if need be.

        Args:
            labels: The label values, in the series' order.
        """
        found = self._states.get(labels)
        if found is None:
            found = self._states[labels] = Distribution(self.series.buckets)
        return found

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
                exemplar = _exemplar(seen[1], seen[0]) if seen else None
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
