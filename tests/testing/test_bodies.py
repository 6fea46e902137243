from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens, ToolCall, answer_to
from otel_callbacks.testing.replies import count_tokens, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_CALL = ToolCall("price", {"flower": "玫瑰"})


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeOpenAI]:
    """One server for all tests of this file."""
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def server(shared: FakeOpenAI) -> FakeOpenAI:
    """Return the server, reset."""
    shared.reset()
    return shared


def _chat(server: FakeOpenAI, **arguments: object) -> ChatOpenAI:
    """Return a chat model that talks to the server."""
    settings = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
    return ChatOpenAI(**{"model": "gpt-4o-mini", **settings, **arguments})


def test_a_chat_completion_is_what_langchain_reads(server: FakeOpenAI) -> None:
    """Text, id, dated model, fingerprint, tier, finish reason and usage arrive."""
    message = _chat(server).invoke("Roses?")
    assert isinstance(message, AIMessage)
    assert message.content == answer_to("Roses?")
    metadata = dict(message.response_metadata)
    metadata.pop("token_usage")
    assert metadata == {
        "id": "chatcmpl-flower000001",
        "model_name": "gpt-4o-mini-2024-07-18",
        "model_provider": "openai",
        "system_fingerprint": "fp_flower_shop",
        "service_tier": "default",
        "finish_reason": "stop",
        "logprobs": None,
    }
    output = count_tokens(answer_to("Roses?"))
    assert server.usage == {"gpt-4o-mini": Tokens(2 + 3, output)}
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 5 + output


def test_choices_have_one_usage_together(server: FakeOpenAI) -> None:
    """With n = 3, all choices share one usage."""
    result = _chat(server, n=3).generate([[HumanMessage("Roses?")]])
    texts = [generation.text for generation in result.generations[0]]
    assert texts == [answer_to("Roses?", choice) for choice in range(3)]
    assert server.total_usage == Tokens(5, sum(map(count_tokens, texts)))


def test_usage_details_arrive(server: FakeOpenAI) -> None:
    """Cached, reasoning and audio tokens are parts of the totals."""
    tokens = Tokens(100, 50, 40, 30, 2, 1)
    server.script(Reply("Tulips.", usage=tokens))
    message = _chat(server).invoke("x")
    assert message.usage_metadata == {
        "input_tokens": 100,
        "output_tokens": 50,
        "total_tokens": 150,
        "input_token_details": {"audio": 2, "cache_read": 40},
        "output_token_details": {"audio": 1, "reasoning": 30},
    }
    assert server.total_usage == tokens


def test_usage_can_be_left_out(server: FakeOpenAI) -> None:
    """A provider may report no usage."""
    server.script(Reply("Tulips.", send_usage=False))
    assert _chat(server).invoke("x").usage_metadata is None
    assert server.usage == {}


def test_id_model_and_finish_reason_can_be_set(server: FakeOpenAI) -> None:
    """They are sent as given."""
    server.script(
        Reply("T", response_id="id-1", model="m-2", finish_reason="content_filter")
    )
    metadata = _chat(server).invoke("x").response_metadata
    assert metadata["id"] == "id-1"
    assert metadata["model_name"] == "m-2"
    assert metadata["finish_reason"] == "content_filter"


def test_a_tool_round_trip_works(server: FakeOpenAI) -> None:
    """The model calls a tool, gets its result and answers."""
    server.when("玫瑰", Reply(tool_calls=(_CALL,)), Reply("29 euros."))
    llm = _chat(server)
    question = HumanMessage("玫瑰多少钱")
    request = llm.invoke([question])
    assert request.tool_calls == [
        {
            "name": "price",
            "args": {"flower": "玫瑰"},
            "id": "call_000001_0",
            "type": "tool_call",
        }
    ]
    assert request.response_metadata["finish_reason"] == "tool_calls"
    result = ToolMessage("29", tool_call_id="call_000001_0")
    assert llm.invoke([question, request, result]).content == "29 euros."
    assert [received.after_tool for received in server.requests] == [False, True]


async def test_prompts_of_a_text_model_share_one_usage(server: FakeOpenAI) -> None:
    """Two prompts with two choices each: four texts, one total."""
    llm = OpenAI(
        model="gpt-3.5-turbo-instruct",
        base_url=server.base_url,
        api_key="none",
        n=2,
        best_of=2,
    )
    result = await llm.agenerate(["Roses?", "郁金香"])
    texts = [[one.text for one in choices] for choices in result.generations]
    assert texts == [
        [answer_to("Roses?", 0), answer_to("Roses?", 1)],
        [answer_to("郁金香", 0), answer_to("郁金香", 1)],
    ]
    output = sum(count_tokens(text) for row in texts for text in row)
    assert server.total_usage == Tokens(5, output)
    assert result.llm_output is not None
    assert result.llm_output["token_usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": output,
        "total_tokens": 5 + output,
    }


def test_embeddings_are_the_documented_vectors(server: FakeOpenAI) -> None:
    """As base64, the client's default, and with the requested dimensions."""
    model = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=server.base_url,
        api_key="none",
        dimensions=8,
        check_embedding_ctx_length=False,
    )
    first, second = model.embed_documents(["red rose", "lily"])
    assert first == pytest.approx(vector_of("red rose", 8), abs=1e-6)
    assert second == pytest.approx(vector_of("lily", 8), abs=1e-6)
    assert server.total_usage == Tokens(3, 0)


def test_embeddings_can_be_plain_numbers_and_without_usage(server: FakeOpenAI) -> None:
    """The encoding is the API's default, and there is no usage."""
    server.script(Reply(send_usage=False))
    client = OpenAIEmbeddings(base_url=server.base_url, api_key="none").client
    answer = client.create(input=[7, 8], model="m", encoding_format="float")
    assert answer.data[0].embedding == pytest.approx(vector_of("7 8"))
    assert server.total_usage == Tokens()


@pytest.fixture
def server_of_streams() -> Iterator[FakeOpenAI]:
    """Return a running server_of_streams."""
    with FakeOpenAI() as running:
        yield running


async def _whole(llm: ChatOpenAI, question: str) -> AIMessageChunk:
    """Stream an answer and add up its chunks."""
    whole = AIMessageChunk(content="")
    async for chunk in llm.astream(question):
        whole += chunk  # type: ignore[assignment]
    return whole


async def test_a_stream_adds_up_to_the_answer_with_its_usage(
    server_of_streams: FakeOpenAI,
) -> None:
    """One chunk for each token, and the usage once."""
    whole = await _whole(_chat(server_of_streams, stream_usage=True), "Roses?")
    assert whole.content == answer_to("Roses?")
    assert whole.response_metadata["model_name"] == "gpt-4o-mini-2024-07-18"
    assert whole.response_metadata["finish_reason"] == "stop"
    output = count_tokens(answer_to("Roses?"))
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == output
    assert server_of_streams.usage == {"gpt-4o-mini": Tokens(5, output)}


async def test_a_stream_has_usage_only_on_request(
    server_of_streams: FakeOpenAI,
) -> None:
    """As in the real API, so it is not in the sum."""
    whole = await _whole(_chat(server_of_streams, stream_usage=False), "Roses?")
    assert whole.usage_metadata is None
    assert server_of_streams.usage == {}


async def test_a_tool_call_comes_in_pieces(server_of_streams: FakeOpenAI) -> None:
    """First the name, then the arguments in halves; the client joins them."""
    server_of_streams.script(
        Reply(tool_calls=(ToolCall("price", {"n": 1}, id="c1"), ToolCall("stock")))
    )
    whole = await _whole(_chat(server_of_streams), "x")
    assert [(call["name"], call["args"], call["id"]) for call in whole.tool_calls] == [
        ("price", {"n": 1}, "c1"),
        ("stock", {}, "call_000001_1"),
    ]
    assert whole.response_metadata["finish_reason"] == "tool_calls"


def test_a_text_model_streams_with_usage_in_a_chunk_of_its_own(
    server_of_streams: FakeOpenAI,
) -> None:
    """The last chunk has no choices, only the usage."""
    llm = OpenAI(
        model="gpt-3.5-turbo-instruct",
        base_url=server_of_streams.base_url,
        api_key="none",
        model_kwargs={"stream_options": {"include_usage": True}},
    )
    assert "".join(llm.stream("Tulips?")) == answer_to("Tulips?")
    assert server_of_streams.total_usage == Tokens(
        2, count_tokens(answer_to("Tulips?"))
    )


_ROSE = ToolCall("price", {"flower": "rose"}, id="c1")


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
    server.script(Reply(tool_calls=(_ROSE,)))
    message = _asked(server, stream=stream)
    assert [
        (call["name"], call["args"], call["id"]) for call in message.tool_calls
    ] == [("price", {"flower": "rose"}, "c1")]


@pytest.mark.parametrize("stream", [False, True])
def test_usage_of_a_response_can_be_left_out(
    server: FakeOpenAI, *, stream: bool
) -> None:
    """A provider may report no usage."""
    server.script(Reply("Tulips.", send_usage=False))
    assert _asked(server, stream=stream).usage_metadata is None
    assert server.usage == {}
