"""Deferred work of callbacks: sums, and jobs for a background thread.

A callback may run in a finalizer or a signal handler, on top of code that holds any
lock. So it only appends a job here, and the thread does all work that may block.
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
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_INTERVAL_AT_LEAST: Final = 0.05
_INTERVAL_AT_MOST: Final = 5.0
_PATIENCE: Final = 5.0
_POLL: Final = 0.001
_ONLY: Final = "thread"


once: Final[Callable[[], Iterator[bool]]] = partial(iter, (True,))
"""Returns an iterator of one item, for `itertools.compress`: one step of C."""


class Forkable(Protocol):
    """An object that must be reset in a forked child."""

    def after_fork(self) -> None:
        """Reset the object."""


_forkables: weakref.WeakSet[Forkable] = weakref.WeakSet()


def call_after_fork(forkable: Forkable) -> None:
    """Call this object's ``after_fork`` in each forked child."""
    _forkables.add(forkable)


def _in_child() -> None:
    """Reset all living objects, last those that use the locks of others."""
    for forkable in sorted(_forkables, key=lambda one: hasattr(one, "forks_last")):
        forkable.after_fork()


os.register_at_fork(after_in_child=_in_child)


class ForkSafeLock:
    """The lock of a module, renewed in a forked child."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Renew the lock; a thread of the parent may hold the old one."""
        self.lock = threading.RLock()


_Entry = TypeVar("_Entry")
_Sums = TypeVar("_Sums")

FOLD_AT: Final = 256
"""The most entries that wait unfolded, so that a log that is never read is bounded."""

# Whether to wait for a lock.
_AT_ONCE: Final = (False,)


class Tally(Generic[_Entry, _Sums]):
    """Sums of entries: an addition never blocks, and a reader folds them in order."""

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
        """Renew the lock; a thread of the parent may hold the old one."""
        self._lock = threading.Lock()

    def add(self, entry: _Entry) -> None:
        """Add an entry."""
        self.extend((entry,))

    def extend(self, entries: Iterable[_Entry]) -> None:
        """Add entries in one step of C; a call that is interrupted can be repeated."""
        self._log.extend(zip(entries))
        if len(self._log) >= FOLD_AT:
            self.read()

    def read(self) -> _Sums:
        """Return the sums of all added entries."""
        lock = self._lock
        mine: list[bool] = []
        try:
            # In one step, so that an interrupt cannot leave the lock held.
            mine.extend(map(lock.acquire, _AT_ONCE))
            folded = log = None
            while log is None or folded is not self._folded:
                folded = self._folded
                log = self._log.copy()
            sums, last = folded
            fresh = list(log)
            # The last reader may not have removed all folded entries from the log.
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
    """An object that does jobs."""

    def work(self, job: Any, /) -> None:
        """Do a job; exceptions are dropped."""


class Looker(Worker, Protocol):
    """A worker with a periodic check."""

    interval: float
    is_watched: bool

    def look(self) -> None:
        """Do the periodic check; exceptions are dropped."""


class Background:
    """A daemon thread that starts on demand and ends without periodic checks."""

    def __init__(self) -> None:
        self.after_fork()
        call_after_fork(self)

    def after_fork(self) -> None:
        """Reset: the thread and its jobs belong to the parent process."""
        self._jobs: deque[tuple[weakref.ref[Any], object]] = deque()
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lookers: dict[int, weakref.ref[Looker]] = {}
        # A dict, so that of two concurrent starts only one sets the thread.
        self._threads: dict[str, threading.Thread] = {}
        self._is_busy = False

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, if it is started."""
        return self._threads.get(_ONLY)

    def put(self, worker: weakref.ref[Any], job: object) -> None:
        """Queue a job for the thread; safe to call anywhere."""
        self._jobs.append((worker, job))
        self._wake_up()
        if not self._threads:
            self._start()

    def add(self, looker: Looker) -> None:
        """Add a periodic check, and start the thread unless it is running."""
        key, lookers = id(looker), self._lookers
        looker.is_watched = True
        lookers[key] = weakref.ref(looker, lambda _: lookers.pop(key, None))
        self._start()
        self._wake_up()  # this interval may be shorter than that of others

    def remove(self, looker: Looker) -> None:
        """Remove a periodic check."""
        looker.is_watched = False
        self._lookers.pop(id(looker), None)
        self._wake.put(None)

    def drain(self, patience: float = _PATIENCE) -> None:
        """Do all queued jobs now; wait up to `patience` seconds for a running job."""
        until = time.monotonic() + patience
        while self._do_one():
            pass
        if threading.current_thread() is not self.thread:
            while self._is_busy and time.monotonic() < until:
                time.sleep(_POLL)

    def _wake_up(self) -> None:
        """Let the thread look for jobs, and for the shortest interval."""
        if self._wake.empty():
            self._wake.put(None)

    def _start(self) -> None:
        """Start the thread unless another one runs."""
        thread = threading.Thread(
            target=self._run, name="otel-callbacks-reaper", daemon=True
        )
        try:
            if self._threads.setdefault(_ONLY, thread) is thread:
                # Not here: interrupted code may hold the locks of `Thread.start`, which
                # also waits for the thread to run.
                _thread.start_new_thread(self._begin, (thread,))
        except BaseException as error:
            self._give_up()
            if not isinstance(error, RuntimeError):
                raise

    def _begin(self, thread: threading.Thread) -> None:
        """Start the thread; if that fails, a later call tries again."""
        try:
            thread.start()
        except RuntimeError:
            # No threads left, or the interpreter is exiting: scrapes and `close` also
            # do the jobs.
            self._give_up()

    def _give_up(self) -> None:
        """Forget the thread, so that a later call starts one."""
        self._threads.pop(_ONLY, None)
        for looker in self._alive():
            looker.is_watched = False

    def _run(self) -> None:
        """Do jobs and periodic checks until no check is left."""
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
                self._wake.put(None)  # it may have been for the other thread
                return
            if not self._lookers:
                self._threads.pop(_ONLY, None)
                if self._lookers:  # added in the meantime
                    self._start()
                return

    def _interval(self) -> float:
        """Return the seconds between two periodic checks."""
        intervals = [looker.interval for looker in self._alive()]
        shortest = min(intervals, default=_INTERVAL_AT_MOST)
        return min(max(shortest, _INTERVAL_AT_LEAST), _INTERVAL_AT_MOST)

    def _look(self) -> None:
        """Do all periodic checks."""
        for looker in self._alive():
            # An error of one must not stop the thread for the others.
            with contextlib.suppress(BaseException):
                looker.look()

    def _alive(self) -> Iterator[Looker]:
        """Yield the workers with a periodic check, each released after its turn."""
        for looker_ref in list(self._lookers.values()):
            if (looker := looker_ref()) is not None:
                yield looker
                del looker

    def _do_one(self) -> bool:
        """Do one job, if one is queued."""
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
    """The thread in which the garbage collector runs now."""

    thread = 0


def is_collecting() -> bool:
    """Return whether the garbage collector has called the current code.

    Then the interrupted code may hold a lock of the SDK or, up to Python 3.11, be in
    the middle of setting a context variable, where setting another one crashes: https://github.com/python/cpython/issues/97922
    """
    return _Collection.thread == threading.get_ident()


def _note_collection(phase: str, _: object) -> None:
    """Record the start or the end of a collection, as a callback of `gc`."""
    _Collection.thread = threading.get_ident() if phase == "start" else 0


def watch_collections() -> None:
    """Enable `is_collecting`; safe to call twice."""
    if _note_collection not in gc.callbacks:
        gc.callbacks.append(_note_collection)
