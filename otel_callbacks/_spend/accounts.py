"""Accounts of model calls: their sums, their records and their limits.

The accounts of a call are set when it starts: those of the context that makes it, and
those of its parent run.
"""

from __future__ import annotations

import functools
import itertools
import logging
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
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
        model: The requested model, else the model of the response.
        outcome: ``ok``, ``error``, ``cancelled``, ``abandoned`` or ``cache_hit``.
        usage: Tokens as the provider counted them; None if it did not report them.
        cost: US dollars, spent or saved; None if the price is not known.
        seconds: The duration.
        error_class: One of the closed set; empty on success.
        trace_id: Trace id of its span, 32 hexadecimal digits; empty without a span.
        span_id: Span id, 16 hexadecimal digits; empty without a span.
        assumed_tokens: Estimated tokens that were sent and received, if the provider
            did not report the usage.
        assumed_cost: US dollars for these tokens; None if the price is not known.
        is_partly_priced: Whether `cost` lacks a part whose price is not known, such as
            a web search.
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
        """Return the call as a JSON-compatible dict."""
        fields = self._asdict()
        del fields["cost"], fields["assumed_cost"]
        fields["usage"] = None if self.usage is None else self.usage._asdict()
        return {**fields, "cost_usd": self.cost_usd}


@dataclass(slots=True)
class Totals:
    """Sums over calls. Calls answered by a cache count as saved, not as spent."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    details: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DETAILS, 0))
    cost: Decimal = Decimal(0)
    saved_tokens: int = 0
    saved_cost: Decimal = Decimal(0)
    unpriced_tokens: int = 0
    partly_priced_calls: int = 0
    unknown_calls: int = 0
    assumed_tokens: int = 0
    assumed_cost: Decimal = Decimal(0)

    def add(self, call: Call, *, late: bool = False) -> None:
        """Add a call; a late one was added before, without its tokens."""
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
        # When tokens arrive late, the assumed amounts are negative: they cancel out.
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
        """Input and output tokens."""
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
        """Return the sums as a JSON-compatible dict."""
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
        """Return a copy of the current sums."""
        other = Totals()
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        other.details = dict(self.details)
        return other


_KEPT: Final = 10_000
_LANGCHAIN: Final = logging.getLogger("langchain_core.callbacks.manager")

_Calls: TypeAlias = tuple[tuple[Call, ...], ...]
"""Calls in order, in ever shorter tuples, so that appending does not copy all."""


class _Sums(NamedTuple):
    """The state of an account; replaced as a whole and never changed."""

    totals: Totals
    models: dict[str, Totals]
    outcomes: dict[str, Totals]
    calls: _Calls = ()
    late: _Calls = ()
    reserved: Amounts = NOTHING
    refused: int = 0


class _Ended(NamedTuple):
    """A call that has ended, or its late tokens."""

    call: Call
    late: bool


_Entry: TypeAlias = "Reservation | Amounts | _Ended | None"
"""Amounts are released. None marks a fork: the parent keeps what is reserved."""


class Account:
    """The usage of a group of calls, and its limits; no thread waits for another."""

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
        """Drop what the parent's calls have reserved."""
        self._tally.add(None)

    def spent(self) -> _Sums:
        """Return all sums, without the reservations of open calls."""
        return self._tally.read()._replace(reserved=NOTHING)

    @property
    def refused(self) -> int:
        """The number of calls refused by the limits."""
        return self._tally.read().refused

    @property
    def reserved(self) -> Amounts:
        """The amounts reserved by open calls."""
        return self._tally.read().reserved

    def reserve(self, reservation: Reservation) -> None:
        """Reserve what a call may spend, and set the decision on the reservation."""
        if self.limits is not None:
            self._tally.add(reservation)
            self._tally.read()

    def release(self, held: Reservation, *, is_sent: bool) -> None:
        """Release what a call has reserved; if it was sent, all but its input."""
        self._tally.extend(self._released(held, is_sent=is_sent))

    def settle(
        self,
        call: Call,
        held: Reservation | None = None,
        *,
        late: bool = False,
        ticket: Iterator[bool] | None = None,
    ) -> None:
        """Put a call, or its late tokens, on the account and release what it reserved.

        The call is added only if its ticket, an iterator, has an item left.
        """
        ended = itertools.compress((_Ended(call, late),), ticket or once())
        released = () if held is None else self._released(held)
        self._tally.extend(itertools.chain(ended, released))

    def _released(
        self, held: Reservation, *, is_sent: bool = False
    ) -> Iterator[Amounts]:
        """Return the amounts to release."""
        if not held.is_decided:  # interrupted: it may not be folded yet
            self._tally.read()
        return held.held(is_sent=is_sent)

    def read(
        self,
    ) -> tuple[Totals, dict[str, Totals], dict[str, Totals], tuple[Call, ...]]:
        """Return the totals, the sums by model and by outcome, and the calls."""
        sums = self._tally.read()
        return (
            sums.totals.copy(),
            {model: totals.copy() for model, totals in sums.models.items()},
            {name: totals.copy() for name, totals in sums.outcomes.items()},
            _completed(sums.calls, sums.late),
        )


def _fold(limits: Limits | None, sums: _Sums, entries: Sequence[_Entry]) -> _Sums:
    """Return the sums with entries added, and decide on their reservations."""
    totals = sums.totals.copy()
    models, outcomes = _Copies(sums.models), _Copies(sums.outcomes)
    reserved, refused = sums.reserved, sums.refused
    calls: list[Call] = []
    late: list[Call] = []
    for entry in entries:
        if entry is None:
            reserved = NOTHING
        elif isinstance(entry, Reservation):
            assert limits is not None  # noqa: S101 -- else no reservation
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
    """Copies of the sums that change."""

    def __init__(self, originals: dict[str, Totals]) -> None:
        self._originals = originals

    def __missing__(self, name: str) -> Totals:
        original = self._originals.get(name)
        copy = self[name] = Totals() if original is None else original.copy()
        return copy

    def seen(self, name: str) -> Totals | None:
        """Return the current sums of a name, if any."""
        return self.get(name, self._originals.get(name))

    def all(self) -> dict[str, Totals]:
        """Return all sums: the copies, and the unchanged originals."""
        return {**self._originals, **self} if self else self._originals


def _longer(calls: _Calls, more: list[Call]) -> _Calls:
    """Return the calls with more appended, up to the limit."""
    last = tuple(more[: _KEPT - sum(map(len, calls))])
    if not last:
        return calls
    while calls and len(calls[-1]) <= len(last):
        *calls, before = calls  # type: ignore[assignment]
        last = before + last
    return (*calls, last)


def _completed(calls: _Calls, late: _Calls) -> tuple[Call, ...]:
    """Return the calls, with late tokens put into the records of their calls."""
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
    """Return the amounts spent or assumed; cache hits do not count as calls."""
    calls = totals.calls - (saved.calls if saved else 0)
    tokens = totals.total_tokens + totals.assumed_tokens
    return Amounts(tokens, EXACT.add(totals.cost, totals.assumed_cost), calls)


current: Final[ContextVar[tuple[Account, ...]]] = ContextVar(
    "otel_callbacks_accounts", default=()
)
"""The accounts of the current context, outermost first."""


process: Final[list[Account]] = []
"""The account of the whole process, if the settings give it a budget."""


_in_use: Final[list[None]] = []
"""One item for each account in use: all that the hot path checks."""


def accounts_in_use() -> bool:
    """Return whether any account is in use, in any thread."""
    return bool(_in_use)


def use_account(change: int) -> None:
    """Count an account into use, or out of use if the change is negative."""
    if change < 0:
        _in_use.pop()
        return
    _in_use.append(None)
    if _is_no_refusal not in _LANGCHAIN.filters:
        _LANGCHAIN.addFilter(_is_no_refusal)


def _is_no_refusal(record: logging.LogRecord) -> bool:  # noqa: ARG001 -- a filter's
    """Drop LangChain's log record of a refusal, which the app gets as an exception."""
    return not isinstance(sys.exception(), Refusal)
