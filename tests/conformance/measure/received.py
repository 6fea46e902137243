"""What one app has exported, and the receiver that takes it, over OTLP and gRPC."""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

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

from measure.values import as_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

_SERVICE: Final = "service.name"


@dataclass(slots=True)
class Received:
    """The signals of one app, in the order they came.

    Args:
        spans: What trace exports held.
        metrics: What metric exports held.
        logs: What log exports held.
    """

    spans: list[ResourceSpans] = field(default_factory=list)
    metrics: list[ResourceMetrics] = field(default_factory=list)
    logs: list[ResourceLogs] = field(default_factory=list)

    def resources(self) -> Iterator[Resource]:
        """Yield each resource that something came from."""
        for part in (*self.spans, *self.metrics, *self.logs):
            yield part.resource  # type: ignore[attr-defined]

    def each_span(self) -> Iterator[Span]:
        """Yield each span."""
        for part in self.spans:
            for scope in part.scope_spans:
                yield from scope.spans

    def each_metric(self) -> Iterator[Metric]:
        """Yield each metric, one that was exported twice twice."""
        for part in self.metrics:
            for scope in part.scope_metrics:
                yield from scope.metrics

    def each_record(self) -> Iterator[LogRecord]:
        """Yield each log record."""
        for part in self.logs:
            for scope in part.scope_logs:
                yield from scope.log_records


class Receiver:
    """Listens on a free port of this machine and sorts what comes by service name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_service: defaultdict[str, Received] = defaultdict(Received)
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(
            _Traces(self), self._server
        )
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(
            _Metrics(self), self._server
        )
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(
            _Logs(self), self._server
        )
        self._port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def endpoint(self) -> str:
        """What ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set to."""
        return f"http://127.0.0.1:{self._port}"

    def received(self, service: str) -> Received:
        """Return what an app has sent.

        Args:
            service: Its service name.
        """
        with self._lock:
            return self._by_service[service]

    def take(self, signal: str, parts: Any) -> None:
        """Keep what an export held.

        Args:
            signal: ``spans``, ``metrics`` or ``logs``.
            parts: One for each resource.
        """
        with self._lock:
            for part in parts:
                name = as_dict(part.resource.attributes).get(_SERVICE)
                service = "" if name is None else name.string_value
                getattr(self._by_service[service], signal).append(part)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(grace=None).wait()


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 -- OTLP's own name
        """Take one export."""
        self._receiver.take("spans", request.resource_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    """Takes metrics."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 -- OTLP's own name
        """Take one export."""
        self._receiver.take("metrics", request.resource_metrics)
        return metrics_service_pb2.ExportMetricsServiceResponse()


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    """Takes log records."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 -- OTLP's own name
        """Take one export."""
        self._receiver.take("logs", request.resource_logs)
        return logs_service_pb2.ExportLogsServiceResponse()
