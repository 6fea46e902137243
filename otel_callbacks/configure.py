"""Set up OpenTelemetry and ``/metrics`` for an app that has neither.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from errno import EADDRNOTAVAIL, EAFNOSUPPORT
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from otel_callbacks._background import ForkSafeLock, background, call_after_fork
from otel_callbacks._export.ends import LastCalls
from otel_callbacks._export.providers import Exports, is_set_up
from otel_callbacks._export.providers import show as show_traces
from otel_callbacks._setting_values import SettingError
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.settings import Settings, check_sdk_variables

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from wsgiref.simple_server import WSGIServer

    from otel_callbacks._content.capture import Redact

_logger: Final = logging.getLogger("otel_callbacks")
_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
# The attributes by which dashboards identify a process, on the series target_info:
# https://prometheus.io/docs/specs/om/open_metrics_spec/
_WHO: Final = (
    "service.name",
    "service.namespace",
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
)
_FOR_WORKERS: Final = (
    "several workers need OTEL_METRICS_EXPORTER=otlp, which pushes the series of each"
)


class ConfiguredHandler(OTelCallbackHandler):
    """A handler that owns its providers and exports, and flushes them on close.

    Args:
        provider: The tracer provider made for this handler; None to use the global one.
        registry: The registry of the series.
        settings: The settings.
        exports: The providers and senders made for this handler.
        redact: Takes an attribute's name and value, and returns the value to export.
    """

    def __init__(
        self,
        provider: TracerProvider | None,
        registry: CollectorRegistry,
        settings: Settings,
        exports: Exports | None = None,
        redact: Redact | None = None,
    ) -> None:
        super().__init__(
            tracer_provider=provider,
            meter_provider=getattr(exports, "meter_provider", None),
            logger_provider=getattr(exports, "logger_provider", None),
            registry=registry,
            settings=settings,
            redact=redact,
        )
        self._exports = exports
        self._provider = provider
        self.tracer_provider = provider or trace.get_tracer_provider()
        self.metrics_url = ""
        self.closed = False
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        self._last_calls = LastCalls(self._end, self.flush)
        call_after_fork(self)

    def _facts(self) -> dict[str, str]:
        """Return the destinations of spans and series."""
        return {
            "spans": self.settings.traces_exporter,
            "series": self.metrics_url or self.settings.metrics_exporter,
            "closed": "yes" if self.closed else "no",
        }

    def serve_metrics(self, registry: CollectorRegistry) -> None:
        """Serve ``/metrics`` on the address of the settings.

        If no port is set and the default port is in use, a free port is used. If no
        address was set and none can be served, a warning is logged.

        Args:
            registry: The registry to serve.

        Raises:
            SettingError: The address that was set cannot be used.
        """
        host, port = self.settings.prometheus_host, self.settings.metrics_port
        try:
            self._server = start_http_server(port, host, registry)
        except (OSError, UnicodeError) as error:
            self._refuse_if_set(error)
            try:
                self._server = start_http_server(0, host, registry)
            except OSError as still:
                _logger.warning(
                    "otel_callbacks: /metrics cannot be served here (%s), so nobody "
                    "scrapes the series of this process; OTEL_METRICS_EXPORTER=otlp "
                    "pushes them.",
                    still.strerror,
                )
                return
        named = f"[{host}]" if ":" in host else host
        served = self._server[0].server_port
        self.metrics_url = f"http://{named}:{served}/metrics"
        if port not in {0, served}:
            _logger.warning(
                "otel_callbacks: port %s is in use, so /metrics of this process is at "
                "%s, which Prometheus does not scrape by default; %s.",
                port,
                self.metrics_url,
                _FOR_WORKERS,
            )

    def _refuse_if_set(self, error: Exception) -> None:
        """Raise an error that names the host or port setting, if one was set."""
        host, port = self.settings.prometheus_host, self.settings.prometheus_port
        why = getattr(error, "strerror", None) or "no host name"
        of_host = isinstance(error, (socket.gaierror, UnicodeError))
        if host != Settings.prometheus_host and (
            of_host or getattr(error, "errno", None) in {EADDRNOTAVAIL, EAFNOSUPPORT}
        ):
            allowed = f"a name or address of this machine ({why})"
            raise SettingError(_HOST, host, allowed) from error
        if port is not None:
            reason = (
                f"/metrics cannot listen on this port of {host} ({why}). Set another "
                f"port, or unset it, and a free one is used; {_FOR_WORKERS}"
            )
            is_read = os.environ.get(_PORT, "").strip() == str(port)
            name = _PORT if is_read else "Settings.prometheus_port"
            raise SettingError(name, port, reason=reason) from error

    def flush(self, timeout: float = 5.0) -> bool:
        """Export all that is queued, of all signals.

        Args:
            timeout: Timeout in seconds.

        Returns:
            Whether the receivers accepted everything, and nothing was lost since the
            last flush.
        """
        deadline = time.monotonic() + timeout
        background.drain(timeout)
        sent = self._exports is None or self._exports.flush(timeout)
        # The app's own providers are flushed after ours.
        return sent and super().flush(max(deadline - time.monotonic(), 0.0))

    def close(self) -> None:
        """End and count open runs, export, stop serving; safe to call twice."""
        self._end()
        server, self._server = self._server, None
        if server is not None:
            server[0].shutdown()
            server[0].server_close()
            server[1].join()

    shutdown = close

    def _end(self) -> None:
        """End open runs and export; the serving thread runs until the exit."""
        super().close()
        self.closed = True
        self._last_calls.forget()
        if self._exports is not None:
            self._exports.close()
        elif self._provider is not None:
            self._provider.shutdown()

    def after_fork(self) -> None:
        """Stop serving in a forked child: the parent process has the address."""
        server, self._server = self._server, None
        if server is not None:
            # Not `server_close`: the serving thread does not exist in the child.
            server[0].socket.close()
            self.metrics_url = ""
            is_pushed = self.settings.metrics_exporter != "prometheus"
            if not is_pushed and "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
                self._warn_at_first_call()
        if not self.closed:
            self._last_calls.in_child()

    def _warn_at_first_call(self) -> None:
        """Warn at the first counted call that this process is not scraped."""
        names = ("on_llm_end", "on_llm_error")

        def warned(callback: Any) -> Any:
            def both(*args: Any, **kwargs: Any) -> None:
                for name in names:
                    self.__dict__.pop(name, None)
                _logger.warning(
                    "otel_callbacks: this process was forked after configure(), so "
                    "nobody scrapes the tokens and calls that it counts; %s.",
                    _FOR_WORKERS,
                )
                callback(*args, **kwargs)

            return both

        # Instance attributes: other handlers and processes pay nothing.
        for name in names:
            setattr(self, name, warned(getattr(self, name)))


_configured: list[tuple[ConfiguredHandler, Mapping[str, Any]]] = []
# Concurrent calls of `configure` return the same handler.
_configuring: Final = ForkSafeLock()


def configure(
    *,
    service_name: str | None = None,
    settings: Settings | None = None,
    registry: CollectorRegistry | None = None,
    redact: Redact | None = None,
    show: bool = False,
) -> ConfiguredHandler:
    """Set up tracing and ``/metrics``, and return the handler to give to LangChain.

    Spans are exported over OTLP as set by OpenTelemetry's variables
    (``OTEL_EXPORTER_OTLP_*``, ``OTEL_TRACES_EXPORTER``, ``OTEL_TRACES_SAMPLER``,
    ``OTEL_RESOURCE_ATTRIBUTES``). Series are served on
    ``OTEL_EXPORTER_PROMETHEUS_HOST`` and ``_PORT``, by default 127.0.0.1:9464, or a
    free port if that one is in use. Everything is flushed when the process exits. An
    app that has set up the SDK's tracer provider keeps it and its exporters. A second
    call in a process returns the handler of the first call.

    Args:
        service_name: The service's name in traces; ``OTEL_SERVICE_NAME`` by default.
        settings: The settings; from the environment by default.
        registry: The registry of the series; prometheus_client's default registry by
            default.
        redact: Takes an attribute's name and value, and returns the value to export.
        show: Also print each ended trace as a waterfall to stderr, and one line of sums
            at the exit; ``OTEL_TRACES_EXPORTER=waterfall`` prints and exports nothing.

    Returns:
        The handler; ``close()`` undoes the set-up.

    Raises:
        SettingError: A setting has a value that is not allowed, or the port set for
            ``/metrics`` is in use.
    """
    chosen = settings or Settings.from_env()
    series = REGISTRY if registry is None else registry
    arguments = {
        "service_name": service_name,
        "settings": chosen,
        "registry": series,
        "redact": redact,
        "show": show,
    }
    with _configuring.lock:
        if _configured and not _configured[0][0].closed:
            handler, first = _configured[0]
            if others := [name for name in arguments if arguments[name] != first[name]]:
                handler.diagnostics.log_once(
                    "configure",
                    f"configure() was called again with another {' and '.join(others)};"
                    " the handler of the first call is returned, and its arguments "
                    "stay in force. Call its close() first to set up with other "
                    "arguments.",
                )
            return handler
        handler = _set_up(service_name, chosen, series, redact)
        if show and isinstance(handler.tracer_provider, TracerProvider):
            show_traces(handler.tracer_provider)
        _configured[:] = [(handler, arguments)]
        return handler


def _set_up(
    service_name: str | None,
    chosen: Settings,
    series: CollectorRegistry,
    redact: Redact | None,
) -> ConfiguredHandler:
    """Return a new handler."""
    check_sdk_variables(settings=chosen)
    if chosen.sdk_disabled:
        return ConfiguredHandler(None, series, chosen)
    _load_config_file()
    if is_set_up(trace.get_tracer_provider(), TracerProvider):
        _logger.warning(
            "otel_callbacks: configure() found a tracer provider that is set up "
            "already; spans go through that one, and OTEL_EXPORTER_OTLP_* and "
            "service_name are left to it."
        )
    exports = Exports(chosen, service_name)
    if chosen.metrics_exporter != "otlp":
        # Before the first series, so that each scrape has both.
        _set_target_info(series, exports.tracer_provider or trace.get_tracer_provider())
    handler = ConfiguredHandler(
        exports.tracer_provider, series, chosen, exports, redact
    )
    try:
        if chosen.metrics_exporter in {"prometheus", "both"}:
            handler.serve_metrics(series)
        exports.start(handler.diagnostics)
    except BaseException:
        handler.close()
        raise
    handler._last_calls.watch()  # noqa: SLF001 -- only now is there something to export
    return handler


def _set_target_info(registry: CollectorRegistry, provider: object) -> None:
    """Set the series target_info to the service, unless the app has set it."""
    attributes = getattr(getattr(provider, "resource", None), "attributes", {})
    named = {
        name.replace(".", "_"): str(attributes[name])
        for name in _WHO
        if attributes.get(name)
    }
    if named and registry.get_target_info() is None:
        with suppress(ValueError):  # the app has a series of that name
            registry.set_target_info(named)


def _load_config_file() -> None:
    """Set up OpenTelemetry from its declarative configuration file, if one is set."""
    path = os.environ.get(_CONFIG_FILE, "").strip()
    if not path or is_set_up(trace.get_tracer_provider(), TracerProvider):
        return
    try:
        # An optional package.
        declarative = import_module("opentelemetry.configuration")
    except ImportError:
        reason = (
            "the package opentelemetry-configuration, which reads this file, is not "
            "installed. Install it, or unset the variable."
        )
        raise SettingError(_CONFIG_FILE, path, reason=reason) from None
    model = declarative.load_config_file(path)
    declarative.configure_sdk(model)
    section = getattr(model, "instrumentation_development", None)
    options = dict((getattr(section, "python", None) or {}).get("otel_callbacks") or {})
    options.pop("enabled", None)
    if options:
        _logger.warning(
            "otel_callbacks: %s of %s below instrumentation/development has no effect "
            "on configure(): only the otel_callbacks instrumentation reads it. Set "
            "variables such as OTEL_CALLBACKS_LABELS, or pass settings to configure().",
            ", ".join(sorted(options)),
            path,
        )
