"""Where the time of one model call with the handler goes, part by part.

Each part is called alone and again and again, in turns with the others; the least of
many rounds counts. What is measured together costs more than the sum of its parts, as
code that has just run is at hand in the processor.

    python benchmarks/parts.py
    python benchmarks/parts.py anthropic
"""

from __future__ import annotations

import gc
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler
from overhead import contenders
from shapes import SHAPES, ShapedModel

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.request import model_request
from otel_callbacks._readers.response import model_response
from otel_callbacks._records import OK, End
from otel_callbacks._spans.current import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 300
REPEATS = 20


class Recorder(BaseCallbackHandler):
    """Keeps what LangChain hands over."""

    run_inline = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Keep a start."""
        self.start = args, {k: v for k, v in kwargs.items() if k != "run_id"}

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        """Keep an end."""
        self.end = args, {k: v for k, v in kwargs.items() if k != "run_id"}


def parts(shape: str) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    recorder = Recorder()
    ShapedModel(shape=shape, callbacks=[recorder]).invoke("Roses?")
    (given, more), (ended, rest) = recorder.start, recorder.end
    taking_part = contenders()
    ours, least = (taking_part[who][0][0] for who in ("otel_callbacks", "least"))
    table = ours._runs._table  # noqa: SLF001 -- the parts have no public names
    series, ledger, spans = table._sinks  # noqa: SLF001
    names = ("invocation_params", "options", "metadata", "tags", "batch_size", "name")
    asked = semconv.CHAT, given[0], *(more.get(name) for name in names)
    request, response = model_request(*asked), model_response(*ended)
    run_id, end, now = uuid4(), End(OK, 0, response), time.time_ns()

    def call(handler: Any) -> None:
        handler.on_chat_model_start(*given, run_id=run_id, **more)
        handler.on_llm_end(*ended, run_id=run_id, **rest)

    def in_table() -> None:
        run = table.start(run_id, None, request)
        table.take(run_id)
        table.finish(run, OK)

    def span() -> None:
        run = StandIn(1, request, None)
        spans.started(run)
        run.open = False
        spans.ended(run, end)

    def counted() -> None:
        run = StandIn(1, request, None)
        ledger.started(run)
        series.ended(run, end)
        ledger.ended(run, end)

    bare = type(table)((), table._diagnostics, factory=StandIn)  # noqa: SLF001

    def in_bare_table() -> None:
        run = bare.start(run_id, None, request)
        bare.take(run_id)
        bare.finish(run, OK)

    def folded() -> None:
        counted()
        series._calls.fold()  # noqa: SLF001

    return {
        "least: one SDK span of 12 attributes": lambda: call(least),
        "a whole call": lambda: call(ours),
        "reading the request": lambda: model_request(*asked),
        "reading the answer": lambda: model_response(*ended),
        "the price": lambda: table._price(request, response, now),  # noqa: SLF001
        "the run and its table": in_bare_table,
        "the span and the context": span,
        "the series' append, the account": counted,
        "the table with all of these but the price": in_table,
        "the append, the account and the count": folded,
    }


def main() -> None:
    """Measure and print."""
    shape = sys.argv[1] if len(sys.argv) > 1 else next(iter(SHAPES))
    tests = parts(shape)
    best = dict.fromkeys(tests, float("inf"))
    gc.disable()
    for _ in range(ROUNDS):
        for name, run in tests.items():
            before = time.perf_counter_ns()
            for _ in range(REPEATS):
                run()
            spent = (time.perf_counter_ns() - before) / REPEATS / 1000
            best[name] = min(best[name], spent)
    for name, spent in best.items():
        print(f"{name:<45}{spent:>6.1f} us")


if __name__ == "__main__":
    main()
