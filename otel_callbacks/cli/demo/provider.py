"""The replies of the demo's fake provider: text, delays, errors, tool calls."""

from __future__ import annotations

import random
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens, ToolCall, answer_to
from otel_callbacks.testing.replies import count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_callbacks.testing import Received
    from otel_callbacks.testing.replies import Answer

_FILE: Final = Path(__file__).with_name("answers.toml")
_TEXTS: Final = tomllib.loads(_FILE.read_text(encoding="utf-8"))
INSTRUCTIONS: Final[str] = _TEXTS.pop("instructions")
"""The system message of each call."""
TOO_LONG: Final[list[str]] = _TEXTS.pop("too_long")
"""Beginnings of prompts that are too long."""
ANSWERS: Final[dict[str, dict[str, str]]] = _TEXTS
"""Kind of question -> answers by question."""
_ANSWER_TO: Final = {
    question: answer for group in ANSWERS.values() for question, answer in group.items()
}

# Model -> shortest and longest time to the first byte, in seconds.
_SECONDS: Final = {
    "gpt-4o-mini": (0.25, 0.6),
    "gpt-5-mini": (0.7, 1.2),
    "qwen-plus": (0.35, 0.8),
}
_USUAL_SECONDS: Final = (0.3, 0.7)
_REASONING: Final = {"gpt-5-mini": (16, 64)}
_CHUNK_SECONDS: Final = (0.02, 0.06)
_RETRY_SECONDS: Final = 0.25
_NEVER_SECONDS: Final = 30.0
_PRICES: Final = {"玫瑰": 29, "rose": 29, "tulip": 19, "lily": 24}
# OpenAI's clients send the number of retries in this header.
_ATTEMPT: Final = "x-stainless-retry-count"


def price_of(flower: str) -> int:
    """Return the price of a bunch, in euros."""
    known = [price for name, price in _PRICES.items() if name in flower.lower()]
    return known[0] if known else 22


def teach(provider: FakeOpenAI, seed: int) -> None:
    """Register the demo's replies; the same seed gives the same replies."""
    usual = partial(_usual, seed=seed)

    def busy(received: Received) -> Reply:
        if received.headers.get(_ATTEMPT, "0") == "0":
            return Reply.failing(429, retry_after=_RETRY_SECONDS, delay=0.1)
        return usual(received)

    def calling(received: Received, *tools: str) -> Reply:
        if received.after_tool:
            return usual(received)
        flower = {"flower": received.text}
        calls = tuple(ToolCall(name, flower) for name in tools)
        return Reply(tool_calls=calls, delay=_seconds(received, seed))

    def never(received: Received) -> Reply:
        return Reply(delay=_NEVER_SECONDS, text=_ANSWER_TO[received.text])

    too_long = Reply.failing(
        400,
        code="context_length_exceeded",
        message="The prompt is longer than the model's context.",
        delay=0.15,
    )
    provider.when(lambda _: True, usual)
    provider.when(
        lambda received: "tools" in received.json,
        lambda received: calling(received, "price_of"),
    )
    answers: tuple[tuple[Iterable[str], Answer], ...] = (
        (ANSWERS["busy"], busy),
        (ANSWERS["impatient"], never),
        (ANSWERS["orders"], lambda received: calling(received, "price_of", "in_stock")),
        (TOO_LONG, too_long),
    )
    for questions, answer in answers:
        for question in questions:
            provider.when(question, answer)


def _usual(received: Received, seed: int) -> Reply:
    """Answer a question after the model's usual delay."""
    chance = _chance(received, seed)
    text = _ANSWER_TO.get(received.text) or answer_to(received.text)
    reasoning = 0
    if received.model in _REASONING:
        reasoning = chance.randint(*_REASONING[received.model])
    return Reply(
        text,
        usage=Tokens(
            received.prompt_tokens, count_tokens(text) + reasoning, reasoning=reasoning
        ),
        delay=_seconds(received, seed),
        chunk_delay=chance.uniform(*_CHUNK_SECONDS),
    )


def _seconds(received: Received, seed: int) -> float:
    """Return a model's time to the first byte, in seconds."""
    shortest, longest = _SECONDS.get(received.model, _USUAL_SECONDS)
    return _chance(received, seed).uniform(shortest, longest)


def _chance(received: Received, seed: int) -> random.Random:
    """Return a generator seeded by seed, model and question, whatever their order."""
    return random.Random(f"{seed}/{received.model}/{received.text}")  # noqa: S311
