"""What calls will use, learned from the last answers of their model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_callbacks._records import Estimate, Request, Usage
from otel_callbacks._spend import forecast
from otel_callbacks._spend.forecast import Forecast

if TYPE_CHECKING:
    import pytest

ASK = Request("chat", "rose", "openai", "rose")
PROMPT = Estimate(100, (4,))


def test_after_three_answers_the_largest_counts_with_a_margin() -> None:
    """Before that the estimate stands; never less than a fifth of it."""
    known = Forecast()
    for tokens in (40, 50):
        known.learn(ASK, PROMPT, Usage(tokens, 7), 1)
        assert known.input_tokens(ASK, PROMPT) == 100
    known.learn(ASK, PROMPT, Usage(30, 9), 1)
    assert known.input_tokens(ASK, PROMPT) in {55, 56}
    assert known.input_tokens(ASK, Estimate(100, (1,))) == 100
    for _ in range(20):
        known.learn(ASK, PROMPT, Usage(1, 1), 1)
    assert known.input_tokens(ASK, PROMPT) == 20


def test_one_answer_above_the_estimate_is_enough() -> None:
    """Too little is worse than too much."""
    known = Forecast()
    known.learn(ASK, PROMPT, Usage(200, 1), 1)
    assert known.input_tokens(ASK, PROMPT) in {220, 221}


def test_the_longest_of_the_last_answers_counts() -> None:
    """For each choice; of a model that has not answered nothing is known."""
    known = Forecast()
    assert known.output_tokens(ASK) is None
    known.learn(ASK, PROMPT, Usage(None, 30), 3)
    known.learn(ASK, PROMPT, Usage(None, 4), 1)
    assert known.output_tokens(ASK) == 10
    for _ in range(20):
        known.learn(ASK, PROMPT, Usage(None, 4), 1)
    assert known.output_tokens(ASK) == 4


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app may make up a model's name for each call."""
    monkeypatch.setattr(forecast, "_MODELS", 10)
    known = Forecast()
    for number in range(100):
        known.learn(ASK._replace(model=f"rose-{number}"), PROMPT, Usage(1, 1), 1)
        assert len(known._answers) <= 10
