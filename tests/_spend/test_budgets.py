"""Limits, checked before a call."""

from __future__ import annotations

import decimal
import pickle
from decimal import Decimal
from typing import Any

import pytest

from otel_callbacks._records import Estimate, Refusal, Request, Usage
from otel_callbacks._spend.budgets import (
    NOTHING,
    Amounts,
    BudgetExceeded,
    Forecast,
    Limits,
    limits,
)


def test_no_argument_is_no_limit() -> None:
    """Nothing is ever refused by accident."""
    assert limits(None, None, None, "raise") is None


def test_arguments_become_limits() -> None:
    """A float of money is taken as it is written."""
    assert limits(5, 0.1, 7, "warn") == Limits(5, Decimal("0.1"), 7, "warn")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_tokens", wrong) for wrong in (0, -1, 1.5, True, "9")),
        *(("max_calls", wrong) for wrong in (0, -3, 2.0)),
        *(("max_cost_usd", wrong) for wrong in (0, -0.1, float("nan"), True, "1")),
        ("max_cost_usd", float("inf")),
        ("on_exceed", "stop"),
    ],
)
def test_wrong_arguments_are_refused_by_name(name: str, value: Any) -> None:
    """The message names the argument and its value."""
    arguments: dict[str, Any] = {
        "max_tokens": 1,
        "max_cost_usd": None,
        "max_calls": None,
        "on_exceed": "raise",
    }
    with pytest.raises(ValueError, match=f"^{name}=.*must be"):
        limits(**(arguments | {name: value}))


@pytest.mark.parametrize(
    ("limit", "budget"),
    [
        (Limits(tokens=10), "tokens"),
        (Limits(cost=Decimal("0.3")), "cost"),
        (Limits(calls=3), "calls"),
    ],
)
def test_the_limit_itself_may_be_reached(limit: Limits, budget: str) -> None:
    """What fits exactly is let through; one more of it is not."""
    spent = Amounts(4, Decimal("0.1"), 1)
    reserved = Amounts(3, Decimal("0.1"), 1)
    fits = Amounts(3, Decimal("0.1"), 1)
    assert limit.exceeded(spent, reserved, fits) is None
    exceeded = limit.exceeded(spent, reserved, fits.plus(fits).minus(NOTHING))
    assert exceeded is not None
    assert exceeded.budget == budget


def test_the_exception_has_all_amounts() -> None:
    """What was spent, reserved and asked, and the limit; it crosses processes."""
    error = BudgetExceeded("tokens", 100, 60, 20, 30)
    assert isinstance(error, Refusal)
    assert str(error) == (
        "60 of 100 tokens spent, 20 reserved by calls under way, this call may use 30; "
        "the call was not made"
    )
    assert str(BudgetExceeded("calls", 3, 3, 0, 1)) == (
        "3 of 3 calls spent, this call may count 1; the call was not made"
    )
    for budget, may in (("tokens", "use"), ("calls", "count")):
        assert f"this call may {may} 0" in str(BudgetExceeded(budget, 1, 2, 0, 0))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert (again.budget, again.limit, again.spent) == ("tokens", 100, 60)
    assert (again.reserved, again.asked, str(again)) == (20, 30, str(error))


@pytest.mark.parametrize(
    ("amounts", "text"),
    [
        (("0.05", "0.03", "0", "0.04"), "$0.0300 of $0.0500 spent, this call may cost"),
        (("1000000", "1E+3", "0", "1"), "$1,000.0000 of $1,000,000.0000 spent"),
        (
            ("0.000001", "0E-8", "0", "4E-9"),
            "$0.0000 of $0.0000010 spent, this call may",
        ),
        (("1", "0.99999", "0", "0.1"), "$1.0000 of $1.0000 spent, this call"),
        (
            ("1", "0.5", "0", "0"),
            "spent, the price of this call is not known; the call",
        ),
        (
            ("1", "0.5", "0.25", "0.3"),
            "spent, $0.2500 reserved by calls under way, this",
        ),
    ],
)
def test_money_is_written_as_people_do(amounts: tuple[str, ...], text: str) -> None:
    """With four places, more where these would say nothing, and no exponent."""
    with decimal.localcontext(prec=2, traps=[decimal.Inexact, decimal.Rounded]):
        message = str(BudgetExceeded("cost", *map(Decimal, amounts)))
    assert text in message
    assert "E-" not in message


ASK = Request("chat", "rose", "openai", "rose")
PROMPT = Estimate(100, (4,))


def test_after_three_answers_the_largest_counts_with_a_margin() -> None:
    """Before that the estimate stands; never less than a fifth of it."""
    known = Forecast()
    for tokens in (40, 50):
        known.learn(ASK, PROMPT, Usage(tokens, 7), 1)
        assert known.input_tokens(ASK, PROMPT) == 100
    known.learn(ASK, PROMPT, Usage(30, 9), 1)
    assert known.input_tokens(ASK, PROMPT) in {55, 56}
    assert known.input_tokens(ASK, Estimate(100, (1,))) == 100
    for _ in range(20):
        known.learn(ASK, PROMPT, Usage(1, 1), 1)
    assert known.input_tokens(ASK, PROMPT) == 20


def test_one_answer_above_the_estimate_is_enough() -> None:
    """Too little is worse than too much."""
    known = Forecast()
    known.learn(ASK, PROMPT, Usage(200, 1), 1)
    assert known.input_tokens(ASK, PROMPT) in {220, 221}


def test_the_longest_of_the_last_answers_counts() -> None:
    """For each choice; of a model that has not answered nothing is known."""
    known = Forecast()
    assert known.output_tokens(ASK) is None
    known.learn(ASK, PROMPT, Usage(None, 30), 3)
    known.learn(ASK, PROMPT, Usage(None, 4), 1)
    assert known.output_tokens(ASK) == 10
    for _ in range(18):
        known.learn(ASK, PROMPT, Usage(None, 4), 1)
    assert known.output_tokens(ASK) == 10
    known.learn(ASK, PROMPT, Usage(None, 4), 1)
    assert known.output_tokens(ASK) == 4


def test_models_are_known_apart() -> None:
    """What one model answers says nothing about another, and makes none forgotten."""
    known, tulip = Forecast(), ASK._replace(model="tulip")
    for request, tokens in ((ASK, 4), (tulip, 9), (ASK, 5)):
        known.learn(request, PROMPT, Usage(None, tokens), 1)
    assert (known.output_tokens(ASK), known.output_tokens(tulip)) == (5, 9)


def test_memory_is_bounded() -> None:
    """An app may make up a model's name for each call: after 2,000 all are dropped."""
    known = Forecast()
    roses = [ASK._replace(model=f"rose-{number}") for number in range(4_001)]
    for last, kept in ((0, True), (1_999, True), (2_000, False), (4_000, False)):
        for rose in roses[: last + 1]:
            known.learn(rose, PROMPT, Usage(1, 1), 1)
        assert (known.output_tokens(roses[0]) == 1) is kept
        assert known.output_tokens(roses[last]) == 1
