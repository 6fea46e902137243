"""How many tokens a prompt may have, before the provider has counted them.

Only for what a budget reserves; what is counted in the end is the provider's number.
"""

from __future__ import annotations

from typing import Final

from langchain_core.messages import BaseMessage

_LETTERS: Final = 4
"""Of a word in Latin letters; other scripts have about one token for a character."""

_FRAME: Final = 4
"""Tokens that mark where a message begins and ends, and whose it is."""


def input_tokens(payload: object) -> int:
    """Estimate the tokens of a prompt, rather too many than too few.

    Args:
        payload: A list of messages, or a text.

    Returns:
        At least 1; what cannot be read counts nothing.
    """
    try:
        messages = payload if isinstance(payload, list) else [payload]
        return max(sum(map(_message, messages)), 1)
    except Exception:  # noqa: BLE001 -- an estimate is not worth a failure
        return 1


def _message(message: object) -> int:
    """Estimate one message."""
    if isinstance(message, BaseMessage):
        return _FRAME + _text(message.text)
    return _text(message) if isinstance(message, str) else 0


def _text(text: str) -> int:
    """Estimate a text by its words, its letters and its other characters."""
    others = 0 if text.isascii() else sum(not letter.isascii() for letter in text)
    latin = -(-(len(text) - others) // _LETTERS)
    return others + max(latin, len(text.split()) if not others else 0)
