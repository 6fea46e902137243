"""Start and stop the demo's provider, telemetry and ``/metrics``."""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_openai import ChatOpenAI
from opentelemetry.instrumentation import httpx as httpx_instrumentation
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, make_asgi_app
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from otel_callbacks import ConfiguredHandler, SettingError, Settings, configure
from otel_callbacks._export.otlp import OTLP_PORTS
from otel_callbacks._setting_values import otlp_variable
from otel_callbacks.cli.demo.scenes import teach
from otel_callbacks.testing import FakeOpenAI, Span, spans_as_data
from otel_callbacks.testing.serving import ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.sdk.trace import TracerProvider
    from starlette.requests import Request


SERVICE: Final = "flower-shop"
_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_INSTRUMENTORS: Final = {
    "httpx": "HTTPXClientInstrumentor",
    "httpx2": "HTTPX2ClientInstrumentor",
}


class Session(NamedTuple):
    """The running parts of the demo."""

    handler: ConfiguredHandler
    provider: TracerProvider
    registry: CollectorRegistry
    fake: FakeOpenAI | None
    health: HealthPage | None
    metrics_url: str
    exports: bool
    moved: bool
    exporter: InMemorySpanExporter

    def spans(self) -> list[Span]:
        """Return the spans that have ended since the last call."""
        spans = spans_as_data(self.exporter.get_finished_spans())
        self.exporter.clear()
        return spans

    def model(self, name: str, **arguments: Any) -> ChatOpenAI:
        """Return a chat model with the handler as its callback."""
        settings: dict[str, Any] = {"timeout": 60}
        if self.fake is not None:
            settings |= {"base_url": self.fake.base_url, "api_key": "no-key-is-needed"}
            settings["max_retries"] = 0
        return ChatOpenAI(
            model=name, callbacks=[self.handler], **{**settings, **arguments}
        )


# Prices of the one model that genai-prices lacks at its provider.
_PRICES: Final = Path(__file__).with_name("demo_prices.toml")


@contextmanager
def session(
    *,
    real: bool = False,
    keep_serving: bool = False,
    seed: int = 0,
    settings: Settings | None = None,
    set_up: Callable[..., ConfiguredHandler] = configure,
) -> Iterator[Session]:
    """Start provider, telemetry and ``/metrics``, and stop them at the end."""
    wanted = settings or Settings.from_env()
    chosen = exporting(wanted)
    if not real and not chosen.prices:
        chosen = replace(chosen, prices=str(_PRICES))
    host, port = wanted.prometheus_host, wanted.metrics_port
    serves = wanted.metrics_exporter == "prometheus"
    moved = serves and port != 0 and not is_free(host, port)
    if moved:
        chosen = replace(chosen, prometheus_port=0)
    health = None
    registry = CollectorRegistry()
    with ExitStack() as cleanup:
        if keep_serving and serves:
            try:
                health = HealthPage(registry, host, chosen.metrics_port)
            except OSError as error:
                allowed = f"an address of this machine ({error.strerror or error})"
                raise SettingError(_HOST, host, allowed) from error
            chosen = replace(chosen, metrics_exporter="none")
            cleanup.callback(health.stop)
        handler = set_up(service_name=SERVICE, settings=chosen, registry=registry)
        cleanup.callback(handler.close)
        provider: Any = handler.tracer_provider
        exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        _instrument(cleanup, provider)
        yield Session(
            handler,
            provider,
            registry,
            None if real else _fake(cleanup, seed),
            health,
            health.metrics_url if health else handler.metrics_url,
            chosen.traces_exporter == "otlp",
            moved,
            exporter,
        )


def _fake(cleanup: ExitStack, seed: int) -> FakeOpenAI:
    """Start the fake provider, with the environment's proxies bypassed."""
    for variable in ("NO_PROXY", "no_proxy"):
        before = os.environ.get(variable)
        os.environ[variable] = ",".join(filter(None, (before, "127.0.0.1")))
        if before is None:
            cleanup.callback(os.environ.pop, variable, None)
        else:
            cleanup.callback(os.environ.__setitem__, variable, before)
    fake = FakeOpenAI(keep=1)
    teach(fake, seed)
    return cleanup.enter_context(fake)


def _instrument(cleanup: ExitStack, provider: TracerProvider) -> None:
    """Instrument the HTTP clients that openai may use."""
    for library, name in _INSTRUMENTORS.items():
        kind = getattr(httpx_instrumentation, name, None)
        if kind is not None and importlib.util.find_spec(library) is not None:
            instrumentor = kind()
            instrumentor.instrument(tracer_provider=provider)
            cleanup.callback(instrumentor.uninstrument)


_STUCK_SECONDS: Final = 120.0


class HealthPage(ThreadedServer):
    """Serves the series, and a health check of the traffic."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._rounds = 0
        self._beat = time.monotonic()
        self._ends = True
        routes = [Route("/healthz", self._healthz)]
        app = Router(routes, default=make_asgi_app(registry))
        super().__init__(app, host=host, port=port)
        self.start()

    @property
    def metrics_url(self) -> str:
        """The URL of the series."""
        return f"{self.url}/metrics"

    def round_done(self, *, last: bool = False) -> None:
        """Record the end of a round."""
        self._rounds += 1
        self._beat = time.monotonic()
        self._ends = last

    async def _healthz(self, _: Request) -> Response:
        """Handle a health check."""
        idle = time.monotonic() - self._beat
        stuck = idle > _STUCK_SECONDS and not self._ends
        body = {"status": "stuck" if stuck else "ok", "rounds": self._rounds}
        return JSONResponse(body, status_code=503 if stuck else 200)


_SECONDS: Final = 0.5


def exporting(settings: Settings, environ: Mapping[str, str] | None = None) -> Settings:
    """Return settings that send spans only if a Collector listens.

    An endpoint that the environment sets is always kept.
    """
    variables = os.environ if environ is None else environ
    _, endpoint = otlp_variable(variables, "traces", "ENDPOINT")
    if settings.traces_exporter != "otlp" or endpoint:
        return settings
    if answers("localhost", OTLP_PORTS[settings.protocol_of("traces")]):
        return settings
    return replace(settings, traces_exporter="none")


def answers(host: str, port: int) -> bool:
    """Return whether something listens on a port."""
    with suppress(OSError), closing(socket.create_connection((host, port), _SECONDS)):
        return True
    return False


def is_free(host: str, port: int) -> bool:
    """Return whether a port is free."""
    with suppress(OSError), closing(socket.create_server((host, port))):
        return True
    return False
