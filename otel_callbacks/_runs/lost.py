"""Runs whose end LangChain never reports: how they are found, and what they leave.

A cancelled ``ainvoke`` or async tool and a stream that nobody reads on call no
callback. The signs: the run's id is gone, the task it started in was cancelled, its
ancestor has ended, its time is up, the table is full. Whichever comes first ends the
run, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, Protocol

from otel_callbacks._records import ABANDONED, CANCELLED, Outcome
from otel_callbacks._runs.run import Run, RunRef, TaskWatches

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERVAL_AT_LEAST: Final = 0.05
_INTERVAL_AT_MOST: Final = 5.0
_PATIENCE: Final = 5.0


class Reaper:
    """Takes dead runs from a queue and looks for expired ones in between.

    Args:
        reap: Ends one run; a bound method, kept weakly.
        expire: Ends the expired ones; a bound method, kept weakly.
        interval: Seconds between two looks at the clock.
    """

    def __init__(
        self,
        reap: Callable[[Run], None],
        expire: Callable[[], None],
        *,
        interval: float,
    ) -> None:
        self._reap: Any = weakref.WeakMethod(reap)
        self._expire: Any = weakref.WeakMethod(expire)
        self._interval = min(max(interval, _INTERVAL_AT_LEAST), _INTERVAL_AT_MOST)
        self._lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self._queue: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self.put = self._queue.put

    def drain(self) -> None:
        """End what is on the queue now, in the caller's thread."""
        while True:
            try:
                run = self._queue.get_nowait()
            except queue.Empty:
                return
            if run is not None:
                self._end(run)

    def stop(self) -> None:
        """End what is on the queue and let the thread end; it may start again."""
        self.drain()
        with self._lock:
            thread, self.thread = self.thread, None
        if thread is not None:
            self._queue.put(None)
            if thread is not threading.current_thread():
                # It may be in the middle of ending a run.
                thread.join(_PATIENCE)

    def restart_after_fork(self) -> None:
        """Begin with nothing: threads and queued runs stayed in the other process."""
        self._lock = threading.Lock()
        self.thread = None
        self._queue = queue.SimpleQueue()
        self.put = self._queue.put

    def start(self) -> None:
        """Start the thread unless it runs, which ``thread`` says for nothing."""
        with self._lock:
            if self.thread is not None:
                return
            thread = threading.Thread(
                target=_watch,
                args=(weakref.ref(self), self._queue, self._interval),
                name="otel-callbacks-reaper",
                daemon=True,
            )
            self.thread = thread
            try:
                thread.start()
            except RuntimeError:
                # No threads left, or the interpreter is ending: scrapes and `close`
                # end lost runs, too, and the next run tries again.
                self.thread = None

    def _end(self, run: Run) -> None:
        """End one run, if its table is still there."""
        reap = self._reap()
        if reap is not None:
            reap(run)

    def tick(self, run: Run | None) -> None:
        """Do one turn of the thread: the run that came, or a look at the clock."""
        if run is not None:
            self._end(run)
            return
        expire = self._expire()
        if expire is not None:
            expire()

    def is_current(self, thread: threading.Thread) -> bool:
        """Say whether this thread is still the one that should run."""
        return self.thread is thread


def _watch(
    reaper_ref: weakref.ref[Reaper],
    runs: queue.SimpleQueue[Run | None],
    interval: float,
) -> None:
    """Run the thread until its reaper is gone or has been stopped."""
    while True:
        run: Run | None = None
        with contextlib.suppress(queue.Empty):
            run = runs.get(timeout=interval)
        reaper = reaper_ref()
        if reaper is None or not reaper.is_current(threading.current_thread()):
            return
        reaper.tick(run)
        del reaper, run


# Why a run was lost, the label ``reason``.
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

# Lost runs that are remembered, so that tokens that come late are still counted.
_REMEMBERED: Final = 1_000


class OpenRuns(Protocol):
    """The table, as far as it is needed here."""

    def end_lost(self, run: Run, outcome: Outcome) -> bool:
        """End a run unless it has ended; say whether it was open."""

    def open_runs(self) -> list[Run]:
        """Return the open runs, oldest first."""


class LostRuns:
    """Finds the lost runs of one table and has them ended.

    Args:
        table: The table.
        time_limit: Seconds without a sign of life after which a run is lost.
    """

    def __init__(self, table: OpenRuns, *, time_limit: float) -> None:
        self._table = table
        self._time_limit_ns = int(time_limit * 1e9)
        self._remembered: OrderedDict[int, Run] = OrderedDict()
        self._tasks = TaskWatches(self._task_cancelled)
        self._reaper = Reaper(self._reap, self._expire, interval=time_limit / 4)
        self._on_forgotten = self._forgotten
        self.counts = dict.fromkeys(REASONS, 0)

    def watch(self, run: Run, run_id: object) -> None:
        """Look out for the signs that a run is lost.

        Args:
            run: The run that starts.
            run_id: Its id, of which only a weak reference is kept where there can be
                one; text and numbers cannot say that they are forgotten.
        """
        try:
            run.ref = ref = RunRef(run_id, self._on_forgotten)
        except TypeError:
            # Kept, so that no other id can have its address, which may be its key.
            run.ref = run_id
        else:
            ref.run = run
        # Exported by asyncio, and a fifth of the cost of catching current_task()'s
        # error in sync code.
        if asyncio._get_running_loop() is not None:  # noqa: SLF001
            run.watch = self._tasks.watch(run)
        if self._reaper.thread is None:
            self._reaper.start()

    def lose(self, run: Run, reason: str, outcome: Outcome) -> None:
        """End a run whose end nobody reported.

        Args:
            run: The run.
            reason: How that was found out, one of ``REASONS``.
            outcome: ``cancelled`` or ``abandoned``.
        """
        if not run.lost:
            run.lost = reason
            run.tick = time.perf_counter_ns()
        # Remembered first: its end may be reported by another thread at this moment.
        run.outcome = outcome
        self._remembered[run.key] = run
        if not self._table.end_lost(run, outcome):
            self._remembered.pop(run.key, None)
            return
        self.counts[reason] += 1
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)

    def end_descendants(
        self, run: Run, outcome: Outcome, reason: str = PARENT_ENDED
    ) -> None:
        """End what is open below a run, deepest first, but what still works.

        Args:
            run: A run that has ended or is about to.
            outcome: How its descendants are said to have ended.
            reason: Why they are lost.
        """
        for child in list((run.children or {}).values()):
            if reason == PARENT_ENDED and _still_works(child, run):
                continue
            self.end_descendants(child, outcome, reason)
            self.lose(child, reason, outcome)

    def recall(self, key: int) -> Run | None:
        """Return a run that was lost, if it is still remembered.

        Args:
            key: The run's key.
        """
        return self._remembered.get(key)

    def settle(self) -> None:
        """End now the runs that are known to be lost."""
        self._reaper.drain()

    def close(self) -> None:
        """End every open run and stop the thread."""
        self._reaper.drain()
        for run in self._table.open_runs():
            outcome: Outcome = CANCELLED if _was_cancelled(run) else ABANDONED
            # Children first, so that a parent's span ends after theirs.
            self.end_descendants(run, outcome, CLOSED)
            self.lose(run, CLOSED, outcome)
        self._reaper.stop()

    def after_fork(self) -> None:
        """Forget the parent process's runs, tasks and thread."""
        self._remembered.clear()
        self._tasks = TaskWatches(self._task_cancelled)
        self._reaper.restart_after_fork()

    def _forgotten(self, ref: Any) -> None:
        """Mark a run dead whose id is gone."""
        run: Run = ref.run
        if run.ref is ref:
            self._mark(run, FORGOTTEN)

    def _task_cancelled(self, runs: list[Run]) -> None:
        """Mark the runs of a cancelled task dead."""
        for run in runs:
            self._mark(run, TASK_CANCELLED)

    def _mark(self, run: Run, reason: str) -> None:
        """Let a run's stand-in step aside at once, and leave the rest to the thread.

        Called from finalizers, so it takes no lock: some stores and a put.
        """
        if not run.lost:
            run.lost = reason
            run.tick = time.perf_counter_ns()
            run.open = False
            self._reaper.put(run)

    def _reap(self, run: Run) -> None:
        """End a run that was marked dead."""
        # Whoever starts a run in a task and forgets it without a word has been
        # cancelled: all other ways out of async code report an error.
        in_task = run.lost == TASK_CANCELLED or run.watch is not None
        self.lose(run, run.lost, CANCELLED if in_task else ABANDONED)

    def _expire(self) -> None:
        """End the runs without a sign of life, in them or below them, for too long."""
        limit = time.perf_counter_ns() - self._time_limit_ns
        # Younger ones first: life in a child is life in its parents.
        for run in reversed(self._table.open_runs()):
            life = run.sign_of_life()
            if life < limit:
                self.lose(run, TIME_LIMIT, ABANDONED)
            elif run.parent is not None:
                run.parent.tick = max(run.parent.tick, life)


def _was_cancelled(run: Run) -> bool:
    """Say whether a run's task was cancelled, though its callbacks wait to be run."""
    task = run.watch.task() if run.watch is not None else None
    return task is not None and task.cancelled()


def _still_works(child: Run, parent: Run) -> bool:
    """Say whether a child goes on in a task of its own that is not done.

    A task that a chain's step has started may well outlive the chain.
    """
    watch = child.watch
    return watch is not None and watch is not parent.watch and watch.is_running()
