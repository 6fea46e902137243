from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import openai
import pytest
from langchain_openai import ChatOpenAI
from waiting import time_out

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    """Before the status and in the middle of the body."""
    server.script(Reply("Tulips.", fault="drop", after_chunks=after))
    with pytest.raises(openai.APIConnectionError):
        _chat(server).invoke("x")
    assert server.usage == {}


async def test_a_stream_is_dropped_after_its_chunks(server: FakeOpenAI) -> None:
    """What was sent before arrives, then the connection is gone."""
    server.script(Reply("one two three", fault="drop", after_chunks=3))
    stream = _chat(server).astream("x")
    got = [(await anext(stream)).content for _ in range(3)]
    assert got == ["", "one ", "two "]
    with pytest.raises(Exception, match=r"peer closed|incomplete|[Cc]onnection"):
        await anext(stream)
    assert server.usage == {}


def test_a_cut_stream_ends_without_an_error(server: FakeOpenAI) -> None:
    """No finish reason, no usage, no exception: the client cannot tell."""
    server.script(Reply("one two three", fault="cut", after_chunks=3))
    chunks = list(_chat(server).stream("x"))
    assert "".join(str(chunk.content) for chunk in chunks) == "one two "
    assert server.usage == {}


def test_broken_json_reaches_the_client(server: FakeOpenAI) -> None:
    """In a plain body and in a stream's piece."""
    server.when("x", Reply("one two", fault="broken_json", after_chunks=1))
    with pytest.raises(ValueError, match=r"."):
        _chat(server).invoke("x")
    with pytest.raises(ValueError, match=r"."):
        list(_chat(server).stream("x"))
    assert server.usage == {}


async def test_a_hanging_answer_is_given_up_by_the_client(server: FakeOpenAI) -> None:
    """The client's time limit ends it; the server goes on."""
    server.script(Reply(fault="hang"), Reply("Tulips."))
    await time_out(_chat(server).ainvoke("x"), lambda: server.requests)
    assert (await _chat(server).ainvoke("x")).content == "Tulips."
    assert len(server.requests) == 2


@pytest.mark.slow
async def test_a_slow_answer_that_nobody_waits_for_is_not_sent(
    server: FakeOpenAI,
) -> None:
    """A client that leaves during the delay spends no tokens."""
    server.script(Reply("Tulips.", delay=2))
    await time_out(_chat(server).ainvoke("x"), lambda: server.requests)
    await asyncio.sleep(2.5)  # longer than the delay
    assert server.usage == {}


@pytest.mark.slow
async def test_a_slow_stream_that_is_left_stops(server: FakeOpenAI) -> None:
    """A client that leaves between two chunks never gets the usage."""
    server.script(Reply("one two three", chunk_delay=0.5))
    stream = _chat(server).astream("x")
    assert (await anext(stream)).content == ""
    await stream.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(3)  # longer than all the pieces take
    assert server.usage == {}


def test_delays_take_their_time(server: FakeOpenAI) -> None:
    """Before the first byte and between the pieces of a stream."""
    server.script(
        Reply("one two", delay=0.1, chunk_delay=0.05, usage=Tokens(1, 2)),
    )
    start = time.monotonic()
    list(_chat(server).stream("x"))
    assert time.monotonic() - start >= 0.25
    assert server.total_usage == Tokens(1, 2)
