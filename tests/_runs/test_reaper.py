"""The thread that ends lost runs."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest
from waiting import WAIT_S

from otel_callbacks._records import Request
from otel_callbacks._runs.lost import Reaper
from otel_callbacks._runs.run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Far more than it takes.


class Table:
    """Keeps what a reaper ends, and in which thread."""

    def __init__(self, interval: float = 60.0) -> None:
        self.reaped: list[tuple[int, str]] = []
        self.looks = 0
        self.reaper = Reaper(self.reap, self.expire, interval=interval)

    def reap(self, run: Run) -> None:
        """Keep the run's key and the thread's name."""
        self.reaped.append((run.key, threading.current_thread().name))

    def expire(self) -> None:
        """Count the looks at the clock."""
        self.looks += 1


@pytest.fixture
def table() -> Iterator[Table]:
    """Return a table whose thread has ended after the test."""
    table = Table()
    yield table
    stop(table)


def stop(table: Table) -> None:
    """Stop a table's thread and wait for its end."""
    thread = table.reaper.thread
    table.reaper.stop()
    if thread is not None:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def a_run(key: int) -> Run:
    """Return a run."""
    return Run(key, Request("chat", "gpt-4o-mini"), None)


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.005)


def test_thread_ends_what_is_put(table: Table) -> None:
    """A dead run is ended in the reaper's own thread."""
    table.reaper.start()
    table.reaper.put(a_run(1))
    table.reaper.put(a_run(2))
    wait_for(lambda: len(table.reaped) == 2)
    name = "otel-callbacks-reaper"
    assert table.reaped == [(1, name), (2, name)]


def test_thread_is_a_daemon_and_one(table: Table) -> None:
    """However often it is started, there is one thread, and no app waits for it."""
    table.reaper.start()
    thread = table.reaper.thread
    table.reaper.start()
    assert thread is not None
    assert table.reaper.thread is thread
    assert thread.daemon


def test_drain_ends_in_the_callers_thread(table: Table) -> None:
    """Whoever cannot wait for the thread ends the runs himself."""
    table.reaper.put(a_run(1))
    table.reaper.put(None)
    table.reaper.put(a_run(2))
    table.reaper.drain()
    name = threading.current_thread().name
    assert table.reaped == [(1, name), (2, name)]
    assert table.reaper.thread is None


def test_clock_is_looked_at_in_between() -> None:
    """Expired runs are looked for again and again."""
    table = Table(interval=0.0)
    table.reaper.start()
    wait_for(lambda: table.looks >= 2)
    stop(table)
    assert table.reaped == []


@pytest.mark.parametrize(
    ("asked", "kept"), [(0.0, 0.05), (0.05, 0.05), (1.0, 1.0), (900.0, 5.0)]
)
def test_interval_is_bounded(asked: float, kept: float) -> None:
    """A tiny time limit makes no busy loop, an hour's is not looked at too late."""
    assert Table(asked).reaper._interval == kept


def test_stop_ends_the_thread_and_what_waits(table: Table) -> None:
    """Nothing is left on the queue of a thread that is stopped; it may start again."""
    table.reaper.start()
    first = table.reaper.thread
    stop(table)
    table.reaper.put(a_run(1))
    table.reaper.stop()
    assert table.reaped == [(1, threading.current_thread().name)]
    table.reaper.start()
    assert table.reaper.thread is not first
    table.reaper.put(a_run(2))
    wait_for(lambda: len(table.reaped) == 2)


def test_no_thread_can_be_had(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that has no thread left goes on, and the next run tries again."""

    class NoThread(threading.Thread):
        """A thread that cannot be started."""

        def start(self) -> None:
            """Fail as Python does."""
            message = "can't start new thread"
            raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", NoThread)
        table.reaper.start()
    assert table.reaper.thread is None
    table.reaper.start()
    table.reaper.put(a_run(1))
    wait_for(lambda: table.reaped)


def test_table_that_nobody_uses_goes_with_its_thread() -> None:
    """The thread keeps neither the table nor the reaper alive."""
    table = Table(interval=0.0)
    table.reaper.start()
    thread, ref = table.reaper.thread, weakref.ref(table)
    until = time.monotonic() + WAIT_S
    while not table.looks:
        assert time.monotonic() < until
        time.sleep(0.005)
    del table
    gc.collect()
    assert ref() is None
    assert thread is not None
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_reaper_without_its_table_does_nothing(table: Table) -> None:
    """A reaper may outlive its table for a moment."""
    orphan = Reaper(Table().reap, Table().expire, interval=1.0)
    gc.collect()
    orphan.tick(a_run(1))
    orphan.tick(None)
    orphan.put(a_run(2))
    orphan.drain()
    assert table.reaped == []
    assert orphan._reap() is None


def test_forked_child_begins_anew(table: Table) -> None:
    """In a child neither the thread nor what waited in the parent is there."""
    table.reaper.start()
    old = table.reaper.thread
    table.reaper._lock.acquire()
    table.reaper.restart_after_fork()
    assert table.reaper.thread is None
    table.reaper.start()
    assert table.reaper.thread is not old
    table.reaper.put(a_run(1))
    wait_for(lambda: table.reaped)
    assert table.reaper.is_current(table.reaper.thread)  # type: ignore[arg-type]
    assert old is not None
    assert not table.reaper.is_current(old)


def test_thread_can_stop_itself() -> None:
    """A run that is ended in the thread may close its table there: no deadlock."""
    table = Table()

    def close(run: Run) -> None:
        table.reaped.append((run.key, "closed"))
        table.reaper.stop()

    table.reap = close  # type: ignore[method-assign]
    table.reaper._reap = lambda: close
    table.reaper.start()
    thread = table.reaper.thread
    assert thread is not None
    table.reaper.put(a_run(1))
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert table.reaped == [(1, "closed")]
