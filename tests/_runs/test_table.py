"""The table of open runs: parents, chunks and ends, bounded in number and time."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import WAIT_S

from otel_callbacks._diagnostics import Counts, Diagnostics
from otel_callbacks._records import (
    ABANDONED,
    CANCELLED,
    ERROR,
    OK,
    End,
    Failure,
    Request,
    Response,
    Usage,
)
from otel_callbacks._runs.run import Run
from otel_callbacks._runs.table import RunTable
from otel_callbacks.settings import Settings
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from otel_callbacks.testing import Capture

REQUEST = Request("chat", "gpt-4o-mini")
CHAIN = Request("", "step")


class Recorder:
    """A sink that keeps what it is told."""

    name = "recorder"
    is_foreign = False

    def __init__(self) -> None:
        self.starts: list[Run] = []
        self.ends: list[tuple[Run, End]] = []

    def started(self, run: Run) -> None:
        """Keep a start."""
        self.starts.append(run)

    def ended(self, run: Run, end: End) -> None:
        """Keep an end."""
        self.ends.append((run, end))

    def outcomes(self) -> list[tuple[str, str, str]]:
        """Return target, outcome and reason of each run that ended."""
        return [(run.request.target, end.outcome, run.lost) for run, end in self.ends]


class Broken(Recorder):
    """A sink that fails."""

    name = "broken"
    is_foreign = False

    def started(self, run: Run) -> None:
        """Fail."""
        super().started(run)
        message = "start"
        raise ValueError(message)

    def ended(self, run: Run, end: End) -> None:
        """Fail."""
        super().ended(run, end)
        message = "end"
        raise TypeError(message)


@dataclass
class Bench:
    """A table with a sink that records."""

    table: RunTable
    sink: Recorder
    diagnostics: Diagnostics
    lost: Counts


def bench(*sinks: Recorder, strict: bool = True, **options: Any) -> Bench:
    """Return a table whose last sink records."""
    diagnostics, sink, lost = Diagnostics(strict=strict), Recorder(), Counts()
    options = {"time_limit": 3600, "size_limit": 20_000, "lost": lost, **options}
    return Bench(
        RunTable((*sinks, sink), diagnostics, **options), sink, diagnostics, lost
    )


def test_sinks_get_start_and_end() -> None:
    """A sink gets each run with its request, and its end with all that is known."""
    one = bench()
    run_id = uuid4()
    started = time.time_ns()
    run = one.table.start(run_id, None, REQUEST, 7)
    assert one.sink.starts == [run]
    assert (run.key, run.request, run.parent_run, run.origin) == (
        run_id.int,
        REQUEST,
        None,
        7,
    )
    assert run.key in one.table
    assert len(one.table) == 1
    run.chunks = [run.start_tick + 5, run.start_tick + 9]  # type: ignore[assignment]
    response = Response("gpt-4o-mini-2024-07-18", usage=Usage(3, 4))
    taken = one.table.take(run_id)
    assert taken is run
    assert len(one.table) == 0
    one.table.finish(run, OK, response)
    ((ended, end),) = one.sink.ends
    assert ended is run
    assert end == End(
        OK,
        end.end_ns,
        response,
        None,
        [run.start_tick + 5, run.start_tick + 9],
        late=False,
    )
    assert started <= run.start_ns <= end.end_ns
    assert run.outcome == OK
    assert not run.open


def test_sinks_get_a_failure() -> None:
    """A failed run's end carries why."""
    one = bench()
    run_id = uuid4()
    one.table.start(run_id, None, REQUEST)
    failure = Failure(ERROR, "RateLimitError", "rate_limited")
    run = one.table.take(run_id)
    assert run is not None
    one.table.finish(run, ERROR, None, failure)
    assert one.sink.ends[0][1].failure == failure
    assert one.sink.outcomes() == [("gpt-4o-mini", "error", "")]


def test_children_know_their_parent_and_it_knows_them() -> None:
    """Runs are linked while they are open, and release each other afterwards."""
    one = bench()
    root_id, child_id = uuid4(), uuid4()
    root = one.table.start(root_id, None, CHAIN)
    child = one.table.start(child_id, root_id, REQUEST)
    assert child.parent_run is root
    assert root.children == {child.key: child}
    assert root.tick == child.start_tick
    assert list(one.table) == [root, child]
    assert one.table.open_runs() == [root, child]
    assert one.table.find(child.key) is child
    one.table.take(child_id)
    assert root.children == {}
    assert root.tick > child.start_tick
    one.table.take(root_id)
    assert one.table.open_runs() == []


def test_parent_without_children_left_may_be_reported() -> None:
    """A child that outlives its parent's record ends all the same."""
    one = bench()
    root_id, child_id = uuid4(), uuid4()
    root = one.table.start(root_id, None, CHAIN)
    one.table.start(child_id, root_id, REQUEST)
    root.children = None
    child = one.table.take(child_id)
    assert child is not None
    one.table.finish(child, OK)
    assert one.sink.outcomes() == [("gpt-4o-mini", "ok", "")]
    one.table.take(root_id)


def test_parent_that_was_not_shown_is_unknown() -> None:
    """A run of a chain that the handler was not given to says so."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, uuid4(), REQUEST)
    assert run.parent_run is None
    assert not run.parent_known
    alone = uuid4()
    assert one.table.start(alone, None, REQUEST).parent_known


def test_only_a_weak_reference_to_the_id_is_kept() -> None:
    """The table does not keep a run's id alive; one that is gone ends its run."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    assert run.ref is not None
    assert run.ref() is run_id  # type: ignore[operator]
    del run_id
    gc.collect()
    one.table.settle()
    assert len(one.table) == 0
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "forgotten")]
    assert one.lost.read()["forgotten",] == 1


def test_sink_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """The sinks after a broken one are told, the run leaves the table, errors count."""
    broken = Broken()
    one = bench(broken, strict=False)
    ids = [uuid4() for _ in range(3)]
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        for run_id in ids:
            one.table.start(run_id, None, REQUEST)
            run = one.table.take(run_id)
            assert run is not None
            one.table.finish(run, OK)
    assert len(one.sink.starts) == len(one.sink.ends) == 3
    assert len(broken.starts) == len(broken.ends) == 3
    assert len(one.table) == 0
    assert one.diagnostics.counts() == {"broken": 6}
    # One line for each kind of failure, with its type and never with its text.
    assert len(caplog.records) == 2
    assert not any(record.exc_info for record in caplog.records)


def test_sink_that_fails_raises_when_strict() -> None:
    """In strict mode a broken sink raises, after the run has left the table."""
    one = bench(Broken())
    run_id = uuid4()
    with pytest.raises(ValueError, match="start"):
        one.table.start(run_id, None, REQUEST)
    run = one.table.take(run_id)
    assert run is not None
    with pytest.raises(TypeError, match="end"):
        one.table.finish(run, OK)
    assert len(one.table) == 0


def test_second_report_of_a_start_is_an_echo() -> None:
    """A start whose payload is the same object has been reported by another handler."""
    one = bench()
    run_id = uuid4()
    assert not one.table.is_duplicate(run_id, 7)
    run = one.table.start(run_id, None, REQUEST, 7)
    assert one.table.is_duplicate(run_id, 7)
    assert run.reports == 2
    assert one.table.take(run_id) is run
    assert one.table.take(run_id) is None
    assert one.diagnostics.counts() == {}
    # A third end was not announced.
    assert one.table.take(run_id) is None
    assert one.diagnostics.counts() == {"end_without_start": 1}


def test_start_with_the_id_of_an_open_run_replaces_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another payload under the same id is another run: the first one is lost."""
    one = bench()
    run_id = uuid4()
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        for origin in (1, 2, 3):
            assert not one.table.is_duplicate(run_id, origin)
            one.table.start(run_id, None, REQUEST, origin)
    assert len(one.table) == 1
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "replaced")] * 2
    assert one.lost.read()["replaced",] == 2
    assert one.diagnostics.counts() == {"duplicate_start": 2}
    assert len(caplog.records) == 1
    run = one.table.take(run_id)
    assert run is not None
    one.table.finish(run, OK)
    assert one.sink.outcomes()[-1] == ("gpt-4o-mini", "ok", "")


def test_end_without_a_start_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """An end of a run that never started is counted, and one line says why."""
    one = bench()
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        assert one.table.take(uuid4()) is None
        assert one.table.take(uuid4()) is None
    assert one.diagnostics.counts() == {"end_without_start": 2}
    assert len(caplog.records) == 1
    assert "must be given before the run starts" in caplog.text
    assert one.sink.ends == []


def test_late_tokens_of_a_lost_run_are_counted_once() -> None:
    """A lost run that is reported after all gives its tokens, once, and no echo."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    assert not one.table.is_lost(run_id)
    assert one.table.end_lost(run, ABANDONED)
    one.table._lost._remembered[run.key] = run
    assert one.table.is_lost(run_id)
    assert one.table.take(run_id) is None
    response = Response(usage=Usage(1, 2))
    one.table.finish_late(run_id, response)
    one.table.finish_late(run_id, response)
    one.table.finish_late(uuid4(), response)
    assert [end for _, end in one.sink.ends][1:] == [
        End("abandoned", 0, response, late=True)
    ]
    assert one.diagnostics.counts() == {}


def test_late_end_during_the_loss_counts_once() -> None:
    """Another thread may report the end while the reaper tells that it is lost."""
    run_id, response = uuid4(), Response("m", usage=Usage(1, 2))

    class Meanwhile(Recorder):
        """A sink during which the end is reported."""

        def ended(self, run: Run, end: End) -> None:
            """Keep the end; report the late one within the first."""
            super().ended(run, end)
            if not end.late:
                one.table.finish_late(run_id, response)

    first, middle = Recorder(), Meanwhile()
    one = bench(first, middle)
    run = one.table.start(run_id, None, REQUEST)
    one.table._lost.lose(run, "forgotten", ABANDONED)
    for sink in (first, middle, one.sink):
        assert sorted(end.late for _, end in sink.ends) == [False, True]


def test_an_end_that_goes_on_in_another_thread_is_left_to_it() -> None:
    """However long a call took, only its end own age says that it was cut short."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    run.tick = run.start_tick = 0
    now = time.perf_counter_ns()
    assert one.table.take(run_id) is run
    (begun,) = one.table._ending.values()
    one.table._ending[run.key] = (run, -1, begun[2])
    assert one.table.unfinished(now) == []
    assert one.table.unfinished(begun[2] + 1) == [run]
    one.table.complete(run)
    one.table.complete(run)
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "")]


def test_lost_run_ends_once() -> None:
    """A run that ended in the meantime is not ended again as lost."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    assert one.table.end_lost(run, CANCELLED)
    assert not one.table.end_lost(run, CANCELLED)
    ((_, end),) = one.sink.ends
    assert end.failure == Failure("cancelled", "cancelled", "cancelled")


def test_lost_run_that_another_thread_ends_first() -> None:
    """Two threads that end one run at the same moment make one end."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    one.table._ending[run.key] = (run, 0, 0)
    assert not one.table.end_lost(run, ABANDONED)
    assert one.table.take(run_id) is None
    del one.table._ending[run.key]
    assert one.sink.ends == []
    assert one.table.take(run_id) is run
    one.table._open[run.key] = Run(run.key, REQUEST, None)
    assert not one.table.end_lost(run, ABANDONED)


def test_oldest_run_gives_way_to_the_newest() -> None:
    """Beyond the size limit the oldest run is ended as abandoned."""
    one = bench(size_limit=2)
    ids = [uuid4() for _ in range(4)]
    for number, run_id in enumerate(ids):
        one.table.start(run_id, None, Request("", f"run {number}"))
    assert [run.request.target for run in one.table] == ["run 2", "run 3"]
    assert one.sink.outcomes() == [
        ("run 0", "abandoned", "size_limit"),
        ("run 1", "abandoned", "size_limit"),
    ]


def test_run_that_is_lost_while_it_starts() -> None:
    """A run that gives way before all sinks know it is told as started, then ended."""
    told: list[tuple[str, str]] = []

    class Crowding(Recorder):
        """A sink in whose start another run starts, as in another thread."""

        def started(self, run: Run) -> None:
            """Start one more, once."""
            if run.request.target == "first":
                one.table.start(ids[1], None, Request("", "second"))

    class Ordered(Recorder):
        """A sink that keeps the order of starts and ends."""

        def started(self, run: Run) -> None:
            """Keep a start."""
            told.append((run.request.target, "start"))

        def ended(self, run: Run, end: End) -> None:
            """Keep an end."""
            told.append((run.request.target, end.outcome))

    ids = [uuid4(), uuid4()]
    one = bench(Crowding(), Ordered(), size_limit=1)
    one.table.start(ids[0], None, Request("", "first"))
    one.table.close()
    assert [what for name, what in told if name == "first"] == ["start", "abandoned"]
    assert [what for name, what in told if name == "second"] == ["start", "abandoned"]
    assert len(one.table) == 0


def test_run_that_another_thread_loses_while_it_starts() -> None:
    """The thread that starts it ends it, once all sinks know of the start."""

    class Losing(Recorder):
        """A sink in whose start the run is lost, as in another thread."""

        def started(self, run: Run) -> None:
            """Lose the run."""
            one.table._lost.lose(run, "forgotten", ABANDONED)
            assert one.sink.starts == []

    one = bench(Losing())
    run = one.table.start(uuid4(), None, REQUEST)
    assert one.sink.starts == [run]
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "forgotten")]
    assert one.lost.read()["forgotten",] == 1


def test_a_late_end_that_fails_in_one_sink_reaches_the_others() -> None:
    """Tokens of a lost run reach every sink that works."""
    one = bench(Broken(), strict=False)
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    one.table._lost.lose(run, "time_limit", ABANDONED)
    one.table.finish_late(run_id, Response(usage=Usage(1, 2)))
    assert [end.late for _, end in one.sink.ends] == [False, True]
    assert one.diagnostics.counts() == {"broken": 3}


class Interrupted(Recorder):
    """A sink whose first end of a run is interrupted."""

    name = "interrupted"

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error: type[BaseException] | None = error

    def ended(self, run: Run, end: End) -> None:
        """Be interrupted once."""
        error, self.error = self.error, None
        if error is not None:
            raise error
        super().ended(run, end)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError])
@pytest.mark.parametrize("way", ["look", "close", "work"])
def test_an_end_that_is_interrupted_is_finished(
    error: type[BaseException], way: str
) -> None:
    """Whoever comes next tells the sinks that do not know yet, and those alone."""
    first = Recorder()
    interrupted = Interrupted(error)
    one = bench(first, interrupted)
    run_id = uuid4()
    one.table.start(run_id, None, REQUEST)
    run = one.table.take(run_id)
    assert run is not None
    with pytest.raises(error):
        one.table.finish(run, OK, Response("m", usage=Usage(1, 2)))
    assert (len(first.ends), interrupted.ends, one.sink.ends) == (1, [], [])
    if way == "work":
        one.table.finish_later(uuid4())
        assert not run.is_interrupted
        one.table.finish_later(run_id)
        one.table.settle()
    else:
        getattr(one.table._lost, way)()
    for sink in (first, interrupted, one.sink):
        assert [end.outcome for _, end in sink.ends] == ["ok"]
    assert one.table._ending == {}
    one.table.finish_later(run_id)
    one.table.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_start_that_is_interrupted_is_withdrawn(error: type[BaseException]) -> None:
    """The app never gets to the call: the run ends as lost, and is not counted."""

    class Stopped(Recorder):
        """A sink whose start is interrupted."""

        def started(self, run: Run) -> None:
            """Be interrupted."""
            super().started(run)
            raise error

    one = bench(Stopped())
    run_id = uuid4()
    with pytest.raises(error):
        one.table.start(run_id, None, REQUEST)
    one.table.settle()
    ((run, end),) = one.sink.ends
    assert (end.outcome, run.lost, run.counted) == ("abandoned", "forgotten", False)
    one.table._lost.work(Run(1, REQUEST, None))
    assert len(one.sink.ends) == 1


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_start_without_memory_reaches_sinks_before_its_end(
    error: type[BaseException],
) -> None:
    """The run stays open, and each sink gets its start and its end."""

    class Full(Recorder):
        """A sink whose first start finds no room."""

        fails = True

        def started(self, run: Run) -> None:
            """Fail once."""
            if self.fails:
                self.fails = False
                raise error
            super().started(run)

    first, full = Recorder(), Full()
    one = bench(first, full)
    run_id = uuid4()
    with pytest.raises(error):
        one.table.start(run_id, None, REQUEST)
    run = one.table.take(run_id)
    assert run is not None
    assert run.counted
    one.table.finish(run, OK)
    for sink in (first, full, one.sink):
        assert (len(sink.starts), len(sink.ends)) == (1, 1)
    assert one.table._ending == {}


def test_a_start_that_is_interrupted_at_its_last_step_ends_in_time() -> None:
    """A run of which nothing could be noted is taken for started after a while."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    run.is_started = False
    one.table._lost.look()
    assert not run.is_started
    run.start_tick -= 60 * 1_000_000_000
    one.table._lost.look()
    assert bool(run.is_started)
    assert len(one.table) == 1
    run.is_started = False
    del run_id
    gc.collect()
    one.table.settle()
    assert len(one.table) == 1
    one.table._lost.look()
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "forgotten")]


def test_an_id_without_weak_references_is_kept_itself() -> None:
    """Else another id could have its address; of those that end lost a few are kept."""
    one = bench()
    for number in range(1_002):
        run = one.table.start(f"id {number}", None, REQUEST)
        assert run.ref == f"id {number}"
        one.table._lost.lose(run, "size_limit", ABANDONED)
    assert not one.table.is_lost("id 0")
    assert not one.table.is_lost("id 1")
    assert one.table.is_lost("id 2")
    assert one.lost.read()["size_limit",] == 1_002


def test_the_oldest_loss_that_another_thread_forgets_is_forgotten_once() -> None:
    """Two threads may both find one too many."""
    one = bench()
    one.table._lost._forget_oldest()
    assert len(one.table._lost._recent) == 0


def test_room_that_other_threads_make_is_not_made_twice() -> None:
    """Where the table changes while the oldest run is looked for, none gives way."""

    class Busy(dict[int, Run]):
        """A dictionary that other threads change all the time."""

        def values(self) -> Any:
            """Fail as Python does."""
            message = "dictionary changed size during iteration"
            raise RuntimeError(message)

    one = bench(size_limit=1)
    ids = [uuid4(), uuid4()]
    first = one.table.start(ids[0], None, REQUEST)
    open_runs, one.table._open = one.table._open, Busy({first.key: first})
    second = one.table.start(ids[1], None, REQUEST)
    one.table._open = open_runs
    one.table._open[second.key] = second
    assert one.sink.ends == []
    assert one.sink.starts == [first, second]
    assert one.diagnostics.counts() == {}


def test_threads_at_the_size_limit_lose_no_span() -> None:
    """Each start is a span that ends, however many threads crowd the table."""
    threads, starts = 6, 300
    before = sys.getswitchinterval()
    with capture(Settings(strict=False, run_limit=5)) as telemetry:
        handler = telemetry.handler
        ids = [[uuid4() for _ in range(starts)] for _ in range(threads)]

        def work(own: list[UUID]) -> None:
            for number, run_id in enumerate(own):
                handler.on_chain_start({}, object(), run_id=run_id, name="x")
                if number % 3 == 0:
                    handler.on_chain_end("y", run_id=run_id)

        workers = [threading.Thread(target=work, args=(own,)) for own in ids]
        sys.setswitchinterval(1e-6)
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        finally:
            sys.setswitchinterval(before)
        handler.close()
        assert len(telemetry.spans) == threads * starts
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value("otel_callbacks_errors_total", where="start") == 0


def test_run_without_a_sign_of_life_is_given_up() -> None:
    """Its end is the moment at which that was found out, and not later."""
    one = bench(time_limit=0.1)
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST)
    until = time.monotonic() + WAIT_S
    while not one.sink.ends:
        assert time.monotonic() < until, "it was never ended"
        time.sleep(0.01)
    ((_, end),) = one.sink.ends
    assert run.lost == "time_limit"
    assert end.end_ns == run.end_ns(run.tick)
    assert end.end_ns - run.start_ns >= 100_000_000


@pytest.mark.parametrize(("outcome", "below"), [(OK, ABANDONED), (CANCELLED,) * 2])
def test_descendants_end_before_their_ancestor(outcome: Any, below: str) -> None:
    """What is open below a run that ends is told first, deepest first."""
    one = bench()
    ids = [uuid4() for _ in range(3)]
    parent: UUID | None = None
    for number, run_id in enumerate(ids):
        one.table.start(run_id, parent, Request("", f"depth {number}"))
        parent = run_id
    root = one.table.take(ids[0])
    assert root is not None
    one.table.finish(root, outcome)
    assert one.sink.outcomes() == [
        ("depth 2", below, "parent_ended"),
        ("depth 1", below, "parent_ended"),
        ("depth 0", outcome, ""),
    ]


def test_close_ends_all_and_the_table_works_on() -> None:
    """``close()`` ends each open run as abandoned, twice does no harm."""
    one = bench()
    ids = [uuid4() for _ in range(3)]
    for run_id in ids:
        one.table.start(run_id, None, REQUEST)
    one.table.close()
    one.table.close()
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "closed")] * 3
    assert one.lost.read()["closed",] == 3
    again = uuid4()
    one.table.start(again, None, REQUEST)
    assert len(one.table) == 1


def test_forked_child_lets_go_of_its_parents_runs() -> None:
    """In a child the table is empty, and the parent's runs may end there unheard."""
    one = bench()
    run_id = uuid4()
    run = one.table.start(run_id, None, REQUEST, 7)
    assert one.table.is_duplicate(run_id, 7)
    one.table.after_fork()
    assert len(one.table) == 0
    assert run.ref is None
    # Both reports of the end may come in the child, and mean nothing there.
    assert one.table.take(run_id) is None
    assert one.table.take(run_id) is None
    assert one.diagnostics.counts() == {}
    assert one.sink.ends == []
    child = uuid4()
    one.table.start(child, None, REQUEST)
    del child
    gc.collect()
    one.table.settle()
    assert one.sink.outcomes() == [("gpt-4o-mini", "abandoned", "forgotten")]


# -- any order of calls ------------------------------------------------------------

# What may happen to one of three runs of a kind, in any order.
EVENTS = ("start", "again", "other", "chunk", "event", "end", "error", "lose", "scrape")
KINDS = ("chain", "chat", "llm", "tool", "retriever")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(EVENTS),
        st.sampled_from(KINDS),
        st.integers(0, 2),
        st.none() | st.integers(0, 2),
    ),
    max_size=40,
)


class Play:
    """Plays steps on a handler, and keeps how many spans there must be."""

    def __init__(self, telemetry: Capture) -> None:
        self.handler: Any = telemetry.handler
        self.telemetry = telemetry
        self.ids: dict[int, UUID] = {}
        self.payloads: dict[UUID, Any] = {}
        # As callers do: a payload at the address of a freed one would be the same one.
        self.kept: list[Any] = []
        self.starts = 0

    def step(self, event: str, kind: str, slot: int, parent: int | None) -> None:
        """Do one step to the run in a slot."""
        run_id = self.ids.get(slot) or self.ids.setdefault(slot, uuid4())
        if event in {"start", "again", "other"}:
            self.start(event, kind, run_id, self.ids.get(parent or 0))
        elif event == "chunk":
            self.handler.on_llm_new_token("rose", run_id=run_id)
        elif event == "event":
            delta = {"event": "content-block-delta"}
            self.handler.on_stream_event(delta, run_id=run_id)
        elif event == "end":
            getattr(self.handler, f"on_{_stem(kind)}_end")(None, run_id=run_id)
        elif event == "error":
            error = getattr(self.handler, f"on_{_stem(kind)}_error")
            error(ValueError("no roses"), run_id=run_id)
        elif event == "lose":
            self.payloads.pop(run_id, None)
            del self.ids[slot], run_id
        else:
            self.telemetry.value("otel_callbacks_open_runs")

    def start(self, event: str, kind: str, run_id: UUID, parent: UUID | None) -> None:
        """Start a run: a new one, the same once more, or another of its id."""
        is_open = run_id.int in self.handler._runs._table
        if event == "start" and is_open:
            return  # a distinct start has an id of its own
        payload = self.payloads.get(run_id)
        newest = self.handler._runs._table._newest(run_id.int)
        # Where the newest one has ended, an older one of its id may still be open.
        is_new = newest is None or newest.origin != id(payload)
        if is_new or event == "other":
            payload = [object()]
            self.kept.append(payload)
            self.starts += 1
        self.payloads[run_id] = payload
        wrapped = [payload] if kind in {"chat", "llm"} else payload
        start = {"chat": "on_chat_model_start", "llm": "on_llm_start"}.get(
            kind, f"on_{kind}_start"
        )
        getattr(self.handler, start)(
            {}, wrapped, run_id=run_id, parent_run_id=parent, name="run"
        )


def _stem(kind: str) -> str:
    """Return the word of a kind's end and error callbacks."""
    return "llm" if kind == "chat" else kind


@pytest.mark.slow
@settings(max_examples=150)
@given(STEPS)
def test_any_order_of_calls_gives_one_span_for_each_start(
    steps: list[tuple[str, str, int, int | None]],
) -> None:
    """Whatever comes in whatever order: no exception, a span for each start, ended."""
    with capture(Settings(strict=False)) as telemetry:
        play = Play(telemetry)
        for step in steps:
            play.step(*step)
        telemetry.handler.close()
        spans = telemetry.spans
        assert len(spans) == play.starts
        assert all(span["end_ns"] >= span["start_ns"] for span in spans)
        assert len({span["span_id"] for span in spans}) == play.starts
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value("otel_callbacks_operations_in_flight") == 0
        operations = telemetry.value("otel_callbacks_operations_total")
        named = [s for s in spans if "gen_ai.operation.name" in s["attributes"]]
        assert operations == len(named)
        allowed = {"duplicate_start", "end_without_start"}
        assert set(telemetry.handler.diagnostics.counts()) <= allowed


def test_room_that_others_make_is_room() -> None:
    """A table that changes while the oldest run is looked for loses no start."""

    class Changing(dict[int, Run]):
        """A dictionary that another thread changes just now."""

        def values(self) -> Any:
            """Raise what an iterator raises then."""
            message = "dictionary changed size during iteration"
            raise RuntimeError(message)

    told: list[str] = []

    class Told:
        """A sink that keeps what it is told."""

        name = "told"
        is_foreign = False

        def started(self, run: Run) -> None:
            """Keep the start."""
            told.append(run.request.target)

        def ended(self, run: Run, end: Any) -> None:
            """Take the end."""

    table = RunTable((Told(),), Diagnostics(strict=True), time_limit=60, size_limit=1)
    table._open = Changing()
    ids = [uuid4(), uuid4()]
    for number, run_id in enumerate(ids):
        table.start(run_id, None, Request("", f"run {number}"))
    assert told == ["run 0", "run 1"]
