"""LLM calls, the row of traffic: who asks what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.panels import OUTCOME_COLOURS, lines
from dashboards.promql import (
    CALLS,
    MODEL,
    PROVIDER,
    increase,
    quantile_in_range,
    rate,
    share,
    total,
)
from dashboards.series import (
    ANSWERED,
    BY_MODEL,
    COST,
    DURATION,
    FIRST_CHUNK,
    IN_FLIGHT,
    MODEL_IN_JAEGER,
    OPERATIONS,
    TOKENS,
)
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

if TYPE_CHECKING:
    from dashboards.frame import Row


def traffic() -> Row:
    """Show who asks what, and how much of it at once.

    Returns:
        The row.
    """
    calls = increase(OPERATIONS, MODEL, PROVIDER)
    return (
        "Traffic",
        [
            lines(
                "Calls by model",
                "Calls that ended in a second. A click leads to their traces.",
                over_time(rate(OPERATIONS, MODEL), BY_MODEL),
                unit="reqps",
                stacked=True,
                link=MODEL_IN_JAEGER,
            ),
            lines(
                "Calls by outcome",
                "cancelled: the caller gave up. abandoned: nobody read the answer "
                "to its end. cache_hit: answered without a call of the provider.",
                over_time(rate(OPERATIONS, "outcome"), "{{outcome}}"),
                unit="reqps",
                stacked=True,
                colours=OUTCOME_COLOURS,
            ),
            lines(
                "In flight by model",
                "Calls that have started and not ended. A line that only rises is "
                "a provider that hangs.",
                over_time(total(IN_FLIGHT, MODEL), BY_MODEL),
                stacked=True,
            ),
            lines(
                "Calls by operation and provider",
                "Chat, text completion and others, and who answers them.",
                over_time(
                    rate(OPERATIONS, "gen_ai_operation_name", PROVIDER),
                    "{{gen_ai_operation_name}}, {{gen_ai_provider_name}}",
                ),
                unit="reqps",
            ),
            numbers(
                "Models",
                "One row for each model and provider, busiest first. Success stays "
                "visible for a model that always fails.",
                Column("Calls", calls),
                Column(
                    "Success",
                    share(increase(ANSWERED, MODEL, PROVIDER), calls),
                    "percentunit",
                ),
                Column("Tokens", increase(TOKENS, MODEL, PROVIDER)),
                Column("Cost", increase(COST, MODEL, PROVIDER), "currencyUSD"),
                Column(
                    "Latency, p95",
                    quantile_in_range(0.95, DURATION, CALLS, MODEL, PROVIDER),
                    "s",
                ),
                Column(
                    "First chunk, p95",
                    quantile_in_range(0.95, FIRST_CHUNK, CALLS, MODEL, PROVIDER),
                    "s",
                ),
            ),
            numbers(
                "Asked for and answered by",
                "The model in the request and in the response. A gateway that "
                "falls back to another model shows here.",
                Column("Calls", increase(OPERATIONS, MODEL, "gen_ai_response_model")),
                width=12,
            ),
            numbers(
                "Servers",
                "Where the calls go: an address with its port.",
                Column("Calls", increase(OPERATIONS, "server_address", "server_port")),
                width=12,
            ),
        ],
    )
