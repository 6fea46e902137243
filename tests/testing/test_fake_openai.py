from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI
from waiting import WAIT_S

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """Return a running server."""
    with FakeOpenAI() as running:
        yield running


def _chat(server: FakeOpenAI, **arguments: object) -> ChatOpenAI:
    """Return a chat model that talks to the server."""
    settings = {"base_url": server.base_url, "api_key": "secret", "max_retries": 0}
    return ChatOpenAI(**{"model": "gpt-4o", **settings, **arguments})


def test_it_is_healthy_on_a_port_of_its_own(server: FakeOpenAI) -> None:
    """Addresses and the health check agree."""
    assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
    assert httpx.get(f"{server.url}/healthz", timeout=WAIT_S).json() == {"status": "ok"}
    assert server.requests == []


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply.failing(400, code="context_length_exceeded"), openai.BadRequestError),
        (Reply.failing(400, code="content_filter"), openai.BadRequestError),
        (Reply.failing(401), openai.AuthenticationError),
        (Reply.failing(429), openai.RateLimitError),
        (Reply.failing(500), openai.InternalServerError),
    ],
)
def test_errors_are_the_clients_own_exceptions(
    server: FakeOpenAI, reply: Reply, expected: type[openai.APIStatusError]
) -> None:
    """Status and code reach the client as the real API's would."""
    server.script(reply)
    with pytest.raises(expected) as caught:
        _chat(server).invoke("Roses?")
    assert caught.value.status_code == reply.status
    assert caught.value.code == reply.error[1]
    assert server.usage == {}


async def test_a_retry_after_429_succeeds(server: FakeOpenAI) -> None:
    """The client waits as it is told to and asks again: two requests."""
    server.script(Reply.failing(429, retry_after=0.01), Reply("Tulips."))
    message = await _chat(server, max_retries=1).ainvoke("Roses?")
    assert message.content == "Tulips."
    assert len(server.requests) == 2


async def test_concurrent_requests_keep_apart(server: FakeOpenAI) -> None:
    """Rules answer each question with its own reply, whatever the order."""
    for flower in ("rose", "lily", "tulip"):
        server.when(flower, Reply(flower.upper(), delay=0.02, usage=Tokens(2, 1)))
    llm = _chat(server)
    asked = ["rose", "lily", "tulip"] * 5
    answers = await asyncio.gather(*(llm.ainvoke(flower) for flower in asked))
    assert [answer.content for answer in answers] == [one.upper() for one in asked]
    assert server.usage == {"gpt-4o": Tokens(30, 15)}


def test_requests_are_kept_without_the_key(server: FakeOpenAI) -> None:
    """What was sent can be asserted and shown."""
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _chat(server, temperature=0.5).invoke(
        "Roses?", extra_headers={"traceparent": header}
    )
    (received,) = server.requests
    assert received.path == "/v1/chat/completions"
    assert received.json["temperature"] == 0.5
    assert received.traceparent == header
    assert "secret" not in repr(received)


def test_reset_forgets_everything(server: FakeOpenAI) -> None:
    """A shared server can be used by test after test."""
    server.script(Reply("queued"), Reply("queued too"))
    llm = _chat(server)
    assert llm.invoke("x").content == "queued"
    server.reset()
    assert (server.requests, server.usage, server.total_usage) == ([], {}, Tokens())
    assert llm.invoke("x").content != "queued too"


def test_a_body_that_is_not_json_is_answered(server: FakeOpenAI) -> None:
    """A strange client does not bring the server down."""
    url = f"{server.base_url}/chat/completions"
    assert httpx.post(url, content=b"{", timeout=WAIT_S).status_code == 200
    assert server.requests[0].json == {}


def test_it_can_be_started_again(server: FakeOpenAI) -> None:
    """start() twice is one server; after stop() it starts anew."""
    port = server.port
    server.start()
    assert server.port == port
    server.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    server.start()
    assert httpx.get(f"{server.url}/healthz", timeout=WAIT_S).status_code == 200


def test_a_missing_server_package_is_said_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The import works without the extra; the use says what to install."""
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(ImportError, match=r'pip install "otel-callbacks\[testing\]"'):
        FakeOpenAI().start()


def test_a_missing_uvicorn_is_said_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both packages of the extra are looked for."""
    monkeypatch.delitem(sys.modules, "otel_callbacks.testing.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r'pip install "otel-callbacks\[testing\]"'):
        FakeOpenAI().start()


def test_only_the_newest_requests_are_kept() -> None:
    """A server that runs for days does not fill the memory; ids go on counting."""
    with FakeOpenAI(keep=1) as server:
        llm = _chat(server)
        ids = [llm.invoke(flower).response_metadata["id"] for flower in ("a", "b")]
        assert [received.text for received in server.requests] == ["b"]
    assert ids == ["chatcmpl-flower000001", "chatcmpl-flower000002"]
