"""Attacks on the core, bounded by default, with what was promised and what came out.

```
make chaos                       # some minutes
make chaos ARGS="--size 10"      # ten times as much: a million calls
```
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dis
import gc
import logging
import os
import random
import resource
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import RunnableLambda
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

import otel_callbacks
from otel_callbacks import OTelCallbackHandler, Settings, track_usage

# Code that an attack must not stop, and the amounts that it must leave.
from otel_callbacks._background import Tally, background
from otel_callbacks._spend.budgets import NOTHING
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

    from otel_callbacks import TrackedUsage
    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
PACKAGE = str(Path(otel_callbacks.__file__).parent)
LOST = "otel_callbacks_runs_lost_total"
TOKENS = "otel_callbacks_tokens_total"
STARTS = (
    *("on_chat_model_start", "on_llm_start", "on_chain_start", "on_tool_start"),
    "on_retriever_start",
)
ENDS = (
    *("on_llm_end", "on_chain_end", "on_tool_end", "on_retriever_end"),
    *("on_llm_error", "on_chain_error", "on_tool_error", "on_retriever_error"),
)
NAMED = (
    *("tags", "metadata", "name", "invocation_params", "options", "inputs"),
    *("tool_call_id", "batch_size", "run_type"),
)


class Hostile:
    """A foreign value that raises on access."""

    def __raise(self, *_: object, **__: object) -> Any:
        message = "do not touch"
        raise RuntimeError(message)

    __eq__ = __bool__ = __len__ = __iter__ = __getitem__ = __raise
    __hash__ = __getattr__ = __str__ = __repr__ = __contains__ = __raise


class HostileDict(dict[Any, Any]):
    """A dictionary that fails when it is read."""

    def get(self, *_: object) -> Any:
        """Fail."""
        raise KeyError

    __getitem__ = __iter__ = items = keys = values = get  # type: ignore[assignment]


class HostileList(list[Any]):
    """A list that fails when it is measured or read."""

    def __bool__(self) -> bool:
        raise ValueError

    def __getitem__(self, _: object) -> Any:
        raise IndexError


# Made anew each time it is chosen.
LEAVES: tuple[Callable[[], Any], ...] = (
    *(lambda value=value: value for value in (None, True, -1, 2**70, float("nan"))),
    *(lambda value=value: value for value in ("", "text", b"\xff", "\ud800", object)),
    Hostile,
    lambda: HostileDict(a=1),
    lambda: HostileList([1]),
    uuid4,
    lambda: AIMessage("x", usage_metadata=USAGE),
    lambda: ValueError("x"),
)


def some_payload(chance: random.Random, depth: int = 3) -> Any:
    """Return a random payload, realistic or not."""
    kind = chance.random() if depth else 0.0
    if kind < 0.5:
        return chance.choice(LEAVES)()
    if kind < 0.75:
        names = ("event", "name", "model", "usage", "id", "kwargs", 3, None)
        return {chance.choice(names): some_payload(chance, depth - 1) for _ in range(3)}
    return [some_payload(chance, depth - 1) for _ in range(chance.randrange(4))]


def fuzz(payloads: int, *, content: bool, seed: int = 0) -> str:
    """Pass random payloads to every callback: none raises, each run has a span."""
    chance = random.Random(seed)  # noqa: S311 -- no secret
    kind = "SPAN_ONLY" if content else "NO_CONTENT"
    with capture(Settings(capture_content=kind)) as telemetry:
        runs = 0
        for _ in range(payloads):
            run_id = uuid4()
            more = {one: some_payload(chance) for one in NAMED if chance.random() < 0.5}
            name = chance.choice(STARTS)
            if name == "on_chain_start":
                more.pop("inputs", None)  # it is the second argument there
            start = getattr(telemetry.handler, name)
            start(some_payload(chance), some_payload(chance), run_id=run_id, **more)
            runs += 1
            handler = telemetry.handler
            handler.on_stream_event(some_payload(chance), run_id=run_id)
            handler.on_llm_new_token("", chunk=some_payload(chance), run_id=run_id)
            name = chance.choice(ENDS)
            last = {}
            if name == "on_llm_error" and chance.random() < 0.5:
                last = {"response": some_payload(chance)}
            getattr(handler, name)(some_payload(chance), run_id=run_id, **last)
            if runs == 1_000:
                assert telemetry.value("otel_callbacks_open_runs") == 0
                assert len(telemetry.spans) == runs
                telemetry.clear()
                runs = 0
        assert len(telemetry.spans) == runs
        assert telemetry.value("otel_callbacks_open_runs") == 0
    return f"{payloads:,} runs, none raised, each with its span"


def threads(calls: int) -> str:
    """Call from 16 threads with a microsecond switch interval: all sums are exact."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with capture(Settings()) as telemetry, track_usage(max_calls=10**9) as usage:
            model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)

            def work() -> None:
                for _ in range(calls // 16):
                    model.invoke("?")

            workers = [threading.Thread(target=usage.bind(work)) for _ in range(16)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            made = calls // 16 * 16
            assert usage.call_count == made == len(telemetry.spans)
            assert telemetry.value(TOKENS) == 5 * made == usage.total_tokens
    finally:
        sys.setswitchinterval(before)
    return f"{made:,} calls, tokens and spans exact"


def agenerate(calls: int) -> str:
    """Start concurrent calls, cancel every fourth: each has an end and a name."""

    async def work(telemetry: Capture) -> int:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE, delay=0.01)
        tasks = [
            asyncio.create_task(model.agenerate([[HumanMessage("?")]]))
            for _ in range(calls)
        ]
        await asyncio.sleep(0)
        for task in tasks[::4]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(isinstance(one, BaseException) for one in done)

    with capture(Settings()) as telemetry:
        cancelled = asyncio.run(work(telemetry))
        gc.collect()
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value(TOKENS) == 5 * (calls - cancelled)
    return f"{calls:,} at once, {cancelled:,} cancelled, 0 open, tokens exact"


def is_all_free(usage: TrackedUsage) -> bool:
    """Return whether an account has nothing reserved for open calls."""
    # Its own sums show what is spent; what is reserved shows in refusals alone.
    return usage._account.reserved == NOTHING


LOOKS: dict[CodeType, dict[int, bool]] = {}
"""For each code, whether Python looks for signals after the instruction at an offset.

https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers
"""


def looks_for_signals(code: CodeType) -> dict[int, bool]:
    """Return it, worked out once."""
    if code not in LOOKS:
        LOOKS[code] = {
            one.offset: one.opname.startswith(("CALL", "JUMP_BACKWARD", "RESUME"))
            for one in dis.get_instructions(code)
        }
    return LOOKS[code]


def traced(trace: Callable[..., Any], work: Callable[[], object]) -> None:
    """Do work under a tracer, then restore that of coverage, in the same frame.

    An error that a tracer raises at an ``except`` leaves Python 3.11 with the exception
    that was handled there, which then keeps all its frames. A generator has its own.
    """
    before = sys.gettrace()

    def handling() -> Iterator[object]:
        yield work()

    sys.settrace(trace)
    try:
        next(handling())
    finally:
        sys.settrace(before)


def stopped(
    at: int, error: BaseException, work: Callable[[], object], *, between: bool
) -> bool:
    """Do work, and raise at its n-th point of ours; say if it came to that.

    Points are lines, or where Python itself may interrupt, also between two lines.
    """
    seen = 0
    before: dict[FrameType, int] = {}

    def step(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if event == "opcode":
            last, before[frame] = before.get(frame, -1), frame.f_lasti
            if not looks_for_signals(frame.f_code).get(last, False):
                return step
        elif between or event != "line":
            return step
        seen += 1
        if seen == at:
            raise error
        return step

    def enter(frame: FrameType, *_: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        # Its last line gives back a lock: there Python looks for no signal, and no
        # memory is needed.
        if frame.f_code is Tally.read.__code__ and not between:
            return None
        frame.f_trace_opcodes = between
        return step

    try:
        traced(enter, work)
    except type(error):
        pass
    finally:
        before.clear()
        # Their frames know the id of the run: its own, and those of a KeyError that
        # was handled at that moment.
        error.__traceback__ = error.__context__ = None
    return seen >= at


def cut_short(
    every: int, error: type[BaseException], *, between: bool = False, first: int = 1
) -> str:
    """Cut a call short at every so many points of its life: it counts once or not."""
    stops = 0
    settings = Settings(run_limit=50)
    with capture(settings) as telemetry, track_usage(max_tokens=10**9) as usage:
        handler = telemetry.handler
        message = AIMessage("x", usage_metadata=USAGE)
        result = LLMResult(generations=[[ChatGeneration(message=message)]])

        def call() -> None:
            """Call like LangChain: an exception does not reach the app."""
            run_id = uuid4()
            start, end = handler.on_chat_model_start, handler.on_llm_end
            with contextlib.suppress(Exception):
                start({}, [[HumanMessage("?")]], run_id=run_id)
            for chunk in "ab":
                with contextlib.suppress(Exception):
                    handler.on_llm_new_token(chunk, run_id=run_id)
            with contextlib.suppress(Exception):
                end(result, run_id=run_id)

        call()
        before = Sums.of(telemetry, usage)
        while stopped(first + stops * every, error(), call, between=between):
            stops += 1
            background.drain()
            after = Sums.of(telemetry, usage)
            spent, tokens, operations, spans, errors = after.beyond(before)
            place = error.__name__, first + (stops - 1) * every
            assert {spent, tokens} <= {0, 5}, place
            assert operations <= 1, place
            assert spans <= 1, place
            if issubclass(error, Exception) and not errors:
                assert (spent, operations) == (tokens, spans) == (5, 1), place
            assert errors <= 2, place  # an error, and a run that is lost by it
            assert after.left == (0.0, 0.0), place
            assert is_all_free(usage), place
            before = after
        ids = [uuid4() for _ in range(200)]
        for run_id in ids:
            handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        assert telemetry.value("otel_callbacks_open_runs") <= 54  # of a limit of 50
        started = time.monotonic()
        handler.close()
        assert time.monotonic() - started < 60
        assert telemetry.value("otel_callbacks_open_runs") == 0
    return f"{stops:,} calls cut short, each counted at most once, nothing left"


class Sums(NamedTuple):
    """The counts in three places, and the open runs."""

    spent: int
    tokens: int
    operations: int
    spans: int
    errors: int
    left: tuple[float, float]

    @classmethod
    def of(cls, telemetry: Capture, usage: TrackedUsage) -> Sums:
        """Return them as they are now."""
        found: Counter[str] = Counter()
        for family in telemetry.registry.collect():
            for sample in family.samples:
                found[sample.name] += sample.value  # type: ignore[assignment]
        return cls(
            usage.total_tokens,
            found[TOKENS],
            found["otel_callbacks_operations_total"],
            len(telemetry.exporter.get_finished_spans()),
            found["otel_callbacks_errors_total"] + found[LOST],
            (
                found["otel_callbacks_open_runs"],
                found["otel_callbacks_operations_in_flight"],
            ),
        )

    def beyond(self, other: Sums) -> tuple[int, ...]:
        """Return how much more is counted than in others."""
        return tuple(
            here - there for here, there in zip(self[:5], other[:5], strict=True)
        )


class Waiting(FakeChatModel):
    """A model that answers all its calls at once, on a signal."""

    go: Any = None
    waiting: int = 0

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        """Wait, then answer."""
        self.waiting += 1
        await self.go.wait()
        answer: ChatResult = self._generate(*args, **kwargs)
        return answer


def live(graphs: int) -> str:
    """Hold three times as many runs open as the default limit: none is abandoned."""

    async def work(telemetry: Capture) -> int:
        model = Waiting(usage=USAGE, go=asyncio.Event())

        async def node(text: str) -> str:
            return (await model.ainvoke(text)).text

        graph = RunnableLambda(node) | RunnableLambda(str)
        config: Any = {"callbacks": [telemetry.handler]}
        tasks = [asyncio.create_task(graph.ainvoke("?", config)) for _ in range(graphs)]
        while model.waiting < graphs:
            await asyncio.sleep(0.01)
        is_open = telemetry.value("otel_callbacks_open_runs")
        model.go.set()
        await asyncio.gather(*tasks)
        return int(is_open)

    with capture(Settings()) as telemetry:
        is_open = asyncio.run(work(telemetry))
        assert is_open == 3 * graphs
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value(LOST) == 0
        assert telemetry.value("otel_callbacks_errors_total") in {None, 0.0}
        assert telemetry.value(TOKENS) == 5 * graphs
        assert len(telemetry.spans) == 4 * graphs
    return f"{is_open:,} open, none given up, {5 * graphs:,} tokens"


def late(calls: int) -> str:
    """End a chain below which calls go on: their tokens count when they end."""
    with capture(Settings()) as telemetry:
        handler, root = telemetry.handler, uuid4()
        handler.on_chain_start({}, "?", run_id=root)
        ids = [uuid4() for _ in range(calls)]
        for run_id in ids:
            handler.on_chat_model_start({}, [["?"]], run_id=run_id, parent_run_id=root)
        handler.on_chain_end("x", run_id=root)
        message = AIMessage("x", usage_metadata=USAGE)
        for run_id in ids:
            result = LLMResult(generations=[[ChatGeneration(message=message)]])
            handler.on_llm_end(result, run_id=run_id)
        assert telemetry.value(TOKENS) == 5 * calls
    return f"{5 * calls:,} of {5 * calls:,} tokens"


def forks(children: int) -> str:
    """Fork while other threads call: each child calls, without hanging."""
    registry = CollectorRegistry()
    # Without processors: the SDK's own hold locks that a child does not renew.
    provider = TracerProvider(shutdown_on_exit=False)
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=registry, settings=Settings()
    )
    model = FakeChatModel(callbacks=[handler], usage=USAGE)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            model.invoke("?")
            registry.get_sample_value("otel_callbacks_open_runs")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(children):
            child = os.fork()
            if not child:
                with track_usage() as usage:
                    model.invoke("?")
                os._exit(0 if usage.total_tokens == 5 else 1)
            assert waited(child) == 0
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    return f"{children} children, none hung"


def waited(child: int) -> int:
    """Wait for a child; kill one that hangs."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


def memory(calls: int) -> str:
    """Call repeatedly: memory stays flat."""
    with capture(Settings()) as telemetry:
        model = FakeChatModel(callbacks=[telemetry.handler], usage=USAGE)
        curve: list[float] = []
        for _ in range(20):
            for made in range(calls // 20):
                model.invoke("?")
                if made % 500 == 0:
                    telemetry.clear()
            telemetry.clear()
            gc.collect()
            curve.append(resident())
        assert max(curve[4:]) - curve[4] < 20, curve
    shown = " ".join(f"{one:.0f}" for one in curve)
    return f"{calls:,} calls, MB after each twentieth: {shown}"


def resident() -> float:
    """Return the resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def attacks(size: float) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the attacks of a size."""
    yield "payloads, capture off", lambda: fuzz(int(70_000 * size), content=False)
    yield "payloads, capture on", lambda: fuzz(int(30_000 * size), content=True)
    yield "threads", lambda: threads(int(8_000 * size))
    yield "agenerate", lambda: agenerate(int(4_000 * size))
    yield "live runs", lambda: live(10_000)
    yield "late ends", lambda: late(int(5_000 * size))
    yield "forks", lambda: forks(int(30 * size) or 1)
    every = max(round(2 / size), 1)
    yield "MemoryError", lambda: cut_short(every, MemoryError)
    yield "interrupts", lambda: cut_short(every, KeyboardInterrupt)
    yield (
        "interrupts between lines",
        lambda: cut_short(3 * every, KeyboardInterrupt, between=True),
    )
    yield "memory", lambda: memory(int(100_000 * size))


def main() -> int:
    """Run the attacks, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    logging.getLogger("otel_callbacks").setLevel(logging.CRITICAL)
    failed = 0
    for name, attack in attacks(options.size):
        if options.only not in name:
            continue
        started = time.monotonic()
        try:
            outcome = attack()
        except Exception as error:  # noqa: BLE001 -- a row of the table
            failed += 1
            outcome = f"FAILED: {type(error).__name__}: {error}"
        line = f"{name:24} {time.monotonic() - started:6.1f} s  {outcome}"
        print(line, flush=True)  # noqa: T201 -- a command
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
