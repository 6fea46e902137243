"""How a body goes over the wire: at once, slowly, partly or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio import Task
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from otel_callbacks.testing.bodies import Body
    from otel_callbacks.testing.replies import Reply, Tokens

_BROKEN: Final = b'{"id": "chatcmpl-'


class Delivery:
    """An ASGI application that sends one body as its reply says.

    Args:
        body: What to send.
        reply: How to send it.
        on_usage: Told the tokens just before the piece that says them goes out.
        close: Closes a client's connection: at once (True) or after what has been
            written (False).
    """

    def __init__(
        self,
        body: Body,
        reply: Reply,
        on_usage: Callable[[Tokens], None],
        close: Callable[[Scope, bool], None],
    ) -> None:
        self._body = _broken(body, reply) if reply.fault == "broken_json" else body
        self._reply = reply
        self._on_usage = on_usage
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body to the client of a request, as ASGI wants it."""
        gone = asyncio.ensure_future(_gone(receive))
        try:
            if not await _left(gone, self._reply.delay):
                await self._send(scope, send, gone)
        finally:
            gone.cancel()

    async def _send(self, scope: Scope, send: Send, gone: Task[None]) -> None:
        """Send the pieces until the end, the fault or the client's leaving."""
        for index, piece in enumerate(self._body.pieces):
            if self._faulty(index):
                break
            if index == 0:
                await send(self._head())
            elif await _left(gone, self._reply.chunk_delay):
                return
            if index == self._body.usage_at and self._body.tokens is not None:
                self._on_usage(self._body.tokens)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self._reply.fault in {"hang", "drop"}:
            if self._reply.fault == "drop":
                self._close(scope, self._reply.after_chunks == 0)
            await gone
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _faulty(self, index: int) -> bool:
        """Say whether this piece is not sent any more."""
        fault = self._reply.fault in {"hang", "drop", "cut"}
        return fault and index == self._reply.after_chunks

    def _head(self) -> dict[str, object]:
        """Return the message with status and headers."""
        headers = {"content-type": self._body.content_type, **self._reply.headers}
        # Clients keep a connection beyond their event loop, langchain-openai's
        # cached ones for ever: a test would end with an open socket.
        headers["connection"] = "close"
        if self._body.content_type == "application/json":
            headers["content-length"] = str(sum(map(len, self._body.pieces)))
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        status = self._reply.status
        return {"type": "http.response.start", "status": status, "headers": raw}


def _broken(body: Body, reply: Reply) -> Body:
    """Return the body with JSON that breaks off, in the piece that is asked for."""
    if len(body.pieces) == 2:  # noqa: PLR2004 -- the two halves of a plain body
        return body._replace(pieces=(body.pieces[0], b""), tokens=None)
    at = reply.after_chunks
    pieces = (*body.pieces[:at], b"data: " + _BROKEN + b"\n\n", *body.pieces[at + 1 :])
    return body._replace(pieces=pieces, tokens=None)


async def _gone(receive: Receive) -> None:
    """Wait until the client has left or the server is being stopped."""
    # The body has been read, so nothing but a disconnect can come.
    await receive()


async def _left(gone: Task[None], seconds: float) -> bool:
    """Wait, but not for a client that has left; say whether it has."""
    await asyncio.wait({gone}, timeout=seconds)
    return gone.done()
