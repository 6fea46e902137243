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

from otel_callbacks import TracedEmbeddings, uninstrument

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture, FakeOpenAI

    Embed = Callable[..., dict[str, Any]]


@pytest.fixture
def embed(telemetry: Capture, start: Any) -> Embed:
    """Return what embeds a text, traced, and returns the span."""
    del start

    def embed(model: Embeddings) -> dict[str, Any]:
        TracedEmbeddings(model, handler=telemetry.handler).embed_query("Tulips.")
        (span,) = telemetry.spans
        telemetry.clear()
        return span

    return embed


@pytest.fixture
def answered(embed: Embed, monkeypatch: pytest.MonkeyPatch) -> Embed:
    """Return what embeds by requests with these answers, and returns the attributes."""

    def create(_: object, *, response: object, **__: object) -> object:
        return response

    monkeypatch.setattr(Client, "create", create)

    class Asking(Plain):
        def embed_query(self, text: str) -> list[float]:
            client: Any = Client
            for options, response in self.__dict__["answers"]:
                client.create(None, response=response, **options)
            return [float(len(text)), 0.5]

    def report(*answers: tuple[dict[str, Any], object]) -> dict[str, Any]:
        attributes: dict[str, Any] = embed(Asking(answers=answers))["attributes"]
        return attributes

    return report


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
def test_the_provider_comes_from_the_class(
    kind: type[Plain], provider: str, embed: Embed
) -> None:
    """By a table, else by the package that LangChain's providers have each."""
    attributes = embed(kind(model="m"))["attributes"]
    found = attributes.get("gen_ai.provider.name", "")
    assert found.replace(".ai.openai", "") == provider


def test_the_address_is_the_one_that_the_client_asks(embed: Embed) -> None:
    """What the client was really made with counts more than the model's arguments."""
    client = SimpleNamespace(_client=SimpleNamespace(base_url="http://10.0.0.7:81/v1"))
    kind = of_package("langchain_openai.base", "OpenAIEmbeddings")
    embeddings = kind(model="m", client=client)
    assert embed(embeddings)["attributes"] == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.embeddings.dimension.count": 1,
        "server.address": "10.0.0.7",
        "server.port": 81,
    }
    elsewhere = kind(model="m", openai_api_base="http://10.0.0.8/v1")
    assert embed(elsewhere)["attributes"]["server.address"] == "10.0.0.8"


def test_nothing_is_made_up(telemetry: Capture) -> None:
    """Embeddings that say nothing of themselves are an operation without a name."""
    TracedEmbeddings(Plain(), handler=telemetry.handler).embed_documents([])
    assert telemetry.span("embeddings")["attributes"] == {
        "gen_ai.operation.name": "embeddings"
    }


def test_usage_of_several_answers_is_summed(answered: Embed) -> None:
    """A long list of texts is several requests to the provider."""
    usage = SimpleNamespace(prompt_tokens=3)
    attributes = answered(
        ({"encoding_format": "float"}, SimpleNamespace(usage=usage, model="m-1")),
        ({}, {"usage": {"prompt_tokens": 4}, "model": "m-1"}),
        ({}, {"usage": None}),
    )
    assert attributes == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.response.model": "m-1",
        "gen_ai.embeddings.dimension.count": 2,
        "gen_ai.request.encoding_formats": ("float",),
    }


def test_a_raw_response_is_parsed(answered: Embed) -> None:
    """``with_raw_response`` gives the answer in a wrapping."""
    raw = SimpleNamespace(parse=lambda: {"usage": {"prompt_tokens": 5}, "model": "m"})
    attributes = answered(({}, raw))
    assert attributes["gen_ai.usage.input_tokens"] == 5
    assert attributes["gen_ai.response.model"] == "m"


def test_what_others_hold_is_found(embed: Embed) -> None:
    """The embeddings below all wrappers are named; a ring of them ends somewhere."""
    inner = Plain(model="m")
    around = Plain(cache={}, underlying=Plain(inner=inner, model="b"), model="c")
    assert embed(around)["name"] == "embeddings m"
    for number in range(7):
        around = Plain(inner=around, model=f"d{number}")
    assert embed(around)["name"] == "embeddings b"
    ring = Plain(model="ring")
    ring.__dict__["inner"] = ring
    assert embed(ring)["name"] == "embeddings ring"


def test_an_attribute_is_read_without_its_class(embed: Embed) -> None:
    """A proxy may run the app's own code then, and fail outside of its request."""

    class Proxy:
        @property  # type: ignore[misc]
        def __class__(self) -> Any:
            raise RuntimeError

    inner = Plain(model="m")
    assert embed(Plain(proxy=Proxy(), model="p"))["name"] == "embeddings p"
    assert embed(Plain(proxy=Proxy(), inner=inner))["name"] == "embeddings m"


ASKED: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["Tulips."]}


class Direct(Plain):
    """Calls OpenAI's clients itself."""

    def embed_query(self, text: str) -> list[float]:
        """Ask the client, twice."""
        with openai.OpenAI(base_url=self.__dict__["url"], api_key="sk-test") as client:
            client.embeddings.create(**ASKED)
            client.embeddings.with_raw_response.create(**ASKED)
        return [float(len(text))]

    async def aembed_query(self, text: str) -> list[float]:
        """Ask the async client."""
        url = self.__dict__["url"]
        async with openai.AsyncOpenAI(base_url=url, api_key="sk-test") as client:
            await client.embeddings.create(**ASKED)
        return [float(len(text))]


@pytest.mark.usefixtures("start")
async def test_answers_are_noted(server: FakeOpenAI, telemetry: Capture) -> None:
    """Of both clients, and of the raw response too."""
    traced = TracedEmbeddings(Direct(url=server.base_url), handler=telemetry.handler)
    traced.embed_query("Tulips.")
    twice = server.total_usage.input
    await traced.aembed_query("Tulips.")
    tokens = [
        span["attributes"]["gen_ai.usage.input_tokens"] for span in telemetry.spans
    ]
    assert tokens == [twice, server.total_usage.input - twice]
    assert all(tokens)


def test_outside_of_a_span_nothing_is_noted(
    server: FakeOpenAI, telemetry: Capture, wrap: Any
) -> None:
    """The method then does what it did."""
    wrap()
    telemetry.clear()
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test") as client:
        assert client.embeddings.create(**ASKED).usage.prompt_tokens > 0
    assert telemetry.spans == []


@pytest.fixture
def wrap(start: Any) -> Callable[[], None]:
    """Return what wraps the methods of OpenAI's clients: the first embeddings."""

    def wrap() -> None:
        start()
        Plain().embed_query("Tulips.")

    return wrap


def test_it_is_undone(monkeypatch: pytest.MonkeyPatch, wrap: Any) -> None:
    """Twice is once; what others have put around it since stays."""
    uninstrument()
    original = vars(Client)["create"]
    wrap()
    wrapped = vars(Client)["create"]
    wrap()
    assert vars(Client)["create"] is wrapped
    uninstrument()
    uninstrument()
    assert vars(Client)["create"] is original
    others = functools.partialmethod(original)
    monkeypatch.setattr(Client, "create", others)
    uninstrument()
    assert vars(Client)["create"] is others


def test_without_the_client(monkeypatch: pytest.MonkeyPatch, wrap: Any) -> None:
    """Nothing is imported for it."""
    monkeypatch.delitem(sys.modules, "openai.resources.embeddings")
    wrap()
    uninstrument()
    assert "openai.resources.embeddings" not in sys.modules


def test_a_wrapper_with_our_mark_stays(
    monkeypatch: pytest.MonkeyPatch, wrap: Any
) -> None:
    """functools.wraps copies the mark; what carries it only so is somebody else's."""
    wrap()
    ours = vars(Client)["create"]

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    monkeypatch.setattr(Client, "create", theirs)
    uninstrument()
    assert vars(Client)["create"] is theirs
    monkeypatch.undo()
    uninstrument()
