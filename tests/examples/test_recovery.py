"""Retry, fallback and remedy: every attempt is seen, every token counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run

MINI, NANO = "chat gpt-4o-mini", "chat gpt-4.1-nano"


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("recovery")


def test_each_customer_gets_an_answer(ran: Ran) -> None:
    """Three calls failed, and nobody noticed."""
    answers = [line.split(maxsplit=1) for line in ran.output.splitlines()[:4]]
    assert [how for how, _ in answers] == ["retry", "fallback", "too", "remedy"]
    assert answers[0][1] == "Until noon."
    assert answers[3][1] == "Ten peonies, in May."


def test_attempts_are_siblings(ran: Ran) -> None:
    """The losing and the winning attempt stand beside each other."""
    retry, fallback, remedy = (span for span in ran.spans if not span.parent_id)
    assert ran.below(retry) == ran.below(remedy) == [MINI, MINI]
    assert ran.below(fallback) == ["read", NANO]
    # The name of a chain that stands alone may say that it is a workflow.
    assert retry.name.endswith("with_retry")
    assert remedy.name.endswith("with_remedy")
    failed = [one for one in ran.named(MINI) if "error.type" in one.attributes]
    assert [one.attributes["otel_callbacks.error_class"] for one in failed] == [
        "rate_limited",
        "connection",
        "context_length",
    ]


def test_broken_stream_was_paid_for(ran: Ran) -> None:
    """The tokens of the stream that broke off are counted as those of an error."""
    broken = next(
        one
        for one in ran.named(MINI)
        if one.attributes.get("otel_callbacks.error_class") == "connection"
    )
    used = {
        kind: broken.attributes[f"gen_ai.usage.{kind}_tokens"]
        for kind in ("input", "output")
    }
    assert used == {"input": 10, "output": 15}
    assert broken.attributes["otel_callbacks.cost_usd"] > 0
    lost = {
        labels: value
        for labels, value in ran.counters("tokens_total").items()
        if labels.endswith("outcome=error")
    }
    assert lost == {
        f"request_model=gpt-4o-mini token_type={kind} outcome=error": value
        for kind, value in used.items()
    }
