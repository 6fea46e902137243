"""What one model call costs with the handler, as a ratio to the least possible.

All contenders run in one process, in interleaved rounds, on the same fake model; what
is measured is the CPU time of all threads. "Least" is a handler that makes one SDK
span of 12 attributes for each call and does nothing else: no handler that makes spans
can cost less. Series are scraped within the measured time, as a server would.

Other tracers that are installed take part, too (`other_tracers`).

    make bench
    make bench ARGS="--rounds 60 --json"
    make bench-others
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind
from other_tracers import others
from prometheus_client import CollectorRegistry, generate_latest

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from uuid import UUID

    from opentelemetry.trace import Span, Tracer

CHUNKS = 50
WARM_UP = 2  # rounds that are not counted
Workload = Callable[[FakeChatModel, list[Any]], None]


class Least(BaseCallbackHandler):
    """The least that any handler can cost: one span of 12 attributes a call."""

    run_inline = True
    ignore_llm = False  # type: ignore[assignment]
    ignore_chat_model = False  # type: ignore[assignment]

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._spans: dict[UUID, Span] = {}

    def on_chat_model_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Start a span."""
        self._spans[run_id] = self._tracer.start_span(
            "chat fake-model",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "fake-model",
                "gen_ai.request.temperature": 0.5,
                "gen_ai.request.max_tokens": 100,
                "server.address": "api.openai.com",
                "server.port": 443,
            },
        )

    def on_llm_end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """End it."""
        span = self._spans.pop(run_id)
        span.set_attributes(
            {
                "gen_ai.response.model": "fake-model",
                "gen_ai.response.id": "chatcmpl-1",
                "gen_ai.response.finish_reasons": ("stop",),
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.output_tokens": 20,
            }
        )
        span.end()

    def on_llm_error(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """End it."""
        self.on_llm_end(run_id=run_id)


def sync(model: FakeChatModel, handlers: list[Any]) -> None:
    """One call after another."""
    for _ in range(100):
        model.invoke("Roses?", {"callbacks": handlers})


def gathered(model: FakeChatModel, handlers: list[Any]) -> None:
    """A hundred calls at once in a loop."""

    async def main() -> None:
        await asyncio.gather(
            *(model.ainvoke("Roses?", {"callbacks": handlers}) for _ in range(100))
        )

    asyncio.run(main())


def streamed(model: FakeChatModel, handlers: list[Any]) -> None:
    """Streams of fifty chunks, read to their end."""
    for _ in range(100):
        for _ in model.stream("Roses?", {"callbacks": handlers}):
            pass


def failing(model: FakeChatModel, handlers: list[Any]) -> None:
    """Calls that fail."""
    for _ in range(100):
        with contextlib.suppress(RuntimeError):
            model.invoke("Roses?", {"callbacks": handlers})


USAGE = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
WORKLOADS: dict[str, tuple[Workload, FakeChatModel]] = {
    "sync invoke": (sync, FakeChatModel(usage=USAGE)),
    "async gather": (gathered, FakeChatModel(usage=USAGE)),
    f"{CHUNKS}-chunk stream": (
        streamed,
        FakeChatModel(usage=USAGE, answer="rose " * CHUNKS, chunks=CHUNKS),
    ),
    "errors": (failing, FakeChatModel(error=RuntimeError("no"))),
}


def measure(run: Callable[[], None]) -> float:
    """Return the CPU microseconds of one call of a workload of 100."""
    gc.collect()
    gc.disable()
    try:
        before = time.process_time_ns()
        run()
        return (time.process_time_ns() - before) / 1000 / 100
    finally:
        gc.enable()


def contenders() -> dict[str, tuple[list[Any], Callable[[], object]]]:
    """Return who takes part: the handlers, and what a scrape is for them."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    registry = CollectorRegistry()
    ours = OTelCallbackHandler(
        tracer_provider=provider, registry=registry, settings=Settings()
    )
    return {
        "bare": ([], lambda: None),
        "least": ([Least(provider.get_tracer("least"))], lambda: None),
        "otel_callbacks": ([ours], lambda: generate_latest(registry)),
        **{name: ([handler], lambda: None) for name, handler in others().items()},
    }


def overhead(rounds: int) -> dict[str, dict[str, float]]:
    """Return, for each workload, the microseconds of a call and what each adds."""
    table = {}
    for name, (workload, model) in WORKLOADS.items():
        taking_part = contenders()
        times: dict[str, list[float]] = {who: [] for who in taking_part}
        for number in range(rounds + WARM_UP):
            for who, (handlers, scrape) in taking_part.items():

                def run(
                    handlers: list[Any] = handlers,
                    scrape: Callable[[], object] = scrape,
                ) -> None:
                    workload(model, handlers)  # noqa: B023 -- called at once
                    # A scrape every 15 seconds is one in many thousand calls.
                    if number % 20 == 0:  # noqa: B023 -- called at once
                        scrape()

                spent = measure(run)
                if number >= WARM_UP:
                    times[who].append(spent)
        bare = statistics.median(times.pop("bare"))
        added = {who: statistics.median(spent) - bare for who, spent in times.items()}
        table[name] = {"bare": bare, **added}
    return table


def growth() -> dict[int, float]:
    """Return the microseconds of one start and end beside so many open runs."""
    found = {}
    handler = contenders()["otel_callbacks"][0][0]
    held: list[UUID] = []
    for count in (1, 100, 1_000, 10_000):
        while len(held) < count:
            held.append(uuid4())
            handler.on_chat_model_start({}, [["?"]], run_id=held[-1])
        best = []
        for _ in range(20):
            ids = [uuid4() for _ in range(100)]

            def run(ids: list[UUID] = ids) -> None:
                for run_id in ids:
                    handler.on_chat_model_start({}, [["?"]], run_id=run_id)
                    handler.on_llm_end(None, run_id=run_id)

            best.append(measure(run))
        found[count] = statistics.median(best)
    handler.close()
    return found


def memory() -> dict[str, float]:
    """Return the kilobytes of one open run, and of the bare SDK span in it."""
    taking_part = contenders()
    found = {}
    for who in ("least", "otel_callbacks"):
        handler = taking_part[who][0][0]
        ids = [uuid4() for _ in range(2_000)]
        model = FakeChatModel()
        params = {"model": "fake-model", "temperature": 0.5, "max_tokens": 100}
        metadata = {"ls_provider": "openai", "ls_model_name": "fake-model"}
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for run_id in ids:
            handler.on_chat_model_start(
                model._serialized,  # noqa: SLF001 -- what LangChain hands over
                [["?"]],
                run_id=run_id,
                invocation_params=params,
                metadata=metadata,
            )
        found[who] = (tracemalloc.get_traced_memory()[0] - before) / len(ids) / 1024
        tracemalloc.stop()
        if who == "otel_callbacks":
            handler.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="measured rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    result = {
        "overhead": overhead(options.rounds),
        "growth": growth(),
        "memory": memory(),
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, row in result["overhead"].items():
        print(f"\n{name}: {row.pop('bare'):.0f} us without a handler; with one")
        for who, added in row.items():
            times, ours = added / row["least"], added / row["otel_callbacks"]
            print(
                f"  {who:<24}{added:>+8.1f} us  {times:>6.2f} times the least"
                f"{ours:>8.2f} times ours"
            )
    print("\nopen runs beside it   us for one start and end")
    for count, spent in result["growth"].items():
        print(f"{count:>19,}   {spent:>8.1f}")
    print(
        f"\none open run: {result['memory']['otel_callbacks']:.1f} kB, "
        f"of which the SDK's span {result['memory']['least']:.1f} kB"
    )


if __name__ == "__main__":
    main()
