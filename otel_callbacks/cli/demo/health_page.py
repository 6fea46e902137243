"""``/metrics`` and ``/healthz`` of a demo that goes on, on one port."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from prometheus_client import make_asgi_app
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from otel_callbacks.testing.serving import ThreadedServer

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_STUCK_SECONDS: Final = 120.0


class _Series:
    """Serves the series; an object, because starlette wraps functions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._app = make_asgi_app(registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a scrape."""
        await self._app(scope, receive, send)


class HealthPage:
    """Serves the series, and says whether traffic is still being made.

    Args:
        registry: The registry that shows the series.
        host: The address to listen on.
        port: The port, 0 for a free one.

    Raises:
        OSError: The port is in use.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._rounds = 0
        self._beat = time.monotonic()
        self._ends = True
        routes = [
            Route("/healthz", self._healthz),
            Route("/metrics", _Series(registry)),
        ]
        self._server = ThreadedServer(Starlette(routes=routes), host=host, port=port)
        self._server.start()

    @property
    def metrics_url(self) -> str:
        """Where the series are."""
        return f"{self._server.url}/metrics"

    def round_done(self, *, last: bool = False) -> None:
        """Note that a round of traffic is done.

        Args:
            last: No further one is to come, so their absence is no trouble.
        """
        self._rounds += 1
        self._beat = time.monotonic()
        self._ends = last

    def stop(self) -> None:
        """Stop serving."""
        self._server.stop()

    async def _healthz(self, _: Request) -> Response:
        """Answer a health check."""
        idle = time.monotonic() - self._beat
        stuck = idle > _STUCK_SECONDS and not self._ends
        body = {"status": "stuck" if stuck else "ok", "rounds": self._rounds}
        return JSONResponse(body, status_code=503 if stuck else 200)
