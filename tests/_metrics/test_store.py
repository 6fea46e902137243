"""A store that shows the conventions' series alone."""

from __future__ import annotations

from decimal import Decimal

from otel_callbacks._metrics import series as catalogue
from otel_callbacks._metrics.store import ConventionsOnly, OwnStore


def test_ours_are_kept_where_nobody_looks() -> None:
    """Series that the conventions lack go elsewhere, and nothing is lost there."""
    shown, nowhere = OwnStore(), OwnStore()
    silent = ConventionsOnly(shown, nowhere)
    silent.histograms(catalogue.TOKEN_USAGE)
    silent.counters(catalogue.TOKENS)
    silent.amounts(catalogue.COST).at(()).add(Decimal("0.1"), None)
    shown_names = [family.name for family in shown.families()]
    assert shown_names == [catalogue.TOKEN_USAGE.name]
    assert [family.name for family in nowhere.families()] == [
        catalogue.TOKENS.name.removesuffix("_total"),
        catalogue.COST.name.removesuffix("_total"),
    ]


def test_money_is_exact() -> None:
    """A hundred dimes of a cent are one cent, which floats would miss."""
    cost = OwnStore().amounts(catalogue.COST).at(())
    for _ in range(100):
        cost.add(Decimal("0.0001"), None)
    assert cost.value == Decimal("0.01")
