"""Runs that never end: each is one span with its outcome, and one count."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from waiting import WAIT_S, time_out

from otel_callbacks.settings import Settings
from otel_callbacks.testing import FakeChatModel, Reply, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture, FakeOpenAI

CHAT = "chat gpt-4o-mini"
# Far more than it takes, far less than the time limit of an hour.


class KeepsIds(BaseCallbackHandler):
    """A second tracer, which keeps every run's id alive."""

    run_inline = True

    def __init__(self) -> None:
        self.ids: list[Any] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Keep the id."""
        self.ids.append(kwargs["run_id"])

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Keep the id."""
        self.ids.append(kwargs["run_id"])


def lost_span(telemetry: Capture, name: str) -> dict[str, Any]:
    """Wait for the reaper's thread, then return the span that it ended."""
    until = time.monotonic() + WAIT_S
    gc.collect()
    while not any(span["name"] == name for span in telemetry.spans):
        assert time.monotonic() < until, "the run was never ended"
        time.sleep(0.01)
    return telemetry.span(name)


def assert_lost(
    telemetry: Capture,
    name: str,
    outcome: str,
    reason: str | None,
    operation: str = "chat",
) -> None:
    """Assert one span, one count, and nothing left in the table.

    Without a reason LangChain has reported the end itself.
    """
    span = lost_span(telemetry, name)
    assert span["status"] == "ERROR"
    assert span["attributes"]["error.type"] == outcome
    assert span["attributes"]["otel_callbacks.outcome"] == outcome
    assert span["attributes"].get("otel_callbacks.lost_reason") == (
        None if reason == "task_cancelled" else reason
    )
    assert list(span["attributes"].values()).count(outcome) == 2
    assert span["status_description"] is None
    assert (
        telemetry.value(
            "otel_callbacks_operations_total",
            gen_ai_operation_name=operation,
            outcome=outcome,
            error_class=outcome,
        )
        == 1
    )
    assert telemetry.value("otel_callbacks_operations_total") == 1
    if reason is not None:
        assert telemetry.value("otel_callbacks_runs_lost_total", reason=reason) == 1
    lost = telemetry.value("otel_callbacks_runs_lost_total")
    assert lost == (reason is not None)
    assert telemetry.value("otel_callbacks_open_runs") == 0
    assert telemetry.value("otel_callbacks_operations_in_flight") == 0


def counted_reason(telemetry: Capture) -> str | None:
    """Return why the one lost run was lost, if one was."""
    for reason in ("forgotten", "task_cancelled"):
        if telemetry.value("otel_callbacks_runs_lost_total", reason=reason):
            return reason
    return None


def handlers(telemetry: Capture, *, second: bool) -> list[BaseCallbackHandler]:
    """Return our handler, with or without a second tracer."""
    return [telemetry.handler, *([KeepsIds()] if second else [])]


@pytest.mark.parametrize("second", [False, True], ids=["alone", "with second tracer"])
async def test_wait_for_around_ainvoke(
    telemetry: Capture,
    server: FakeOpenAI,
    chat: Callable[..., Any],
    *,
    second: bool,
) -> None:
    """A timed-out call ends as cancelled without a callback."""
    server.script(Reply(fault="hang"))
    model = chat(callbacks=handlers(telemetry, second=second))
    await time_out(model.ainvoke("?"), lambda: server.requests)
    if second and sys.version_info >= (3, 12):
        # No sign is left: the task goes on, the id is kept. The limit ends it.
        telemetry.handler.close()
        assert lost_span(telemetry, CHAT)["attributes"]["error.type"] == "abandoned"
        return
    await asyncio.sleep(0)
    reason = "task_cancelled" if second or _keeps_task() else "forgotten"
    lost_span(telemetry, CHAT)
    assert counted_reason(telemetry) in {reason, "forgotten"}
    assert_lost(telemetry, CHAT, "cancelled", counted_reason(telemetry))


def _keeps_task() -> bool:
    """Say whether ``wait_for`` makes a task of its own."""
    return sys.version_info < (3, 12)


@pytest.mark.parametrize("second", [False, True], ids=["alone", "with second tracer"])
async def test_cancelled_async_tool(telemetry: Capture, *, second: bool) -> None:
    """A cancelled async tool ends as cancelled, with or without a callback."""
    began = asyncio.Event()

    @tool
    async def florist() -> str:
        """Ask the florist."""
        began.set()
        await asyncio.Event().wait()
        return "roses"

    task = asyncio.create_task(
        florist.ainvoke({}, {"callbacks": handlers(telemetry, second=second)})
    )
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await asyncio.sleep(0)
    # langchain-core 1.8 reports its error by itself: then it is not lost.
    lost_span(telemetry, "execute_tool florist")
    reason = counted_reason(telemetry)
    assert_lost(telemetry, "execute_tool florist", "cancelled", reason, "execute_tool")


async def test_cancelled_task(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """``task.cancel()`` around a chat model ends its span as cancelled."""
    server.script(Reply(fault="hang"))
    task = asyncio.create_task(chat().ainvoke("?"))
    while not server.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    await asyncio.sleep(0)
    lost_span(telemetry, CHAT)
    assert_lost(telemetry, CHAT, "cancelled", counted_reason(telemetry))


def test_dropped_stream(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A stream dropped after one chunk is abandoned; LangChain reports that itself."""
    stream = chat().stream("?")
    next(stream)
    del stream
    gc.collect()
    span = telemetry.span(CHAT)
    assert span["attributes"]["error.type"] == "abandoned"
    assert span["attributes"]["otel_callbacks.chunk_count"] == 1
    assert "otel_callbacks.lost_reason" not in span["attributes"]
    assert telemetry.value("otel_callbacks_operations_total", outcome="abandoned") == 1
    assert telemetry.value("otel_callbacks_runs_lost_total") == 0
    assert len(server.requests) == 1


async def test_dropped_async_stream(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """An async stream closed after one chunk, in another task, is abandoned."""
    stream = chat().astream("?")
    await anext(stream)
    await asyncio.create_task(stream.aclose())
    assert telemetry.span(CHAT)["attributes"]["error.type"] == "abandoned"
    assert telemetry.value("otel_callbacks_operations_total", outcome="abandoned") == 1
    assert telemetry.value("otel_callbacks_operations_total") == 1


def test_held_stream_ends_by_the_time_limit(
    server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A stream that is held and never read ends at the time limit."""
    with capture(Settings(strict=True, run_time_limit=0.2)) as telemetry:
        stream = chat(callbacks=[telemetry.handler]).stream("?")
        next(stream)
        assert_lost(telemetry, CHAT, "abandoned", "time_limit")
        # Read to its end after all: the tokens were spent and are counted.
        list(stream)
        total = server.total_usage
        assert telemetry.value("otel_callbacks_tokens_total", outcome="abandoned") == (
            total.input + total.output
        )
        assert telemetry.value("otel_callbacks_operations_total") == 1
        assert telemetry.value("otel_callbacks_errors_total") == 0


def test_life_in_a_child_keeps_its_parents(telemetry: Capture) -> None:
    """A long chain stays open while a descendant is active."""
    del telemetry
    with capture(Settings(strict=True, run_time_limit=1)) as captured:
        handler = captured.handler
        root, middle = uuid4(), uuid4()
        handler.on_chain_start({}, "x", run_id=root, name="root")
        handler.on_chain_start(
            {}, "x", run_id=middle, parent_run_id=root, name="middle"
        )
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            leaf = uuid4()
            handler.on_chain_start(
                {}, "x", run_id=leaf, parent_run_id=middle, name="leaf"
            )
            time.sleep(0.05)
            handler.on_chain_end("y", run_id=leaf)
        handler.on_chain_end("y", run_id=middle)
        handler.on_chain_end("y", run_id=root)
        assert captured.value("otel_callbacks_runs_lost_total") == 0
        assert captured.span("root")["status"] == "UNSET"


def test_exception_between_start_and_end(telemetry: Capture) -> None:
    """If another handler raises after our start, no run stays open."""

    class Raises(BaseCallbackHandler):
        """A handler that stops the call."""

        raise_error = True

        def on_chat_model_start(self, *_: Any, **__: Any) -> None:
            """Stop the call."""
            message = "no"
            raise RuntimeError(message)

    model = FakeChatModel()
    with pytest.raises(RuntimeError, match="no"):
        model.invoke("?", config={"callbacks": [telemetry.handler, Raises()]})
    assert_lost(telemetry, "chat fake-model", "abandoned", "forgotten")


def test_close_ends_open_runs(telemetry: Capture) -> None:
    """``close()`` ends open runs, children first; a second call does nothing."""
    handler = telemetry.handler
    parent, child = uuid4(), uuid4()
    handler.on_chain_start({}, "x", run_id=parent, name="parent")
    handler.on_chat_model_start(
        {}, [["?"]], run_id=child, parent_run_id=parent, metadata={}
    )
    handler.close()
    handler.close()
    assert [span["status"] for span in telemetry.spans] == ["ERROR", "ERROR"]
    assert telemetry.value("otel_callbacks_runs_lost_total", reason="closed") == 2
    assert telemetry.value("otel_callbacks_operations_total", outcome="abandoned") == 1
    # It works on.
    FakeChatModel(callbacks=[handler]).invoke("?")
    assert telemetry.value("otel_callbacks_operations_total", outcome="ok") == 1


def test_descendants_end_with_their_ancestor(telemetry: Capture) -> None:
    """Open descendants end with the chain."""
    handler = telemetry.handler
    root, chain, model = uuid4(), uuid4(), uuid4()
    handler.on_chain_start({}, "x", run_id=root, name="root")
    handler.on_chain_start({}, "x", run_id=chain, parent_run_id=root, name="chain")
    handler.on_chat_model_start({}, [["?"]], run_id=model, parent_run_id=chain)
    handler.on_chain_error(asyncio.CancelledError(), run_id=root)
    assert telemetry.span("chat")["attributes"]["error.type"] == "cancelled"
    assert telemetry.span("chain")["attributes"]["error.type"] == "cancelled"
    assert telemetry.value("otel_callbacks_runs_lost_total", reason="parent_ended") == 2
    # Each still has an id; that they are reported late is no trouble.
    handler.on_chain_end("y", run_id=chain)
    assert telemetry.value("otel_callbacks_errors_total") == 0


async def test_child_in_a_task_of_its_own_outlives_its_chain(
    telemetry: Capture,
) -> None:
    """A call in a background task outlives its chain and ends as ok."""
    handler = telemetry.handler
    root, model = uuid4(), uuid4()
    handler.on_chain_start({}, "x", run_id=root, name="root")

    async def background() -> None:
        handler.on_chat_model_start({}, [["?"]], run_id=model, parent_run_id=root)
        await asyncio.sleep(0.05)
        handler.on_llm_end(None, run_id=model)

    task = asyncio.create_task(background())
    await asyncio.sleep(0)
    handler.on_chain_end("y", run_id=root)
    await task
    assert telemetry.span("chat")["status"] == "UNSET"
    assert telemetry.value("otel_callbacks_runs_lost_total") == 0


def test_oldest_run_gives_way(telemetry: Capture) -> None:
    """Beyond the limit of open runs the oldest is abandoned."""
    del telemetry
    with capture(Settings(strict=True, run_limit=2)) as captured:
        ids = [uuid4() for _ in range(3)]
        for number, run_id in enumerate(ids):
            captured.handler.on_chain_start(
                {}, "x", run_id=run_id, name=f"run {number}"
            )
        assert [span["name"] for span in captured.spans] == ["run 0"]
        assert (
            captured.value("otel_callbacks_runs_lost_total", reason="size_limit") == 1
        )
        assert captured.value("otel_callbacks_open_runs") == 2


def test_forked_child_leaves_its_parents_runs_alone(telemetry: Capture) -> None:
    """A forked child ends no span of its parent, and ends its own lost runs."""
    handler = telemetry.handler
    run_id = uuid4()
    handler.on_chain_start({}, "x", run_id=run_id, name="parent's")
    pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        code = 1
        try:
            handler.on_chain_end("y", run_id=run_id)
            ours_untouched = not telemetry.spans
            handler.on_chain_start({}, "x", run_id=uuid4(), name="child's")
            span = lost_span(telemetry, "child's")
            nested = span["parent_id"] is None
            lost = telemetry.value("otel_callbacks_runs_lost_total", reason="forgotten")
            code = 0 if ours_untouched and lost == 1 and nested else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    handler.on_chain_end("y", run_id=run_id)
    assert telemetry.span("parent's")["status"] == "UNSET"
