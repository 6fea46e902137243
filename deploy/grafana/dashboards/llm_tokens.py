"""LLM calls, the row of tokens: what the calls use."""

from __future__ import annotations

from dashboards.frame import Row
from dashboards.panels import NOT_BY_LABEL, bars, lines
from dashboards.promql import (
    CALLS,
    MODEL,
    increase,
    largest,
    mean,
    quantile,
    rate,
    ratio,
    share,
    summed,
    top,
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
    TOKENS_A_SECOND,
    USAGE,
)
from dashboards.targets import now, over_time

_TYPE = "gen_ai_token_type"


def tokens() -> Row:
    """Show what the calls use.

    Returns:
        The row.
    """
    return Row(
        "Tokens",
        [
            lines(
                "Tokens by type",
                "Cached tokens are within input, reasoning tokens within output.",
                over_time(rate(TOKENS, _TYPE), "{{gen_ai_token_type}}"),
                unit=TOKENS_A_SECOND,
                stacked=True,
            ),
            lines(
                "Tokens by model",
                "Input and output together, the ten models that use most.",
                over_time(top(rate(TOKENS, MODEL), TOKENS, MODEL), BY_MODEL),
                unit=TOKENS_A_SECOND,
                stacked=True,
                link=MODEL_IN_JAEGER,
            ),
            lines(
                "Details of tokens",
                "Parts of the input and output tokens: read from and written to the "
                "provider's cache, reasoning, audio.",
                over_time(rate(DETAILS, "detail"), "{{detail}}"),
                unit=TOKENS_A_SECOND,
                empty="No provider reported details",
            ),
            lines(
                "Input read from the provider's cache",
                "Share of the input tokens, the ten models that read most. Such "
                "tokens are cheaper.",
                over_time(
                    top(
                        share(rate(CACHE_READ, MODEL), rate(INPUT, MODEL)),
                        INPUT,
                        MODEL,
                    ),
                    BY_MODEL,
                ),
                unit="percentunit",
            ),
            lines(
                "Tokens of one call",
                "Mean and p95 of the tokens that one call reports. An input that "
                "grows is a conversation that is never cut. p95 is estimated within a "
                "bucket, a factor of 4 wide.",
                over_time(mean(USAGE, CALLS, _TYPE), "mean {{gen_ai_token_type}}"),
                over_time(
                    quantile(0.95, USAGE, CALLS, _TYPE),
                    "p95 {{gen_ai_token_type}}",
                    exemplars=True,
                ),
                unit="suffix: tokens",
                empty=f"No calls, {NOT_BY_LABEL}",
            ),
            lines(
                "Output tokens a second of a call",
                "How fast a model writes: output tokens by the seconds of its calls, "
                "the ten models that write most.",
                over_time(
                    top(
                        ratio(rate(OUTPUT, MODEL), summed(DURATION, CALLS, MODEL)),
                        OUTPUT,
                        MODEL,
                    ),
                    BY_MODEL,
                ),
                unit=TOKENS_A_SECOND,
                empty=f"No calls, {NOT_BY_LABEL}",
            ),
            bars(
                "Input for each token of output",
                "Input tokens divided by output tokens, by model.",
                now(
                    largest(ratio(increase(INPUT, MODEL), increase(OUTPUT, MODEL)), 10),
                    BY_MODEL,
                ),
            ),
            lines(
                "Tokens not bought",
                "Tokens of answers from LangChain's own cache.",
                over_time(rate(SAVED_TOKENS, "reason"), "{{reason}}"),
                unit=TOKENS_A_SECOND,
                empty="No cache hits",
            ),
        ],
        is_collapsed=True,
    )
