"""Log lines by the Collector's OTLP receiver, joined to their spans in Jaeger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from answers import trace
from processes import eventually
from stack import HERE
from waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from answers import Span
    from stack import Stack

pytestmark = pytest.mark.e2e

_SPANS = ("order", "execute_tool look_up", "chat gpt-4.1-mini")
_LINES = {
    "tool: looked up": "execute_tool look_up",
    "tool: 29 euros": "execute_tool look_up",
    "callback: answered": "chat gpt-4.1-mini",
}


@pytest.fixture(scope="module")
def trace_id(stack: Stack) -> str:
    """The trace of an app that logs, run to its end."""
    done = subprocess.run(  # noqa: S603 -- our own app
        [sys.executable, HERE / "apps/logs.py"],
        env={
            **{
                name: os.environ[name]
                for name in ("PATH", "HOME")
                if name in os.environ
            },
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
            "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
            "OTEL_CALLBACKS_STRICT": "1",
        },
        capture_output=True,
        check=False,
        text=True,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _records(stack: Stack, trace_id: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a trace that the Collector has written."""
    file = stack.storage / "logs/otlp.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    for line in lines:
        resource = json.loads(line)["resourceLogs"][0]
        for record in resource["scopeLogs"][0]["logRecords"]:
            if record["traceId"] == trace_id:
                yield record


def test_each_line_names_the_span_it_was_written_in(
    stack: Stack, trace_id: str
) -> None:
    """Log lines of a tool and a callback have the ids that Jaeger shows."""

    def spans() -> dict[str, Span]:
        stored = {span.name: span for span in trace(stack.url("jaeger_http"), trace_id)}
        return stored if stored.keys() >= set(_SPANS) else {}

    def lines() -> dict[str, str]:
        written = {
            record["body"]["stringValue"]: record["spanId"]
            for record in _records(stack, trace_id)
        }
        return written if written.keys() >= _LINES.keys() else {}

    stored = eventually(spans, "the spans in Jaeger")
    written = eventually(lines, "the lines in the Collector's file")
    assert {line: written[line] for line in _LINES} == {
        line: stored[name].span_id for line, name in _LINES.items()
    }
