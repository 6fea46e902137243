"""Our own troubles: logged once, counted always, raised only where asked for.

A failure of telemetry never reaches the app. It is said in one log line, with its
traceback, and counted by the place where it happened; the counts are the series
``otel_callbacks_errors_total{where}``.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Final

from otel_callbacks._forks import tell_after_fork


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


_logger: Final = logging.getLogger("otel_callbacks")

# One line for a place and a kind of error; this many kinds, so that an error whose
# class is made anew each time cannot fill the memory.
_KINDS_AT_MOST: Final = 1_000


class Health:
    """Counts what went wrong inside the telemetry itself.

    Args:
        strict: Raise instead of logging, for tests
            (``OTEL_CALLBACKS_STRICT=1``).
    """

    __slots__ = ("__weakref__", "_counts", "_lock", "_said", "strict")

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._counts: Counter[str] = Counter()
        self._said: set[tuple[str, str]] = set()
        self._lock = threading.RLock()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self._lock = threading.RLock()

    def trouble(self, where: str, error: BaseException) -> None:
        """Take an error of ours: count it, and log it the first time.

        Args:
            where: The place, the value of the label ``where``.
            error: The exception, with its traceback.

        Raises:
            BaseException: ``error`` itself, in strict mode only.
        """
        self._count(where)
        if self.strict:
            raise error
        if self._first(where, type(error).__qualname__):
            _logger.warning(
                "otel_callbacks: %s failed; the app goes on with less telemetry. "
                "Further failures of this kind are counted in "
                "otel_callbacks_errors_total{where=%r} and not logged.",
                where,
                where,
                exc_info=error,
            )

    def oddity(self, where: str, message: str, count: int = 1) -> None:
        """Take something odd that is no exception: count it, log it the first time.

        Args:
            where: The place, the value of the label ``where``.
            message: What happened and what the user can do about it.
            count: How often it happened.
        """
        self._count(where, count)
        self.say_once(where, message)

    def say_once(self, where: str, message: str) -> None:
        """Log a line the first time it is asked for, and count nothing.

        Args:
            where: What the line is about; one line for each.
            message: What happened and what the user can do about it.
        """
        if self._first(where, ""):
            _logger.warning("otel_callbacks: %s", message)

    def counts(self) -> dict[str, int]:
        """Return how often each place failed."""
        with self._lock:
            return dict(self._counts)

    def _count(self, where: str, count: int = 1) -> None:
        """Add to a count, whichever thread it happens in."""
        with self._lock:
            self._counts[where] += count

    def _first(self, where: str, kind: str) -> bool:
        """Say whether this place and kind have not been logged yet."""
        with self._lock:
            if (where, kind) in self._said or len(self._said) >= _KINDS_AT_MOST:
                return False
            self._said.add((where, kind))
            return True
