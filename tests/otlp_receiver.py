"""A real OTLP receiver for tests, over gRPC and over HTTP, for all three signals."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import grpc
from opentelemetry.proto.collector.logs.v1 import (
    logs_service_pb2,
    logs_service_pb2_grpc,
)
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 90.0
_REQUESTS = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,  # type: ignore[dict-item]
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,  # type: ignore[dict-item]
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}
_ANSWERS = {
    "traces": trace_service_pb2.ExportTraceServiceResponse,
    "metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "logs": logs_service_pb2.ExportLogsServiceResponse,
}
_SERVICES = {
    "traces": trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
    "metrics": metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
    "logs": logs_service_pb2_grpc.add_LogsServiceServicer_to_server,
}


class Receiver:
    """Receive exports; a context manager."""

    def __init__(self) -> None:
        self.status = 200
        """What HTTP requests are answered with."""
        self.release = threading.Event()
        self.release.set()
        """Cleared, nothing is answered, over neither protocol."""
        self.got: list[tuple[str, Any]] = []
        self.protocols: list[tuple[str, str]] = []
        self.paths: list[str] = []
        self._grpc = grpc.server(ThreadPoolExecutor(8))
        for name, add in _SERVICES.items():
            add(_Servicer(self, name), self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.http_port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._grpc.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._grpc.stop(0).wait(PATIENCE)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(PATIENCE)

    def take(self, signal: str, protocol: str, request: Any) -> None:
        """Record a request when it may be answered."""
        self.release.wait(PATIENCE)
        self.got.append((signal, request))
        self.protocols.append((signal, protocol))

    def url(self, protocol: str = "http/protobuf") -> str:
        """Return the endpoint of a protocol."""
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return f"http://127.0.0.1:{port}"

    def environment(self, protocol: str = "http/protobuf") -> dict[str, str]:
        """Return the variables that send everything here."""
        return {
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url(protocol),
        }

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Return as soon as a condition holds.

        Raises:
            AssertionError: It does not, for very long.
        """
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.names()
            time.sleep(0.02)

    def spans(self) -> Iterator[tuple[str, Any]]:
        """Return each span with its service."""
        for signal, request in list(self.got):
            for resource in request.resource_spans if signal == "traces" else ():
                service = _text(resource.resource.attributes, "service.name")
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield service, span

    def names(self) -> list[str]:
        """Return the names of the spans, in order."""
        return sorted(span.name for _, span in self.spans())

    def events(self) -> int:
        """Return how many log records have come."""
        return sum(
            len(scope.log_records)
            for signal, request in list(self.got)
            if signal == "logs"
            for resource in request.resource_logs
            for scope in resource.scope_logs
        )

    def sums(self, metric: str) -> dict[str, float]:
        """Return the last sum of a counter, of each process that has pushed it."""
        last: dict[str, float] = {}
        for signal, request in list(self.got):
            for resource in request.resource_metrics if signal == "metrics" else ():
                who = _text(resource.resource.attributes, "service.instance.id")
                for scope in resource.scope_metrics:
                    for one in scope.metrics:
                        if one.name == metric:
                            last[who] = sum(
                                point.as_int or point.as_double
                                for point in one.sum.data_points
                            )
        return last

    def counts(self) -> Counter[str]:
        """Return how many requests of each signal have come."""
        return Counter(signal for signal, _ in list(self.got))


class _Servicer:
    """Receive one signal over gRPC."""

    def __init__(self, receiver: Receiver, signal: str) -> None:
        self._receiver = receiver
        self._signal = signal

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 -- gRPC's name
        """Take a request."""
        self._receiver.take(self._signal, "grpc", request)
        return _ANSWERS[self._signal]()


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    """Return the HTTP request handler."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.paths.append(self.path)
            signal = self.path.removeprefix("/v1/")
            status = receiver.status if signal in _REQUESTS else 404
            if status == 200:
                request = _REQUESTS[signal].FromString(body)  # type: ignore[attr-defined]
                receiver.take(signal, "http/protobuf", request)
            else:
                receiver.release.wait(PATIENCE)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


def _text(attributes: Any, key: str) -> str:
    """Return a string attribute."""
    return next(
        (one.value.string_value for one in attributes if one.key == key),
        "",
    )
