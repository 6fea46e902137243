"""Waits of tests: for a condition, never for a fixed time.

A machine may be ten times slower than ours. Every wait of a test has the one limit
of this module, which only a real hang reaches.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

WAIT_S = 300.0
"""Seconds until a test gives up on what it waits for."""

_POLL_S = 0.01


def wait_until(condition: Callable[[], object], what: str = "it never came") -> None:
    """Wait until a condition holds.

    Args:
        condition: What is asked again and again.
        what: What the test says if it never holds.
    """
    until = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(_POLL_S)


async def until(condition: Callable[[], object], what: str = "it never came") -> None:
    """Wait until a condition holds, and let other tasks run.

    Args:
        condition: What is asked again and again.
        what: What the test says if it never holds.
    """
    limit = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < limit, what
        await asyncio.sleep(_POLL_S)


async def time_out(
    call: Coroutine[Any, Any, object], condition: Callable[[], object]
) -> None:
    """Await a call under ``wait_for``, whose limit passes once a condition holds.

    The loop's clock jumps, so that neither a fast nor a slow machine decides how far
    the call has come.

    Args:
        call: What times out.
        condition: What holds before the time is over.
    """
    loop = asyncio.get_running_loop()
    real = loop.time

    async def jump() -> None:
        await until(condition)
        loop.time = lambda: real() + WAIT_S  # type: ignore[method-assign]

    jumping = asyncio.create_task(jump())
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call, WAIT_S)
    finally:
        await jumping
        del loop.time
