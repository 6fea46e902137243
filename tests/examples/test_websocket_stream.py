"""Answers over WebSockets: to each customer their own, at one time."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("websocket_stream")


def _pieces(ran: Ran) -> list[tuple[str, str]]:
    """Return who got which piece, in the order in which they came."""
    lines = ran.output.partition("\n\nspans")[0].splitlines()
    return [
        (line[2:].partition("  ")[0], line[2:].partition("  ")[2]) for line in lines
    ]


def test_each_customer_gets_only_theirs(ran: Ran) -> None:
    """The pieces of each customer make up the answer to their question."""
    got = {
        name: "".join(piece for one, piece in _pieces(ran) if one == name)
        for name in ("Ann", "小明")
    }
    assert got == {
        "Ann": "Yes, half a day of it.",
        "小明": "需要，每天半日就够。",  # noqa: RUF001 -- Chinese signs
    }


def test_pieces_come_while_both_wait(ran: Ran) -> None:
    """The two streams take turns: neither waits for the other's end."""
    turns = [name for name, _ in groupby(_pieces(ran), key=lambda each: each[0])]
    assert len(turns) > 4


def test_each_call_is_below_its_own_request(ran: Ran) -> None:
    """Two traces, each of a request and its call, overlapping."""
    requests = ran.named("websocket /ask")
    assert [ran.below(each) for each in requests] == [["chat gpt-4o-mini"]] * 2
    one, other = ran.named("chat gpt-4o-mini")
    assert one.trace_id != other.trace_id
    assert other.start < one.end


def test_counters_equal_the_spans(ran: Ran) -> None:
    """Both calls are counted, to the token."""
    calls = ran.named("chat gpt-4o-mini")
    for kind in ("input", "output"):
        labels = f"request_model=gpt-4o-mini token_type={kind} outcome=ok"
        spent = sum(each.attributes[f"gen_ai.usage.{kind}_tokens"] for each in calls)
        assert ran.counters("tokens_total")[labels] == spent
