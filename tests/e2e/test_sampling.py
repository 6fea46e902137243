"""What tail sampling keeps if it drops all ordinary traces."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from answers import total, trace
from opentelemetry import trace as api
from opentelemetry.trace import StatusCode
from processes import eventually
from stack import Stack
from telemetry import chat, sending, trace_id

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.trace import Span, Tracer

pytestmark = pytest.mark.e2e


def _run(tracer: Tracer, failed: bool = False, **attributes: int) -> Span:  # noqa: FBT001, FBT002
    """Send a root with one model call in it."""
    root = tracer.start_span("bouquet")
    with api.use_span(root, end_on_exit=True):
        call = chat(tracer, **attributes)
        if failed:
            call.set_status(StatusCode.ERROR, "RateLimitError")
        call.end()
    return root


def test_errors_slow_and_expensive_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    """At 0 % ordinary traces are dropped; errors, slow and expensive ones stay."""
    stack = Stack(tmp_path, COLLECTOR_KEEP_PERCENT="0", COLLECTOR_SLOW_MS="1000")
    try:
        stack.start()
        with sending(stack.address("grpc"), "sampled") as tracer:
            ordinary = _run(tracer)
            kept = {
                "error": _run(tracer, failed=True),
                "expensive": _run(tracer, gen_ai__usage__output_tokens=9000),
            }
            now = time.time_ns()
            slow = tracer.start_span("slow", start_time=now - 2 * 10**9)
            slow.end(now)
            kept["slow"] = slow
        for name, span in kept.items():
            spans = eventually(
                partial(trace, stack.url("jaeger_http"), trace_id(span)), name
            )
            assert len(spans) == (1 if name == "slow" else 2), name
        assert trace(stack.url("jaeger_http"), trace_id(ordinary)) == []
        query = 'sum(traces_span_metrics_calls_total{service_name="sampled"})'
        eventually(lambda: total(stack.url("prometheus"), query) == 7, "seven spans")
    finally:
        stack.stop()


def test_late_root_is_judged_with_its_children(tmp_path: Path) -> None:
    """A child that ended long before its root is kept with it."""
    stack = Stack(tmp_path, COLLECTOR_KEEP_PERCENT="0")
    try:
        stack.jaeger.start()
        stack.collector.start()
        with sending(stack.address("grpc"), "late") as tracer:
            root = tracer.start_span("agent run")
            with api.use_span(root, end_on_exit=False):
                chat(tracer).end()
            tracer.span_processor.force_flush()  # type: ignore[attr-defined]
            time.sleep(4)  # longer than the wait after a root
            assert trace(stack.url("jaeger_http"), trace_id(root)) == []
            root.set_status(StatusCode.ERROR, "Timeout")
            root.end()
        spans = eventually(
            lambda: trace(stack.url("jaeger_http"), trace_id(root)), "the trace"
        )
        assert {span.name for span in spans} == {"agent run", "chat gpt-4.1"}
    finally:
        stack.stop()
