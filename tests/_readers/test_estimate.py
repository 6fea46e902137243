"""What a prompt may cost, before the provider has counted it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI

from otel_callbacks._readers.estimate import input_tokens

if TYPE_CHECKING:
    from otel_callbacks.testing import FakeOpenAI


@pytest.mark.parametrize(
    ("payload", "tokens"),
    [
        ("", 1),
        ("a b c d", 4),
        ("x" * 400, 100),
        ("玫瑰", 2),
        ([HumanMessage("x" * 40)], 14),
        ([SystemMessage("abcd"), HumanMessage("玫瑰花")], 12),
        ([HumanMessage([{"type": "text", "text": "abcdefgh"}])], 6),
        (None, 1),
        ([object()], 1),
    ],
)
def test_estimates(payload: object, tokens: int) -> None:
    """A token for four Latin letters or a word, and for each other character."""
    assert input_tokens(payload) == tokens


class Hostile(HumanMessage):
    """A message that cannot be read."""

    @property
    def text(self) -> str:  # type: ignore[override]
        """Fail."""
        raise ValueError


def test_what_cannot_be_read_is_one() -> None:
    """An estimate never fails."""
    assert input_tokens([Hostile("x")]) == 1


@pytest.mark.parametrize("text", ["a " * 40, "红玫瑰" * 100, "How much is a bouquet?"])
def test_estimates_are_not_below_the_count(server: FakeOpenAI, text: str) -> None:
    """The shipped provider counts no more than was reserved."""
    llm = ChatOpenAI(model="gpt-4o-mini", base_url=server.base_url, api_key="x")  # type: ignore[arg-type]
    told = llm.invoke(text).usage_metadata
    assert told is not None
    assert told["input_tokens"] <= input_tokens([HumanMessage(text)])
