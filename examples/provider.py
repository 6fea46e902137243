"""Shared by the examples: a provider without a key, and a printer for telemetry.

Your own app needs none of this: it has a provider and a Collector.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from otel_callbacks import Settings
from otel_callbacks.testing import FakeOpenAI, Reply, spans_as_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from starlette.types import ASGIApp

    from otel_callbacks import ConfiguredHandler
    from otel_callbacks.testing import Span

# The printed series of operations and spending, and their distinguishing labels.
_SERIES: Final = ("tokens", "cost_usd", "unpriced_tokens", "operations")
_LABELS: Final = (
    "gen_ai_request_model",
    "gen_ai_token_type",
    "outcome",
    "error_class",
    "memory",
)
_PRICES: Final = str(Path(__file__).with_name("prices.toml"))
_COLLECTOR: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER")


def settings(**more: Any) -> Settings:
    """Return the environment's settings, for a machine with or without the stack.

    Spans are sent only if an endpoint is set, ``/metrics`` uses a free port unless one
    is set, and prices for the fake provider are in ``prices.toml``.

    Args:
        more: The settings of the example.
    """
    found = Settings.from_env()
    if not any(os.environ.get(name) for name in _COLLECTOR):
        found = replace(found, traces_exporter="none", logs_exporter="none")
    if not os.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT"):
        found = replace(found, prometheus_port=0)
    found = replace(found, prices=found.prices or _PRICES)
    return replace(found, **more)


@contextmanager
def provider(
    talk: Mapping[str, str] | None = None,
    *,
    model: str = "gpt-4o-mini",
    teach: Callable[[FakeOpenAI], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the arguments of ``ChatOpenAI``: for the real provider if there is a key.

    Args:
        talk: The fake provider's answers by question, streamed at typing speed.
        model: The requested model, unless ``MODEL`` is set.
        teach: Adds further replies to the fake provider.
    """
    chosen = {"model": os.environ.get("MODEL") or model}
    if os.environ.get("OPENAI_API_KEY"):
        yield chosen
        return
    with FakeOpenAI() as server:
        for question, answer in (talk or {}).items():
            server.when(question, Reply(answer, chunk_delay=0.02))
        if teach is not None:
            teach(server)
        yield {**chosen, "base_url": server.base_url, "api_key": "no-key-needed"}


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve a web application on a free port of this machine.

    Args:
        app: The application.

    Yields:
        The host and port.
    """
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@contextmanager
def shown(handler: ConfiguredHandler) -> Iterator[Callable[[], list[Span]]]:
    """Print the spans and the counters of a block of code.

    Args:
        handler: The handler; it is closed at the end.

    Yields:
        A function that returns the ended spans.
    """
    kept = InMemorySpanExporter()
    handler.tracer_provider.add_span_processor(SimpleSpanProcessor(kept))  # type: ignore[attr-defined]
    try:
        yield lambda: spans_as_data(kept.get_finished_spans())
    finally:
        handler.close()
        print("\nspans, as Jaeger shows them")
        print(*_tree(spans_as_data(kept.get_finished_spans())), sep="\n")
        print("\ncounters, as Prometheus reads them")
        print(*counters(), sep="\n")


def counters() -> list[str]:
    """Return a line for each counter series, without labels of the server."""
    lines = []
    for family in REGISTRY.collect():
        if family.name.removeprefix("otel_callbacks_") not in _SERIES:
            continue
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.value:
                kept = [
                    f"{name.removeprefix('gen_ai_')}={sample.labels[name]}"
                    for name in _LABELS
                    if sample.labels.get(name)
                ]
                name = sample.name.removeprefix("otel_callbacks_")
                lines.append(f"  {name:<22}{sample.value:>12.8g}  {' '.join(kept)}")
    return lines


def total(name: str, **labels: str) -> float:
    """Return the current sum of a counter's series.

    Args:
        name: The counter's name.
        labels: Required values of labels; series without the label match, too.
    """
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == name
        and all(sample.labels.get(key, value) == value for key, value in labels.items())
    )


def _tree(spans: list[Span]) -> Iterator[str]:
    """Yield a line for each span, children indented below parents."""
    known = {span["span_id"] for span in spans}

    def below(parent: str | None, depth: int) -> Iterator[str]:
        for span in spans:
            its_parent = span["parent_id"] if span["parent_id"] in known else None
            if its_parent == parent:
                yield f"  {'  ' * depth + span['name']:<36}{_facts(span)}"
                yield from below(span["span_id"], depth + 1)

    yield from below(None, 0)


def _facts(span: Span) -> str:
    """Return a span's duration, usage and error as text."""
    said = span["attributes"]
    facts = [f"{(span['end_ns'] - span['start_ns']) / 1e6:7.0f} ms"]
    if "gen_ai.usage.input_tokens" in said:
        used = (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"])
        facts.append("{} tokens in, {} out".format(*used))
    if "otel_callbacks.cost_usd" in said:
        facts.append(f"${said['otel_callbacks.cost_usd']:.6f}")
    if "error.type" in said:
        facts.append(f"failed: {said['error.type']}")
    return "  ".join(facts)
