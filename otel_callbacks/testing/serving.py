"""A web server in a thread of this process, on 127.0.0.1, which stops quickly.

uvicorn's own shutdown waits for open connections. Here they are closed, so that
clients that wait for a response do not delay the end.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uvicorn

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from otel_callbacks.testing.bodies import Body
    from otel_callbacks.testing.replies import Reply, Tokens


@dataclass(frozen=True, slots=True)
class Delivery:
    """An ASGI application that sends one body, with the options of its reply."""

    body: Body
    reply: Reply
    on_usage: Callable[[Tokens], None]
    close: Callable[[Scope, bool], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body to the client of a request."""
        # The body has been read, so the next message is the disconnect.
        disconnect = asyncio.ensure_future(receive())
        try:
            if not await _left(disconnect, self.reply.delay):
                await self._send(scope, send, disconnect)
        finally:
            disconnect.cancel()

    async def _send(self, scope: Scope, send: Send, disconnect: Future[Any]) -> None:
        """Send the pieces until the end, the fault or the client's disconnect."""
        stops = self.reply.fault in {"hang", "drop", "cut"}
        for index, piece in enumerate(self.body.pieces):
            if stops and index == self.reply.after_chunks:
                break
            if index == 0:
                await send(self._head())
            elif await _left(disconnect, self.reply.chunk_delay):
                return
            if index == self.body.usage_at and self.body.tokens is not None:
                self.on_usage(self.body.tokens)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.reply.fault in {"hang", "drop"}:
            if self.reply.fault == "drop":
                self.close(scope, self.reply.after_chunks == 0)
            await disconnect
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _head(self) -> dict[str, object]:
        """Return the message with status and headers."""
        headers = {"content-type": self.body.content_type, **self.reply.headers}
        # Clients keep connections after their event loop (langchain-openai caches
        # clients for ever), so a test would end with an open socket.
        headers["connection"] = "close"
        if self.body.content_type == "application/json":
            headers["content-length"] = str(sum(map(len, self.body.pieces)))
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        status = self.reply.status
        return {"type": "http.response.start", "status": status, "headers": raw}


async def _left(disconnect: Future[Any], seconds: float) -> bool:
    """Wait, or until the client disconnects; return whether it has."""
    await asyncio.wait({disconnect}, timeout=seconds)
    return disconnect.done()


# No working machine needs as long to start or stop.
_PATIENCE_SECONDS: Final = 60.0
_END_SECONDS: Final = 2.5


class ThreadedServer:
    """Serves an ASGI application until it is stopped; port 0 is a free one."""

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._run, name=f"server-{self.port}", daemon=True
        )

    @property
    def url(self) -> str:
        """The address with its scheme, without a path."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start serving, and return when clients can connect."""
        self._thread.start()
        self._server.up.wait(_PATIENCE_SECONDS)

    def stop(self) -> None:
        """Close the connections and end the thread; safe to repeat."""
        self._server.end()
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_SECONDS)
        self._socket.close()

    def close(self, scope: Scope, at_once: bool) -> None:  # noqa: FBT001
        """Close the connection of a request."""
        connection: Any
        for connection in list(self._server.server_state.connections):
            if connection.client == scope["client"]:
                transport = connection.transport
                (transport.abort if at_once else transport.close)()

    def _run(self) -> None:
        """Serve in this thread, in a new event loop."""
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._server.up.set()


class _Server(uvicorn.Server):
    """uvicorn without its ticks: it starts and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()
        self._is_ended = False

    def end(self) -> None:
        """Request the stop, from any thread, also before the start."""
        self._is_ended = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    async def main_loop(self) -> None:
        """Wait for the stop."""
        self._loop = asyncio.get_running_loop()
        self.up.set()
        if not self._is_ended:
            await self._end.wait()

    async def shutdown(
        self,
        sockets: list[socket.socket] | None = None,  # noqa: ARG002 -- the owner's
    ) -> None:
        """Close the connections and let the requests end."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + _END_SECONDS
        # The listener is closed last: a connection that is accepted while it
        # closes leaks its socket (python/cpython issue 109564).
        while (
            self.server_state.connections or len(asyncio.all_tasks()) > 1
        ) and loop.time() < limit:
            connection: Any
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
