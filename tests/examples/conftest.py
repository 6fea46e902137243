"""Runs an example as a user would, and takes what it sends over OTLP."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
_ENDS_WITHIN: Final = 300
_COUNTERS: Final = "counters, as Prometheus reads them\n"


@dataclass(frozen=True, slots=True)
class Span:
    """A span as the Collector would get it.

    Args:
        name: Its name.
        trace_id: Its trace, in hex.
        span_id: Its id, in hex.
        parent_id: Its parent's id, empty for a root.
        start: Nanoseconds.
        end: Nanoseconds.
        attributes: Its attributes.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """What an example did.

    Args:
        output: What it printed.
        errors: What it wrote to standard error.
        spans: What it sent, in the order of starts.
    """

    output: str
    errors: str
    spans: list[Span]

    def counters(self, name: str) -> dict[str, float]:
        """Return what the example printed of one counter: value by labels.

        Args:
            name: Without its first word, such as ``tokens_total``.
        """
        lines = self.output.partition(_COUNTERS)[2].splitlines()
        found = (line.split(maxsplit=2) for line in lines)
        return {each[2]: float(each[1]) for each in found if each[0] == name}

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name.

        Args:
            name: The whole name.
        """
        return [span for span in self.spans if span.name == name]

    def below(self, span: Span) -> list[str]:
        """Return the names of a span's children.

        Args:
            span: The parent.
        """
        return [one.name for one in self.spans if one.parent_id == span.span_id]


Run: TypeAlias = Callable[..., Ran]


@pytest.fixture(scope="session")
def run_example(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return what runs an example by its name, with arguments and variables."""

    def run(name: str, *arguments: str, **variables: str) -> Ran:
        with _receiving() as (address, sent):
            done = subprocess.run(  # noqa: S603 -- our own example
                [sys.executable, EXAMPLES / f"{name}.py", *arguments],
                env={
                    **{k: os.environ[k] for k in ("PATH", "HOME") if k in os.environ},
                    "MPLCONFIGDIR": str(tmp_path_factory.getbasetemp()),
                    "OTEL_EXPORTER_OTLP_ENDPOINT": address,
                    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                    "OTEL_CALLBACKS_STRICT": "1",
                    "PYTHONUTF8": "1",
                    **variables,
                },
                cwd=tmp_path_factory.mktemp(name),
                capture_output=True,
                check=False,
                encoding="utf-8",
                timeout=_ENDS_WITHIN,
            )
            assert done.returncode == 0, done.stderr
            return Ran(done.stdout, done.stderr, sorted(sent, key=lambda s: s.start))

    return run


class _Receiver(BaseHTTPRequestHandler):
    """Takes spans, and other signals without a look."""

    sent: list[Span]

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            self.sent.extend(_spans(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _receiving:  # noqa: N801 -- a context manager
    """Give an address and the list that its spans come into."""

    def __enter__(self) -> tuple[str, list[Span]]:
        sent: list[Span] = []
        handler = type("Receiver", (_Receiver,), {"sent": sent})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}", sent

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _spans(body: bytes) -> Iterator[Span]:
    """Read OTLP's protobuf."""
    request = ExportTraceServiceRequest.FromString(body)
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    {
                        each.key: getattr(each.value, each.value.WhichOneof("value"))
                        for each in span.attributes
                    },
                )
