"""The queue of finished calls, folded into the series of one registry.

A finished call costs one append. Calls are folded at a scrape or a push, or by the
background thread after a thousand calls: a call may end on top of code that holds the
locks of OpenTelemetry's or prometheus_client's objects.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import Counter, deque
from itertools import compress
from typing import TYPE_CHECKING, Final

from otel_callbacks._background import background, call_after_fork
from otel_callbacks._diagnostics import Counts
from otel_callbacks._metrics import series as catalogue
from otel_callbacks._runs.lost import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._metrics.fold import Call, Fold
    from otel_callbacks._metrics.series import Series
    from otel_callbacks._metrics.store import LabelValues
    from otel_callbacks._runs.table import RunTable
    from otel_callbacks._spans.current import StandIn

    Values = tuple[Series, Mapping[LabelValues, float]]
    """A series with a value for each of its label sets."""


FOLD_AT: Final = 1_000
_NO_LABELS: Final = ()


class CallQueue:
    """The finished calls of all tables of one registry, and their folds."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self.diagnostics = diagnostics
        self.budget_exceeded = Counts()
        self.lost = Counts()
        self.folds: list[Fold] = []
        # Called after each fold, to update stores outside this process.
        self.writers: list[Callable[[], None]] = []
        # Held while a fold is read or changed; callbacks never take it.
        self._lock = threading.RLock()
        self._is_held = False
        # Whether work was left to the code that holds the lock.
        self._is_left = False
        self._calls: deque[Call] = deque()
        # By id; removed with their provider.
        self._tables: dict[int, weakref.ref[RunTable]] = {}
        # By id; each is kept by its meter provider, and removed with it.
        self._pushed: dict[int, weakref.ref[Fold]] = {}
        # By key: for runs that are in several tables, the run that is counted.
        self.counted_runs: dict[int, object] = {}
        self._self = weakref.ref(self)
        call_after_fork(self)

    def after_fork(self) -> None:
        """Renew the lock, and drop the calls of the parent process."""
        self._lock = threading.RLock()
        self._is_held = False
        self._calls.clear()
        self.counted_runs.clear()

    @property
    def is_shared(self) -> bool:
        """Whether several tables may have the same run."""
        return len(self._tables) > 1

    def add_table(self, table: RunTable) -> None:
        """Include a table's runs, as long as the table exists."""
        key = id(table)
        tables = self._tables
        tables[key] = weakref.ref(table, lambda _: tables.pop(key, None))

    def push(self, fold: Fold) -> None:
        """Fold the calls for a meter provider too, as long as the fold exists."""
        key = id(fold)
        pushed = self._pushed
        pushed[key] = weakref.ref(fold, lambda _: pushed.pop(key, None))

    def is_counted_by_another(self, run: StandIn) -> bool:
        """Return whether a starting run is already counted by another table."""
        return self.counted_runs.setdefault(run.key, run) is not run

    def forget(self, run: StandIn) -> None:
        """Record that a run has ended, if it is the one that is counted."""
        if self.counted_runs.get(run.key) is run:
            self.counted_runs.pop(run.key, None)

    def append(self, call: Call, once: Iterable[bool]) -> None:
        """Queue a finished call, at most once."""
        # In one C call, because an interrupted end is repeated.
        self._calls.extend(compress((call,), once))
        if len(self._calls) % FOLD_AT == 0:
            self.write_soon()

    def write_soon(self) -> None:
        """Let the background thread fold the calls and update other stores."""
        background.put(self._self, None)

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock; yield whether this thread did not hold it yet.

        It does if a signal handler flushes, closes or scrapes in the middle of a
        scrape. What that leaves undone follows.
        """
        with self._lock:
            is_first = not self._is_held
            try:
                self._is_held = True
                yield is_first
            finally:
                if is_first:
                    self._is_held = False
        if is_first and self._is_left:
            self.write_soon()

    def work(self, _: object) -> None:
        """Update the series, or leave that to the thread that holds the lock."""
        self._is_left = True
        if not self._is_held:
            self._update()

    def settle(self) -> None:
        """End lost runs and fold all queued calls: then the series are up to date."""
        background.drain()
        self._update()

    def _update(self) -> None:
        """Fold all queued calls, and update other stores."""
        with self.locked() as is_first:
            if is_first:
                self._is_left = False
                self._fold_all()
                for write in self.writers:
                    write()

    def about(self, fold: Fold) -> Iterator[Values]:
        """Return the series about the handler itself, with their values."""
        yield catalogue.IN_FLIGHT, self._in_flight(fold)
        yield from self.counted(fold)
        yield catalogue.OPEN_RUNS, {_NO_LABELS: sum(map(len, self._open_tables()))}

    def counted(self, fold: Fold) -> Iterator[Values]:
        """Return the counters among these series."""
        errors: dict[LabelValues, float]
        errors = {(where,): n for where, n in self.diagnostics.counts().items()}
        overflowed: dict[LabelValues, float]
        overflowed = {(name,): n for name, n in fold.limits.overflowed.items()}
        yield catalogue.RUNS_LOST, {(one,): 0.0 for one in REASONS} | self.lost.read()
        yield catalogue.ERRORS, errors
        yield catalogue.USAGE_MISSING, {_NO_LABELS: fold.usage_missing}
        yield catalogue.LABELS_OVERFLOWED, overflowed
        yield catalogue.BUDGET_EXCEEDED, self.budget_exceeded.read()

    def _fold_all(self) -> None:
        """Fold all queued calls, under the lock."""
        calls = self._calls
        pushed = [fold_ref() for fold_ref in list(self._pushed.values())]
        folds = [*self.folds, *(fold for fold in pushed if fold is not None)]
        while calls:
            call = calls.popleft()
            for fold in folds:
                try:
                    fold.add(call)
                except Exception as error:  # noqa: BLE001 -- the others must be shown
                    self.diagnostics.trouble("fold", error)

    def _open_tables(self) -> list[RunTable]:
        """Return the tables that still exist."""
        tables = [table_ref() for table_ref in list(self._tables.values())]
        return [table for table in tables if table is not None]

    def _in_flight(self, fold: Fold) -> Counter[LabelValues]:
        """Count the open operations of each model."""
        requests = (
            run.request for table in self._open_tables() for run in table if run.counted
        )
        raw = Counter(
            (request.operation, request.provider, request.model)
            for request in requests
            if request.operation
        )
        names = catalogue.IN_FLIGHT.labels
        bounded: Counter[LabelValues] = Counter(fold.seen_in_flight)
        for labels, count in raw.items():
            at = fold.limits.bound(names, labels, count=False)[0]
            if at not in bounded and len(bounded) >= fold.limits.series_limit:
                at = fold.limits.beyond(catalogue.IN_FLIGHT, at)
            bounded[at] += count
            fold.seen_in_flight[at] = 0
        return bounded
