"""One id that an app gives to several runs: each is a span, and is counted once."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from langchain_core.runnables import RunnableLambda

from otel_callbacks import track_usage
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
IDS: list[Any] = [UUID(int=7), str(UUID(int=7)), UUID(int=7).hex]
TROUBLE = "otel_callbacks_errors_total"


@pytest.mark.parametrize("run_id", IDS, ids=repr)
@pytest.mark.parametrize("twice", [False, True])
def test_a_config_with_an_id_is_handed_on(
    telemetry: Capture,
    run_id: Any,
    twice: bool,  # noqa: FBT001
) -> None:
    """The chain goes on when the model's call in it ends, though both have one id."""
    handlers = [telemetry.handler] * (1 + twice)
    model = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler] if twice else None)
    config: Any = {"callbacks": handlers, "run_id": run_id}

    def step(text: str) -> str:
        return "".join(str(model.invoke(text, config).content) for _ in range(2))

    chain = RunnableLambda(step).with_config(run_name="shop")
    with track_usage(max_calls=5) as usage:
        chain.invoke("roses?", config)
    assert [span["parent"] for span in telemetry.spans] == [None, "shop", "shop"]
    assert {span["status"] for span in telemetry.spans} == {"UNSET"}
    root = telemetry.span("shop")
    assert root["end_ns"] == max(span["end_ns"] for span in telemetry.spans)
    assert usage.total_tokens == 10
    assert telemetry.value("otel_callbacks_tokens_total") == 10
    assert telemetry.value(TROUBLE) == 0


async def test_calls_at_once_have_one_id(telemetry: Capture) -> None:
    """As the id of a request that makes several calls."""
    model = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
    request = uuid4()

    async def step(text: str) -> str:
        return str((await model.ainvoke(text, {"run_id": request})).content)

    chain = RunnableLambda(step)
    with track_usage() as usage:
        await asyncio.gather(
            *(model.ainvoke("?", {"run_id": request}) for _ in range(10)),
            *(
                chain.ainvoke(
                    "?", {"run_id": request, "callbacks": [telemetry.handler]}
                )
                for _ in range(5)
            ),
        )
    assert usage.total_tokens == 75
    assert telemetry.value("otel_callbacks_tokens_total") == 75
    assert len(telemetry.spans) == 20
    assert {span["status"] for span in telemetry.spans} == {"UNSET"}
    assert telemetry.value(TROUBLE) == 0


async def test_one_of_several_is_cancelled(telemetry: Capture) -> None:
    """The others go on, and the one that was cancelled is one span, too."""
    handler = telemetry.handler
    request = uuid4()
    go = asyncio.Event()

    async def call() -> None:
        handler.on_chat_model_start({}, [["?"]], run_id=request)
        await go.wait()
        handler.on_llm_end(None, run_id=request)

    tasks = [asyncio.create_task(call()) for _ in range(4)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    await asyncio.sleep(0)
    assert telemetry.value("otel_callbacks_open_runs") == 3
    go.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    outcomes = [one["attributes"].get("error.type") for one in telemetry.spans]
    assert sorted(map(str, outcomes)) == ["None", "None", "None", "cancelled"]


async def test_the_second_of_two_runs_is_reported_twice(telemetry: Capture) -> None:
    """Its second report is no third run, though the first run has ended before it."""
    handler: Any = telemetry.handler
    shared, go = uuid4(), asyncio.Event()

    async def call() -> None:
        asked = [["?"]]
        handler.on_chat_model_start({}, asked, run_id=shared)
        await go.wait()
        handler.on_chat_model_start({}, asked, run_id=shared)
        for _ in range(2):
            handler.on_llm_end(None, run_id=shared)

    handler.on_chain_start({}, "a", run_id=shared, name="shop")
    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    handler.on_chain_end("b", run_id=shared)
    go.set()
    await task
    assert [span["name"] for span in telemetry.spans] == ["shop", "chat"]
    assert {span["status"] for span in telemetry.spans} == {"UNSET"}
    assert telemetry.value(TROUBLE) == 0


def test_an_id_that_is_used_again_is_no_shared_one(telemetry: Capture) -> None:
    """What was left behind under it is over."""
    handler = telemetry.handler
    # Three lists that are there at once: one object is one call that is reported twice.
    for asked in [["a"]], [["b"]], [["c"]]:
        handler.on_chat_model_start({}, asked, run_id="again")  # type: ignore[arg-type]
    handler.on_llm_end(None, run_id="again")  # type: ignore[arg-type]
    outcomes = [one["attributes"].get("error.type") for one in telemetry.spans]
    assert sorted(map(str, outcomes)) == ["None", "abandoned", "abandoned"]
    assert telemetry.value(TROUBLE) == 2
    gc.collect()


def test_other_runs_are_none_of_those_with_one_id(telemetry: Capture) -> None:
    """The id is that of the chain and of a tool two steps below it."""
    handler = telemetry.handler
    shared, step = uuid4(), uuid4()
    handler.on_chain_start({}, "a", run_id=shared, name="shop")
    handler.on_chain_start({}, "b", run_id=step, parent_run_id=shared, name="step")
    handler.on_tool_start({"name": "t"}, "c", run_id=shared, parent_run_id=step)
    other = uuid4()
    handler.on_tool_start({"name": "u"}, "d", run_id=other, parent_run_id=shared)
    handler.on_tool_end("e", run_id=other)
    handler.on_tool_end("f", run_id=shared)
    handler.on_chain_end("g", run_id=step)
    handler.on_chain_end("h", run_id=shared)
    parents = {span["name"]: span["parent"] for span in telemetry.spans}
    assert parents == {
        "shop": None,
        "step": "shop",
        "execute_tool t": "step",
        "execute_tool u": "execute_tool t",
    }
    assert {span["status"] for span in telemetry.spans} == {"UNSET"}
    assert telemetry.value(TROUBLE) == 0
