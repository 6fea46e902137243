"""OpenTelemetry's instruments as the store that a fold adds to."""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context

from otel_callbacks import _semconv as semconv
from otel_callbacks.sinks import catalogue
from otel_callbacks.sinks.metric_names import ATTRIBUTES, METRICS, WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from opentelemetry.metrics import Meter
    from opentelemetry.util.types import AttributeValue

    from otel_callbacks.sinks.catalogue import Series
    from otel_callbacks.sinks.families import Trace
    from otel_callbacks.sinks.labels import LabelValues

_SECONDS: Final = 1e-9
# Whatever thread folds has a context of its own, which is no call's.
_NOWHERE: Final = Context()
_PORT: Final = catalogue.label(semconv.SERVER_PORT)


def attributes_of(series: Series, labels: LabelValues) -> dict[str, AttributeValue]:
    """Return label values as attributes; an empty one is none.

    Args:
        series: Whose labels they are.
        labels: The values, in its order.
    """
    return {
        ATTRIBUTES.get(name, name): int(value) if _is_port(name, value) else value
        for name, value in zip(series.labels, labels, strict=True)
        if value
    }


def _is_port(name: str, value: str) -> bool:
    """Say whether a value is a port; one too many for its label is ``other``."""
    return name == _PORT and value.isdecimal()


class _Contexts:
    """The contexts that exemplars are found in; one call's observations share one."""

    def __init__(self) -> None:
        self._trace: Trace | None = None
        self._context = _NOWHERE

    def of(self, trace_: Trace | None) -> Context:
        """Return a context in which a call's span is the current one."""
        if trace_ is not self._trace:
            self._trace = trace_
            self._context = _NOWHERE if trace_ is None else _context(trace_)
        return self._context


def _context(trace_: Trace) -> Context:
    """Return a context in which a sampled span is the current one."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    named = trace.SpanContext(trace_[0], trace_[1], is_remote=False, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(named), _NOWHERE)


class _Instrument:
    """The instrument of a series; another one after a fork."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.contexts = _Contexts()
        self.made: Any = None

    def use(self, meter: Meter) -> None:
        """Make the instrument."""
        name, unit = METRICS[self.series.name]
        if self.series.kind == "counter":
            self.made = meter.create_counter(name, unit, self.series.help)
        else:
            self.made = meter.create_histogram(
                name,
                unit,
                self.series.help,
                explicit_bucket_boundaries_advisory=self.series.buckets,
            )


class _State:
    """One label set of an instrument."""

    __slots__ = ("_attributes", "_instrument", "_whole")

    def __init__(self, instrument: _Instrument, labels: LabelValues) -> None:
        self._instrument = instrument
        self._attributes = attributes_of(instrument.series, labels)
        self._whole = instrument.series.name in WHOLE


class _Count(_State):
    """One label set of a counter."""

    __slots__ = ()

    def add(self, value: float | Decimal, trace_: Trace | None) -> None:
        """Add to it; money becomes a double here, as OTLP knows no other fraction."""
        one = self._instrument
        amount = value if isinstance(value, int) else float(value)
        one.made.add(amount, self._attributes, one.contexts.of(trace_))


class _Distribution(_State):
    """One label set of a histogram."""

    __slots__ = ()

    def observe(self, value: float, trace_: Trace | None) -> None:
        """Observe one value."""
        one = self._instrument
        seen = int(value) if self._whole else value
        one.made.record(seen, self._attributes, one.contexts.of(trace_))

    def observe_gaps(self, ticks: Sequence[int], trace_: Trace | None) -> None:
        """Observe the seconds between each two readings of a clock."""
        context = self._instrument.contexts.of(trace_)
        record, attributes = self._instrument.made.record, self._attributes
        for gap in map(sub, ticks[1:], ticks):
            record(gap * _SECONDS, attributes, context)


_Kept = TypeVar("_Kept", _Count, _Distribution)


class _Family(Generic[_Kept]):
    """The label sets of one instrument."""

    def __init__(self, instrument: _Instrument, state: type[_Kept]) -> None:
        self._instrument = instrument
        self._state: type[_Kept] = state
        self._states: dict[LabelValues, _Kept] = {}

    def at(self, labels: LabelValues) -> _Kept:
        """Return the state of a label set, new if need be."""
        found = self._states.get(labels)
        if found is None:
            found = self._states[labels] = self._state(self._instrument, labels)
        return found


class MeterStore:
    """Keeps series as instruments of a meter."""

    def __init__(self) -> None:
        self._instruments: list[_Instrument] = []
        # `use` comes before the first series.
        self._meter: Any = None

    def use(self, meter: Meter) -> None:
        """Make every instrument, and those to come, with this meter.

        Args:
            meter: Makes them.
        """
        self._meter = meter
        for instrument in self._instruments:
            instrument.use(meter)

    def counters(self, series: Series) -> _Family[_Count]:
        """Keep a counter.

        Args:
            series: What it is.
        """
        return _Family(self._of(series), _Count)

    amounts = counters

    def histograms(self, series: Series) -> _Family[_Distribution]:
        """Keep a histogram.

        Args:
            series: What it is.
        """
        return _Family(self._of(series), _Distribution)

    def _of(self, series: Series) -> _Instrument:
        """Return the instrument of a series."""
        instrument = _Instrument(series)
        instrument.use(self._meter)
        self._instruments.append(instrument)
        return instrument
