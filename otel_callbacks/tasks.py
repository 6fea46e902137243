"""Watches the asyncio tasks that runs start in.

A cancelled task says that the runs begun in it will never end. A task that is merely
done says nothing: for an async text model it is ``gather``'s child, for a stream read
step by step the first step's. Tasks are held weakly: a task holds the frames of its
coroutine, and these hold the run's id, whose end is the other sign we wait for.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.run import Run


class TaskWatch:
    """The open runs that started in one task.

    Args:
        task: The task.
    """

    __slots__ = ("runs", "task")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = weakref.ref(task)
        self.runs: dict[int, Run] = {}

    def is_running(self) -> bool:
        """Say whether the task still exists and is not done."""
        task = self.task()
        return task is not None and not task.done()


class TaskWatches:
    """One watch for each task that has started a run, gone when the task is done.

    Args:
        cancelled: Told the open runs of a task that was cancelled.
    """

    __slots__ = ("_cancelled", "_watches")

    def __init__(self, cancelled: Callable[[list[Run]], None]) -> None:
        self._cancelled = weakref.WeakMethod(cancelled)
        self._watches: dict[int, TaskWatch] = {}

    def watch(self, run: Run) -> TaskWatch | None:
        """Watch the current task, if the running loop has one, for this run.

        Args:
            run: The run that starts.

        Returns:
            The task's watch; None outside a task.
        """
        task = asyncio.current_task()
        if task is None:
            return None
        watch = self._watches.get(id(task))
        # The id of a task that is gone may be another's now.
        if watch is None or watch.task() is not task:
            watch = self._watches[id(task)] = TaskWatch(task)
            # A context of its own: the current one would keep its spans alive.
            task.add_done_callback(self._done, context=contextvars.Context())
        watch.runs[run.key] = run
        return watch

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Take a task's end: its runs are lost if it was cancelled."""
        watch = self._watches.pop(id(task), None)
        if watch is not None and watch.runs and task.cancelled():
            cancelled = self._cancelled()
            if cancelled is not None:
                cancelled(list(watch.runs.values()))
