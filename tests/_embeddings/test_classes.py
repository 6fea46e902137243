"""Inside ``instrument`` all classes of embeddings are traced; afterwards none is."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_openai import OpenAIEmbeddings

from otel_callbacks import TracedEmbeddings
from otel_callbacks._embeddings import answers as embedding_answers
from otel_callbacks._embeddings import classes as embedding_classes
from otel_callbacks._instrument import hook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks.testing import Capture, FakeOpenAI

NAME = "embeddings text-embedding-3-small"


@pytest.fixture
def _instrumented(telemetry: Capture) -> Iterator[None]:
    """Instrument with the handler of this test."""
    hook.instrument_with(telemetry.handler)
    embedding_classes.wrap_embeddings(telemetry.handler)
    yield
    embedding_classes.unwrap_embeddings()
    hook.instrument_with(None)


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
    said = telemetry.value("otel_callbacks_tokens_total")
    assert said == server.total_usage.input


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


async def test_nothing_is_left_behind(server: FakeOpenAI, telemetry: Capture) -> None:
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

    embedding_answers.unwrap_clients()
    before = dict(vars(OpenAIEmbeddings)), vars(Client)["create"]
    own = vars(Both)["embed_query"]
    hook.instrument_with(telemetry.handler)
    embedding_classes.wrap_embeddings(telemetry.handler)
    plain(server).embed_query("Tulips.")
    assert vars(Client)["create"] is not before[1]
    assert vars(Both)["embed_query"].__wrapped__ is own
    ours = vars(Cache)["embed_query"]
    kept = vars(Cache)["aembed_query"]
    type.__setattr__(Cache, "embed_query", functools.partialmethod(ours))
    hook.instrument_with(None)
    embedding_classes.unwrap_embeddings()
    embedding_classes.unwrap_embeddings()
    assert (dict(vars(OpenAIEmbeddings)), vars(Client)["create"]) == before
    assert vars(Both)["embed_query"] is own
    telemetry.clear()
    cache = Cache(plain(server))
    cache.embed_query("Tulips.")
    assert await kept(cache, "Tulips.")
    assert not telemetry.spans
    type.__setattr__(Cache, "embed_query", ours.__wrapped__)
