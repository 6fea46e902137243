"""Read a model's response: model, id, finish reasons, usage, and cache hits.

Providers' packages put these in different places: in a message's metadata, in a
generation's info, or in ``llm_output``.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.provider import RESPONSES
from otel_callbacks._readers.usage import (
    COSTS,
    has_own_rate,
    message_usage,
    reported_cost,
    total,
    usage_of,
)
from otel_callbacks._readers.values import count, items, mapping, text
from otel_callbacks._records import NO_ATTRIBUTES, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._records import Attributes, AttributeValue, Usage

# The events of ``stream_events(version="v3")`` with output; the others mark the start
# and end of a message and its blocks, at the same moments.
_CHUNK: Final = "content-block-delta"


def is_chunk(event: Any) -> bool:
    """Return whether a protocol event holds output of the model."""
    return isinstance(event, dict) and text(event.get("event")) == _CHUNK


def first_of(batch: Any) -> object:
    """Return the payload of a start: LangChain wraps each prompt in a new list."""
    return batch[0] if isinstance(batch, list) and batch else batch


# The response of most failed calls.
_NO_RESPONSE: Final = Response()

_MODEL_KEYS: Final = (
    "model_name",
    "model",
    "model_id",
    "modelVersion",
    "model_version",
)
_ID_KEYS: Final = ("id", "response_id", "responseId")
_OWN_IDS: Final = ("lc_", "run-")
"""Prefixes of LangChain's ids, which replace missing ids of the provider."""

_REASON_KEYS: Final = (
    "finish_reason",
    "stop_reason",
    "stopReason",
    "done_reason",
    "finishReason",
)
_FEEDBACK: Final = "prompt_feedback"
"""Where langchain-google-genai says why Gemini refused a prompt."""

_STATUSES: Final = ("completed", "incomplete", "failed", "cancelled")
"""Final statuses of OpenAI's Responses API."""

_PROVIDER: Final = "model_provider"
_OPENAI: Final = ("openai", "azure", "azure_openai")
"""``model_provider`` in OpenAI's metadata; text models have none."""

_OPENAI_KEYS: Final = (
    ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)

_HTTP_OK: Final = 200
_SHORTEST_WORD: Final = 3

_NOTHING: Final[dict[object, object]] = {}


_Answer: TypeAlias = "tuple[object, dict[object, object], dict[object, object], bool]"
"""A generation's message, the message's metadata, the generation's info, and whether
it was merged from a stream's chunks. A plain tuple, for speed: each call makes one."""

_NO_ANSWER: Final[_Answer] = (None, _NOTHING, _NOTHING, False)


def model_response(result: object) -> Response:
    """Read the response of a model call that has ended or failed."""
    output = mapping(getattr(result, "llm_output", None))
    only = _only_one(getattr(result, "generations", None))
    if only is not None and (simple := _simple_response(only, output)) is not None:
        return simple
    prompts = [
        [_answer(each) for each in generations]
        for generations in items(getattr(result, "generations", None))
        if isinstance(generations, (list, tuple))
    ]
    answers = prompts[0] if len(prompts) == 1 else [*chain.from_iterable(prompts)]
    if not answers and not output:
        return _NO_RESPONSE
    message, metadata, info, is_merged = answers[0] if answers else _NO_ANSWER
    # A text model's llm_output holds the requested model.
    named = _NOTHING if message is None else output
    model = _find(_MODEL_KEYS, metadata, info, named)
    identifier = _find(_ID_KEYS, metadata, output, info)
    reported = getattr(message, "usage_metadata", None)
    cached = not output and _is_cached(reported)
    return Response(
        once(model) if is_merged else model,
        "" if identifier.startswith(_OWN_IDS) else identifier,
        _reasons(answers),
        _usage(prompts, output),
        not cached and not _is_later(message, output),
        cached,
        _attributes(metadata, output),
        reported_cost(reported, metadata, output),
        _billed_parts(
            reported,
            metadata,
            getattr(message, "content", None),
            getattr(message, "additional_kwargs", None),
        ),
    )


def _only_one(prompts: object) -> _Answer | None:
    """Return the only answer to the only prompt, as mostly."""
    if type(prompts) is list and len(prompts) == 1:
        choices: Any = prompts[0]
        if type(choices) is list and len(choices) == 1:
            return _answer(choices[0])
    return None


_INFO_KEYS: Final = (*_MODEL_KEYS, *_REASON_KEYS)
_OUTPUT_KEYS: Final = (*_MODEL_KEYS, _PROVIDER, *(key for key, _ in _OPENAI_KEYS))
_METADATA_KEYS: Final = (
    *_INFO_KEYS,
    *("status", "incomplete_details", "object"),
    *_OUTPUT_KEYS[len(_MODEL_KEYS) :],
)
"""Keys of model, finish reasons and attributes, in each place."""

_known: dict[tuple[object, ...], tuple[str, tuple[str, ...], Attributes]] = {}
"""Values of these keys -> the model, finish reasons and attributes read from them;
each model has few combinations."""
_KNOWN_AT_MOST: Final = 1_000
_LONGEST: Final = 256
_COMPARABLE: Final = frozenset({str, bool, type(None)})
_DICTIONARY: Final = frozenset({dict})
# Half the time of calling the class.
_new: Final = tuple.__new__


def _simple_response(answer: _Answer, output: dict[object, object]) -> Response | None:
    """Read the common case: one message with usage and nothing billed separately."""
    message, metadata, info, is_merged = answer
    reported = getattr(message, "usage_metadata", None)
    fields_read = (
        is_merged,
        not info,  # so that no value of the output stands for one of the info
        _FEEDBACK in metadata and reason_of(metadata, info),
        *map(metadata.get, _METADATA_KEYS),
        *(map(info.get, _INFO_KEYS) if info else ()),
        *(map(output.get, _OUTPUT_KEYS) if output else ()),
    )
    if (
        type(reported) is not dict
        or not _COMPARABLE.issuperset(map(type, fields_read))
        or not _is_simple(message, reported, metadata, output)
    ):
        return None
    known = _known.get(fields_read)
    if known is None:
        model = _find(_MODEL_KEYS, metadata, info, output)
        known = (
            once(model) if is_merged else model,
            _reasons([answer]),
            _attributes(metadata, output),
        )
        if all(len(word) <= _LONGEST for word in fields_read if type(word) is str):
            if len(_known) >= _KNOWN_AT_MOST:
                _known.clear()
            _known[fields_read] = known
    model, reasons, attributes = known
    if _SEARCHES in model:
        return None
    identifier = _find(_ID_KEYS, metadata, output, info)
    if identifier.startswith(_OWN_IDS):
        identifier = ""
    usage = message_usage(reported, output, metadata) or _usage([[answer]], output)
    values = model, identifier, reasons, usage, True, False, attributes
    return _new(Response, (*values, None, _NOT_BILLED, 0))


def _is_simple(
    message: object,
    reported: dict[object, object],
    metadata: dict[object, object],
    output: dict[object, object],
) -> bool:
    """Return whether a message has no cost, no cache hit and nothing billed separately.

    In doubt it returns False, and the response is read in full.
    """
    inputs: Any = reported.get("input_token_details", _NOTHING)
    raw: Any = metadata.get("usage", _NOTHING)
    parts: tuple[Any, ...] = (
        reported,
        inputs,
        reported.get("output_token_details", _NOTHING),
        metadata.get("token_usage", _NOTHING),
        raw,
        output.get("token_usage", _NOTHING),
        output.get("usage", _NOTHING),
    )
    more = getattr(message, "additional_kwargs", _NOTHING)
    return (
        _DICTIONARY.issuperset(map(type, parts))
        and _EXTRA_KEYS.isdisjoint(chain(metadata, output, *parts))
        and (_HOUR not in inputs or not count(inputs[_HOUR]))
        and (not raw or _has_no_extras(raw))
        and type(getattr(message, "content", None)) is str
        and type(more) is dict
        and _TOOL_OUTPUTS not in more
    )


def _has_no_extras(raw: dict[object, object]) -> bool:
    """Return whether Anthropic's usage has nothing that is billed separately."""
    by_age = mapping(raw.get("cache_creation"))
    is_plain = raw.get("server_tool_use") is None and not count(by_age.get(_HOUR))
    return is_plain and not has_own_rate(raw)


def _answer(generation: object) -> _Answer:
    """Return a generation's message, metadata and info, and whether it is merged."""
    message = getattr(generation, "message", None)
    metadata: Any = getattr(message, "response_metadata", None)
    if type(metadata) is not dict:
        metadata = mapping(metadata)
    if "body" in metadata and count(metadata.get("status_code")) == _HTTP_OK:
        # langchain-openai could not parse this response, which is billed all the same.
        metadata = mapping(metadata["body"])
    info = mapping(getattr(generation, "generation_info", None))
    return message, metadata, info, type(generation).__name__[-5:] == "Chunk"


def _find(keys: tuple[str, ...], *places: dict[object, object]) -> str:
    """Return the first text under one of the keys, searching place after place."""
    for place in places:
        if place:
            for key in keys:
                value = place.get(key)
                if value is not None and (found := text(value)):
                    return found
    return ""


def _is_cached(usage: object) -> bool:
    """Return whether a message with this usage comes from LangChain's own cache.

    The cache marks the object that it stores, so it also marks the first of two equal
    prompts of one ``generate``. That one has ``llm_output``; a cached one has none.
    """
    if not isinstance(usage, dict) or "total_cost" not in usage:
        return False
    cost = usage["total_cost"]
    return type(cost) is int and cost == 0


def _is_later(message: object, output: dict[object, object]) -> bool:
    """Return whether a run's usage is in the first run of its text batch."""
    usage = output.get("token_usage") if message is None else None
    return isinstance(usage, dict) and not usage


def _usage(prompts: list[list[_Answer]], output: dict[object, object]) -> Usage | None:
    """Read the usage from the messages, else from the output, else from the metadata.

    The choices of one prompt hold copies of one usage, so only one of them counts.
    """
    usage = (
        _message_usage(prompts[0], output)
        if len(prompts) == 1
        else total([_message_usage(answers, output) for answers in prompts])
    )
    if usage is None:
        usage = usage_of(output)
    if usage is None:
        usage = total([_metadata_usage(answers) for answers in prompts])
    return usage


def _message_usage(
    answers: list[_Answer], output: dict[object, object]
) -> Usage | None:
    """Read the usage of a prompt's first choice that has one."""
    for message, metadata, _, _ in answers:
        reported = getattr(message, "usage_metadata", None)
        if (usage := message_usage(reported, output, metadata)) is not None:
            return usage
    return None


def _metadata_usage(answers: list[_Answer]) -> Usage | None:
    """Read the usage in the metadata or the info of a prompt's choices."""
    for _, metadata, info, _ in answers:
        if (usage := usage_of(metadata) or usage_of(info)) is not None:
            return usage
    return None


def _reasons(answers: list[_Answer]) -> tuple[str, ...]:
    """Read the finish reasons of all choices, in order."""
    if len(answers) == 1:
        _, metadata, info, is_merged = answers[0]
        if reason := reason_of(metadata, info):
            return (once(reason) if is_merged else reason,)
    reasons = []
    for _, metadata, info, is_merged in answers:
        if reason := reason_of(metadata, info):
            reasons.append(once(reason) if is_merged else reason)
    if not reasons and answers and "choices" in answers[0][1]:
        choices = map(mapping, items(answers[0][1]["choices"]))
        return tuple(filter(None, (_find(_REASON_KEYS, each) for each in choices)))
    return tuple(reasons)


def reason_of(metadata: dict[object, object], info: dict[object, object]) -> str:
    """Read the finish reason of a choice, as the provider sent it."""
    if reason := _find(_REASON_KEYS, info, metadata):
        return reason
    if _FEEDBACK in metadata:
        return text(mapping(metadata[_FEEDBACK]).get("block_reason"))
    status = metadata.get("status")
    if status is None or (state := text(status)) not in _STATUSES:
        return ""
    details = mapping(metadata.get("incomplete_details"))
    return text(details.get("reason")) or state


def once(value: str) -> str:
    """Return one copy of a value that LangChain concatenated from several chunks."""
    period = (value + value).find(value, 1)
    return value[:period] if period >= _SHORTEST_WORD else value


def _attributes(
    metadata: dict[object, object], output: dict[object, object]
) -> Attributes:
    """Read the attributes that only OpenAI has."""
    provider = metadata.get(_PROVIDER)
    if type(provider) is not str or not provider:
        provider = text(provider) or text(output.get(_PROVIDER))
    if provider and provider not in _OPENAI:
        return NO_ATTRIBUTES
    attributes: dict[str, AttributeValue] = {}
    for key, attribute in _OPENAI_KEYS:
        if found := text(metadata.get(key)) or text(output.get(key)):
            attributes[attribute] = found
    kind = metadata.get("object")
    if kind is not None and text(kind) == "response":
        attributes[semconv.OPENAI_API_TYPE] = RESPONSES
    return attributes or NO_ATTRIBUTES


_HOUR: Final = "ephemeral_1h_input_tokens"
_BILLED_SEPARATELY: Final = frozenset({_HOUR, "image"})
_NOT_BILLED: Final[tuple[tuple[str, int], ...]] = ()


def _billed_parts(
    usage_metadata: object,
    metadata: dict[object, object],
    content: object,
    more: object = None,
) -> tuple[tuple[str, int], ...]:
    """Read the kinds and amounts that are billed separately from the usage."""
    reported = mapping(usage_metadata)
    inputs = mapping(reported.get("input_token_details"))
    outputs = mapping(reported.get("output_token_details"))
    raw = mapping(metadata.get("usage"))
    if (
        not raw
        and not isinstance(content, list)
        and inputs.keys().isdisjoint(_BILLED_SEPARATELY)
        and outputs.keys().isdisjoint(_BILLED_SEPARATELY)
        and metadata.keys().isdisjoint(_SAYING_MORE)
        and not (isinstance(more, dict) and _TOOL_OUTPUTS in more)
        and _SOURCES not in mapping(metadata.get("token_usage"))
        and _SEARCHES not in text(metadata.get("model_name"))
    ):
        return _NOT_BILLED  # the common case
    parts = (
        (
            "cache_write_1h",
            count(inputs.get(_HOUR))
            or count(mapping(raw.get("cache_creation")).get(_HOUR)),
        ),
        ("image_input", count(inputs.get("image"))),
        ("image_output", count(outputs.get("image"))),
        *_tools(raw, metadata, content, mapping(more).get(_TOOL_OUTPUTS)),
        ("fast", int(text(raw.get("speed")) == "fast")),
        ("rate", int(has_own_rate(raw) or has_own_rate(metadata))),
    )
    return tuple([(kind, amount) for kind, amount in parts if amount])


_GROUNDING: Final = frozenset({"grounding_metadata", "groundingMetadata"})
_SAYING_MORE: Final = _GROUNDING | {"serviceTier", "performanceConfig"}
_CHUNKS: Final = ("grounding_chunks", "groundingChunks")
_QUERIES: Final = ("web_search_queries", "webSearchQueries")
_PER_PROMPT: Final = ("gemini-1", "gemini-2")
"""Gemini 3 bills each query; earlier models bill each prompt with queries.
https://ai.google.dev/gemini-api/docs/pricing"""
_SOURCES: Final = "num_sources_used"
"""xAI's: https://docs.x.ai/docs/guides/live-search"""
_SEARCHES: Final = "-search-"
"""In the name of an OpenAI model that searches the web for each response."""
_TOOL_OUTPUTS: Final = "tool_outputs"
"""Where langchain-openai's first output format keeps calls of OpenAI's own tools."""
_EXTRA_KEYS: Final = (
    COSTS | _SAYING_MORE | {"total_cost", "choices", "image", "speed", _SOURCES}
)
"""Keys that may hold a cost, or something that is billed separately."""
_OWN_TOOLS: Final = (
    *("web_search", "file_search", "code_interpreter", "image_generation"),
    "hosted_shell",
)
"""Tools that OpenAI runs and bills; the type of such a part ends with ``_call``."""
_OWN_IMAGE: Final = "ig_"
"""Beginning of the id of an image that OpenAI's tool made, in LangChain's format."""
_CALL: Final = "_call"
_MOST_PARTS: Final = 10_000
"""Content parts that are read of a response."""


def _tools(
    raw: dict[object, object],
    metadata: dict[object, object],
    content: object,
    outputs: object,
) -> Iterator[tuple[str, int]]:
    """Count the calls of a provider's own tools for a response."""
    called = dict.fromkeys(_OWN_TOOLS, 0)
    for place in (content, outputs):
        for part in items(place)[:_MOST_PARTS]:
            tool = mapping(part)
            if (own := _own_tool(tool, text(tool.get("type")))) in called:
                called[own] += 1
    counted = count(mapping(raw.get("server_tool_use")).get("web_search_requests"))
    called_searches = called.pop("web_search")
    searches = called_searches if counted is None else counted
    yield "web_search", searches or _grounded(metadata)
    yield from called.items()
    chunks = (
        chunk
        for grounding in map(mapping, map(metadata.get, _GROUNDING))
        for chunk in chain.from_iterable(map(items, map(grounding.get, _CHUNKS)))
    )
    yield "maps", int(any(mapping(chunk).get("maps") for chunk in chunks))
    yield "sources", count(mapping(metadata.get("token_usage")).get(_SOURCES)) or 0


def _own_tool(part: dict[object, object], kind: str) -> str:
    """Return the provider's own tool that a part calls; empty if it calls none."""
    if kind == "server_tool_call":
        return text(part.get("name"))
    if kind == "server_tool_use":
        # Anthropic's; `server_tool_use` of the usage counts its searches.
        is_code = "code_execution" in text(part.get("name"))
        return "code_interpreter" if is_code else ""
    if kind == "image" and text(part.get("id")).startswith(_OWN_IMAGE):
        return "image_generation"
    if kind == "shell_call":
        where = text(mapping(part.get("environment")).get("type"))
        return "hosted_shell" if where.startswith("container") else ""
    return kind[: -len(_CALL)] if kind.endswith(_CALL) else ""


def _grounded(metadata: dict[object, object]) -> int:
    """Count the searches that Gemini reports, or 1 for a model that always searches."""
    model = text(metadata.get("model_name"))
    for key in _GROUNDING:
        grounding = mapping(metadata.get(key))
        for queries in map(grounding.get, _QUERIES):
            if isinstance(queries, list) and queries:
                per_prompt = any(name in model for name in _PER_PROMPT)
                return 1 if per_prompt else len(queries)
    return int(_SEARCHES in model)
