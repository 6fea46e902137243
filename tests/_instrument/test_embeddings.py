"""Embeddings that are wrapped explicitly: spans, tokens, errors, the app's own ways."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from opentelemetry import trace

from otel_callbacks import (
    OTelCallbackHandler,
    Settings,
    TracedEmbeddings,
    track_usage,
    uninstrument,
)
from otel_callbacks.testing import FakeChatModel, Reply, capture

if TYPE_CHECKING:
    from collections.abc import Callable

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


def test_tokens_are_those_of_the_provider(
    traced: TracedEmbeddings, telemetry: Capture, server: FakeOpenAI
) -> None:
    """Several requests of one call are summed, on the series and on the account."""
    with track_usage() as usage:
        traced.inner.chunk_size = 1  # type: ignore[attr-defined]
        traced.embed_documents(["Tulips.", "Asters."])
    reported = server.total_usage.input
    assert len(server.requests) == 2
    assert usage.total_tokens == reported
    assert telemetry.value("otel_callbacks_tokens_total") == reported
    assert telemetry.span(NAME)["attributes"]["gen_ai.usage.input_tokens"] == reported


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


@pytest.fixture
def _instrumented(start: Any) -> None:
    """Instrument for this test."""
    start()


def plain(server: FakeOpenAI) -> OpenAIEmbeddings:
    """Return embeddings that know nothing of us."""
    return OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=server.base_url,
        api_key="sk-test",
        check_embedding_ctx_length=False,
    )


class Cache(Embeddings):
    """Asks other embeddings only for what it does not know."""

    def __init__(self, underlying: Embeddings) -> None:
        self.underlying = underlying
        self.known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed a text."""
        if text not in self.known:
            self.known[text] = self.underlying.embed_query(text)
        return self.known[text]

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a text."""
        return self.embed_query(text)


@pytest.mark.usefixtures("_instrumented")
async def test_plain_embeddings_are_traced(
    server: FakeOpenAI, telemetry: Capture
) -> None:
    """Each of the four methods is one span with the provider's tokens."""
    embeddings = plain(server)
    embeddings.embed_documents(["Tulips."])
    embeddings.embed_query("Tulips.")
    await embeddings.aembed_documents(["Tulips."])
    await embeddings.aembed_query("Tulips.")
    # Explicitly traced ones are not traced again.
    TracedEmbeddings(embeddings, handler=telemetry.handler).embed_query("Tulips.")
    assert [span["name"] for span in telemetry.spans] == [NAME] * 5
    counted = telemetry.value("otel_callbacks_tokens_total")
    assert counted == server.total_usage.input


@pytest.mark.usefixtures("_instrumented")
async def test_a_cache_is_no_call(server: FakeOpenAI, telemetry: Capture) -> None:
    """Only what a provider was asked for is a span."""
    cache = Cache(plain(server))
    cache.embed_documents(["Tulips.", "Asters.", "Tulips."])
    await cache.aembed_query("Asters.")
    assert [span["name"] for span in telemetry.spans] == [NAME] * 2


@pytest.mark.usefixtures("_instrumented")
def test_a_class_made_later_is_traced(telemetry: Capture) -> None:
    """What its other bases do to a new class is done as well."""

    class Noted:
        seen: tuple[Any, ...] = ()

        def __init_subclass__(cls, **options: Any) -> None:
            Noted.seen += (cls.__name__, options)

    class Late(Embeddings, Noted, colour="red"):
        model_name = "late"
        asked = 0

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            self.asked += 1
            return [[1.0] for _ in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    late = Late()
    assert late.embed_query("Tulips.") == [1.0]
    assert late.asked == 1
    assert Noted.seen == ("Late", {"colour": "red"})
    assert [span["name"] for span in telemetry.spans] == ["embeddings late"]


async def test_nothing_is_left_behind(
    server: FakeOpenAI, telemetry: Capture, start: Any
) -> None:
    """Every method is the one from before, unless somebody else has wrapped it."""

    class Both(Cache, OpenAIEmbeddings):  # type: ignore[misc]
        """Is found by two ways, and wrapped once."""

        def embed_query(self, text: str, **_: Any) -> list[float]:
            return [float(len(text))]

        async def aembed_query(self, text: str, **_: Any) -> list[float]:
            return [float(len(text))]

    from openai.resources.embeddings import (  # noqa: PLC0415 -- a second of imports
        Embeddings as Client,
    )

    before = dict(vars(OpenAIEmbeddings)), vars(Client)["create"]
    own = vars(Both)["embed_query"]
    start()
    plain(server).embed_query("Tulips.")
    assert vars(Client)["create"] is not before[1]
    assert vars(Both)["embed_query"].__wrapped__ is own
    ours = vars(Cache)["embed_query"]
    kept = vars(Cache)["aembed_query"]
    type.__setattr__(Cache, "embed_query", functools.partialmethod(ours))
    uninstrument()
    uninstrument()
    assert (dict(vars(OpenAIEmbeddings)), vars(Client)["create"]) == before
    assert vars(Both)["embed_query"] is own
    telemetry.clear()
    cache = Cache(plain(server))
    cache.embed_query("Tulips.")
    assert await kept(cache, "Tulips.")
    assert not telemetry.spans
    type.__setattr__(Cache, "embed_query", ours.__wrapped__)


async def test_outside_of_a_run_it_has_no_parent(
    chat: Callable[..., Any], traced: TracedEmbeddings, telemetry: Capture
) -> None:
    """Not before a call, not after it, not while a stream is read."""
    traced.embed_query("Tulips.")
    chat().invoke("Roses?")
    traced.embed_query("Tulips.")
    for _ in chat().stream("Roses?"):
        traced.embed_query("Tulips.")
    # Its stand-in is still in the context then.
    await chat().ainvoke("Roses?")
    await traced.aembed_query("Tulips.")
    spans = [span for span in telemetry.spans if span["name"] == NAME]
    assert len(spans) > 4
    assert {span["parent_id"] for span in spans} == {None}


def test_inside_of_a_step_it_is_in_the_step(
    chat: Callable[..., Any], traced: TracedEmbeddings, telemetry: Capture
) -> None:
    """The step, not the call that has ended in it; beyond a span of the app's, too."""

    async def step(question: str) -> None:
        traced.embed_query(question)
        await chat().ainvoke(question)
        traced.embed_query(question)
        with telemetry.tracer_provider.get_tracer("app").start_as_current_span("own"):
            traced.embed_query(question)

    config: Any = {"callbacks": [telemetry.handler]}
    asyncio.run(RunnableLambda(step).ainvoke("Roses?", config=config))
    assert telemetry.tree().splitlines() == [
        "step",
        f"  {NAME}",
        "  chat gpt-4o-mini",
        f"  {NAME}",
        "  own",
        f"    {NAME}",
    ]
    assert not trace.get_current_span().get_span_context().is_valid


async def test_inside_of_a_model_it_is_in_the_model(inner: OpenAIEmbeddings) -> None:
    """A model that asks another one and embeds is no step with a config of its own."""
    with capture(Settings(strict=True, labels="chain")) as telemetry:
        traced = TracedEmbeddings(inner, handler=telemetry.handler)

        class Asking(FakeChatModel):
            async def _agenerate(self, *args: Any, **options: Any) -> Any:
                other = FakeChatModel(callbacks=[telemetry.handler])
                await other.ainvoke("Roses?")
                await traced.aembed_query("Roses?")
                return await super()._agenerate(*args, **options)

        model = Asking(callbacks=[telemetry.handler], model_name="asking")
        await model.ainvoke("Roses?")
        assert telemetry.span(NAME)["parent"] == "chat asking"
        operations = "otel_callbacks_operations_total"
        labels = {"gen_ai_operation_name": "embeddings", "chain": "asking"}
        assert telemetry.value(operations, **labels) == 1
