"""Small servers on loopback: HTTP pages, an OTLP receiver over gRPC, and a stack."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

import grpc  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from waiting import WAIT_S

from otel_callbacks import Settings
from otel_callbacks.cli import parser_for
from otel_callbacks.cli.doctor.examination import addresses

CERTIFICATE = Path(__file__).with_name("loopback.pem")
SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


def at(url: str) -> Any:
    """Return the address that the doctor makes of a URL on its command line."""
    words = ["doctor", "--jaeger", url, "--skip", "metrics"]
    return addresses(parser_for(words).parse_args(words), Settings(), {}).jaeger


class Page(NamedTuple):
    """The response of a path: text, or another value as JSON."""

    body: Any = ""
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})


Pages = dict[str, Page | Callable[[dict[str, str]], Page]]


class Web:
    """An HTTP server of pages; a path that has none answers 404.

    Args:
        pages: By path; a function gets the query.
        tls: Whether it speaks TLS, with ``CERTIFICATE``.
    """

    def __init__(self, pages: Pages | None = None, *, tls: bool = False) -> None:
        self.pages: Pages = pages or {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            """Answers with the pages."""

            def do_GET(self) -> None:
                """Answer."""
                parts = urlsplit(self.path)
                web.requests.append((self.path, dict(self.headers)))
                page = web.pages.get(parts.path, Page("404 page not found", 404))
                if callable(page):
                    page = page(dict(parse_qsl(parts.query)))
                text = page.body
                text = text if isinstance(text, str) else json.dumps(text)
                if "Date" in page.headers:
                    self.send_response_only(page.status)
                else:
                    self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_POST(self) -> None:
                """Answer as to GET, after reading what was sent."""
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        class Quiet(ThreadingHTTPServer):
            """A server that does not print clients' errors."""

            def handle_error(self, *_: Any) -> None:
                """Print nothing."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        scheme = "https" if tls else "http"
        self.port = self._server.server_port
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop serving; safe to repeat."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class Receiver:
    """An OTLP receiver over gRPC that keeps the trace ids it is sent.

    Args:
        refuses: The status that it refuses spans with.
        refuses_all: Whether it refuses empty requests, too.
        tls: Whether it speaks TLS, with ``CERTIFICATE``.
        service: The gRPC service that it has.
    """

    def __init__(
        self,
        refuses: grpc.StatusCode | None = None,
        *,
        refuses_all: bool = False,
        tls: bool = False,
        service: str = SERVICE,
    ) -> None:
        self.traces: dict[str, int] = {}
        self._refuses = refuses
        self._refuses_all = refuses_all
        self._pool = ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool)
        handler = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"Export": handler}),)
        )
        if tls:
            pem = CERTIFICATE.read_bytes()
            credentials = grpc.ssl_server_credentials([(pem, pem)])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        else:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def _export(self, request: Any, context: Any) -> Any:
        """Accept or refuse spans."""
        spans = [
            span
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        if self._refuses is not None and (spans or self._refuses_all):
            context.abort(self._refuses, "not today")
        for span in spans:
            trace = span.trace_id.hex()
            self.traces[trace] = self.traces.get(trace, 0) + 1
        return ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop serving; safe to repeat."""
        self._server.stop(None).wait(WAIT_S)
        self._pool.shutdown()


def closed_port() -> int:
    """Return an unused port of loopback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        return int(one.getsockname()[1])


def success(data: Any) -> Page:
    """Return a page of Prometheus' API.

    Args:
        data: What it found.
    """
    return Page({"status": "success", "data": data})


class FakeStack:
    """All servers of the stack, as they answer when all is well.

    What they answer is changed by their pages, and by the numbers in ``series``: the
    first key that an expression contains decides; no key gives an empty result.
    """

    def __init__(self) -> None:
        self.keeps_traces = True
        self.has_exemplars = True
        self.series: dict[str, float] = {
            "vector(1)": 1,
            "timestamp": 0,
            "otel_callbacks|gen_ai": 12,
            "traces_span_metrics_calls_total": 3,
        }
        self.receiver = Receiver()
        self.jaeger = Web(
            {
                "/api/v3/services": Page({"services": []}),
                "/api/services": Page({"data": []}),
            }
        )
        self.jaeger.pages = _Traces(self)
        self.metrics = Web(
            {
                "/metrics": Page(
                    "# TYPE otel_callbacks_open_runs gauge\n"
                    "otel_callbacks_open_runs 0.0\n"
                    "# TYPE gen_ai_client_token_usage histogram\n"
                    'gen_ai_client_token_usage_bucket{le="1"} 1 # {trace_id="1"} 1\n',
                    headers={"Content-Type": "application/openmetrics-text"},
                )
            }
        )
        target = {
            "scrapeUrl": f"http://app:{self.metrics.port}/metrics",
            "health": "up",
            "lastError": "",
            "lastScrape": "2026-11-21T06:00:39.8Z",
            "labels": {"instance": f"app:{self.metrics.port}", "job": "app"},
        }
        self.target = target
        other = {**target, "scrapeUrl": "http://jaeger/metrics", "health": "down"}
        self.flags = {
            "enable-feature": "exemplar-storage",
            "web.enable-otlp-receiver": "true",
        }
        self.prometheus = Web(
            {
                "/api/v1/query": self._query,
                "/api/v1/status/flags": lambda _: success(self.flags),
                "/api/v1/targets": success({"activeTargets": [other, target]}),
                "/api/v1/query_exemplars": self._exemplars,
            }
        )
        healthy = Page({"status": "OK", "message": "works"})
        self.grafana = Web(
            {
                "/api/health": Page({"database": "ok", "version": "13.2.0"}),
                "/api/datasources/uid/prometheus/health": healthy,
                "/api/datasources/uid/jaeger/health": healthy,
            }
        )

    def __enter__(self) -> Self:
        for web in (self.jaeger, self.metrics, self.prometheus, self.grafana):
            web.__enter__()
        self.receiver.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for web in (self.jaeger, self.metrics, self.prometheus, self.grafana):
            web.stop()
        self.receiver.stop()

    def options(self) -> list[str]:
        """Return the options with the servers' addresses."""
        return [
            *("--collector", self.receiver.url),
            *("--jaeger", self.jaeger.url),
            *("--metrics", self.metrics.url),
            *("--prometheus", self.prometheus.url),
            *("--grafana", self.grafana.url),
            *("--timeout", "5"),
        ]

    def _query(self, query: dict[str, str]) -> Page:
        """Answer an expression."""
        for part, value in self.series.items():
            if part in query["query"]:
                result = [{"metric": {}, "value": [0, str(value)]}]
                return success({"resultType": "vector", "result": result})
        return success({"resultType": "vector", "result": []})

    def _exemplars(self, _: dict[str, str]) -> Page:
        """Answer with the traces that the Collector has received."""
        traces = self.receiver.traces if self.has_exemplars else ()
        exemplars = [{"labels": {"trace_id": trace}} for trace in traces]
        return success([{"seriesLabels": {}, "exemplars": exemplars}])


class _Traces(dict[str, Any]):
    """Jaeger's API v3, with the traces that the Collector has received."""

    def __init__(self, stack: FakeStack) -> None:
        super().__init__(stack.jaeger.pages)
        self._stack = stack

    def get(self, path: str, default: Any = None) -> Any:
        """Return a page."""
        trace = path.removeprefix("/api/v3/traces/")
        if self._stack.keeps_traces and trace in self._stack.receiver.traces:
            count = self._stack.receiver.traces[trace]
            scopes = [{"spans": [{"name": "chat"}] * count}]
            return Page({"result": {"resourceSpans": [{"scopeSpans": scopes}]}})
        return super().get(path, default)
