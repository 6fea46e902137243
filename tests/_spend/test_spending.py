"""The record of one call and the sums over many."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from reporting import Reporter

from otel_callbacks import track_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE: dict[str, Any] = {
    "input_tokens": 10,
    "output_tokens": 4,
    "total_tokens": 14,
    "input_token_details": {"cache_read": 6},
    "output_token_details": {"reasoning": 2},
}


def answer(usage: Any, **metadata: Any) -> LLMResult:
    """Return a model's answer."""
    message = AIMessage("x", usage_metadata=usage, response_metadata=metadata)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


PAID = answer(USAGE, cost=0.5)
SAVED = answer(USAGE | {"total_cost": 0}, cost=0.5)
UNPRICED = answer(USAGE)
SILENT = answer(None)


@pytest.fixture
def reporter() -> Iterator[Reporter]:
    """Return a reporter of calls."""
    with Reporter() as made:
        yield made


def spent(reporter: Reporter, *answers: LLMResult) -> Any:
    """Report calls with these answers, and return their usage."""
    with track_usage() as usage:
        for one in answers:
            reporter.call([], one)
    return usage


def test_details_are_parts_and_not_added(reporter: Reporter) -> None:
    """Cached and reasoning tokens are in the totals already."""
    totals = spent(reporter, PAID, PAID).totals
    assert (totals.calls, totals.input_tokens, totals.output_tokens) == (2, 20, 8)
    assert totals.total_tokens == 28
    assert totals.details["cache_read"] == 12
    assert totals.details["reasoning"] == 4
    assert (totals.cost, totals.cost_usd) == (Decimal("1.0"), 1.0)


def test_what_a_cache_answers_is_saved(reporter: Reporter) -> None:
    """It is a call, and neither tokens nor money."""
    free = answer(USAGE | {"total_cost": 0})
    totals = spent(reporter, SAVED, free).totals
    assert (totals.calls, totals.total_tokens, totals.cost_usd) == (2, 0, 0)
    assert (totals.saved_tokens, totals.saved_cost_usd) == (28, 0.5)


def test_tokens_without_a_price_are_named(reporter: Reporter) -> None:
    """Nobody takes an unknown price for nothing spent."""
    totals = spent(reporter, UNPRICED, SILENT).totals
    assert (totals.total_tokens, totals.unpriced_tokens) == (14, 14)
    assert totals.cost == 0


def test_a_call_without_usage_is_unknown_until_its_tokens_arrive(
    reporter: Reporter,
) -> None:
    """A single assumed token is one, too; late ones replace it and add no call."""
    handler, run_id = reporter.handler, uuid4()
    with track_usage() as usage:
        handler.on_chat_model_start(None, [[]], run_id=run_id)
        handler.close()
        assert (usage.call_count, usage.unknown_calls) == (1, 1)
        assert usage.assumed_tokens == 1
        handler.on_llm_end(PAID, run_id=run_id)
    assert (usage.unknown_calls, usage.assumed_tokens) == (0, 0)
    assert (usage.call_count, usage.total_tokens) == (1, 14)


def test_a_copy_stands_still(reporter: Reporter) -> None:
    """What is read does not change under its reader."""
    with track_usage() as usage:
        reporter.call([], PAID)
        copy = usage.totals
        before = copy.to_dict()
        reporter.call([], PAID)
    assert copy.to_dict() == before
    assert usage.totals.details is not copy.details
    assert usage.totals.calls == 2


def test_sums_as_json(reporter: Reporter) -> None:
    """Every sum has its name and its unit."""
    assert spent(reporter, PAID, SAVED, UNPRICED).totals.to_dict() == {
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


def test_a_call_as_json(reporter: Reporter) -> None:
    """Money is a number there, and what is not known is null."""
    paid, silent = [call.to_dict() for call in spent(reporter, PAID, SILENT).calls]
    assert paid["cost_usd"] == 0.5
    assert paid["usage"]["input_tokens"] == 10
    assert "cost" not in paid
    assert (silent["usage"], silent["cost_usd"]) == (None, None)
