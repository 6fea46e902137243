"""Put model calls on the accounts of the code that makes them, and check budgets.

A run that several handlers report to several pipelines is on an account once.
"""

from __future__ import annotations

import os
import threading
import weakref
from decimal import Decimal
from operator import length_hint
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry import trace

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import (
    CACHE_HIT,
    ERROR,
    OK,
    Estimate,
    Response,
    Usage,
)
from otel_callbacks._spend import accounts
from otel_callbacks._spend.accounts import Call
from otel_callbacks._spend.budgets import (
    ALLOW,
    ANSWER,
    NOTHING,
    WARN,
    Amounts,
    Forecast,
    Reservation,
)
from otel_callbacks._spend.whereabouts import Whereabouts, live_generators

if TYPE_CHECKING:
    from otel_callbacks._diagnostics import Counts, Diagnostics
    from otel_callbacks._records import End, Price, Refusal, Request
    from otel_callbacks._spend.accounts import Account

_CALLS: Final = semconv.BILLED_OPERATIONS
_SECONDS: Final = 1e-9
_UNKNOWN: Final = Estimate()


class Run(Protocol):
    """The fields of a run that the ledger reads and sets."""

    key: int
    request: Request
    start_ns: int
    expected: Estimate | None
    lost: str
    account: object
    refusal: Refusal | None
    counted: bool

    @property
    def parent_run(self) -> Run | None:
        """The parent run, if any."""


class Charge:
    """The accounts of one run, and its reservations on them."""

    __slots__ = (
        "assumed",
        "batch",
        "expected",
        "has_span",
        "is_made",
        "on",
        "outside",
        "owner",
        "reserved",
        "sent",
        "tickets",
        "where",
    )

    def __init__(self, on: tuple[Account, ...], owner: Run, expected: int = 0) -> None:
        self.on = on
        self.owner = owner
        self.expected = expected
        # Stored before the account gets it: if a start or an end is interrupted, the
        # next one releases it.
        self.reserved: list[Reservation | None] = [None] * len(on)
        # One item for each account that the ended call is not yet on.
        self.tickets = iter((True,) * len(on))
        # The amounts of the input alone.
        self.sent = NOTHING
        # The assumed amounts on the accounts, until the tokens arrive.
        self.assumed = NOTHING
        # False if another call of its batch was refused before this one was made.
        self.is_made = True
        self.batch: list[Charge] = []
        self.where: Whereabouts | None = None
        # The run's span, or the surrounding span if the run has none.
        self.outside: trace.SpanContext | None = None
        self.has_span = True

    def release(self, *, is_sent: bool = False) -> None:
        """Release what is reserved, without the sent part if `is_sent`."""
        for account, held in zip(self.on, self.reserved, strict=True):
            if held is not None:
                account.release(held, is_sent=is_sent)

    def settle(self, call: Call) -> None:
        """Put the call on each of its accounts once, however often this is called."""
        while left := length_hint(self.tickets):
            held = self.reserved[-left]
            self.on[-left].settle(call, held, ticket=self.tickets)

    def is_over(self, generators: frozenset[int] | None, batch: list[Charge]) -> bool:
        """Return whether the call is over although its end is not reported yet."""
        if self.owner.lost or (self.batch is not batch and self._has_left()):
            return True
        run: Run | None = self.owner
        while run is not None:
            charge = run.account
            where = charge.where if isinstance(charge, Charge) else None
            if where is not None and where.is_dropped(generators):
                return True
            run = run.parent_run
        return False

    def _has_left(self) -> bool:
        """Return whether the task that made the call runs on without it."""
        return self.where is not None and self.where.has_left()


_charges: Final[dict[int, Charge]] = {}
"""Charges of open model calls, by run: another pipeline may report the same run."""


class _Batch(list[Charge]):
    """The charges of a batch; dropped with the last of them."""


_batches: Final[weakref.WeakValueDictionary[tuple[int, int, int], _Batch]] = (
    weakref.WeakValueDictionary()
)
"""Batches whose runs are starting, by thread, parent and size."""


# A forked child gets no ends of its parent's calls.
os.register_at_fork(after_in_child=_charges.clear)
os.register_at_fork(after_in_child=_batches.clear)


class LedgerSink:
    """Keeps the accounts of one pipeline's runs."""

    name: Final = "ledger"
    is_foreign: Final = False

    def __init__(
        self,
        price: Price,
        diagnostics: Diagnostics,
        exceeded: Counts,
        *,
        has_spans: bool = True,
    ) -> None:
        self._price = price
        self._diagnostics = diagnostics
        self._exceeded = exceeded
        self._has_spans = has_spans
        self._forecast = Forecast()

    def started(self, run: Run) -> None:
        """Set a run's accounts, and refuse the run if it would exceed a budget."""
        here = accounts.current.get()
        above = None if run.parent_run is None else run.parent_run.account
        if not here and above is None and not accounts.process:
            return  # as mostly
        on = dict.fromkeys(accounts.process)
        on.update((account, None) for account in here if not account.closed)
        if isinstance(above, Charge):
            on.update(dict.fromkeys(above.on))
        if not on:
            return
        if run.request.operation in _CALLS:
            self._charge(run, tuple(on))
        else:
            run.account = charge = Charge(tuple(on), run)
            if any(one.limits for one in on):
                charge.where = Whereabouts.here()

    def ended(self, run: Run, end: End) -> None:
        """Put a call on its accounts."""
        charge = run.account
        if not isinstance(charge, Charge) or run.request.operation not in _CALLS:
            return
        if charge.owner is not run or run.refusal is not None:
            return
        try:
            self._settle(run, end, charge)
        finally:  # also if that fails: nothing stays reserved
            charge.release()

    def _settle(self, run: Run, end: End, charge: Charge) -> None:
        """Put a call on its accounts, and learn from it."""
        span = getattr(run, "span", None)
        if span is not None:  # dropped when the run ends; tokens may arrive later
            charge.outside = span.get_span_context()
        call = self._assume(_call(run, end, charge.outside), run, end, charge)
        if end.late:
            for account in charge.on:
                account.settle(call, late=True)
        else:
            charge.settle(call)
            charge.batch, charge.where = [], None
            _charges.pop(run.key, None)
        if end.outcome == OK and run.expected is not None:
            usage = call.usage or Usage(None, _seen(end))
            self._forecast.learn(run.request, run.expected, usage, _choices(run))

    def _charge(self, run: Run, on: tuple[Account, ...]) -> None:
        """Put a model call on accounts, unless another pipeline has."""
        known = _charges.get(run.key)
        if known is not None:
            run.account = known
            if self._has_spans and not known.has_span:
                known.owner, known.outside, known.has_span = run, None, True
            return
        estimate = run.expected or _UNKNOWN
        expected = self._forecast.input_tokens(run.request, estimate)
        charge = Charge(on, run, expected)
        _join_batch(charge)
        if not self._has_spans:
            charge.outside = trace.get_current_span().get_span_context()
            charge.has_span = False
        # First, so that the end releases what is reserved even if this is interrupted.
        run.account = _charges[run.key] = charge
        if any(one.limits for one in on):
            charge.where = Whereabouts.here()
            try:
                is_allowed = self._reserve(charge)
            except Exception:  # noqa: BLE001 -- retried: a limit never fails open
                charge.release()
                is_allowed = self._reserve(charge)
            if not is_allowed:
                _charges.pop(run.key, None)
                run.account = None

    def _reserve(self, charge: Charge) -> bool:
        """Reserve on each account, or on none if one of them refuses."""
        run = charge.owner
        requested, least, is_priced = self._requested(charge)
        for position, account in enumerate(charge.on):
            if account.limits is None:
                continue
            refuses = account.limits.on_exceed != WARN
            for is_final in (False, True):  # pragma: no branch -- it breaks
                reservation = Reservation(
                    requested,
                    least,
                    charge.sent,
                    is_priced=is_priced,
                    is_final=is_final,
                )
                charge.reserved[position] = reservation
                account.reserve(reservation)
                exceeded = reservation.exceeded
                if exceeded is None or not refuses or is_final:
                    break
                _release_unreported_ends(account, charge)
            if exceeded is None:
                continue
            self._exceeded.add(exceeded.budget, account.limits.on_exceed)
            if account.limits.on_exceed == WARN:
                self._warn(account, str(exceeded))
                continue
            charge.release()
            for other in charge.batch:  # LangChain makes none of them
                other.release()
                other.is_made = False
            # The refusal's traceback keeps these frames, and so the ids of those runs.
            charge.batch.clear()
            run.refusal = exceeded
            run.counted = False  # no call was made
            return False
        if not is_priced:
            self._log_unpriced(charge)
        return True

    def _warn(self, account: Account, what: str) -> None:
        """Log once for each account that a budget is exceeded."""
        if not account.warned:
            account.warned = True
            what = what.replace("the call was not made", f"on_exceed is {WARN!r}")
            self._diagnostics.log(
                f"{what}. Further calls beyond it are counted in "
                "otel_callbacks_budget_exceeded_total and not logged.",
            )

    def _requested(self, charge: Charge) -> tuple[Amounts, Amounts, bool]:
        """Return the most and the least a call may spend, and whether it is priced."""
        run = charge.owner
        most = run.request.attributes.get(semconv.REQUEST_MAX_TOKENS)
        if run.request.operation == semconv.EMBEDDINGS:
            most = 0
        if not isinstance(most, int):
            most = self._forecast.output_tokens(run.request)
        charge.sent = self._amounts(charge, 0)[0]
        least, is_priced = self._amounts(charge, 1 if most is None else most)
        if most is not None:
            return least, least, is_priced
        # The answer length of a new model is not known: its calls reserve much, or what
        # is left.
        return self._amounts(charge, ANSWER)[0], least, is_priced

    def _amounts(self, charge: Charge, output_tokens: int) -> tuple[Amounts, bool]:
        """Return the amounts of a call, and whether its price is known."""
        output_tokens *= _choices(charge.owner)
        tokens = charge.expected + output_tokens
        if not any(one.limits is not None and one.limits.cost for one in charge.on):
            return Amounts(tokens, calls=1), True
        cost = self._usd(charge.owner, Usage(charge.expected, output_tokens))
        return Amounts(tokens, cost or Decimal(0), 1), cost is not None

    def _usd(self, run: Run, usage: Usage) -> Decimal | None:
        """Return the cost of tokens in US dollars; None if the price is not known."""
        return self._price(run.request, Response(usage=usage), run.start_ns).usd

    def _assume(self, call: Call, run: Run, end: End, charge: Charge) -> Call:
        """Add an estimate of the usage if the provider did not report it."""
        if end.late:
            if call.usage is None:
                return call
            less, charge.assumed = NOTHING.minus(charge.assumed), NOTHING
            return call._replace(assumed_tokens=less.tokens, assumed_cost=less.cost)
        missing = _missing(end, charge)
        if missing is None:
            return call
        cost = self._usd(run, Usage(*missing))
        tokens = sum(missing)
        charge.assumed = Amounts(tokens, cost or Decimal(0))
        return call._replace(assumed_tokens=tokens, assumed_cost=cost)

    def _log_unpriced(self, charge: Charge) -> None:
        """Log once that a cost budget does not cover a model."""
        limits = [one.limits for one in charge.on if one.limits is not None]
        if not {one.on_unpriced for one in limits if one.cost} - {ALLOW}:
            return
        model = charge.owner.request.model
        self._diagnostics.log_once(
            "unpriced_budget",
            f"the price of model {model!r} is not known, so a budget of money "
            "cannot hold it back: on_unpriced is 'count', and its tokens are counted "
            "as unpriced. A file named by OTEL_CALLBACKS_PRICES can give its price; "
            "on_unpriced='raise' refuses its calls.",
            about=model,
        )


def _missing(end: End, charge: Charge) -> tuple[int, int] | None:
    """Return the tokens sent and received that the usage does not report."""
    response, failure = end.response, end.failure
    usage = None if response is None else response.usage
    if end.outcome == CACHE_HIT or not charge.is_made:
        return None
    if response is not None and not response.usage_expected:
        return None
    seen = _seen(end)
    if end.outcome == ERROR and not seen and not (failure and failure.was_sent):
        return None
    run = charge.owner
    lacks_input = usage is None or usage.input_tokens is None
    lacks_output = run.request.operation != semconv.EMBEDDINGS and (
        usage is None or usage.output_tokens is None
    )
    if not (lacks_input or lacks_output):
        return None
    most = run.request.attributes.get(semconv.REQUEST_MAX_TOKENS)
    if isinstance(most, int):  # the text is only an estimate
        seen = min(seen, most * _choices(run))
    return charge.expected * lacks_input, seen * lacks_output


def _seen(end: End) -> int:
    """Return the output tokens received, at least one for each chunk."""
    chunks = len(end.chunk_ns)
    return chunks if end.response is None else max(end.response.seen_tokens, chunks)


def _join_batch(charge: Charge) -> None:
    """Group the runs that LangChain starts before the first call of their batch."""
    run = charge.owner
    size = run.request.batch_size
    if size <= 1:
        return
    parent = 0 if run.parent_run is None else run.parent_run.key
    key = threading.get_ident(), parent, size
    batch = _batches.get(key)
    if batch is None or any(_charges.get(one.owner.key) is not one for one in batch):
        batch = _Batch()
    charge.batch = batch
    batch.append(charge)
    _batches[key] = batch
    if len(batch) >= size:
        del _batches[key]


def _release_unreported_ends(account: Account, requesting: Charge) -> None:
    """Release what is reserved by calls whose end is not reported yet."""
    generators = live_generators()
    for charge in list(_charges.values()):
        if account in charge.on and charge.is_over(generators, requesting.batch):
            # It was sent, so its input stays reserved until its end is reported.
            charge.release(is_sent=True)


def _choices(run: Run) -> int:
    """Return the number of answers that the provider generates."""
    choices = run.request.attributes.get(semconv.REQUEST_CHOICE_COUNT, 1)
    made = 1 if run.expected is None else run.expected.answers
    return max(choices if isinstance(choices, int) else 1, made, 1)


def _call(run: Run, end: End, context: trace.SpanContext | None) -> Call:
    """Return the record of a call that has ended."""
    request, response, failure = run.request, end.response, end.failure
    ids = "", ""
    if context is not None and context.is_valid:
        ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return Call(
        request.operation,
        request.provider,
        request.model or (response.model if response is not None else ""),
        end.outcome,
        None if response is None else response.usage,
        end.cost,
        (end.end_ns - run.start_ns) * _SECONDS,
        "" if failure is None else failure.error_class,
        *ids,
        is_partly_priced=end.is_partly_priced,
    )
