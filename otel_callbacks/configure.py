"""Sets up OpenTelemetry and ``/metrics`` for an app that has neither.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import weakref
from errno import EADDRNOTAVAIL
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from prometheus_client import REGISTRY, start_http_server

from otel_callbacks._export import events as event_export
from otel_callbacks._export.metrics import PushedMetrics
from otel_callbacks._export.spans import CountingProcessor, ReportingExporter
from otel_callbacks._setting_values import SettingError
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.settings import Settings, check_sdk_variables

if TYPE_CHECKING:
    import threading
    from wsgiref.simple_server import WSGIServer

    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from prometheus_client import CollectorRegistry

    from otel_callbacks._content.capture import Redact

_logger: Final = logging.getLogger("otel_callbacks")
_DEFAULT_TARGETS: Final = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}


_closed: weakref.WeakSet[TracerProvider] = weakref.WeakSet()


class ConfiguredHandler(OTelCallbackHandler):
    """A handler that owns what it sends through, and flushes it when it is closed.

    Args:
        provider: Made for this handler; None if one was there already.
        registry: Shows the series.
        settings: The settings.
        event_provider: Takes events; made for this handler, None if there was one.
        redact: Changes what was said before it goes anywhere.
        pushed: Pushes the series; made for this handler.
    """

    def __init__(
        self,
        provider: TracerProvider | None,
        registry: CollectorRegistry,
        settings: Settings,
        event_provider: LoggerProvider | None = None,
        redact: Redact | None = None,
        pushed: PushedMetrics | None = None,
    ) -> None:
        super().__init__(
            tracer_provider=provider,
            meter_provider=None if pushed is None else pushed.provider,
            logger_provider=event_provider,
            registry=registry,
            settings=settings,
            redact=redact,
        )
        self._event_provider = event_provider
        self._pushed = pushed
        self.tracer_provider = provider or trace.get_tracer_provider()
        self.metrics_url = ""
        self._provider = provider
        self._server: tuple[WSGIServer, threading.Thread] | None = None

    def serve_metrics(self, registry: CollectorRegistry) -> None:
        """Serve ``/metrics`` on the address of the settings.

        Args:
            registry: What to show.

        Raises:
            SettingError: The address cannot be had.
        """
        host, port = self.settings.prometheus_host, self.settings.prometheus_port
        try:
            self._server = start_http_server(port, host, registry)
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == EADDRNOTAVAIL:
                variable = "OTEL_EXPORTER_PROMETHEUS_HOST"
                allowed = f"a name or address of this machine ({error.strerror})"
                raise SettingError(variable, host, allowed) from error
            variable = "OTEL_EXPORTER_PROMETHEUS_PORT"
            allowed = f"a port that is free on {host} ({error.strerror}); 0 finds one"
            raise SettingError(variable, port, allowed) from error
        named = f"[{host}]" if ":" in host else host
        self.metrics_url = f"http://{named}:{self._server[0].server_port}/metrics"

    def close(self) -> None:
        """End and count what is open, send what waits, stop serving; safe twice."""
        super().close()
        atexit.unregister(self.close)
        provider, self._provider = self._provider, None
        if provider is not None:
            _closed.add(provider)
            provider.shutdown()
        if self._pushed is not None:
            self._pushed.close()
        events, self._event_provider = self._event_provider, None
        if events is not None:
            event_export.close_events(events)
        server, self._server = self._server, None
        if server is not None:
            server[0].shutdown()
            server[0].server_close()
            server[1].join()

    shutdown = close


def configure(
    *,
    service_name: str | None = None,
    settings: Settings | None = None,
    registry: CollectorRegistry | None = None,
    redact: Redact | None = None,
) -> ConfiguredHandler:
    """Set up tracing and ``/metrics``, and return the handler to give to LangChain.

    Spans go out over OTLP by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_*``,
    ``OTEL_TRACES_EXPORTER``, ``OTEL_TRACES_SAMPLER``, ``OTEL_RESOURCE_ATTRIBUTES``);
    series are served on ``OTEL_EXPORTER_PROMETHEUS_HOST`` and ``_PORT``, by default
    127.0.0.1:9464. All is flushed when the process ends. An app that has set up a
    tracer provider of OpenTelemetry's SDK keeps it, and its exporters.

    Args:
        service_name: The service's name in traces; ``OTEL_SERVICE_NAME`` by default.
        settings: The settings; from the environment by default.
        registry: Shows the series; prometheus_client's own by default.
        redact: Given an attribute's name and value, returns the value to send.

    Returns:
        The handler; ``close()`` undoes what was set up here.

    Raises:
        SettingError: A setting has a value that is not allowed, or the port of
            ``/metrics`` is taken.
    """
    chosen = settings or Settings.from_env()
    check_sdk_variables()
    series = REGISTRY if registry is None else registry
    if chosen.sdk_disabled:
        return ConfiguredHandler(None, series, chosen)
    provider = _provider(service_name)
    events = event_export.event_provider(chosen, service_name)
    pushed = PushedMetrics(chosen, service_name)
    handler = ConfiguredHandler(provider, series, chosen, events, redact, pushed)
    try:
        pushed.start(handler.health)
        if chosen.metrics_exporter in {"prometheus", "both"}:
            handler.serve_metrics(series)
        if events is not None:
            event_export.send_events(events, chosen, handler.health)
        if provider is not None:
            _add_exporter(provider, handler)
            if not isinstance(trace.get_tracer_provider(), TracerProvider):
                trace.set_tracer_provider(provider)
    except BaseException:
        handler.close()
        raise
    atexit.register(handler.close)
    return handler


def _provider(service_name: str | None) -> TracerProvider | None:
    """Return a new tracer provider, or None if the app has one."""
    known = trace.get_tracer_provider()
    # One of ours that was closed sends nothing any more, though it stays global.
    if isinstance(known, TracerProvider) and known not in _closed:
        _logger.warning(
            "otel_callbacks: configure() found a tracer provider that is set up "
            "already; spans go through that one, and OTEL_EXPORTER_OTLP_* and "
            "service_name are left to it."
        )
        return None
    attributes = {"service.name": service_name} if service_name else {}
    # We shut it down ourselves, after the runs that are still open have ended.
    return TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)


def _add_exporter(provider: TracerProvider, handler: ConfiguredHandler) -> None:
    """Let the provider send its spans where the settings say."""
    kind = handler.settings.traces_exporter
    if kind == "console":
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    elif kind == "otlp":
        protocol = handler.settings.protocol
        exporter = ReportingExporter(
            _otlp_exporter(protocol), _target(protocol), handler.health
        )
        provider.add_span_processor(CountingProcessor(exporter, handler.health))


def _otlp_exporter(protocol: str) -> SpanExporter:
    """Return the exporter of a protocol; each is a second of imports, so only one."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as Grpc,
        )

        return Grpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as Http,
    )

    return Http()


def _target(protocol: str) -> str:
    """Return where spans are sent, for people."""
    return (
        os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        or _DEFAULT_TARGETS[protocol]
    )
