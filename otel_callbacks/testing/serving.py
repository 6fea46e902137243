"""A web server in a thread of this process, on 127.0.0.1, quick to stop.

uvicorn's own way to stop waits for its connections; here they are closed, so that
clients that wait for an answer which never comes do not hold up the end.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Final, cast

import uvicorn

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Scope
    from uvicorn.protocols.http.h11_impl import H11Protocol

_END_SECONDS: Final = 5.0


class ThreadedServer:
    """Serves an ASGI application until it is stopped.

    Args:
        app: The application.
        host: The address to listen on.
        port: The port to listen on, 0 for a free one.

    Raises:
        OSError: The port is in use.
    """

    def __init__(self, app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.create_server((host, port))
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
        """Start serving, and return when a client can connect."""
        self._thread.start()
        self._server.up.wait(_END_SECONDS)

    def stop(self) -> None:
        """Close the connections, end the thread; safe twice."""
        self._server.end()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)
        self._socket.close()

    def close(self, scope: Scope, at_once: bool) -> None:  # noqa: FBT001
        """Close a client's connection under its request.

        Args:
            scope: The ASGI scope of the request.
            at_once: Without what has been written and not sent yet.
        """
        for connection in self._server.connections():
            if connection.client == scope["client"]:
                transport = connection.transport
                (transport.abort if at_once else transport.close)()

    def _run(self) -> None:
        """Serve in this thread, in an event loop of its own."""
        asyncio.run(self._server.serve(sockets=[self._socket]))


class _Server(uvicorn.Server):
    """uvicorn without its clock: it starts at once and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end = asyncio.Event()

    def connections(self) -> list[H11Protocol]:
        """Return the open connections."""
        return [
            cast("H11Protocol", connection)
            for connection in self.server_state.connections
        ]

    def end(self) -> None:
        """Ask for the end, from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end.set)

    async def main_loop(self) -> None:
        """Wait for the end."""
        self._loop = asyncio.get_running_loop()
        self.up.set()
        await self._end.wait()

    async def shutdown(
        self,
        sockets: list[socket.socket] | None = None,  # noqa: ARG002 -- the owner's
    ) -> None:
        """Close what is open and let the requests see it."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + _END_SECONDS / 2
        # The listener is closed last: a connection that is just being accepted
        # while it closes leaks its socket (python/cpython issue 109564).
        while self._busy() and loop.time() < limit:
            for connection in self.connections():
                connection.transport.abort()
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    def _busy(self) -> bool:
        """Say whether there are connections, or tasks beside the one that asks."""
        return bool(self.server_state.connections) or len(asyncio.all_tasks()) > 1
