"""LLM calls, the row of tokens: what the calls use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.panels import bars, lines
from dashboards.promql import (
    CALLS,
    MODEL,
    increase,
    quantile,
    rate,
    ratio,
    select,
    share,
)
from dashboards.series import (
    BY_MODEL,
    CACHE_READ,
    DETAILS,
    DURATION,
    INPUT,
    MODEL_IN_JAEGER,
    OUTPUT,
    SAVED_TOKENS,
    TOKENS,
    USAGE,
)
from dashboards.targets import now, over_time

if TYPE_CHECKING:
    from dashboards.frame import Row


def tokens() -> Row:
    """Show what the calls use.

    Returns:
        The row.
    """
    usage = select(f"{USAGE}_sum")
    return (
        "Tokens",
        [
            lines(
                "Tokens by type",
                "Tokens in a second. Cached tokens are within input, reasoning "
                "tokens within output.",
                over_time(rate(TOKENS, "gen_ai_token_type"), "{{gen_ai_token_type}}"),
                stacked=True,
            ),
            lines(
                "Tokens by model",
                "Tokens in a second, input and output together.",
                over_time(rate(TOKENS, MODEL), BY_MODEL),
                stacked=True,
                link=MODEL_IN_JAEGER,
            ),
            lines(
                "Details of tokens",
                "Parts of the input and output tokens, in a second: read from and "
                "written to the provider's cache, reasoning, audio.",
                over_time(rate(DETAILS, "detail"), "{{detail}}"),
                empty="No provider reported details",
            ),
            lines(
                "Input read from the provider's cache",
                "Share of the input tokens. Such tokens are cheaper.",
                over_time(share(rate(CACHE_READ, MODEL), rate(INPUT, MODEL)), BY_MODEL),
                unit="percentunit",
            ),
            lines(
                "Tokens per call",
                "p50 and p95 of the tokens that one call reports. An input that "
                "grows is a conversation that is never cut.",
                over_time(
                    quantile(0.5, USAGE, CALLS, "gen_ai_token_type"),
                    "p50 {{gen_ai_token_type}}",
                ),
                over_time(
                    quantile(0.95, USAGE, CALLS, "gen_ai_token_type"),
                    "p95 {{gen_ai_token_type}}",
                    exemplars=True,
                ),
            ),
            lines(
                "Output tokens per second of a call",
                "How fast a model writes: output tokens by the seconds of its calls.",
                over_time(
                    ratio(rate(OUTPUT, MODEL), rate(select(f"{DURATION}_sum"), MODEL)),
                    BY_MODEL,
                ),
            ),
            bars(
                "Input for each token of output",
                "Input tokens divided by output tokens, by model.",
                now(
                    ratio(
                        increase(INPUT, MODEL),
                        increase(OUTPUT, MODEL),
                    ),
                    BY_MODEL,
                ),
            ),
            lines(
                "Tokens not bought",
                "Tokens in a second of answers from LangChain's own cache, by "
                "reason; beside them the mean tokens of a bought call.",
                over_time(rate(SAVED_TOKENS, "reason"), "{{reason}}"),
                over_time(
                    ratio(rate(usage), rate(select(f"{USAGE}_count"))), "mean of a call"
                ),
                empty="No cache hits",
            ),
        ],
    )
