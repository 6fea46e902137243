"""Limits on what may be spent, checked before a call and settled at its end.

A call reserves what it may use, so that concurrent calls cannot exceed a limit
together. What it has not used is released when it ends.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, TypeVar

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import EXACT, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._records import Estimate, Request, Usage

Amount: TypeAlias = int | Decimal

OnExceed: TypeAlias = Literal["raise", "warn"]
RAISE: Final = "raise"
WARN: Final = "warn"

OnUnpriced: TypeAlias = Literal["raise", "count", "allow"]
COUNT: Final = "count"
ALLOW: Final = "allow"

TOKENS: Final = "tokens"
COST: Final = "cost"
CALLS: Final = "calls"


class BudgetExceeded(Refusal):
    """A call was refused because it may go beyond a budget; it was not made.

    Args:
        budget: ``tokens``, ``cost`` (US dollars) or ``calls``.
        limit: The limit of the budget.
        spent: The amount spent.
        reserved: The amount reserved by open calls.
        asked: The amount that this call may spend; 0 dollars if its price is unknown.
    """

    def __init__(
        self,
        budget: str,
        limit: Amount,
        spent: Amount,
        reserved: Amount,
        asked: Amount,
    ) -> None:
        under_way = f", {_text(budget, reserved)} reserved by calls under way"
        may = f"this call may {_VERBS[budget]} {_text(budget, asked)}"
        if budget == COST and not asked:
            may = "the price of this call is not known"
        super().__init__(
            f"{_text(budget, spent)} of {_text(budget, limit)}{_UNITS[budget]} spent"
            f"{under_way if reserved else ''}, {may}; the call was not made"
        )
        self.budget = budget
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.asked = asked
        self.attributes = {
            semconv.BUDGET: budget,
            semconv.BUDGET_LIMIT: float(limit),
            semconv.BUDGET_SPENT: float(spent),
            semconv.BUDGET_RESERVED: float(reserved),
            semconv.BUDGET_ASKED: float(asked),
        }

    def __reduce__(self) -> tuple[type[BudgetExceeded], tuple[object, ...]]:
        # pickle rebuilds an exception from its arguments, not from its message.
        rest = self.spent, self.reserved, self.asked
        return type(self), (self.budget, self.limit, *rest)


_UNITS: Final = {TOKENS: " tokens", COST: "", CALLS: " calls"}
_VERBS: Final = {TOKENS: "use", COST: "cost", CALLS: "count"}
_PLACES: Final = 4


def _text(budget: str, amount: Amount) -> str:
    """Return an amount as text: ``$0.0300``, ``1,200``."""
    return dollars(amount) if budget == COST else f"{int(amount):,}"


def dollars(amount: Amount) -> str:
    """Return US dollars with four decimal places, or more if these would be zeros."""
    exact = Decimal(amount)
    places = max(_PLACES, 1 - exact.adjusted()) if exact else _PLACES
    digits = exact.quantize(Decimal(1).scaleb(-places, EXACT), context=EXACT)
    return f"${digits:,f}"


class Amounts(NamedTuple):
    """An amount for each kind of budget."""

    tokens: int = 0
    cost: Decimal = Decimal(0)
    calls: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """Return the sum."""
        return Amounts(
            self.tokens + other.tokens,
            EXACT.add(self.cost, other.cost),
            self.calls + other.calls,
        )

    def least(self, other: Amounts) -> Amounts:
        """Return the smaller amount of each kind."""
        return Amounts(
            min(self.tokens, other.tokens),
            min(self.cost, other.cost),
            min(self.calls, other.calls),
        )

    def minus(self, other: Amounts) -> Amounts:
        """Return the difference."""
        return Amounts(
            self.tokens - other.tokens,
            EXACT.subtract(self.cost, other.cost),
            self.calls - other.calls,
        )


NOTHING: Final = Amounts()


@dataclass(slots=True, eq=False)
class Reservation:
    """A request to reserve amounts on an account, and the account's decision."""

    asked: Amounts
    least: Amounts
    """The smallest amounts to grant if less is left."""
    sent: Amounts
    """The part that is spent once the call is sent; released at its end."""
    is_priced: bool
    is_final: bool
    """Whether a refusal is counted."""
    exceeded: BudgetExceeded | None = None
    """The limit that this exceeds; then only an account that warns reserves it."""
    _grant: dict[bool, _Grant] = field(default_factory=dict)

    def grant(self, amounts: Amounts) -> None:
        """Set what is reserved; if two threads fold at once, the first one sets it."""
        kept = amounts.least(self.sent)
        rest = amounts.minus(kept)
        self._grant.setdefault(True, _Grant(amounts, iter((kept,)), iter((rest,))))

    @property
    def granted(self) -> Amounts:
        """The amounts that are reserved."""
        return self._grant[True].amounts if self._grant else NOTHING

    @property
    def is_decided(self) -> bool:
        """Whether the account has granted or refused this."""
        return bool(self._grant)

    def held(self, *, is_sent: bool) -> Iterator[Amounts]:
        """Return what is not yet released, each part once, or only the unsent part."""
        if not self._grant:
            return iter(())
        _, kept, rest = self._grant[True]
        return rest if is_sent else itertools.chain(rest, kept)


class _Grant(NamedTuple):
    """The granted amounts, in the parts in which they are released."""

    amounts: Amounts
    kept: Iterator[Amounts]
    rest: Iterator[Amounts]


class Limits(NamedTuple):
    """The limits of a budget; None means no limit."""

    tokens: int | None = None
    cost: Decimal | None = None
    calls: int | None = None
    on_exceed: OnExceed = RAISE
    on_unpriced: OnUnpriced = COUNT

    def exceeded(
        self, spent: Amounts, reserved: Amounts, asked: Amounts
    ) -> BudgetExceeded | None:
        """Return the limit that a call would exceed, if any."""
        after = spent.plus(reserved).plus(asked)
        for position, budget in enumerate((TOKENS, COST, CALLS)):
            limit: Amount | None = self[position]  # type: ignore[assignment]
            if limit is not None and after[position] > limit:
                used, held, more = spent[position], reserved[position], asked[position]
                return BudgetExceeded(budget, limit, used, held, more)
        return None

    def unpriced(self, spent: Amounts, reserved: Amounts) -> BudgetExceeded | None:
        """Return the refusal of a call without a known price, if it is refused."""
        if self.cost is None or self.on_unpriced != RAISE:
            return None
        return BudgetExceeded(COST, self.cost, spent.cost, reserved.cost, Decimal(0))

    def rest(self, spent: Amounts, reserved: Amounts, asked: Amounts) -> Amounts:
        """Return the requested amounts, capped at what is left."""
        used = spent.plus(reserved)
        tokens, cost = asked.tokens, asked.cost
        if self.tokens is not None:
            tokens = min(tokens, self.tokens - used.tokens)
        if self.cost is not None:
            cost = min(cost, EXACT.subtract(self.cost, used.cost))
        return Amounts(tokens, cost, asked.calls)


def limits(
    max_tokens: int | None,
    max_cost_usd: float | Decimal | None,
    max_calls: int | None,
    on_exceed: str,
    on_unpriced: str = COUNT,
) -> Limits | None:
    """Return the limits of the arguments, or None if all are None."""
    _whole("max_tokens", max_tokens)
    _whole("max_calls", max_calls)
    if max_cost_usd is not None and not _is_money(max_cost_usd):
        message = f"max_cost_usd={max_cost_usd!r}: must be an amount above 0"
        raise ValueError(message)
    if on_exceed not in {RAISE, WARN}:
        message = f"on_exceed={on_exceed!r}: must be 'raise' or 'warn'"
        raise ValueError(message)
    if on_unpriced not in {RAISE, COUNT, ALLOW}:
        message = f"on_unpriced={on_unpriced!r}: must be 'raise', 'count' or 'allow'"
        raise ValueError(message)
    if max_tokens is None and max_cost_usd is None and max_calls is None:
        return None
    cost = None if max_cost_usd is None else Decimal(str(max_cost_usd))
    kind: OnExceed = RAISE if on_exceed == RAISE else WARN
    unpriced: OnUnpriced = on_unpriced  # type: ignore[assignment]
    return Limits(max_tokens, cost, max_calls, kind, unpriced)


def _whole(name: str, value: object) -> None:
    """Refuse a value that is not a positive whole number."""
    if value is not None and (type(value) is not int or value <= 0):
        message = f"{name}={value!r}: must be a whole number above 0"
        raise ValueError(message)


def _is_money(value: object) -> bool:
    """Return whether a value is a positive, finite amount of money."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    return math.isfinite(value) and value > 0


ANSWER: Final = 4_096
"""Output tokens to reserve for a model without a limit and without answers so far."""

_N = TypeVar("_N", int, float)
_KEPT: Final = 20
_ENOUGH: Final = 3
_MARGIN: Final = 1.1
_LEAST: Final = 0.2
_MODELS: Final = 2_000


class Forecast:
    """Forecasts usage from past calls; its tuples are replaced, never changed."""

    def __init__(self) -> None:
        self._ratios: dict[object, tuple[float, ...]] = {}
        self._answers: dict[object, tuple[int, ...]] = {}

    def input_tokens(self, request: Request, estimate: Estimate) -> int:
        """Return an upper bound of the input tokens."""
        key = request.provider, request.model, estimate.shape
        ratios = self._ratios.get(key, ())
        factor = max(ratios, default=0) * _MARGIN
        if len(ratios) < _ENOUGH:
            factor = max(factor, 1.0)
        return math.ceil(estimate.tokens * max(factor, _LEAST))

    def output_tokens(self, request: Request) -> int | None:
        """Return the most output tokens of a choice so far; None before the first."""
        return max(
            self._answers.get((request.provider, request.model), ()), default=None
        )

    def learn(
        self, request: Request, estimate: Estimate, usage: Usage, choices: int
    ) -> None:
        """Record the usage of a successful call."""
        key = request.provider, request.model
        if usage.input_tokens:
            ratio = usage.input_tokens / estimate.tokens
            _note(self._ratios, (*key, estimate.shape), ratio)
        if usage.output_tokens:
            _note(self._answers, key, math.ceil(usage.output_tokens / choices))


def _note(known: dict[object, tuple[_N, ...]], key: object, value: _N) -> None:
    """Append a value and keep the last ones."""
    if key not in known and len(known) >= _MODELS:
        known.clear()
    known[key] = known.get(key, ())[1 - _KEPT :] + (value,)  # noqa: RUF005 -- its type
