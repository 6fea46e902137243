"""What the flower shop's customers ask, and what they are told."""

# ruff: noqa: RUF001 -- Chinese text has Chinese signs

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Words = Mapping[str, str]
"""Questions and their answers."""

SHOPKEEPER: Final = (
    "You work in a flower shop. Answer in the customer's language, in one sentence."
)
ASKED: Final[Words] = {
    "玫瑰花束多少钱？": "红玫瑰十二枝，一百九十九元。",
    "Which flowers are in season?": "Peonies and sweet peas, until the end of June.",
    "送到中环要多久？": "两小时内送到，满三百元免运费。",
    "Do lilies need much light?": "Bright light, but no sun at noon.",
    "牡丹什么时候开？": "四月下旬到五月，花期约二十天。",
    "What goes well with sunflowers?": "Thistles, eucalyptus and a little grass.",
}
"""Everyday questions."""
POEMS: Final[Words] = {
    "写一句关于郁金香的诗。": "春风捧起郁金香，一杯霞光不肯放。",
    "One line about tulips, please.": "Tulips hold up small cups of morning.",
    "A line for a wedding card?": "May every year bloom like this first day.",
}
"""Asked for a stream."""
PRICES: Final[Words] = {
    "一束红玫瑰多少钱？": "一束红玫瑰二十九欧元。",
    "How much is a bunch of tulips?": "A bunch of tulips is 19 euros.",
}
"""Answered with the help of a tool."""
BUSY: Final[Words] = {
    "今天还有向日葵吗？": "还有十枝，给您留着。",
    "Any sunflowers left today?": "Ten stems, and they are yours.",
}
"""Asked when the provider has too much to do."""
IMPATIENT: Final[Words] = {
    "请推荐二十种婚礼用花。": "玫瑰、牡丹、芍药……",
    "List twenty wedding flowers.": "Roses, peonies, ranunculus ...",
}
"""Asked by customers who do not wait for the answer."""
REPEATED: Final[Words] = {
    "几点关门？": "晚上八点，周日六点。",
    "When do you close?": "At eight, on Sundays at six.",
}
"""Asked twice."""
TOO_LONG: Final = ("Here is the whole herbarium:", "这是整本花卉图鉴：")
"""The beginning of a prompt that is too long."""

ANSWERS: Final[Words] = {**ASKED, **POEMS, **PRICES, **BUSY, **IMPATIENT, **REPEATED}
"""All questions and their answers."""
