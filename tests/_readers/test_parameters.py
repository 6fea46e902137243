"""Parameters of a model call, by the names that providers give them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from otel_callbacks._readers.request import add_parameters

if TYPE_CHECKING:
    from otel_callbacks._records import AttributeValue


class _Bouquet(BaseModel):
    """What ``with_structured_output`` is given."""

    flowers: list[str]


def _read(params: dict[object, object]) -> dict[str, AttributeValue]:
    """Read parameters into new attributes."""
    attributes: dict[str, AttributeValue] = {}
    add_parameters(attributes, params)
    return attributes


OPENAI = {
    "model": "gpt-4o-mini",
    "model_name": "gpt-4o-mini",
    "stream": False,
    "seed": 3,
    "stop": ["###"],
    "temperature": 1,
    "top_p": 0.5,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "n": 2,
    "logit_bias": {"50256": -100},
    "reasoning_effort": "low",
    "service_tier": "flex",
    "max_completion_tokens": 12,
    "response_format": {"type": "json_object"},
    "extra_body": {"top_k": 20, "temperature": 9.0, "enable_thinking": True},
    "_type": "openai-chat",
}
ANTHROPIC = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "temperature": 0.2,
    "top_k": 40,
    "top_p": None,
    "stop_sequences": ["Human:"],
    "_type": "anthropic-chat",
}
GEMINI = {
    "model": "gemini-2.5-flash",
    "candidate_count": 3,
    "generation_config": {
        "max_output_tokens": 99,
        "response_mime_type": "application/json",
        "top_k": 40.0,
    },
    "thinking_level": "high",
}
BEDROCK = {
    "model_id": "anthropic.claude-3-haiku",
    "inferenceConfig": {"maxTokens": 7, "topP": 0.9, "stopSequences": ["x"]},
    "additional_model_request_fields": {"top_k": 5},
}
OLLAMA = {"model": "qwen3", "num_predict": 64, "format": "json", "seed": 0}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            OPENAI,
            {
                "gen_ai.request.seed": 3,
                "gen_ai.request.stop_sequences": ("###",),
                "gen_ai.request.temperature": 1.0,
                "gen_ai.request.top_p": 0.5,
                "gen_ai.request.frequency_penalty": 0.1,
                "gen_ai.request.presence_penalty": -0.1,
                "gen_ai.request.choice.count": 2,
                "gen_ai.request.reasoning.level": "low",
                "openai.request.service_tier": "flex",
                "gen_ai.request.max_tokens": 12,
                "gen_ai.output.type": "json",
                "gen_ai.request.top_k": 20,
            },
        ),
        (
            ANTHROPIC,
            {
                "gen_ai.request.max_tokens": 1024,
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.top_k": 40,
                "gen_ai.request.stop_sequences": ("Human:",),
            },
        ),
        (
            GEMINI,
            {
                "gen_ai.request.choice.count": 3,
                "gen_ai.request.max_tokens": 99,
                "gen_ai.output.type": "json",
                "gen_ai.request.top_k": 40,
                "gen_ai.request.reasoning.level": "high",
            },
        ),
        (
            BEDROCK,
            {
                "gen_ai.request.max_tokens": 7,
                "gen_ai.request.top_p": 0.9,
                "gen_ai.request.stop_sequences": ("x",),
                "gen_ai.request.top_k": 5,
            },
        ),
        (
            OLLAMA,
            {
                "gen_ai.request.max_tokens": 64,
                "gen_ai.output.type": "json",
                "gen_ai.request.seed": 0,
            },
        ),
    ],
)
def test_each_providers_names_are_known(
    params: dict[object, object], expected: dict[str, AttributeValue]
) -> None:
    """The attributes and their types are the same for all."""
    found = _read(params)
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in expected.items()
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json"),
        ({"response_format": {"type": "text"}}, "text"),
        ({"response_format": _Bouquet}, "json"),
        ({"format": {"type": "object", "properties": {}}}, "json"),
        ({"text": {"format": {"type": "json_schema", "name": "bouquet"}}}, "json"),
        ({"text": {"format": {"type": "text"}}}, "text"),
        ({"response_mime_type": "text/plain"}, "text"),
    ],
)
def test_the_output_type_is_that_of_the_response_format(
    params: dict[object, object], expected: str
) -> None:
    """Wherever the provider wants it to be said."""
    assert _read(params) == {"gen_ai.output.type": expected}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": "hot", "top_p": True, "top_k": 1.5, "seed": math.nan},
        {"temperature": math.inf, "max_tokens": -1, "seed": 2**70},
        {"n": 1, "stop": [], "service_tier": "auto", "reasoning_effort": ""},
        {"response_format": "xml", "text": {"verbosity": "low"}, "format": ""},
        {"reasoning": {"summary": "auto"}, "response_mime_type": "image/png"},
        {"model_kwargs": ["temperature"], "extra_body": {"top_k": "40", "n": None}},
        {1: 2, None: 3, ("temperature",): 0.5},
    ],
)
def test_what_is_wrong_or_usual_gives_no_attribute(
    params: dict[object, object],
) -> None:
    """One answer is the convention's default; a minus is no limit."""
    assert _read(params) == {}


def test_a_parameter_wins_over_a_nested_one_in_either_order() -> None:
    """LangChain sends the outer one."""
    nested = {"temperature": 0.9}
    expected = {"gen_ai.request.temperature": 0.1}
    assert _read({"temperature": 0.1, "model_kwargs": nested}) == expected
    assert _read({"model_kwargs": nested, "temperature": 0.1}) == expected
