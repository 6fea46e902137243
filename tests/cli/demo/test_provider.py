from __future__ import annotations

from typing import Any

from otel_callbacks.cli.demo import scenes as demo_scenes
from otel_callbacks.cli.demo.scenes import ANSWERS, TOO_LONG
from otel_callbacks.testing import FakeOpenAI, Received, Reply


def _reply(question: str, model: str = "gpt-4o-mini", **fields: Any) -> Reply:
    """Return the demo provider's reply to a question."""
    headers = fields.pop("headers", {})
    provider = FakeOpenAI()
    demo_scenes.teach(provider, seed=7)
    messages = [{"role": "user", "content": question}, *fields.pop("further", [])]
    json = {"model": model, "messages": messages, **fields}
    # Over HTTP the delay of a reply could not be compared.
    return provider._reply(Received.of("/v1/chat/completions", json, headers))


def test_the_same_seed_gives_the_same_answer() -> None:
    """Text, delay and tokens are independent of earlier requests."""
    question = next(iter(ANSWERS["asked"]))
    assert _reply(question) == _reply(question)
    assert _reply(question).text == ANSWERS["asked"][question]
    assert _reply("Something else?").text


def test_a_reasoning_model_spends_tokens_on_it() -> None:
    """They are part of the output tokens."""
    usage = _reply(next(iter(ANSWERS["asked"])), "gpt-5-mini").usage
    assert usage is not None
    assert 0 < usage.reasoning < usage.output


def test_a_busy_provider_answers_the_second_attempt() -> None:
    """The client's header has the number of the retry."""
    question = next(iter(ANSWERS["busy"]))
    assert _reply(question).status == 429
    again = _reply(question, headers={"x-stainless-retry-count": "1"})
    assert (again.status, again.text) == (200, ANSWERS["busy"][question])


def test_the_price_tool_is_called_once() -> None:
    """The first reply is a tool call; the next, after its result, is text."""
    question = next(iter(ANSWERS["prices"]))
    asked = _reply(question, tools=[{}])
    assert [call.name for call in asked.tool_calls] == ["price_of"]
    result = {"role": "tool", "content": "29 EUR"}
    assert _reply(question, tools=[{}], further=[result]).tool_calls == ()


def test_some_questions_are_not_answered() -> None:
    """One reply is too slow, one prompt is too long."""
    assert _reply(next(iter(ANSWERS["impatient"]))).delay > 10
    assert _reply(f"{TOO_LONG[0]} Rosa").error[1] == "context_length_exceeded"


def test_prices_are_known_in_both_languages() -> None:
    """Other flowers have a default price."""
    flowers = ("红玫瑰", "Tulips", "fern")
    prices = [demo_scenes.price_of.invoke({"flower": name}) for name in flowers]
    assert prices == ["29 EUR", "19 EUR", "22 EUR"]


def test_every_question_has_an_answer_in_its_own_language() -> None:
    """No question is in two groups."""
    pairs = [pair for group in ANSWERS.values() for pair in group.items()]
    assert len(dict(pairs)) == len(pairs)
    for question, answer in pairs:
        assert question.isascii() == answer.isascii()


def test_questions_are_in_both_languages() -> None:
    """Some are in Chinese, some in English."""
    for questions in (*ANSWERS.values(), TOO_LONG):
        assert {one.isascii() for one in questions} == {True, False}
