"""A cost is taken from the provider's own word, wherever it stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    LLMResult,
)

from otel_callbacks._readers.response import model_response
from otel_callbacks._readers.usage import reported_cost

USAGE = {"input_tokens": 4, "output_tokens": 14, "total_tokens": 18}
RAW = {"prompt_tokens": 4, "completion_tokens": 14, "total_tokens": 18}


def result(metadata: Any, usage: Any = USAGE, output: Any = None) -> LLMResult:
    """Return what a chat model gave back."""
    message = AIMessage(content="hi", usage_metadata=usage, response_metadata=metadata)
    return LLMResult(
        generations=[[ChatGeneration(text="hi", message=message)]], llm_output=output
    )


@pytest.mark.parametrize(
    ("metadata", "dollars"),
    [
        ({"token_usage": RAW | {"cost": 0.00095}}, "0.00095"),
        ({"usage": RAW | {"cost": 0.00095}}, "0.00095"),
        ({"model_provider": "openrouter", "cost": 0.0123}, "0.0123"),
        ({"cost": {"total_cost": 0.03015, "search_queries_cost": 0.015}}, "0.03015"),
        ({"token_usage": RAW | {"cost_in_usd_ticks": 37756000}}, "0.0037756"),
        ({"response_cost": 0.0002}, "0.0002"),
        ({"_hidden_params": {"response_cost": 2e-05}}, "0.00002"),
        ({"token_usage": RAW | {"cost": 0}}, "0"),
        ({"token_usage": RAW | {"cost": Decimal("0.5")}}, "0.5"),
    ],
)
def test_each_who_says_it(metadata: dict[str, Any], dollars: str) -> None:
    """OpenRouter, Perplexity, xAI and LiteLLM; a cost of 0 is one."""
    response = model_response(result(metadata))
    assert response.reported_cost == Decimal(dollars)
    assert response.usage is not None
    assert response.usage.output_tokens == 14


def test_what_another_provider_was_paid_is_added() -> None:
    """OpenRouter's own fee is not all where the user's key was used."""
    paid = {
        "cost": 0.001,
        "is_byok": True,
        "cost_details": {"upstream_inference_cost": 0.02},
    }
    assert reported_cost(None, {"usage": paid}) == Decimal("0.021")
    assert reported_cost(None, {"usage": paid | {"is_byok": False}}) == Decimal("0.001")
    del paid["cost_details"]
    assert reported_cost(None, {"usage": paid}) == Decimal("0.001")


@pytest.mark.parametrize(
    "value",
    [-0.1, float("nan"), float("inf"), "0.1", True, None, [1], 10**17, 10.0**17],
)
@pytest.mark.parametrize("key", ["cost", "response_cost", "cost_in_usd_ticks"])
def test_what_is_no_amount_of_money_is_none(key: str, value: Any) -> None:
    """Not a number, below 0, beyond all measure, or text."""
    assert model_response(result({key: value})).reported_cost is None
    assert reported_cost(None, {"cost": {"total_cost": value}}) is None


def test_langchains_own_total() -> None:
    """A total of 0 there is the mark of LangChain's cache and no cost."""
    told = model_response(result({}, USAGE | {"total_cost": 0.25}))
    assert told.reported_cost == Decimal("0.25")
    cached = model_response(result({}, USAGE | {"total_cost": 0}))
    assert cached.cache_hit
    assert cached.reported_cost is None


def test_a_cache_hit_saves_what_the_first_call_cost() -> None:
    """LangChain keeps the whole message, and so its cost."""
    kept = {"token_usage": RAW | {"cost": 0.5}}
    cached = model_response(result(kept, USAGE | {"total_cost": 0}))
    assert cached.cache_hit
    assert cached.reported_cost == Decimal("0.5")


def test_several_choices_cost_once() -> None:
    """The cost of a call stands beside the choices, or as a copy in each."""
    message = AIMessage(content="hi", usage_metadata=USAGE, response_metadata={})
    choice = ChatGeneration(text="hi", message=message)
    both = LLMResult(
        generations=[[choice, choice]],
        llm_output={"token_usage": RAW | {"cost": 0.5}},
    )
    assert model_response(both).reported_cost == Decimal("0.5")


def test_text_models() -> None:
    """Their cost stands in llm_output; in a batch with the first run."""
    texts = [[Generation(text="hi")]]
    told = LLMResult(generations=texts, llm_output={"token_usage": RAW | {"cost": 0.5}})
    assert model_response(told).reported_cost == Decimal("0.5")
    later = LLMResult(generations=texts, llm_output={"token_usage": {}})
    assert model_response(later).reported_cost is None


def test_streams() -> None:
    """ChatOpenRouter puts the cost into the last chunk, which the sum keeps."""
    chunks = [
        AIMessageChunk(content="h", response_metadata={"model_provider": "openrouter"}),
        AIMessageChunk(
            content="i", usage_metadata=USAGE, response_metadata={"cost": 2.5}
        ),
    ]
    merged = ChatGenerationChunk(message=chunks[0] + chunks[1])
    told = LLMResult(generations=[[merged]])
    assert model_response(told).reported_cost == Decimal("2.5")


def test_answers_without_a_cost_take_the_short_way() -> None:
    """The usual answer says nothing of money."""
    assert model_response(result({"token_usage": RAW})).reported_cost is None
