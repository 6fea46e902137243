"""The table of open runs: parents, chunks, ends, and the runs that are lost.

LangChain does not report the end of every run: a cancelled ``ainvoke`` or async tool
and a stream that nobody reads on call no callback. So the table keeps no reference
to a run's id but a weak one, watches the task the run started in, ends open
descendants with their ancestor, and has limits of time and number. Whichever comes
first ends the run, once.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.echoes import Echoes

from otel_callbacks.forks import tell_after_fork
from otel_callbacks.operations import (
    ABANDONED,
    CANCELLED,
    End,
    Failure,
    Outcome,
    Request,
    Response,
    Sink,
)
from otel_callbacks.reaper import Reaper
from otel_callbacks.run import Run, RunRef
from otel_callbacks.tasks import TaskWatches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from otel_callbacks.health import Health

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

_FAILURES: Final[dict[Outcome, Failure]] = {
    outcome: Failure(outcome, outcome, outcome) for outcome in (CANCELLED, ABANDONED)
}


class RunTable:
    """The open runs of all handlers that share their providers and registry.

    Args:
        sinks: Who is told of starts and ends.
        health: Who is told of troubles.
        factory: Makes a run's record.
        time_limit: Seconds without a sign of life after which a run is lost.
        size_limit: Open runs beyond which the oldest is lost.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        health: Health,
        *,
        factory: Callable[[int, Request, Run | None], Run] = Run,
        time_limit: float = 3600.0,
        size_limit: int = 20_000,
    ) -> None:
        self._sinks = tuple(sinks)
        self._health = health
        self._factory = factory
        self._time_limit_ns = int(time_limit * 1e9)
        self._size_limit = size_limit
        self._open: dict[int, Run] = {}
        self._lost: OrderedDict[int, Run] = OrderedDict()
        self._echoes = Echoes()
        self._tasks = TaskWatches(self._task_cancelled)
        self._reaper = Reaper(self._reap, self._expire, interval=time_limit / 4)
        self.lost_counts = dict.fromkeys(REASONS, 0)
        tell_after_fork(self)

    # -- the path of a call ---------------------------------------------------

    def get(self, run_id: UUID) -> Run | None:
        """Return the open run with this id, if there is one."""
        return self._open.get(run_id.int)

    def is_echo(self, run_id: UUID, origin: object) -> bool:
        """Say whether this start has been reported already, by another handler.

        One start reaches us twice when two handlers of ours, or one given twice,
        hang on it: then the payload is the same object. Another payload under the
        same id is another run: the first one is lost to us and ended.

        Args:
            run_id: The id of the run that starts.
            origin: The identity of its payload.
        """
        run = self._open.get(run_id.int)
        if run is None:
            return False
        if run.origin == origin:
            run.reports += 1
            return True
        self._health.oddity(
            "duplicate_start",
            "a run started with the id of a run that is still open; the first one is "
            "ended as abandoned. Run ids given in a config must be unique.",
        )
        self.lose(run, REPLACED, ABANDONED)
        return False

    def start(
        self,
        run_id: UUID,
        parent_id: UUID | None,
        request: Request,
        origin: object = None,
    ) -> Run:
        """Put a run in the table and tell the sinks.

        Args:
            run_id: The run's id; only a weak reference to it is kept.
            parent_id: The id of the run it is part of.
            request: What is known at the start.
            origin: The identity of its payload, see `is_echo`.
        """
        key = run_id.int
        parent = None if parent_id is None else self._open.get(parent_id.int)
        run = self._factory(key, request, parent)
        run.origin = origin
        if parent is not None:
            parent.tick = run.start_tick
            if parent.children is None:
                parent.children = {}
            parent.children[key] = run
        elif parent_id is not None:
            run.parent_known = False
        run.ref = ref = RunRef(run_id, self._forgotten)
        ref.run = run
        run.watch = self._tasks.watch(run)
        self._open[key] = run
        if len(self._open) > self._size_limit:
            self._evict()
        self._reaper.ensure_running()
        for sink in self._sinks:
            try:
                sink.started(run)
            except Exception as error:  # noqa: BLE001 -- one sink must not stop another
                self._health.trouble(sink.name, error)
        return run

    def take(self, run_id: UUID) -> Run | None:
        """Take a run out of the table because its end was reported.

        Args:
            run_id: The id of the run that ended.

        Returns:
            The run, for `finish`; None where it is not open: reported twice, lost
            before, or started where no handler of ours was.
        """
        run = self._open.pop(run_id.int, None)
        if run is None:
            self._end_without_run(run_id.int)
        else:
            self._leave(run)
        return run

    def finish(
        self,
        run: Run,
        outcome: Outcome,
        response: Response | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Tell the sinks how a run ended that `take` returned.

        Args:
            run: The run.
            outcome: How it ended.
            response: What it gave back, if anything.
            failure: Why it failed, if it did.
        """
        if run.children:
            self._end_descendants(run, CANCELLED if outcome == CANCELLED else ABANDONED)
        tick = run.tick if run.lost else time.perf_counter_ns()
        chunks = tuple(run.chunks) if run.chunks else ()
        end = End(outcome, run.end_ns(tick), response, failure, chunks)
        run.outcome = outcome
        self._tell_ended(run, end)

    def is_lost(self, run_id: UUID) -> bool:
        """Say whether the run with this id was ended because it seemed lost.

        Args:
            run_id: The id of the run.
        """
        return run_id.int in self._lost

    def _tell_ended(self, run: Run, end: End) -> None:
        """Tell every sink of an end."""
        for sink in self._sinks:
            try:
                sink.ended(run, end)
            except Exception as error:  # noqa: BLE001 -- one sink must not stop another
                self._health.trouble(sink.name, error)

    def finish_late(self, run_id: UUID, response: Response) -> None:
        """Count the tokens of a lost run whose end is reported after all.

        Args:
            run_id: The id of the run that ended.
            response: What it gave back.
        """
        run = self._lost.pop(run_id.int, None)
        if run is not None and run.outcome is not None:
            self._tell_ended(run, End(run.outcome, 0, response, late=True))

    # -- runs that never end --------------------------------------------------

    def lose(self, run: Run, reason: str, outcome: Outcome) -> None:
        """End a run whose end nobody reported.

        Args:
            run: The run.
            reason: How that was found out, one of ``REASONS``.
            outcome: ``cancelled`` or ``abandoned``.
        """
        if self._open.pop(run.key, None) is not run:
            return
        if not run.lost:
            run.tick = time.perf_counter_ns()
        run.lost = reason
        self._leave(run)
        self.lost_counts[reason] += 1
        self._lost[run.key] = run
        if len(self._lost) > _REMEMBERED:
            self._lost.popitem(last=False)
        self.finish(run, outcome, failure=_FAILURES[outcome])

    def close(self) -> None:
        """End every open run as abandoned and stop the thread; safe twice."""
        for run in list(self._open.values()):
            # Children first, so that a parent's span ends after theirs.
            self._end_descendants(run, ABANDONED, reason=CLOSED)
            self.lose(run, CLOSED, ABANDONED)
        self._reaper.stop()

    def settle(self) -> None:
        """End now the runs that are known to be lost; for tests and scrapes."""
        self._reaper.drain()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._open.values()))

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def after_fork(self) -> None:
        """Let go of the runs of the process that this one was forked from.

        The parent ends them; here they only answer for the spans made below them.
        """
        for run in self._open.values():
            run.ref = None
            self._echoes.expect(run.key, run.reports)
        self._open = {}
        self._lost = OrderedDict()
        self._tasks = TaskWatches(self._task_cancelled)
        self._reaper.restart_after_fork()

    def _leave(self, run: Run) -> None:
        """Undo what ties a run to the table, its parent, its id and its task."""
        run.open = False
        run.ref = None
        if run.watch is not None:
            run.watch.runs.pop(run.key, None)
            run.watch = None
        parent = run.parent
        if parent is not None:
            parent.tick = time.perf_counter_ns()
            if parent.children is not None:
                parent.children.pop(run.key, None)
        if run.reports > 1:
            self._echoes.expect(run.key, run.reports - 1)

    def _end_without_run(self, key: int) -> None:
        """Count an end that is neither a second report nor a lost run's late end."""
        if not self._echoes.hear(key) and key not in self._lost:
            self._health.oddity(
                "end_without_start",
                "a run ended that had not started here, or ended twice. The handler "
                "must be given before the run starts.",
            )

    def _end_descendants(
        self, run: Run, outcome: Outcome, reason: str = PARENT_ENDED
    ) -> None:
        """End what is open below a run, deepest first, but what still works."""
        for child in list((run.children or {}).values()):
            if reason == PARENT_ENDED and self._still_works(child, run):
                continue
            self._end_descendants(child, outcome, reason)
            self.lose(child, reason, outcome)

    @staticmethod
    def _still_works(child: Run, parent: Run) -> bool:
        """Say whether a child goes on in a task of its own that is not done.

        A task started in a chain step may well outlive the chain.
        """
        watch = child.watch
        return watch is not None and watch is not parent.watch and watch.is_running()

    def _evict(self) -> None:
        """End the oldest run because the table is full."""
        for run in self._open.values():
            oldest = run
            break
        self.lose(oldest, SIZE_LIMIT, ABANDONED)

    def _forgotten(self, ref: Any) -> None:
        """Mark a run dead whose id is gone; a finalizer, so a store and a put only."""
        run: Run = ref.run
        if run.ref is ref and not run.lost:
            run.tick = time.perf_counter_ns()
            run.lost = FORGOTTEN
            run.open = False
            self._reaper.put(run)

    def _task_cancelled(self, runs: list[Run]) -> None:
        """Mark the runs of a cancelled task dead."""
        for run in runs:
            if not run.lost:
                run.tick = time.perf_counter_ns()
                run.lost = TASK_CANCELLED
                run.open = False
                self._reaper.put(run)

    def _reap(self, run: Run) -> None:
        """End a run that was marked dead."""
        cancelled = run.lost == TASK_CANCELLED or run.watch is not None
        self.lose(run, run.lost, CANCELLED if cancelled else ABANDONED)

    def _expire(self) -> None:
        """End the runs without a sign of life, in them or below them, for too long."""
        runs = list(self._open.values())
        limit = time.perf_counter_ns() - self._time_limit_ns
        # Younger ones first: life in a child is life in its parents.
        for run in reversed(runs):
            life = run.sign_of_life()
            if life < limit:
                self.lose(run, TIME_LIMIT, ABANDONED)
            elif run.parent is not None:
                run.parent.tick = max(run.parent.tick, life)
