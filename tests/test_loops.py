"""Other event loops than asyncio's own: eager tasks, and uvloop where there is one."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnableLambda

from otel_callbacks import Settings, track_usage
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def eager() -> asyncio.AbstractEventLoop:
    """Make a loop whose tasks run at once until their first wait."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    return loop


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop
}
if sys.version_info >= (3, 12):
    LOOPS["eager tasks"] = eager
if importlib.util.find_spec("uvloop"):
    LOOPS["uvloop"] = importlib.import_module("uvloop").new_event_loop


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Return what runs a coroutine on one of the loops."""

    def on_loop(work: Any) -> Any:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(work)

    return on_loop


def test_concurrent_calls_nest_and_count(run: Callable[[Any], Any]) -> None:
    """Each call is below its own step, and an account in a task has its own calls."""

    async def work(telemetry: Capture) -> None:
        model = FakeChatModel(usage=USAGE, delay=0.01)

        async def step(question: str) -> int:
            with track_usage() as usage:
                await model.ainvoke(question)
                return usage.total_tokens

        chain = RunnableLambda(step, name="step")
        config: Any = {"callbacks": [telemetry.handler]}
        calls = (chain.ainvoke(str(number), config) for number in range(100))
        assert await asyncio.gather(*calls) == [5] * 100

    with capture(Settings(strict=True)) as telemetry:
        run(work(telemetry))
        steps = {s["span_id"]: s for s in telemetry.spans if s["name"].endswith("step")}
        calls = [s for s in telemetry.spans if s["name"].startswith("chat")]
        assert len(steps) == len({call["parent_id"] for call in calls}) == 100
        assert {call["parent_id"] for call in calls} == set(steps)
        assert all(
            call["trace_id"] == steps[call["parent_id"]]["trace_id"] for call in calls
        )
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value("otel_callbacks_tokens_total") == 500


def test_cancelled_calls_and_left_streams_end(run: Callable[[Any], Any]) -> None:
    """Cancelled calls and abandoned streams end."""

    async def work(telemetry: Capture) -> int:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE, delay=30)
        tasks = [asyncio.create_task(model.ainvoke("?")) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        streamed = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        for _ in range(20):
            stream = streamed.astream("?")
            async for _chunk in stream:
                break
            await stream.aclose()  # type: ignore[attr-defined]
        return sum(isinstance(one, asyncio.CancelledError) for one in done)

    with capture(Settings(strict=True)) as telemetry:
        assert run(work(telemetry)) == 20
        gc.collect()
        assert telemetry.value("otel_callbacks_open_runs") == 0
        outcomes = [
            s["attributes"].get("otel_callbacks.outcome") for s in telemetry.spans
        ]
        assert len(outcomes) == 40
        assert outcomes.count("cancelled") == 20
        assert outcomes.count("abandoned") >= 1
