"""Spend: who pays for what, what is wasted, where the month will end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.frame import assemble, choice, text
from dashboards.panels import OUTCOME_COLOURS, bars, lines
from dashboards.promql import (
    MODEL,
    PROVIDER,
    increase,
    rate,
    ratio,
    share,
)
from dashboards.series import (
    BEYOND_BUDGET,
    BY_MODEL,
    COST,
    OPERATIONS,
    SAVED,
    SAVED_TOKENS,
    TOKENS,
)
from dashboards.spend_headline import HOUR, MONTH, NOTHING, USD, WASTED, headline, pace
from dashboards.tables import Column, numbers
from dashboards.targets import now, over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from dashboards.frame import Row

GROUPS: Final = (
    MODEL,
    PROVIDER,
    "job",
    "outcome",
    "gen_ai_operation_name",
    "server_address",
)
"""Labels that the variable Group by offers; a label from metadata can be typed."""


def _over_time() -> Row:
    """When the money went."""
    per_token = ratio(rate(COST, MODEL), rate(TOKENS, MODEL))
    return (
        "Over time",
        [
            lines(
                "Cost per hour",
                "US dollars an hour, by the variable Group by.",
                over_time(f"{rate(COST, '$group')} * {HOUR}"),
                unit=USD,
                stacked=True,
                empty=NOTHING,
            ),
            lines(
                "Cost per hour by outcome",
                "Everything but ok was paid for an answer that nobody got.",
                over_time(f"{rate(COST, 'outcome')} * {HOUR}", "{{outcome}}"),
                unit=USD,
                stacked=True,
                colours=OUTCOME_COLOURS,
                empty=NOTHING,
            ),
            lines(
                "Month at this pace",
                "The projection as it stood at each moment, and the budget.",
                over_time(f"{pace(COST)} * {MONTH}", "projection"),
                over_time("vector($budget)", "budget"),
                unit=USD,
                colours={"budget": "red"},
                empty=NOTHING,
            ),
            lines(
                "Cost of 1,000 tokens by model",
                "What a model really costs with its mix of input, output and "
                "cached tokens.",
                over_time(f"1000 * {per_token}", BY_MODEL),
                unit=USD,
                empty=NOTHING,
            ),
            lines(
                "Tokens by outcome",
                "Tokens in a second, with and without a price.",
                over_time(rate(TOKENS, "outcome"), "{{outcome}}"),
                stacked=True,
                colours=OUTCOME_COLOURS,
            ),
            lines(
                "Saved per hour",
                "US dollars an hour that caches kept, by model.",
                over_time(f"{rate(SAVED, MODEL)} * {HOUR}", BY_MODEL),
                unit=USD,
                stacked=True,
                empty="No cache hits",
            ),
            lines(
                "Calls beyond a budget",
                "Calls in a second that a budget of the app refused or warned of.",
                over_time(
                    rate(BEYOND_BUDGET, "budget", "action"), "{{budget}}: {{action}}"
                ),
                empty="None",
            ),
        ],
    )


def _who() -> Row:
    """Where the money went."""
    calls = increase(OPERATIONS, MODEL, PROVIDER)
    cost = increase(COST, MODEL, PROVIDER)
    return (
        "Who and what",
        [
            bars(
                "Spent",
                "US dollars in the time range, by the variable Group by. A label "
                "made from your metadata (team, feature) can be typed there.",
                now(increase(COST, "$group")),
                unit=USD,
                empty=NOTHING,
            ),
            bars(
                "Spent on answers nobody got",
                "US dollars in the time range, by model and outcome.",
                now(
                    increase(WASTED, MODEL, "outcome"),
                    "{{gen_ai_request_model}}: {{outcome}}",
                ),
                unit=USD,
                empty="Nothing",
            ),
            numbers(
                "Models",
                "One row for each model and provider, dearest first.",
                Column("Spent", cost, USD),
                Column("Calls", calls),
                Column("Tokens", increase(TOKENS, MODEL, PROVIDER)),
                Column("Per call", ratio(cost, calls), USD),
                Column(
                    "Nobody got",
                    share(increase(WASTED, MODEL, PROVIDER), cost),
                    "percentunit",
                ),
                Column("Saved", increase(SAVED, MODEL, PROVIDER), USD),
                Column("Tokens saved", increase(SAVED_TOKENS, MODEL, PROVIDER)),
            ),
        ],
    )


def build() -> Dashboard:
    """Build the dashboard of spend.

    Returns:
        The dashboard with uid ``otel-callbacks-spend``.
    """
    return assemble(
        "otel-callbacks-spend",
        "Spend",
        "Tokens and US dollars by model, provider, service, outcome or a label of "
        "your own; burn, projection and what was paid for answers nobody got.",
        [headline(), _over_time(), _who()],
        more=[
            choice(
                "group",
                "Group by",
                "The label that the cost is split by; type a label made from your "
                "metadata, such as team.",
                *GROUPS,
            ),
            choice(
                "pace",
                "Pace",
                "The last hours that a projection rests on.",
                "1h",
                "6h",
                "1d",
                "7d",
            ),
            text("budget", "Budget", "US dollars a month, for the projection.", "100"),
        ],
        since="now-6h",
    )
