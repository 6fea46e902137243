from __future__ import annotations

from datetime import date

from otel_callbacks.cli.reconcile.command import (
    COST,
    INPUT,
    OUTPUT,
    Gap,
    gaps,
    ours,
    theirs,
)
from otel_callbacks.cli.reconcile.exports import Item
from otel_callbacks.cli.report.prometheus import read_metrics

DAY = date(2024, 11, 1)


def test_what_we_counted(metrics: str) -> None:
    """By the model that answered; all outcomes are spent, what is saved is not."""
    counts = ours(read_metrics(metrics).samples, "openai")
    assert {key: round(value, 6) for key, value in counts.items()} == {
        ("gpt-4o-mini-2024-07-18", INPUT): 1_200_500,
        ("gpt-4o-mini-2024-07-18", OUTPUT): 100_000,
        ("gpt-4o-mini-2024-07-18", COST): 0.240075,
    }
    assert ("rose-1", INPUT) in ours(read_metrics(metrics).samples, "")


def test_what_they_counted() -> None:
    """Items of one model are added up; what is not said is not 0."""
    items = Item(DAY, "a", 1, 2), Item(DAY, "a", 3), Item(DAY, "b", cost_usd=0.5)
    assert theirs(items) == {("a", INPUT): 4, ("a", OUTPUT): 2, ("b", COST): 0.5}


def test_gaps_of_each_number() -> None:
    """Only kinds that the export counts; both sides' models."""
    our = {("a", INPUT): 110.0, ("a", COST): 1.0, ("c", INPUT): 5.0}
    their = {("a", INPUT): 100.0, ("b", INPUT): 7.0, ("d", INPUT): 0.0}
    assert gaps(DAY, our, their) == [
        Gap(DAY, "a", INPUT, 110, 100),
        Gap(DAY, "b", INPUT, 0, 7),
        Gap(DAY, "c", INPUT, 5, 0),
    ]


def test_differences() -> None:
    """In their measure; where they have nothing it has none."""
    assert Gap(DAY, "a", INPUT, 110, 100).percent == 10
    assert Gap(DAY, "a", INPUT, 90, 100).difference == -10
    assert Gap(DAY, "a", INPUT, 5, 0).percent == float("inf")
    assert Gap(DAY, "a", INPUT, 0, 0).percent == 0


def names(our: str, their: str) -> set[str]:
    """Return the models that stand in the comparison."""
    found = gaps(
        None,
        {(name, INPUT): 1.0 for name in our.split()},
        {(name, INPUT): 1.0 for name in their.split()},
    )
    return {gap.model for gap in found}


def test_dated_names_are_matched() -> None:
    """A version's date may be missing on one side; two dates are two versions."""
    assert names("gpt-4o-mini", "gpt-4o-mini-2024-07-18") == {"gpt-4o-mini-2024-07-18"}
    assert names("gpt-4o-mini-2024-07-18", "gpt-4o-mini") == {"gpt-4o-mini"}
    assert names("GPT-4o-mini", "gpt-4o-mini") == {"gpt-4o-mini"}
    assert names("claude-3-5-haiku-20241022", "claude-3-5-haiku") == {
        "claude-3-5-haiku"
    }
    both = {"gpt-4o-2024-08-06", "gpt-4o-2024-05-13"}
    assert names("gpt-4o-2024-08-06", "gpt-4o-2024-05-13") == both
    # Which of the two it is nobody knows.
    assert names("gpt-4o", " ".join(both)) == {*both, "gpt-4o"}


def test_an_export_without_models_has_the_total() -> None:
    """OpenAI's costs are one sum for a day, unless they are grouped."""
    our = {("a", COST): 0.25, ("b", COST): 0.5}
    assert gaps(DAY, our, {("", COST): 0.75}) == [Gap(DAY, "", COST, 0.75, 0.75)]
