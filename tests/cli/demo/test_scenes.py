from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest
from langchain_openai import ChatOpenAI

from otel_callbacks.cli.demo import scenes as demo_scenes
from otel_callbacks.cli.demo.scenes import (
    ANSWERS,
    MODELS,
    SCENES,
    TOO_LONG,
    Scene,
    Shop,
)
from otel_callbacks.cli.picture.sums import Sums, compared, counted
from otel_callbacks.testing import FakeOpenAI, Received, Reply, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks.testing import Capture

_BY_NAME = {scene.name: scene for scene in SCENES}


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    """Return the demo's provider with short delays."""
    monkeypatch.setattr(demo_scenes, "_SECONDS", {})
    monkeypatch.setattr(demo_scenes, "_USUAL_SECONDS", (0.01, 0.02))
    monkeypatch.setattr(demo_scenes, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(demo_scenes, "_PATIENCE_SECONDS", 0.2)
    with FakeOpenAI() as running:
        demo_scenes.teach(running, seed=1)
        yield running


@pytest.fixture
def telemetry() -> Iterator[Capture]:
    """Return a fresh capture."""
    with capture() as captured:
        yield captured


def _shop(provider: FakeOpenAI, telemetry: Capture) -> Shop:
    """Return a shop with this provider."""

    def model(name: str, **arguments: object) -> ChatOpenAI:
        settings = {"base_url": provider.base_url, "api_key": "none"}
        return ChatOpenAI(
            model=name,
            callbacks=[telemetry.handler],
            **{"max_retries": 0, **settings, **arguments},  # type: ignore[arg-type]
        )

    chance = random.Random(1)  # noqa: S311 -- no secrets here
    return Shop(model, MODELS, [telemetry.handler], Sums(), chance)


@pytest.mark.parametrize(
    ("name", "results", "calls"),
    [
        ("three-customers", 3, {"ok": 3}),
        ("poem", 1, {"ok": 1}),
        ("price-check", 2, {"ok": 2}),
        ("rush-hour", 1, {"ok": 1}),
        ("hung-up", 1, {"cancelled": 1}),
        ("asked-twice", 2, {"ok": 1, "cache_hit": 1}),
        ("too-long", 1, {"error": 1}),
        ("order", 2, {"ok": 2}),
        ("care", 1, {"ok": 1}),
    ],
)
async def test_a_scene_has_the_expected_outcomes(
    provider: FakeOpenAI,
    telemetry: Capture,
    name: str,
    results: int,
    calls: dict[str, int],
) -> None:
    """The counters match the results."""
    shop = _shop(provider, telemetry)
    exchanges = await _BY_NAME[name].play(shop)
    while telemetry.value("otel_callbacks_open_runs"):
        await asyncio.sleep(0.01)
    assert len(exchanges) == results
    assert all(question and answer for question, answer in exchanges)
    outcomes: dict[str, int] = {}
    for (_, outcome), total in shop.till.items():
        outcomes[outcome] = outcomes.get(outcome, 0) + total.calls
    assert outcomes == calls
    assert all(one.equal for one in compared(counted(telemetry.registry), shop.till))


async def test_a_retry_is_two_requests(
    provider: FakeOpenAI, telemetry: Capture
) -> None:
    """The client retries after the 429."""
    await _BY_NAME["rush-hour"].play(_shop(provider, telemetry))
    assert len(provider.requests) == 2


async def test_a_model_may_answer_without_a_tool_call(
    provider: FakeOpenAI, telemetry: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real model may answer at once."""
    monkeypatch.setitem(demo_scenes.ANSWERS, "prices", {"No price?": "None."})
    provider.when("No price?", lambda _: demo_scenes.Reply("None."))
    exchanges = await _BY_NAME["price-check"].play(_shop(provider, telemetry))
    assert exchanges == [("No price?", "None.")]


@pytest.mark.parametrize("name", ["too-long", "hung-up"])
async def test_an_unexpected_success_is_counted_as_one(
    provider: FakeOpenAI,
    telemetry: Capture,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The sums still match."""
    monkeypatch.setattr(demo_scenes, "_PATIENCE_SECONDS", 60)
    provider.when(lambda _: True, lambda _: demo_scenes.Reply("Yes."))
    shop = _shop(provider, telemetry)
    await _BY_NAME[name].play(shop)
    assert all(one.equal for one in compared(counted(telemetry.registry), shop.till))


def test_scenes_have_unique_names() -> None:
    """The names are span names."""
    assert len(_BY_NAME) == len(SCENES)
    assert SCENES[0].name == "three-customers"
    assert all(isinstance(scene, Scene) for scene in SCENES)


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
