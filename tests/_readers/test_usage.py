"""The token usage of one model call, in the providers' real shapes."""

from __future__ import annotations

import math
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

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
from reporting import tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[..., dict[str, Any]]

COST = "otel_callbacks.cost_usd"
SAVED_COST = "otel_callbacks.saved.cost_usd"


def answer(
    reported: Any = None, metadata: Any = None, output: Any = None
) -> SimpleNamespace:
    """Return a result with values that LangChain's classes may refuse.

    Args:
        reported: The message's ``usage_metadata``.
        metadata: The message's ``response_metadata``.
        output: The ``llm_output``.
    """
    message = SimpleNamespace(
        content="hi",
        usage_metadata=reported,
        response_metadata={} if metadata is None else metadata,
        additional_kwargs={},
    )
    generation = SimpleNamespace(message=message, generation_info=None, text="hi")
    return SimpleNamespace(generations=[[generation]], llm_output=output)


@pytest.fixture
def usage_in(read: Read) -> Callable[[Any], dict[str, int]]:
    """Return what reports an answer with an ``llm_output``, and returns its usage."""
    return lambda output: usage_attributes(read(answer(output=output)))


@pytest.fixture
def usage_of_message(read: Read) -> Callable[..., dict[str, int]]:
    """Return what reports an answer whose message has a usage, and returns its usage.

    Its arguments are those of `answer`.
    """
    return lambda *parts: usage_attributes(read(answer(*parts)))


def usage_attributes(attributes: dict[str, Any]) -> dict[str, int]:
    """Return the attributes about usage."""
    return {
        name: value
        for name, value in attributes.items()
        if name.startswith("gen_ai.usage.")
    }


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
    ("raw", "expected"),
    [
        (LANGCHAIN, tokens(350, 240, 100, 200, 200, 10, 5)),
        (FLEX, tokens(31, 9, 16, 0, 4)),
        (PRIORITY, tokens(31, 9, 16, 8, 0)),
        (LANGCHAIN_ANTHROPIC, tokens(60, 9, 20, 15)),
        (OPENAI, tokens(31, 5, 16, 0, 2, 3, 1)),
        (OPENAI_TEXT, tokens(3, 4)),
        (AZURE, tokens(12, 9)),
        (MISTRAL, tokens(11, 49)),
        (DEEPSEEK, tokens(20, 8, 12, 0, 6)),
        (QWEN_COMPATIBLE, tokens(3019, 104, 2048, text_input=3019)),
        (RESPONSES, tokens(31, 5, 3, 2, 1)),
        (DASHSCOPE, tokens(22, 17, 4)),
        (COHERE, tokens(43, 12)),
        (ANTHROPIC_TEXT, tokens(10, 9)),
        (ANTHROPIC, tokens(60, 9, 20, 30)),
        (GEMINI, tokens(270, 80, 100, 0, 30, 258, 0, 6)),
        (GEMINI_SNAKE, tokens(264, 50, 0, 0, 0, 0, 40)),
        (GEMINI_ONLY_THOUGHTS, tokens(9, 30, 0, 0, 30)),
        (CONVERSE, tokens(60, 9, 20, 30)),
        (INVOCATION, tokens(11, 41)),
        (OLLAMA, tokens(26, 298)),
        (WATSONX, tokens(6, 20)),
    ],
)
def test_shape_is_recognized_and_read(
    raw: dict[object, object], expected: dict[str, int], usage_in: Any
) -> None:
    """The first key of the table that is present selects the right reader."""
    assert usage_in({"token_usage": raw}) == expected


INPUTS = (
    *("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count"),
    *("inputTokens", "inputTokenCount", "prompt_eval_count"),
)
OUTPUTS = (
    *("completion_tokens", "output_tokens", "candidatesTokenCount"),
    *("candidates_token_count", "outputTokens", "outputTokenCount", "eval_count"),
    "generated_token_count",
)


def test_missing_total_is_unknown(usage_in: Any) -> None:
    """Each total is read alone, and the other one is no 0."""
    for key in INPUTS:
        assert usage_in({"usage": {key: 7}}) == tokens(7, None), key
    for key in OUTPUTS:
        assert usage_in({"usage": {key: 7}}) == tokens(None, 7), key


def test_reasoning_without_a_total_is_added_to_nothing(usage_in: Any) -> None:
    """Only a sum of all three shows that it is no part of the output."""
    raw = {"prompt_tokens": 3, "reasoning_tokens": 2, "total_tokens": 5}
    assert usage_in(raw) == tokens(3, None, reasoning=2)
    raw = {"completion_tokens": 3, "reasoning_tokens": 2, "total_tokens": 5}
    assert usage_in(raw) == tokens(None, 3, reasoning=2)
    raw["prompt_tokens"] = 5
    for whole, outputs in ((9, 3), (10, 5), (11, 3)):
        found = usage_in(raw | {"total_tokens": whole})
        assert found == tokens(5, outputs, reasoning=2)


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_a_tier_in_the_details_of_input_or_output_renames_all(
    tier: str, usage_in: Any
) -> None:
    """langchain-openai writes the tier's details beside its total."""
    inputs = {tier: 9, f"{tier}_cache_read": 4}
    outputs = {tier: 9, f"{tier}_reasoning": 3}
    raw = {"input_tokens": 9, "output_tokens": 9}
    expected = tokens(9, 9, cache_read=4)
    assert usage_in(raw | {"input_token_details": inputs}) == expected
    expected = tokens(9, 9, reasoning=3)
    assert usage_in(raw | {"output_token_details": outputs}) == expected


def test_anthropics_writes_are_known_by_age_too(usage_in: Any) -> None:
    """The sum may be missing if the ages are reported."""
    raw = {
        "input_tokens": 1,
        "cache_read_input_tokens": 2,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 3,
            "ephemeral_1h_input_tokens": 4,
        },
    }
    assert usage_in(raw) == tokens(10, None, 2, 7)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
KEYS = st.sampled_from(
    sorted(
        {*INPUTS, *OUTPUTS, "cache_read_input_tokens", "cache_creation_input_tokens"}
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


def test_invalid_numbers_are_none(usage_in: Any) -> None:
    """Each number is an integer that is not negative, else it is missing."""

    @given(RAW)
    def report(raw: dict[object, object]) -> None:
        found = usage_in({"usage": raw})
        assert all(type(part) is int and part >= 0 for part in found.values())

    report()


@pytest.mark.parametrize("details", [{}, {"input_token_details": {"audio": 2}}])
@pytest.mark.parametrize("wrong", [None, True, "4", 1.5, -1, 2**53 + 1])
def test_one_wrong_total_of_a_message_is_missing(
    wrong: Any, details: Any, usage_of_message: Any
) -> None:
    """The other one is read, and so are the details."""
    audio = 2 if details else 0
    raw = {"input_tokens": wrong, "output_tokens": 5, **details}
    assert usage_of_message(raw) == tokens(None, 5, audio_input=audio)
    raw = {"input_tokens": 5, "output_tokens": wrong, **details}
    assert usage_of_message(raw) == tokens(5, None, audio_input=audio)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"input_tokens": 0, "output_tokens": 5}, tokens(None, 5)),
        (
            {"input_tokens": 0, "output_tokens": 5, "input_token_details": {}},
            tokens(None, 5),
        ),
        (
            {
                "input_tokens": 0,
                "output_tokens": 5,
                "output_token_details": {"reasoning": 2},
            },
            tokens(None, 5, reasoning=2),
        ),
        ({"input_tokens": 0, "output_tokens": 0}, tokens(0, 0)),
        ({"input_tokens": 4, "output_tokens": 0}, tokens(4, 0)),
    ],
)
def test_zero_input_with_output_is_unknown(
    reported: Any, expected: dict[str, int], usage_of_message: Any
) -> None:
    """Every response has a prompt: such a 0 is wrong."""
    assert usage_of_message(reported) == expected


def test_input_of_streams_first_event(usage_of_message: Any) -> None:
    """Anthropic reports it there, and `instrument` keeps it."""
    last = {"input_tokens": 0, "output_tokens": 5}
    first = {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}
    assert usage_of_message(last, {"usage": first}, {}) == tokens(7, 5, cache_read=4)
    assert usage_of_message(last, {}, {"usage": {}}) == tokens(None, 5)


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
    metadata: dict[str, Any], dollars: str, read: Read
) -> None:
    """OpenRouter, Perplexity, xAI, LiteLLM and DeepInfra; a cost of 0 counts."""
    attributes = read(result(metadata))
    assert attributes[COST] == float(dollars)
    assert attributes["gen_ai.usage.output_tokens"] == 14


@pytest.mark.parametrize("value", [1_000_000, 1_000_000.0, Decimal(1_000_000)])
def test_a_call_costs_a_million_dollars_at_most(value: Any, read: Read) -> None:
    """More is a number in another unit."""
    assert read(result({"cost": value}))[COST] == 1_000_000
    assert COST not in read(result({"cost": value + 1}))


def test_upstream_cost_is_added(read: Read) -> None:
    """OpenRouter's own fee is not the whole cost if the user's key was used."""
    paid = {
        "cost": 0.001,
        "is_byok": True,
        "cost_details": {"upstream_inference_cost": 0.02},
    }
    assert read(result({"usage": paid}))[COST] == 0.021
    assert read(result({"usage": paid | {"is_byok": False}}))[COST] == 0.001
    del paid["cost_details"]
    assert read(result({"usage": paid}))[COST] == 0.001


@pytest.mark.parametrize(
    "value",
    [-0.1, float("nan"), float("inf"), "0.1", True, None, [1], 10**17, 10.0**17],
)
@pytest.mark.parametrize(
    "key", ["cost", "response_cost", "cost_in_usd_ticks", "estimated_cost"]
)
def test_invalid_cost_is_none(key: str, value: Any, read: Read) -> None:
    """NaN, negative, too large, or text."""
    assert COST not in read(result({key: value}))
    assert COST not in read(result({"cost": {"total_cost": value}}))


def test_langchains_own_total(read: Read) -> None:
    """A total of 0 there marks a hit in LangChain's cache and is no cost."""
    assert read(result({}, USAGE | {"total_cost": 0.25}))[COST] == 0.25
    cached = read(result({}, USAGE | {"total_cost": 0}))
    assert cached["otel_callbacks.outcome"] == "cache_hit"
    assert cached["otel_callbacks.saved.output_tokens"] == 14
    assert not {COST, SAVED_COST} & cached.keys()


def test_a_cache_hit_saves_what_the_first_call_cost(read: Read) -> None:
    """LangChain caches the whole message, including its cost."""
    kept = {"token_usage": COSTS_RAW | {"cost": 0.5}}
    cached = read(result(kept, USAGE | {"total_cost": 0}))
    assert cached["otel_callbacks.outcome"] == "cache_hit"
    assert cached[SAVED_COST] == 0.5


def test_several_choices_cost_once(read: Read) -> None:
    """The cost of a call is beside the choices, or copied into each."""
    message = AIMessage(content="hi", usage_metadata=USAGE, response_metadata={})
    choice = ChatGeneration(text="hi", message=message)
    both = LLMResult(
        generations=[[choice, choice]],
        llm_output={"token_usage": COSTS_RAW | {"cost": 0.5}},
    )
    assert read(both)[COST] == 0.5


def test_text_models(read: Read) -> None:
    """Their cost is in llm_output; in a batch with the first run."""
    texts = [[Generation(text="hi")]]
    response = LLMResult(
        generations=texts, llm_output={"token_usage": COSTS_RAW | {"cost": 0.5}}
    )
    assert read(response)[COST] == 0.5
    later = LLMResult(generations=texts, llm_output={"token_usage": {}})
    assert COST not in read(later)


def test_streams(read: Read) -> None:
    """ChatOpenRouter puts the cost into the last chunk, which the merge keeps."""
    chunks = [
        AIMessageChunk(content="h", response_metadata={"model_provider": "openrouter"}),
        AIMessageChunk(
            content="i", usage_metadata=USAGE, response_metadata={"cost": 2.5}
        ),
    ]
    merged = ChatGenerationChunk(message=chunks[0] + chunks[1])
    response = LLMResult(generations=[[merged]])
    assert read(response)[COST] == 2.5


def test_response_without_cost_has_none(read: Read) -> None:
    """The common response has no cost."""
    assert COST not in read(result({"token_usage": COSTS_RAW}))


USAGE_SUMS_OPENAI = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (USAGE_SUMS_OPENAI, tokens(3, 4)),
        ({"token_usage": USAGE_SUMS_OPENAI, "model_name": "gpt-4o-mini"}, tokens(3, 4)),
        ({"usage": {"input_tokens": 1, "output_tokens": 2}}, tokens(1, 2)),
        ({"usage_metadata": {"prompt_token_count": 5}}, tokens(5, None)),
        (
            {
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 11,
                    "outputTokenCount": 41,
                }
            },
            tokens(11, 41),
        ),
        (
            {"meta": {"tokens": {"input_tokens": 43.0, "output_tokens": 12.0}}},
            tokens(43, 12),
        ),
        ({"token_usage": {}, "usage": USAGE_SUMS_OPENAI}, tokens(3, 4)),
        ({"prompt_eval_count": 26, "eval_count": 298, "done": True}, tokens(26, 298)),
    ],
)
def test_usage_is_found_where_providers_put_it(
    payload: dict[str, Any], expected: dict[str, int], read: Read
) -> None:
    """In ``llm_output``, a message's metadata or a generation's info."""
    in_info = answer()
    in_info.generations[0][0].generation_info = payload
    for result in (answer(output=payload), answer(None, payload), in_info):
        assert usage_attributes(read(result)) == expected


def test_zeros_are_a_usage(usage_in: Any, usage_of_message: Any) -> None:
    """A usage of 0 tokens is a usage."""
    assert usage_in({"prompt_tokens": 0, "completion_tokens": 0}) == tokens(0, 0)
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert usage_of_message(zeros) == tokens(0, 0)


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
def test_no_number_is_no_usage(payload: object, usage_in: Any) -> None:
    """A total of both alone cannot be split, and nothing is guessed."""
    assert usage_in(payload) == {}


def test_one_invalid_number_does_not_lose_the_other(usage_in: Any) -> None:
    """Input and output are read independently."""
    assert usage_in({"prompt_tokens": 3, "completion_tokens": "4"}) == tokens(3, None)


def test_cyclic_payload_is_bounded(usage_in: Any) -> None:
    """Depth is bounded: three dictionaries around a usage are looked into."""
    deep = {"meta": {"usage": {"tokens": USAGE_SUMS_OPENAI}}}
    assert usage_in(deep) == tokens(3, 4)
    assert usage_in({"meta": deep}) == {}
    payload: dict[str, Any] = {}
    payload["usage"] = payload["meta"] = payload
    assert usage_in(payload) == {}


@pytest.mark.parametrize(
    ("usage", "raw", "expected"),
    [
        ({"prompt_tokens": None, "completion_tokens": None}, (0, 0), {}),
        ({"prompt_tokens": 5, "completion_tokens": None}, (5, 0), tokens(5, None)),
        ({"prompt_tokens": None, "completion_tokens": 6}, (0, 6), tokens(None, 6)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, (5, 0), tokens(5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 6}, (0, 6), tokens(None, 6)),
        ({"prompt_tokens": 5}, (5, 0), tokens(5, None)),
        ({"completion_tokens": 6}, (0, 6), tokens(None, 6)),
        ({"other": 1}, (0, 0), tokens(0, 0)),
    ],
)
def test_langchain_openais_zero_for_missing_number_is_removed(
    usage: object,
    raw: tuple[int, int],
    expected: dict[str, int],
    usage_of_message: Any,
) -> None:
    """If the provider's own usage is present, it decides."""
    metadata = {"input_tokens": raw[0], "output_tokens": raw[1], "total_tokens": 0}
    assert usage_of_message(metadata, {"token_usage": usage}, {}) == expected


CACHED: Any = [
    {"prompt_tokens_details": {"cached_tokens": 3}},  # langchain-mistralai
    {"cached_tokens": 3},  # Moonshot
    {"prompt_cache_hit_tokens": 3},  # DeepSeek
]


@pytest.mark.parametrize("detail", CACHED)
@pytest.mark.parametrize("more", [{}, {"input_token_details": {}}])
def test_details_that_a_package_leaves_out(
    detail: Any, more: Any, usage_of_message: Any
) -> None:
    """The provider's own usage has them, if it is of the same call."""
    reported = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11, **more}
    raw = {"prompt_tokens": 5, "completion_tokens": 6, **detail}
    found = usage_of_message(reported, {"token_usage": raw}, {})
    assert found == tokens(5, 6, cache_read=3)
    # A batch has the sum of its calls there.
    for count in (4, 10):
        other = {"token_usage": {**raw, "prompt_tokens": count}}
        assert usage_of_message(reported, {}, other) == tokens(5, 6)
    usage = {**reported, "input_token_details": {"cache_read": 1}}
    assert usage_of_message(usage, {}, {"token_usage": raw}) == tokens(
        5, 6, cache_read=1
    )


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"total_cost": 0}, 3])
def test_a_message_without_usage(metadata: object, usage_of_message: Any) -> None:
    """The mark of LangChain's cache alone is no usage."""
    assert usage_of_message(metadata) == {}


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        ([], {}),
        ([{}, {}], {}),
        (
            [{"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 1}, {}],
            tokens(2, 2, 1),
        ),
        (
            [{"prompt_tokens": 1}, {"prompt_tokens": 3, **CACHED[0]}],
            tokens(4, None, 3),
        ),
        (
            [
                {"prompt_tokens": 1, "completion_tokens": 2},
                {"completion_tokens": 5, "reasoning_tokens": 4},
            ],
            tokens(1, 7, reasoning=4),
        ),
    ],
)
def test_usages_of_several_prompts_add_up(
    usages: list[dict[str, Any]], expected: dict[str, int], read: Read
) -> None:
    """An unknown number adds nothing, and does not become 0."""
    prompts = [answer(None, {"usage": one}).generations[0] for one in usages]
    result = SimpleNamespace(generations=prompts, llm_output=None)
    assert usage_attributes(read(result)) == expected


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


def test_any_payload_gives_a_usage_or_none(read: Read) -> None:
    """A usage has at least one total."""
    totals = tokens(1, 1).keys()

    @given(JSON)
    def report(payload: object) -> None:
        for result in (
            answer(output=payload),
            answer(None, payload),
            answer(payload, payload, payload),
        ):
            found = usage_attributes(read(result))
            assert not found or found.keys() & totals

    report()
