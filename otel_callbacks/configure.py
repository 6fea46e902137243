"""Sets up OpenTelemetry and ``/metrics`` for an app that has neither.

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
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY, start_http_server

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
    from typing import Any
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import CollectorRegistry

    from otel_callbacks._content.capture import Redact

_logger: Final = logging.getLogger("otel_callbacks")
_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"
_WORKERS_FILES: Final = "PROMETHEUS_MULTIPROC_DIR"
_CONFIG_FILE: Final = "OTEL_CONFIG_FILE"
_INSTRUMENTOR: Final = "otel_callbacks"
_OF_THE_HOST: Final = frozenset({EADDRNOTAVAIL, EAFNOSUPPORT})
_SCRAPED: Final = frozenset({"prometheus", "both"})
# What dashboards tell a process by. The series is target_info:
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
    """A handler that owns what it sends through, and flushes it when it is closed.

    Args:
        provider: Made for this handler; None if there was one already.
        registry: Shows the series.
        settings: The settings.
        exports: What else was made for it, and sends.
        redact: Changes what was said before it goes anywhere.
    """

    def __init__(
        self,
        provider: TracerProvider | None,
        registry: CollectorRegistry,
        settings: Settings,
        exports: Exports | None = None,
        redact: Redact | None = None,
    ) -> None:
        made = exports
        super().__init__(
            tracer_provider=provider,
            meter_provider=None if made is None else made.meter_provider,
            logger_provider=None if made is None else made.logger_provider,
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
        """Return where spans and series go."""
        return {
            "spans": self.settings.traces_exporter,
            "series": self.metrics_url or self.settings.metrics_exporter,
            "closed": "yes" if self.closed else "no",
        }

    def serve_metrics(self, registry: CollectorRegistry) -> None:
        """Serve ``/metrics`` on the address of the settings.

        Where no port is set and the usual one is in use, a free one is taken. Where
        nothing can be served and nothing was set, a warning says so.

        Args:
            registry: What to show.

        Raises:
            SettingError: The address that was set cannot be had.
        """
        host, port = self.settings.prometheus_host, self.settings.metrics_port
        try:
            self._server = start_http_server(port, host, registry)
        except (OSError, UnicodeError) as error:
            self._refuse_what_was_set(error)
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

    def _refuse_what_was_set(self, error: Exception) -> None:
        """Refuse the host or port that was set, by the name of what was set."""
        host, port = self.settings.prometheus_host, self.settings.prometheus_port
        why = getattr(error, "strerror", None) or "no host name"
        of_host = isinstance(error, (socket.gaierror, UnicodeError))
        if host != Settings.prometheus_host and (
            of_host or getattr(error, "errno", None) in _OF_THE_HOST
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
        """Send what waits, of all signals.

        Args:
            timeout: Seconds that this may take.

        Returns:
            Whether all of it was accepted by the receivers, and nothing was lost since
            the last flush.
        """
        deadline = time.monotonic() + timeout
        background.drain(timeout)
        sent = self._exports is None or self._exports.flush(timeout)
        # What the app had set up before is its own, and asked after ours.
        return sent and super().flush(max(deadline - time.monotonic(), 0.0))

    def close(self) -> None:
        """End and count what is open, send what waits, stop serving; safe twice."""
        self._end()
        server, self._server = self._server, None
        if server is not None:
            server[0].shutdown()
            server[0].server_close()
            server[1].join()

    shutdown = close

    def _end(self) -> None:
        """End and send, and leave the serving thread to the process's end."""
        super().close()
        self.closed = True
        self._last_calls.forget()
        if self._exports is not None:
            self._exports.close()
        elif self._provider is not None:
            self._provider.shutdown()

    def after_fork(self) -> None:
        """Serve nothing in a forked child: the address is the parent process's."""
        server, self._server = self._server, None
        if server is not None:
            # Not `server_close`: a thread that serves it is not here.
            server[0].socket.close()
            self.metrics_url = ""
            is_pushed = self.settings.metrics_exporter != "prometheus"
            if not is_pushed and _WORKERS_FILES not in os.environ:
                self._warn_at_first_call()
        if not self.closed:
            self._last_calls.in_child()

    def _warn_at_first_call(self) -> None:
        """Warn once that nobody sees this process's series, if it counts any."""
        names = ("on_llm_end", "on_llm_error")

        def warn() -> None:
            for name in names:
                self.__dict__.pop(name, None)
            _logger.warning(
                "otel_callbacks: this process was forked after configure(), so nobody "
                "scrapes the tokens and calls that it counts; %s.",
                _FOR_WORKERS,
            )

        # Attributes of this one handler: calls in other processes cost nothing.
        for name in names:
            setattr(self, name, _Before(warn, getattr(self, name)))


class _Before:
    """Calls something before a callback, the first time."""

    def __init__(self, first: Any, then: Any) -> None:
        self._first = first
        self._then = then

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Do both."""
        self._first()
        self._then(*args, **kwargs)


_configured: list[tuple[ConfiguredHandler, Mapping[str, Any]]] = []
# Two threads that set up at once have one handler.
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

    Spans go out over OTLP by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_*``,
    ``OTEL_TRACES_EXPORTER``, ``OTEL_TRACES_SAMPLER``, ``OTEL_RESOURCE_ATTRIBUTES``);
    series are served on ``OTEL_EXPORTER_PROMETHEUS_HOST`` and ``_PORT``, by default
    127.0.0.1:9464, or a free port where that one is in use. All is flushed when the
    process ends. An app that has set up a tracer provider of OpenTelemetry's SDK keeps
    it, and its exporters. A second call in a process returns the first one's handler.

    Args:
        service_name: The service's name in traces; ``OTEL_SERVICE_NAME`` by default.
        settings: The settings; from the environment by default.
        registry: Shows the series; prometheus_client's own by default.
        redact: Given an attribute's name and value, returns the value to send.
        show: Also print each trace as a waterfall on the error output when it is over,
            and one line of sums at the end; ``OTEL_TRACES_EXPORTER=waterfall`` prints
            and sends nothing.

    Returns:
        The handler; ``close()`` undoes what was set up here.

    Raises:
        SettingError: A setting has a value that is not allowed, or the port that was
            set for ``/metrics`` is in use.
    """
    chosen = settings or Settings.from_env()
    series = REGISTRY if registry is None else registry
    asked = {
        "service_name": service_name,
        "settings": chosen,
        "registry": series,
        "redact": redact,
        "show": show,
    }
    with _configuring.lock:
        if _configured and not _configured[0][0].closed:
            return _again(asked)
        handler = _set_up(service_name, chosen, series, redact)
        if show and isinstance(handler.tracer_provider, TracerProvider):
            show_traces(handler.tracer_provider)
        _configured[:] = [(handler, asked)]
        return handler


def _again(asked: Mapping[str, Any]) -> ConfiguredHandler:
    """Return the handler that is there; say so if another one was asked for."""
    handler, first = _configured[0]
    differing = [name for name, value in asked.items() if value != first[name]]
    if differing:
        handler.diagnostics.log_once(
            "configure",
            f"configure() was called again with another {' and '.join(differing)}; the "
            "handler of the first call is returned, and its arguments stay in force. "
            "Call its close() first to set up with other arguments.",
        )
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
        # Before the first series, so that no scrape sees one without the other.
        _log_caller(series, exports.tracer_provider or trace.get_tracer_provider())
    handler = ConfiguredHandler(
        exports.tracer_provider, series, chosen, exports, redact
    )
    try:
        if chosen.metrics_exporter in _SCRAPED:
            handler.serve_metrics(series)
        exports.start(handler.diagnostics)
    except BaseException:
        handler.close()
        raise
    handler._last_calls.watch()  # noqa: SLF001 -- only now is there something to send
    return handler


def _log_caller(registry: CollectorRegistry, provider: object) -> None:
    """Show the service's name beside its series, unless the app does so already."""
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
    """Let OpenTelemetry set itself up from its declarative file, where one is named."""
    path = os.environ.get(_CONFIG_FILE, "").strip()
    if not path or is_set_up(trace.get_tracer_provider(), TracerProvider):
        return
    try:
        # A package of its own, which few apps have.
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
    options = dict((getattr(section, "python", None) or {}).get(_INSTRUMENTOR) or {})
    options.pop("enabled", None)
    if options:
        _logger.warning(
            "otel_callbacks: %s of %s below instrumentation/development has no effect "
            "on configure(): only the otel_callbacks instrumentation reads it. Set "
            "variables such as OTEL_CALLBACKS_LABELS, or pass settings to configure().",
            ", ".join(sorted(options)),
            path,
        )
