"""Sums that callbacks add to without ever waiting for a lock.

A callback may run in a finalizer, in a signal handler or in a forked child, on top of
code of ours that it has interrupted. So it appends, which is one step, and whoever
reads folds. Reading waits for nobody either: the folded sums and where they end in the
log are replaced in one store, and who comes while another one folds works out the same
sums for itself.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from otel_callbacks._forks import tell_after_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Entry = TypeVar("_Entry")
_Sums = TypeVar("_Sums")

FOLD_AT: Final = 256
"""Entries that wait at most, so that what nobody reads does not grow."""


class Tally(Generic[_Entry, _Sums]):
    """Sums of entries, in the order in which they were added."""

    __slots__ = ("__weakref__", "_fold", "_folded", "_lock", "_log")

    def __init__(
        self, nothing: _Sums, fold: Callable[[_Sums, Sequence[_Entry]], _Sums]
    ) -> None:
        self._fold = fold
        # Entries are wrapped, as two of them may be one object.
        self._log: deque[tuple[_Entry]] = deque()
        self._folded: tuple[_Sums, tuple[_Entry] | None] = (nothing, None)
        self._lock = threading.Lock()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self._lock = threading.Lock()

    def add(self, entry: _Entry) -> None:
        """Add an entry."""
        self._log.append((entry,))
        if len(self._log) >= FOLD_AT:
            self.read()

    def read(self) -> _Sums:
        """Return the sums of all entries that have been added."""
        lock = self._lock
        is_mine = False
        try:
            is_mine = lock.acquire(blocking=False)
            folded = log = None
            while log is None or folded is not self._folded:
                folded = self._folded
                log = self._log.copy()
            sums, last = folded
            fresh = list(log)
            # Whoever folded before may not have taken all of it off the log yet.
            for position, entry in enumerate(fresh):
                if entry is last:
                    del fresh[: position + 1]
                    break
            if fresh:
                sums = self._fold(sums, [entry for (entry,) in fresh])
            if is_mine and log:
                self._folded = sums, log[-1]
                for _ in log:
                    self._log.popleft()
            return sums
        finally:
            if is_mine:
                lock.release()
