from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from otel_callbacks.cli.picture import exporter as picture_exporter
from otel_callbacks.cli.picture.exporter import WaterfallExporter
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer


@pytest.fixture
def file() -> io.StringIO:
    """Give what is printed to."""
    return io.StringIO()


@pytest.fixture
def provider(file: io.StringIO) -> TracerProvider:
    """Give a provider that prints its traces."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(WaterfallExporter(file)))
    return made


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    """Give its tracer."""
    return provider.get_tracer("t")  # type: ignore[return-value]


def test_a_trace_is_printed_when_its_root_ends(file: io.StringIO) -> None:
    """Not before; and its sums when the provider ends, once."""
    with capture() as telemetry:
        made = telemetry.tracer_provider
        made.add_span_processor(SimpleSpanProcessor(WaterfallExporter(file)))
        with made.get_tracer("app").start_as_current_span("shop"):
            FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
            assert file.getvalue() == ""
        assert "shop" in file.getvalue()
        assert "└─ chat fake-model" in file.getvalue()
        assert "1 traces, 1 calls" not in file.getvalue()
        made.shutdown()
    (last,) = [line for line in file.getvalue().splitlines() if "traces" in line]
    assert last.startswith("1 traces, 1 calls, ")
    assert last.endswith("tokens of 1 unknown")


def test_without_a_trace_nothing_is_printed(
    provider: TracerProvider, file: io.StringIO
) -> None:
    """No line of sums of nothing."""
    provider.shutdown()
    assert file.getvalue() == ""


def test_a_trace_of_another_service_ends_with_ours(
    tracer: Tracer, file: io.StringIO
) -> None:
    """Its root is there, and is never seen here."""
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    tracer.start_span("ours", set_span_in_context(NonRecordingSpan(remote))).end()
    assert "ours" in file.getvalue()


def test_what_has_no_root_is_printed_at_the_end_and_bounded(
    tracer: Tracer,
    provider: TracerProvider,
    file: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest traces, and the last spans of a long one, are left out."""
    monkeypatch.setattr(picture_exporter, "_TRACES", 1)
    monkeypatch.setattr(picture_exporter, "_SPANS", 2)
    for number in range(2):
        root = tracer.start_span(f"root {number}")
        for name in "abc":
            tracer.start_span(f"{name}{number}", set_span_in_context(root)).end()
    provider.shutdown()
    assert "a0" not in file.getvalue()
    assert "b1" in file.getvalue()
    assert "c1" not in file.getvalue()
