"""What calls will use, learned from the last answers of their model.

An estimate of a prompt is an upper bound for any tokenizer and any provider. The last
answers to prompts of the same shape say by how much it is too high.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from otel_callbacks._records import Estimate, Request, Usage

ANSWER: Final = 4_096
"""Tokens of an answer of a model that has no limit and has not answered yet."""

_N = TypeVar("_N", int, float)
_KEPT: Final = 20
_ENOUGH: Final = 3
_MARGIN: Final = 1.1
_LEAST: Final = 0.2
_MODELS: Final = 2_000


class Forecast:
    """Learns from answers; what is learned is replaced and never changed."""

    def __init__(self) -> None:
        self._ratios: dict[object, tuple[float, ...]] = {}
        self._answers: dict[object, tuple[int, ...]] = {}

    def input_tokens(self, request: Request, estimate: Estimate) -> int:
        """Return how many tokens go in, at most."""
        key = request.provider, request.model, estimate.shape
        ratios = self._ratios.get(key, ())
        factor = max(ratios, default=0) * _MARGIN
        if len(ratios) < _ENOUGH:
            factor = max(factor, 1.0)
        return max(math.ceil(estimate.tokens * max(factor, _LEAST)), 1)

    def output_tokens(self, request: Request) -> int | None:
        """Return how many tokens a choice has, at most; None before the first one."""
        return max(
            self._answers.get((request.provider, request.model), ()), default=None
        )

    def learn(
        self, request: Request, estimate: Estimate, usage: Usage, choices: int
    ) -> None:
        """Note what a call that went well has used."""
        key = request.provider, request.model
        if usage.input_tokens:
            ratio = usage.input_tokens / estimate.tokens
            _note(self._ratios, (*key, estimate.shape), ratio)
        if usage.output_tokens:
            _note(self._answers, key, math.ceil(usage.output_tokens / choices))


def _note(known: dict[object, tuple[_N, ...]], key: object, value: _N) -> None:
    """Add a value to the last ones."""
    if key not in known and len(known) >= _MODELS:
        known.clear()
    known[key] = known.get(key, ())[1 - _KEPT :] + (value,)  # noqa: RUF005 -- its type
