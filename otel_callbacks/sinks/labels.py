"""Bounds the values of each label, so that no app can flood Prometheus.

https://prometheus.io/docs/practices/instrumentation/#do-not-overuse-labels
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from otel_callbacks import semconv

# Values beyond the limit; error.type has a name of its own for that.
_BEYOND: Final = {semconv.ERROR_TYPE.replace(".", "_"): semconv.ERROR_TYPE_OTHER}
# Raw label sets whose bounded form is kept; they are dropped and found again.
_KEPT_AT_MOST: Final = 10_000

LabelValues = tuple[str, ...]


class LabelLimits:
    """Lets each label have so many values and no more; not safe for threads.

    Args:
        limit: Distinct values for each label.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[str, set[str]] = {}
        self._bounded: dict[
            tuple[tuple[str, ...], LabelValues], tuple[LabelValues, tuple[str, ...]]
        ] = {}
        self.overflowed: Counter[str] = Counter()

    def bound(self, names: tuple[str, ...], values: LabelValues) -> LabelValues:
        """Return label values of which none is one too many, and count those changed.

        Args:
            names: The labels' names.
            values: Their values, in the same order; empty ones mean no label.
        """
        found = self._bounded.get((names, values))
        if found is None:
            if len(self._bounded) >= _KEPT_AT_MOST:
                self._bounded.clear()
            found = self._bounded[names, values] = self._bound(names, values)
        bounded, overflowed = found
        if overflowed:
            self.overflowed.update(overflowed)
        return bounded

    def _bound(
        self, names: tuple[str, ...], values: LabelValues
    ) -> tuple[LabelValues, tuple[str, ...]]:
        """Bound a label set that is new here."""
        bounded = []
        overflowed = []
        for name, value in zip(names, values, strict=True):
            seen = self._seen.setdefault(name, set())
            if not value or value in seen:
                bounded.append(value)
            elif len(seen) < self._limit:
                seen.add(value)
                bounded.append(value)
            else:
                bounded.append(_BEYOND.get(name, semconv.OTHER))
                overflowed.append(name)
        return tuple(bounded), tuple(overflowed)
