"""Puts model calls on the accounts of the code that makes them, and checks budgets.

A run that several handlers report to different pipelines is on an account once.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from opentelemetry import trace

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import Response, Usage
from otel_callbacks._spend import accounts
from otel_callbacks._spend.accounts import Call
from otel_callbacks._spend.budgets import NOTHING, WARN, Amounts

if TYPE_CHECKING:
    from otel_callbacks._diagnostics import Counts, Health
    from otel_callbacks._records import End, Price, Request
    from otel_callbacks._runs.run import Run
    from otel_callbacks._spend.accounts import Account

_CALLS: Final = semconv.BILLED_OPERATIONS
_SECONDS: Final = 1e-9


class Charge:
    """Which accounts one run is on.

    Args:
        on: The accounts.
        owner: The run; of several pipelines' the one that tells of its end.
        asked: What the run has reserved on each.
        outside: The span outside, where the run has none of its own.
    """

    __slots__ = ("asked", "has_span", "on", "outside", "owner")

    def __init__(
        self,
        on: tuple[Account, ...],
        owner: Run,
        asked: Amounts = NOTHING,
        outside: trace.SpanContext | None = None,
    ) -> None:
        self.on = on
        self.owner = owner
        self.asked = asked
        self.outside = outside
        self.has_span = outside is None


_charges: dict[int, Charge] = {}
"""Of the open model calls, by run: another pipeline may report the same one."""

# A forked child never hears of the ends of its parent's calls.
os.register_at_fork(after_in_child=_charges.clear)


class LedgerSink:
    """Keeps the accounts of one pipeline's runs.

    Args:
        price: Says what a call cost.
        health: Says once what a budget cannot see, or would have refused.
        exceeded: Counts the calls beyond a budget.
        has_spans: Whether the pipeline's runs have spans.
    """

    name: Final = "ledger"

    def __init__(
        self,
        price: Price,
        health: Health,
        exceeded: Counts,
        *,
        has_spans: bool = True,
    ) -> None:
        self._price = price
        self._health = health
        self._exceeded = exceeded
        self._has_spans = has_spans

    def started(self, run: Run) -> None:
        """Find a run's accounts, and refuse it where it would exceed a budget.

        Args:
            run: The run that starts.
        """
        here = accounts.current.get()
        above = None if run.parent is None else run.parent.account
        if not here and above is None and not accounts.process:
            return
        on = dict.fromkeys(accounts.process)
        on.update((account, None) for account in here if not account.closed)
        if isinstance(above, Charge):
            on.update(dict.fromkeys(above.on))
        if not on:
            return
        if run.request.operation in _CALLS:
            self._charge(run, tuple(on))
        else:
            run.account = Charge(tuple(on), run)

    def ended(self, run: Run, end: End) -> None:
        """Put a call on its accounts.

        Args:
            run: The run that ended.
            end: How it ended.
        """
        charge = run.account
        if not isinstance(charge, Charge) or run.request.operation not in _CALLS:
            return
        if charge.owner is not run or run.refusal is not None:
            return
        call = _call(run, end, charge.outside)
        asked = NOTHING if end.late else charge.asked
        for account in charge.on:
            account.settle(asked, call, late=end.late)
        if not end.late:
            _charges.pop(run.key, None)

    def _charge(self, run: Run, on: tuple[Account, ...]) -> None:
        """Put a model call on accounts, unless another pipeline has."""
        known = _charges.get(run.key)
        if known is not None:
            run.account = known
            if self._has_spans and not known.has_span:
                known.owner, known.outside, known.has_span = run, None, True
            return
        asked = self._asked(run, on) if any(one.limits for one in on) else NOTHING
        if not self._reserve(run, on, asked):
            return
        outside = None
        if not self._has_spans:
            outside = trace.get_current_span().get_span_context()
        run.account = _charges[run.key] = Charge(on, run, asked, outside)

    def _reserve(self, run: Run, on: tuple[Account, ...], asked: Amounts) -> bool:
        """Reserve on each account, or on none where one of them refuses."""
        for position, account in enumerate(on):
            exceeded = account.reserve(asked)
            if exceeded is None or account.limits is None:
                continue
            self._exceeded.add(exceeded.budget, account.limits.on_exceed)
            if account.limits.on_exceed == WARN:
                self._warn(account, str(exceeded))
                continue
            for before in on[:position]:
                before.release(asked)
            run.refusal = exceeded
            run.counted = False  # no call was made
            return False
        return True

    def _warn(self, account: Account, what: str) -> None:
        """Say once for each account that a budget is exceeded."""
        if not account.warned:
            account.warned = True
            told = what.replace("the call was not made", f"on_exceed is {WARN!r}")
            self._health.say(
                f"{told}. Further calls beyond it are counted in "
                "otel_callbacks_budget_exceeded_total and not logged.",
            )

    def _asked(self, run: Run, on: tuple[Account, ...]) -> Amounts:
        """Return what a call may spend at most, as far as can be known before."""
        request = run.request
        most = request.attributes.get(semconv.REQUEST_MAX_TOKENS, 0)
        choices = request.attributes.get(semconv.REQUEST_CHOICE_COUNT, 1)
        both = isinstance(most, int) and isinstance(choices, int)
        most = int(most) * int(choices) if both else 0  # type: ignore[arg-type]
        expected = run.expected
        usage = Usage(1 if expected is None else expected.tokens, most)
        given, taken = usage.input_tokens or 0, usage.output_tokens or 0
        cost = None
        if any(one.limits is not None and one.limits.cost for one in on):
            cost = self._price(request, Response(usage=usage), run.start_ns)
            if cost is None:
                self._say_unpriced(request)
        return Amounts(given + taken, cost or Decimal(0), 1)

    def _say_unpriced(self, request: Request) -> None:
        """Say once that a budget of money cannot see a model."""
        self._health.say_once(
            "unpriced_budget",
            f"the price of model {request.model!r} is not known, so a budget of money "
            "cannot hold it back. A file named by OTEL_CALLBACKS_PRICES can give it.",
            about=request.model,
        )


def _call(run: Run, end: End, outside: trace.SpanContext | None) -> Call:
    """Return the record of a call that has ended."""
    request, response, failure = run.request, end.response, end.failure
    span = getattr(run, "span", None)
    context = outside if span is None else span.get_span_context()
    known = context is not None and context.is_valid
    return Call(
        request.operation,
        request.provider,
        request.model or (response.model if response is not None else ""),
        end.outcome,
        None if response is None else response.usage,
        end.cost,
        0.0 if end.late else (end.end_ns - run.start_ns) * _SECONDS,
        "" if failure is None else failure.error_class,
        f"{context.trace_id:032x}" if context is not None and known else "",
        f"{context.span_id:016x}" if context is not None and known else "",
    )
