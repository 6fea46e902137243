"""Accounts that calls are put on: their sums, their records and their limits.

Which accounts a call is on is found when it starts: those of the code that makes it,
and those of the run that it is part of.
"""

from __future__ import annotations

import logging
import sys
import threading
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks._forks import tell_after_fork
from otel_callbacks._records import CACHE_HIT, Refusal, Usage
from otel_callbacks._spend.budgets import NOTHING, WARN, Amounts

if TYPE_CHECKING:
    from otel_callbacks._spend.budgets import BudgetExceeded, Limits

_NO_USAGE: Final = Usage()


class Call(NamedTuple):
    """One model call that has ended.

    Args:
        operation: ``chat``, ``text_completion`` or ``embeddings``.
        provider: ``gen_ai.provider.name``.
        model: The model that was asked for, or that answered.
        outcome: ``ok``, ``error``, ``cancelled``, ``abandoned`` or ``cache_hit``.
        usage: Tokens as the provider counted them; None if it said nothing.
        cost: US dollars, spent or saved; None if the price is not known.
        seconds: How long it took.
        error_class: One of the closed set, empty on success.
        trace_id: Of its span, 32 hexadecimal digits; empty without a span.
        span_id: The same, 16 digits.
    """

    operation: str
    provider: str
    model: str
    outcome: str
    usage: Usage | None
    cost: Decimal | None
    seconds: float
    error_class: str = ""
    trace_id: str = ""
    span_id: str = ""

    @property
    def cost_usd(self) -> float | None:
        """US dollars as a number; None if the price is not known."""
        return None if self.cost is None else float(self.cost)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        fields = self._asdict()
        del fields["cost"]
        fields["usage"] = None if self.usage is None else self.usage._asdict()
        return {**fields, "cost_usd": self.cost_usd}


class Totals:
    """Sums over calls. What a cache has answered is saved and not spent."""

    __slots__ = (
        "calls",
        "cost",
        "details",
        "input_tokens",
        "output_tokens",
        "saved_cost",
        "saved_tokens",
        "unpriced_tokens",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.details = dict.fromkeys(Usage._fields[2:], 0)
        self.cost = Decimal(0)
        self.saved_tokens = 0
        self.saved_cost = Decimal(0)
        self.unpriced_tokens = 0

    def add(self, call: Call, *, late: bool = False) -> None:
        """Add a call.

        Args:
            call: The call.
            late: It was added before; what comes now are its tokens.
        """
        usage = call.usage or _NO_USAGE
        given, taken = usage.input_tokens or 0, usage.output_tokens or 0
        self.calls += not late
        if call.outcome == CACHE_HIT:
            self.saved_tokens += given + taken
            self.saved_cost += call.cost or 0
            return
        self.input_tokens += given
        self.output_tokens += taken
        for name in self.details:
            self.details[name] += getattr(usage, name)
        if call.cost is not None:
            self.cost += call.cost
        else:
            self.unpriced_tokens += given + taken

    @property
    def total_tokens(self) -> int:
        """Tokens in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def cost_usd(self) -> float:
        """US dollars as a number, without the `unpriced_tokens`."""
        return float(self.cost)

    @property
    def saved_cost_usd(self) -> float:
        """US dollars that a cache has saved, as a number."""
        return float(self.saved_cost)

    def to_dict(self) -> dict[str, Any]:
        """Return the sums as JSON knows them."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.total_tokens,
            **self.details,
            "cost_usd": self.cost_usd,
            "unpriced_tokens": self.unpriced_tokens,
            "saved_tokens": self.saved_tokens,
            "saved_cost_usd": self.saved_cost_usd,
        }

    def copy(self) -> Totals:
        """Return the sums as they are now."""
        other = Totals()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.details = dict(self.details)
        return other


_KEPT: Final = 10_000
_LANGCHAIN: Final = "langchain_core.callbacks.manager"


class Account:
    """What a group of calls has spent, and may spend; safe for threads.

    Args:
        limits: What may be spent in all, if there is a limit.
    """

    __slots__ = (
        "__weakref__",
        "_calls",
        "_lock",
        "_models",
        "_outcomes",
        "_reserved",
        "_totals",
        "closed",
        "limits",
        "refused",
        "warned",
    )

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits
        self.closed = False
        self.warned = False
        self.refused = 0
        self._totals = Totals()
        self._models: dict[str, Totals] = {}
        self._outcomes: dict[str, Totals] = {}
        self._calls: list[Call] = []
        self._reserved = NOTHING
        self._lock = threading.Lock()
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock, and leave to the parent what its calls have reserved."""
        self._lock = threading.Lock()
        self._reserved = NOTHING

    def reserve(self, asked: Amounts) -> BudgetExceeded | None:
        """Reserve what a call may spend.

        Args:
            asked: What it may spend.

        Returns:
            The limit that this goes beyond. Then nothing is reserved, unless the
            account only warns.
        """
        if self.limits is None:
            return None
        with self._lock:
            spent = self._spent()
            exceeded = self.limits.exceeded(spent, self._reserved, asked)
            if exceeded is None or self.limits.on_exceed == WARN:
                self._reserved = self._reserved.plus(asked)
            else:
                self.refused += 1
        return exceeded

    def release(self, asked: Amounts) -> None:
        """Give back what a call had reserved.

        Args:
            asked: What it had asked for.
        """
        if self.limits is not None:
            with self._lock:
                self._reserved = self._reserved.minus(asked)

    def settle(self, asked: Amounts, call: Call, *, late: bool = False) -> None:
        """Put a call on the account and give back what it had reserved, at once.

        Args:
            asked: What it had reserved.
            call: The call.
            late: It is on the account already; what comes now are its tokens.
        """
        with self._lock:
            self._reserved = self._reserved.minus(asked)
            self._totals.add(call, late=late)
            self._models.setdefault(call.model, Totals()).add(call, late=late)
            self._outcomes.setdefault(call.outcome, Totals()).add(call, late=late)
            if late:
                self._complete(call)
            elif len(self._calls) < _KEPT:
                self._calls.append(call)

    def read(
        self,
    ) -> tuple[Totals, dict[str, Totals], dict[str, Totals], tuple[Call, ...]]:
        """Return the sums in all, by model and by outcome, and the calls."""
        with self._lock:
            return (
                self._totals.copy(),
                {model: totals.copy() for model, totals in self._models.items()},
                {name: totals.copy() for name, totals in self._outcomes.items()},
                tuple(self._calls),
            )

    def _complete(self, late: Call) -> None:
        """Put tokens that came late into the record of their call."""
        for position in range(len(self._calls) - 1, -1, -1):
            known = self._calls[position]
            if known.usage is None and known.span_id == late.span_id:
                usage, cost = late.usage, late.cost
                self._calls[position] = known._replace(usage=usage, cost=cost)
                return

    def _spent(self) -> Amounts:
        """Return what has been spent; a cache's answers cost no call."""
        totals = self._totals
        saved = self._outcomes.get(CACHE_HIT)
        calls = totals.calls - (saved.calls if saved else 0)
        return Amounts(totals.total_tokens, totals.cost, calls)


current: Final[ContextVar[tuple[Account, ...]]] = ContextVar(
    "otel_callbacks_accounts", default=()
)
"""The accounts of the code that runs, outermost first."""


process: Final[list[Account]] = []
"""The account of the whole process, once settings have given it a budget."""


class _Budgeted:
    """How many accounts with limits are in use: the path of a call asks only that."""

    count = 0
    is_quiet = False


def budgets_in_use() -> bool:
    """Say whether any account with limits is in use, in any thread."""
    return _Budgeted.count > 0


def use_budget(change: int) -> None:
    """Note that an account with limits comes into use, or is no longer.

    Args:
        change: 1 or -1.
    """
    with _lock:
        if not _Budgeted.is_quiet:
            _Budgeted.is_quiet = True
            logging.getLogger(_LANGCHAIN).addFilter(_is_no_refusal)
        _Budgeted.count += change


def _is_no_refusal(record: logging.LogRecord) -> bool:  # noqa: ARG001 -- a filter's
    """Let pass what LangChain says of other exceptions: a refusal reaches the app."""
    return not isinstance(sys.exception(), Refusal)


_lock = threading.Lock()
