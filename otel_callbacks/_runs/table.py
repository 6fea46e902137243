"""The table of open runs: parents, chunks and ends, bounded in number and time."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from otel_callbacks._forks import tell_after_fork
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

    from otel_callbacks._diagnostics import Health
    from otel_callbacks._records import Content, Estimate, Price

# Ends that never come (a handler was removed in between) must not pile up.
_AT_MOST: Final = 1_000


class Echoes:
    """How many further ends may come for runs that have ended."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: OrderedDict[int, int] = OrderedDict()

    def expect(self, key: int, count: int) -> None:
        """Expect further reports of a run's end.

        Args:
            key: The run's key.
            count: How many.
        """
        self._left[key] = count
        if len(self._left) > _AT_MOST:
            self._left.popitem(last=False)

    def hear(self, key: int) -> bool:
        """Say whether this end was expected, and count it off.

        Args:
            key: The run's key.
        """
        left = self._left.pop(key, 0)
        if left > 1:
            self._left[key] = left - 1
        return left > 0


_FAILURES: Final[dict[Outcome, Failure]] = {
    outcome: Failure(outcome, outcome, outcome) for outcome in (CANCELLED, ABANDONED)
}


class RunTable:
    """The open runs of all handlers that share their providers and registry.

    It keeps no reference to a run's id but a weak one, so that a run that LangChain
    has forgotten can be told from one that goes on.

    Args:
        sinks: Who is told of starts and ends.
        health: Who is told of troubles.
        factory: Makes a run's record.
        price: Says what a call cost; it never raises.
        time_limit: Seconds without a sign of life after which a run is lost.
        size_limit: Open runs beyond which the oldest is lost.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        health: Health,
        *,
        factory: Callable[[int, Request, Run | None], Run] = Run,
        price: Price = no_price,
        time_limit: float = 3600.0,
        size_limit: int = 20_000,
    ) -> None:
        self._sinks = tuple(sinks)
        self._health = health
        self._factory = factory
        self._price = price
        self._size_limit = size_limit
        self._open: dict[int, Run] = {}
        # The dictionary's own method, as it is called for each chunk of a stream.
        self.find = self._open.get
        self._echoes = Echoes()
        self._lost = LostRuns(self, time_limit=time_limit)
        tell_after_fork(self)

    def is_echo(self, run_id: object, origin: object) -> bool:
        """Say whether this start has been reported already, by another handler.

        One start reaches us twice when two handlers of ours, or one given twice,
        hang on it: then the payload is the same object. Another payload under the
        same id is another run: the first one is lost to us and ended.

        Args:
            run_id: The id of the run that starts.
            origin: The identity of its payload.
        """
        run = self._open.get(run_key(run_id))
        if run is None:
            return False
        if run.origin == origin:
            run.reports += 1
            return True
        self._lost.lose(run, REPLACED, ABANDONED)
        self._health.oddity(
            "duplicate_start",
            "a run started with the id of a run that is still open; the first one is "
            "ended as abandoned. Run ids given in a config must be unique.",
        )
        return False

    def start(
        self,
        run_id: object,
        parent_id: object,
        request: Request,
        origin: object = None,
        content: Content | None = None,
        expected: Estimate | None = None,
    ) -> Run:
        """Put a run in the table and tell the sinks.

        Args:
            run_id: The run's id; only a weak reference to it is kept.
            parent_id: The id of the run it is part of.
            request: What is known at the start.
            origin: The identity of its payload, see `is_echo`.
            content: What goes in, where capture is on.
            expected: What goes in, estimated, where an account asks.
        """
        key = run_key(run_id)
        parent = None if parent_id is None else self._open.get(run_key(parent_id))
        run = self._factory(key, request, parent)
        run.origin, run.content, run.expected = origin, content, expected
        if parent is not None:
            parent.tick = run.start_tick
            if parent.children is None:
                parent.children = {}
            parent.children[key] = run
        elif parent_id is not None:
            run.parent_known = False
        self._open[key] = run
        self._lost.watch(run, run_id)
        if len(self._open) > self._size_limit:
            self._evict()
        for sink in self._sinks:
            try:
                sink.started(run)
            except Exception as error:  # noqa: BLE001 -- one sink must not stop another
                self._health.trouble(sink.name, error)
        run.told = True
        if run.lost:  # by another thread, which left its end to us
            self._lost.lose(run, run.lost, ABANDONED)
        return run

    def take(self, run_id: object) -> Run | None:
        """Take a run out of the table because its end was reported.

        Args:
            run_id: The id of the run that ended.

        Returns:
            The run, for `finish`; None where it is not open: reported twice, lost
            before, or started where no handler of ours was.
        """
        run = self._open.pop(run_key(run_id), None)
        if run is None:
            self._end_without_run(run_key(run_id))
        else:
            self._leave(run)
        return run

    def finish(
        self,
        run: Run,
        outcome: Outcome,
        response: Response | None = None,
        failure: Failure | None = None,
        content: Content | None = None,
    ) -> None:
        """Tell the sinks how a run ended that `take` returned.

        Args:
            run: The run.
            outcome: How it ended.
            response: What it gave back, if anything.
            failure: Why it failed, if it did.
            content: What came back, where capture is on.
        """
        if run.children:
            below: Outcome = CANCELLED if outcome == CANCELLED else ABANDONED
            self._lost.end_descendants(run, below)
        tick = run.tick if run.lost else time.perf_counter_ns()
        chunks = tuple(run.chunks) if run.chunks else ()
        run.outcome = outcome
        cost = UNKNOWN_COST
        if response is not None:
            cost = self._price(run.request, response, run.start_ns)
        end = run.end_ns(tick), response, failure, chunks, False, cost.usd, content
        self._tell(run, End(outcome, *end, cost.is_partial))

    def is_lost(self, run_id: object) -> bool:
        """Say whether the run with this id was ended because it seemed lost.

        Args:
            run_id: The id of the run.
        """
        return self._lost.recall(run_key(run_id)) is not None

    def finish_late(self, run_id: object, response: Response) -> None:
        """Count the tokens of a lost run whose end is reported after all.

        Args:
            run_id: The id of the run that ended.
            response: What it gave back.
        """
        run = self._lost.recall(run_key(run_id))
        if run is not None and run.outcome is not None:
            cost = self._price(run.request, response, run.start_ns)
            end = End(run.outcome, 0, response, late=True, cost=cost.usd)
            self._tell(run, end._replace(is_partly_priced=cost.is_partial))
            run.outcome = None  # once

    def end_lost(self, run: Run, outcome: Outcome) -> bool:
        """End a run that is lost, unless it has ended.

        Args:
            run: The run.
            outcome: ``cancelled`` or ``abandoned``.

        Returns:
            Whether it was open.
        """
        # An end that the sinks hear of before the start would lose the span.
        if not run.told or self._open.get(run.key) is not run:
            return False
        if self._open.pop(run.key, None) is None:  # another thread was faster
            return False
        self._leave(run)
        self.finish(run, outcome, failure=_FAILURES[outcome])
        return True

    def open_runs(self) -> list[Run]:
        """Return the open runs, oldest first."""
        return list(self._open.values())

    def lost_counts(self) -> dict[str, int]:
        """Return how many runs were lost for each reason."""
        return dict(self._lost.counts)

    def settle(self) -> None:
        """End now the runs that are known to be lost; a scrape shows them ended."""
        self._lost.settle()

    def close(self) -> None:
        """End every open run as abandoned; safe twice, and the table works on."""
        self._lost.close()

    def after_fork(self) -> None:
        """Let go of the runs of the process that this one was forked from.

        The parent ends them; here they only answer for the spans made below them.
        """
        for run in self._open.values():
            run.ref = None
            self._echoes.expect(run.key, run.reports)
        self._open.clear()
        self._lost.after_fork()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.open_runs())

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def _evict(self) -> None:
        """End the oldest run, unless other threads make room at this moment."""
        try:
            oldest = next(iter(self._open.values()))
        except (RuntimeError, StopIteration):
            return
        self._lost.lose(oldest, SIZE_LIMIT, ABANDONED)

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

    def _tell(self, run: Run, end: End) -> None:
        """Tell every sink of an end."""
        for sink in self._sinks:
            try:
                sink.ended(run, end)
            except Exception as error:  # noqa: BLE001 -- one sink must not stop another
                self._health.trouble(sink.name, error)

    def _end_without_run(self, key: int) -> None:
        """Count an end that is neither a second report nor a lost run's late end."""
        if not self._echoes.hear(key) and self._lost.recall(key) is None:
            self._health.oddity(
                "end_without_start",
                "a run ended that had not started here, or ended twice. The handler "
                "must be given before the run starts.",
            )
