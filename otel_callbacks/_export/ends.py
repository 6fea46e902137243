"""The ways in which a process ends, and what is sent before it does.

`atexit` covers a plain end and Ctrl-C. It does not cover SIGTERM, which ends a Python
process at once, nor a child of `multiprocessing` or Celery, which ends by `os._exit`.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_PATIENCE: Final = 3.0
_INIT: Final = 1
# Each runs what is registered after a fork, and at its children's ends.
_FORKERS: Final = ("multiprocessing", "billiard")


class LastCalls:
    """Sends the last calls at the end of the process."""

    def __init__(self, end: Callable[[], object], flush: Callable[[], object]) -> None:
        self._end = end
        self._flush = flush
        self._is_watching = False

    def watch(self) -> None:
        """Be there when the process ends."""
        self._is_watching = True
        atexit.register(self._end)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        for name in _FORKERS:
            processes = sys.modules.get(f"{name}.process")
            # Their main process has no parent; it ends with `atexit`.
            if getattr(processes and processes.current_process(), "_parent_pid", None):
                self.finalize(sys.modules[f"{name}.util"])
        self._watch_celery()

    def forget(self) -> None:
        """Leave nothing behind."""
        if not self._is_watching:
            return
        self._is_watching = False
        atexit.unregister(self._end)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) == self._on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def in_child(self) -> None:
        """Be there at the end of a child that was just forked."""
        if not self._is_watching:
            return
        for name in _FORKERS:
            forker = sys.modules.get(f"{name}.util")
            if forker is not None:
                # It forgets its parent's finalizers first, so not at once.
                forker.register_after_fork(self, _finalize)
        self._watch_celery()

    def _watch_celery(self) -> None:
        """Be there at the end of a Celery worker's process."""
        celery = sys.modules.get("celery.signals")
        if celery is not None:
            celery.worker_process_shutdown.connect(self._on_celery, weak=False)

    def finalize(self, forker: Any) -> None:
        """Have the end called by what ends this child."""
        forker.Finalize(None, self._end, exitpriority=0)

    def _on_celery(self, **_: Any) -> None:
        """End with a Celery worker's process."""
        self._end()

    def _on_sigterm(self, number: int, _: FrameType | None) -> None:
        """Send, then end by the signal as if nobody had been there."""
        # Process 1 of a container does not end by it; then the app works on.
        is_init = os.getpid() == _INIT
        # In a thread: what this interrupted may hold a lock that sending needs.
        target = self._flush if is_init else self._end
        sending = threading.Thread(target=target, daemon=True)
        sending.start()
        sending.join(_PATIENCE)
        if not is_init:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _finalize(last_calls: LastCalls) -> None:
    """Register the end with each module that runs one; the others never do."""
    for name in _FORKERS:
        forker = sys.modules.get(f"{name}.util")
        if forker is not None:
            last_calls.finalize(forker)
