"""Live work is never given up, and an interrupt costs at most one span."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import warnings
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from chaos.attacks import is_all_free
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from lines import PACKAGE, interrupted_at
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from prometheus_client import CollectorRegistry
from waiting import WAIT_S

from otel_callbacks import (
    BudgetExceeded,
    OTelCallbackHandler,
    Settings,
    track_usage,
)

# Work is interrupted at each line of these.
from otel_callbacks._background import background
from otel_callbacks._runs import lifecycle
from otel_callbacks._runs.table import RunTable
from otel_callbacks._spans.sink import SpanSink
from otel_callbacks._spend.budgets import Limits
from otel_callbacks._spend.ledger import LedgerSink
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
TOKENS = "otel_callbacks_tokens_total"
LOST = "otel_callbacks_runs_lost_total"


def answer() -> LLMResult:
    """Return what a model gives back."""
    message = AIMessage("roses", usage_metadata=USAGE)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


async def test_more_graphs_at_once_than_the_limit() -> None:
    """Graphs beyond the limit that still wait in a task are not abandoned."""
    with capture(Settings(strict=True, run_limit=100)) as telemetry:
        model = FakeChatModel(usage=USAGE)
        go = asyncio.Event()

        async def node(text: str) -> str:
            await go.wait()
            return (await model.ainvoke(text)).text

        graph = RunnableLambda(node)
        config: Any = {"callbacks": [telemetry.handler]}
        tasks = [asyncio.create_task(graph.ainvoke("?", config)) for _ in range(300)]
        while telemetry.value("otel_callbacks_open_runs") < 300:
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        assert telemetry.value(TOKENS) == 1_500
        assert telemetry.value(LOST) == 0
        assert len(telemetry.spans) == 600


async def test_a_limit_holds_again_after_more_live_work_than_it_allows() -> None:
    """Runs whose tasks have ended are abandoned when more runs start."""
    with capture(Settings(strict=True, run_limit=20)) as telemetry:
        handler = telemetry.handler
        go = asyncio.Event()
        ids = []  # without its id, a run would be forgotten

        async def start(*, wait: bool) -> None:
            ids.append(uuid4())
            handler.on_chat_model_start({}, [["?"]], run_id=ids[-1])
            if wait:
                await go.wait()

        live = [asyncio.create_task(start(wait=True)) for _ in range(60)]
        while telemetry.value("otel_callbacks_open_runs") < 60:
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*live)
        for _ in range(100):
            await asyncio.create_task(start(wait=False))
        assert telemetry.value("otel_callbacks_open_runs") <= 21
        assert telemetry.value(LOST) >= 139


def test_tokens_that_come_late_are_in_the_record_of_their_call() -> None:
    """When late tokens arrive, the assumed ones are removed."""
    with capture(Settings(strict=True, run_limit=5)) as telemetry:
        handler = telemetry.handler
        ids = [uuid4() for _ in range(20)]
        with track_usage(max_tokens=1_000_000) as usage:
            for run_id in ids:
                handler.on_chat_model_start({}, [["?"]], run_id=run_id)
            for run_id in ids:
                handler.on_llm_end(answer(), run_id=run_id)
        assert usage.total_tokens == 100
        tokens = [call.usage and call.usage.input_tokens for call in usage.calls]
        assert tokens == [3] * 20
        assert {call.assumed_tokens for call in usage.calls} == {0}
        assert len({call.span_id for call in usage.calls}) == 20


def test_a_limit_takes_leaves_first_and_their_tokens_count() -> None:
    """A root with open children stays, and late tokens of abandoned runs count."""
    with capture(Settings(strict=True, run_limit=50)) as telemetry:
        handler, root = telemetry.handler, uuid4()
        handler.on_chain_start({}, "?", run_id=root, name="root")
        ids = [uuid4() for _ in range(2_000)]
        for run_id in ids:
            handler.on_chat_model_start({}, [["?"]], run_id=run_id, parent_run_id=root)
        assert telemetry.value("otel_callbacks_open_runs") == 50
        handler.on_chain_end("x", run_id=root)
        for run_id in ids:
            handler.on_llm_end(answer(), run_id=run_id)
        assert telemetry.value(TOKENS) == 10_000
        assert telemetry.span("root")["attributes"].get("error.type") is None
        assert telemetry.value("otel_callbacks_errors_total") == 0


# Python says of what interrupts a finalizer that it is ignored.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_an_interrupt_at_any_line_leaves_nothing_open(
    error: type[BaseException],
) -> None:
    """Interrupted runs end by the thread or by ``close``; other counts are exact."""
    with capture(Settings(run_limit=100)) as telemetry:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        line, calls = 0, 0
        while interrupted_at(line := line + 1, error(), lambda: model.invoke("?")):
            calls += 1
        assert calls > 100
        gc.collect()
        telemetry.handler.close()
        assert telemetry.value("otel_callbacks_open_runs") == 0
        spans = len(telemetry.spans)
        assert spans <= calls + 1
        with track_usage() as usage:
            model.invoke("?")
        assert usage.total_tokens == 5
        assert len(telemetry.spans) == spans + 1


# Python says of what interrupts a finalizer that it is ignored.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupt_leaves_no_budget_reserved(error: type[BaseException]) -> None:
    """After an interrupt nothing stays reserved, and tokens count at most once."""
    spend = f"{PACKAGE}/_spend"
    with capture(Settings()) as telemetry, track_usage(max_tokens=10**6) as usage:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        line, before = 0, 0
        while interrupted_at(
            line := line + 1, error(), lambda: model.invoke("?"), spend
        ):
            telemetry.handler.close()
            background.drain()
            assert usage.total_tokens - before in {0, 5}
            before = usage.total_tokens
            assert is_all_free(usage)
        assert line > 100


def failing_once(error: type[BaseException], function: Any) -> Any:
    """Return a function that fails at its first call."""
    left = [error]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if left:
            raise left.pop()
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.parametrize("error", [MemoryError, RecursionError, ValueError])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(lifecycle, "prompt_estimate"), (RunTable, "start"), (LedgerSink, "started")],
)
def test_a_start_that_fails_is_made_all_the_same(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], owner: Any, name: str
) -> None:
    """Account, series and span have the call, and the failure is counted once."""
    monkeypatch.setattr(owner, name, failing_once(error, getattr(owner, name)))
    with capture(Settings()) as telemetry, track_usage() as usage:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        model.invoke("?")
        model.invoke("?")
        assert telemetry.value(TOKENS) == 10
        assert [one["name"] for one in telemetry.spans] == ["chat fake-model"] * 2
        assert telemetry.value("otel_callbacks_errors_total") == 1
        # An account of this code is not found by a sink that failed for good.
        lost = owner is LedgerSink and error is ValueError
        assert usage.total_tokens == (5 if lost else 10)
        assert telemetry.value("otel_callbacks_open_runs") == 0


@pytest.mark.parametrize("error", [MemoryError, RecursionError, ValueError])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (lifecycle, "prompt_estimate"),
        (RunTable, "start"),
        (Limits, "exceeded"),
        (SpanSink, "started"),
    ],
)
def test_a_limit_stands_where_a_part_of_the_start_fails(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException], owner: Any, name: str
) -> None:
    """The limit is checked again, and its refusal reaches the app."""
    monkeypatch.setattr(owner, name, failing_once(error, getattr(owner, name)))
    with capture(Settings()) as telemetry, track_usage(max_tokens=10) as usage:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        with pytest.raises(BudgetExceeded):
            model.invoke("Which roses are red, and which are blue? " * 9)
        assert (usage.call_count, usage.refused) == (0, 1)
        assert is_all_free(usage)
        assert telemetry.value("otel_callbacks_open_runs") == 0


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_limit_stands_where_the_accounts_are_without_memory(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """They are asked again before the call is made."""
    started = failing_once(error, LedgerSink.started)
    monkeypatch.setattr(LedgerSink, "started", started)
    with capture(Settings()) as telemetry, track_usage(max_tokens=10) as usage:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        with pytest.raises(BudgetExceeded):
            model.invoke("Which roses are red, and which are blue? " * 9)
        assert (usage.call_count, usage.refused) == (0, 1)
        assert telemetry.value("otel_callbacks_errors_total", where="start") == 1
        assert telemetry.value("otel_callbacks_open_runs") == 0


def nested(depth: int, work: Callable[[], object]) -> object:
    """Do work so many frames further down."""
    return nested(depth - 1, work) if depth else work()


def test_nothing_is_counted_without_a_span_near_the_recursion_limit() -> None:
    """At any stack depth, each counted call has a span and nothing stays open."""
    with capture(Settings()) as shown:
        model = FakeChatModel(callbacks=[shown.handler], usage=USAGE)
        room = sys.getrecursionlimit() - len(list(frames()))
        for depth in chain(range(room - 250, room - 60, 5), range(room - 60, room)):
            with contextlib.suppress(RecursionError):
                nested(depth, lambda: model.invoke("?"))
            counted = shown.value("otel_callbacks_operations_total")
            assert counted <= len(shown.spans)
        gc.collect()
        shown.handler.close()
        assert shown.value("otel_callbacks_open_runs") == 0
        counted = shown.value("otel_callbacks_operations_total")
        assert counted <= len(shown.spans)


def frames() -> list[FrameType]:
    """Return the frames on the stack."""
    found, frame = [], sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        found.append(frame)
    return found


class Fails(SpanProcessor):
    """A processor that fails at the ends it is asked to."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 -- the SDK's
        """Fail, if that was asked."""
        if self.errors:
            raise self.errors.pop()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError, MemoryError])
@pytest.mark.parametrize("kind", ["llm", "tool", "error"])
def test_an_end_that_is_interrupted_is_finished_later(
    error: type[BaseException], kind: str
) -> None:
    """The interrupted end is finished later: one span and one count."""
    with capture(Settings()) as telemetry:
        handler, run_id = telemetry.handler, uuid4()
        fails = Fails()
        telemetry.tracer_provider.add_span_processor(fails)
        if kind == "tool":
            handler.on_tool_start({}, "?", run_id=run_id, name="t")
        else:
            handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        fails.errors.append(error())
        with contextlib.suppress(KeyboardInterrupt):
            if kind == "llm":
                handler.on_llm_end(answer(), run_id=run_id)
            elif kind == "tool":
                handler.on_tool_end("x", run_id=run_id)
            else:
                handler.on_llm_error(ValueError("x"), run_id=run_id)
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value("otel_callbacks_operations_total") == 1
        assert len(telemetry.spans) == 1


def test_a_processor_that_raises_costs_no_more_than_its_span() -> None:
    """The failing processor costs one span, and the next span is complete."""
    with capture(Settings()) as telemetry:
        fails = Fails()
        telemetry.tracer_provider.add_span_processor(fails)
        fails.errors.append(ValueError("no"))
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        model.invoke("?")
        model.invoke("?")
        assert telemetry.value("otel_callbacks_errors_total", where="spans") == 1
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value(TOKENS) == 10


def test_an_event_that_cannot_be_read_costs_no_run() -> None:
    """An unreadable chunk is counted and does not end the run."""

    class Bad(dict[str, Any]):
        def get(self, *_: object) -> Any:
            raise ValueError

    with capture(Settings()) as telemetry:
        run_id = uuid4()
        telemetry.handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        telemetry.handler.on_stream_event(Bad(), run_id=run_id)
        telemetry.handler.on_llm_end(answer(), run_id=run_id)
        assert telemetry.value("otel_callbacks_errors_total", where="chunk") == 1
        assert telemetry.value(TOKENS) == 5


def test_a_forked_child_makes_handlers() -> None:
    """The child renews the locks that a thread of the parent may hold."""
    reached, release = threading.Event(), threading.Event()

    class Blocking(CollectorRegistry):
        """A registry that is slow to take a collector."""

        def register(self, collector: Any) -> None:
            """Wait, while the lock is held."""
            reached.set()
            assert release.wait(WAIT_S)
            super().register(collector)

    def make(registry: CollectorRegistry) -> OTelCallbackHandler:
        return OTelCallbackHandler(registry=registry, settings=Settings())

    making = threading.Thread(target=make, args=(Blocking(),), daemon=True)
    making.start()
    assert reached.wait(WAIT_S)
    with warnings.catch_warnings():
        # From Python 3.12 on it warns where threads run.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        signal.alarm(60)
        make(CollectorRegistry())
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    release.set()
    making.join(WAIT_S)
