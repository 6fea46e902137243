"""The table of open runs: parents, chunks and ends, bounded in number and time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Final
from uuid import UUID

from otel_callbacks import _semconv as semconv
from otel_callbacks._background import call_after_fork, is_collecting, watch_collections
from otel_callbacks._records import (
    ABANDONED,
    CANCELLED,
    UNKNOWN_COST,
    End,
    Failure,
    Outcome,
    Request,
    Response,
    Sink,
    no_price,
)
from otel_callbacks._runs.lost import REPLACED, SIZE_LIMIT, LostRuns
from otel_callbacks._runs.run import Run, run_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from otel_callbacks._diagnostics import Counts, Diagnostics
    from otel_callbacks._records import Content, Estimate, Price

# Expected ends that are never reported (a removed handler) must not pile up.
_AT_MOST: Final = 1_000


class DuplicateReports:
    """The number of further reports expected for each ended run."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: OrderedDict[int, int] = OrderedDict()

    def expect(self, key: int, count: int) -> None:
        """Expect further reports of a run's end."""
        self._left[key] = count
        if len(self._left) > _AT_MOST:
            self._left.popitem(last=False)

    def is_expected(self, key: int) -> bool:
        """Return whether this end was expected, and count it."""
        left = self._left.pop(key, 0)
        if left > 1:
            self._left[key] = left - 1
        return left > 0


_FAILURES: Final[dict[Outcome, Failure]] = {
    outcome: Failure(outcome, outcome, outcome) for outcome in (CANCELLED, ABANDONED)
}


# Above the key of every id: the distance between the keys of runs with one id.
_APART: Final = 192


_new: Final = tuple.__new__  # half the time of calling the class

# No fault of the sink: another thread finishes with a shallow stack.
_FOR_LATER: Final = (MemoryError, RecursionError)


class RunTable:
    """The open runs of all handlers that share their providers and registry.

    It keeps only a weak reference to a run's id, to detect when LangChain has dropped
    the run.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        diagnostics: Diagnostics,
        *,
        factory: Callable[[int, Request, Run | None], Run] = Run,
        price: Price = no_price,
        time_limit: float,
        size_limit: int,
        lost: Counts | None = None,
    ) -> None:
        self._sinks = tuple(sinks)
        # What to call, and the value of `Run.sinks_done` after it.
        self._on_start = [
            (done, sink.started, sink) for done, sink in enumerate(self._sinks, 1)
        ]
        self._on_end = [
            (done, sink.ended, sink)
            for done, sink in enumerate(self._sinks, len(self._sinks) + 1)
        ]
        self._diagnostics = diagnostics
        self._factory = factory
        self._price = price
        self._size_limit = self._next_eviction = size_limit
        self._open: dict[int, Run] = {}
        # The runs that are ending, with thread and time; only one thread can add a run.
        self._ending: dict[int, tuple[Run, int, int]] = {}
        # For an id that open runs share: the keys of all but the first, in order.
        self._sharing: dict[int, list[int]] = {}
        self.find = self._open.get
        # What to call with the time of a chunk, for each open stream by its key.
        self.ticks: dict[int, Callable[[int], None]] = {}
        self._duplicates = DuplicateReports()
        self._lost = LostRuns(self, time_limit=time_limit, counts=lost)
        watch_collections()
        call_after_fork(self)

    def is_duplicate(self, run_id: object, origin: object) -> bool:
        """Return whether another handler has already reported this start.

        A start is reported twice if a run has two handlers of ours, or one twice. Then
        the payload is the same object.
        """
        key = run_id.int if type(run_id) is UUID else run_key(run_id)
        if key not in self._open and not self._sharing:
            return False
        run = self._newest(key)
        if run is None or run.origin != origin or _is_beside(run):
            return False
        run.reports += 1
        return True

    def start(
        self,
        run_id: object,
        parent_id: object,
        request: Request,
        origin: object = None,
        content: Content | None = None,
        expected: Estimate | None = None,
    ) -> Run:
        """Add a run to the table and notify the sinks."""
        key = run_id.int if type(run_id) is UUID else run_key(run_id)
        parent = None
        if parent_id is not None:
            above = parent_id.int if type(parent_id) is UUID else run_key(parent_id)
            parent = self._newest(above) if self._sharing else self._open.get(above)
        if key in self._open:
            key = self._key_beside(key, parent)
        run = self._factory(key, request, parent)
        run.origin, run.content, run.expected = origin, content, expected
        run.parent_known = parent is not None or parent_id is None
        # Before it is in the table, so that an interrupted start is found by its id.
        self._lost.watch(run, run_id)
        try:
            self._open[key] = run
            if parent is not None:
                parent.tick = run.start_tick
                if parent.children is None:
                    parent.children = {}
                parent.children[key] = run
            if len(self._open) > self._next_eviction:
                self._evict()
            self._notify_start(run)
            run.is_started = True
            if run.lost:  # by another thread, which left its end to this one
                self._lost.lose(run, run.lost, ABANDONED)
        except Exception:
            # The call goes on; `complete_start` or its end notifies the other sinks.
            run.is_started = True
            raise
        except BaseException:
            run.sinks_done = max(run.sinks_done, len(self._sinks))
            run.is_started = True
            self._lost.withdraw(run)
            raise
        return run

    def complete_start(self, run: Run) -> None:
        """Notify the sinks that miss the start of a run, such as one with a budget."""
        self._notify_start(run)

    def stream(self, run: Run) -> None:
        """Record the first chunk of a run."""
        # Eight bytes a chunk: a process may hold thousands of long streams open.
        run.chunks = array("q", (time.perf_counter_ns(),))
        self.ticks[run.key] = run.chunks.append
        if not run.open:  # ended in the meantime, by another thread
            self.ticks.pop(run.key, None)

    def take(self, run_id: object, *, is_call: bool | None = None) -> Run | None:
        """Remove a run from the table because its end was reported.

        If several share the id, it is the newest that is, or is not, a model call.
        """
        key = run_id.int if type(run_id) is UUID else run_key(run_id)
        run = self._open.get(key)
        if self._sharing:
            if key in self._sharing and self._duplicates.is_expected(key):
                return None
            run = self._newest(key, is_call=is_call)
        if run is None or not self._begin_end(run):
            self._end_without_run(key)
            return None
        return run

    def finish(
        self,
        run: Run,
        outcome: Outcome,
        response: Response | None = None,
        failure: Failure | None = None,
        content: Content | None = None,
    ) -> None:
        """Notify the sinks of the end of a run that `take` returned."""
        if run.children:
            below: Outcome = CANCELLED if outcome == CANCELLED else ABANDONED
            self._lost.end_descendants(run, below)
        tick = run.tick if run.lost else time.perf_counter_ns()
        # Not as a tuple, which takes five times the memory until it is counted.
        chunks = run.chunks or ()
        run.outcome = outcome
        usd, partial = UNKNOWN_COST
        if response is not None:
            usd, partial = self._price(run.request, response, run.start_ns)
        fields = run.end_ns(tick), response, failure, chunks, False, usd, content
        run.ended_as = end = _new(End, (outcome, *fields, partial))
        self._notify_end(run, end, keep=True)

    def finish_later(self, run_id: object) -> None:
        """Let the thread that ends lost runs finish an interrupted end."""
        if self._ending:
            entry = self._ending.get(run_key(run_id))
            if entry is not None and entry[1] == threading.get_ident():
                entry[0].is_interrupted = True
                self._lost.later(entry[0])

    def complete(self, run: Run) -> None:
        """Finish an interrupted end for the sinks that it has not reached."""
        entry = self._ending.get(run.key)
        if entry is None or entry[0] is not run:
            return
        self._open.pop(run.key, None)
        self._leave(run)
        if run.ended_as is None:
            self.finish(run, ABANDONED, failure=_FAILURES[ABANDONED])
            return
        self._notify_end(run, run.ended_as)

    def unfinished(self, long_ago: int) -> list[Run]:
        """Return the runs whose end was started and interrupted."""
        here = threading.get_ident()
        return [
            run
            for run, thread, began in list(self._ending.values())
            if thread == here or began < long_ago
        ]

    def is_lost(self, run_id: object) -> bool:
        """Return whether the run with this id was ended as lost."""
        return self._lost.recall(run_key(run_id)) is not None

    def finish_late(self, run_id: object, response: Response) -> None:
        """Count the tokens of a lost run whose end is reported after all."""
        run = self._lost.recall(run_key(run_id))
        if run is not None and run.outcome is not None:
            cost = self._price(run.request, response, run.start_ns)
            lost_ns = run.end_ns(run.tick)
            end = End(run.outcome, lost_ns, response, late=True, cost=cost.usd)
            end = end._replace(is_partly_priced=cost.is_partial)
            run.outcome = None  # once
            # Not by the run's own counter: another thread may still end it as lost.
            for sink in self._sinks:
                try:
                    sink.ended(run, end)
                except Exception as error:  # noqa: BLE001 -- the other sinks follow
                    self._diagnostics.trouble(sink.name, error)

    def end_lost(self, run: Run, outcome: Outcome) -> bool:
        """End a run that is lost, unless it has ended."""
        # An end that reaches the sinks before the start loses the span.
        if not run.is_started or not self._begin_end(run):
            return False
        self.finish(run, outcome, failure=_FAILURES[outcome])
        return True

    def open_runs(self) -> list[Run]:
        """Return the open runs, oldest first."""
        return list(self._open.values())

    def close(self) -> None:
        """End all open runs as abandoned; safe to call twice, the table goes on."""
        self._lost.close()

    def after_fork(self) -> None:
        """Drop the runs of the parent process.

        The parent ends them; here they are only parents of new spans.
        """
        for run in self._open.values():
            run.ref = None
            self._duplicates.expect(run.key, run.reports)
        self._open.clear()
        self.ticks.clear()
        self._sharing.clear()
        self._ending.clear()
        self._lost.after_fork()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.open_runs())

    def _begin_end(self, run: Run) -> bool:
        """Remove a run from the table, unless another thread does."""
        entry = (run, threading.get_ident(), time.perf_counter_ns())
        if self._ending.setdefault(run.key, entry) is not entry:
            return False
        if self._open.get(run.key) is not run:  # it has ended in the meantime
            self._ending.pop(run.key, None)
            return False
        self._open.pop(run.key, None)
        self._leave(run)
        return True

    def _evict(self) -> None:
        """End the runs beyond the limit that seem lost.

        Runs without children come first, and runs in a running task are kept. If all
        are kept, the next check follows when the table has grown a little.
        """
        with contextlib.suppress(RuntimeError):  # another thread is changing it
            leaves = [
                run
                for run in self._open.values()
                if run.is_started and not run.children and not run.is_in_running_task()
            ]
            leaves.sort(key=Run.sign_of_life)
            for run in leaves:
                if len(self._open) <= self._size_limit:
                    break
                self._lost.lose(run, SIZE_LIMIT, ABANDONED)
        over = len(self._open) - self._size_limit
        grown = 0 if over <= 0 else over + self._size_limit // 16 + 1
        self._next_eviction = self._size_limit + grown

    def _leave(self, run: Run) -> None:
        """Remove a run's links to the table, its parent, its id and its task."""
        run.open = False
        if run.chunks is not None:
            self.ticks.pop(run.key, None)
        if not run.lost:
            run.ref = None
        if run.watch is not None:
            run.watch.runs.pop(run.key, None)
        parent = run.parent_run
        if parent is not None:
            parent.tick = time.perf_counter_ns()
            if parent.children is not None:
                parent.children.pop(run.key, None)
        key = self._leave_shared_id(run) if self._sharing else run.key
        if run.reports > 1:
            self._duplicates.expect(key, run.reports - 1)

    def _newest(self, key: int, *, is_call: bool | None = None) -> Run | None:
        """Return the open run with an id, the newest if several share it."""
        newest = self._open.get(key)
        for other in self._sharing.get(key, ()):
            run = self._open.get(other)
            if run is not None and (
                newest is None
                or is_call is None
                or is_call is (run.request.operation in semconv.CLIENT_OPERATIONS)
            ):
                newest = run
        return newest

    def _key_beside(self, key: int, parent: Run | None) -> int:
        """Return the key of a further run with an id that open runs have.

        An older run stays open if it is above the new one or in another task. Else its
        end was not reported, and it is lost.
        """
        older = self._newest(key)
        while older is not None and not (_is_above(older, parent) or _is_beside(older)):
            self._lost.lose(older, REPLACED, ABANDONED)
            self._diagnostics.oddity(
                "duplicate_start",
                "a run started with the id of a run that is still open; the first one "
                "is ended as abandoned. Run ids given in a config must be unique.",
            )
            before, older = older, self._newest(key)
            if older is before:  # its end is under way
                break
        if key not in self._open:
            return key
        # By number, so that all tables that a run is reported to give it the same one.
        place = 1
        while (beside := key + (place << _APART)) in self._open:
            place += 1
        self._sharing.setdefault(key, []).append(beside)
        return beside

    def _leave_shared_id(self, run: Run) -> int:
        """Remove an ended run from those with its id, and return the id's key."""
        key = run.key & ((1 << _APART) - 1)
        sharing = self._sharing.get(key)
        if sharing is None:
            return run.key
        if run.key in sharing:
            sharing.remove(run.key)
        if not sharing and key not in self._open:
            self._sharing.pop(key, None)
        return key

    def _notify_start(self, run: Run) -> None:
        """Notify each sink of a start, once."""
        for done, started, sink in self._on_start:
            if run.sinks_done >= done:
                continue
            try:
                started(run)
            except _FOR_LATER:
                raise
            except Exception as error:  # noqa: BLE001 -- one sink must not stop another
                run.sinks_done = done
                self._diagnostics.trouble(sink.name, error)
            run.sinks_done = done

    def _notify_end(self, run: Run, end: End, *, keep: bool = False) -> None:
        """Notify each sink of an end, once.

        In a garbage collection, the thread notifies the sinks that call the app's
        providers.
        """
        if run.sinks_done < len(self._sinks):
            self._notify_start(run)
        in_collection = is_collecting()
        for done, ended, sink in self._on_end:
            if run.sinks_done >= done:
                continue
            if in_collection and sink.is_foreign:
                run.is_interrupted = True
                self._lost.later(run)
                return
            try:
                ended(run, end)
            except Exception as error:
                if keep and isinstance(error, _FOR_LATER):
                    raise
                self._diagnostics.trouble(sink.name, error)
            run.sinks_done = done
        self._ending.pop(run.key, None)

    def _end_without_run(self, key: int) -> None:
        """Count an end that is neither a second report nor a lost run's late end."""
        if not self._duplicates.is_expected(key) and self._lost.recall(key) is None:
            self._diagnostics.oddity(
                "end_without_start",
                "a run ended that had not started here, or ended twice. The handler "
                "must be given before the run starts.",
            )


def _is_above(run: Run, below: Run | None) -> bool:
    """Return whether a run is another one or one of its ancestors."""
    while below is not None and below is not run:
        below = below.parent_run
    return below is run


def _is_beside(run: Run) -> bool:
    """Return whether a run is open in another task than the current one."""
    watch = run.watch
    if watch is None or not watch.is_running():
        return False
    # Exported by asyncio; current_task() raises where no loop runs.
    is_async = asyncio._get_running_loop() is not None  # noqa: SLF001
    return not is_async or watch.task() is not asyncio.current_task()
