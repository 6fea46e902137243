"""Log lines of three outputs, joined to their trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run

pytestmark = pytest.mark.recent


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("log_correlation")


def _traces(ran: Ran) -> list[str]:
    """Return the ids of the traces, in the order of the customers."""
    return [span.trace_id for span in ran.named("RunnableSequence")]


def test_lines_on_stdout_name_their_trace(ran: Ran) -> None:
    """A tool's line and a callback's begin with the id that Jaeger shows."""
    written = [line.split(" ", 1) for line in ran.output.splitlines()]
    for text in ("flower_shop: tool: 29 euros", "flower_shop: callback: answered"):
        assert [one[0] for one in written if one[1:] == [text]] == _traces(ran)


def test_files_are_joined_by_the_trace(ran: Ran) -> None:
    """For each trace the lines of ``logging`` and of loguru are found, of no other."""
    for trace_id, flower in zip(_traces(ran), ("roses", "lilies"), strict=True):
        found = ran.output.partition(f"what the files have of trace {trace_id}\n")[2]
        lines = [line.strip() for line in found.partition("\n\n")[0].splitlines()]
        ours = [line for line in lines if "HTTP" not in line]
        assert sorted(ours) == [
            "flower_shop: callback: answered",
            "flower_shop: tool: 29 euros",
            f"loguru: tool: looked up {flower}",
        ]


def test_two_customers_have_two_traces(ran: Ran) -> None:
    """Each trace has the tool and the call, and both calls are counted."""
    for span in ran.named("RunnableSequence"):
        assert ran.below(span) == ["execute_tool look_up", "chat gpt-4o-mini"]
    calls = ran.named("chat gpt-4o-mini")
    spent = sum(each.attributes["gen_ai.usage.output_tokens"] for each in calls)
    labels = "request_model=gpt-4o-mini token_type=output outcome=ok"
    assert ran.counters("tokens_total")[labels] == spent
