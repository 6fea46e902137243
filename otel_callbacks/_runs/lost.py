"""Find and end the runs whose end LangChain never reports.

A cancelled ``ainvoke`` or async tool, and a stream that is not read to its end, call no
callback. The signs of a lost run: its id was collected, its task was cancelled, its
ancestor has ended, its time limit has passed, or the table is full. The first sign ends
the run, once.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_callbacks._background import background
from otel_callbacks._diagnostics import Counts
from otel_callbacks._records import ABANDONED, CANCELLED, Outcome
from otel_callbacks._runs.run import Run, RunRef, TaskWatches

if TYPE_CHECKING:
    from otel_callbacks._background import Background

# Values of the label ``reason``.
FORGOTTEN: Final = "forgotten"
TASK_CANCELLED: Final = "task_cancelled"
PARENT_ENDED: Final = "parent_ended"
TIME_LIMIT: Final = "time_limit"
SIZE_LIMIT: Final = "size_limit"
REPLACED: Final = "replaced"
CLOSED: Final = "closed"
REASONS: Final = (
    FORGOTTEN,
    TASK_CANCELLED,
    PARENT_ENDED,
    TIME_LIMIT,
    SIZE_LIMIT,
    REPLACED,
    CLOSED,
)

# Lost runs remembered after their id was collected, or if it has no weak reference.
_REMEMBERED: Final = 1_000
# A start or an end that takes longer was interrupted before it could be marked so.
_INTERRUPTED_NS: Final = 5_000_000_000


class OpenRuns(Protocol):
    """The methods of the table that are used here."""

    def end_lost(self, run: Run, outcome: Outcome) -> bool:
        """End a run unless it has ended; return whether it was open."""

    def open_runs(self) -> list[Run]:
        """Return the open runs, oldest first."""

    def unfinished(self, long_ago: int) -> list[Run]:
        """Return the runs whose end was started and interrupted."""

    def complete(self, run: Run) -> None:
        """Finish an end that was interrupted."""


class LostRuns:
    """Finds the lost runs of one table and ends them."""

    def __init__(
        self,
        table: OpenRuns,
        *,
        time_limit: float,
        counts: Counts | None = None,
        thread: Background = background,
    ) -> None:
        self._table = table
        self._time_limit_ns = int(time_limit * 1e9)
        # By key, while the id lives: the end may still be reported.
        self._remembered: dict[int, Run] = {}
        self._recent: OrderedDict[int, Run] = OrderedDict()
        self._tasks = TaskWatches(self._task_cancelled)
        self._thread = thread
        self._self = weakref.ref(self)
        self._on_forgotten = self._forgotten
        self._counts = Counts() if counts is None else counts
        self.interval = time_limit / 4
        self.is_watched = False

    def watch(self, run: Run, run_id: object) -> None:
        """Watch a run for signs that it is lost."""
        try:
            ref = RunRef(run_id, self._on_forgotten)
        except TypeError:
            # Kept so that no other object gets its address, which may be the key.
            run.ref = run_id
        else:
            # Complete before it is stored, because its callback may run from then on.
            ref.run = run
            run.ref = ref
        # Exported by asyncio, and five times cheaper than catching current_task()'s
        # error in sync code.
        if asyncio._get_running_loop() is not None:  # noqa: SLF001
            run.watch = self._tasks.watch(run)
        if not self.is_watched:
            self._thread.add(self)

    def lose(self, run: Run, reason: str, outcome: Outcome) -> None:
        """End a run whose end was not reported."""
        if not run.lost:
            run.lost = reason
            run.tick = time.perf_counter_ns()
        is_alive = isinstance(run.ref, RunRef) and run.ref() is not None
        remembered = self._remembered if is_alive else self._recent
        is_known = remembered.get(run.key) is run  # lost before, by another thread
        if not is_known:
            # Before the end, because another thread may report it at this moment.
            run.outcome = outcome
            remembered[run.key] = run
        if not self._table.end_lost(run, outcome):
            if not is_known:
                remembered.pop(run.key, None)
            return
        self._counts.add(reason)
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)

    def end_descendants(
        self, run: Run, outcome: Outcome, reason: str = PARENT_ENDED
    ) -> None:
        """End the open runs below a run, deepest first, except those still running."""
        for child in list((run.children or {}).values()):
            if reason == PARENT_ENDED and _still_works(child, run):
                continue
            self.end_descendants(child, outcome, reason)
            self.lose(child, reason, outcome)

    def recall(self, key: int) -> Run | None:
        """Return a lost run, if it is still remembered."""
        return self._remembered.get(key) or self._recent.get(key)

    def later(self, run: Run) -> None:
        """Let the background thread finish an end."""
        self._thread.put(self._self, run)

    def withdraw(self, run: Run) -> None:
        """Let the thread end a run whose start was interrupted, without counting it."""
        run.counted = run.open = False
        run.lost = FORGOTTEN
        self.later(run)

    def work(self, run: Run) -> None:
        """End a run that is marked as lost, or finish an interrupted end."""
        if run.is_interrupted:
            self._table.complete(run)
        else:
            # A task that starts a run and reports no end of it has been
            # cancelled: every other end of async code reports an error.
            self.lose(run, run.lost, ABANDONED if run.watch is None else CANCELLED)

    def look(self) -> None:
        """Finish interrupted ends, and end the runs past their time limit."""
        long_ago = time.perf_counter_ns() - _INTERRUPTED_NS
        for run in self._table.unfinished(long_ago):
            self._table.complete(run)
        for run in self._table.open_runs():
            if run.lost and run.start_tick < long_ago:
                run.is_started = True
                self.work(run)
        self._expire()

    def close(self) -> None:
        """End all open runs, and release the thread."""
        self._thread.drain()
        for run in self._table.unfinished(time.perf_counter_ns() - _INTERRUPTED_NS):
            self._table.complete(run)
        for run in self._table.open_runs():
            run.is_started = True
        for run in self._table.open_runs():
            outcome: Outcome = CANCELLED if _was_cancelled(run) else ABANDONED
            # Children first, so that a parent's span ends after theirs.
            self.end_descendants(run, outcome, CLOSED)
            self.lose(run, CLOSED, outcome)
        self._thread.remove(self)
        self._thread.drain()

    def after_fork(self) -> None:
        """Drop the runs, tasks and thread of the parent process."""
        self._remembered.clear()
        self._recent.clear()
        self._tasks = TaskWatches(self._task_cancelled)
        self.is_watched = False

    def _forgotten(self, ref: Any) -> None:
        """Mark a run as lost when its id is collected."""
        run: Run = ref.run
        if run.ref is ref and self._remembered.pop(run.key, None) is None:
            self._mark(run, FORGOTTEN)

    def _task_cancelled(self, runs: list[Run]) -> None:
        """Mark the runs of a cancelled task as lost."""
        for run in runs:
            self._mark(run, TASK_CANCELLED)

    def _mark(self, run: Run, reason: str) -> None:
        """Release a lost run's stand-in at once, and leave the rest to the thread.

        Called from finalizers, so it takes no lock: some stores and a put.
        """
        if not run.lost:
            run.lost = reason
            run.tick = time.perf_counter_ns()
            run.open = False
            self.later(run)

    def _expire(self) -> None:
        """End the runs without an event, in them or below them, for too long."""
        limit = time.perf_counter_ns() - self._time_limit_ns
        # Younger runs first: an event in a child counts for its parents.
        for run in reversed(self._table.open_runs()):
            life = run.sign_of_life()
            if life < limit:
                self.lose(run, TIME_LIMIT, ABANDONED)
            elif run.parent_run is not None:
                run.parent_run.tick = max(run.parent_run.tick, life)


def _was_cancelled(run: Run) -> bool:
    """Return whether a run's task was cancelled, even before its done callbacks run."""
    task = run.watch.task() if run.watch is not None else None
    return task is not None and task.cancelled()


def _still_works(child: Run, parent: Run) -> bool:
    """Return whether a child runs in a task of its own that is not done.

    A task that was started in a chain may outlive the chain.
    """
    watch = child.watch
    return watch is not None and watch is not parent.watch and watch.is_running()
