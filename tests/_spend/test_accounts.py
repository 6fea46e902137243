"""Accounts: their sums, their records and their reservations."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from otel_callbacks._background import once
from otel_callbacks._records import Usage
from otel_callbacks._spend.accounts import (
    Account,
    Call,
    accounts_in_use,
    use_account,
)
from otel_callbacks._spend.budgets import (
    NOTHING,
    Amounts,
    BudgetExceeded,
    Limits,
    Reservation,
)

CALL = Call("chat", "openai", "gpt-4o", "ok", Usage(10, 4), Decimal("0.5"), 1.0)
LOST = CALL._replace(outcome="abandoned", usage=None, cost=None, span_id="0a")


def wanted(asked: Amounts, sent: Amounts = NOTHING) -> Reservation:
    """Return a reservation of all that is asked for, at a known price."""
    return Reservation(asked, asked, sent, is_priced=True, is_final=True)


def reserve(account: Account, asked: Amounts) -> BudgetExceeded | None:
    """Ask an account, and return what limit that goes beyond."""
    reservation = wanted(asked)
    account.reserve(reservation)
    return reservation.exceeded


LANGCHAIN = logging.getLogger("langchain_core.callbacks.manager")


def test_without_limits_nothing_is_reserved() -> None:
    """An account that only counts never refuses."""
    account = Account()
    asked = wanted(Amounts(10**9))
    account.reserve(asked)
    assert (asked.exceeded, asked.granted) == (None, NOTHING)
    account.release(asked, is_sent=False)
    account.settle(CALL)
    assert account.read()[0].total_tokens == 14


def test_reservations_add_up_until_the_limit() -> None:
    """Calls under way count as spent; what is released may be asked for again."""
    account = Account(Limits(tokens=100))
    first = wanted(Amounts(60, calls=1))
    account.reserve(first)
    assert first.exceeded is None
    refused = reserve(account, Amounts(60, calls=1))
    assert refused is not None
    assert (refused.reserved, refused.asked, account.refused) == (60, 60, 1)
    for _ in range(2):  # once, however often it is tried
        account.release(first, is_sent=False)
    second = wanted(Amounts(60, calls=1), sent=Amounts(15, calls=1))
    account.reserve(second)
    account.release(second, is_sent=True)
    assert (second.exceeded, account.reserved) == (None, Amounts(15, calls=1))
    ticket = once()
    for _ in range(2):
        account.settle(CALL, second, ticket=ticket)
    assert account.reserved == NOTHING
    assert reserve(account, Amounts(86, calls=1)) is None
    assert reserve(account, Amounts(1)) is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_a_reservation_that_is_cut_short_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """It is on the account already, and whoever has asked gives it back."""
    account = Account(Limits(tokens=100))
    assert reserve(account, Amounts(60)) is None

    def interrupt(*_: object) -> None:
        raise error

    cut_short = wanted(Amounts(30))
    with monkeypatch.context() as patched:
        patched.setattr(Limits, "exceeded", interrupt)
        with pytest.raises(error):
            account.reserve(cut_short)
    account.release(cut_short, is_sent=False)
    assert account.reserved == Amounts(60)
    assert reserve(account, Amounts(40)) is None


def test_a_warning_account_lets_through() -> None:
    """It says what is exceeded, and reserves all the same."""
    account = Account(Limits(calls=1, on_exceed="warn"))
    one = Amounts(calls=1)
    assert reserve(account, one) is None
    assert reserve(account, one) is not None
    third = reserve(account, one)
    assert third is not None
    assert (third.reserved, account.refused) == (2, 0)


def test_what_is_assumed_is_spent() -> None:
    """A call whose usage never gets known takes from what is left."""
    account = Account(Limits(tokens=100, cost=Decimal(1)))
    account.settle(LOST._replace(assumed_tokens=60, assumed_cost=Decimal("0.25")))
    assert reserve(account, Amounts(41)) is not None
    assert reserve(account, Amounts(0, Decimal("0.76"))) is not None
    assert reserve(account, Amounts(40, Decimal("0.75"))) is None


def test_answers_of_a_cache_are_no_calls_of_a_budget() -> None:
    """A limit of one call stands after any number of cache hits."""
    account = Account(Limits(calls=1))
    account.settle(CALL._replace(outcome="cache_hit"))
    assert reserve(account, Amounts(calls=1)) is None


def test_late_tokens_find_their_call() -> None:
    """They complete the record of the run that had been given up."""
    account = Account()
    for call in (LOST, CALL, LOST._replace(span_id="0b")):
        account.settle(call)
    late = LOST._replace(usage=Usage(3, 2), cost=Decimal(1))
    account.settle(late._replace(usage=None), late=True)
    account.settle(late, late=True)
    totals, models, outcomes, calls = account.read()
    assert [call.usage for call in calls] == [Usage(3, 2), Usage(10, 4), None]
    assert calls[0] == late
    assert (totals.calls, totals.total_tokens) == (3, 19)
    assert models["gpt-4o"].total_tokens == 19
    assert outcomes["abandoned"].total_tokens == 5


def test_late_tokens_without_a_record_are_summed() -> None:
    """The record may be beyond those that are kept."""
    account = Account()
    account.settle(LOST._replace(usage=Usage(3, 2)), late=True)
    totals, _, _, calls = account.read()
    assert (totals.total_tokens, calls) == (5, ())


@pytest.mark.parametrize("read_every", [1, 7, 20_000])
def test_sums_go_on_where_records_stop(read_every: int) -> None:
    """A block that runs for days does not grow."""
    account = Account()
    for number in range(10_020):
        account.settle(CALL._replace(seconds=number))
        if number % read_every == 0 and number < 500:
            account.read()
    totals, _, _, calls = account.read()
    assert totals.calls == 10_020
    assert [call.seconds for call in calls] == list(range(10_000))


def test_a_forked_child_has_reserved_nothing() -> None:
    """Its parent's calls end in the parent."""
    account = Account(Limits(tokens=10))
    assert reserve(account, Amounts(10)) is None
    account.after_fork()
    assert reserve(account, Amounts(10)) is None


def test_langchain_does_not_log_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """The app is told by the exception; other failures are logged as ever."""
    before = accounts_in_use()
    use_account(1)
    try:
        assert accounts_in_use()
        for error in (BudgetExceeded("calls", 1, 1, 0, 1), ValueError("x")):
            try:
                raise error
            except (BudgetExceeded, ValueError):
                LANGCHAIN.warning("about %s", type(error).__name__)
    finally:
        use_account(-1)
    assert [record.getMessage() for record in caplog.records] == ["about ValueError"]
    assert accounts_in_use() is before
