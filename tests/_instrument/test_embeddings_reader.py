"""What is read of embeddings and of what a provider answered to them."""

from __future__ import annotations

import functools
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_core.embeddings import Embeddings
from openai.resources.embeddings import Embeddings as Client

from otel_callbacks._instrument.embeddings import (
    CLIENTS,
    Answer,
    EmbeddingsStart,
    answers,
    embeddings_response,
    held,
    leaf,
)
from otel_callbacks._records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks.testing import FakeOpenAI


def _wrap() -> None:
    """Wrap the methods of OpenAI's clients."""
    for method in CLIENTS:
        method.wrap()


def _unwrap() -> None:
    """Restore the methods of OpenAI's clients."""
    for method in CLIENTS:
        method.unwrap()


class Plain(Embeddings):
    """Embeddings with whatever attributes a test wants."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return no vectors."""
        return [[] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return no vector."""
        return [float(len(text))]


def of_package(package: str, name: str = "Vectors") -> type[Plain]:
    """Return a class of embeddings that another package could have."""
    return type(name, (Plain,), {"__module__": package})


@pytest.mark.parametrize(
    ("kind", "provider"),
    [
        (of_package("langchain_openai.base", "AzureOpenAIEmbeddings"), "azure"),
        (of_package("langchain_openai.base", "OpenAIEmbeddings"), "openai"),
        (of_package("langchain_aws.bedrock", "BedrockEmbeddings"), "aws.bedrock"),
        (of_package("langchain_voyageai.embeddings"), "voyageai"),
        (of_package("langchain_community.embeddings"), ""),
        (of_package("shop.search"), ""),
    ],
)
def test_the_provider_comes_from_the_class(kind: type[Plain], provider: str) -> None:
    """By a table, else by the package that LangChain's providers have each."""
    request = EmbeddingsStart(kind(model="m"), None, None).read()
    assert request.provider.replace(".ai.openai", "") == provider


def test_the_address_is_the_one_that_the_client_asks() -> None:
    """What the client was really made with counts more than the model's arguments."""
    client = SimpleNamespace(_client=SimpleNamespace(base_url="http://10.0.0.7:81/v1"))
    kind = of_package("langchain_openai.base", "OpenAIEmbeddings")
    embeddings = kind(model="m", client=client)
    assert EmbeddingsStart(embeddings, None, None).read().attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "server.address": "10.0.0.7",
        "server.port": 81,
    }
    elsewhere = kind(model="m", openai_api_base="http://10.0.0.8/v1")
    assert EmbeddingsStart(elsewhere, None, None).read().server_address == "10.0.0.8"


def test_nothing_is_made_up() -> None:
    """Embeddings that say nothing of themselves are an operation without a name."""
    request = EmbeddingsStart(Plain(), None, None).read()
    assert request.attributes == {"gen_ai.operation.name": "embeddings"}
    response = embeddings_response(([], None))
    assert (response.usage, response.attributes) == (None, {})


def test_usage_of_several_answers_is_summed() -> None:
    """A long list of texts is several requests to the provider."""
    usage = SimpleNamespace(prompt_tokens=3)
    answers = [
        Answer({"encoding_format": "float"}, SimpleNamespace(usage=usage, model="m-1")),
        Answer({}, {"usage": {"prompt_tokens": 4}, "model": "m-1"}),
        Answer({}, {"usage": None}),
    ]
    response = embeddings_response((answers, [[0.1, 0.2], [0.3, 0.4]]))
    assert response.usage == Usage(7)
    assert response.model == "m-1"
    assert response.attributes == {
        "gen_ai.embeddings.dimension.count": 2,
        "gen_ai.request.encoding_formats": ("float",),
    }


def test_a_raw_response_is_parsed() -> None:
    """``with_raw_response`` gives the answer in a wrapping."""
    raw = SimpleNamespace(parse=lambda: {"usage": {"prompt_tokens": 5}, "model": "m"})
    response = embeddings_response(([Answer({}, raw)], [0.5]))
    assert response.usage == Usage(5)
    assert response.attributes["gen_ai.embeddings.dimension.count"] == 1


def test_what_others_hold_is_found() -> None:
    """A cache around embeddings asks nobody; a ring of them ends somewhere."""
    inner = Plain(model="m")
    assert held(inner) is None
    assert leaf(Plain(cache={}, underlying=Plain(inner=inner))) is inner
    ring = Plain()
    ring.__dict__["inner"] = ring
    assert leaf(ring) is ring


def test_an_attribute_is_read_without_its_class() -> None:
    """A proxy may run the app's own code then, and fail outside of its request."""

    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise RuntimeError

    inner = Plain()
    assert held(Plain(proxy=Proxy())) is None
    assert held(Plain(proxy=Proxy(), inner=inner)) is inner


ASKED: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["Tulips."]}


@pytest.fixture
def noted() -> Iterator[list[Answer]]:
    """Note the answers of this test."""
    _wrap()
    found: list[Answer] = []
    before = answers.set(found)
    yield found
    answers.reset(before)
    _unwrap()


async def test_answers_are_noted(noted: list[Answer], server: FakeOpenAI) -> None:
    """Of both clients, and of the raw response too."""
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test") as client:
        answer = client.embeddings.create(**ASKED)
        raw = client.embeddings.with_raw_response.create(**ASKED)
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-test") as later:
        async_answer = await later.embeddings.create(**ASKED)
    assert [answer.response for answer in noted] == [answer, raw, async_answer]
    assert noted[0].options == ASKED


def test_outside_of_a_span_nothing_is_noted(server: FakeOpenAI) -> None:
    """The method then does what it did."""
    _wrap()
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test") as client:
        assert client.embeddings.create(**ASKED).usage.prompt_tokens > 0
    assert answers.get() is None
    _unwrap()


def test_it_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice is once; what others have put around it since stays."""
    _unwrap()
    original = vars(Client)["create"]
    _wrap()
    wrapped = vars(Client)["create"]
    _wrap()
    assert vars(Client)["create"] is wrapped
    _unwrap()
    _unwrap()
    assert vars(Client)["create"] is original
    others = functools.partialmethod(original)
    monkeypatch.setattr(Client, "create", others)
    _unwrap()
    assert vars(Client)["create"] is others


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported for it."""
    monkeypatch.delitem(sys.modules, "openai.resources.embeddings")
    _wrap()
    _unwrap()
    assert "openai.resources.embeddings" not in sys.modules


def test_a_wrapper_with_our_mark_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """functools.wraps copies the mark; what carries it only so is somebody else's."""
    _wrap()
    ours = vars(Client)["create"]

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    monkeypatch.setattr(Client, "create", theirs)
    _unwrap()
    assert vars(Client)["create"] is theirs
    monkeypatch.undo()
    _unwrap()
