"""Spend by model, outcome and label: samples of series, added up."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics.series import label
from otel_callbacks.cli.report import prometheus as source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_callbacks.cli.report.prometheus import Sample

REQUEST_MODEL: Final = label(semconv.REQUEST_MODEL)
RESPONSE_MODEL: Final = label(semconv.RESPONSE_MODEL)
PROVIDER: Final = label(semconv.PROVIDER_NAME)
TOKEN_TYPE: Final = label(semconv.TOKEN_TYPE)
_OPERATION: Final = label(semconv.OPERATION_NAME)
_PAID: Final = semconv.MODEL_OPERATIONS | {semconv.EMBEDDINGS}

NUMBERS: Final = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "saved_tokens",
    "saved_usd",
    "unpriced_tokens",
)


@dataclasses.dataclass(slots=True)
class Spend:
    """What was spent, and what a cache saved.

    Args:
        calls: Model calls that ended.
        input_tokens: Tokens in.
        output_tokens: Tokens out.
        cost_usd: US dollars, of the calls that have a price.
        saved_tokens: Tokens that a cache saved.
        saved_usd: US dollars that it saved.
        unpriced_tokens: Tokens that have no price.
    """

    calls: float = 0
    input_tokens: float = 0
    output_tokens: float = 0
    cost_usd: float = 0
    saved_tokens: float = 0
    saved_usd: float = 0
    unpriced_tokens: float = 0

    def numbers(self) -> dict[str, float]:
        """Return the numbers by name: counts whole, dollars to a billionth."""
        return {
            name: round(getattr(self, name), 9 if name.endswith("_usd") else None)
            for name in NUMBERS
        }

    def add(self, name: str, value: float) -> None:
        """Add to one of the numbers.

        Args:
            name: Which one.
            value: How much.
        """
        setattr(self, name, getattr(self, name) + value)


UNPRICED: Final = "unpriced"
"""Stands for an outcome where the tokens without a price are: these say none."""

Key = tuple[str, ...]
"""Model, outcome, and the values of further labels."""


def spend(samples: Iterable[Sample], by: Sequence[str] = ()) -> dict[Key, Spend]:
    """Add up samples.

    Args:
        samples: What was read.
        by: Further labels to tell apart.

    Returns:
        What was spent by model, outcome and these labels, the dearest model first.
    """
    rows: dict[Key, Spend] = {}
    for sample in samples:
        number = _number(sample)
        if not number or not sample.value:
            continue
        labels = sample.labels
        model = labels.get(REQUEST_MODEL) or labels.get(RESPONSE_MODEL) or "unknown"
        outcome = labels.get(semconv.LABEL_OUTCOME) or labels.get(semconv.LABEL_REASON)
        key = (model, outcome or UNPRICED, *(labels.get(one, "") for one in by))
        rows.setdefault(key, Spend()).add(number, sample.value)
    costs: dict[str, float] = {}
    for key, row in rows.items():
        costs[key[0]] = costs.get(key[0], 0) + row.cost_usd
    return dict(sorted(rows.items(), key=lambda row: (-costs[row[0][0]], row[0])))


def total(rows: Iterable[Spend]) -> Spend:
    """Add up rows.

    Args:
        rows: What was spent.
    """
    everything = Spend()
    for row in rows:
        for name in NUMBERS:
            everything.add(name, getattr(row, name))
    return everything


def _number(sample: Sample) -> str:
    """Name the number that a sample belongs to; empty for what is no model call."""
    operation = sample.labels.get(_OPERATION)
    if operation is not None and operation not in _PAID:
        return ""
    if sample.series == source.TOKENS:
        return f"{sample.labels.get(TOKEN_TYPE, semconv.OUTPUT)}_tokens"
    return {
        source.TOKENS_SAVED: "saved_tokens",
        source.COST: "cost_usd",
        source.COST_SAVED: "saved_usd",
        source.OPERATIONS: "calls",
        source.UNPRICED: "unpriced_tokens",
    }[sample.series]
