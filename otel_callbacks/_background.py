"""What callbacks leave for later: sums, and jobs for one thread.

A callback may run in a finalizer or a signal handler, on top of code that holds any
lock. So it appends a job here, and this thread does what may have to wait.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import queue
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_INTERVAL_AT_LEAST: Final = 0.05
_INTERVAL_AT_MOST: Final = 5.0
_PATIENCE: Final = 5.0
_POLL: Final = 0.001
_ONLY: Final = "thread"


_ONE: Final = (True,)


def once() -> Iterator[bool]:
    """Return what can be taken one time: by `itertools.compress`, in a step of C."""
    return iter(_ONE)


class Forkable(Protocol):
    """Something that must start anew in a forked child."""

    def after_fork(self) -> None:
        """Start anew."""


_forkables: weakref.WeakSet[Forkable] = weakref.WeakSet()


def call_after_fork(forkable: Forkable) -> None:
    """Call this object's ``after_fork`` in every child forked from now on."""
    _forkables.add(forkable)


def _in_child() -> None:
    """Tell every object that is still there; last those that use others' locks."""
    for forkable in sorted(_forkables, key=_uses_others):
        forkable.after_fork()


def _uses_others(forkable: Forkable) -> bool:
    """Say whether an object reads others when it starts anew."""
    return getattr(forkable, "forks_last", False)


os.register_at_fork(after_in_child=_in_child)


class ForkSafeLock:
    """Holds a lock of a module, and renews it in a child: a thread may hold the old."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self.lock = threading.RLock()


_Entry = TypeVar("_Entry")
_Sums = TypeVar("_Sums")

FOLD_AT: Final = 256
"""Entries that wait at most, so that what nobody reads does not grow."""

# Whether to wait for a lock.
_AT_ONCE: Final = (False,)


class Tally(Generic[_Entry, _Sums]):
    """Sums of entries, in the order in which they were added.

    An addition is one append, which waits for nothing. Whoever reads, folds; of two who
    read at once, one shortens the log.
    """

    __slots__ = ("__weakref__", "_fold", "_folded", "_lock", "_log")

    def __init__(
        self, nothing: _Sums, fold: Callable[[_Sums, Sequence[_Entry]], _Sums]
    ) -> None:
        self._fold = fold
        # Entries are wrapped, as two of them may be one object.
        self._log: deque[tuple[_Entry]] = deque()
        self._folded: tuple[_Sums, tuple[_Entry] | None] = (nothing, None)
        self._lock = threading.Lock()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self._lock = threading.Lock()

    def add(self, entry: _Entry) -> None:
        """Add an entry."""
        self.extend((entry,))

    def extend(self, entries: Iterable[_Entry]) -> None:
        """Add entries, in one step of C: no interrupt comes between them.

        Where they come from an iterator of C, none comes between taking one out of that
        and adding it: whoever is interrupted may try again, and adds the rest.
        """
        self._log.extend(zip(entries))
        if len(self._log) >= FOLD_AT:
            self.read()

    def read(self) -> _Sums:
        """Return the sums of all entries that have been added."""
        lock = self._lock
        mine: list[bool] = []
        try:
            # In one step: a lock whose holder does not know of it stays locked.
            mine.extend(map(lock.acquire, _AT_ONCE))
            folded = log = None
            while log is None or folded is not self._folded:
                folded = self._folded
                log = self._log.copy()
            sums, last = folded
            fresh = list(log)
            # Whoever folded before may not have taken all of it off the log yet.
            for position, entry in enumerate(fresh):
                if entry is last:
                    del fresh[: position + 1]
                    break
            if fresh:
                sums = self._fold(sums, [entry for (entry,) in fresh])
            if mine[0] and log:
                self._folded = sums, log[-1]
                for _ in log:
                    self._log.popleft()
            return sums
        finally:
            if mine and mine[0]:
                lock.release()


class Worker(Protocol):
    """Somebody who has jobs done."""

    def work(self, job: Any, /) -> None:
        """Do a job; what it raises is dropped."""


class Looker(Worker, Protocol):
    """Somebody who also looks at the clock now and then."""

    interval: float
    is_watched: bool

    def look(self) -> None:
        """Look at the clock; what it raises is dropped."""


class Background:
    """A daemon thread, started when it is needed; it ends when nobody is left."""

    def __init__(self) -> None:
        self.after_fork()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Begin with nothing: the thread and its jobs stayed in the other process."""
        self._jobs: deque[tuple[weakref.ref[Any], object]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lookers: dict[int, weakref.ref[Looker]] = {}
        # The thread, by a key: of two that come at once, one sets it.
        self._threads: dict[str, threading.Thread] = {}
        self._is_busy = False

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, if it has been started."""
        return self._threads.get(_ONLY)

    def put(self, worker: weakref.ref[Any], job: object) -> None:
        """Leave a job to the thread; may be called from anywhere."""
        self._jobs.append((worker, job))
        if self._wake.empty():
            self._wake.put(None)
        if not self._threads:
            self._start()

    def add(self, looker: Looker) -> None:
        """Let somebody look at the clock, and start the thread unless it runs."""
        key = id(looker)
        looker.is_watched = True
        self._lookers[key] = weakref.ref(looker, lambda _: self._remove(key))
        self._start()

    def remove(self, looker: Looker) -> None:
        """Let somebody look at the clock no more."""
        looker.is_watched = False
        self._remove(id(looker))
        self._wake.put(None)

    def drain(self, patience: float = _PATIENCE) -> None:
        """Do now what waits; wait these seconds for what the thread is doing."""
        until = time.monotonic() + patience
        while self._do_one():
            pass
        if threading.current_thread() is not self.thread:
            while self._is_busy and time.monotonic() < until:
                time.sleep(_POLL)

    def _remove(self, key: int) -> None:
        """Forget a looker."""
        self._lookers.pop(key, None)

    def _start(self) -> None:
        """Start the thread unless another one runs."""
        thread = threading.Thread(
            target=self._run, name="otel-callbacks-reaper", daemon=True
        )
        try:
            if self._threads.setdefault(_ONLY, thread) is thread:
                # Not from here: whoever is interrupted may hold the locks of
                # `Thread.start`, and that waits for the thread to run.
                _thread.start_new_thread(self._begin, (thread,))
        except BaseException as error:
            self._give_up()
            if not isinstance(error, RuntimeError):
                raise

    def _begin(self, thread: threading.Thread) -> None:
        """Start the thread, or leave that to whoever comes next."""
        try:
            thread.start()
        except RuntimeError:
            # No threads left, or the interpreter is ending: scrapes and `close` do
            # what waits, too.
            self._give_up()

    def _give_up(self) -> None:
        """Let whoever comes next try to start a thread."""
        self._threads.pop(_ONLY, None)
        for looker_ref in list(self._lookers.values()):
            looker = looker_ref()
            if looker is not None:
                looker.is_watched = False

    def _run(self) -> None:
        """Do what comes until nobody is left."""
        thread = threading.current_thread()
        looked = time.monotonic()
        while True:
            interval = self._interval()
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=interval)
            self._is_busy = True
            try:
                while self._do_one():
                    pass
                if time.monotonic() - looked >= interval:
                    self._look()
                    looked = time.monotonic()
            finally:
                self._is_busy = False
            if self.thread is not thread:
                self._wake.put(None)  # this may have been another one's
                return
            if not self._lookers:
                self._threads.pop(_ONLY, None)
                if self._lookers:  # somebody came at this moment
                    self._start()
                return

    def _interval(self) -> float:
        """Return the seconds between two looks at the clock."""
        asked = [one.interval for ref in self._refs() if (one := ref()) is not None]
        shortest = min(asked, default=_INTERVAL_AT_MOST)
        return min(max(shortest, _INTERVAL_AT_LEAST), _INTERVAL_AT_MOST)

    def _look(self) -> None:
        """Let everybody look at the clock."""
        for looker_ref in self._refs():
            # Whatever happens to one, the thread goes on for the others.
            with contextlib.suppress(BaseException):
                looker = looker_ref()
                if looker is not None:
                    looker.look()
            looker = None

    def _refs(self) -> list[weakref.ref[Looker]]:
        """Return who looks at the clock."""
        return list(self._lookers.values())

    def _do_one(self) -> bool:
        """Do one job, if one waits."""
        try:
            worker_ref, job = self._jobs.popleft()
        except IndexError:
            return False
        with contextlib.suppress(BaseException):
            worker: Worker | None = worker_ref()
            if worker is not None:
                worker.work(job)
        return True


background: Final = Background()
"""The thread of this process."""


class _Collection:
    """Which thread collects garbage at this moment."""

    thread = 0


def is_collecting() -> bool:
    """Say whether the garbage collector has called whoever asks.

    Then this runs on top of any code: it may hold a lock of the SDK, or, up to Python
    3.11, be in the middle of setting a context variable, where another one's set is a
    crash: https://github.com/python/cpython/issues/97922
    """
    return _Collection.thread == threading.get_ident()


def _note_collection(phase: str, _: object) -> None:
    """Note that a collection begins or ends, as `gc.callbacks` says."""
    _Collection.thread = threading.get_ident() if phase == "start" else 0


def watch_collections() -> None:
    """Have `is_collecting` know; safe twice."""
    if _note_collection not in gc.callbacks:
        gc.callbacks.append(_note_collection)
