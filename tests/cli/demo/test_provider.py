from __future__ import annotations

from typing import Any

from otel_callbacks.cli.demo import provider as demo_provider
from otel_callbacks.cli.demo import provider as words
from otel_callbacks.testing import FakeOpenAI, Received, Reply


def _reply(question: str, model: str = "gpt-4o-mini", **fields: Any) -> Reply:
    """Return how the taught provider answers a question."""
    headers = fields.pop("headers", {})
    provider = FakeOpenAI()
    demo_provider.teach(provider, seed=7)
    messages = [{"role": "user", "content": question}, *fields.pop("further", [])]
    json = {"model": model, "messages": messages, **fields}
    return provider._script.reply(Received.of("/v1/chat/completions", json, headers))


def test_the_same_seed_gives_the_same_answer() -> None:
    """Text, delay and tokens, whatever was asked before."""
    question = next(iter(words.ASKED))
    assert _reply(question) == _reply(question)
    assert _reply(question).text == words.ASKED[question]
    assert _reply("Something else?").text


def test_a_reasoning_model_spends_tokens_on_it() -> None:
    """They are part of its output."""
    usage = _reply(next(iter(words.ASKED)), "gpt-5-mini").usage
    assert usage is not None
    assert 0 < usage.reasoning < usage.output


def test_a_busy_provider_answers_the_second_attempt() -> None:
    """The client's own header says which attempt it is."""
    question = next(iter(words.BUSY))
    assert _reply(question).status == 429
    again = _reply(question, headers={"x-stainless-retry-count": "1"})
    assert (again.status, again.text) == (200, words.BUSY[question])


def test_the_price_list_is_asked_for_once() -> None:
    """A tool call first, the answer after its result."""
    question = next(iter(words.PRICES))
    asked = _reply(question, tools=[{}])
    assert [call.name for call in asked.tool_calls] == ["price_of"]
    result = {"role": "tool", "content": "29 EUR"}
    assert _reply(question, tools=[{}], further=[result]).tool_calls == ()


def test_some_questions_are_not_answered() -> None:
    """One takes too long, one is too long."""
    assert _reply(next(iter(words.IMPATIENT))).delay > 10
    assert _reply(f"{words.TOO_LONG[0]} Rosa").error[1] == "context_length_exceeded"


def test_prices_are_known_in_both_languages() -> None:
    """With a usual price for the rest."""
    prices = [demo_provider.price_of(name) for name in ("红玫瑰", "Tulips", "fern")]
    assert prices == [29, 19, 22]
