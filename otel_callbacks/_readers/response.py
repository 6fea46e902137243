"""Read a model's response: model, id, finish reasons, usage, and cache hits.

Providers' packages put these in different places: in a message's metadata, in a
generation's info, or in ``llm_output``.
"""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from langchain_core.outputs import ChatGeneration

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.provider import RESPONSES
from otel_callbacks._readers.usage import (
    COSTS,
    OLLAMA,
    PLACES,
    SHAPES,
    has_own_rate,
    message_usage,
    reported_cost,
    simple_usage,
    total,
    usage_of,
)
from otel_callbacks._readers.values import (
    count,
    first_text,
    items,
    mapping,
    once,
    text,
)
from otel_callbacks._records import NO_ATTRIBUTES, Response, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._records import Attributes, AttributeValue

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
"""Where langchain-google-genai puts the reason why Gemini refused a prompt."""

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

_NOTHING: Final[dict[object, object]] = {}


_Answer: TypeAlias = "tuple[object, dict[object, object], dict[object, object], bool]"
"""A generation's message, the message's metadata, the generation's info, and whether
it was merged from a stream's chunks. A plain tuple, for speed: each call makes one."""

_Known: TypeAlias = "tuple[str | None, tuple[str, ...], Attributes]"
"""A model, finish reasons and attributes."""

_NO_ANSWER: Final[_Answer] = (None, _NOTHING, _NOTHING, False)


def model_response(result: object) -> Response:
    """Read the response of a model call that has ended or failed."""
    simple = _simple_response(result)
    if simple is not None:
        return simple
    output = mapping(getattr(result, "llm_output", None))
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
    model = first_text(_MODEL_KEYS, metadata, info, named)
    identifier = first_text(_ID_KEYS, metadata, output, info)
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


_INFO_KEYS: Final = (*_MODEL_KEYS, *_REASON_KEYS)
_OUTPUT_KEYS: Final = (*_MODEL_KEYS, _PROVIDER, *(key for key, _ in _OPENAI_KEYS))
_METADATA_KEYS: Final = (
    *_INFO_KEYS,
    *("status", "incomplete_details", "object"),
    *_OUTPUT_KEYS[len(_MODEL_KEYS) :],
)
"""Keys of model, finish reasons and attributes, in each place."""

_known: dict[tuple[object, ...], _Known] = {}
"""Values of these keys -> the model, finish reasons and attributes read from them;
each model has few combinations."""
_KNOWN_AT_MOST: Final = 1_000
_LONGEST: Final = 256
_COMPARABLE: Final = frozenset((str, bool, type(None)))
_OPTIONAL: Final = frozenset((dict, type(None)))
_USUAL_TYPES: Final = frozenset(
    (dict, dict, dict, str, *more) for more in product(_OPTIONAL, repeat=2)
)
"""Types of metadata, usage, ``additional_kwargs``, content, info, output."""
_DETAILS: Final = ("input_token_details", "output_token_details")
_USAGES: Final = ("token_usage", "usage")
_MAY_HAVE_DETAILS: Final = frozenset((*PLACES, *(key for key, _ in SHAPES))) - OLLAMA
"""Keys of usages that may have details if LangChain's own has none."""
_OTHER: Final = Usage()
"""Stands for a usage that has to be read in full."""
_new: Final = tuple.__new__  # half the time of calling the class


def _simple_response(result: Any) -> Response | None:
    """Read the common case: one message with usage and nothing billed separately.

    In doubt it returns None, and the response is read in full.
    """
    try:
        prompts, output = result.generations, result.llm_output
        if type(prompts) is not list or type(prompts[0]) is not list:
            return None
        ((generation,),) = prompts
        message, info = generation.message, generation.generation_info
        metadata, reported = message.response_metadata, message.usage_metadata
        more = message.additional_kwargs
        read = metadata, reported, more, message.content, info, output
    except (AttributeError, IndexError, ValueError):
        return None
    if (*map(type, read),) not in _USUAL_TYPES or "body" in metadata:
        return None
    is_merged = type(generation) is not ChatGeneration and _is_merged(generation)
    info, output = info or _NOTHING, output or _NOTHING
    fields_read = (
        is_merged,
        not info,  # so that no value of the output stands for one of the info
        _FEEDBACK in metadata and reason_of(metadata, info),
        *map(metadata.get, _METADATA_KEYS),
        *(map(info.get, _INFO_KEYS) if info else ()),
        *(map(output.get, _OUTPUT_KEYS) if output else ()),
    )
    if _TOOL_OUTPUTS in more or not (_COMPARABLE.issuperset(map(type, fields_read))):
        return None
    answer = message, metadata, info, is_merged
    known = _known.get(fields_read)
    if known is None:
        known = _know(fields_read, answer, output)
    usage = _simple_usage(answer, reported, output) if known[0] is not None else _OTHER
    if usage is _OTHER:
        return None
    identifier = metadata.get("id")
    if type(identifier) is str and identifier:
        identifier = text(identifier)
    else:
        identifier = first_text(_ID_KEYS, metadata, output, info)
    if identifier.startswith(_OWN_IDS):
        identifier = ""
    model, reasons, attributes = known
    values = model, identifier, reasons, usage, True, False, attributes
    return _new(Response, (*values, None, (), 0))


def _know(
    fields_read: tuple[object, ...], answer: _Answer, output: dict[object, object]
) -> _Known:
    """Read what depends on these fields; no model if it may bill its searches."""
    _, metadata, info, is_merged = answer
    model = first_text(_MODEL_KEYS, metadata, info, output)
    known: _Known = (
        None if _SEARCHES in model else once(model) if is_merged else model,
        _reasons([answer]),
        _attributes(metadata, output),
    )
    if all(len(word) <= _LONGEST for word in fields_read if type(word) is str):
        if len(_known) >= _KNOWN_AT_MOST:
            _known.clear()
        _known[fields_read] = known
    return known


def _simple_usage(
    answer: _Answer, reported: dict[object, object], output: dict[object, object]
) -> Usage | None:
    """Read the usage; `_OTHER` if it has a cost, a cache hit or more that is billed."""
    metadata = answer[1]
    parts: list[Any] = [
        *map(reported.get, _DETAILS),
        *map(metadata.get, _USAGES),
        *map(output.get, _USAGES),
    ]
    if not _OPTIONAL.issuperset(map(type, parts)) or not (
        _EXTRA_KEYS.isdisjoint(chain(metadata, output, reported, *filter(None, parts)))
    ):
        return _OTHER
    inputs, outputs, _, raw, *_ = parts
    if (raw and not _has_no_extras(raw)) or (
        inputs and _HOUR in inputs and count(inputs[_HOUR])
    ):
        return _OTHER
    usage = None
    if inputs or _MAY_HAVE_DETAILS.isdisjoint(chain(metadata, output)):
        usage = simple_usage(reported, inputs or _NOTHING, outputs or _NOTHING)
    return (
        usage or message_usage(reported, output, metadata) or _usage([[answer]], output)
    )


def _has_no_extras(raw: dict[object, object]) -> bool:
    """Return whether Anthropic's usage has nothing that is billed separately."""
    by_age = mapping(raw.get("cache_creation"))
    is_plain = raw.get("server_tool_use") is None and not count(by_age.get(_HOUR))
    return is_plain and not has_own_rate(raw)


def _answer(generation: object) -> _Answer:
    """Return a generation's message, metadata and info, and whether it is merged."""
    message = getattr(generation, "message", None)
    metadata = mapping(getattr(message, "response_metadata", None))
    if "body" in metadata and count(metadata.get("status_code")) == _HTTP_OK:
        # langchain-openai could not parse this response, which is billed all the same.
        metadata = mapping(metadata["body"])
    info = mapping(getattr(generation, "generation_info", None))
    return message, metadata, info, _is_merged(generation)


def _is_merged(generation: object) -> bool:
    """Return whether a generation was merged from a stream's chunks."""
    return type(generation).__name__.endswith("Chunk")


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
    reasons = []
    for _, metadata, info, is_merged in answers:
        if reason := reason_of(metadata, info):
            reasons.append(once(reason) if is_merged else reason)
    if not reasons and answers and "choices" in answers[0][1]:
        choices = map(mapping, items(answers[0][1]["choices"]))
        return tuple(filter(None, (first_text(_REASON_KEYS, each) for each in choices)))
    return tuple(reasons)


def reason_of(metadata: dict[object, object], info: dict[object, object]) -> str:
    """Read the finish reason of a choice, as the provider sent it."""
    if reason := first_text(_REASON_KEYS, info, metadata):
        return reason
    if _FEEDBACK in metadata:
        return text(mapping(metadata[_FEEDBACK]).get("block_reason"))
    status = metadata.get("status")
    if status is None or (state := text(status)) not in _STATUSES:
        return ""
    details = mapping(metadata.get("incomplete_details"))
    return text(details.get("reason")) or state


def _attributes(
    metadata: dict[object, object], output: dict[object, object]
) -> Attributes:
    """Read the attributes that only OpenAI has."""
    provider = text(metadata.get(_PROVIDER)) or text(output.get(_PROVIDER))
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
        return ()  # the common case
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
