"""The asyncio tasks that runs start in, and their cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from typing import Any

import pytest

from otel_callbacks._records import Request
from otel_callbacks._runs.run import Run, TaskWatch, TaskWatches

REQUEST = Request("chat", "gpt-4o-mini")


class Owner:
    """Takes the runs of cancelled tasks."""

    def __init__(self) -> None:
        self.told: list[list[int]] = []
        self.watches = TaskWatches(self.cancelled)

    def cancelled(self, runs: list[Run]) -> None:
        """Keep the runs' keys."""
        self.told.append([run.key for run in runs])


def a_run(key: int) -> Run:
    """Return a run."""
    return Run(key, REQUEST, None)


def watches_of_all() -> list[TaskWatch]:
    """Return the watches that are kept by anybody."""
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is TaskWatch]


def watched() -> int:
    """Return how many tasks are watched."""
    return len(watches_of_all())


async def start_and_wait(owner: Owner, *keys: int) -> None:
    """Start runs in the current task and wait for an end that does not come."""
    for key in keys:
        owner.watches.watch(a_run(key))
    await asyncio.Event().wait()


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task and let its callbacks run."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)


async def test_cancelled_task_gives_up_its_runs() -> None:
    """The runs that are open in a cancelled task are told, all of them."""
    owner = Owner()
    task = asyncio.create_task(start_and_wait(owner, 1, 2))
    await asyncio.sleep(0)
    await cancel(task)
    assert owner.told == [[1, 2]]
    assert watched() == 0


async def test_task_that_is_done_reports_nothing() -> None:
    """A task that returns proves nothing about the runs that started in it."""
    owner = Owner()

    async def start() -> TaskWatch | None:
        return owner.watches.watch(a_run(1))

    watch = await asyncio.create_task(start())
    await asyncio.sleep(0)
    assert watch is not None
    assert not watch.is_running()
    assert owner.told == []
    del watch
    assert watched() == 0


async def test_ended_runs_are_not_reported() -> None:
    """A task whose runs have all ended has nothing to give up."""
    owner = Owner()
    task = asyncio.create_task(start_and_wait(owner, 1))
    await asyncio.sleep(0)
    (watch,) = watches_of_all()
    watch.runs.pop(1)
    del watch
    await cancel(task)
    assert owner.told == []


async def test_runs_of_one_task_share_a_watch() -> None:
    """One callback hangs on a task, however many runs start in it."""
    owner = Owner()
    first = owner.watches.watch(a_run(1))
    second = owner.watches.watch(a_run(2))
    other = await asyncio.create_task(_watch(owner, 3))
    assert first is second
    assert first is not None
    assert list(first.runs) == [1, 2]
    assert first.is_running()
    assert other is not first


async def _watch(owner: Owner, key: int) -> TaskWatch | None:
    return owner.watches.watch(a_run(key))


async def test_outside_a_task_nothing_is_watched() -> None:
    """A callback of the event loop runs in no task."""
    owner = Owner()
    found: asyncio.Future[TaskWatch | None] = asyncio.Future()
    asyncio.get_running_loop().call_soon(
        lambda: found.set_result(owner.watches.watch(a_run(1)))
    )
    assert await found is None
    assert watched() == 0


async def test_tasks_are_held_weakly() -> None:
    """A watch does not keep the task alive."""
    owner = Owner()
    task = asyncio.create_task(start_and_wait(owner, 1))
    await asyncio.sleep(0)
    (watch,) = watches_of_all()
    assert watch.is_running()
    await cancel(task)
    assert not watch.is_running()
    ref = weakref.ref(task)
    del task
    await asyncio.sleep(0)  # the loop lets go of what it has just called
    gc.collect()
    assert ref() is None
    assert watch.task() is None
    assert not watch.is_running()


async def test_deleted_owner_is_not_notified() -> None:
    """A table that nobody uses goes away, though its tasks still run."""
    owner = Owner()
    told = owner.told

    async def wait(watches: TaskWatches) -> None:
        watches.watch(a_run(1))
        await asyncio.Event().wait()

    task = asyncio.create_task(wait(owner.watches))
    await asyncio.sleep(0)
    watches = owner.watches
    del owner
    gc.collect()
    await cancel(task)
    assert told == []
    del watches
    assert watched() == 0


async def test_done_callback_keeps_no_context_alive() -> None:
    """What is current where a run starts is not kept by the watch."""

    class Span:
        """What a context may hold."""

    variable: contextvars.ContextVar[Any] = contextvars.ContextVar("span")
    owner = Owner()
    span = Span()
    ref = weakref.ref(span)

    def start(current: Span) -> None:
        variable.set(current)
        owner.watches.watch(a_run(1))

    contextvars.copy_context().run(start, span)
    del span
    gc.collect()
    assert ref() is None


def test_task_of_a_closed_loop_is_forgotten() -> None:
    """It is never done; its watch goes with it."""
    owner = Owner()
    for key in range(20):
        loop = asyncio.new_event_loop()
        task = loop.create_task(start_and_wait(owner, key))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task
    gc.collect()
    assert watched() == 0
    assert owner.told == []
