from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from waiting import WAIT_S, time_out

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens
from otel_callbacks.testing.serving import ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Iterator


async def _app(scope: object, receive: object, send: object) -> None:
    """Send nothing; only connections are tested here."""


def test_a_port_in_use_is_refused() -> None:
    """The error is that of the socket, and no thread remains."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            ThreadedServer(_app, port=port)  # type: ignore[arg-type]


def test_stop_is_quick_and_leaves_nothing_behind(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Hanging and idle connections are closed, the thread ends, nothing is logged."""
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
    """Cleanup works in any state."""
    server = ThreadedServer(_app)  # type: ignore[arg-type]
    server.stop()
    other = ThreadedServer(_app)  # type: ignore[arg-type]
    other.start()
    other.stop()
    other.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((other.host, other.port))


def test_a_stop_before_the_start_has_finished_works() -> None:
    """The thread may start late, and still stops."""
    before = set(threading.enumerate())
    server = ThreadedServer(_app)  # type: ignore[arg-type]
    # The thread cannot be made to start late.
    server._server.end()
    server.start()
    server.stop()
    assert set(threading.enumerate()) == before


def test_only_the_given_client_is_disconnected() -> None:
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


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """Return a running server."""
    with FakeOpenAI() as running:
        yield running


def _chat(server: FakeOpenAI, **arguments: object) -> ChatOpenAI:
    """Return a chat model that talks to the server and asks for usage."""
    settings = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
    return ChatOpenAI(**{"model": "m", "stream_usage": True, **settings, **arguments})


@pytest.mark.parametrize("after", [0, 1])
def test_a_dropped_connection_is_a_connection_error(
    server: FakeOpenAI, after: int
) -> None:
    """The drop is before the status or within the body."""
    server.script(Reply("Tulips.", fault="drop", after_chunks=after))
    with pytest.raises(openai.APIConnectionError):
        _chat(server).invoke("x")
    assert server.usage == {}


async def test_a_stream_is_dropped_after_its_chunks(server: FakeOpenAI) -> None:
    """The sent chunks arrive, then the connection is closed."""
    server.script(Reply("one two three", fault="drop", after_chunks=3))
    stream = _chat(server).astream("x")
    got = [(await anext(stream)).content for _ in range(3)]
    assert got == ["", "one ", "two "]
    with pytest.raises(Exception, match=r"peer closed|incomplete|[Cc]onnection"):
        await anext(stream)
    assert server.usage == {}


def test_a_cut_stream_ends_without_an_error(server: FakeOpenAI) -> None:
    """The client gets no finish reason, no usage and no exception."""
    server.script(Reply("one two three", fault="cut", after_chunks=3))
    chunks = list(_chat(server).stream("x"))
    assert "".join(str(chunk.content) for chunk in chunks) == "one two "
    assert server.usage == {}


def test_broken_json_reaches_the_client(server: FakeOpenAI) -> None:
    """It is in a plain body or in a piece of a stream."""
    server.when("x", Reply("one two", fault="broken_json", after_chunks=1))
    with pytest.raises(ValueError, match=r"."):
        _chat(server).invoke("x")
    with pytest.raises(ValueError, match=r"."):
        list(_chat(server).stream("x"))
    assert server.usage == {}


async def test_a_hanging_answer_is_given_up_by_the_client(server: FakeOpenAI) -> None:
    """The client times out; the server continues."""
    server.script(Reply(fault="hang"), Reply("Tulips."))
    await time_out(_chat(server).ainvoke("x"), lambda: server.requests)
    assert (await _chat(server).ainvoke("x")).content == "Tulips."
    assert len(server.requests) == 2


@pytest.mark.slow
async def test_a_slow_answer_that_nobody_waits_for_is_not_sent(
    server: FakeOpenAI,
) -> None:
    """A client that disconnects during the delay uses no tokens."""
    server.script(Reply("Tulips.", delay=2))
    await time_out(_chat(server).ainvoke("x"), lambda: server.requests)
    await asyncio.sleep(2.5)  # longer than the delay
    assert server.usage == {}


@pytest.mark.slow
async def test_a_slow_stream_stops_after_a_disconnect(server: FakeOpenAI) -> None:
    """A client that disconnects between two chunks gets no usage."""
    server.script(Reply("one two three", chunk_delay=0.5))
    stream = _chat(server).astream("x")
    assert (await anext(stream)).content == ""
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(3)  # longer than all the pieces take
    assert server.usage == {}


def test_delays_take_their_time(server: FakeOpenAI) -> None:
    """They precede the first byte and each piece of a stream."""
    server.script(
        Reply("one two", delay=0.1, chunk_delay=0.05, usage=Tokens(1, 2)),
    )
    start = time.monotonic()
    list(_chat(server).stream("x"))
    assert time.monotonic() - start >= 0.25
    assert server.total_usage == Tokens(1, 2)
