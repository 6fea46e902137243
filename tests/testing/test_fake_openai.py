from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from waiting import WAIT_S

from otel_callbacks.testing import FakeOpenAI, Received, Reply, Tokens, answer_to

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
    """The URLs and the health check agree."""
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
    """Status and code reach the client like those of the real API."""
    server.script(reply)
    with pytest.raises(expected) as caught:
        _chat(server).invoke("Roses?")
    assert caught.value.status_code == reply.status
    assert caught.value.code == reply.error[1]
    assert server.usage == {}


async def test_a_retry_after_429_succeeds(server: FakeOpenAI) -> None:
    """The client waits and retries: two requests."""
    server.script(Reply.failing(429, retry_after=0.01), Reply("Tulips."))
    message = await _chat(server, max_retries=1).ainvoke("Roses?")
    assert message.content == "Tulips."
    assert len(server.requests) == 2


async def test_concurrent_requests_are_independent(server: FakeOpenAI) -> None:
    """Each question gets its own reply, in any order."""
    for flower in ("rose", "lily", "tulip"):
        server.when(flower, Reply(flower.upper(), delay=0.02, usage=Tokens(2, 1)))
    llm = _chat(server)
    flowers = ["rose", "lily", "tulip"] * 5
    answers = await asyncio.gather(*(llm.ainvoke(flower) for flower in flowers))
    assert [answer.content for answer in answers] == [one.upper() for one in flowers]
    assert server.usage == {"gpt-4o": Tokens(30, 15)}


def test_requests_are_kept_without_the_key(server: FakeOpenAI) -> None:
    """Recorded requests are safe to print."""
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _chat(server, temperature=0.5).invoke(
        "Roses?", extra_headers={"traceparent": header}
    )
    (received,) = server.requests
    assert received.path == "/v1/chat/completions"
    assert received.json["temperature"] == 0.5
    assert received.traceparent == header
    assert "secret" not in repr(received)


def test_reset_clears_everything(server: FakeOpenAI) -> None:
    """Tests can share a server."""
    server.script(Reply("queued"), Reply("queued too"))
    llm = _chat(server)
    assert llm.invoke("x").content == "queued"
    server.reset()
    assert (server.requests, server.usage, server.total_usage) == ([], {}, Tokens())
    assert llm.invoke("x").content != "queued too"


def test_a_body_that_is_not_json_is_answered(server: FakeOpenAI) -> None:
    """An invalid request does not stop the server."""
    url = f"{server.base_url}/chat/completions"
    assert httpx.post(url, content=b"{", timeout=WAIT_S).status_code == 200
    assert server.requests[0].json == {}


def test_it_can_be_started_again(server: FakeOpenAI) -> None:
    """start() twice is one server; after stop() it starts again."""
    port = server.port
    server.start()
    assert server.port == port
    server.stop()
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    server.start()
    assert httpx.get(f"{server.url}/healthz", timeout=WAIT_S).status_code == 200


def test_a_missing_server_package_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The use names the package to install."""
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(ImportError, match=r'pip install "otel-callbacks\[testing\]"'):
        FakeOpenAI().start()


def test_a_missing_uvicorn_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both packages of the extra are checked."""
    monkeypatch.delitem(sys.modules, "otel_callbacks.testing.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r'pip install "otel-callbacks\[testing\]"'):
        FakeOpenAI().start()


_WITHOUT_EXTRAS = """
import sys
for name in ("starlette", "uvicorn", "rich", "langchain_openai"):
    sys.modules[name] = None
from otel_callbacks.testing import FakeChatModel, FakeOpenAI, capture
from otel_callbacks.cli.doctor import examination
from otel_callbacks.cli.picture.waterfall import WaterfallExporter
with capture() as telemetry:
    FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
print(telemetry.tree())
try:
    FakeOpenAI().start()
except ImportError as error:
    print(error)
"""


def test_only_the_server_needs_the_extra() -> None:
    """`capture`, fake models, the doctor and the waterfall work without extras."""
    process = subprocess.run(  # noqa: S603 -- our own interpreter, our own script
        [sys.executable, "-c", _WITHOUT_EXTRAS],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert process.stdout.splitlines() == [
        "chat fake-model",
        'FakeOpenAI needs pip install "otel-callbacks[testing]"',
    ], process.stderr


def test_only_the_newest_requests_are_kept() -> None:
    """Memory is bounded; ids continue to increase."""
    with FakeOpenAI(keep=1) as server:
        llm = _chat(server)
        ids = [llm.invoke(flower).response_metadata["id"] for flower in ("a", "b")]
        assert [received.text for received in server.requests] == ["b"]
    assert ids == ["chatcmpl-flower000001", "chatcmpl-flower000002"]


_CHAT = "/v1/chat/completions"


def _received(json: Any, path: str = _CHAT, **headers: str) -> Received:
    """Return a request with this body."""
    return Received.of(path, json, headers)


def test_credentials_are_not_kept() -> None:
    """Recorded requests have no keys."""
    received = _received({}, authorization="Bearer secret", cookie="c", accept="*/*")
    assert received.headers == {
        "authorization": "***",
        "cookie": "***",
        "accept": "*/*",
    }


def test_a_body_that_is_no_object_counts_as_none() -> None:
    """An invalid request gets a response."""
    received = _received([1, 2])
    assert received.json == {}
    assert (received.model, received.text, received.prompt_tokens) == ("", "", 0)


def test_the_question_is_the_last_user_message() -> None:
    """Earlier messages are ignored, and content may be a list of parts."""
    parts = [{"type": "text", "text": "Roses"}, {"type": "text", "text": "?"}, "odd"]
    received = _received(
        {
            "messages": [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": None},
                {"role": "user", "content": parts},
                "odd",
            ]
        }
    )
    assert received.text == "Roses?"
    assert received.prompt_tokens == 1 + 0 + 2 + 3 * 3
    assert not received.after_tool


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [{"role": "tool", "content": "3"}]}, _CHAT),
        ({"input": [{"type": "function_call_output", "output": "3"}]}, "/v1/responses"),
    ],
)
def test_a_request_after_a_tool_call_is_recognised(
    body: dict[str, Any], path: str
) -> None:
    """Both APIs have a message for a tool's result."""
    received = _received(body, path)
    assert received.after_tool
    assert received.prompt_tokens == 4


@pytest.mark.parametrize(
    ("body", "prompts"),
    [
        ({"prompt": "a b"}, ["a b"]),
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"input": [1, 2]}, ["1 2"]),
        ({"input": [[1, 2], [3]]}, ["1 2", "3"]),
        ({"input": []}, []),
    ],
)
def test_prompts_may_be_texts_or_token_numbers(
    body: dict[str, Any], prompts: list[str]
) -> None:
    """All shapes that the API allows."""
    received = _received(body, "/v1/completions")
    assert received.prompts == prompts
    assert received.prompt_tokens == len(" ".join(prompts).split())


def test_a_prompt_is_the_question_of_a_text_model() -> None:
    """Rules use the first prompt; the Responses API also accepts a text."""
    assert _received({"prompt": ["a", "b"]}).text == "a"
    assert _received({"input": "Roses?"}, "/v1/responses").text == "Roses?"


def test_usage_is_wanted_always_but_in_streams_by_an_option() -> None:
    """The option determines whether the last chunk has the usage."""
    assert _received({}).wants_usage
    assert not _received({"stream": True}).wants_usage
    assert _received(
        {"stream": True, "stream_options": {"include_usage": True}}
    ).wants_usage


def test_the_trace_context_is_read_from_its_header() -> None:
    """W3C's header, or nothing."""
    assert _received({}, traceparent="00-a-b-01").traceparent == "00-a-b-01"
    assert _received({}).traceparent == ""


def _texts(server: FakeOpenAI, *questions: str, model: str = "m") -> list[str]:
    """Return the answers to questions."""
    return [_chat(server, model=model).invoke(one).text for one in questions]


def test_the_queue_is_used_up_and_then_comes_the_usual_reply(
    server: FakeOpenAI,
) -> None:
    """Scripted replies are used in order, one for each request."""
    server.script(Reply("one"), lambda received: Reply(received.text))
    assert _texts(server, "a", "b", "c") == ["one", "b", answer_to("c")]


def test_rules_match_question_model_or_predicate(server: FakeOpenAI) -> None:
    """A rule has one of three kinds of match."""
    server.when("tulip", Reply("by question"))
    server.when("gpt-4o", Reply("by model"))
    server.when(lambda received: received.after_tool, Reply("by predicate"))
    assert _texts(server, "Any tulips?", "x") == ["by question", answer_to("x")]
    assert _texts(server, "x", model="gpt-4o") == ["by model"]
    assert _texts(server, "x", model="gpt-4o-mini") == [answer_to("x")]
    result = ToolMessage("29 EUR", tool_call_id="1")
    assert _chat(server).invoke([result]).text == "by predicate"


def test_a_rule_comes_before_the_queue_and_its_last_reply_stays(
    server: FakeOpenAI,
) -> None:
    """A rule's replies are used one after another; the last one repeats."""
    server.script(Reply("queued"))
    server.when("rose", Reply("first"), Reply("then"))
    assert _texts(server, *["rose"] * 3) == ["first", "then", "then"]
    assert _texts(server, "lily") == ["queued"]


def test_the_newest_rule_wins_and_all_can_be_forgotten(server: FakeOpenAI) -> None:
    """A test may override the rules of a fixture."""
    server.script(Reply("queued"))
    server.when("rose", Reply("old"))
    server.when("rose", Reply("new"))
    assert _texts(server, "rose") == ["new"]
    server.reset()
    assert _texts(server, "rose") == [answer_to("rose")]


def test_a_rule_without_a_reply_is_refused(server: FakeOpenAI) -> None:
    """It could never reply."""
    with pytest.raises(ValueError, match="at least one reply"):
        server.when("rose")
