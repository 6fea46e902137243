"""Spend, the row of numbers: what it cost, and where it leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import number, steps
from dashboards.promql import CALLS, SERVICE, increase, ratio, select, share
from dashboards.series import COST, OPERATIONS, SAVED, TOKENS

if TYPE_CHECKING:
    from dashboards.frame import Row

WASTED: Final = select("otel_callbacks_cost_usd_total", CALLS, 'outcome!="ok"')
_WASTED_TOKENS: Final = select("otel_callbacks_tokens_total", CALLS, 'outcome!="ok"')
_UNPRICED: Final = select("otel_callbacks_unpriced_tokens_total", SERVICE)
_MISSING: Final = select("otel_callbacks_usage_missing_total", SERVICE)

USD: Final = "currencyUSD"
NOTHING: Final = "No priced calls"
HOUR: Final = "3600"
MONTH: Final = "86400 * 30"


def pace(selector: str) -> str:
    """Ask how many US dollars a second the last hours cost.

    Args:
        selector: A counter of US dollars.

    Returns:
        The mean rate over the variable Pace.
    """
    return f"sum (rate({selector}[$pace]))"


def headline() -> Row:
    """Show twelve numbers: what it cost, and where it leads.

    Returns:
        The row.
    """
    cost, calls = increase(COST), increase(OPERATIONS)
    return (
        "Headline",
        [
            number(
                "Spent",
                "US dollars in the time range, by the price list of the day of each "
                "call.",
                cost,
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Per hour",
                "The pace of the last hours (variable Pace).",
                f"{pace(COST)} * {HOUR}",
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Month at this pace",
                "Thirty days at the pace of the last hours (variable Pace).",
                f"{pace(COST)} * {MONTH}",
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Month's budget at this pace",
                "The projected month as a share of the variable Budget. From 80 % "
                "on it is yellow, from 100 % on red.",
                f"{pace(COST)} * {MONTH} / $budget",
                unit="percentunit",
                thresholds=steps((0.8, "yellow"), (1, "red")),
                empty=NOTHING,
            ),
            number(
                "Spent on answers nobody got",
                "Calls that failed, were cancelled or abandoned after the provider "
                "had counted tokens.",
                increase(WASTED),
                unit=USD,
                thresholds=steps((0.01, "yellow")),
                empty="Nothing",
            ),
            number(
                "Share nobody got",
                "The same as a share of what was spent.",
                share(increase(WASTED), cost),
                unit="percentunit",
                thresholds=steps((0.02, "yellow"), (0.1, "red")),
                empty=NOTHING,
            ),
            number(
                "Saved by caches",
                "What answers from LangChain's own cache would have cost.",
                increase(SAVED),
                unit=USD,
                empty="No cache hits",
            ),
            number(
                "Cost per call",
                "Spent, divided by calls.",
                ratio(cost, calls),
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Cost of 1,000 tokens",
                "Spent, divided by thousands of tokens of all models.",
                f"1000 * {ratio(cost, increase(TOKENS))}",
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Tokens nobody got",
                "Tokens of calls that failed, were cancelled or abandoned.",
                increase(_WASTED_TOKENS),
                thresholds=steps((1, "yellow")),
                empty="None",
            ),
            number(
                "Tokens without a price",
                "Their model is not in the price list: the cost above lacks them. "
                "Add a price with a file of your own.",
                increase(_UNPRICED),
                thresholds=steps((1, "red")),
                empty="None",
            ),
            number(
                "Calls without usage",
                "The provider did not say the tokens, and nothing is guessed. For "
                "streams set stream_usage=True.",
                increase(_MISSING),
                thresholds=steps((1, "yellow")),
                empty="None",
            ),
        ],
    )
