"""The agent with tools: its own shape in the trace, and one failed tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run

pytestmark = pytest.mark.recent


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("langgraph_agent")


def test_agent_answers(ran: Ran) -> None:
    """The model reads what was wrong, asks again, and answers."""
    lines = ran.output.partition("\nspans")[0].strip().splitlines()
    assert [line.split()[0] for line in lines] == [
        *("human", "ai", "tool", "ai", "tool", "tool", "ai")
    ]
    assert lines[2] == "tool  There is no 'peonies'; there are: peony, tulip"


def test_one_trace_has_the_agents_shape(ran: Ran) -> None:
    """Model and tools take turns below the agent."""
    (agent,) = ran.named("invoke_agent florist")
    assert {span.trace_id for span in ran.spans} == {agent.trace_id}
    assert ran.below(agent) == ["model", "tools", "model", "tools", "tools", "model"]
    assert "    model  " in ran.output


def test_tools_failure_is_on_its_span_only(ran: Ran) -> None:
    """The first look into the stock failed; nothing else did."""
    failed = [span for span in ran.spans if "error.type" in span.attributes]
    assert failed == ran.named("execute_tool in_stock")[:1]
    assert len(ran.named("execute_tool in_stock")) == 2
    assert len(ran.named("execute_tool price_of")) == 1


def test_counters_equal_the_spans(ran: Ran) -> None:
    """Three model calls, to the token."""
    calls = ran.named("chat gpt-4o-mini")
    assert len(calls) == 3
    for kind in ("input", "output"):
        labels = f"request_model=gpt-4o-mini token_type={kind} outcome=ok"
        spent = sum(each.attributes[f"gen_ai.usage.{kind}_tokens"] for each in calls)
        assert ran.counters("tokens_total")[labels] == spent
