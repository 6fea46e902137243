"""An app under attack: it makes the requested calls and reports them as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, HumanMessage
from opentelemetry.sdk.trace import SpanProcessor
from prometheus_client import REGISTRY

from otel_callbacks import configure
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class Noted(SpanProcessor):
    """Records the end time of each trace."""

    def __init__(self) -> None:
        self.ended: dict[str, float] = {}

    def on_end(self, span: ReadableSpan) -> None:
        """Record it."""
        assert span.context is not None
        self.ended[f"{span.context.trace_id:032x}"] = time.time()


async def at_once(model: FakeChatModel, calls: int) -> None:
    """Make all calls concurrently."""
    question: list[BaseMessage] = [HumanMessage("?")]
    await asyncio.gather(*(model.agenerate([question]) for _ in range(calls)))


async def steadily(model: FakeChatModel, rate: float, seconds: float) -> None:
    """Make a number of calls per second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await model.agenerate([[HumanMessage("?")]])
        await asyncio.sleep(1 / rate)


def compare(calls: int, handler: Any) -> dict[str, list[float]]:
    """Time calls with and without the handler in turns, in microseconds."""
    traced = FakeChatModel(callbacks=[handler], usage=USAGE)
    bare = FakeChatModel(usage=USAGE)
    times: dict[str, list[float]] = {"bare": [], "traced": []}
    for _ in range(calls):
        for name, model in (("bare", bare), ("traced", traced)):
            began = time.perf_counter()
            model.invoke("?")
            times[name].append((time.perf_counter() - began) * 1e6)
    return {name: quantiles(sorted(found)) for name, found in times.items()}


def quantiles(ordered: list[float]) -> list[float]:
    """Return p50 and p99."""
    return [ordered[int(len(ordered) * q)] for q in (0.5, 0.99)]


def main() -> None:
    """Run the requested calls, report them, and end when the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("service")
    parser.add_argument("--at-once", type=int, default=0)
    parser.add_argument("--compare", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--hold", type=int, default=0)
    options = parser.parse_args()
    handler: Any = configure(service_name=options.service)
    noted = Noted()
    handler.tracer_provider.add_span_processor(noted)
    model = FakeChatModel(callbacks=[handler], usage=USAGE)
    did: dict[str, Any] = {}
    if options.at_once:
        asyncio.run(at_once(model, options.at_once))
    if options.compare:
        did["latency"] = compare(options.compare, handler)
    if options.rate:
        asyncio.run(steadily(model, options.rate, options.seconds))
    did["flushed"] = handler.flush(30) if not options.compare else None
    did["ended"] = noted.ended
    did["lost"] = REGISTRY.get_sample_value(
        "otel_callbacks_errors_total", {"where": "export"}
    )
    did["open"] = REGISTRY.get_sample_value("otel_callbacks_open_runs")
    sys.stdout.write(json.dumps(did) + "\n")
    sys.stdout.flush()
    if options.hold:
        slow = FakeChatModel(callbacks=[handler], usage=USAGE, delay=3_600)
        asyncio.run(at_once(slow, options.hold))
    sys.stdin.read()
    handler.close()


if __name__ == "__main__":
    main()
