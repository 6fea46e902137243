from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import httpx
import pytest
from waiting import WAIT_S

from otel_callbacks.testing import FakeOpenAI, Reply
from otel_callbacks.testing.serving import ThreadedServer


async def _app(scope: object, receive: object, send: object) -> None:
    """Answer nothing; only connections are tested here."""


def test_a_taken_port_is_refused() -> None:
    """The error is the socket's own and leaves no thread."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            ThreadedServer(_app, port=port)  # type: ignore[arg-type]


def test_stop_is_quick_and_leaves_nothing_behind(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Hanging and idle connections are closed, the thread ends, nothing is said."""
    before = set(threading.enumerate())
    server = FakeOpenAI()
    server.start()
    server.when("x", Reply(fault="hang"))
    url = f"{server.base_url}/chat/completions"
    ended: list[str] = []

    def hang() -> None:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        try:
            httpx.post(url, json=body, timeout=WAIT_S)
        except httpx.TransportError as error:
            ended.append(type(error).__name__)

    clients = [threading.Thread(target=hang) for _ in range(3)]
    for client in clients:
        client.start()
    while len(server.requests) < 3:
        time.sleep(0.005)
    with closing(socket.create_connection(("127.0.0.1", server.port))):
        server.stop()
    for client in clients:
        client.join()
    assert len(ended) == 3
    assert set(threading.enumerate()) == before
    assert capfd.readouterr() == ("", "")


def test_stop_before_start_and_twice_is_harmless() -> None:
    """Whoever cleans up need not know how far it came."""
    server = ThreadedServer(_app)  # type: ignore[arg-type]
    server.stop()
    other = ThreadedServer(_app)  # type: ignore[arg-type]
    other.start()
    other.stop()
    other.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((other.host, other.port))


def test_an_end_that_comes_before_it_is_up_is_heard() -> None:
    """A slow machine may start the thread late: it does not serve for ever."""
    before = set(threading.enumerate())
    server = ThreadedServer(_app)  # type: ignore[arg-type]
    server._server.end()
    server.start()
    server.stop()
    assert set(threading.enumerate()) == before


def test_only_the_client_that_is_meant_is_hung_up() -> None:
    """Other connections stay open."""
    with FakeOpenAI() as server:
        server.script(Reply(fault="drop"))
        with closing(socket.create_connection(("127.0.0.1", server.port))) as idle:
            with pytest.raises(httpx.TransportError):
                httpx.post(
                    f"{server.base_url}/chat/completions", json={}, timeout=WAIT_S
                )
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle.recv(100).startswith(b"HTTP/1.1 200")
