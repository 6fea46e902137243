"""The series as OpenTelemetry metrics, pushed by a meter provider.

The label sets are those of a scrape, with dotted names and without empty labels. Calls
are added in bulk: when the SDK reads the first observable instrument, just before it
collects, or after a thousand calls.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from importlib.metadata import version
from operator import sub
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Observation

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics import series as catalogue
from otel_callbacks._metrics.series import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider
    from opentelemetry.util.types import AttributeValue

    from otel_callbacks._metrics.calls import CallQueue
    from otel_callbacks._metrics.fold import Fold, NewFold
    from otel_callbacks._metrics.series import Series
    from otel_callbacks._metrics.store import LabelValues, Trace

_SECONDS: Final = 1e-9
# The context of the thread that folds belongs to no call. The SDK would take it instead
# of an empty one.
_NOWHERE: Final = trace.set_span_in_context(trace.INVALID_SPAN, Context())
_PORT: Final = catalogue.label(semconv.SERVER_PORT)


def attributes_of(series: Series, labels: LabelValues) -> dict[str, AttributeValue]:
    """Return label values as attributes, without empty ones."""
    # Beyond its label's limit, a port is ``other``.
    return {
        ATTRIBUTES.get(name, name): int(value)
        if name == _PORT and value.isdecimal()
        else value
        for name, value in zip(series.labels, labels, strict=True)
        if value
    }


def _context(trace_: Trace) -> Context:
    """Return a context in which a sampled span is the current one."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    named = trace.SpanContext(trace_[0], trace_[1], is_remote=False, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(named), _NOWHERE)


class _Instrument:
    """The instrument of a series, renewed after a fork."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.made: Any = None
        # The observations of one call share a context.
        self._trace: Trace | None = None
        self._context = _NOWHERE

    def use(self, meter: Meter) -> None:
        """Create the instrument."""
        name, unit = self.series.metric, self.series.metric_unit
        if self.series.kind == "counter":
            self.made = meter.create_counter(name, unit, self.series.help)
        else:
            self.made = meter.create_histogram(
                name,
                unit,
                self.series.help,
                explicit_bucket_boundaries_advisory=self.series.buckets,
            )

    def context_of(self, trace_: Trace | None) -> Context:
        """Return a context in which a call's span is the current one."""
        if trace_ is not self._trace:
            self._trace = trace_
            self._context = _NOWHERE if trace_ is None else _context(trace_)
        return self._context


class _State:
    """One label set of an instrument."""

    __slots__ = ("_attributes", "_instrument", "_kind")

    def __init__(self, instrument: _Instrument, labels: LabelValues) -> None:
        self._instrument = instrument
        self._attributes = attributes_of(instrument.series, labels)
        # Only seconds have fractions.
        self._kind = float if instrument.series.unit else int

    def add(self, value: float | Decimal, trace_: Trace | None) -> None:
        """Add to the counter; OTLP has only doubles for amounts of money."""
        one = self._instrument
        amount = value if isinstance(value, int) else float(value)
        one.made.add(amount, self._attributes, one.context_of(trace_))

    def observe(self, value: float, trace_: Trace | None) -> None:
        """Observe one value."""
        one = self._instrument
        seen = self._kind(value)
        one.made.record(seen, self._attributes, one.context_of(trace_))

    def observe_gaps(self, ticks: Sequence[int], trace_: Trace | None) -> None:
        """Observe the seconds between successive clock readings."""
        context = self._instrument.context_of(trace_)
        record, attributes = self._instrument.made.record, self._attributes
        for gap in map(sub, ticks[1:], ticks):
            record(gap * _SECONDS, attributes, context)


_SCOPE: Final = "otel_callbacks"
# Longer than a millisecond, the resolution of Prometheus' timestamps.
_TICK_SECONDS: Final = 0.002


class Meters:
    """The series of one meter provider."""

    def __init__(self, provider: MeterProvider, *, extensions: bool) -> None:
        self._extensions = extensions
        self._instruments: list[_Instrument] = []
        # Whether a label set was added since the last read.
        self._is_young = False
        self._sources: list[tuple[weakref.ref[CallQueue], Fold]] = []
        # The counts of the parent process at the fork.
        self._before: dict[str, Counter[LabelValues]] = {}
        self._now: dict[str, Counter[LabelValues]] = {}
        # The number of label sets of each series.
        self._sets: dict[str, int] = {}
        self._meter = self._use(provider)

    def attach(self, calls: CallQueue, new_fold: NewFold) -> None:
        """Add the calls of a queue."""
        fold = new_fold(self._states)
        self._sources.append((weakref.ref(calls), fold))
        calls.push(fold)

    def start_anew(self, provider: MeterProvider) -> None:
        """Start at zero with another provider, in a forked child."""
        sums = self._sums()
        self._before = {
            one.name: sums[one.name] for one in catalogue.ABOUT if _grows(one)
        }
        self._sets.clear()
        self._meter = self._use(provider)

    def _states(self, series: Series) -> Callable[[LabelValues], _State]:
        """Return what makes the state of a label set."""
        instrument = _Instrument(series)
        instrument.use(self._meter)
        self._instruments.append(instrument)

        def new(labels: LabelValues) -> _State:
            self._is_young = True
            return _State(instrument, labels)

        return new

    def _use(self, provider: MeterProvider) -> Meter:
        """Create all instruments, and return their meter."""
        meter = metrics.get_meter(
            _SCOPE, version("otel-callbacks"), provider, semconv.SCHEMA_URL
        )
        # First, because the SDK calls instruments in the order of their creation.
        for series in catalogue.ABOUT:
            make: Any = (
                meter.create_observable_counter
                if _grows(series)
                else meter.create_observable_up_down_counter
            )
            observers = [self._observer(series)]
            make(series.metric, observers, series.metric_unit, series.help)
        for instrument in self._instruments:
            instrument.use(meter)
        return meter

    def _observer(
        self, series: Series
    ) -> Callable[[CallbackOptions], list[Observation]]:
        """Return the SDK callback for a series about the handler itself."""

        def observe(_options: CallbackOptions) -> list[Observation]:
            if series is catalogue.IN_FLIGHT:
                for source, _ in self._sources:
                    if (calls := source()) is not None:
                        calls.settle()
                self._now = self._sums()
            values = self._now[series.name]
            self._note_births(series, values)
            if not self._extensions:
                return []
            values.subtract(self._before.get(series.name, {}))
            return [
                Observation(value, attributes_of(series, labels), _NOWHERE)
                for labels, value in values.items()
            ]

        return observe

    def _note_births(self, series: Series, values: Mapping[LabelValues, int]) -> None:
        """Sleep briefly if a label set is new: `increase()` needs a zero before it."""
        if len(values) > self._sets.get(series.name, 0):
            self._sets[series.name] = len(values)
            self._is_young = True
        if series is catalogue.ABOUT[-1] and self._is_young:
            self._is_young = False
            time.sleep(_TICK_SECONDS)

    def _sums(self) -> dict[str, Counter[LabelValues]]:
        """Add up the series about the handler itself over all queues."""
        sums: dict[str, Counter[LabelValues]] = {
            one.name: Counter() for one in catalogue.ABOUT
        }
        for source, fold in self._sources:
            if (calls := source()) is not None:
                for series, values in calls.about(fold):
                    whole = {labels: int(value) for labels, value in values.items()}
                    sums[series.name].update(whole)
        return sums


def _grows(series: Series) -> bool:
    """Return whether a series is a counter."""
    return series.kind == "counter"
