"""The live page: a list of traces with a search, and one trace as waterfall."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from otel_callbacks.cli.picture.page import STYLE, legend, trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from otel_callbacks.cli.watch.store import Store

_HERE: Final = Path(__file__).parent
_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def routes(store: Store, *, any_host: bool) -> Sequence[Route]:
    """Return the pages."""
    html = (_HERE / "live.html").read_text(encoding="utf-8")
    html = html.replace("/* STYLE */", STYLE).replace("<!-- LEGEND -->", legend())
    script = (_HERE / "live.js").read_text(encoding="utf-8")

    async def index(_: Request) -> Response:
        return Response(html, media_type="text/html")

    async def live(_: Request) -> Response:
        return Response(script, media_type="text/javascript")

    async def traces(request: Request) -> Response:
        if request.query_params.get("version") == str(store.version):
            return Response(status_code=204)
        version = store.version
        found = store.summaries(request.query_params.get("search", ""))
        return JSONResponse({"version": version, "traces": found})

    async def one(request: Request) -> Response:
        timeline = store.timeline(request.path_params["id"])
        if timeline is None:
            return Response("It is no longer in memory.\n", 404)
        return Response(trace(timeline), media_type="text/html")

    def guarded(answer: Any) -> Any:
        async def page(request: Request) -> Response:
            name = request.headers.get("host", "").rpartition(":")[0]
            if not any_host and (name or request.headers.get("host")) not in _NAMES:
                return Response("Ask by http://localhost.\n", 421)
            response: Response = await answer(request)
            response.headers.update(_HEADERS)
            return response

        return page

    return [
        Route("/", guarded(index)),
        Route("/live.js", guarded(live)),
        Route("/api/traces", guarded(traces)),
        Route("/api/traces/{id}", guarded(one)),
    ]
