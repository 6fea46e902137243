"""What a tree of runs did, as sums."""

from __future__ import annotations

from decimal import Context, Decimal, FloatOperation, Inexact, localcontext
from typing import TYPE_CHECKING

from otel_callbacks._records import OK, End, Response, Usage
from otel_callbacks._spans import sums as rollup

if TYPE_CHECKING:
    from otel_callbacks._runs.run import Tally


def _end(response: Response | None) -> End:
    """Return the end of a run that gave this back."""
    return End(OK, 0, response)


def test_model_calls_and_tokens_are_summed() -> None:
    """Calls count one each, tokens are added, tools are counted apart."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(Response(usage=Usage(10, 5, cache_read=4))))
    rollup.note(entries, "text_completion", _end(Response(usage=Usage(1, 2))))
    rollup.note(entries, "execute_tool", _end(None))
    assert rollup.attributes(entries) == {
        "otel_callbacks.calls": 2,
        "otel_callbacks.tool_calls": 1,
        "otel_callbacks.input_tokens": 11,
        "otel_callbacks.output_tokens": 7,
    }


def test_calls_without_tokens_count() -> None:
    """A call that failed, said no usage or half of it, is a call all the same."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(None))
    rollup.note(entries, "chat", _end(Response()))
    rollup.note(entries, "chat", _end(Response(usage=Usage(None, 3))))
    assert entries == [
        (1, 0, 0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0, 0, 0),
        (1, 0, 0, 3, 0, 3, 0),
    ]


def test_cache_hits_spend_no_tokens() -> None:
    """What LangChain's cache answered is a call, but no tokens."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(Response(usage=Usage(10, 5), cache_hit=True)))
    assert entries == [(1, 0, 0, 0, 0, 0, 0)]


def test_chains_and_retrievals_do_not_count() -> None:
    """Only calls of models and tools are summed."""
    entries: list[Tally] = []
    rollup.note(entries, "", _end(None))
    rollup.note(entries, "retrieval", _end(Response()))
    assert entries == []


def test_cost_is_summed() -> None:
    """Only where the price of a call is known."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(Response())._replace(cost=Decimal("0.25")))
    rollup.note(entries, "chat", _end(Response())._replace(cost=Decimal("0.5")))
    rollup.note(entries, "chat", _end(Response()))
    assert rollup.attributes(entries)["otel_callbacks.cost_usd"] == 0.75


def test_a_sum_says_when_a_part_of_it_has_no_price() -> None:
    """Whole calls by their tokens, and parts of calls; not where all has none."""
    priced = _end(Response(usage=Usage(1_500, 500)))._replace(cost=Decimal("0.0125"))
    unpriced = _end(Response(usage=Usage(15_000, 3_000)))
    entries: list[Tally] = []
    rollup.note(entries, "chat", unpriced)
    assert "otel_callbacks.unpriced_tokens" not in rollup.attributes(entries)
    rollup.note(entries, "chat", priced)
    sums = rollup.attributes(entries)
    assert sums["otel_callbacks.cost_usd"] == 0.0125
    assert sums["otel_callbacks.unpriced_tokens"] == 18_000
    assert sums["otel_callbacks.partly_priced"] is True
    entries = []
    rollup.note(entries, "chat", priced)
    assert "otel_callbacks.partly_priced" not in rollup.attributes(entries)
    rollup.note(entries, "chat", priced._replace(is_partly_priced=True))
    sums = rollup.attributes(entries)
    assert sums["otel_callbacks.partly_priced"] is True
    assert "otel_callbacks.unpriced_tokens" not in sums


def test_the_apps_decimal_context_changes_no_sum() -> None:
    """Neither its precision nor its traps."""
    entries: list[Tally] = []
    for _ in range(3):
        cost = Decimal("107.406666")
        rollup.note(entries, "chat", _end(Response())._replace(cost=cost))
    with localcontext(Context(prec=3, traps=[Inexact, FloatOperation])):
        sums = rollup.attributes(entries)
    assert sums["otel_callbacks.cost_usd"] == 322.219998


def test_calls_of_an_agent_are_counted_by_kind() -> None:
    """An agent's series want its model calls and its tool calls, and no tokens."""
    entries: list[Tally] = []
    assert rollup.counts(entries) == (0, 0)
    rollup.note(entries, "chat", _end(Response(usage=Usage(10, 5))))
    rollup.note(entries, "chat", _end(None))
    rollup.note(entries, "execute_tool", _end(None))
    assert rollup.counts(entries) == (2, 1)
