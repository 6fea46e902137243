"""The task and the generators of a call, to detect an early exit."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

from otel_callbacks._spend.whereabouts import Whereabouts, live_generators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest


def test_outside_a_task_nothing_is_known() -> None:
    """Threads have no way to leave a call."""
    assert Whereabouts.here() is None
    assert live_generators() is None


async def stream() -> AsyncIterator[Whereabouts | None]:
    """Say where a stream is."""
    yield Whereabouts.here()
    yield None


def test_a_generator_that_was_dropped_is_known_at_once() -> None:
    """While it is held it may go on; after a ``break`` it does not."""

    async def run() -> Whereabouts:
        held, other = stream(), stream()
        where = await anext(held)
        assert where is not None
        assert not where.has_left()
        assert await anext(other) is not None
        assert not where.is_dropped(live_generators())
        assert not where.is_dropped(None)
        del held
        assert where.is_dropped(live_generators())
        return where

    assert not asyncio.run(run()).is_dropped(live_generators())


def test_a_generator_of_another_loop_is_not_dropped() -> None:
    """A loop does not know what another thread's loop still reads."""
    loops = [asyncio.new_event_loop() for _ in range(2)]
    held = [stream() for _ in loops]

    async def where(number: int) -> Whereabouts | None:
        return await anext(held[number])

    async def is_dropped(found: Whereabouts) -> bool:
        return found.is_dropped(live_generators())

    found = [loop.run_until_complete(where(n)) for n, loop in enumerate(loops)]
    for loop, other in zip(loops, reversed(found), strict=True):
        assert other is not None
        assert not loop.run_until_complete(is_dropped(other))
    for loop, stream_of_it in zip(loops, held, strict=True):
        loop.run_until_complete(stream_of_it.aclose())  # type: ignore[attr-defined]
        loop.close()


def test_a_task_that_was_cancelled_has_left() -> None:
    """One that is merely done, or gone, proves nothing."""

    async def here(found: list[Any], wait_s: float) -> None:
        found.append(Whereabouts.here())
        await asyncio.sleep(wait_s)

    found: list[Any] = []

    async def run() -> None:
        cancelled = asyncio.create_task(here(found, 60))
        done = asyncio.create_task(here(found, 0))
        await done
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert [where.has_left() for where in found] == [True, False]

    asyncio.run(run())
    gc.collect()
    assert not found[1].has_left()


def test_a_loop_that_does_not_list_its_generators(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Uvloop keeps its generators to itself."""

    async def run() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "_asyncgens", None)
        assert live_generators() is None
        monkeypatch.undo()

    asyncio.run(run())
