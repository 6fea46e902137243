"""Measure the cost of one model call with the handler, relative to the least possible.

All contenders run in one process, ten calls each in turn, on models with answers in
the shapes of five providers' packages (`shapes`). The figure is the CPU time of
all threads, summed over all turns, so a temporarily slow processor affects
all contenders. "Least" is a handler that makes one SDK span of 12 attributes for each
call and does nothing else. Handlers are passed where apps pass them: to the model's
constructor, and with the request. Series are scraped within the measured time. Garbage
is collected between the rounds, so no contender pays for the garbage of another.

Other installed tracers are measured too (`other_tracers`).

    make bench
    make bench ARGS="--rounds 60 --modes sync errors --shapes openai gemini"
    make bench ARGS="--picture docs/pictures/overhead.png"
    make bench-others
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import gc
import itertools
import json
import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanKind
from other_tracers import others
from prometheus_client import CollectorRegistry, generate_latest
from shapes import CHUNKS, SHAPES, ShapedModel

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from opentelemetry.trace import Span, Tracer

CALLS = 10  # per turn
TURNS = 10  # per round
WARM_UP = 2  # rounds that are not counted
# Rounds per scrape: before enough calls wait for the background thread
# to fold them in another contender's turn. In production more calls share a scrape.
SCRAPED = 4


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


Run = Callable[[Any, dict[str, Any]], None]


def sync(model: ShapedModel, config: dict[str, Any]) -> None:
    """Make calls one by one."""
    for _ in range(CALLS):
        model.invoke("Roses?", config)


def gathered(model: ShapedModel, config: dict[str, Any]) -> None:
    """Make all calls concurrently in an event loop."""

    async def main() -> None:
        await asyncio.gather(*(model.ainvoke("Roses?", config) for _ in range(CALLS)))

    asyncio.run(main())


def streamed(model: ShapedModel, config: dict[str, Any]) -> None:
    """Read streams of fifty chunks to their end."""
    for _ in range(CALLS):
        for _ in model.stream("Roses?", config):
            pass


def failing(model: ShapedModel, config: dict[str, Any]) -> None:
    """Calls that fail."""
    for _ in range(CALLS):
        with contextlib.suppress(RuntimeError):
            model.invoke("Roses?", config)


def agent(graph: Any, config: dict[str, Any]) -> None:
    """Run graphs of five nodes, each of which calls the model once."""
    for _ in range(CALLS // 5):
        graph.invoke({"text": "Roses?"}, config)


def _graph(model: ShapedModel) -> Any:
    """Build a graph of five nodes in a row."""
    graphs = import_module("langgraph.graph")
    builder = graphs.StateGraph(dict)
    names = [f"node{number}" for number in range(5)]
    for name in names:
        builder.add_node(name, lambda _: {"text": model.invoke("Roses?").text})
    for one, next_one in itertools.pairwise([graphs.START, *names, graphs.END]):
        builder.add_edge(one, next_one)
    return builder.compile()


MODES: dict[str, Run] = {
    "sync": sync,
    "async gather": gathered,
    f"{CHUNKS}-chunk stream": streamed,
    "errors": failing,
}
PLACES = ("at construction", "at request")
if find_spec("langgraph") is not None:
    MODES["agent of 5 nodes"] = agent


@contextlib.contextmanager
def no_garbage() -> Iterator[None]:
    """Collect garbage before the block, and none within it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def measure(run: Callable[[], object]) -> float:
    """Return the CPU microseconds of a function in all threads."""
    before = time.process_time_ns()
    run()
    return (time.process_time_ns() - before) / 1000


def contenders() -> dict[str, tuple[list[Any], Callable[[], object]]]:
    """Return the contenders: their handlers and their scrapes."""
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


def overhead(
    rounds: int, modes: Iterable[str], shapes: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the cost of a call, and what each handler adds, by mode and shape."""
    table = []
    for mode, place, shape in itertools.product(modes, PLACES, shapes):
        if mode.startswith("agent") and place == PLACES[0]:
            continue  # a graph has no constructor that takes handlers
        taking_part = contenders()
        runs = {
            who: functools.partial(MODES[mode], *given(mode, place, shape, handlers))
            for who, (handlers, _) in taking_part.items()
        }
        spent: Counter[str] = Counter()
        for number in range(-WARM_UP, rounds):
            if number == 0:
                spent.clear()
            with no_garbage():
                for _ in range(TURNS):
                    for who in random.sample(list(runs), len(runs)):
                        spent[who] += measure(runs[who])
                if number % SCRAPED == SCRAPED - 1 or number == rounds - 1:
                    for who, (_, scrape) in taking_part.items():
                        spent[who] += measure(scrape)
        calls = rounds * TURNS * CALLS
        bare = spent.pop("bare")
        added = {who: (sum_ - bare) / calls for who, sum_ in spent.items()}
        about = {"mode": mode, "place": place, "shape": shape, "bare": bare / calls}
        table.append(about | added)
    return table


def given(
    mode: str, place: str, shape: str, handlers: list[Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the model or the graph of a mode, and its config."""
    at_construction = place == PLACES[0]
    model = ShapedModel(
        shape=shape,
        fails=mode == "errors",
        callbacks=handlers if at_construction else None,
    )
    config = {} if at_construction else {"callbacks": handlers}
    return _graph(model) if mode.startswith("agent") else model, config


def growth() -> dict[int, float]:
    """Return the microseconds of one start and end with a number of open runs."""
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

            with no_garbage():
                best.append(measure(run) / len(ids))
        found[count] = min(best)
    handler.close()
    return found


def memory() -> dict[str, float]:
    """Return the kilobytes of one open run and of its bare SDK span."""
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


def imports() -> dict[str, float]:
    """Return the CPU seconds of imports, each the minimum of five processes."""
    found = {}
    ours, model = "otel_callbacks", "langchain_openai"
    for what in (ours, model, f"{model}, {ours}"):
        times = []
        for _ in range(5):
            before = os.times()
            subprocess.run([sys.executable, "-c", f"import {what}"], check=True)  # noqa: S603 -- our own text
            after = os.times()
            times.append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
        found[what] = min(times)
    return found


def ratios(table: list[dict[str, Any]], who: str) -> dict[tuple[str, str], list[float]]:
    """Return the ratios to the least, for each mode and place, by shape."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in table:
        if who in row:
            key = (row["mode"], row["place"])
            found.setdefault(key, []).append(row[who] / row["least"])
    return found


def show(table: list[dict[str, Any]], shapes: list[str]) -> None:
    """Print one table for each contender, the worst row first."""
    known = {"mode", "place", "shape", "bare", "least"}
    for who in [name for name in table[0] if name not in known]:
        print(f"\n{who}, times the least that any handler can cost")
        print(f"{'':<36}" + "".join(f"{shape:>11}" for shape in shapes))
        rows = sorted(ratios(table, who).items(), key=lambda one: -max(one[1]))
        for (mode, place), found in rows:
            cells = "".join(f"{one:>11.2f}" for one in found)
            print(f"{mode + ', ' + place:<36}{cells}")


def draw(table: list[dict[str, Any]], shapes: list[str], path: str) -> None:
    """Draw the ratios as bars: the worst shape of each mode and place."""
    pyplot = import_module("matplotlib.pyplot")
    known = {"mode", "place", "shape", "bare", "least"}
    names = [name for name in table[0] if name not in known]
    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    keys = list(ratios(table, names[0]))
    width = 0.8 / len(names)
    for place, who in enumerate(names):
        worst = [max(found) for found in ratios(table, who).values()]
        axes.barh(
            [number + place * width for number in range(len(worst))],
            worst,
            width,
            label=who,
        )
    axes.set_yticks(
        [number + 0.4 - width / 2 for number in range(len(keys))],
        [f"{mode}, {place}" for mode, place in keys],
    )
    axes.axvline(1, color="black", linewidth=1, label="one bare SDK span")
    axes.invert_yaxis()
    axes.set_xlabel(f"times the least, worst of {', '.join(shapes)}")
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="measured rounds")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--picture", metavar="FILE", help="draw the ratios into a PNG")
    options = parser.parse_args()
    table = overhead(options.rounds, options.modes, options.shapes)
    result = {
        "overhead": table,
        "growth": growth(),
        "memory": memory(),
        "imports": imports(),
    }
    if options.picture:
        draw(table, options.shapes, options.picture)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    show(table, options.shapes)
    if "agent of 5 nodes" not in MODES:
        print("\nagents were left out: LangGraph is not installed here")
    print("\nopen runs beside it   us for one start and end")
    for count, spent in result["growth"].items():
        print(f"{count:>19,}   {spent:>8.1f}")
    print(
        f"\none open run: {result['memory']['otel_callbacks']:.1f} kB; "
        f"one open SDK span: {result['memory']['least']:.1f} kB"
    )
    for what, spent in result["imports"].items():
        print(f"import {what}: {spent:.2f} s of CPU")


if __name__ == "__main__":
    main()
