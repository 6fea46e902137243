"""The gap between what we counted and what a provider did, by model and day."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks.cli import report_source as source
from otel_callbacks.cli.report_spend import (
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    TOKEN_TYPE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from otel_callbacks.cli.reconcile_export import Item
    from otel_callbacks.cli.report_source import Sample

SERIES: Final = (source.TOKENS, source.COST)
"""What is compared."""

INPUT: Final = "input tokens"
OUTPUT: Final = "output tokens"
COST: Final = "cost, $"
_DATE: Final = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|\d{4})$")

Counts = dict[tuple[str, str], float]
"""Model and what is counted -> how much."""


class Gap(NamedTuple):
    """One number of ours beside one of theirs."""

    day: date | None
    """None where we know no days."""
    model: str
    what: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """How much more we counted, to a billionth: sums of doubles are no closer."""
        return round(self.ours - self.theirs, 9)

    @property
    def percent(self) -> float:
        """The difference as a part of theirs; infinite where they have nothing."""
        if not self.difference:
            return 0.0
        return 100 * self.difference / self.theirs if self.theirs else float("inf")


def ours(samples: Iterable[Sample], provider: str) -> Counts:
    """Add up what we counted, by the model that answered.

    Args:
        samples: What was read.
        provider: Only this one's; all where it is empty.
    """
    counts: Counts = {}
    for sample in samples:
        labels = sample.labels
        if provider and labels.get(PROVIDER) != provider:
            continue
        model = labels.get(RESPONSE_MODEL) or labels.get(REQUEST_MODEL) or ""
        if sample.series == source.TOKENS:
            is_input = labels.get(TOKEN_TYPE) == semconv.INPUT
            key = model, INPUT if is_input else OUTPUT
        elif sample.series == source.COST:
            key = model, COST
        else:
            continue
        counts[key] = counts.get(key, 0) + sample.value
    return counts


def theirs(items: Iterable[Item]) -> Counts:
    """Add up what the provider counted.

    Args:
        items: Of its export.
    """
    counts: Counts = {}
    for item in items:
        said = (INPUT, item.input_tokens), (OUTPUT, item.output_tokens)
        for what, value in (*said, (COST, item.cost_usd)):
            if value is not None:
                key = item.model, what
                counts[key] = counts.get(key, 0) + value
    return counts


def gaps(day: date | None, our: Counts, their: Counts) -> list[Gap]:
    """Put both side by side; only what the provider counts at all.

    Args:
        day: Of both, or None.
        our: What we counted.
        their: What the provider counted.
    """
    kinds = {what for _, what in their}
    models = {model for model, _ in their}
    total = models == {""}
    names = _matched({model for model, _ in our}, models)
    counted: Counts = {}
    for (model, what), value in our.items():
        key = "" if total else names[model], what
        counted[key] = counted.get(key, 0) + value
    keys = {key for key in {*counted, *their} if key[1] in kinds}
    order = (INPUT, OUTPUT, COST)
    return [
        Gap(day, *key, counted.get(key, 0), their.get(key, 0))
        for key in sorted(keys, key=lambda key: (key[0], order.index(key[1])))
        if counted.get(key) or their.get(key)
    ]


def _matched(our: set[str], their: set[str]) -> Mapping[str, str]:
    """Say what each of our models is called in the export.

    An export may leave out the date of a model's version, or our series may.
    """
    exact = {name.lower(): name for name in their}
    matched = {}
    for name in our:
        # Two dates are two versions: one of both sides must have none.
        like = [
            one
            for one in their
            if _undated(one) == _undated(name)
            and _undated(name) in {one.lower(), name.lower()}
        ]
        matched[name] = exact.get(name.lower(), like[0] if len(like) == 1 else name)
    return matched


def _undated(name: str) -> str:
    """Return a model's name without the date of its version."""
    return _DATE.sub("", name.lower())
