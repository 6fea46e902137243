"""Finished calls on their way into the series, and who they come from.

A finished call costs one append. Calls are folded when somebody asks for the series,
or when a thousand have come together.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from otel_callbacks._diagnostics import Counts
from otel_callbacks._forks import tell_after_fork
from otel_callbacks._metrics import series as catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_callbacks._diagnostics import Health
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
    """The finished calls of all tables of one registry, and the folds they go into."""

    def __init__(self, health: Health, *, fold_at: int = FOLD_AT) -> None:
        self.health = health
        self.budget_exceeded = Counts()
        self.folds: list[Fold] = []
        self.is_shared = False
        # Whoever reads a fold holds it.
        self.lock = threading.Lock()
        self._fold_at = fold_at
        self._calls: deque[Call] = deque()
        self._tables: list[RunTable] = []
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock, and leave the parent's calls to the parent."""
        self.lock = threading.Lock()
        self._calls.clear()

    def add_table(self, table: RunTable) -> None:
        """Show a table's runs, too."""
        self._tables.append(table)
        self.is_shared = len(self._tables) > 1

    def is_counted_by_another(self, run: StandIn) -> bool:
        """Say whether a run that starts has started in another table already."""
        return sum(run.key in table for table in self._tables) > 1

    def append(self, call: Call) -> None:
        """Take a finished call."""
        self._calls.append(call)
        # Never waits: whoever holds the lock is folding, or will be asked again.
        if len(self._calls) >= self._fold_at and self.lock.acquire(blocking=False):
            try:
                self._fold_all()
            finally:
                self.lock.release()

    def fold(self) -> None:
        """Fold what has come, and wait for whoever is folding."""
        with self.lock:
            self._fold_all()

    def settle(self) -> None:
        """End what is lost and fold what has come: now the series are up to date."""
        for table in self._tables:
            table.settle()
        self.fold()

    def about(self, fold: Fold) -> Iterator[Values]:
        """Return the series about the handler itself, with their values."""
        yield catalogue.IN_FLIGHT, self._in_flight(fold)
        yield from self.counted(fold)
        yield catalogue.OPEN_RUNS, {_NO_LABELS: sum(map(len, self._tables))}

    def counted(self, fold: Fold) -> Iterator[Values]:
        """Return those of them that only grow."""
        lost: Counter[LabelValues] = Counter()
        for table in self._tables:
            lost.update({(reason,): n for reason, n in table.lost_counts().items()})
        errors: dict[LabelValues, float]
        errors = {(where,): n for where, n in self.health.counts().items()}
        overflowed: dict[LabelValues, float]
        overflowed = {(name,): n for name, n in fold.limits.overflowed.items()}
        yield catalogue.RUNS_LOST, lost
        yield catalogue.ERRORS, errors
        yield catalogue.USAGE_MISSING, {_NO_LABELS: fold.usage_missing}
        yield catalogue.LABELS_OVERFLOWED, overflowed
        yield catalogue.BUDGET_EXCEEDED, self.budget_exceeded.read()

    def _fold_all(self) -> None:
        """Fold what has come, under the lock."""
        calls = self._calls
        while calls:
            call = calls.popleft()
            for fold in self.folds:
                try:
                    fold.add(call)
                except Exception as error:  # noqa: BLE001 -- the others must be shown
                    self.health.trouble("fold", error)

    def _in_flight(self, fold: Fold) -> Counter[LabelValues]:
        """Count the open operations of each model."""
        requests = (
            run.request for table in self._tables for run in table if run.counted
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
