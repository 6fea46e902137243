"""Export the last spans, events and metrics when a process exits.

`atexit` covers a normal exit and Ctrl-C. It does not cover SIGTERM, which ends a Python
process at once, nor a child of `multiprocessing` or Celery, which exits by `os._exit`.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_PATIENCE: Final = 3.0
# Both have hooks that run after a fork and at the exit of a child.
_FORKERS: Final = ("multiprocessing", "billiard")


class LastCalls:
    """Exports the last calls when the process exits."""

    def __init__(self, end: Callable[[], object], flush: Callable[[], object]) -> None:
        self._end = end
        self._flush = flush
        self._is_watching = False

    def watch(self) -> None:
        """Register for each kind of exit of the process."""
        self._is_watching = True
        atexit.register(self._end)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        for name in _FORKERS:
            processes = sys.modules.get(f"{name}.process")
            # The main process has no parent; `atexit` covers it.
            if getattr(processes and processes.current_process(), "_parent_pid", None):
                self.finalize(sys.modules[f"{name}.util"])
        self._watch_celery()

    def forget(self) -> None:
        """Unregister."""
        if not self._is_watching:
            return
        self._is_watching = False
        atexit.unregister(self._end)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) == self._on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def in_child(self) -> None:
        """Register for the exit of a child that was just forked."""
        if not self._is_watching:
            return
        for name in _FORKERS:
            if (forker := sys.modules.get(f"{name}.util")) is not None:
                # After the fork hooks: the child first drops its parent's finalizers.
                finalize = functools.partial(LastCalls.finalize, forker=forker)
                forker.register_after_fork(self, finalize)
        self._watch_celery()

    def _watch_celery(self) -> None:
        """Register for the exit of a Celery worker process."""
        if (celery := sys.modules.get("celery.signals")) is not None:
            celery.worker_process_shutdown.connect(self._on_celery, weak=False)

    def finalize(self, forker: Any) -> None:
        """Register a finalizer with the module that ends this child."""
        forker.Finalize(None, self._end, exitpriority=0)

    def _on_celery(self, **_: Any) -> None:
        """End at the exit of a Celery worker process."""
        self._end()

    def _on_sigterm(self, number: int, _: FrameType | None) -> None:
        """Export, then let the signal end the process as by default."""
        # The signal does not end process 1 of a container; the app goes on.
        is_init = os.getpid() == 1
        # In a thread: the interrupted code may hold a lock that the export needs.
        target = self._flush if is_init else self._end
        sending = threading.Thread(target=target, daemon=True)
        sending.start()
        sending.join(_PATIENCE)
        if not is_init:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), number)
