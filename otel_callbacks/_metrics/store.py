"""The label sets of the series that `Fold` adds to, and their limits.

A label set has a state for each way of export: our own for scrapes (below),
OpenTelemetry's instruments for pushes (``otlp``), or prometheus_client's metrics for
several processes (``multiprocess``).
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Context, Decimal
from operator import sub
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from prometheus_client import Counter as PlainCounter
from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics.series import label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_callbacks._metrics.series import Series

_SECONDS: Final = 1e-9
_BEFORE_A_SCRAPE: Final = 0.1
# Enough digits for every sum of money. A context of our own, as the app may set a
# lower precision in the thread's context.
_MONEY: Final = Context(prec=50, traps=[])


Trace: TypeAlias = tuple[int, int, int]
"""What an exemplar points to: trace id, span id, Unix time in nanoseconds. A plain
tuple, as one is made for each call and few are ever shown."""


LabelValues: TypeAlias = tuple[str, ...]


def _exemplar(value: float | Decimal, trace: Trace) -> Exemplar:
    """Return the exemplar of an observation."""
    trace_id, span_id, time_ns = trace
    ids = {"trace_id": f"{trace_id:032x}", "span_id": f"{span_id:016x}"}
    return Exemplar(ids, float(value), time_ns * _SECONDS)


def birth() -> float:
    """Return the created time of a label set that is new now, in Unix seconds."""
    # Prometheus adds a zero there, so that ``increase()`` sees the first value. It has
    # to lie after the last scrape and before the one that makes the label set now.
    return time.time() - _BEFORE_A_SCRAPE


def has_created_times() -> bool:
    """Return whether prometheus_client writes ``_created``, which is an option."""
    families = PlainCounter("otel_callbacks_probe", "x", registry=None).collect()
    return any(one.name.endswith("_created") for f in families for one in f.samples)


@dataclass(slots=True)
class Count:
    """One label set of a counter: its value and its last exemplar."""

    value: float = 0.0
    exemplar: tuple[float, Trace] | None = None
    born: float = field(default_factory=birth)

    def add(self, value: float, trace: Trace | None) -> None:
        """Add to the counter."""
        self.value += value
        if trace is not None:
            self.exemplar = value, trace


@dataclass(slots=True)
class Amount:
    """One label set of a counter of money, exact: sums of floats would drift."""

    value: Decimal = Decimal(0)
    exemplar: tuple[Decimal, Trace] | None = None
    born: float = field(default_factory=birth)

    def add(self, value: Decimal, trace: Trace | None) -> None:
        """Add to the counter."""
        self.value = _MONEY.add(self.value, value)
        if trace is not None:
            self.exemplar = value, trace


class Distribution:
    """One label set of a histogram: its buckets, and the last exemplar of each."""

    __slots__ = ("_bounds_ns", "born", "bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.born = birth()
        self.bounds = bounds
        self._bounds_ns = [round(bound / _SECONDS) for bound in bounds]
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, tuple[float, Trace]] = {}

    def observe(self, value: float, trace: Trace | None) -> None:
        """Observe one value."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace is not None:
            self.exemplars[bucket] = (value, trace)

    def observe_gaps(self, ticks: Sequence[int], trace: Trace | None) -> None:
        """Observe the seconds between successive clock readings."""
        # In C and in integer nanoseconds, because a stream has many chunks. Sorted gaps
        # need one search for each bucket, instead of one for each chunk.
        gaps = [*map(sub, ticks[1:], ticks)]
        if trace is not None:
            last = gaps[-1]
            self.exemplars[bisect_left(self._bounds_ns, last)] = last * _SECONDS, trace
        gaps.sort()
        bounds, counts, below = self._bounds_ns, self.counts, 0
        highest = bisect_left(bounds, gaps[-1])
        for bucket in range(bisect_left(bounds, gaps[0]), highest):
            until = bisect_right(gaps, bounds[bucket])
            counts[bucket] += until - below
            below = until
        counts[highest] += len(gaps) - below
        self.sum += (ticks[-1] - ticks[0]) * _SECONDS


def own_states(series: Series) -> Callable[[LabelValues], Any]:
    """Return what makes a state that is kept in this process."""
    if series.kind == "histogram":
        return lambda _: Distribution(series.buckets)
    kept = Amount if series.metric_unit == "{USD}" else Count
    return lambda _: kept()


def metric_of(
    series: Series, states: Mapping[LabelValues, Any], *, births: bool
) -> Metric:
    """Return the states of a series as prometheus_client's metric."""
    if series.kind == "histogram":
        return _histogram(series, states, births=births)
    family = CounterMetricFamily(series.name, series.help, labels=series.labels)
    count: Count | Amount
    for labels, count in states.items():
        exemplar = None if count.exemplar is None else _exemplar(*count.exemplar)
        born = count.born if births else None
        family.add_metric(labels, float(count.value), born, exemplar=exemplar)
    return family


def _histogram(
    series: Series, states: Mapping[LabelValues, Distribution], *, births: bool
) -> Metric:
    """Return the states of a histogram as prometheus_client's metric."""
    bounds = (*series.buckets, float("inf"))
    names = [str(floatToGoString(bound)) for bound in bounds]  # type: ignore[no-untyped-call]
    family = HistogramMetricFamily(
        series.name, series.help, labels=series.labels, unit=series.unit
    )
    for labels, state in states.items():
        count = 0
        buckets: list[tuple[str, float, Exemplar | None]] = []
        for bucket, name in enumerate(names):
            count += state.counts[bucket]
            seen = state.exemplars.get(bucket)
            exemplar = None if seen is None else _exemplar(*seen)
            buckets.append((name, count, exemplar))
        family.add_metric(labels, buckets, state.sum)  # type: ignore[arg-type]
        if births:
            named = dict(zip(series.labels, labels, strict=True))
            family.add_sample(f"{series.name}_created", named, state.born)
    return family


def shown(
    series: Series,
    values: Mapping[LabelValues, float],
    born: Mapping[LabelValues, float] | None = None,
) -> Metric:
    """Return a gauge or a counter with the given values."""
    if series.kind == "gauge":
        gauge = GaugeMetricFamily(series.name, series.help, labels=series.labels)
        for labels, value in values.items():
            gauge.add_metric(labels, value)
        return gauge
    family = CounterMetricFamily(series.name, series.help, labels=series.labels)
    for labels, value in values.items():
        family.add_metric(labels, value, None if born is None else born[labels])
    return family


def empty(series: Series) -> Metric:
    """Return a family without values."""
    return Metric(
        series.name.removesuffix("_total"), series.help, series.kind, series.unit
    )


# The value of labels beyond their limit; `error.type` has its own.
_BEYOND: Final = {label(semconv.ERROR_TYPE): semconv.ERROR_TYPE_OTHER}
# Labels with few values, not chosen by an app. They keep their values in a series that
# has reached its limit, so that sums by them stay right.
_CLOSED: Final = frozenset(
    {
        *(label(n) for n in (semconv.OPERATION_NAME, semconv.TOKEN_TYPE)),
        semconv.LABEL_OUTCOME,
        semconv.LABEL_ERROR_CLASS,
        semconv.LABEL_DETAIL,
        semconv.LABEL_REASON,
    }
)


@dataclass
class LabelLimits:
    """Bounds the values of each label and the label sets of each series."""

    limit: int
    series_limit: int
    own: Mapping[str, int] = field(default_factory=dict)
    log_full: Callable[[str], None] = lambda _: None
    overflowed: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, set[str]] = field(default_factory=dict)

    def bound(
        self, names: tuple[str, ...], values: LabelValues, *, count: bool = True
    ) -> tuple[LabelValues, tuple[str, ...]]:
        """Return label values, ``other`` for those beyond a limit, and count these."""
        bounded = []
        overflowed = []
        for name, value in zip(names, values, strict=True):
            seen = self._seen.setdefault(name, set())
            if not value or value in seen:
                bounded.append(value)
            elif len(seen) < self.own.get(name, self.limit):
                seen.add(value)
                bounded.append(value)
            else:
                bounded.append(_BEYOND.get(name, semconv.OTHER))
                overflowed.append(name)
        if count:
            self.overflowed.update(overflowed)
        return tuple(bounded), tuple(overflowed)

    def beyond(self, series: Series, labels: LabelValues) -> LabelValues:
        """Return the label set that counts those beyond the limit of a series."""
        self.overflowed[series.name] += 1
        self.log_full(series.name)
        return tuple(
            value if name in _CLOSED or not value else _BEYOND.get(name, semconv.OTHER)
            for name, value in zip(series.labels, labels, strict=True)
        )


class State(Protocol):
    """One label set of a counter or a histogram."""

    def add(self, value: Any, trace: Trace | None, /) -> None:
        """Add a number, or an amount of US dollars, to a counter."""

    def observe(self, value: float, trace: Trace | None, /) -> None:
        """Observe a value."""

    def observe_gaps(self, ticks: Sequence[int], trace: Trace | None, /) -> None:
        """Observe the seconds between readings of a clock in nanoseconds."""


States: TypeAlias = Callable[["Series"], Callable[[LabelValues], Any]]
"""Takes a series, and returns what makes the state of a new label set."""


@dataclass(slots=True)
class Family:
    """The label sets of one series, with a limit on their number."""

    series: Series
    new: Callable[[LabelValues], Any]
    limits: LabelLimits
    states: dict[LabelValues, Any] = field(default_factory=dict)

    def at(self, labels: LabelValues) -> Any:
        """Return the state of a label set, or of the one for those beyond the limit."""
        found = self.states.get(labels)
        if found is None and len(self.states) >= self.limits.series_limit:
            labels = self.limits.beyond(self.series, labels)
            found = self.states.get(labels)
        if found is None:
            found = self.states[labels] = self.new(labels)
        return found
