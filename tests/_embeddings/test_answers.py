"""The one method of OpenAI's client that is wrapped, and what it notes."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.resources.embeddings import Embeddings

from otel_callbacks._embeddings.answers import answers, unwrap_clients, wrap_clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._embeddings.reader import Answer
    from otel_callbacks.testing import FakeOpenAI

ASKED: dict[str, Any] = {"model": "text-embedding-3-small", "input": ["Tulips."]}


@pytest.fixture
def noted() -> Iterator[list[Answer]]:
    """Note the answers of this test."""
    wrap_clients()
    found: list[Answer] = []
    before = answers.set(found)
    yield found
    answers.reset(before)
    unwrap_clients()


async def test_answers_are_noted(noted: list[Answer], server: FakeOpenAI) -> None:
    """Of both clients, and of the raw response too."""
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test") as client:
        told = client.embeddings.create(**ASKED)
        raw = client.embeddings.with_raw_response.create(**ASKED)
    async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-test") as later:
        told_later = await later.embeddings.create(**ASKED)
    assert [answer.response for answer in noted] == [told, raw, told_later]
    assert noted[0].asked == ASKED


def test_outside_of_a_span_nothing_is_noted(server: FakeOpenAI) -> None:
    """The method then does what it did."""
    wrap_clients()
    with openai.OpenAI(base_url=server.base_url, api_key="sk-test") as client:
        assert client.embeddings.create(**ASKED).usage.prompt_tokens > 0
    assert answers.get() is None
    unwrap_clients()


def test_it_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice is once; what others have put around it since stays."""
    unwrap_clients()
    original = vars(Embeddings)["create"]
    wrap_clients()
    wrapped = vars(Embeddings)["create"]
    wrap_clients()
    assert vars(Embeddings)["create"] is wrapped
    unwrap_clients()
    unwrap_clients()
    assert vars(Embeddings)["create"] is original
    others = functools.partialmethod(original)
    monkeypatch.setattr(Embeddings, "create", others)
    unwrap_clients()
    assert vars(Embeddings)["create"] is others


def test_without_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported for it."""
    monkeypatch.delitem(sys.modules, "openai.resources.embeddings")
    wrap_clients()
    unwrap_clients()
    assert "openai.resources.embeddings" not in sys.modules


def test_a_wrapper_with_our_mark_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """functools.wraps copies the mark; what carries it only so is somebody else's."""
    wrap_clients()
    ours = vars(Embeddings)["create"]

    @functools.wraps(ours)
    def theirs(*args: Any, **kwargs: Any) -> Any:
        return ours(*args, **kwargs)

    monkeypatch.setattr(Embeddings, "create", theirs)
    unwrap_clients()
    assert vars(Embeddings)["create"] is theirs
    monkeypatch.undo()
    unwrap_clients()
