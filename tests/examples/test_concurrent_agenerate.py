"""Three ``agenerate`` at once: what the app knows is what Prometheus reads."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run

CHAT = "chat gpt-4o-mini"


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("concurrent_agenerate")


def test_each_question_has_its_answer(ran: Ran) -> None:
    """The answers stand below their questions, though all were asked at once."""
    talk = re.findall(r"customer  (.*)\nflorist   (.*)", ran.output)
    assert len(talk) == 3
    assert talk[1] == ("送给妈妈什么花好？", "康乃馨，或者一束牡丹。")  # noqa: RUF001


def test_totals_equal_the_counters(ran: Ran) -> None:
    """The tokens of `track_usage`, the counters and the spans are one number."""
    spent = sum(
        span.attributes[f"gen_ai.usage.{kind}_tokens"]
        for span in ran.spans
        for kind in ("input", "output")
    )
    assert f"\ntrack_usage  {spent} tokens, $0.0000" in ran.output
    assert f"\ncounters     {spent} tokens\n" in ran.output


def test_calls_overlap_in_traces_of_their_own(ran: Ran) -> None:
    """Three traces at one time, and the output names each."""
    assert [span.name for span in ran.spans] == [CHAT] * 3
    for one, other in combinations(ran.spans, 2):
        assert one.start < other.end
        assert other.start < one.end
        assert one.trace_id != other.trace_id
    named = re.findall(rf"trace        (\w{{32}})  {CHAT}", ran.output)
    assert named == [span.trace_id for span in ran.spans]
