"""The words and the numbers of the fake server, the same for the same question.

A token is one CJK character, one run of letters or digits, or one other sign.
A prompt costs the tokens of its texts and three for each message; an answer the
tokens of its text and of its tool calls' arguments. That is not what any real
tokenizer says, but it is countable by hand and adds up.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Final

_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])\w)+|[^\w\s]")
_IS_CJK: Final = re.compile(rf"[{_CJK}]")

TOKENS_PER_MESSAGE: Final = 3
"""What each message of a prompt costs beside its text."""

_ANSWERS: Final = (
    "Twelve red roses, 29 euros, delivered by noon.",
    "Peonies are in season until June; a bunch of ten costs 18 euros.",
    "Take white lilies with eucalyptus, and keep them out of the sun.",
    "Tulips last longest in cold water; change it every second day.",
    "A bouquet of sunflowers and thistles, 24 euros, ready in an hour.",
)
# ruff: noqa: RUF001 -- Chinese text has Chinese commas
_CHINESE_ANSWERS: Final = (
    "红玫瑰十二枝，一百九十九元，中午前送到。",
    "牡丹花期到六月，十枝一束，一百二十元。",
    "推荐白百合配尤加利叶，请放在阴凉处。",
    "郁金香用凉水养得最久，每两天换一次水。",
    "向日葵花束一百六十八元，一小时后可取。",
)

# The names that the provider answers with when asked by the short name:
# https://platform.openai.com/docs/models
_DATED: Final = {
    "gpt-3.5-turbo": "gpt-3.5-turbo-0125",
    "gpt-3.5-turbo-instruct": "gpt-3.5-turbo-instruct:20230824-v2",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o3": "o3-2025-04-16",
    "o4-mini": "o4-mini-2025-04-16",
}

_DIMENSIONS: Final = 16


def tokens_of(text: str) -> list[str]:
    """Cut a text into the fake server's tokens.

    Args:
        text: Any text.
    """
    return _TOKEN.findall(text)


def count_tokens(text: str) -> int:
    """Count the tokens of a text, as the fake server does.

    Args:
        text: Any text.
    """
    return len(tokens_of(text))


def pieces_of(text: str) -> list[str]:
    """Cut a text into the pieces of a stream: one for each token, nothing lost.

    Args:
        text: The whole answer.
    """
    starts = [0, *[match.start() for match in _TOKEN.finditer(text)][1:]]
    ends = [*starts[1:], len(text)]
    pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return [piece for piece in pieces if piece]


def answer_to(question: str, choice: int = 0) -> str:
    """Return the flower shop's answer to a question, in the question's script.

    Args:
        question: The last user message, or the prompt.
        choice: Which of the ``n`` choices, from 0.
    """
    answers = _CHINESE_ANSWERS if _IS_CJK.search(question) else _ANSWERS
    return answers[(_number(question) + choice) % len(answers)]


def dated(model: str) -> str:
    """Return the model name that the provider answers with.

    Args:
        model: The model that was asked for; unknown names come back unchanged.
    """
    return _DATED.get(model, model)


def vector_of(text: str, dimensions: int | None = None) -> list[float]:
    """Return the embedding of a text: always the same, of length 1.

    Args:
        text: The text.
        dimensions: How many numbers, 16 when None.
    """
    size = dimensions or _DIMENSIONS
    numbers = [_number(f"{index}:{text}") % 2001 - 1000 for index in range(size)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]


def _number(text: str) -> int:
    """Return a number that depends on the text alone, not on the process."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")
