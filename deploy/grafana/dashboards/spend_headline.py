"""Spend, the row of numbers: what it cost, what is missing in that, where it leads."""

from __future__ import annotations

from typing import Final

from dashboards.frame import Row
from dashboards.panels import number, steps
from dashboards.promql import (
    CALLS,
    CALLS_OF_ALL,
    RANGE,
    counted,
    increase,
    or_zero,
    ratio,
    select,
    share,
    whole,
)
from dashboards.series import (
    COST,
    MISSING,
    NOBODY_GOT,
    OPEN_RUNS,
    OPERATIONS,
    SAVED,
    TOKENS,
    UNPRICED,
    USAGE,
    USD,
)

WASTED: Final = select("otel_callbacks_cost_usd_total", CALLS, NOBODY_GOT)
# A refused call costs nothing; what was given up may have been answered and charged.
_MAY_COST: Final = 'outcome=~"ok|cancelled|abandoned"'
_WASTED_TOKENS: Final = select("otel_callbacks_tokens_total", CALLS, NOBODY_GOT)

NOTHING: Final = "No priced calls"
HOUR: Final = "3600"
MONTH: Final = "86400 * 30"

# Recorded every five minutes, so that thirty days are quickly added up: of each job,
# with every label but the process.
_RECORDED: Final = select(
    "job:otel_callbacks_cost_usd:increase5m",
    CALLS.replace(', instance=~"$instance"', ""),
)
_THIRTY_DAYS: Final = f"sum (sum_over_time({_RECORDED}[30d]))"


def pace() -> str:
    """Ask how many US dollars a second the last hours cost.

    Returns:
        What was spent within the variable Pace, divided by the seconds of it in which
        a process was there to spend: an app that runs for ten minutes has not been
        cheap for an hour.
    """
    seconds = f"60 * count_over_time((sum ({OPEN_RUNS}))[$pace:1m])"
    return f"{increase(COST, window='$pace')} / clamp_min({seconds}, 60)"


def unknown(*by: str) -> str:
    """Ask of how many calls that were given up nobody knows the cost.

    A call is one of ``gen_ai_client_token_usage`` as soon as its provider said tokens,
    whatever its outcome.
    """
    of_all = select("otel_callbacks_operations_total", CALLS_OF_ALL, _MAY_COST)
    calls = increase(of_all, *by)
    of_input = f'{CALLS_OF_ALL}, gen_ai_token_type="input"'
    said = counted(USAGE, of_input, *by, window=RANGE)
    return f"clamp_min({whole(f'({calls}) - ({said} or {calls} * 0)')}, 0)"


def headline() -> Row:
    """Show the money and what the number lacks.

    Returns:
        The row.
    """
    cost, calls = increase(COST), increase(OPERATIONS)
    wasted = f"({share(increase(WASTED), cost)})"
    return Row(
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
                "The pace of the last hours (variable Pace), or of the time since the "
                "app has run if that is less.",
                f"{pace()} * {HOUR}",
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Month at this pace",
                "Thirty days at the pace of the last hours (variable Pace), or of the "
                "time since the app has run if that is less.",
                f"{pace()} * {MONTH}",
                unit=USD,
                empty=NOTHING,
            ),
            number(
                "Month's budget at this pace",
                "The projected month as a share of the variable Budget. From 80 % "
                "on it is yellow, from 100 % on red.",
                f"{pace()} * {MONTH} / $budget",
                unit="percentunit",
                thresholds=steps((0.8, "yellow"), (1, "red")),
                empty=NOTHING,
            ),
            number(
                "Spent in 30 days",
                "US dollars of the last thirty days, whatever the time range: recorded "
                "sums, up to five minutes old.",
                _THIRTY_DAYS,
                unit=USD,
                empty="Nothing recorded yet",
            ),
            number(
                "Left of the budget",
                "The variable Budget less what was spent in 30 days. Below nothing it "
                "is red.",
                f"$budget - {_THIRTY_DAYS}",
                unit=USD,
                thresholds=steps((0, "green"), below="red"),
                empty="Nothing recorded yet",
            ),
            number(
                "Spent on answers nobody got",
                "Calls that failed, were cancelled or abandoned after the provider "
                "had said their tokens. What the others of them cost is unknown: the "
                "number beside this one.",
                increase(WASTED),
                unit=USD,
                thresholds=steps((0.01, "yellow")),
                empty="None that is known",
            ),
            number(
                "Given up, cost unknown",
                "Calls that were cancelled or abandoned before the provider said their "
                "tokens: it may charge for them, and nothing is guessed. Whatever the "
                "variable Label.",
                f"clamp_min({unknown()} - {or_zero(whole(increase(MISSING)))}, 0)",
                thresholds=steps((1, "yellow")),
                empty="None",
            ),
            number(
                "Share nobody got",
                "The same as a share of what was spent.",
                # Nothing that is known is not 0 % where something is unknown.
                f"({wasted} > 0) or ({wasted} and on () ({unknown()} == 0))",
                unit="percentunit",
                thresholds=steps((0.02, "yellow"), (0.1, "red")),
                empty="None that is known",
            ),
            number(
                "Tokens nobody got",
                "Tokens of calls that failed, were cancelled or abandoned, as far as "
                "the provider said them.",
                whole(increase(_WASTED_TOKENS)),
                thresholds=steps((1, "yellow")),
                empty="None that is known",
            ),
            number(
                "Tokens without a price",
                "Their model is not in the price list: the cost lacks them. Add a "
                "price with a file of your own. Whatever the variable Label.",
                whole(increase(UNPRICED)),
                thresholds=steps((1, "red")),
                empty="None",
            ),
            number(
                "Answers without usage",
                "The provider did not say the tokens, and nothing is guessed: the cost "
                "lacks them. For streams set stream_usage=True. Whatever the "
                "variables of the calls.",
                whole(increase(MISSING)),
                thresholds=steps((1, "yellow")),
                empty="None",
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
        ],
    )
