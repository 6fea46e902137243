"""Detection and end of lost runs."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from waiting import WAIT_S

from otel_callbacks._background import Background, background
from otel_callbacks._diagnostics import Counts
from otel_callbacks._records import Request
from otel_callbacks._runs import lost
from otel_callbacks._runs.lost import LostRuns
from otel_callbacks._runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

# Far more than it takes.
HOUR = 3600.0


class Table:
    """A table of open runs that keeps who was lost."""

    def __init__(
        self, time_limit: float = HOUR, thread: Background = background
    ) -> None:
        self.open: dict[int, Run] = {}
        self.ended: list[tuple[str, str, str]] = []
        self.counts = Counts()
        self.lost = LostRuns(
            self, time_limit=time_limit, counts=self.counts, thread=thread
        )

    def start(self, run_id: UUID, name: str = "run", parent: Run | None = None) -> Run:
        """Put a run in."""
        run = Run(run_id.int, Request("", name), parent)
        if parent is not None:
            parent.children = {**(parent.children or {}), run.key: run}
        self.open[run.key] = run
        self.lost.watch(run, run_id)
        return run

    def leave(self, run: Run) -> None:
        """Take a run out, as its end was reported."""
        del self.open[run.key]
        run.ref = None

    def end_lost(self, run: Run, outcome: str) -> bool:
        """Take a lost run out, unless it has ended."""
        if self.open.pop(run.key, None) is None:
            return False
        self.ended.append((run.request.target, outcome, run.lost))
        return True

    def open_runs(self) -> list[Run]:
        """Return the open runs, oldest first."""
        return list(self.open.values())

    def unfinished(self, _: int) -> list[Run]:
        """Return no run: all ends are finished here."""
        return []

    def complete(self, run: Run) -> None:
        """Keep the run as one whose end was finished later."""
        self.ended.append((run.request.target, "completed", run.lost))


@pytest.fixture
def table() -> Iterator[Table]:
    """Return a table whose thread has been stopped after the test."""
    table = Table()
    yield table
    table.lost.close()


def wait_for_end(table: Table) -> None:
    """Wait until the thread has ended a run."""
    until = time.monotonic() + WAIT_S
    while not table.ended:
        assert time.monotonic() < until, "no run was ended"
        time.sleep(0.005)


def test_reasons_are_these() -> None:
    """Each reason is a value of the label that pages and alerts name."""
    expected = (
        "forgotten",
        "task_cancelled",
        "parent_ended",
        "time_limit",
        "size_limit",
        "replaced",
        "closed",
    )
    assert expected == lost.REASONS


def test_run_whose_id_is_gone_is_abandoned(table: Table) -> None:
    """Outside a task, a run that LangChain has forgotten was abandoned."""
    run_id = uuid4()
    run = table.start(run_id)
    del run_id
    gc.collect()
    assert not run.open
    wait_for_end(table)
    assert table.ended == [("run", "abandoned", "forgotten")]
    assert table.counts.read()["forgotten",] == 1
    assert table.lost.recall(run.key) is run


async def test_run_forgotten_in_a_task_is_cancelled(table: Table) -> None:
    """Inside a task, a run whose id is gone without a report was cancelled."""
    run_id = uuid4()
    table.start(run_id)
    del run_id
    gc.collect()
    background.drain()
    wait_for_end(table)
    assert table.ended == [("run", "cancelled", "forgotten")]


async def test_run_of_a_cancelled_task_is_cancelled(table: Table) -> None:
    """A cancelled task's runs are lost, though somebody keeps their ids."""
    run_id = uuid4()

    async def start(own_id: UUID) -> None:
        table.start(own_id)
        await asyncio.Event().wait()

    task = asyncio.create_task(start(run_id))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    background.drain()
    wait_for_end(table)
    assert table.ended == [("run", "cancelled", "task_cancelled")]
    del run_id, task
    gc.collect()
    background.drain()
    assert sum(table.counts.read().values()) == 1


def test_id_that_goes_after_the_end_means_nothing(table: Table) -> None:
    """A run that has ended and released its reference is not lost."""
    run_id = uuid4()
    run = table.start(run_id)
    ref: Any = run.ref
    table.leave(run)
    ref.__callback__(ref)
    assert not run.lost
    assert table.ended == []


def test_loss_of_a_run_that_has_ended_is_not_counted(table: Table) -> None:
    """Whoever comes too late counts nothing and remembers nothing."""
    run_id = uuid4()
    run = table.start(run_id)
    table.leave(run)
    table.lost.lose(run, lost.TIME_LIMIT, "abandoned")
    assert sum(table.counts.read().values()) == 0
    assert table.lost.recall(run.key) is None


def test_time_limit_counts_from_the_last_sign_of_life() -> None:
    """A run is given up when neither it nor what is below it has done anything."""
    table = Table(time_limit=1)
    silent, root, leaf = uuid4(), uuid4(), uuid4()
    table.start(silent, "silent")
    parent = table.start(root, "root")
    child = table.start(leaf, "leaf", parent)
    until = time.monotonic() + WAIT_S
    while not table.ended:
        child.chunks = [*(child.chunks or []), time.perf_counter_ns()]  # type: ignore[assignment]
        assert time.monotonic() < until
        time.sleep(0.005)
    assert table.ended == [("silent", "abandoned", "time_limit")]
    assert parent.tick > parent.start_tick
    assert table.open_runs() == [parent, child]
    table.lost.close()


def test_the_time_limit_is_checked_four_times_within_it() -> None:
    """A silent run stays open for a quarter of the limit too long at most."""
    table = Table(time_limit=400)
    assert table.lost.interval == 100
    table.lost.close()


def test_a_run_that_is_lost_twice_stays_remembered(table: Table) -> None:
    """Two threads may notice it; the tokens of a late end are counted all the same."""
    run_id = uuid4()
    run = table.start(run_id)
    for reason in (lost.TIME_LIMIT, lost.SIZE_LIMIT):
        table.lost.lose(run, reason, "abandoned")
    assert table.ended == [("run", "abandoned", "time_limit")]
    assert table.lost.recall(run.key) is run


def test_lost_runs_that_are_remembered_are_bounded(table: Table) -> None:
    """As long as an id lives, its end may come; of the others a few are kept."""
    ids = [uuid4() for _ in range(1_500)]
    while len(table.ended) < len(ids):
        run = table.start(ids[len(table.ended)])
        table.lost.lose(run, lost.SIZE_LIMIT, "abandoned")
    keys = [run_id.int for run_id in ids]
    assert all(table.lost.recall(key) is not None for key in keys)
    ids.clear()
    gc.collect()
    assert not any(table.lost.recall(key) for key in keys)
    for key in keys[:1_001]:
        run = table.start(UUID(int=key), str(key))
        table.lost.lose(run, lost.SIZE_LIMIT, "abandoned")
    background.drain()  # which ends some of them, as their ids are gone
    known = sum(table.lost.recall(key) is not None for key in keys)
    assert 0 < known <= 1_000


async def test_close_distinguishes_cancelled_and_abandoned(table: Table) -> None:
    """A run whose task was cancelled, and is not told yet, was cancelled."""
    kept, other = uuid4(), uuid4()

    async def start() -> None:
        table.start(kept, "cancelled one")
        await asyncio.Event().wait()

    task = asyncio.create_task(start())
    await asyncio.sleep(0)
    table.start(other, "open one")
    task.cancel()
    # The loop does this after the task's last step and before its callbacks.
    asyncio.get_running_loop().call_soon(table.lost.close)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(table.ended) == [
        ("cancelled one", "cancelled", "closed"),
        ("open one", "abandoned", "closed"),
    ]
    assert table.counts.read() == {("closed",): 2}


def test_close_ends_children_first(table: Table) -> None:
    """A parent's span ends after those of its children, also at the very end."""
    root, middle, leaf = uuid4(), uuid4(), uuid4()
    parent = table.start(root, "root")
    table.start(leaf, "leaf", table.start(middle, "middle", parent))
    table.lost.close()
    assert [name for name, _, _ in table.ended] == ["leaf", "middle", "root"]
    assert table.counts.read()["closed",] == 3


async def test_child_that_still_works_outlives_its_parent(table: Table) -> None:
    """A run in a task of its own goes on when its parent ends, until its task ends."""
    root, leaf, same = uuid4(), uuid4(), uuid4()
    parent = table.start(root, "root")
    table.start(same, "same task", parent)
    release = asyncio.Event()

    async def work() -> None:
        table.start(leaf, "own task", parent)
        await release.wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    table.lost.end_descendants(parent, "abandoned")
    assert table.ended == [("same task", "abandoned", "parent_ended")]
    release.set()
    await task
    table.lost.end_descendants(parent, "abandoned")
    assert table.ended[1:] == [("own task", "abandoned", "parent_ended")]


def test_forked_child_forgets_the_parents_losses(table: Table) -> None:
    """In a child nothing is remembered, and its own losses are found."""
    run_id = uuid4()
    run = table.start(run_id)
    table.lost.lose(run, lost.SIZE_LIMIT, "abandoned")
    table.lost.after_fork()
    assert table.lost.recall(run.key) is None
    child = uuid4()
    table.ended.clear()
    table.start(child, "child's")
    del child
    gc.collect()
    wait_for_end(table)
    assert table.ended == [("child's", "abandoned", "forgotten")]


def test_time_limits_hold_in_a_forked_child() -> None:
    """Its own thread checks them, as the parent's is not there."""
    thread = Background()
    table = Table(time_limit=0.2, thread=thread)
    parents, own = uuid4(), uuid4()
    run = table.start(parents)
    table.leave(run)
    thread.after_fork()
    table.lost.after_fork()
    table.start(own, "child's")
    wait_for_end(table)
    assert table.ended == [("child's", "abandoned", "time_limit")]
    table.lost.close()


def test_close_waits_for_the_thread() -> None:
    """When ``close()`` returns, no span is still being ended in the thread."""
    began, release = threading.Event(), threading.Event()

    class Slow(Table):
        """A table whose sinks take their time."""

        def end_lost(self, run: Run, outcome: str) -> bool:
            """End a run slowly."""
            began.set()
            release.wait(WAIT_S)
            return super().end_lost(run, outcome)

    table = Slow()
    run_id = uuid4()
    table.start(run_id)
    table.open_runs = list  # type: ignore[method-assign]
    del run_id
    gc.collect()
    assert began.wait(WAIT_S)
    threading.Timer(0.2, release.set).start()
    table.lost.close()
    assert table.ended == [("run", "abandoned", "forgotten")]
