from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from otel_callbacks._records import Usage
from otel_callbacks._spend.rates import IMAGE_INPUT, IMAGE_OUTPUT, PER_CALL, Rates, flat


def rates(**prices: str) -> Rates:
    """Return rates of flat prices."""
    return Rates({kind: flat(Decimal(price)) for kind, price in prices.items()})


def test_parts_cost_what_they_say() -> None:
    """Each token once: a part at its own price, the rest at the whole's."""
    asked = rates(
        input="2",
        output="8",
        cache_read="0.5",
        cache_write="2.5",
        reasoning="10",
        audio_input="40",
        audio_output="80",
    )
    usage = Usage(1000, 100, 200, 50, 30, 10, 5)
    millionths = 740 * 2 + 200 * Decimal("0.5") + 50 * Decimal("2.5") + 10 * 40
    millionths += 65 * 8 + 30 * 10 + 5 * 80
    assert asked.cost(usage) == millionths / 1_000_000


def test_a_part_without_a_price_costs_as_its_whole() -> None:
    """Nothing is free because its price is not named."""
    asked = rates(input="2", output="8")
    assert asked.cost(Usage(10, 10, 5, 5, 5, 5, 5)) == asked.cost(Usage(10, 10))


def test_tokens_without_a_price_have_no_cost() -> None:
    """An embedding model has no price for output, and needs none."""
    asked = rates(input="0.02")
    assert asked.cost(Usage(1_000_000, None)) == Decimal("0.02")
    assert asked.cost(Usage(10, 0)) is not None
    assert asked.cost(Usage(10, 1)) is None
    assert rates(output="1").cost(Usage(1, 1)) is None


@pytest.mark.parametrize(
    "usage",
    [Usage(10, 10, cache_read=11), Usage(None, 10, 5, 6), Usage(10, 10, reasoning=11)],
)
def test_parts_beyond_the_whole_have_no_cost(usage: Usage) -> None:
    """What contradicts itself is not paid for with a guess."""
    asked = rates(input="2", output="8", cache_read="1", cache_write="1", reasoning="9")
    assert asked.cost(usage) is None
    assert rates(input="2", output="8").cost(usage) is not None


def test_tiers_hold_for_all_tokens_of_a_call() -> None:
    """Above a number of input tokens, all of the call is at another price."""
    tiers = ((0, Decimal(1)), (200, Decimal(2)))
    asked = Rates({"input": tiers, "output": flat(Decimal(5))})
    assert asked.cost(Usage(200, 10)) == Decimal(250) / 1_000_000
    assert asked.cost(Usage(201, 10)) == Decimal(452) / 1_000_000
    assert asked.cost(Usage(0, 10)) == Decimal(50) / 1_000_000


def test_a_free_model_costs_nothing() -> None:
    """Zero is a cost, and not the same as none."""
    assert Rates({}, free=True).cost(Usage(10, 10, 5)) == 0
    assert rates(input="0", output="0").cost(Usage(10, 10)) == 0


def test_a_price_for_each_call() -> None:
    """Some sell the call beside the tokens."""
    asked = rates(input="1", output="1", **{PER_CALL: "5000"})
    assert asked.cost(Usage(10, 10)) == Decimal("0.00502")
    # Sums whose bits overlap.
    assert asked.cost(Usage(7, 1)) == Decimal("0.005008")


def test_it_is_exact_whatever_the_app_has_set() -> None:
    """Neither the app's decimal context nor large numbers change the sum."""
    asked = rates(input="0.000000123456789", output="3e2")
    with localcontext(prec=2):
        cost = asked.cost(Usage(2**53, 2**53))
    expected = 2**53 * 123456789 + 2**53 * 300 * 10**15
    assert cost is not None
    assert cost.as_integer_ratio() == Decimal(f"{expected}e-21").as_integer_ratio()


def test_what_is_billed_beside_tokens() -> None:
    """A part has its price, is in another one, or makes the cost a part of the sum."""
    asked = rates(input="2", output="8")
    usage = Usage(10, 10)
    cost = asked.cost(usage)
    assert asked.cost_of(usage, [(IMAGE_OUTPUT, 5)]) == (cost, False)
    assert asked.cost_of(usage, [("web_search", 1), (IMAGE_INPUT, 3)]) == (cost, True)
    assert rates(input="2").cost_of(usage, [("web_search", 1)]) == (None, False)


@pytest.mark.parametrize(
    ("input_tokens", "millionths"),
    [
        (None, 100 * (5 - 1)),
        (0, 100 * (5 - 1)),
        (1, 1 + 100 * (5 - 1)),
        (1000, 1000 + 100 * (5 - 1)),
        (1001, 1001 * 3 + 100 * (9 - 3)),
    ],
)
def test_what_is_billed_beside_tokens_has_the_tier_of_its_call(
    input_tokens: int | None, millionths: int
) -> None:
    """A part costs what its price is more than its whole's, in the same tier."""
    asked = Rates(
        {
            "input": ((0, Decimal(1)), (1000, Decimal(3))),
            IMAGE_INPUT: ((0, Decimal(5)), (1000, Decimal(9))),
        }
    )
    cost, is_partial = asked.cost_of(Usage(input_tokens, 0), [(IMAGE_INPUT, 100)])
    assert cost == Decimal(millionths) / 1_000_000
    assert not is_partial


def test_a_search_costs_its_own_price() -> None:
    """It is no part of the tokens, unless a price says that they include it."""
    asked = rates(input="2", output="8", web_search="10000")
    assert asked.cost_of(Usage(10, 0), [("web_search", 3)]) == (
        Decimal("0.03002"),
        False,
    )
    prices = {"input": flat(Decimal(2))}
    within = Rates(prices, included=["web_search"])
    assert within.cost_of(Usage(10, 0), [("web_search", 3)]) == (
        Decimal("0.00002"),
        False,
    )
