from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_openai import ChatOpenAI

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens, ToolCall, answer_to
from otel_callbacks.testing.replies import count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALL = ToolCall("price", {"flower": "rose"}, id="c1")


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    """Return a running server."""
    with FakeOpenAI() as running:
        yield running


def _asked(server: FakeOpenAI, *, stream: bool) -> AIMessage:
    """Send a question to the Responses API, whole or streamed."""
    llm = ChatOpenAI(
        model="gpt-4.1",
        base_url=server.base_url,
        api_key="none",
        use_responses_api=True,
        max_retries=0,
    )
    if not stream:
        return llm.invoke("Roses?")
    chunks = [
        chunk for chunk in llm.stream("Roses?") if isinstance(chunk, AIMessageChunk)
    ]
    return sum(chunks[1:], chunks[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_and_its_usage_arrive(server: FakeOpenAI, *, stream: bool) -> None:
    """Text, model and tokens arrive; a stream always has usage."""
    message = _asked(server, stream=stream)
    output = count_tokens(answer_to("Roses?"))
    assert message.text == answer_to("Roses?")
    assert message.response_metadata["id"] == "resp_flower000001"
    assert message.response_metadata["model_name"] == "gpt-4.1-2025-04-14"
    assert message.usage_metadata == {
        "input_tokens": 5,
        "output_tokens": output,
        "total_tokens": 5 + output,
        "input_token_details": {"cache_read": 0},
        "output_token_details": {"reasoning": 0},
    }
    assert server.usage == {"gpt-4.1": Tokens(5, output)}


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_call_arrives(server: FakeOpenAI, *, stream: bool) -> None:
    """The model calls a tool instead of answering."""
    server.script(Reply(tool_calls=(_CALL,)))
    message = _asked(server, stream=stream)
    assert [
        (call["name"], call["args"], call["id"]) for call in message.tool_calls
    ] == [("price", {"flower": "rose"}, "c1")]


@pytest.mark.parametrize("stream", [False, True])
def test_usage_can_be_left_out(server: FakeOpenAI, *, stream: bool) -> None:
    """A provider may report no usage."""
    server.script(Reply("Tulips.", send_usage=False))
    assert _asked(server, stream=stream).usage_metadata is None
    assert server.usage == {}
