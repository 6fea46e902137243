"""The sum check: compares the counters, the results and the sent usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics import series as catalogue
from otel_callbacks.cli.picture.timeline import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.samples import Sample

    from otel_callbacks.testing import Tokens

_MODEL: Final = catalogue.label(semconv.REQUEST_MODEL)
_OPERATION: Final = catalogue.label(semconv.OPERATION_NAME)
_TOKEN_TYPE: Final = catalogue.label(semconv.TOKEN_TYPE)

_UNFINISHED: Final = frozenset({"cancelled", "abandoned"})
_ORDER: Final = {outcome: place for place, outcome in enumerate(OUTCOMES)}


class Sum(NamedTuple):
    """Calls and their tokens."""

    calls: int = 0
    input: int = 0
    output: int = 0

    def plus(self, calls: int = 0, input_: int = 0, output: int = 0) -> Sum:
        """Return the sum with more calls and tokens."""
        return Sum(self.calls + calls, self.input + input_, self.output + output)


Sums = dict[tuple[str, str], Sum]
"""Sums by requested model and outcome."""

Costs = dict[tuple[str, str], float]
"""US dollars by requested model and outcome."""

_NO_COSTS: Final[Costs] = {}


class Comparison(NamedTuple):
    """Counters, results and cost of one model and one outcome."""

    model: str
    outcome: str
    counters: Sum
    results: Sum
    cost: float = 0.0

    @property
    def equal(self) -> bool:
        """Whether counters and results are equal."""
        return self.counters == self.results

    @property
    def numbers(self) -> tuple[str, ...]:
        """Calls and tokens as text; unreported ones are unknown."""
        calls, input_tokens, output_tokens = self.counters
        known = input_tokens or output_tokens or self.outcome not in _UNFINISHED
        tokens = (input_tokens, output_tokens)
        return f"{calls:,}", *(f"{one:,}" if known else "unknown" for one in tokens)


class Till:
    """Adds up the app's results."""

    def __init__(self) -> None:
        self.sums: Sums = {}

    def add(
        self, model: str, outcome: str, usage: Mapping[str, Any] | None = None
    ) -> None:
        """Add one result."""
        tokens = usage or {}
        key = (model, outcome)
        self.sums[key] = self.sums.get(key, Sum()).plus(
            1, tokens.get("input_tokens", 0), tokens.get("output_tokens", 0)
        )


def counted(registry: CollectorRegistry) -> Sums:
    """Read the counters of model calls; cache hits count their saved tokens."""
    sums: Sums = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.labels.get(_OPERATION) in semconv.MODEL_OPERATIONS:
                _add(sums, sample)
    return sums


def costs(registry: CollectorRegistry) -> Costs:
    """Read the counters of costs, spent and saved."""
    found: Costs = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name in {catalogue.COST.name, catalogue.COST_SAVED.name}:
                key = (sample.labels[_MODEL], _outcome(sample))
                found[key] = found.get(key, 0.0) + sample.value
    return found


def compared(
    counters: Sums, results: Sums, costs: Mapping[tuple[str, str], float] = _NO_COSTS
) -> list[Comparison]:
    """Compare the counters with the results."""
    none = Sum()
    return [
        Comparison(
            *key, counters.get(key, none), results.get(key, none), costs.get(key, 0.0)
        )
        for key in sorted(
            {*counters, *results},
            key=lambda key: (key[0], _ORDER.get(key[1], len(_ORDER))),
        )
    ]


def spent(sums: Sums) -> dict[str, tuple[int, int]]:
    """Return input and output tokens by model, without saved ones."""
    tokens: dict[str, tuple[int, int]] = {}
    for (model, outcome), one in sums.items():
        if outcome != "cache_hit" and (one.input or one.output):
            before = tokens.get(model, (0, 0))
            tokens[model] = (before[0] + one.input, before[1] + one.output)
    return tokens


def sent(usage: Mapping[str, Tokens]) -> dict[str, tuple[int, int]]:
    """Return input and output tokens by model, as the fake provider sent them."""
    return {model: (tokens.input, tokens.output) for model, tokens in usage.items()}


def _outcome(sample: Sample) -> str:
    """Return the outcome of calls, or the reason of a saving."""
    labels = sample.labels
    return labels.get(semconv.LABEL_OUTCOME) or labels[semconv.LABEL_REASON]


def _add(sums: Sums, sample: Sample) -> None:
    """Add one sample to the sums."""
    labels, number = sample.labels, int(sample.value)
    if sample.name == catalogue.OPERATIONS.name:
        key, more = (labels[_MODEL], labels[semconv.LABEL_OUTCOME]), (number, 0, 0)
    elif sample.name in {catalogue.TOKENS.name, catalogue.TOKENS_SAVED.name}:
        key = (labels[_MODEL], _outcome(sample))
        is_input = labels[_TOKEN_TYPE] == semconv.INPUT
        more = (0, number, 0) if is_input else (0, 0, number)
    else:
        return
    if number:  # a series of zeros is no row
        sums[key] = sums.get(key, Sum()).plus(*more)
