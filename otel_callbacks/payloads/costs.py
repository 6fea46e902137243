"""What a provider itself says that a call cost.

| who | where | source |
|---|---|---|
| OpenRouter | ``cost`` of the usage, which its package also puts beside it | 1 |
| Perplexity | ``cost`` with a ``total_cost`` in it | 2 |
| xAI | ``cost_in_usd_ticks`` of the usage, 10 billion for a US dollar | 3 |
| LiteLLM | ``response_cost``, also in ``_hidden_params`` | 4 |
| LangChain | ``total_cost`` of ``usage_metadata``; 0 there marks its own cache | |

1. https://openrouter.ai/docs/use-cases/usage-accounting
2. https://docs.perplexity.ai/api-reference/chat-completions-post
3. https://docs.x.ai/developers/cost-tracking
4. https://docs.litellm.ai/docs/completion/token_usage
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from otel_callbacks.payloads.values import mapping, number

TOLD_BESIDE: Final = frozenset({"cost", "response_cost", "_hidden_params"})
"""Keys of a response's metadata under which a cost may stand."""

TOLD_IN_USAGE: Final = frozenset({"cost", "cost_in_usd_ticks"})
"""Keys of a provider's own usage under which one may stand."""

_USAGES: Final = ("token_usage", "usage")
_TICKS: Final = Decimal(10) ** 10
_MOST: Final = 1_000_000
"""US dollars; more for one call is an error, which would spoil a sum for ever."""


def reported_cost(
    usage_metadata: object, *places: dict[object, object]
) -> Decimal | None:
    """Find what a provider says that a call cost.

    Args:
        usage_metadata: What the message holds, or ``None``.
        places: Where else it may be said: a response's metadata, ``llm_output``.

    Returns:
        US dollars; None where nothing is said, or no amount of money.
    """
    for place in places:
        for told in (place, *(mapping(place.get(key)) for key in _USAGES)):
            if told and (cost := _cost(told)) is not None:
                return cost
    return _dollars(mapping(usage_metadata).get("total_cost")) or None


def _cost(told: dict[object, object]) -> Decimal | None:
    """Read a cost in each of the ways that there are."""
    cost = _dollars(told.get("cost"))
    if cost is not None:
        return cost + _upstream(told)
    if isinstance(parts := told.get("cost"), dict):
        return _dollars(parts.get("total_cost"))
    if (ticks := number(told.get("cost_in_usd_ticks"))) is not None:
        return _dollars(Decimal(ticks) / _TICKS)
    hidden = mapping(told.get("_hidden_params"))
    return _dollars(told.get("response_cost", hidden.get("response_cost")))


def _upstream(told: dict[object, object]) -> Decimal:
    """Read what OpenRouter had billed to the user's own key at another provider."""
    if told.get("is_byok") is not True:
        return Decimal(0)
    details = mapping(told.get("cost_details"))
    return _dollars(details.get("upstream_inference_cost")) or Decimal(0)


def _dollars(value: object) -> Decimal | None:
    """Read an amount of money."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    # Written so that "nan" is refused; a double as it is written, not as it is kept.
    if not 0 <= value <= _MOST:
        return None
    return value if isinstance(value, Decimal) else Decimal(str(value))
