"""Spans and series of one block of code, as plain data for assertions."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from otel_callbacks._background import background

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_callbacks import OTelCallbackHandler
    from otel_callbacks.settings import Settings

Span = dict[str, Any]
"""A span as data: name, kind, status, attributes, parent, ids, times, events, links."""


@dataclass(eq=False, repr=False)
class Capture:
    """The telemetry of one block of code.

    Args:
        handler: The handler to give to the models under test.
        tracer_provider: The provider of its spans, also for an app's own spans
            and instrumentations.
        exporter: The exporter that holds the ended spans.
        registry: The registry of its series.
    """

    handler: OTelCallbackHandler
    tracer_provider: TracerProvider
    exporter: InMemorySpanExporter
    registry: CollectorRegistry

    @property
    def spans(self) -> list[Span]:
        """The ended spans, in the order of their starts."""
        # The thread ends streams that the garbage collector has closed.
        background.drain()
        return spans_as_data(self.exporter.get_finished_spans())

    def span(self, name: str) -> Span:
        """Return the one ended span with a name.

        Args:
            name: The span's full name.

        Raises:
            LookupError: There is no such span, or more than one.
        """
        spans = self.spans
        found = [span for span in spans if span["name"] == name]
        if len(found) != 1:
            names = [span["name"] for span in spans]
            message = f"{len(found)} spans are named {name!r}, of {names}"
            raise LookupError(message)
        return found[0]

    def tree(self) -> str:
        """Return the names of the ended spans, children indented below parents."""
        return tree_of(self.spans)

    @property
    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The registry's samples: value by name and labels."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.registry.collect()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with a name and these labels.

        Args:
            name: The sample's name, with its suffix: ``..._total``, ``..._count``.
            labels: Labels with these values; other labels may have any value.
        """
        wanted = set(labels.items())
        return sum(
            value
            for (one, its_labels), value in self.samples.items()
            if one == name and wanted <= its_labels
        )

    def clear(self) -> None:
        """Remove the ended spans; series keep their values."""
        self.exporter.clear()


@contextmanager
def capture(settings: Settings | None = None) -> Iterator[Capture]:
    """Return a handler whose spans and series stay in this block of code.

    Nothing global is used: the tracer provider, the exporter and the registry
    are new, and telemetry failures raise (strict).

        with capture() as telemetry:
            FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
        assert telemetry.span("chat fake-model")["status"] == "UNSET"

    Args:
        settings: The handler's settings; if None, the environment's, but strict.
    """
    # Imported here because the server alone does not need this heavy import.
    from otel_callbacks import OTelCallbackHandler  # noqa: PLC0415
    from otel_callbacks.settings import Settings  # noqa: PLC0415

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    registry = CollectorRegistry()
    handler = OTelCallbackHandler(
        tracer_provider=provider,
        registry=registry,
        settings=settings or replace(Settings.from_env(), strict=True),
    )
    try:
        yield Capture(handler, provider, exporter, registry)
    finally:
        handler.close()
        provider.shutdown()


def spans_as_data(spans: Sequence[ReadableSpan]) -> list[Span]:
    """Return spans as plain dictionaries, in the order of their starts.

    Args:
        spans: The SDK's ended spans.
    """
    ordered = sorted(spans, key=lambda span: span.start_time or 0)
    found = [_as_data(span) for span in ordered]
    names = {span["span_id"]: span["name"] for span in found}
    for span in found:
        span["parent"] = names.get(span["parent_id"])
    return found


def tree_of(spans: Sequence[Span]) -> str:
    """Return the names of spans, one per line, children indented below parents.

    Args:
        spans: Spans as data; one whose parent is not among them is a root.
    """
    known = {span["span_id"] for span in spans}
    roots = [span for span in spans if span["parent_id"] not in known]
    return "\n".join(line for root in roots for line in _lines(root, spans, 0))


def _lines(span: Span, spans: Sequence[Span], depth: int) -> Iterator[str]:
    """Yield the lines of a span and its descendants."""
    yield "  " * depth + span["name"]
    for child in spans:
        if child["parent_id"] == span["span_id"]:
            yield from _lines(child, spans, depth + 1)


def _as_data(span: ReadableSpan) -> Span:
    """Return one span as a dictionary, without its parent's name."""
    context = span.get_span_context()
    return {
        "name": span.name,
        "kind": span.kind.name,
        "status": span.status.status_code.name,
        "status_description": span.status.description,
        "attributes": dict(span.attributes or {}),
        "parent": None,
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "events": [
            {"name": event.name, "attributes": dict(event.attributes or {})}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": f"{link.context.trace_id:032x}",
                "span_id": f"{link.context.span_id:016x}",
            }
            for link in span.links
        ],
    }
