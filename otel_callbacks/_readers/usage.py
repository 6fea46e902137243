"""Read the token usage of one model call in every provider's shape.

Each shape has one small function. All of them return totals that include their details:
``input_tokens`` includes cached tokens, ``output_tokens`` includes reasoning tokens.
Anthropic and Bedrock count cached tokens separately, Gemini counts thoughts separately;
these are added to the totals here.
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from otel_callbacks._readers.values import (
    LARGEST_INTEGER,
    count,
    has_value,
    mapping,
    number,
    text,
)
from otel_callbacks._records import EXACT, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COSTS: Final = frozenset(
    {
        *("cost", "cost_in_usd_ticks", "estimated_cost", "response_cost"),
        "_hidden_params",
    }
)
"""Keys that may hold a cost; most responses have none of them."""

_USAGES: Final = ("token_usage", "usage")
_TICKS: Final = Decimal(10) ** 10
_MOST: Final = 1_000_000
"""US dollars; a higher cost of one call is an error, which would corrupt every sum."""


def reported_cost(
    usage_metadata: object, *places: dict[object, object]
) -> Decimal | None:
    """Return the cost of a call as the provider reports it, or None."""
    seen: object = None
    for place in places:
        if not place:
            continue
        if not place.keys().isdisjoint(COSTS) and (cost := _cost(place)) is not None:
            return cost
        for key in _USAGES:
            reported = place.get(key)
            # OpenAI's usage is the same object in both places.
            if reported is None or reported is seen or not isinstance(reported, dict):
                continue
            seen = reported
            if (
                not reported.keys().isdisjoint(COSTS)
                and (cost := _cost(reported)) is not None
            ):
                return cost
    if isinstance(usage_metadata, dict) and "total_cost" in usage_metadata:
        return _dollars(usage_metadata["total_cost"]) or None
    return None


def _cost(reported: dict[object, object]) -> Decimal | None:
    """Read a cost in any of its forms."""
    cost = _dollars(reported.get("cost"))
    if cost is not None:
        return EXACT.add(cost, _upstream(reported))
    if isinstance(parts := reported.get("cost"), dict):
        return _dollars(parts.get("total_cost"))
    if (ticks := number(reported.get("cost_in_usd_ticks"))) is not None:
        return _dollars(EXACT.divide(Decimal(str(ticks)), _TICKS))
    if (estimated := _dollars(reported.get("estimated_cost"))) is not None:
        return estimated
    hidden = mapping(reported.get("_hidden_params"))
    return _dollars(reported.get("response_cost", hidden.get("response_cost")))


def _upstream(reported: dict[object, object]) -> Decimal:
    """Read the cost that OpenRouter bills to the user's own key at another provider."""
    if reported.get("is_byok") is not True:
        return Decimal(0)
    details = mapping(reported.get("cost_details"))
    return _dollars(details.get("upstream_inference_cost")) or Decimal(0)


def _dollars(value: object) -> Decimal | None:
    """Read an amount of US dollars."""
    if isinstance(value, Decimal):
        amount = Decimal(value) if value.is_finite() else None
    else:
        # The double's shortest decimal form, not its exact binary value.
        read = number(value)
        amount = None if read is None else Decimal(str(read))
    return amount if amount is not None and 0 <= amount <= _MOST else None


_RATES: Final = (
    ("inference_geo", "", ("", "global", "not_available")),
    ("service_tier", "", ("", "standard", "default", "auto", "on_demand")),
    ("serviceTier", "type", ("", "default")),
    ("performanceConfig", "latency", ("", "standard")),
)
"""Key, the key inside it, if any, and what the standard rate has there.
https://platform.claude.com/docs/en/build-with-claude/data-residency
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html"""


def has_own_rate(place: dict[object, object]) -> bool:
    """Return whether Anthropic or Bedrock reports another rate for a call."""
    return any(
        text(mapping(place.get(key)).get(inside) if inside else place.get(key))
        not in usual
        for key, inside, usual in _RATES
    )


PLACES: Final = (
    "token_usage",
    "usage",
    "usage_metadata",
    "usageMetadata",
    "amazon-bedrock-invocationMetrics",
    "token_count",
    "tokens",
    "billed_units",
    "meta",
)
"""Keys of ``llm_output``, of a response's metadata and of a generation's info."""


_DEEPEST: Final = 3
"""Depth of nested dictionaries: Cohere's usage is two levels below ``meta``."""


def usage_of(payload: object, depth: int = _DEEPEST) -> Usage | None:
    """Read a usage of any known shape."""
    raw = mapping(payload)
    for key, read in SHAPES:
        if key in raw:
            return _unless_empty(read(raw))
    if depth:
        for place in PLACES:
            inner = raw.get(place)
            if isinstance(inner, dict) and (usage := usage_of(inner, depth - 1)):
                return usage
    return None


def message_usage(usage_metadata: object, *raw: object) -> Usage | None:
    """Read ``usage_metadata`` of a message.

    langchain-openai writes 0 there for a number that the provider left out; then the
    provider's own usage is read, if it is present.
    """
    if not isinstance(usage_metadata, dict) or not usage_metadata:
        return None
    read = langchain(usage_metadata)
    if read[0] and read[1]:
        if has_value(usage_metadata.get("input_token_details")):
            return read
        return _with_details(read, raw)
    usage = _unless_empty(read)
    if usage is not None and (usage.input_tokens == 0 or usage.output_tokens == 0):
        usage = _without_false_zeros(usage, raw)
        if usage is not None and usage.input_tokens == 0 and usage.output_tokens:
            usage = _with_input(usage, raw)
    return usage


def _with_details(usage: Usage, places: tuple[object, ...]) -> Usage:
    """Return the provider's own usage with details, if its totals are the same.

    langchain-mistralai leaves out details, and langchain-openai those of Moonshot.
    """
    for place in places:
        found = usage_of(place) if place else None
        if found is not None and found[:2] == usage[:2]:
            return found
    return usage


def _with_input(usage: Usage, places: tuple[object, ...]) -> Usage:
    """Add the input tokens to a usage that has 0 of them, which no response has.

    Anthropic's stream reports them in its first event, which `instrument` keeps.
    """
    for place in places:
        first_event = mapping(mapping(place).get("usage"))
        if (found := usage_of(first_event)) is not None and found.input_tokens:
            return usage._replace(
                input_tokens=found.input_tokens,
                cache_read=found.cache_read,
                cache_write=found.cache_write,
            )
    return usage._replace(input_tokens=None)


def _unless_empty(usage: Usage) -> Usage | None:
    """Return a usage, or None if it has neither total."""
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return usage


def _without_false_zeros(usage: Usage, places: tuple[object, ...]) -> Usage | None:
    """Replace zeros with None where OpenAI's own usage has no number."""
    for place in places:
        raw = mapping(mapping(place).get("token_usage"))
        if "prompt_tokens" in raw or "completion_tokens" in raw:
            if not usage.input_tokens:
                usage = usage._replace(input_tokens=count(raw.get("prompt_tokens")))
            if not usage.output_tokens:
                output_tokens = count(raw.get("completion_tokens"))
                usage = usage._replace(output_tokens=output_tokens)
            return _unless_empty(usage)
    return usage


def total(usages: Iterable[Usage | None]) -> Usage | None:
    """Add up the usages of several calls."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    inputs, outputs, *details = zip(*known, strict=True)
    return Usage(_sum(*inputs), _sum(*outputs), *map(sum, details))


_Raw: TypeAlias = "dict[object, object]"

_DETAILS: Final = ("cache_read", "cache_creation", "reasoning")
_TIERS: Final = (
    (
        "priority",
        ("priority_cache_read", "priority_cache_creation", "priority_reasoning"),
    ),
    ("flex", ("flex_cache_read", "flex_cache_creation", "flex_reasoning")),
)
"""A service tier -> langchain-openai's names of the details at that tier."""

_EPHEMERAL: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")

_MODALITIES: Final = ("audio", "text", "image")
"""In the order of the usage's fields, each with one for input and one for output."""


def _first(raw: _Raw, *keys: str) -> int | None:
    """Return the token count under the first of several keys that has one."""
    for key in keys:
        if key in raw and (found := count(raw[key])) is not None:
            return found
    return None


def _detail(raw: _Raw, *keys: str) -> int:
    """Return a part of a total; 0 if it is missing."""
    return _first(raw, *keys) or 0


def _sum(*parts: int | None) -> int | None:
    """Return the sum of the known numbers, or None if there are none."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


_plain: Final = tuple.__new__  # half the time of calling the class
_NO_DETAILS: Final = Usage()[2:]
_INTEGER: Final = frozenset({int})


def simple_usage(raw: _Raw, inputs: _Raw, outputs: _Raw) -> Usage | None:
    """Read LangChain's usage with totals if all details are 0, as mostly."""
    read, written = raw.get("input_tokens"), raw.get("output_tokens")
    details = (*inputs.values(), *outputs.values())
    if (
        type(read) is int
        and type(written) is int
        and 0 < read <= LARGEST_INTEGER
        and 0 < written <= LARGEST_INTEGER
        and _INTEGER.issuperset(map(type, details))
        and not any(details)
    ):
        return _plain(Usage, (read, written, *_NO_DETAILS))
    return None


def langchain(raw: _Raw) -> Usage:
    """Read ``AIMessage.usage_metadata``.

    https://reference.langchain.com/python/langchain_core/messages/#langchain_core.messages.ai.UsageMetadata
    """
    inputs, outputs = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    input_details = mapping(raw.get("input_token_details"))
    output_details = mapping(raw.get("output_token_details"))
    read, write, reasoning = _detail_keys(input_details, output_details)
    thoughts = count(output_details.get(reasoning)) or 0
    return Usage(
        inputs,
        _with_thoughts(inputs, outputs, thoughts, raw),
        count(input_details.get(read)) or 0,
        count(input_details.get(write)) or _anthropic_writes(input_details),
        thoughts,
        *_modalities(input_details, output_details),
    )


def _modalities(
    input_details: _Raw, output_details: _Raw, suffix: str = ""
) -> Iterator[int]:
    """Yield the parts of the totals by modality: audio, text, image."""
    for modality, details in itertools.product(
        _MODALITIES, (input_details, output_details)
    ):
        yield _detail(details, f"{modality}{suffix}")


def _with_thoughts(
    inputs: int | None, outputs: int | None, thoughts: int, raw: _Raw
) -> int | None:
    """Add reasoning tokens that xAI counts separately, as its total shows."""
    if thoughts and inputs is not None and outputs is not None:
        whole = count(raw.get("total_tokens"))
        if whole is not None and whole == inputs + outputs + thoughts:
            return outputs + thoughts
    return outputs


def _detail_keys(input_details: _Raw, output_details: _Raw) -> tuple[str, str, str]:
    """Return the names of the details at the usage's service tier."""
    for tier, keys in _TIERS:
        if tier in input_details or tier in output_details:
            return keys
    return _DETAILS


def _anthropic_writes(details: _Raw) -> int:
    """Return the tokens written to Anthropic's 5-minute and 1-hour caches."""
    written = 0
    for key in _EPHEMERAL:
        if key in details:
            written += count(details[key]) or 0
    return written


def openai_chat(raw: _Raw) -> Usage:
    """Read the usage of OpenAI's chat and text completions and compatible APIs.

    Azure, Mistral, Groq, DeepSeek, xAI, Fireworks, Perplexity, vLLM and Qwen send
    this shape; DeepSeek and Moonshot have their own places for cached tokens.
    https://platform.openai.com/docs/api-reference/chat/object
    """
    input_details = mapping(raw.get("prompt_tokens_details"))
    output_details = mapping(raw.get("completion_tokens_details"))
    inputs = count(raw.get("prompt_tokens"))
    outputs = count(raw.get("completion_tokens"))
    thoughts = _detail(output_details, "reasoning_tokens") or _detail(
        raw, "reasoning_tokens"
    )
    return Usage(
        inputs,
        _with_thoughts(inputs, outputs, thoughts, raw),
        _detail(input_details, "cached_tokens")
        or _detail(raw, "prompt_cache_hit_tokens", "cached_tokens"),
        _detail(input_details, "cache_write_tokens", "cache_creation_input_tokens"),
        thoughts,
        *_modalities(input_details, output_details, "_tokens"),
    )


def openai_responses(raw: _Raw) -> Usage:
    """Read the usage of OpenAI's Responses API, DashScope's own API, Cohere and others.

    https://platform.openai.com/docs/api-reference/responses/object
    https://help.aliyun.com/zh/model-studio/qwen-api-reference
    """
    input_details = mapping(raw.get("input_tokens_details")) or mapping(
        raw.get("prompt_tokens_details")
    )
    output_details = mapping(raw.get("output_tokens_details"))
    return Usage(
        count(raw.get("input_tokens")),
        count(raw.get("output_tokens")),
        _detail(input_details, "cached_tokens"),
        _detail(input_details, "cache_write_tokens", "cache_creation_input_tokens"),
        _detail(output_details, "reasoning_tokens"),
        *_modalities(input_details, output_details, "_tokens"),
    )


def anthropic(raw: _Raw) -> Usage:
    """Read Anthropic's usage, whose ``input_tokens`` exclude cached tokens.

    https://docs.claude.com/en/api/messages
    """
    read = count(raw.get("cache_read_input_tokens"))
    written = count(raw.get("cache_creation_input_tokens"))
    if written is None and (by_age := mapping(raw.get("cache_creation"))):
        written = _anthropic_writes(by_age)
    return Usage(
        _sum(count(raw.get("input_tokens")), read, written),
        count(raw.get("output_tokens")),
        read or 0,
        written or 0,
    )


def gemini(raw: _Raw) -> Usage:
    """Read Gemini's and Vertex AI's usage, whose candidates exclude thoughts.

    https://ai.google.dev/api/generate-content#UsageMetadata
    """
    thoughts = _first(raw, "thoughtsTokenCount", "thoughts_token_count")
    return Usage(
        _sum(
            _first(raw, "promptTokenCount", "prompt_token_count"),
            _first(raw, "toolUsePromptTokenCount", "tool_use_prompt_token_count"),
        ),
        _sum(
            _first(raw, "candidatesTokenCount", "candidates_token_count"),
            thoughts,
        ),
        _detail(raw, "cachedContentTokenCount", "cached_content_token_count"),
        0,
        thoughts or 0,
        *_modalities(
            _by_modality(raw, "promptTokensDetails", "prompt_tokens_details"),
            _by_modality(raw, "candidatesTokensDetails", "candidates_tokens_details"),
        ),
    )


def _by_modality(raw: _Raw, *keys: str) -> _Raw:
    """Convert Gemini's list of modalities to the shape of LangChain's details."""
    found: _Raw = {}
    for listed in map(raw.get, keys):
        for detail in map(mapping, listed if isinstance(listed, list) else ()):
            modality = text(detail.get("modality")).lower()
            found.setdefault(modality, _detail(detail, "tokenCount", "token_count"))
    return found


def bedrock(raw: _Raw) -> Usage:
    """Read Bedrock's usage, of Converse and of an invocation's metrics.

    https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_TokenUsage.html
    """
    read = _first(raw, "cacheReadInputTokens", "cacheReadInputTokenCount")
    written = _first(raw, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    return Usage(
        _sum(_first(raw, "inputTokens", "inputTokenCount"), read, written),
        _first(raw, "outputTokens", "outputTokenCount"),
        read or 0,
        written or 0,
    )


def ollama(raw: _Raw) -> Usage:
    """Read Ollama's usage, whose keys are at the top level of the response.

    https://github.com/ollama/ollama/blob/main/docs/api.md
    """
    return Usage(count(raw.get("prompt_eval_count")), count(raw.get("eval_count")))


def watsonx(raw: _Raw) -> Usage:
    """Read the usage of watsonx.ai's text generation.

    https://cloud.ibm.com/apidocs/watsonx-ai#text-generation
    """
    inputs, outputs = raw.get("input_token_count"), raw.get("generated_token_count")
    return Usage(count(inputs), count(outputs))


OLLAMA: Final = frozenset({"prompt_eval_count", "eval_count"})
SHAPES: Final[tuple[tuple[str, Callable[[_Raw], Usage]], ...]] = (
    ("prompt_tokens", openai_chat),
    ("completion_tokens", openai_chat),
    ("input_token_details", langchain),
    ("output_token_details", langchain),
    ("cache_read_input_tokens", anthropic),
    ("cache_creation_input_tokens", anthropic),
    ("input_tokens", openai_responses),
    ("output_tokens", openai_responses),
    ("promptTokenCount", gemini),
    ("candidatesTokenCount", gemini),
    ("prompt_token_count", gemini),
    ("candidates_token_count", gemini),
    ("inputTokens", bedrock),
    ("outputTokens", bedrock),
    ("inputTokenCount", bedrock),
    ("outputTokenCount", bedrock),
    *((key, ollama) for key in OLLAMA),
    ("generated_token_count", watsonx),
)
"""A key of a shape, and its reader; the first key that is present decides."""
