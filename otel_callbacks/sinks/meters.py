"""The series as OpenTelemetry's metrics, for a meter provider to push.

The same calls go into the same label sets as in a scrape; only the names have dots
and an empty label is no attribute (``metric_names``). Calls are added in bulk: when
the SDK asks the first observable instrument, just before it collects, or when a
thousand have come together.
"""

from __future__ import annotations

import weakref
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from opentelemetry.metrics import Observation

from otel_callbacks.sinks import catalogue
from otel_callbacks.sinks.families import OwnStore
from otel_callbacks.sinks.fold import Fold
from otel_callbacks.sinks.instruments import MeterStore, attributes_of
from otel_callbacks.sinks.metric_names import METRICS
from otel_callbacks.sinks.store import Silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import CallbackOptions, MeterProvider

    from otel_callbacks.sinks.calls import CallQueue
    from otel_callbacks.sinks.catalogue import Series
    from otel_callbacks.sinks.labels import LabelLimits, LabelValues

_SCOPE: Final = "otel_callbacks"
_ABOUT: Final = (
    catalogue.IN_FLIGHT,
    catalogue.OPEN_RUNS,
    catalogue.RUNS_LOST,
    catalogue.ERRORS,
    catalogue.USAGE_MISSING,
    catalogue.LABELS_OVERFLOWED,
    catalogue.BUDGET_EXCEEDED,
)


class Meters:
    """The series of one meter provider.

    Args:
        provider: Makes the instruments.
        extensions: Whether the series that the conventions lack are made.
    """

    def __init__(self, provider: MeterProvider, *, extensions: bool) -> None:
        self._extensions = extensions
        self._store = MeterStore()
        self._sources: list[tuple[weakref.ref[CallQueue], Fold]] = []
        # Numbers that are another process's: that of which this one was forked.
        self._before: dict[str, Counter[LabelValues]] = {}
        self._now: dict[str, Counter[LabelValues]] = {}
        self._seen: set[LabelValues] = set()
        self._meter(provider)

    def attach(
        self, calls: CallQueue, limits: LabelLimits, names: tuple[str, ...] = ()
    ) -> None:
        """Take the calls of a queue, too.

        Args:
            calls: The finished calls.
            limits: Bounds the label values.
            names: The labels of the series of spend that the app has chosen.
        """
        store = self._store
        kept = store if self._extensions else Silent(store, OwnStore())
        fold = Fold(kept, limits, names)
        self._sources.append((weakref.ref(calls), fold))
        calls.folds.append(fold)

    def start_anew(self, provider: MeterProvider) -> None:
        """Begin at nothing with another provider, in a forked child.

        Args:
            provider: Makes the instruments.
        """
        sums = self._sums()
        self._before = {one.name: sums[one.name] for one in _ABOUT if _grows(one)}
        self._seen.clear()
        self._meter(provider)

    def _meter(self, provider: MeterProvider) -> None:
        """Make all instruments."""
        meter = metrics.get_meter(_SCOPE, version("otel-callbacks"), provider)
        # First of all: the SDK asks in the order in which they were made.
        for series in _ABOUT:
            name, unit = METRICS[series.name]
            make: Any = (
                meter.create_observable_counter
                if _grows(series)
                else meter.create_observable_up_down_counter
            )
            make(name, [self._observer(series)], unit, series.help)
        self._store.use(meter)

    def _observer(
        self, series: Series
    ) -> Callable[[CallbackOptions], list[Observation]]:
        """Return what the SDK asks for a series about the handler itself."""

        def observe(_: CallbackOptions) -> list[Observation]:
            if series is catalogue.IN_FLIGHT:
                self._settle()
                self._now = self._sums()
            if not self._extensions:
                return []
            values = self._now[series.name]
            if series is catalogue.IN_FLIGHT:
                # Said to be none: what is not sent any more is taken to be as before.
                self._seen.update(values)
                values.update(dict.fromkeys(self._seen, 0))
            values.subtract(self._before.get(series.name, {}))
            return [
                Observation(value, attributes_of(series, labels))
                for labels, value in values.items()
            ]

        return observe

    def _settle(self) -> None:
        """Bring the calls of all queues into the instruments."""
        for source, _ in self._sources:
            if (calls := source()) is not None:
                calls.settle()

    def _sums(self) -> dict[str, Counter[LabelValues]]:
        """Add up the series about the handler itself over all queues."""
        sums: dict[str, Counter[LabelValues]] = {one.name: Counter() for one in _ABOUT}
        for source, fold in self._sources:
            if (calls := source()) is not None:
                for series, values in calls.about(fold):
                    whole = {labels: int(value) for labels, value in values.items()}
                    sums[series.name].update(whole)
        return sums


def _grows(series: Series) -> bool:
    """Say whether a series is a counter."""
    return series.kind == "counter"
