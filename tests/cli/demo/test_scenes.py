from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from langchain_openai import ChatOpenAI

from otel_callbacks.cli.demo import scenes as demo_scenes
from otel_callbacks.cli.demo.scenes import MODELS, SCENES, Scene, Shop
from otel_callbacks.cli.picture.sums import Till, compared, counted
from otel_callbacks.testing import FakeOpenAI, capture

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
    return Shop(model, MODELS, [telemetry.handler], Till(), chance)


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
    for (_, outcome), total in shop.till.sums.items():
        outcomes[outcome] = outcomes.get(outcome, 0) + total.calls
    assert outcomes == calls
    assert all(
        one.equal for one in compared(counted(telemetry.registry), shop.till.sums)
    )


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
    assert all(
        one.equal for one in compared(counted(telemetry.registry), shop.till.sums)
    )


def test_scenes_have_unique_names() -> None:
    """The names are span names."""
    assert len(_BY_NAME) == len(SCENES)
    assert SCENES[0].name == "three-customers"
    assert all(isinstance(scene, Scene) for scene in SCENES)
