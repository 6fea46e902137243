"""The thread that ends lost runs.

A finalizer may run at any moment, also while a lock is held, so it only puts the run
on a queue; this thread does the rest. It is a daemon, started with the first run, and
holds its table weakly, so that a table nobody uses goes away with its thread.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.run import Run

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
