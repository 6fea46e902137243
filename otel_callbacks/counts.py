"""Counts that are added to in any thread and read when somebody asks."""

from __future__ import annotations

import threading
from collections import Counter

from otel_callbacks.forks import tell_after_fork


class Counts:
    """A number for each set of label values."""

    __slots__ = ("__weakref__", "_counts", "_lock")

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._lock = threading.Lock()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self._lock = threading.Lock()

    def add(self, *labels: str) -> None:
        """Count one.

        Args:
            labels: The label values, in the series' order.
        """
        with self._lock:
            self._counts[labels] += 1

    def read(self) -> dict[tuple[str, ...], float]:
        """Return the number of each set of label values."""
        with self._lock:
            return dict(self._counts)
