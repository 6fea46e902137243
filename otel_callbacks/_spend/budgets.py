"""Limits on what may be spent, checked before a call and settled at its end.

A call reserves what it may use, so that calls under way at the same time cannot
exceed a limit together; what it did not use is given back when it has ended.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from otel_callbacks._records import Refusal

Amount: TypeAlias = int | Decimal

OnExceed: TypeAlias = Literal["raise", "warn"]
RAISE: Final = "raise"
WARN: Final = "warn"

TOKENS: Final = "tokens"
COST: Final = "cost"
CALLS: Final = "calls"


class BudgetExceeded(Refusal):
    """A call was refused because it may go beyond a budget; it was not made.

    Args:
        budget: ``tokens``, ``cost`` (US dollars) or ``calls``.
        limit: What may be spent in all.
        spent: What has been spent.
        reserved: What calls under way may still spend.
        asked: What this call may spend.
    """

    def __init__(
        self,
        budget: str,
        limit: Amount,
        spent: Amount,
        reserved: Amount,
        asked: Amount,
    ) -> None:
        unit = {COST: " US dollars", TOKENS: " tokens", CALLS: " calls"}[budget]
        super().__init__(
            f"a budget of {limit}{unit} is exceeded: {spent} spent, {reserved} "
            f"reserved by calls under way, {asked} asked for; the call was not made"
        )
        self.budget = budget
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.asked = asked

    def __reduce__(self) -> tuple[type[BudgetExceeded], tuple[object, ...]]:
        # Exceptions cross processes by their arguments, not by their message.
        rest = self.spent, self.reserved, self.asked
        return type(self), (self.budget, self.limit, *rest)


class Amounts(NamedTuple):
    """Of each kind of budget so much."""

    tokens: int = 0
    cost: Decimal = Decimal(0)
    calls: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum.

        Args:
            other: What is added.
        """
        return Amounts(
            self.tokens + other.tokens,
            self.cost + other.cost,
            self.calls + other.calls,
        )

    def minus(self, other: Amounts) -> Amounts:
        """Return the difference.

        Args:
            other: What is taken away.
        """
        return Amounts(
            self.tokens - other.tokens,
            self.cost - other.cost,
            self.calls - other.calls,
        )


NOTHING: Final = Amounts()


class Limits(NamedTuple):
    """What may be spent in all; None is without limit.

    Args:
        tokens: Tokens in and out.
        cost: US dollars.
        calls: Model calls.
        on_exceed: What happens to a call beyond that.
    """

    tokens: int | None = None
    cost: Decimal | None = None
    calls: int | None = None
    on_exceed: OnExceed = RAISE

    def exceeded(
        self, spent: Amounts, reserved: Amounts, asked: Amounts
    ) -> BudgetExceeded | None:
        """Say which limit a call would go beyond, if any.

        Args:
            spent: What has been spent.
            reserved: What calls under way may still spend.
            asked: What the call may spend.
        """
        for position, budget in enumerate((TOKENS, COST, CALLS)):
            limit: Amount | None = self[position]  # type: ignore[assignment]
            if limit is not None:
                used, held, more = spent[position], reserved[position], asked[position]
                if used + held + more > limit:
                    return BudgetExceeded(budget, limit, used, held, more)
        return None


def limits(
    max_tokens: int | None,
    max_cost_usd: float | Decimal | None,
    max_calls: int | None,
    on_exceed: str,
) -> Limits | None:
    """Return the limits that arguments ask for, or None where there is none.

    Args:
        max_tokens: Tokens in and out.
        max_cost_usd: US dollars.
        max_calls: Model calls.
        on_exceed: ``raise`` or ``warn``.

    Raises:
        ValueError: An argument has a value that is not allowed; the message names it.
    """
    _whole("max_tokens", max_tokens)
    _whole("max_calls", max_calls)
    if max_cost_usd is not None and not _is_money(max_cost_usd):
        message = f"max_cost_usd={max_cost_usd!r}: allowed is an amount above 0"
        raise ValueError(message)
    if on_exceed not in {RAISE, WARN}:
        message = f"on_exceed={on_exceed!r}: allowed is 'raise' or 'warn'"
        raise ValueError(message)
    if max_tokens is None and max_cost_usd is None and max_calls is None:
        return None
    cost = None if max_cost_usd is None else Decimal(str(max_cost_usd))
    kind: OnExceed = RAISE if on_exceed == RAISE else WARN
    return Limits(max_tokens, cost, max_calls, kind)


def _whole(name: str, value: object) -> None:
    """Refuse what is no whole number above nothing."""
    if value is not None and (type(value) is not int or value <= 0):
        message = f"{name}={value!r}: allowed is a whole number above 0"
        raise ValueError(message)


def _is_money(value: object) -> bool:
    """Say whether a value is an amount of money above nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    return math.isfinite(value) and value > 0
