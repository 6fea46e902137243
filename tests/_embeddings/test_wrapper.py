"""Embeddings that are wrapped explicitly: spans, tokens, errors, the app's own ways."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings

from otel_callbacks import OTelCallbackHandler, Settings, TracedEmbeddings, track_usage
from otel_callbacks.testing import Reply

if TYPE_CHECKING:
    from otel_callbacks.testing import Capture, FakeOpenAI

NAME = "embeddings text-embedding-3-small"


@pytest.fixture
def inner(server: FakeOpenAI) -> OpenAIEmbeddings:
    """Return real embeddings on the fake provider."""
    return OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=server.base_url,
        api_key="sk-test",
        check_embedding_ctx_length=False,
        max_retries=0,
    )


@pytest.fixture
def traced(inner: OpenAIEmbeddings, telemetry: Capture) -> TracedEmbeddings:
    """Return them, traced."""
    return TracedEmbeddings(inner, handler=telemetry.handler)


async def in_each_way(traced: TracedEmbeddings) -> list[Any]:
    """Embed by all four methods."""
    return [
        traced.embed_documents(["Tulips.", "Asters."]),
        [traced.embed_query("Tulips.")],
        await traced.aembed_documents(["Tulips.", "Asters."]),
        [await traced.aembed_query("Tulips.")],
    ]


async def test_each_call_is_one_span(
    traced: TracedEmbeddings, telemetry: Capture, server: FakeOpenAI
) -> None:
    """All that the conventions have of embeddings, in all four ways."""
    vectors = await in_each_way(traced)
    assert vectors[0] == vectors[2]
    assert [len(found) for found in vectors] == [2, 1, 2, 1]
    spans = telemetry.spans
    assert [span["name"] for span in spans] == [NAME] * 4
    assert {span["kind"] for span in spans} == {"CLIENT"}
    attributes = dict(spans[0]["attributes"])
    assert attributes.pop("otel_callbacks.cost_usd") > 0
    assert attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.request.encoding_formats": ("base64",),
        "gen_ai.response.model": "text-embedding-3-small",
        "gen_ai.embeddings.dimension.count": len(vectors[0][0]),
        "gen_ai.usage.input_tokens": server.total_usage.input // 3,
        "server.address": "127.0.0.1",
        "server.port": server.port,
    }


def test_tokens_are_what_the_provider_said(
    traced: TracedEmbeddings, telemetry: Capture, server: FakeOpenAI
) -> None:
    """Several requests of one call are summed, on the series and on the account."""
    with track_usage() as usage:
        traced.inner.chunk_size = 1  # type: ignore[attr-defined]
        traced.embed_documents(["Tulips.", "Asters."])
    said = server.total_usage.input
    assert len(server.requests) == 2
    assert usage.total_tokens == said
    assert telemetry.value("otel_callbacks_tokens_total") == said
    assert telemetry.span(NAME)["attributes"]["gen_ai.usage.input_tokens"] == said


@pytest.mark.usefixtures("http_spans")
def test_the_http_call_nests(traced: TracedEmbeddings, telemetry: Capture) -> None:
    """The span is current while the provider is asked, and not afterwards."""
    traced.embed_query("Tulips.")
    assert telemetry.tree() == f"{NAME}\n  POST"


async def test_it_nests_in_a_retriever(
    traced: TracedEmbeddings, telemetry: Capture
) -> None:
    """LangChain tells embeddings no parent; it is found all the same."""
    store = InMemoryVectorStore(traced)
    store.add_texts(["Tulips.", "Asters."])
    telemetry.clear()
    options: Any = {"config": {"callbacks": [telemetry.handler]}}
    store.as_retriever().invoke("Tulips?", **options)
    await store.as_retriever().ainvoke("Tulips?", **options)
    tree = f"retrieval InMemoryVectorStore\n  {NAME}"
    assert telemetry.tree() == f"{tree}\n{tree}"


async def test_an_error_is_the_apps_and_on_the_span(
    traced: TracedEmbeddings, telemetry: Capture, server: FakeOpenAI
) -> None:
    """It goes on into the app, whichever way was asked."""
    server.script(Reply(status=429), Reply(status=429))
    with pytest.raises(Exception, match="429"):
        traced.embed_query("Tulips.")
    with pytest.raises(Exception, match="429"):
        await traced.aembed_query("Tulips.")
    for span in telemetry.spans:
        assert span["status"] == "ERROR"
        assert "gen_ai.usage.input_tokens" not in span["attributes"]
    assert telemetry.value("otel_callbacks_tokens_total") == 0


async def test_a_cancelled_call_is_cancelled(
    traced: TracedEmbeddings, telemetry: Capture, server: FakeOpenAI
) -> None:
    """It ends at once, and is counted as what it is."""
    server.script(Reply(delay=5))
    call = asyncio.create_task(traced.aembed_query("Tulips."))
    while not server.requests:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert telemetry.span(NAME)["attributes"]["error.type"] == "cancelled"


def test_other_attributes_are_those_of_the_inner(
    traced: TracedEmbeddings, inner: OpenAIEmbeddings
) -> None:
    """Whoever asks for a setting finds it; what is nowhere is an error."""
    assert traced.model == inner.model
    assert traced.inner is inner
    with pytest.raises(AttributeError):
        _ = traced.petals
    with pytest.raises(AttributeError):
        _ = TracedEmbeddings.__new__(TracedEmbeddings).inner


def test_embeddings_without_usage(telemetry: Capture) -> None:
    """Where no provider tells of tokens there are none: nothing is guessed."""

    class Local(Embeddings):
        model_name = "tiny"

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[1.0, 2.0] for _ in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    # Traced twice is traced once.
    again = TracedEmbeddings(
        TracedEmbeddings(Local(), handler=telemetry.handler), handler=telemetry.handler
    )
    assert again.embed_query("Tulips.") == [1.0, 2.0]
    assert telemetry.span("embeddings tiny")["attributes"] == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "tiny",
        "gen_ai.embeddings.dimension.count": 2,
    }


async def test_switched_off(inner: OpenAIEmbeddings, telemetry: Capture) -> None:
    """``OTEL_SDK_DISABLED`` leaves the calls as they are."""
    handler = OTelCallbackHandler(settings=Settings(sdk_disabled=True))
    off = TracedEmbeddings(inner, handler=handler)
    assert len(await in_each_way(off)) == 4
    assert not telemetry.spans
