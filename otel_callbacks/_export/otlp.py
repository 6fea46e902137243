"""The three signals of OTLP: their names, protocols, addresses and exporters.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks._setting_values import otlp_variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.settings import Settings

OTLP_PORTS: Final = {"grpc": 4317, "http/protobuf": 4318}
"""The default ports of OTLP by protocol."""
_MODULES: Final = {"grpc": "grpc", "http/protobuf": "http"}


class Signal(NamedTuple):
    """The names and texts of a signal."""

    name: str
    """The name in OpenTelemetry's variables and paths."""
    noun: str
    where: str
    """The label of failed exports in the series of internal errors."""
    module: str
    exporter: str
    consequence: str
    full: str = ""
    """The label of a full queue; empty for a signal without a queue."""


TRACES: Final = Signal(
    "traces",
    "spans",
    "export",
    "trace_exporter",
    "OTLPSpanExporter",
    "these spans are lost",
    "span_queue_full",
)
METRICS: Final = Signal(
    "metrics",
    "metrics",
    "export_metrics",
    "metric_exporter",
    "OTLPMetricExporter",
    "the next push sends the same sums again",
)
LOGS: Final = Signal(
    "logs",
    "events",
    "export_events",
    "_log_exporter",
    "OTLPLogExporter",
    "these events are lost",
    "event_queue_full",
)


class Route(NamedTuple):
    """The protocol and the address of one signal."""

    signal: Signal
    protocol: str
    target: str
    """The address as it was set, for messages."""
    is_own_endpoint: bool
    """Whether the endpoint is for this signal only: then no path is added."""

    def exporter(self) -> Any:
        """Return a new exporter."""
        return exporter_class(self.signal, self.protocol)()


def route(signal: Signal, settings: Settings) -> Route:
    """Return the route of a signal."""
    protocol = settings.protocol_of(signal.name)
    variable, target = otlp_variable(os.environ, signal.name, "ENDPOINT")
    target = target or f"http://localhost:{OTLP_PORTS[protocol]}"
    return Route(signal, protocol, target, signal.name.upper() in variable)


def exporter_class(signal: Signal, protocol: str) -> Callable[..., Any]:
    """Import and return an OpenTelemetry exporter; each import takes about 1 s."""
    package = f"opentelemetry.exporter.otlp.proto.{_MODULES[protocol]}"
    found: Callable[..., Any] = getattr(
        import_module(f"{package}.{signal.module}"), signal.exporter
    )
    return found
