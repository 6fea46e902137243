"""A fake of the OpenAI API over a real socket on this machine."""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from otel_callbacks.testing import bodies
from otel_callbacks.testing.bodies import Body, Exchange
from otel_callbacks.testing.replies import Answer, Match, Received, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from otel_callbacks.testing.serving import ThreadedServer

_ROUTES: Final[Mapping[str, Callable[[Exchange], Body]]] = {
    "/v1/chat/completions": bodies.chat,
    "/v1/completions": bodies.text,
    "/v1/embeddings": bodies.embeddings,
    "/v1/responses": bodies.response,
}
_FIRST_ERROR: Final = 400


class FakeOpenAI:
    """A provider for tests and demos: real HTTP, no key, no network.

    Answers ``POST /v1/chat/completions``, ``/v1/completions``, ``/v1/embeddings``
    and ``/v1/responses``, plain and streamed, and ``GET /healthz``. Replies
    are from rules (``when``), from a queue (``script``) or the default: a flower
    shop's answer that depends only on the question, with the tokens that
    ``replies`` documents.

        with FakeOpenAI() as server:
            server.script(Reply.failing(429, retry_after=0.01), Reply("Tulips."))
            llm = ChatOpenAI(base_url=server.base_url, api_key="none", model="m")
            llm.invoke("What is in season?")

    Args:
        port: The port to listen on; 0 for a free one.
        keep: The maximum of ``requests``; older ones are dropped.
    """

    def __init__(self, *, port: int = 0, keep: int = 10_000) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._queue: deque[Answer] = deque()
        self._rules: list[tuple[Match, deque[Answer]]] = []
        self._requests: deque[Received] = deque(maxlen=keep)
        self._numbers = itertools.count(1)
        self._usage: dict[str, Tokens] = {}
        self._server: ThreadedServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The server's address, ``http://127.0.0.1:PORT``.

        Raises:
            RuntimeError: The server has not been started.
        """
        return self._running().url

    @property
    def base_url(self) -> str:
        """The address with ``/v1``, for ``ChatOpenAI(base_url=...)``.

        Raises:
            RuntimeError: The server has not been started.
        """
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            RuntimeError: The server has not been started.
        """
        return self._running().port

    @property
    def requests(self) -> list[Received]:
        """The received requests, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def usage(self) -> dict[str, Tokens]:
        """The sent usage, summed by requested model.

        Responses without sent usage (cancelled, dropped, cut, not requested) are
        not included.
        """
        with self._lock:
            return dict(self._usage)

    @property
    def total_usage(self) -> Tokens:
        """The sent usage of all models."""
        return sum(self.usage.values(), Tokens())

    def script(self, *replies: Answer) -> None:
        """Queue replies for the next requests that no rule matches.

        Args:
            replies: One for each request, in order; may be functions of a request.
        """
        with self._lock:
            self._queue.extend(replies)

    def when(self, match: Match, *replies: Answer) -> None:
        """Add a rule for matching requests; the newest matching rule is used.

        Args:
            match: A part of the question (the last user message or the prompt), a
                whole model name, or a function of the request.
            replies: Used one after another; the last one repeats.

        Raises:
            ValueError: There is no reply.
        """
        if not replies:
            message = "when() needs at least one reply"
            raise ValueError(message)
        with self._lock:
            self._rules.insert(0, (match, deque(replies)))

    def reset(self) -> None:
        """Remove requests, usage, rules and the queue; number from 1 again."""
        with self._lock:
            self._queue.clear()
            self._rules.clear()
            self._requests.clear()
            self._usage.clear()
            self._numbers = itertools.count(1)

    def start(self) -> None:
        """Start listening, and return when clients can connect; safe to repeat.

        Raises:
            ImportError: starlette or uvicorn is not installed.
            OSError: The port is in use.
        """
        if self._server is not None:
            return
        try:
            # Imported here because starlette and uvicorn are an extra.
            from otel_callbacks.testing.serving import ThreadedServer  # noqa: PLC0415

            app = self._app()
        except ImportError as error:
            message = 'FakeOpenAI needs pip install "otel-callbacks[testing]"'
            raise ImportError(message) from error
        server = ThreadedServer(app, port=self._port)
        server.start()
        self._server = server

    def stop(self) -> None:
        """Close all connections, also unanswered ones, and stop; safe to repeat."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _running(self) -> ThreadedServer:
        """Return the running server."""
        if self._server is None:
            message = "FakeOpenAI is not running: use it in a with, or call start()"
            raise RuntimeError(message)
        return self._server

    def _app(self) -> ASGIApp:
        """Build the web application."""
        from starlette.applications import Starlette  # noqa: PLC0415
        from starlette.responses import JSONResponse  # noqa: PLC0415
        from starlette.routing import Route  # noqa: PLC0415

        async def healthz(_: Request) -> Response:
            return JSONResponse({"status": "ok"})

        routes = [Route(path, self._answer, methods=["POST"]) for path in _ROUTES]
        return Starlette(routes=[*routes, Route("/healthz", healthz)])

    async def _answer(self, request: Request) -> ASGIApp:
        """Return what sends the reply to a request."""
        from otel_callbacks.testing.serving import Delivery  # noqa: PLC0415

        path = request.url.path
        exchange = self._exchange(path, await request.body(), request.headers)
        reply = exchange.reply
        make = bodies.failure if reply.status >= _FIRST_ERROR else _ROUTES[path]
        body = make(exchange)
        if reply.fault == "broken_json":
            body = bodies.broken(body, reply.after_chunks)
        count = partial(self._count, exchange.received.model)
        return Delivery(body, reply, count, self._running().close)

    def _exchange(self, path: str, body: bytes, headers: Mapping[str, str]) -> Exchange:
        """Record a request and choose its reply."""
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = {}
        received = Received.of(path, parsed, dict(headers))
        with self._lock:
            self._requests.append(received)
            number = next(self._numbers)
        return Exchange(received, self._reply(received), number)

    def _reply(self, received: Received) -> Reply:
        """Return the reply of a matching rule, of the queue, or the default."""
        with self._lock:
            for match, replies in self._rules:
                if (
                    match(received)
                    if callable(match)
                    else match == received.model or match in received.text
                ):
                    answer = replies[0] if len(replies) == 1 else replies.popleft()
                    break
            else:
                answer = self._queue.popleft() if self._queue else Reply()
        return answer(received) if callable(answer) else answer

    def _count(self, model: str, tokens: Tokens) -> None:
        """Add tokens to a model's sum."""
        with self._lock:
            self._usage[model] = self._usage.get(model, Tokens()) + tokens
