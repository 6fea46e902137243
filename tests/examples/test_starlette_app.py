"""The web app: usage in headers, a budget for each request, ``/metrics``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("starlette_app")


def _answers(ran: Ran) -> list[tuple[int, int, float, str]]:
    """Return status, tokens, dollars and text of each answer."""
    found = re.findall(r"(?m)^(\d{3}) (\d+) tokens, \$([\d.]+): (.*)$", ran.output)
    return [(int(one), int(two), float(three), four) for one, two, three, four in found]


def test_usage_is_in_the_headers(ran: Ran) -> None:
    """Each answer says what it used: the tokens of its own call, and their price."""
    for answer, span in zip(_answers(ran)[:2], ran.spans[:2], strict=True):
        attributes = span.attributes
        used = (
            attributes["gen_ai.usage.input_tokens"]
            + attributes["gen_ai.usage.output_tokens"]
        )
        assert answer[:2] == (200, used)
        assert answer[2] == pytest.approx(
            attributes["otel_callbacks.cost_usd"], abs=1e-6
        )


def test_budget_ends_a_request(ran: Ran) -> None:
    """What would go beyond the budget is refused with 402, and was not asked."""
    status, tokens, dollars, message = _answers(ran)[2]
    assert status == 402
    assert tokens > 0
    assert 0 < dollars <= 0.0002
    assert "0.0002" in message
    assert 2 < len(ran.named("chat gpt-4o-mini")) < 99


def test_metrics_are_served(ran: Ran) -> None:
    """What Prometheus reads from the app is what its spans say."""
    for kind in ("input", "output"):
        spent = sum(
            span.attributes.get(f"gen_ai.usage.{kind}_tokens", 0) for span in ran.spans
        )
        labels = f"request_model=gpt-4o-mini token_type={kind} outcome=ok"
        assert ran.counters("tokens_total")[labels] == spent
    assert 'otel_callbacks_tokens_total{gen_ai_operation_name="chat"' in ran.output
