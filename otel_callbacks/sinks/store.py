"""What `Fold` adds to, so that a call is translated in one place for every way out.

Ours to be scraped (``families``), OpenTelemetry's instruments to be pushed
(``meters``), or prometheus_client's own objects for several processes
(``multiprocess``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from otel_callbacks.sinks.catalogue import Series
    from otel_callbacks.sinks.families import Trace
    from otel_callbacks.sinks.labels import LabelValues

_State_co = TypeVar("_State_co", covariant=True)


class Adds(Protocol):
    """One label set of a counter."""

    def add(self, value: float, trace: Trace | None, /) -> None:
        """Add a number of things."""


class AddsMoney(Protocol):
    """One label set of a counter of US dollars."""

    def add(self, value: Decimal, trace: Trace | None, /) -> None:
        """Add an amount."""


class Observes(Protocol):
    """One label set of a histogram."""

    def observe(self, value: float, trace: Trace | None, /) -> None:
        """Observe a value."""

    def observe_gaps(self, ticks: Sequence[int], trace: Trace | None, /) -> None:
        """Observe the seconds between readings of a clock in nanoseconds."""


class Family(Protocol[_State_co]):
    """The label sets of one series."""

    def at(self, labels: LabelValues, /) -> _State_co:
        """Return the state of a label set, the same one each time."""


class Store(Protocol):
    """Keeps series, one family for each."""

    def counters(self, series: Series, /) -> Family[Adds]:
        """Keep a counter."""

    def amounts(self, series: Series, /) -> Family[AddsMoney]:
        """Keep a counter of US dollars."""

    def histograms(self, series: Series, /) -> Family[Observes]:
        """Keep a histogram."""


class Silent:
    """A store that shows the conventions' series alone.

    Args:
        store: Keeps those.
        nowhere: Keeps ours, and nobody looks at it.
    """

    def __init__(self, store: Store, nowhere: Store) -> None:
        self._store = store
        self._nowhere = nowhere

    def counters(self, series: Series) -> Family[Adds]:
        """Keep a counter."""
        return self._of(series).counters(series)

    def amounts(self, series: Series) -> Family[AddsMoney]:
        """Keep a counter of US dollars."""
        return self._of(series).amounts(series)

    def histograms(self, series: Series) -> Family[Observes]:
        """Keep a histogram."""
        return self._of(series).histograms(series)

    def _of(self, series: Series) -> Store:
        """Return who keeps a series."""
        return self._nowhere if series.is_ours else self._store
