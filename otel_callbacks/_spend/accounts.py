"""Accounts that calls are put on: their sums, their records and their limits.

Which accounts a call is on is found when it starts: those of the code that makes it,
and those of the run that it is part of.
"""

from __future__ import annotations

import functools
import itertools
import logging
import sys
from contextvars import ContextVar
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from otel_callbacks._background import Tally, call_after_fork, once
from otel_callbacks._records import CACHE_HIT, DETAILS, EXACT, Refusal, Usage
from otel_callbacks._spend.budgets import NOTHING, WARN, Amounts, Reservation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_callbacks._spend.budgets import Limits

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
        assumed_tokens: What was certainly sent and seen, where the provider did not say
            its usage.
        assumed_cost: US dollars for these; None if the price is not known.
        is_partly_priced: Whether something is billed beside `cost` whose price is not
            known, such as a web search.
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
    assumed_tokens: int = 0
    assumed_cost: Decimal | None = None
    is_partly_priced: bool = False

    @property
    def cost_usd(self) -> float | None:
        """US dollars as a number; None if the price is not known."""
        return None if self.cost is None else float(self.cost)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        fields = self._asdict()
        del fields["cost"], fields["assumed_cost"]
        fields["usage"] = None if self.usage is None else self.usage._asdict()
        return {**fields, "cost_usd": self.cost_usd}


class Totals:
    """Sums over calls. What a cache has answered is saved and not spent."""

    __slots__ = (
        "assumed_cost",
        "assumed_tokens",
        "calls",
        "cost",
        "details",
        "input_tokens",
        "output_tokens",
        "partly_priced_calls",
        "saved_cost",
        "saved_tokens",
        "unknown_calls",
        "unpriced_tokens",
    )

    def __init__(self) -> None:
        self.calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.details = dict.fromkeys(DETAILS, 0)
        self.cost = Decimal(0)
        self.saved_tokens = 0
        self.saved_cost = Decimal(0)
        self.unpriced_tokens = 0
        self.partly_priced_calls = 0
        self.unknown_calls = 0
        self.assumed_tokens = 0
        self.assumed_cost = Decimal(0)

    def add(self, call: Call, *, late: bool = False) -> None:
        """Add a call; one that is late was added before without its tokens."""
        usage = call.usage or _NO_USAGE
        tokens_in, tokens_out = usage.input_tokens or 0, usage.output_tokens or 0
        self.calls += not late
        if call.outcome == CACHE_HIT:
            self.saved_tokens += tokens_in + tokens_out
            self.saved_cost = EXACT.add(self.saved_cost, call.cost or 0)
            return
        self.input_tokens += tokens_in
        self.output_tokens += tokens_out
        for name in self.details:
            self.details[name] += getattr(usage, name)
        # What was assumed is taken back, as a negative number, when tokens come late.
        assumed = call.assumed_tokens
        self.unknown_calls += (assumed > 0) - (assumed < 0)
        self.assumed_tokens += assumed
        self.assumed_cost = EXACT.add(self.assumed_cost, call.assumed_cost or 0)
        self.partly_priced_calls += call.is_partly_priced
        if call.cost is not None:
            self.cost = EXACT.add(self.cost, call.cost)
        else:
            self.unpriced_tokens += tokens_in + tokens_out

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
            "partly_priced_calls": self.partly_priced_calls,
            "unknown_calls": self.unknown_calls,
            "assumed_tokens": self.assumed_tokens,
            "assumed_cost_usd": float(self.assumed_cost),
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
_LANGCHAIN: Final = logging.getLogger("langchain_core.callbacks.manager")

_Calls: TypeAlias = tuple[tuple[Call, ...], ...]
"""Calls in order, in ever shorter tuples: one more is added without a copy of all."""


class _Sums(NamedTuple):
    """What is on an account; replaced as a whole and never changed."""

    totals: Totals
    models: dict[str, Totals]
    outcomes: dict[str, Totals]
    calls: _Calls = ()
    late: _Calls = ()
    reserved: Amounts = NOTHING
    refused: int = 0


class _Ended(NamedTuple):
    """A call that has ended; or its tokens, where they come late."""

    call: Call
    late: bool = False


_Entry: TypeAlias = "Reservation | Amounts | _Ended | None"
"""Amounts are given back. None where a forked child begins: what is reserved is the
parent's."""


class Account:
    """What a group of calls has spent, and may spend.

    Nobody waits here for anybody: entries are folded in the order in which they were
    added, so whoever folds them comes to the same answers.

    Args:
        limits: What may be spent in all, if there is a limit.
        sums: What has been spent before.
    """

    __slots__ = ("__weakref__", "_tally", "closed", "limits", "warned")

    def __init__(self, limits: Limits | None = None, sums: _Sums | None = None) -> None:
        self.limits = limits
        self.closed = False
        self.warned = False
        self._tally: Tally[_Entry, _Sums] = Tally(
            _Sums(Totals(), {}, {}) if sums is None else sums,
            functools.partial(_fold, limits),
        )
        call_after_fork(self)

    def after_fork(self) -> None:
        """Leave to the parent what its calls have reserved."""
        self._tally.add(None)

    def spent(self) -> _Sums:
        """Return all sums, without what calls under way here have reserved."""
        return self._tally.read()._replace(reserved=NOTHING)

    @property
    def refused(self) -> int:
        """How many calls the limits have refused."""
        return self._tally.read().refused

    @property
    def reserved(self) -> Amounts:
        """What calls under way may still spend."""
        return self._tally.read().reserved

    def reserve(self, wanted: Reservation) -> None:
        """Reserve what a call may spend; the answer is in what was wanted.

        Whoever asks keeps that, whatever interrupts this, to give back what is granted.

        Args:
            wanted: What the call asks for.
        """
        if self.limits is not None:
            self._tally.add(wanted)
            self._tally.read()

    def release(self, held: Reservation, *, is_sent: bool = False) -> None:
        """Give back what a call had reserved.

        Args:
            held: What it had asked for.
            is_sent: The call was made: what it has sent stays reserved until its end.
        """
        self._tally.extend(self._back(held, is_sent=is_sent))

    def settle(
        self,
        call: Call,
        held: Reservation | None = None,
        *,
        late: bool = False,
        ticket: Iterator[bool] | None = None,
    ) -> None:
        """Put a call on the account and give back what it had reserved, at once.

        Args:
            call: The call.
            held: What it had asked for.
            late: It is on the account already; what comes now are its tokens.
            ticket: What this takes one of; where nothing is left the call is on the
                account already.
        """
        ended = itertools.compress((_Ended(call, late),), ticket or once())
        back = () if held is None else self._back(held)
        self._tally.extend(itertools.chain(ended, back))

    def _back(self, held: Reservation, *, is_sent: bool = False) -> Iterator[Amounts]:
        """Return what is given back."""
        if not held.is_answered:  # it was interrupted: perhaps it waits to be folded
            self._tally.read()
        return held.held(is_sent=is_sent)

    def read(
        self,
    ) -> tuple[Totals, dict[str, Totals], dict[str, Totals], tuple[Call, ...]]:
        """Return the sums in all, by model and by outcome, and the calls."""
        sums = self._tally.read()
        return (
            sums.totals.copy(),
            {model: totals.copy() for model, totals in sums.models.items()},
            {name: totals.copy() for name, totals in sums.outcomes.items()},
            _completed(sums.calls, sums.late),
        )


def _fold(limits: Limits | None, sums: _Sums, entries: Sequence[_Entry]) -> _Sums:
    """Return the sums with entries added, and answer what calls have asked."""
    totals = sums.totals.copy()
    models, outcomes = _Copies(sums.models), _Copies(sums.outcomes)
    reserved, refused = sums.reserved, sums.refused
    calls: list[Call] = []
    late: list[Call] = []
    for entry in entries:
        if entry is None:
            reserved = NOTHING
        elif isinstance(entry, Reservation):
            assert limits is not None  # noqa: S101 -- else nothing is asked
            spent = _spent(totals, outcomes.seen(CACHE_HIT))
            entry.exceeded = limits.exceeded(spent, reserved, entry.least)
            if not entry.is_priced and entry.exceeded is None:
                entry.exceeded = limits.unpriced(spent, reserved)
            granted = NOTHING
            if entry.exceeded is None:
                granted = limits.rest(spent, reserved, entry.asked)
            elif limits.on_exceed == WARN:
                granted = entry.least
            else:
                refused += entry.is_final
            entry.grant(granted)
            reserved = reserved.plus(entry.granted)
        elif isinstance(entry, Amounts):
            reserved = reserved.minus(entry)
        else:
            call = entry.call
            (late if entry.late else calls).append(call)
            for one in (totals, models[call.model], outcomes[call.outcome]):
                one.add(call, late=entry.late)
    return _Sums(
        totals,
        models.all(),
        outcomes.all(),
        _longer(sums.calls, calls),
        _longer(sums.late, late),
        reserved,
        refused,
    )


class _Copies(dict[str, Totals]):
    """Copies of the sums that are added to."""

    def __init__(self, originals: dict[str, Totals]) -> None:
        self._originals = originals

    def __missing__(self, name: str) -> Totals:
        original = self._originals.get(name)
        copy = self[name] = Totals() if original is None else original.copy()
        return copy

    def seen(self, name: str) -> Totals | None:
        """Return the sums of a name as they are by now, if there are any."""
        return self.get(name, self._originals.get(name))

    def all(self) -> dict[str, Totals]:
        """Return all sums: the copies, and what nothing was added to."""
        return {**self._originals, **self} if self else self._originals


def _longer(calls: _Calls, more: list[Call]) -> _Calls:
    """Return calls and the ones after them, as many as are kept."""
    last = tuple(more[: max(0, _KEPT - sum(map(len, calls)))])
    if not last:
        return calls
    while calls and len(calls[-1]) <= len(last):
        *calls, before = calls  # type: ignore[assignment]
        last = before + last
    return (*calls, last)


def _completed(calls: _Calls, late: _Calls) -> tuple[Call, ...]:
    """Return the calls with the tokens that came late in the records of their calls."""
    known = list(itertools.chain.from_iterable(calls))
    without: dict[str, list[int]] = {}
    if late:
        for position, call in enumerate(known):
            if call.usage is None:
                without.setdefault(call.span_id, []).append(position)
    for call in itertools.chain.from_iterable(late):
        if call.usage is not None and (positions := without.get(call.span_id)):
            position = positions.pop()
            known[position] = known[position]._replace(
                usage=call.usage,
                cost=call.cost,
                is_partly_priced=call.is_partly_priced,
                assumed_tokens=0,
                assumed_cost=None,
            )
    return tuple(known)


def _spent(totals: Totals, saved: Totals | None) -> Amounts:
    """Return what has been spent or must be assumed; a cache's answers are no call."""
    calls = totals.calls - (saved.calls if saved else 0)
    tokens = totals.total_tokens + totals.assumed_tokens
    return Amounts(tokens, EXACT.add(totals.cost, totals.assumed_cost), calls)


current: Final[ContextVar[tuple[Account, ...]]] = ContextVar(
    "otel_callbacks_accounts", default=()
)
"""The accounts of the code that runs, outermost first."""


process: Final[list[Account]] = []
"""The account of the whole process, once settings have given it a budget."""


_in_use: Final[list[None]] = []
"""One for each account with limits in use: the path of a call asks only that."""


def accounts_in_use() -> bool:
    """Return whether any account is in use, in any thread."""
    return bool(_in_use)


def use_account(change: int) -> None:
    """Note that an account comes into use, or is no longer."""
    if change < 0:
        _in_use.pop()
        return
    _in_use.append(None)
    if _is_no_refusal not in _LANGCHAIN.filters:
        _LANGCHAIN.addFilter(_is_no_refusal)


def _is_no_refusal(record: logging.LogRecord) -> bool:  # noqa: ARG001 -- a filter's
    """Let pass what LangChain says of other exceptions: a refusal reaches the app."""
    return not isinstance(sys.exception(), Refusal)
