"""The replies of the demo's fake provider: text, delays, errors, tool calls."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from otel_callbacks.testing import FakeOpenAI, Reply, Tokens, ToolCall, answer_to
from otel_callbacks.testing.replies import count_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_callbacks.testing import Received
    from otel_callbacks.testing.replies import Answer

# ruff: noqa: RUF001 -- Chinese text has Chinese punctuation


Replies = Mapping[str, str]
"""Answers by question."""

SHOPKEEPER: Final = (
    "You work in a flower shop. Answer in the customer's language, in one sentence."
)
ASKED: Final[Replies] = {
    "玫瑰花束多少钱？": "红玫瑰十二枝，一百九十九元。",
    "Which flowers are in season?": "Peonies and sweet peas, until the end of June.",
    "送到中环要多久？": "两小时内送到，满三百元免运费。",
    "Do lilies need much light?": "Bright light, but no sun at noon.",
    "牡丹什么时候开？": "四月下旬到五月，花期约二十天。",
    "What goes well with sunflowers?": "Thistles, eucalyptus and a little grass.",
}
"""Everyday questions."""
POEMS: Final[Replies] = {
    "写一句关于郁金香的诗。": "春风捧起郁金香，一杯霞光不肯放。",
    "One line about tulips, please.": "Tulips hold up small cups of morning.",
    "A line for a wedding card?": "May every year bloom like this first day.",
}
"""Questions with a streamed answer."""
PRICES: Final[Replies] = {
    "一束红玫瑰多少钱？": "一束红玫瑰二十九欧元。",
    "How much is a bunch of tulips?": "A bunch of tulips is 19 euros.",
}
"""Questions that need a tool call."""
BUSY: Final[Replies] = {
    "今天还有向日葵吗？": "还有十枝，给您留着。",
    "Any sunflowers left today?": "Ten stems, and they are yours.",
}
"""Questions whose first attempt gets a 429."""
IMPATIENT: Final[Replies] = {
    "请推荐二十种婚礼用花。": "玫瑰、牡丹、芍药……",
    "List twenty wedding flowers.": "Roses, peonies, ranunculus ...",
}
"""Questions of customers who cancel."""
REPEATED: Final[Replies] = {
    "几点关门？": "晚上八点，周日六点。",
    "When do you close?": "At eight, on Sundays at six.",
}
"""Questions for the cache."""
TOO_LONG: Final = ("Here is the whole herbarium:", "这是整本花卉图鉴：")
"""Beginnings of prompts that are too long."""

ORDERS: Final[Replies] = {
    "我要一束红玫瑰，有货吗？": "红玫瑰二十九欧元，有货。",
    "A bunch of tulips, if you have some.": "Tulips are 19 euros, and there are some.",
    "Black orchids for Friday, please.": "There are no black orchids; lilies are 24.",
}
"""Orders for an agent, which calls tools for price and stock."""
CARE: Final[Replies] = {
    "百合怎么养护？": "明亮散射光，水少量多次。",
    "How do I keep tulips fresh?": "Cold water, a fresh cut, and no fruit beside them.",
}
"""Questions answered by retrieval."""

ANSWERS: Final[Replies] = {
    **ASKED,
    **POEMS,
    **PRICES,
    **BUSY,
    **IMPATIENT,
    **REPEATED,
    **ORDERS,
    **CARE,
}
"""All questions and their answers."""


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
        return Reply(delay=_NEVER_SECONDS, text=ANSWERS[received.text])

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
        (BUSY, busy),
        (IMPATIENT, never),
        (ORDERS, lambda received: calling(received, "price_of", "in_stock")),
        (TOO_LONG, too_long),
    )
    for questions, answer in answers:
        for question in questions:
            provider.when(question, answer)


def _usual(received: Received, seed: int) -> Reply:
    """Answer a question after the model's usual delay."""
    chance = _chance(received, seed)
    text = ANSWERS.get(received.text) or answer_to(received.text)
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
