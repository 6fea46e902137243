"""The series of one of several worker processes, as prometheus_client's metrics.

Its multiprocess mode keeps values in files that any worker's scrape adds up. It does
not support custom collectors, so the background thread adds each call to
prometheus_client's metrics: a call may end on top of code that holds their lock.
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from operator import sub
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.registry import Collector

from otel_callbacks._background import call_after_fork
from otel_callbacks._metrics import series as catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

    from otel_callbacks._metrics.calls import CallQueue
    from otel_callbacks._metrics.fold import NewFold
    from otel_callbacks._metrics.series import Series
    from otel_callbacks._metrics.store import LabelValues, Trace
    from otel_callbacks._records import End
    from otel_callbacks._spans.current import StandIn

_SECONDS: Final = 1e-9
_NOT_IN_FLIGHT: Final = ("", "", "")


def is_multiprocess() -> bool:
    """Return whether prometheus_client was imported with a multiprocess directory."""
    return values.ValueClass is not values.MutexValue


class MultiprocessSink:
    """Writes each call into this worker's files, and what is open."""

    name: Final = "prometheus"
    is_foreign: Final = False

    def __init__(
        self, calls: CallQueue, new_fold: NewFold, registry: CollectorRegistry
    ) -> None:
        # First, because a registry calls its collectors in order.
        registry.register(UpToDate(calls))
        self._calls = calls

        def states(series: Series) -> Callable[[LabelValues], _State]:
            metric = _metric(registry, series)
            return lambda labels: _State(_child(metric, labels))

        self._fold = new_fold(states)
        extensions = self._fold.extensions
        self._counters = {
            series.name: _metric(registry, series)
            for series in catalogue.ABOUT
            if extensions and series.kind == "counter"
        }
        self._written: dict[tuple[str, LabelValues], float] = {}
        self._gauges = tuple(
            _metric(registry, series)
            for series in (catalogue.IN_FLIGHT, catalogue.OPEN_RUNS)
            if extensions
        )
        # The label values of each open run, in memory and as written to the files, and
        # the runs that have changed. A repeated or interrupted change has no effect.
        self._open: dict[int, LabelValues] = {}
        self._shown: dict[int, LabelValues] = {}
        self._changes: deque[tuple[int, LabelValues]] = deque()
        calls.folds.append(self._fold)
        calls.writers.append(self._write)
        call_after_fork(self)

    def after_fork(self) -> None:
        """Drop the runs of the parent process."""
        self._changes.clear()
        self._open.clear()
        self._shown.clear()

    def started(self, run: StandIn) -> None:
        """Count a run as open."""
        self._open[id(run)] = self._changed(run)
        self._calls.write_soon()

    def ended(self, run: StandIn, end: End) -> None:
        """Let the background thread update the files."""
        if not end.late:
            self._open.pop(id(run), None)
        self._changed(run)
        self._calls.write_soon()

    def _changed(self, run: StandIn) -> LabelValues:
        """Record that a run has changed, and return its label values."""
        request = run.request
        labels = request.operation, request.provider, request.model
        if not run.counted:
            labels = _NOT_IN_FLIGHT
        self._changes.append((id(run), labels))
        return labels

    def _write(self) -> None:
        """Update the files, under the lock of the queue."""
        while self._changes:
            key, labels = self._changes.popleft()
            before, now = self._shown.pop(key, None), self._open.get(key)
            if now is not None:
                self._shown[key] = now
            # A run that was open between two writes is shown, too, as 0.
            for at, change in ((labels, 0), (before, -1), (now, 1)):
                if at is not None and self._gauges:
                    self._change(at, change)
        if self._counters:
            self._count()

    def _change(self, labels: LabelValues, change: int) -> None:
        """Write a change of the number of open runs."""
        in_flight, open_runs = self._gauges
        open_runs.inc(change)
        if labels[0]:
            names = catalogue.IN_FLIGHT.labels
            bounded, _ = self._fold.limits.bound(names, labels, count=False)
            in_flight.labels(*bounded).inc(change)

    def _count(self) -> None:
        """Add the counts of other modules since the last update."""
        for series, counts in self._calls.counted(self._fold):
            for labels, count in counts.items():
                at = series.name, labels
                new = count - self._written.get(at, 0)
                if new:
                    self._written[at] = count
                    _child(self._counters[series.name], labels).inc(new)


class UpToDate(Collector):
    """Updates the files when a registry is read in this process."""

    def __init__(self, calls: CallQueue) -> None:
        self._calls = calls

    def collect(self) -> Iterator[Metric]:
        """Update the files; yield no series."""
        self._calls.settle()
        return iter(())

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, without an update."""
        return iter(())


def _metric(registry: CollectorRegistry, series: Series) -> Any:
    """Return a new metric of prometheus_client."""
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "counter": (Counter, {}),
        "gauge": (Gauge, {"multiprocess_mode": "livesum"}),
        "histogram": (Histogram, {"buckets": series.buckets}),
    }
    make, options = kinds[series.kind]
    return make(series.name, series.help, series.labels, registry=registry, **options)


def _child(metric: Any, labels: LabelValues) -> Any:
    """Return one label set of a metric."""
    return metric.labels(*labels) if labels else metric


@dataclass(slots=True)
class _State:
    """One label set; the files have no room for exemplars."""

    child: Any

    def add(self, value: float | Decimal, _: Trace | None) -> None:
        """Add to a counter."""
        self.child.inc(float(value))

    def observe(self, value: float, _: Trace | None) -> None:
        """Observe a value."""
        self.child.observe(value)

    def observe_gaps(self, ticks: Sequence[int], _: Trace | None) -> None:
        """Observe the seconds between successive clock readings."""
        for gap in map(sub, ticks[1:], ticks):
            self.child.observe(gap * _SECONDS)
