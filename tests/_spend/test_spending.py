"""The record of one call and the sums over many."""

from __future__ import annotations

from decimal import Decimal

from otel_callbacks._records import Usage
from otel_callbacks._spend.accounts import Call, Totals

USAGE = Usage(10, 4, cache_read=6, reasoning=2)
PAID = Call("chat", "openai", "gpt-4o", "ok", USAGE, Decimal("0.5"), 1.5)
SAVED = PAID._replace(outcome="cache_hit")
UNPRICED = PAID._replace(cost=None)
SILENT = PAID._replace(usage=None, cost=None)


def sums(*calls: Call) -> Totals:
    """Add calls up."""
    totals = Totals()
    for call in calls:
        totals.add(call)
    return totals


def test_details_are_parts_and_not_added() -> None:
    """Cached and reasoning tokens are in the totals already."""
    totals = sums(PAID, PAID)
    assert (totals.calls, totals.input_tokens, totals.output_tokens) == (2, 20, 8)
    assert totals.total_tokens == 28
    assert totals.details["cache_read"] == 12
    assert totals.details["reasoning"] == 4
    assert (totals.cost, totals.cost_usd) == (Decimal("1.0"), 1.0)


def test_what_a_cache_answers_is_saved() -> None:
    """It is a call, and neither tokens nor money."""
    totals = sums(SAVED, SAVED._replace(cost=None))
    assert (totals.calls, totals.total_tokens, totals.cost_usd) == (2, 0, 0)
    assert (totals.saved_tokens, totals.saved_cost_usd) == (28, 0.5)


def test_tokens_without_a_price_are_named() -> None:
    """Nobody takes an unknown price for nothing spent."""
    totals = sums(UNPRICED, SILENT)
    assert (totals.total_tokens, totals.unpriced_tokens) == (14, 14)
    assert totals.cost == 0


def test_a_call_without_usage_is_unknown_until_its_tokens_arrive() -> None:
    """A single assumed token is one, too."""
    totals = sums(SILENT._replace(assumed_tokens=1))
    assert (totals.unknown_calls, totals.assumed_tokens) == (1, 1)
    totals.add(PAID._replace(assumed_tokens=-1), late=True)
    assert (totals.unknown_calls, totals.assumed_tokens) == (0, 0)


def test_late_tokens_are_no_second_call() -> None:
    """The call was counted when it was given up."""
    totals = sums(SILENT)
    totals.add(PAID, late=True)
    assert (totals.calls, totals.total_tokens) == (1, 14)


def test_a_copy_stands_still() -> None:
    """What is read does not change under its reader."""
    totals = sums(PAID)
    copy = totals.copy()
    totals.add(PAID)
    assert copy.to_dict() == sums(PAID).to_dict()
    assert copy.details is not totals.details


def test_sums_as_json() -> None:
    """Every sum has its name and its unit."""
    assert sums(PAID, SAVED, UNPRICED).to_dict() == {
        "calls": 3,
        "input_tokens": 20,
        "output_tokens": 8,
        "total_tokens": 28,
        "cache_read": 12,
        "cache_write": 0,
        "reasoning": 4,
        "audio_input": 0,
        "audio_output": 0,
        "cost_usd": 0.5,
        "unpriced_tokens": 14,
        "partly_priced_calls": 0,
        "unknown_calls": 0,
        "assumed_tokens": 0,
        "assumed_cost_usd": 0.0,
        "saved_tokens": 14,
        "saved_cost_usd": 0.5,
    }


def test_a_call_as_json() -> None:
    """Money is a number there, and what is not known is null."""
    data = PAID.to_dict()
    assert data["cost_usd"] == 0.5
    assert data["usage"]["input_tokens"] == 10
    assert "cost" not in data
    silent = SILENT.to_dict()
    assert (silent["usage"], silent["cost_usd"]) == (None, None)
