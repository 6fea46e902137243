from __future__ import annotations

from typing import Any

from otel_callbacks.cli.demo import provider as demo_provider
from otel_callbacks.cli.demo import provider as replies
from otel_callbacks.testing import FakeOpenAI, Received, Reply


def _reply(question: str, model: str = "gpt-4o-mini", **fields: Any) -> Reply:
    """Return the demo provider's reply to a question."""
    headers = fields.pop("headers", {})
    provider = FakeOpenAI()
    demo_provider.teach(provider, seed=7)
    messages = [{"role": "user", "content": question}, *fields.pop("further", [])]
    json = {"model": model, "messages": messages, **fields}
    return provider._script.reply(Received.of("/v1/chat/completions", json, headers))


def test_the_same_seed_gives_the_same_answer() -> None:
    """Text, delay and tokens are independent of earlier requests."""
    question = next(iter(replies.ASKED))
    assert _reply(question) == _reply(question)
    assert _reply(question).text == replies.ASKED[question]
    assert _reply("Something else?").text


def test_a_reasoning_model_spends_tokens_on_it() -> None:
    """They are part of the output tokens."""
    usage = _reply(next(iter(replies.ASKED)), "gpt-5-mini").usage
    assert usage is not None
    assert 0 < usage.reasoning < usage.output


def test_a_busy_provider_answers_the_second_attempt() -> None:
    """The client's header has the number of the retry."""
    question = next(iter(replies.BUSY))
    assert _reply(question).status == 429
    again = _reply(question, headers={"x-stainless-retry-count": "1"})
    assert (again.status, again.text) == (200, replies.BUSY[question])


def test_the_price_tool_is_called_once() -> None:
    """The first reply is a tool call; the next, after its result, is text."""
    question = next(iter(replies.PRICES))
    asked = _reply(question, tools=[{}])
    assert [call.name for call in asked.tool_calls] == ["price_of"]
    result = {"role": "tool", "content": "29 EUR"}
    assert _reply(question, tools=[{}], further=[result]).tool_calls == ()


def test_some_questions_are_not_answered() -> None:
    """One reply is too slow, one prompt is too long."""
    assert _reply(next(iter(replies.IMPATIENT))).delay > 10
    assert _reply(f"{replies.TOO_LONG[0]} Rosa").error[1] == "context_length_exceeded"


def test_prices_are_known_in_both_languages() -> None:
    """Other flowers have a default price."""
    prices = [demo_provider.price_of(name) for name in ("红玫瑰", "Tulips", "fern")]
    assert prices == [29, 19, 22]
