"""Limits on what may be spent, checked before a call and settled at its end.

A call reserves what it may use, so that calls under way at the same time cannot
exceed a limit together; what it did not use is given back when it has ended.
"""

from __future__ import annotations

import itertools
import math
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
        limit: What may be spent in all.
        spent: What has been spent.
        reserved: What calls under way may still spend.
        asked: What this call may spend; 0 dollars where its price is not known.
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
        # Exceptions cross processes by their arguments, not by their message.
        rest = self.spent, self.reserved, self.asked
        return type(self), (self.budget, self.limit, *rest)


_UNITS: Final = {TOKENS: " tokens", COST: "", CALLS: " calls"}
_VERBS: Final = {TOKENS: "use", COST: "cost", CALLS: "count"}
_PLACES: Final = 4


def _text(budget: str, amount: Amount) -> str:
    """Return an amount as people write it: ``$0.0300``, ``1,200``."""
    return dollars(amount) if budget == COST else f"{int(amount):,}"


def dollars(amount: Amount) -> str:
    """Return US dollars with four places, and more where these would say nothing."""
    exact = Decimal(amount)
    places = max(_PLACES, 1 - exact.adjusted()) if exact else _PLACES
    digits = exact.quantize(Decimal(1).scaleb(-places, EXACT), context=EXACT)
    return f"${digits:,f}"


class Amounts(NamedTuple):
    """Of each kind of budget so much."""

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
        """Return of each kind the smaller amount."""
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


class Reservation:
    """What a call asks of an account, and what that answers.

    Args:
        asked: What it may spend.
        least: What it spends in any case, if less will do where less is left.
        sent: What of that is spent once the call is made; given back at its end.
        is_priced: Whether the price of the call is known.
        is_final: Whether a refusal counts as one.
    """

    __slots__ = (
        "_answer",
        "asked",
        "exceeded",
        "is_final",
        "is_priced",
        "least",
        "sent",
    )

    def __init__(
        self,
        asked: Amounts,
        least: Amounts | None = None,
        sent: Amounts = NOTHING,
        *,
        is_priced: bool = True,
        is_final: bool = True,
    ) -> None:
        self.asked = asked
        self.least = asked if least is None else least
        self.sent = sent
        self.is_priced = is_priced
        self.is_final = is_final
        # The limit that this goes beyond. Then nothing is reserved, unless the account
        # only warns.
        self.exceeded: BudgetExceeded | None = None
        self._answer: dict[bool, _Answer] = {}

    def grant(self, amounts: Amounts) -> None:
        """Answer what is reserved; of two who fold at once the first one does."""
        kept = amounts.least(self.sent)
        rest = amounts.minus(kept)
        self._answer.setdefault(True, _Answer(amounts, iter((kept,)), iter((rest,))))

    @property
    def granted(self) -> Amounts:
        """What is reserved."""
        return self._answer[True].amounts if self._answer else NOTHING

    @property
    def is_answered(self) -> bool:
        """Whether the account has answered."""
        return bool(self._answer)

    def held(self, *, is_sent: bool = False) -> Iterator[Amounts]:
        """Return what has not been given back, beside what is sent or with it.

        Each part comes out once, whoever asks and however often.
        """
        if not self._answer:
            return iter(())
        _, kept, rest = self._answer[True]
        return rest if is_sent else itertools.chain(rest, kept)


class _Answer(NamedTuple):
    """What is granted, in the parts that are given back."""

    amounts: Amounts
    kept: Iterator[Amounts]
    rest: Iterator[Amounts]


class Limits(NamedTuple):
    """What may be spent in all; None is without limit."""

    tokens: int | None = None
    cost: Decimal | None = None
    calls: int | None = None
    on_exceed: OnExceed = RAISE
    on_unpriced: OnUnpriced = COUNT

    def exceeded(
        self, spent: Amounts, reserved: Amounts, asked: Amounts
    ) -> BudgetExceeded | None:
        """Return which limit a call would go beyond, if any."""
        taken = spent.plus(reserved)
        after = taken.plus(asked)
        for position, budget in enumerate((TOKENS, COST, CALLS)):
            limit: Amount | None = self[position]  # type: ignore[assignment]
            if limit is not None and after[position] > limit:
                used, held, more = spent[position], reserved[position], asked[position]
                return BudgetExceeded(budget, limit, used, held, more)
        return None

    def unpriced(self, spent: Amounts, reserved: Amounts) -> BudgetExceeded | None:
        """Return that a call without a known price is refused, where it is."""
        if self.cost is None or self.on_unpriced != RAISE:
            return None
        return BudgetExceeded(COST, self.cost, spent.cost, reserved.cost, Decimal(0))

    def rest(self, spent: Amounts, reserved: Amounts, asked: Amounts) -> Amounts:
        """Return what is asked, cut to what is left."""
        taken = spent.plus(reserved)
        tokens, cost = asked.tokens, asked.cost
        if self.tokens is not None:
            tokens = min(tokens, self.tokens - taken.tokens)
        if self.cost is not None:
            cost = min(cost, EXACT.subtract(self.cost, taken.cost))
        return Amounts(tokens, cost, asked.calls)


def limits(
    max_tokens: int | None,
    max_cost_usd: float | Decimal | None,
    max_calls: int | None,
    on_exceed: str,
    on_unpriced: str = COUNT,
) -> Limits | None:
    """Return the limits that arguments ask for, or None where there is none."""
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
    """Refuse what is no whole number above nothing."""
    if value is not None and (type(value) is not int or value <= 0):
        message = f"{name}={value!r}: must be a whole number above 0"
        raise ValueError(message)


def _is_money(value: object) -> bool:
    """Say whether a value is an amount of money above nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    return math.isfinite(value) and value > 0


ANSWER: Final = 4_096
"""Tokens of an answer of a model that has no limit and has not answered yet."""

_N = TypeVar("_N", int, float)
_KEPT: Final = 20
_ENOUGH: Final = 3
_MARGIN: Final = 1.1
_LEAST: Final = 0.2
_MODELS: Final = 2_000


class Forecast:
    """Learns from answers; what is learned is replaced and never changed."""

    def __init__(self) -> None:
        self._ratios: dict[object, tuple[float, ...]] = {}
        self._answers: dict[object, tuple[int, ...]] = {}

    def input_tokens(self, request: Request, estimate: Estimate) -> int:
        """Return how many tokens go in, at most."""
        key = request.provider, request.model, estimate.shape
        ratios = self._ratios.get(key, ())
        factor = max(ratios, default=0) * _MARGIN
        if len(ratios) < _ENOUGH:
            factor = max(factor, 1.0)
        return max(math.ceil(estimate.tokens * max(factor, _LEAST)), 1)

    def output_tokens(self, request: Request) -> int | None:
        """Return how many tokens a choice has, at most; None before the first one."""
        return max(
            self._answers.get((request.provider, request.model), ()), default=None
        )

    def learn(
        self, request: Request, estimate: Estimate, usage: Usage, choices: int
    ) -> None:
        """Note what a call that went well has used."""
        key = request.provider, request.model
        if usage.input_tokens:
            ratio = usage.input_tokens / estimate.tokens
            _note(self._ratios, (*key, estimate.shape), ratio)
        if usage.output_tokens:
            _note(self._answers, key, math.ceil(usage.output_tokens / choices))


def _note(known: dict[object, tuple[_N, ...]], key: object, value: _N) -> None:
    """Add a value to the last ones."""
    if key not in known and len(known) >= _MODELS:
        known.clear()
    known[key] = known.get(key, ())[1 - _KEPT :] + (value,)  # noqa: RUF005 -- its type
