"""Spend: who pays for what, what is wasted, where the month will end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.frame import Row, assemble, choice, text
from dashboards.panels import OUTCOME_COLOURS, bars, lines
from dashboards.promql import (
    CALLS,
    MODEL,
    PROVIDER,
    increase,
    largest,
    rate,
    ratio,
    select,
    share,
    top,
    whole,
)
from dashboards.series import (
    BEYOND_BUDGET,
    BY_MODEL,
    CALLS_A_MINUTE,
    COST,
    OPERATIONS,
    PARTLY_PRICED,
    SAVED,
    SAVED_TOKENS,
    TOKENS,
    TOKENS_A_SECOND,
    USD,
)
from dashboards.spend_headline import (
    HOUR,
    MONTH,
    NOTHING,
    WASTED,
    headline,
    pace,
    unknown,
)
from dashboards.tables import Column, numbers
from dashboards.targets import now, over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.table import Panel
    from grafana_foundation_sdk.models.dashboard import Dashboard

AGENT: Final = "gen_ai_agent_name"
CHAIN: Final = "chain"
PROMPT: Final = "gen_ai_prompt_name"
PROMPT_VERSION: Final = "gen_ai_prompt_version"

GROUPS: Final = (
    MODEL,
    PROVIDER,
    "job",
    "outcome",
    "gen_ai_operation_name",
    "server_address",
    AGENT,
    CHAIN,
    PROMPT,
    # The one that is chosen there; Grafana puts it in.
    "$label",
)
"""Labels that the variable Group by offers, the chosen one as well."""


def _who() -> Row:
    """Where the money went."""
    calls = increase(OPERATIONS, MODEL, PROVIDER)
    cost = increase(COST, MODEL, PROVIDER)
    return Row(
        "Who and what",
        [
            bars(
                "Spent by $group",
                "US dollars in the time range, by the variable Group by, the 15 "
                "dearest. Choose a label of your own (team, feature) as Label, and "
                "Group by has it, too.",
                now(largest(increase(COST, "$group"), 15)),
                unit=USD,
                empty=NOTHING,
            ),
            bars(
                "Spent on answers nobody got, by model and outcome",
                "US dollars in the time range, as far as the provider said the tokens.",
                now(
                    largest(increase(WASTED, MODEL, "outcome"), 15),
                    "{{gen_ai_request_model}}: {{outcome}}",
                ),
                unit=USD,
                empty="None that is known",
            ),
            numbers(
                "Models",
                "One row for each model and provider, the 20 dearest.",
                Column("Spent", largest(cost), USD),
                Column("Calls", whole(calls)),
                Column("Tokens", whole(increase(TOKENS, MODEL, PROVIDER))),
                Column("Per call", ratio(cost, calls), USD),
                Column(
                    "Nobody got",
                    share(increase(WASTED, MODEL, PROVIDER), cost),
                    "percentunit",
                ),
                Column(
                    "Calls of unknown cost",
                    f"{unknown(MODEL, PROVIDER)} and {calls}",
                ),
                Column("Saved", increase(SAVED, MODEL, PROVIDER), USD),
                Column("Tokens saved", whole(increase(SAVED_TOKENS, MODEL, PROVIDER))),
                empty=NOTHING,
            ),
            _by_label(
                "Agents",
                "Cost and tokens of each agent's model calls: "
                "OTEL_CALLBACKS_LABELS=gen_ai.agent.name.",
                AGENT,
            ),
            _by_label(
                "Workflows",
                "Cost and tokens by the outermost run, such as a graph or a chain: "
                "OTEL_CALLBACKS_LABELS=chain.",
                CHAIN,
            ),
            _by_label(
                "Prompts",
                "Cost and tokens by prompt and version: "
                "OTEL_CALLBACKS_LABELS=gen_ai.prompt.name,gen_ai.prompt.version.",
                PROMPT,
                PROMPT_VERSION,
            ),
        ],
    )


def _by_label(title: str, description: str, *by: str) -> Panel:
    """Show cost and tokens by a label that the app has chosen."""
    named = f'{by[0]}!=""'
    cost = select("otel_callbacks_cost_usd_total", CALLS, named)
    tokens = select("otel_callbacks_tokens_total", CALLS, named)
    calls = select("otel_callbacks_operations_total", CALLS, named)
    return numbers(
        title,
        description,
        Column("Spent", largest(increase(cost, *by)), USD),
        Column("Tokens", whole(increase(tokens, *by))),
        Column("Calls", whole(increase(calls, *by))),
        empty=f"No label {by[0]}: see the description",
        width=8,
        height=6,
    )


def _over_time() -> Row:
    """When the money went."""
    per_token = ratio(rate(COST, MODEL), rate(TOKENS, MODEL))
    return Row(
        "Over time",
        [
            lines(
                "Cost per hour by $group",
                "US dollars an hour, by the variable Group by, the ten dearest.",
                over_time(top(f"{rate(COST, '$group')} * {HOUR}", COST, "$group")),
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
                "Month at this pace, over time",
                "The projection as it stood at each moment, and the budget.",
                over_time(f"{pace()} * {MONTH}", "projection"),
                over_time("vector($budget)", "budget"),
                unit=USD,
                colours={"budget": "red"},
                empty=NOTHING,
            ),
            lines(
                "Cost of 1,000 tokens by model",
                "What a model really costs with its mix of input, output and "
                "cached tokens; the ten dearest.",
                over_time(top(f"1000 * {per_token}", COST, MODEL), BY_MODEL),
                unit=USD,
                empty=NOTHING,
            ),
            lines(
                "Tokens by outcome",
                "With and without a price.",
                over_time(rate(TOKENS, "outcome"), "{{outcome}}"),
                unit=TOKENS_A_SECOND,
                stacked=True,
                colours=OUTCOME_COLOURS,
            ),
            lines(
                "Saved per hour",
                "US dollars an hour that caches kept, the ten models that saved most.",
                over_time(
                    top(f"{rate(SAVED, MODEL)} * {HOUR}", SAVED, MODEL), BY_MODEL
                ),
                unit=USD,
                stacked=True,
                empty="No cache hits",
            ),
            lines(
                "Calls beyond a budget",
                "Calls that a budget of the app refused or warned of, whatever the "
                "variables of the calls.",
                over_time(
                    f"60 * {rate(BEYOND_BUDGET, 'budget', 'action')}",
                    "{{budget}}: {{action}}",
                ),
                unit=CALLS_A_MINUTE,
                empty="None",
            ),
            lines(
                "Calls that are partly priced",
                "They cost more than is shown: a part, such as a web search, has no "
                "price. Whatever the variable Label.",
                over_time(
                    f"60 * {rate(PARTLY_PRICED, 'gen_ai_request_model')}", BY_MODEL
                ),
                unit=CALLS_A_MINUTE,
                empty="None",
            ),
        ],
        is_collapsed=True,
    )


def build() -> Dashboard:
    """Build the dashboard of spend.

    Returns:
        The dashboard with uid ``otel-callbacks-spend``.
    """
    return assemble(
        "otel-callbacks-spend",
        "Spend",
        "Tokens and US dollars by model, provider, agent, service, outcome or a label "
        "of your own; burn, projection and what was paid for answers nobody got.",
        [headline(), _who(), _over_time()],
        more=[
            choice(
                "group",
                "Group by",
                "The label that the cost is split by. The variable Label adds its own "
                "to the list; any other can be typed.",
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
            text("budget", "Budget", "US dollars of thirty days.", "100"),
        ],
        since="now-6h",
    )
