"""The background thread, and sums that are folded later."""

from __future__ import annotations

import _thread
import contextlib
import functools
import gc
import os
import sys
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from waiting import WAIT_S, wait_until

# What must hold inside of it: no lock on a callback's path, and none after a fork.
from otel_callbacks import _background as _tally
from otel_callbacks import _background as forks
from otel_callbacks._background import Background, ForkSafeLock, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType


class Looker:
    """Keeps what it does, and in which thread."""

    made: ClassVar[weakref.WeakSet[Looker]] = weakref.WeakSet()

    def __init__(self, interval: float = 60.0) -> None:
        self.made.add(self)
        self.interval = interval
        self.is_watched = False
        self.done: list[tuple[object, str]] = []
        self.looks = 0

    def work(self, job: Any) -> None:
        """Keep the job and the thread's name."""
        self.done.append((job, threading.current_thread().name))
        if isinstance(job, BaseException):
            raise job

    def look(self) -> None:
        """Count the looks, and fail at each."""
        self.looks += 1
        raise SystemExit


@pytest.fixture
def thread() -> Iterator[Background]:
    """Return a background whose thread has ended after the test."""
    one = Background()
    yield one
    for looker in list(Looker.made):
        one.remove(looker)
    one.remove(Looker())  # wakes it where nobody is left, too
    wait_until(lambda: one.thread is None)


def add(thread: Background, looker: Looker) -> None:
    """Let somebody look, until it has."""
    thread.add(looker)
    wait_until(lambda: looker.looks)


NAME = "otel-callbacks-reaper"


def test_it_does_what_is_put(thread: Background) -> None:
    """A job runs in the one daemon thread."""
    looker = Looker()
    thread.add(looker)
    assert looker.is_watched
    started = thread.thread
    assert started is not None
    assert started.daemon
    for job in (1, 2):
        thread.put(weakref.ref(looker), job)
    wait_until(lambda: len(looker.done) == 2)
    assert looker.done == [(1, NAME), (2, NAME)]
    thread.add(looker)
    assert thread.thread is started


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), SystemExit()])
def test_it_survives_what_a_job_raises(
    thread: Background, error: BaseException
) -> None:
    """Jobs after one that raises still run."""
    looker = Looker()
    thread.add(looker)
    thread.put(weakref.ref(looker), error)
    thread.put(weakref.ref(looker), 2)
    wait_until(lambda: len(looker.done) == 2)


def test_it_looks_at_the_clock_again_and_again(thread: Background) -> None:
    """Checks repeat even if one raises and even if many jobs wait."""
    looker = Looker(interval=0.0)
    thread.add(looker)
    wait_until(lambda: looker.looks >= 3)


def test_a_check_is_not_late_because_of_others(
    thread: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for a rare check wakes up for a frequent one."""
    monkeypatch.setattr(_tally, "_INTERVAL_AT_MOST", 2 * WAIT_S)
    rare, frequent = Looker(2 * WAIT_S), Looker(0.05)
    thread.add(rare)
    thread.put(weakref.ref(rare), "job")
    wait_until(lambda: rare.done)
    thread.add(frequent)
    wait_until(lambda: frequent.looks)


@pytest.mark.parametrize(
    ("interval", "kept"), [(0.0, 0.05), (0.05, 0.05), (1.0, 1.0), (900.0, 5.0)]
)
def test_interval_is_bounded(thread: Background, interval: float, kept: float) -> None:
    """A tiny time limit causes no busy loop, and a long one no late check."""
    looker, other = Looker(interval), Looker(1_000.0)
    thread.add(looker)
    thread.add(other)
    # A clock would show it, and a slow machine would show another one.
    assert thread._interval() == kept
    assert Background()._interval() == 5.0


def test_drain_does_it_in_the_callers_thread(
    thread: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`drain` runs the remaining jobs in the caller's thread."""
    looker = Looker()
    monkeypatch.setattr(_thread, "start_new_thread", lambda *_: None)
    thread.put(weakref.ref(looker), 1)
    gone = Looker()
    thread.put(weakref.ref(gone), 2)
    del gone
    gc.collect()
    thread.drain()
    assert looker.done == [(1, threading.current_thread().name)]
    thread.after_fork()  # it waits for no thread that never began


def test_drain_waits_for_what_is_being_done(thread: Background) -> None:
    """`drain` waits for the job in progress, and the thread keeps running."""
    started, release = threading.Event(), threading.Event()

    class Slow(Looker):
        def work(self, job: Any) -> None:
            started.set()
            release.wait(60)
            super().work(job)
            thread.drain()

    looker = Slow()
    thread.put(weakref.ref(looker), 1)
    started.wait(60)
    threading.Timer(0.05, release.set).start()
    thread.drain()
    assert looker.done == [(1, NAME)]


def test_no_thread_can_be_had(
    thread: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no thread can start, the app continues and the next job tries again."""
    looker, gone = Looker(), [Looker()]
    armed: list[bool] = []

    class Drops(Looker):
        """Lets another one go when it hears that nobody looks."""

        @property
        def is_watched(self) -> bool:  # type: ignore[override]
            """Be watched by nobody."""
            return False

        @is_watched.setter
        def is_watched(self, is_watched: bool) -> None:  # type: ignore[override]
            """Let it go."""
            if armed and not is_watched:
                gone.clear()

    def fail(*_: object) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    drops = Drops()
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", fail)
        thread.add(looker)
        assert thread.thread is None
        assert not looker.is_watched
        thread.add(drops)
        thread.add(gone[0])
        armed.append(True)
        thread.add(looker)
        assert gone == []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        thread.add(looker)
        wait_until(lambda: not looker.is_watched)
        # Coverage does not see the thread that begins it.
        thread._begin(threading.Thread())
    thread.add(looker)
    thread.put(weakref.ref(looker), 1)
    wait_until(lambda: looker.done)


def test_an_interrupt_of_its_start_leaves_that_to_the_next(
    thread: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt is raised, and the thread does not count as started."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    looker = Looker()
    with monkeypatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", interrupt)
        with pytest.raises(KeyboardInterrupt):
            thread.add(looker)
    assert not looker.is_watched
    thread.add(looker)
    thread.put(weakref.ref(looker), 1)
    wait_until(lambda: looker.done)


def test_it_ends_without_periodic_checks(thread: Background) -> None:
    """The thread ends without checks, and starts again for the next job."""
    (ref,) = [
        weakref.ref(one)
        for one in [Looker(interval=0.0)]
        if not add(thread, one)  # type: ignore[func-returns-value]
    ]
    wait_until(lambda: gc.collect() is not None and ref() is None)
    wait_until(lambda: thread.thread is None)
    another = Looker()
    thread.add(another)
    thread.put(weakref.ref(another), 1)
    wait_until(lambda: another.done)


def called_back(
    at: int, events: str, action: Callable[[], object]
) -> tuple[Callable[..., None], list[bool]]:
    """Return a profiler that acts at the n-th call of C of the thread's module.

    Unlike a tracer it leaves coverage alone; Python may interrupt after such calls.
    """
    left, reached = [at], []

    def profiler(frame: FrameType, event: str, _: object) -> None:
        if event == events and frame.f_code.co_filename == _tally.__file__:
            left[0] -= 1
            if left[0] == 0:
                reached.append(True)
                action()

    return profiler, reached


def test_a_check_is_added_as_it_ends() -> None:
    """Whichever call of C the thread has just made: a new check has a thread."""
    at, reached = 0, [True]
    while reached:
        thread, worker, looker = Background(), Looker(), Looker()
        profiler, reached = called_back(
            at := at + 1,
            "c_return",
            functools.partial(thread.add, looker),
        )
        threading.setprofile(profiler)
        try:
            thread.put(weakref.ref(worker), at)
            wait_until(lambda: worker.done and (thread.thread is None or reached))  # noqa: B023 -- waits here
        finally:
            threading.setprofile(None)  # type: ignore[arg-type]
        if reached:
            thread.put(weakref.ref(looker), at)
            wait_until(lambda: looker.done)  # noqa: B023
        thread.remove(looker)
        wait_until(lambda: thread.thread is None)  # noqa: B023
    assert at > 5


def test_a_forked_child_begins_anew(thread: Background) -> None:
    """A forked child has neither the parent's thread nor its waiting jobs."""
    looker = Looker()
    thread.add(looker)
    old = thread.thread
    thread.after_fork()
    assert thread.thread is None
    thread.add(looker)
    assert thread.thread is not old
    thread.put(weakref.ref(looker), 1)
    wait_until(lambda: looker.done)


def test_a_collected_object_is_not_checked(thread: Background) -> None:
    """A collected object is skipped while the others are checked."""
    gone = [Looker()]

    class Drops(Looker):
        """Lets another one go at each look."""

        def look(self) -> None:
            """Let it go."""
            gone.clear()
            super().look()

    drops = Drops(interval=0.0)
    thread.add(drops)
    thread.add(gone[0])
    wait_until(lambda: drops.looks >= 2)
    assert gone == []


class Counter:
    """Counts how often it was called after a fork."""

    def __init__(self) -> None:
        self.times = 0

    def after_fork(self) -> None:
        """Count."""
        self.times += 1


def test_child_is_reset_and_parent_is_not() -> None:
    """In a forked child each object is reset; in the parent nothing changes."""
    counter = Counter()
    forks.call_after_fork(counter)
    with warnings.catch_warnings():
        # From Python 3.12 on it warns where threads run, as a session's servers do.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        os._exit(10 + counter.times)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 11
    assert counter.times == 0


def test_every_object_is_reset_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each object is reset once, even if it was registered twice."""
    # A real child is not measured, and all of this process must not be reset.
    monkeypatch.setattr(forks, "_forkables", weakref.WeakSet())
    first, second = Counter(), Counter()
    for one in (first, second, first):
        forks.call_after_fork(one)
    forks._in_child()
    assert (first.times, second.times) == (1, 1)


def test_objects_are_held_weakly() -> None:
    """An object without references is collected."""
    counter = Counter()
    forks.call_after_fork(counter)
    ref = weakref.ref(counter)
    del counter
    gc.collect()
    assert ref() is None


def test_locks_of_a_child_are_its_own() -> None:
    """The parent may have forked while another thread held the lock."""
    holder, other = ForkSafeLock(), ForkSafeLock()
    before = holder.lock
    held = threading.Thread(target=before.acquire)
    held.start()
    held.join()
    holder.after_fork()
    assert holder.lock.acquire(blocking=False)
    assert other.lock.acquire(blocking=False)


def added(total: int, entries: Sequence[int]) -> int:
    """Add numbers up."""
    return total + sum(entries)


def test_sums_are_of_all_that_was_added() -> None:
    """A read does not change the result of the next read."""
    tally = Tally(0, added)
    assert tally.read() == 0
    tally.add(3)
    tally.add(3)
    assert tally.read() == 6
    assert tally.read() == 6
    tally.add(1)
    assert tally.read() == 7


class Entry:
    """What is added, as an object that can be seen to go."""


def test_an_unread_log_does_not_grow() -> None:
    """The log is folded at a fixed number of entries."""
    entries: weakref.WeakSet[Entry] = weakref.WeakSet()
    tally: Tally[Entry, int] = Tally(0, lambda total, more: total + len(more))
    for _ in range(10 * _tally.FOLD_AT + 5):
        entry = Entry()
        entries.add(entry)
        tally.add(entry)
    # The last one that was folded is kept.
    assert len(entries) == 5 + 1
    assert tally.read() == 10 * _tally.FOLD_AT + 5


def test_threads_lose_nothing() -> None:
    """Concurrent additions and folds lose no entry."""
    tally = Tally(0, added)
    seen: list[int] = []

    def work() -> None:
        for _ in range(2_000):
            tally.add(1)
            seen.append(tally.read())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.read() == 8_000
    assert max(seen) == 8_000


def reading_inside(depth: int) -> Tally[int, int]:
    """Return a tally that is added to and read while it folds, as by a finalizer."""
    left = [depth]

    def fold(total: int, entries: Sequence[int]) -> int:
        if left[0]:
            left[0] -= 1
            tally.add(100)
            inside.append(tally.read())
        return added(total, entries)

    inside: list[int] = []
    tally = Tally(0, fold)
    return tally


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_it_may_be_read_while_it_folds(depth: int) -> None:
    """A read that interrupts a fold sees all entries and loses none."""
    tally = reading_inside(depth)
    tally.add(1)
    tally.read()
    assert tally.read() == 1 + 100 * depth
    assert tally.read() == 1 + 100 * depth


class Stop(BaseException):
    """An interrupt."""


def stop() -> None:
    """Interrupt."""
    raise Stop


def test_an_interrupt_counts_nothing_twice() -> None:
    """Wherever Python may interrupt a read: folded entries are skipped."""
    at, reached = 0, [True]
    while reached:
        tally = Tally(0, added)
        for number in (1, 10, 100):
            tally.add(number)
        profiler, reached = called_back(at := at + 1, "c_return", stop)
        before = sys.getprofile()
        sys.setprofile(profiler)
        try:
            with contextlib.suppress(Stop):
                tally.read()
        finally:
            sys.setprofile(before)
        tally.add(1_000)
        assert tally.read() == tally.read() == 1_111
    assert at > 5


class Held:
    """A tally that another thread folds until it is let go."""

    def __init__(self, *, fails: bool = False) -> None:
        self.reached, self.release = threading.Event(), threading.Event()
        self.fails = fails
        self.sizes: list[int] = []
        self.tally = Tally(0, self.fold)
        self.thread = threading.Thread(target=self.read, daemon=True)

    def start(self) -> None:
        """Let the thread come to the middle of its fold."""
        self.tally.add(1)
        self.thread.start()
        assert self.reached.wait(WAIT_S)

    def read(self) -> None:
        """Read, in the thread."""
        with contextlib.suppress(Stop):
            self.tally.read()

    def fold(self, total: int, entries: Sequence[int]) -> int:
        """Add numbers up, in the thread when it may."""
        self.sizes.append(len(entries))
        if threading.current_thread() is self.thread:
            self.reached.set()
            assert self.release.wait(WAIT_S)
            if self.fails:
                raise Stop
        return added(total, entries)

    def let_go(self) -> None:
        """Let the thread end."""
        self.release.set()
        self.thread.join(WAIT_S)


def test_a_read_looks_again_where_another_has_folded() -> None:
    """Whenever the other one ends its fold, sums and log fit together."""
    at, reached = 0, [True]
    while reached:
        held = Held()
        held.start()
        held.tally.add(10)
        profiler, reached = called_back(at := at + 1, "c_call", held.let_go)
        before = sys.getprofile()
        sys.setprofile(profiler)
        try:
            assert held.tally.read() == 11
        finally:
            sys.setprofile(before)
        held.let_go()
        assert held.tally.read() == 11
    assert at >= 3


def test_a_forked_child_folds() -> None:
    """The lock may have been held by a thread that the child does not have."""
    held = Held(fails=True)
    held.start()
    assert held.tally.read() == 1
    held.tally.after_fork()
    folds: list[int] = []
    for number in range(3):
        held.tally.add(number)
        folds.append(held.tally.read())
    assert folds == [1, 2, 4]
    # What is folded leaves the log.
    assert held.sizes[-2:] == [1, 1]
    held.let_go()
    assert held.tally.read() == 4
