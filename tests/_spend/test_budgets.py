"""Limits, checked before a call."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import Any

import pytest

from otel_callbacks._records import Refusal
from otel_callbacks._spend.budgets import (
    NOTHING,
    Amounts,
    BudgetExceeded,
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
    with pytest.raises(ValueError, match=f"^{name}=.*allowed is"):
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


def test_the_exception_says_all() -> None:
    """What was spent, reserved and asked, and the limit; it crosses processes."""
    error = BudgetExceeded("tokens", 100, 60, 20, 30)
    assert isinstance(error, Refusal)
    for number in ("100 tokens", "60 spent", "20 reserved", "30 asked"):
        assert number in str(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert (again.budget, again.limit, again.spent) == ("tokens", 100, 60)
    assert (again.reserved, again.asked, str(again)) == (20, 30, str(error))
