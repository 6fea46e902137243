"""The conversation in the flower shop: streamed, and counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run

CHAT = "chat gpt-4o-mini"


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("flower_shop")


def test_conversation_is_printed(ran: Ran) -> None:
    """The words of each answer stand together, in the order of the questions."""
    talk = ran.output.partition("\nspans")[0]
    assert talk.split("\n")[1:3] == [
        "customer  What is in season?",
        "florist   Peonies and sweet peas, cut this morning.",
    ]
    assert talk.count("customer") == 3
    assert not ran.errors


def test_handler_given_twice_makes_one_span(ran: Ran) -> None:
    """Three streamed calls are three spans, though the handler hangs on each twice."""
    assert [span.name for span in ran.spans] == [CHAT] * 3
    for span in ran.spans:
        first = span.attributes["gen_ai.response.time_to_first_chunk"]
        assert 0 < first < (span.end - span.start) / 1e9


def test_counters_equal_the_spans(ran: Ran) -> None:
    """What Prometheus reads is what the spans say, and the history grows."""
    inputs = [span.attributes["gen_ai.usage.input_tokens"] for span in ran.spans]
    outputs = [span.attributes["gen_ai.usage.output_tokens"] for span in ran.spans]
    assert inputs == sorted(set(inputs))
    assert ran.counters("tokens_total") == {
        "request_model=gpt-4o-mini token_type=input outcome=ok": sum(inputs),
        "request_model=gpt-4o-mini token_type=output outcome=ok": sum(outputs),
    }
    operations = {"request_model=gpt-4o-mini outcome=ok": 3}
    assert ran.counters("operations_total") == operations
