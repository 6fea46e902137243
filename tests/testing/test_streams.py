from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI, OpenAI

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens, ToolCall, answer_to
from otel_callbacks.testing.answers import count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """Return a running server."""
    with FakeOpenAI() as running:
        yield running


def _chat(server: FakeOpenAI, **arguments: object) -> ChatOpenAI:
    """Return a chat model that talks to the server."""
    settings = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
    return ChatOpenAI(**{"model": "gpt-4o-mini", **settings, **arguments})


async def _whole(llm: ChatOpenAI, question: str) -> AIMessageChunk:
    """Stream an answer and add up its chunks."""
    whole = AIMessageChunk(content="")
    async for chunk in llm.astream(question):
        whole += chunk  # type: ignore[assignment]
    return whole


async def test_a_stream_adds_up_to_the_answer_with_its_usage(
    server: FakeOpenAI,
) -> None:
    """One chunk for each token, and the usage once."""
    whole = await _whole(_chat(server, stream_usage=True), "Roses?")
    assert whole.content == answer_to("Roses?")
    assert whole.response_metadata["model_name"] == "gpt-4o-mini-2024-07-18"
    assert whole.response_metadata["finish_reason"] == "stop"
    output = count_tokens(answer_to("Roses?"))
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == output
    assert server.usage == {"gpt-4o-mini": Tokens(5, output)}


async def test_usage_is_not_in_a_stream_that_does_not_ask_for_it(
    server: FakeOpenAI,
) -> None:
    """So does the real API, and so it is not in the sum."""
    whole = await _whole(_chat(server, stream_usage=False), "Roses?")
    assert whole.usage_metadata is None
    assert server.usage == {}


async def test_a_tool_call_comes_in_pieces(server: FakeOpenAI) -> None:
    """Name first, arguments in halves, put together by the client."""
    server.script(
        Reply(tool_calls=(ToolCall("price", {"n": 1}, id="c1"), ToolCall("stock")))
    )
    whole = await _whole(_chat(server), "x")
    assert [(call["name"], call["args"], call["id"]) for call in whole.tool_calls] == [
        ("price", {"n": 1}, "c1"),
        ("stock", {}, "call_000001_1"),
    ]
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_a_text_model_streams_with_usage_in_a_chunk_of_its_own(
    server: FakeOpenAI,
) -> None:
    """The last chunk has no choices, only the tokens."""
    llm = OpenAI(
        model="gpt-3.5-turbo-instruct",
        base_url=server.base_url,
        api_key="none",
        model_kwargs={"stream_options": {"include_usage": True}},
    )
    assert "".join(llm.stream("Tulips?")) == answer_to("Tulips?")
    assert server.total_usage == Tokens(2, count_tokens(answer_to("Tulips?")))
