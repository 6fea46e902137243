"""Where the token usage of a model call stands, and that it is counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks._records import Usage
from otel_callbacks.payloads.usage_shapes import SHAPES, langchain
from otel_callbacks.payloads.values import count, mapping

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACES: Final = (
    "token_usage",
    "usage",
    "usage_metadata",
    "usageMetadata",
    "amazon-bedrock-invocationMetrics",
    "token_count",
    "tokens",
    "billed_units",
    "meta",
)
"""Keys of ``llm_output``, of a response's metadata and of a generation's info."""


_DEEPEST: Final = 3
"""Dictionaries within dictionaries; Cohere's ``meta`` holds one that holds it."""


def usage_of(payload: object, depth: int = _DEEPEST) -> Usage | None:
    """Read a usage of any known shape.

    Args:
        payload: A usage, or a dictionary that holds one.
        depth: How many dictionaries deep it may stand.

    Returns:
        The usage; ``None`` where no number of tokens is said. All zeros are a usage.
    """
    raw = mapping(payload)
    for key, read in SHAPES:
        if key in raw:
            return _said(read(raw))
    if depth:
        for place in _PLACES:
            inner = raw.get(place)
            if isinstance(inner, dict) and (usage := usage_of(inner, depth - 1)):
                return usage
    return None


def message_usage(usage_metadata: object, *raw: object) -> Usage | None:
    """Read ``usage_metadata`` of a message.

    langchain-openai writes 0 there for a number that the provider left out; where
    the provider's own usage is at hand, it is asked.

    Args:
        usage_metadata: What the message holds, or ``None``.
        raw: Places where the provider's own usage may stand.

    Returns:
        The usage; ``None`` where no number of tokens is said.
    """
    if not usage_metadata or not isinstance(usage_metadata, dict):
        return None
    usage = _said(langchain(usage_metadata))
    if usage is not None and (usage.input_tokens == 0 or usage.output_tokens == 0):
        return _without_invented(usage, raw)
    return usage


def _said(usage: Usage) -> Usage | None:
    """Leave out a usage that says neither total."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return usage


def _without_invented(usage: Usage, places: tuple[object, ...]) -> Usage | None:
    """Take back the zeros for which OpenAI's usage has no number."""
    for place in places:
        raw = mapping(mapping(place).get("token_usage"))
        if "prompt_tokens" in raw or "completion_tokens" in raw:
            if not usage.input_tokens:
                usage = usage._replace(input_tokens=count(raw.get("prompt_tokens")))
            if not usage.output_tokens:
                taken = count(raw.get("completion_tokens"))
                usage = usage._replace(output_tokens=taken)
            return _said(usage)
    return usage


def total(usages: Iterable[Usage | None]) -> Usage | None:
    """Add up the usages of several calls.

    Args:
        usages: One for each call; ``None`` where it is unknown.

    Returns:
        Their sum; ``None`` if none is known.
    """
    known = [usage for usage in usages if usage is not None]
    if len(known) <= 1:
        return known[0] if known else None
    inputs, outputs, *details = zip(*known, strict=True)
    return Usage(_sum(inputs), _sum(outputs), *(sum(detail) for detail in details))


def _sum(parts: Iterable[int | None]) -> int | None:
    """Add up what is known; nothing known gives ``None``."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
