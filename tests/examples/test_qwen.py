"""Qwen at an address of one's own: where, how much, and what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Ran, Run


@pytest.fixture(scope="module")
def ran(run_example: Run) -> Ran:
    """The example, run once."""
    return run_example("qwen")


def test_chinese_stays_chinese(ran: Ran) -> None:
    """The answer is printed as it was said."""
    assert "顾客  今天有什么花？" in ran.output  # noqa: RUF001 -- Chinese signs
    assert "花店  牡丹、芍药，还有刚到的郁金香。" in ran.output  # noqa: RUF001


def test_span_has_the_address_of_the_call(ran: Ran) -> None:
    """The address is that of the base URL, and the model is Qwen."""
    attributes = ran.spans[0].attributes
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] > 0
    assert attributes["gen_ai.request.model"] == "qwen-plus"
    assert f"server.port               {attributes['server.port']}" in ran.output


def test_usage_is_present_only_if_requested(ran: Ran) -> None:
    """The stream that was not asked for its usage has none, and says so once."""
    requested, unrequested = ran.spans
    assert requested.attributes["gen_ai.usage.output_tokens"] == 15
    assert "gen_ai.usage.output_tokens" not in unrequested.attributes
    assert ran.errors.count("stream_usage=True") == 1


def test_cost_is_by_the_file_of_prices(ran: Ran) -> None:
    """Ten tokens in at 0.4 and fifteen out at 1.2 dollars a million."""
    cost = (10 * 0.4 + 15 * 1.2) / 1e6
    assert ran.spans[0].attributes["otel_callbacks.cost_usd"] == pytest.approx(cost)
    assert "otel_callbacks.cost_usd" not in ran.spans[1].attributes


def test_model_without_a_price_costs_nothing_made_up(run_example: Run) -> None:
    """A model that nobody has a price for has tokens and no cost."""
    ran = run_example("qwen", MODEL="qwen-of-tomorrow")
    assert "otel_callbacks.cost_usd   nothing" in ran.output
    assert sum(ran.counters("tokens_total").values()) == 25
    assert "otel_callbacks.cost_usd" not in ran.spans[0].attributes
    assert not ran.counters("cost_usd_total")
