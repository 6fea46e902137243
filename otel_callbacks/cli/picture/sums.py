"""The sum check: compares the counters, the results and the sent usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics import series as catalogue
from otel_callbacks.cli.picture.timeline import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    _Counts = Mapping[tuple[str, str], "Sum"]

_OPERATION: Final = catalogue.label(semconv.OPERATION_NAME)

# Series -> the field of `Sum`; a token type is the name of its field.
_FIELDS: Final = {
    catalogue.OPERATIONS.name: "calls",
    catalogue.TOKENS.name: "",
    catalogue.TOKENS_SAVED.name: "",
    catalogue.COST.name: "cost",
    catalogue.COST_SAVED.name: "cost",
}
_UNFINISHED: Final = frozenset({"cancelled", "abandoned"})
_ORDER: Final = {outcome: place for place, outcome in enumerate(OUTCOMES)}


class Sum(NamedTuple):
    """Calls with their tokens and US dollars."""

    calls: int = 0
    input: int = 0
    output: int = 0
    cost: float = 0.0

    def plus(self, **more: float) -> Sum:
        """Return the sum with more of some fields."""
        return self._replace(
            **{name: getattr(self, name) + number for name, number in more.items()}
        )


class Sums(dict[tuple[str, str], Sum]):
    """Sums by requested model and outcome."""

    def add(self, model: str, outcome: str, **more: float) -> None:
        """Add to some fields of a sum."""
        self[model, outcome] = self.get((model, outcome), Sum()).plus(**more)


class Comparison(NamedTuple):
    """Counters and results of one model and one outcome."""

    model: str
    outcome: str
    counters: Sum
    results: Sum

    @property
    def equal(self) -> bool:
        """Whether counters and results have the same calls and tokens."""
        return self.counters[:3] == self.results[:3]

    @property
    def numbers(self) -> tuple[str, ...]:
        """Calls and tokens as text; unreported ones are unknown."""
        calls, input_tokens, output_tokens, _ = self.counters
        known = input_tokens or output_tokens or self.outcome not in _UNFINISHED
        tokens = (input_tokens, output_tokens)
        return f"{calls:,}", *(f"{one:,}" if known else "unknown" for one in tokens)


def counted(registry: CollectorRegistry) -> Sums:
    """Read the counters of model calls; cache hits count what they saved."""
    sums = Sums()
    for sample in (one for family in registry.collect() for one in family.samples):
        labels = sample.labels
        is_call = labels.get(_OPERATION) in semconv.MODEL_OPERATIONS
        # A series of zeros is no row.
        if not is_call or sample.name not in _FIELDS or not sample.value:
            continue
        field = _FIELDS[sample.name] or labels[catalogue.label(semconv.TOKEN_TYPE)]
        number = sample.value if field == "cost" else int(sample.value)
        outcome = labels.get(semconv.LABEL_OUTCOME) or labels[semconv.LABEL_REASON]
        model = labels[catalogue.label(semconv.REQUEST_MODEL)]
        sums.add(model, outcome, **{field: number})
    return sums


def compared(counters: _Counts, results: _Counts) -> list[Comparison]:
    """Compare the counters with the results."""
    return [
        Comparison(*key, counters.get(key, Sum()), results.get(key, Sum()))
        for key in sorted(
            {*counters, *results},
            key=lambda key: (key[0], _ORDER.get(key[1], len(_ORDER))),
        )
    ]


def spent(sums: _Counts) -> dict[str, tuple[int, int]]:
    """Return input and output tokens by model, without saved ones."""
    tokens: dict[str, tuple[int, int]] = {}
    for (model, outcome), one in sums.items():
        if outcome != "cache_hit" and (one.input or one.output):
            before = tokens.get(model, (0, 0))
            tokens[model] = (before[0] + one.input, before[1] + one.output)
    return tokens
