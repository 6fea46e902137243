"""Bounds the values of each label, so that no app can flood Prometheus.

https://prometheus.io/docs/practices/instrumentation/#do-not-overuse-labels
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv

if TYPE_CHECKING:
    from collections.abc import Mapping

# Values beyond the limit; error.type has a name of its own for that.
_BEYOND: Final = {semconv.ERROR_TYPE.replace(".", "_"): semconv.ERROR_TYPE_OTHER}

LabelValues = tuple[str, ...]


class LabelLimits:
    """Lets each label have so many values and no more; not safe for threads.

    Args:
        limit: Distinct values for each label.
        own: Labels with a limit of their own.
    """

    def __init__(self, limit: int, own: Mapping[str, int] | None = None) -> None:
        self._limit = limit
        self._own = own or {}
        self._seen: dict[str, set[str]] = {}
        self.overflowed: Counter[str] = Counter()

    def bound(
        self, names: tuple[str, ...], values: LabelValues, *, count: bool = True
    ) -> tuple[LabelValues, tuple[str, ...]]:
        """Return label values of which none is one too many, and count those changed.

        Args:
            names: The labels' names.
            values: Their values, in the same order; empty ones mean no label.
            count: Whether an overflow counts; not where the same is shown again.

        Returns:
            The values, and the names of the labels that had reached their limit.
        """
        bounded = []
        overflowed = []
        for name, value in zip(names, values, strict=True):
            seen = self._seen.setdefault(name, set())
            if not value or value in seen:
                bounded.append(value)
            elif len(seen) < self._own.get(name, self._limit):
                seen.add(value)
                bounded.append(value)
            else:
                bounded.append(_BEYOND.get(name, semconv.OTHER))
                overflowed.append(name)
        if count:
            self.overflowed.update(overflowed)
        return tuple(bounded), tuple(overflowed)
