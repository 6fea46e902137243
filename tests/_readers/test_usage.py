"""The token usage of one model call, in the providers' real shapes."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    LLMResult,
)

from otel_callbacks._readers import usage as usage_shapes
from otel_callbacks._readers.response import model_response
from otel_callbacks._readers.usage import (
    SHAPES,
    message_usage,
    reported_cost,
    total,
    usage_of,
)
from otel_callbacks._records import Usage

LANGCHAIN = {
    "input_tokens": 350,
    "output_tokens": 240,
    "total_tokens": 590,
    "input_token_details": {"audio": 10, "cache_creation": 200, "cache_read": 100},
    "output_token_details": {"audio": 5, "reasoning": 200},
}
FLEX = {
    "input_tokens": 31,
    "output_tokens": 9,
    "total_tokens": 40,
    "input_token_details": {"flex_cache_read": 16, "flex": 15},
    "output_token_details": {"flex_reasoning": 4, "flex": 5},
}
PRIORITY = {
    "input_tokens": 31,
    "output_tokens": 9,
    "total_tokens": 40,
    "input_token_details": {
        "priority_cache_read": 16,
        "priority_cache_creation": 8,
        "priority": 15,
    },
    "output_token_details": {"priority_reasoning": 0, "priority": 9},
}
LANGCHAIN_ANTHROPIC = {
    "input_tokens": 60,
    "output_tokens": 9,
    "total_tokens": 69,
    "input_token_details": {
        "cache_creation": 0,
        "cache_read": 20,
        "ephemeral_5m_input_tokens": 10,
        "ephemeral_1h_input_tokens": 5,
    },
}
OPENAI = {
    "completion_tokens": 5,
    "prompt_tokens": 31,
    "total_tokens": 36,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 1,
        "reasoning_tokens": 2,
        "rejected_prediction_tokens": 0,
    },
    "prompt_tokens_details": {"audio_tokens": 3, "cached_tokens": 16},
}
OPENAI_TEXT = {"completion_tokens": 4, "prompt_tokens": 3, "total_tokens": 7}
AZURE = {
    "completion_tokens": 9,
    "prompt_tokens": 12,
    "total_tokens": 21,
    "completion_tokens_details": None,
    "prompt_tokens_details": None,
}
MISTRAL = {"prompt_tokens": 11, "total_tokens": 60, "completion_tokens": 49}
DEEPSEEK = {
    "prompt_tokens": 20,
    "completion_tokens": 8,
    "total_tokens": 28,
    "prompt_tokens_details": {"cached_tokens": None},
    "completion_tokens_details": {"reasoning_tokens": 6},
    "prompt_cache_hit_tokens": 12,
    "prompt_cache_miss_tokens": 8,
}
QWEN_COMPATIBLE = {
    "prompt_tokens": 3019,
    "completion_tokens": 104,
    "total_tokens": 3123,
    "prompt_tokens_details": {"cached_tokens": 2048, "text_tokens": 3019},
}
RESPONSES = {
    "input_tokens": 31,
    "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 36,
}
DASHSCOPE = {
    "input_tokens": 22,
    "output_tokens": 17,
    "total_tokens": 39,
    "prompt_tokens_details": {"cached_tokens": 4},
}
ANTHROPIC = {
    "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 30},
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 20,
    "input_tokens": 10,
    "output_tokens": 9,
    "server_tool_use": None,
    "service_tier": "standard",
}
ANTHROPIC_TEXT = {"input_tokens": 10, "output_tokens": 9}
GEMINI = {
    "promptTokenCount": 264,
    "candidatesTokenCount": 50,
    "thoughtsTokenCount": 30,
    "toolUsePromptTokenCount": 6,
    "totalTokenCount": 350,
    "cachedContentTokenCount": 100,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 6},
        {"modality": "AUDIO", "tokenCount": 258},
    ],
}
GEMINI_SNAKE = {
    "prompt_token_count": 264,
    "candidates_token_count": 50,
    "total_token_count": 314,
    "cached_content_token_count": None,
    "candidates_tokens_details": [{"modality": "AUDIO", "token_count": 40}, None],
}
GEMINI_ONLY_THOUGHTS = {"promptTokenCount": 9, "thoughtsTokenCount": 30}
CONVERSE = {
    "inputTokens": 10,
    "outputTokens": 9,
    "totalTokens": 69,
    "cacheReadInputTokens": 20,
    "cacheWriteInputTokens": 30,
}
INVOCATION = {
    "inputTokenCount": 11,
    "outputTokenCount": 41,
    "invocationLatency": 942,
    "firstByteLatency": 412,
}
OLLAMA = {
    "model": "qwen3",
    "created_at": "2026-11-21T04:00:00Z",
    "done": True,
    "done_reason": "stop",
    "total_duration": 4935886791,
    "prompt_eval_count": 26,
    "eval_count": 298,
}
WATSONX = {"generated_token_count": 20, "input_token_count": 6}
COHERE = {"input_tokens": 43.0, "output_tokens": 12.0}


@pytest.mark.parametrize(
    ("shape", "raw", "expected"),
    [
        ("langchain", LANGCHAIN, Usage(350, 240, 100, 200, 200, 10, 5)),
        ("langchain", FLEX, Usage(31, 9, 16, 0, 4)),
        ("langchain", PRIORITY, Usage(31, 9, 16, 8, 0)),
        ("langchain", LANGCHAIN_ANTHROPIC, Usage(60, 9, 20, 15)),
        ("openai_chat", OPENAI, Usage(31, 5, 16, 0, 2, 3, 1)),
        ("openai_chat", OPENAI_TEXT, Usage(3, 4)),
        ("openai_chat", AZURE, Usage(12, 9)),
        ("openai_chat", MISTRAL, Usage(11, 49)),
        ("openai_chat", DEEPSEEK, Usage(20, 8, 12, 0, 6)),
        ("openai_chat", QWEN_COMPATIBLE, Usage(3019, 104, 2048, text_input=3019)),
        ("openai_responses", RESPONSES, Usage(31, 5, 3, 2, 1)),
        ("openai_responses", DASHSCOPE, Usage(22, 17, 4)),
        ("openai_responses", COHERE, Usage(43, 12)),
        ("openai_responses", ANTHROPIC_TEXT, Usage(10, 9)),
        ("anthropic", ANTHROPIC, Usage(60, 9, 20, 30)),
        ("gemini", GEMINI, Usage(270, 80, 100, 0, 30, 258, 0, 6)),
        ("gemini", GEMINI_SNAKE, Usage(264, 50, 0, 0, 0, 0, 40)),
        ("gemini", GEMINI_ONLY_THOUGHTS, Usage(9, 30, 0, 0, 30)),
        ("bedrock", CONVERSE, Usage(60, 9, 20, 30)),
        ("bedrock", INVOCATION, Usage(11, 41)),
        ("ollama", OLLAMA, Usage(26, 298)),
        ("watsonx", WATSONX, Usage(6, 20)),
    ],
)
def test_shape_is_recognized_and_read(
    shape: str, raw: dict[object, object], expected: Usage
) -> None:
    """The first key of the table that is present selects the right reader."""
    reader = next(read for key, read in SHAPES if key in raw)
    assert reader.__name__ == shape
    assert reader(raw) == expected


READERS = sorted({read.__name__ for _, read in SHAPES})


@pytest.mark.parametrize("shape", READERS)
def test_missing_total_is_none(shape: str) -> None:
    """A total that is not reported is None."""
    assert getattr(usage_shapes, shape)({}) == Usage(None, None)


def test_reasoning_without_a_total_is_added_to_nothing() -> None:
    """Only a sum of all three shows that it is no part of the output."""
    raw = {"prompt_tokens": 3, "reasoning_tokens": 2, "total_tokens": 5}
    assert usage_of(raw) == Usage(3, None, reasoning=2)
    raw = {"completion_tokens": 3, "reasoning_tokens": 2, "total_tokens": 5}
    assert usage_of(raw) == Usage(None, 3, reasoning=2)
    raw["prompt_tokens"] = 5
    for whole, outputs in ((9, 3), (10, 5), (11, 3)):
        found = usage_of(raw | {"total_tokens": whole})
        assert found == Usage(5, outputs, reasoning=2)


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_a_tier_in_the_details_of_input_or_output_renames_all(tier: str) -> None:
    """langchain-openai writes the tier's details beside its total."""
    inputs = {tier: 9, f"{tier}_cache_read": 4}
    outputs = {tier: 9, f"{tier}_reasoning": 3}
    raw = {"input_tokens": 9, "output_tokens": 9}
    expected = Usage(9, 9, cache_read=4)
    assert usage_of(raw | {"input_token_details": inputs}) == expected
    expected = Usage(9, 9, reasoning=3)
    assert usage_of(raw | {"output_token_details": outputs}) == expected


def test_anthropics_writes_are_known_by_age_too() -> None:
    """The sum may be missing if the ages are reported."""
    raw = {
        "input_tokens": 1,
        "cache_read_input_tokens": 2,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 3,
            "ephemeral_1h_input_tokens": 4,
        },
    }
    assert usage_shapes.anthropic(raw) == Usage(10, None, 2, 7)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
KEYS = st.sampled_from(
    sorted(
        {key for key, _ in SHAPES}
        | {"input_token_details", "output_token_details", "prompt_tokens_details"}
        | {"cache_read", "cache_creation", "reasoning", "audio", "cached_tokens"}
        | {"promptTokensDetails", "modality", "thoughtsTokenCount", "flex", "priority"}
    )
)
RAW = st.dictionaries(
    KEYS,
    VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(KEYS, VALUES, max_size=4),
    max_size=6,
)


@given(RAW)
def test_invalid_numbers_are_none(raw: dict[object, object]) -> None:
    """Each number is an integer that is not negative, else it is missing."""
    for _, read in SHAPES:
        usage = read(raw)
        assert all(part is None or type(part) is int for part in usage)
        assert all(part is None or part >= 0 for part in usage)


@pytest.mark.parametrize("details", [{}, {"input_token_details": {"audio": 2}}])
@pytest.mark.parametrize("wrong", [None, True, "4", 1.5, -1, 2**53 + 1])
def test_one_wrong_total_of_a_message_is_missing(wrong: Any, details: Any) -> None:
    """The other one is read, and so are the details."""
    audio = 2 if details else 0
    raw = {"input_tokens": wrong, "output_tokens": 5, **details}
    assert message_usage(raw) == Usage(None, 5, audio_input=audio)
    raw = {"input_tokens": 5, "output_tokens": wrong, **details}
    assert message_usage(raw) == Usage(5, None, audio_input=audio)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"input_tokens": 0, "output_tokens": 5}, Usage(None, 5)),
        (
            {"input_tokens": 0, "output_tokens": 5, "input_token_details": {}},
            Usage(None, 5),
        ),
        (
            {
                "input_tokens": 0,
                "output_tokens": 5,
                "output_token_details": {"reasoning": 2},
            },
            Usage(None, 5, reasoning=2),
        ),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(0, 0)),
        ({"input_tokens": 4, "output_tokens": 0}, Usage(4, 0)),
    ],
)
def test_zero_input_with_output_is_unknown(reported: Any, expected: Usage) -> None:
    """Every response has a prompt: such a 0 is wrong."""
    assert message_usage(reported) == expected


def test_input_of_streams_first_event() -> None:
    """Anthropic reports it there, and `instrument` keeps it."""
    last = {"input_tokens": 0, "output_tokens": 5}
    first = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}
    assert message_usage(last, {}, {"usage": first}) == Usage(7, 5, cache_read=4)
    assert message_usage(last, {"usage": {}}) == Usage(None, 5)


USAGE = {"input_tokens": 4, "output_tokens": 14, "total_tokens": 18}
COSTS_RAW = {"prompt_tokens": 4, "completion_tokens": 14, "total_tokens": 18}


def result(metadata: Any, usage: Any = USAGE, output: Any = None) -> LLMResult:
    """Return the result of a chat model."""
    message = AIMessage(content="hi", usage_metadata=usage, response_metadata=metadata)
    return LLMResult(
        generations=[[ChatGeneration(text="hi", message=message)]], llm_output=output
    )


@pytest.mark.parametrize(
    ("metadata", "dollars"),
    [
        ({"token_usage": COSTS_RAW | {"cost": 0.00095}}, "0.00095"),
        ({"usage": COSTS_RAW | {"cost": 0.00095}}, "0.00095"),
        ({"model_provider": "openrouter", "cost": 0.0123}, "0.0123"),
        ({"cost": {"total_cost": 0.03015, "search_queries_cost": 0.015}}, "0.03015"),
        ({"token_usage": COSTS_RAW | {"cost_in_usd_ticks": 37756000}}, "0.0037756"),
        ({"response_cost": 0.0002}, "0.0002"),
        ({"token_usage": COSTS_RAW | {"estimated_cost": 0.0004}}, "0.0004"),
        ({"_hidden_params": {"response_cost": 2e-05}}, "0.00002"),
        ({"token_usage": COSTS_RAW | {"cost": 0}}, "0"),
        ({"token_usage": COSTS_RAW | {"cost": Decimal("0.5")}}, "0.5"),
    ],
)
def test_cost_of_each_provider_that_reports_it(
    metadata: dict[str, Any], dollars: str
) -> None:
    """OpenRouter, Perplexity, xAI, LiteLLM and DeepInfra; a cost of 0 counts."""
    response = model_response(result(metadata))
    assert response.reported_cost == Decimal(dollars)
    assert response.usage is not None
    assert response.usage.output_tokens == 14


@pytest.mark.parametrize("value", [1_000_000, 1_000_000.0, Decimal(1_000_000)])
def test_a_call_costs_a_million_dollars_at_most(value: Any) -> None:
    """More is a number in another unit."""
    assert reported_cost(None, {"cost": value}) == 1_000_000
    assert reported_cost(None, {"cost": value + 1}) is None


def test_upstream_cost_is_added() -> None:
    """OpenRouter's own fee is not the whole cost if the user's key was used."""
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
@pytest.mark.parametrize(
    "key", ["cost", "response_cost", "cost_in_usd_ticks", "estimated_cost"]
)
def test_invalid_cost_is_none(key: str, value: Any) -> None:
    """NaN, negative, too large, or text."""
    assert model_response(result({key: value})).reported_cost is None
    assert reported_cost(None, {"cost": {"total_cost": value}}) is None


def test_langchains_own_total() -> None:
    """A total of 0 there marks a hit in LangChain's cache and is no cost."""
    response = model_response(result({}, USAGE | {"total_cost": 0.25}))
    assert response.reported_cost == Decimal("0.25")
    cached = model_response(result({}, USAGE | {"total_cost": 0}))
    assert cached.cache_hit
    assert cached.reported_cost is None


def test_a_cache_hit_saves_what_the_first_call_cost() -> None:
    """LangChain caches the whole message, including its cost."""
    kept = {"token_usage": COSTS_RAW | {"cost": 0.5}}
    cached = model_response(result(kept, USAGE | {"total_cost": 0}))
    assert cached.cache_hit
    assert cached.reported_cost == Decimal("0.5")


def test_several_choices_cost_once() -> None:
    """The cost of a call is beside the choices, or copied into each."""
    message = AIMessage(content="hi", usage_metadata=USAGE, response_metadata={})
    choice = ChatGeneration(text="hi", message=message)
    both = LLMResult(
        generations=[[choice, choice]],
        llm_output={"token_usage": COSTS_RAW | {"cost": 0.5}},
    )
    assert model_response(both).reported_cost == Decimal("0.5")


def test_text_models() -> None:
    """Their cost is in llm_output; in a batch with the first run."""
    texts = [[Generation(text="hi")]]
    response = LLMResult(
        generations=texts, llm_output={"token_usage": COSTS_RAW | {"cost": 0.5}}
    )
    assert model_response(response).reported_cost == Decimal("0.5")
    later = LLMResult(generations=texts, llm_output={"token_usage": {}})
    assert model_response(later).reported_cost is None


def test_streams() -> None:
    """ChatOpenRouter puts the cost into the last chunk, which the merge keeps."""
    chunks = [
        AIMessageChunk(content="h", response_metadata={"model_provider": "openrouter"}),
        AIMessageChunk(
            content="i", usage_metadata=USAGE, response_metadata={"cost": 2.5}
        ),
    ]
    merged = ChatGenerationChunk(message=chunks[0] + chunks[1])
    response = LLMResult(generations=[[merged]])
    assert model_response(response).reported_cost == Decimal("2.5")


def test_response_without_cost_takes_fast_path() -> None:
    """The common response has no cost."""
    assert model_response(result({"token_usage": COSTS_RAW})).reported_cost is None


USAGE_SUMS_OPENAI = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (USAGE_SUMS_OPENAI, Usage(3, 4)),
        ({"token_usage": USAGE_SUMS_OPENAI, "model_name": "gpt-4o-mini"}, Usage(3, 4)),
        ({"usage": {"input_tokens": 1, "output_tokens": 2}}, Usage(1, 2)),
        ({"usage_metadata": {"prompt_token_count": 5}}, Usage(5, None)),
        (
            {
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 11,
                    "outputTokenCount": 41,
                }
            },
            Usage(11, 41),
        ),
        (
            {"meta": {"tokens": {"input_tokens": 43.0, "output_tokens": 12.0}}},
            Usage(43, 12),
        ),
        ({"token_usage": {}, "usage": USAGE_SUMS_OPENAI}, Usage(3, 4)),
        ({"prompt_eval_count": 26, "eval_count": 298, "done": True}, Usage(26, 298)),
    ],
)
def test_usage_is_found_where_providers_put_it(
    payload: object, expected: Usage
) -> None:
    """In ``llm_output``, a message's metadata or a generation's info."""
    assert usage_of(payload) == expected


def test_zeros_are_a_usage() -> None:
    """A usage of 0 tokens is a usage."""
    assert usage_of({"prompt_tokens": 0, "completion_tokens": 0}) == Usage(0, 0)
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert message_usage(zeros) == Usage(0, 0)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        [],
        "usage",
        {"token_usage": None},
        {"token_usage": {}},
        {"token_usage": "7"},
        {"total_tokens": 7},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "12", "completion_tokens": True},
        {"prompt_tokens": -1, "completion_tokens": 1.5},
        {"prompt_tokens": math.nan, "completion_tokens": 10**30},
    ],
)
def test_no_number_is_no_usage(payload: object) -> None:
    """A total of both alone cannot be split, and nothing is guessed."""
    assert usage_of(payload) is None


def test_one_invalid_number_does_not_lose_the_other() -> None:
    """Input and output are read independently."""
    assert usage_of({"prompt_tokens": 3, "completion_tokens": "4"}) == Usage(3, None)


def test_cyclic_payload_is_bounded() -> None:
    """Depth is bounded: three dictionaries around a usage are looked into."""
    deep = {"meta": {"usage": {"tokens": USAGE_SUMS_OPENAI}}}
    assert usage_of(deep) == Usage(3, 4)
    assert usage_of({"meta": deep}) is None
    payload: dict[str, Any] = {}
    payload["usage"] = payload["meta"] = payload
    assert usage_of(payload) is None


@pytest.mark.parametrize(
    ("usage", "raw", "expected"),
    [
        ({"prompt_tokens": None, "completion_tokens": None}, (0, 0), None),
        ({"prompt_tokens": 5, "completion_tokens": None}, (5, 0), Usage(5, None)),
        ({"prompt_tokens": None, "completion_tokens": 6}, (0, 6), Usage(None, 6)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, (5, 0), Usage(5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 6}, (0, 6), Usage(None, 6)),
        ({"prompt_tokens": 5}, (5, 0), Usage(5, None)),
        ({"completion_tokens": 6}, (0, 6), Usage(None, 6)),
        ({"other": 1}, (0, 0), Usage(0, 0)),
    ],
)
def test_langchain_openais_zero_for_missing_number_is_removed(
    usage: object, raw: tuple[int, int], expected: Usage | None
) -> None:
    """If the provider's own usage is present, it decides."""
    metadata = {"input_tokens": raw[0], "output_tokens": raw[1], "total_tokens": 0}
    assert message_usage(metadata, {}, {"token_usage": usage}) == expected


CACHED: Any = [
    {"prompt_tokens_details": {"cached_tokens": 3}},  # langchain-mistralai
    {"cached_tokens": 3},  # Moonshot
    {"prompt_cache_hit_tokens": 3},  # DeepSeek
]


@pytest.mark.parametrize("detail", CACHED)
@pytest.mark.parametrize("more", [{}, {"input_token_details": {}}])
def test_details_that_a_package_leaves_out(detail: Any, more: Any) -> None:
    """The provider's own usage has them, if it is of the same call."""
    reported = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11, **more}
    raw = {"prompt_tokens": 5, "completion_tokens": 6, **detail}
    found = message_usage(reported, {}, {"token_usage": raw})
    assert found == Usage(5, 6, cache_read=3)
    # A batch has the sum of its calls there.
    for tokens in (4, 10):
        other = {"token_usage": {**raw, "prompt_tokens": tokens}}
        assert message_usage(reported, other, {}) == Usage(5, 6)
    usage = {**reported, "input_token_details": {"cache_read": 1}}
    assert message_usage(usage, {"token_usage": raw}) == Usage(5, 6, cache_read=1)


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"total_cost": 0}, 3])
def test_a_message_without_usage(metadata: object) -> None:
    """The mark of LangChain's cache alone is no usage."""
    assert message_usage(metadata) is None


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([Usage(1, 2, 1), None], Usage(1, 2, 1)),
        (
            [Usage(1, None, 1, 0, 0), Usage(3, None, 0, 2, 0)],
            Usage(4, None, 1, 2, 0),
        ),
        ([Usage(1, 2), Usage(None, 5, 0, 0, 4)], Usage(1, 7, 0, 0, 4)),
    ],
)
def test_usages_add_up(usages: list[Usage | None], expected: Usage | None) -> None:
    """An unknown number adds nothing, and does not become 0."""
    assert total(usages) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "token_usage", "input_tokens", "prompt_tokens", "eval_count"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_payload_gives_a_usage_or_none(payload: object) -> None:
    """A usage has at least one total."""
    for usage in (usage_of(payload), message_usage(payload, payload, payload)):
        assert usage is None or usage[:2] != (None, None)
