"""What a model gave back: model, id, finish reasons, usage, and whether it was cached.

Providers' packages put these in different places: in the metadata of a message, in
the info of a generation, or in ``llm_output`` beside them.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.provider import RESPONSES
from otel_callbacks._readers.usage import (
    COSTS,
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

# Of the events of ``stream_events(version="v3")`` the ones that bring output; the
# others mark where a message and its blocks begin and end, at the same moments.
_CHUNK: Final = "content-block-delta"


def is_chunk(event: Any) -> bool:
    """Say whether a protocol event brings output of the model."""
    return isinstance(event, dict) and text(event.get("event")) == _CHUNK


def first_of(batch: Any) -> object:
    """Return the payload of a start: LangChain wraps each prompt in a new list."""
    return batch[0] if isinstance(batch, list) and batch else batch


# What comes with most errors.
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
"""LangChain's own ids stand where the provider sent none."""

_REASON_KEYS: Final = (
    "finish_reason",
    "stop_reason",
    "stopReason",
    "done_reason",
    "finishReason",
)
_STATUSES: Final = ("completed", "incomplete", "failed", "cancelled")
"""How OpenAI's Responses API says that it is done."""

_PROVIDER: Final = "model_provider"
_OPENAI: Final = ("openai", "azure", "azure_openai")
"""``model_provider`` of metadata that are OpenAI's; text models say nothing."""

_OPENAI_KEYS: Final = (
    ("service_tier", semconv.OPENAI_RESPONSE_SERVICE_TIER),
    ("system_fingerprint", semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT),
)

_HTTP_OK: Final = 200
_SHORTEST_WORD: Final = 3

_NOTHING: Final[dict[object, object]] = {}


_Answer: TypeAlias = "tuple[object, dict[object, object], dict[object, object], bool]"
"""Of one generation: its message, the message's metadata, the generation's info, and
whether it is made of a stream's chunks. A plain tuple, as each call makes one."""

_NO_ANSWER: Final[_Answer] = (None, _NOTHING, _NOTHING, False)


def model_response(result: object) -> Response:
    """Read what a model gave back when its run ends, or ends early."""
    output = mapping(getattr(result, "llm_output", None))
    only = _only_one(getattr(result, "generations", None))
    if only is not None and (usual := _usual_response(only, output)) is not None:
        return usual
    prompts = [
        [_answer(each) for each in generations]
        for generations in items(getattr(result, "generations", None))
        if isinstance(generations, (list, tuple))
    ]
    answers = prompts[0] if len(prompts) == 1 else [*chain.from_iterable(prompts)]
    if not answers and not output:
        return _NO_RESPONSE
    message, metadata, info, is_merged = answers[0] if answers else _NO_ANSWER
    # A text model's llm_output names the model that was asked for.
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


_SAID_IN_INFO: Final = (*_MODEL_KEYS, *_REASON_KEYS)
_SAID_BESIDE: Final = (*_MODEL_KEYS, _PROVIDER, *(key for key, _ in _OPENAI_KEYS))
_SAID: Final = (
    *_SAID_IN_INFO,
    *("status", "incomplete_details", "object"),
    *_SAID_BESIDE[len(_MODEL_KEYS) :],
)
"""All that model, finish reasons and attributes are read of, in each place."""

_known: dict[tuple[object, ...], tuple[str, tuple[str, ...], Attributes]] = {}
"""What was read of all that answers say beside ids and numbers: of each model the few
combinations that there are."""
_KNOWN_AT_MOST: Final = 1_000
_LONGEST: Final = 256
_COMPARABLE: Final = frozenset({str, bool, type(None)})
_DICTIONARY: Final = frozenset({dict})
# Half of what it costs to call the class.
_new: Final = tuple.__new__


def _usual_response(answer: _Answer, output: dict[object, object]) -> Response | None:
    """Read one message that has its usage and nothing billed apart, as nearly all."""
    message, metadata, info, is_merged = answer
    reported = getattr(message, "usage_metadata", None)
    said = (
        is_merged,
        *map(metadata.get, _SAID),
        *(map(info.get, _SAID_IN_INFO) if info else ()),
        *(map(output.get, _SAID_BESIDE) if output else ()),
    )
    if (
        type(reported) is not dict
        or not _COMPARABLE.issuperset(map(type, said))
        or not _is_usual(message, reported, metadata, output)
    ):
        return None
    known = _known.get(said)
    if known is None:
        model = _find(_MODEL_KEYS, metadata, info, output)
        known = (
            once(model) if is_merged else model,
            _reasons([answer]),
            _attributes(metadata, output),
        )
        if all(len(word) <= _LONGEST for word in said if type(word) is str):
            if len(_known) >= _KNOWN_AT_MOST:
                _known.clear()
            _known[said] = known
    model, reasons, attributes = known
    if _SEARCHES in model:
        return None
    identifier = _find(_ID_KEYS, metadata, output, info)
    if identifier.startswith(_OWN_IDS):
        identifier = ""
    usage = message_usage(reported, output, metadata) or _usage([[answer]], output)
    fields = model, identifier, reasons, usage, True, False, attributes
    return _new(Response, (*fields, None, _NOT_BILLED, 0))


def _is_usual(
    message: object,
    reported: dict[object, object],
    metadata: dict[object, object],
    output: dict[object, object],
) -> bool:
    """Say whether a message tells no cost, no hit of a cache, and nothing billed apart.

    What seems to be unusual is read the long way.
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
        and _UNUSUAL.isdisjoint(chain(metadata, output, *parts))
        and (_HOUR not in inputs or not count(inputs[_HOUR]))
        and (not raw or _has_no_extras(raw))
        and type(getattr(message, "content", None)) is str
        and type(more) is dict
        and _TOOL_OUTPUTS not in more
    )


def _has_no_extras(raw: dict[object, object]) -> bool:
    """Say whether Anthropic's usage has nothing that is billed apart."""
    by_age = mapping(raw.get("cache_creation"))
    return raw.get("server_tool_use") is None and not count(by_age.get(_HOUR))


def _answer(generation: object) -> _Answer:
    """Find what the provider said of a generation."""
    message = getattr(generation, "message", None)
    metadata: Any = getattr(message, "response_metadata", None)
    if type(metadata) is not dict:
        metadata = mapping(metadata)
    if "body" in metadata and count(metadata.get("status_code")) == _HTTP_OK:
        # The answer came, and langchain-openai could not read it: it was paid for.
        metadata = mapping(metadata["body"])
    info = mapping(getattr(generation, "generation_info", None))
    return message, metadata, info, type(generation).__name__[-5:] == "Chunk"


def _find(keys: tuple[str, ...], *places: dict[object, object]) -> str:
    """Take the first text that stands under one of the keys in one of the places."""
    for place in places:
        if place:
            for key in keys:
                value = place.get(key)
                if value is not None and (found := text(value)):
                    return found
    return ""


def _is_cached(usage: object) -> bool:
    """Tell whether LangChain's own cache gave a message with this usage.

    It marks the very object that it keeps, so the first of two equal prompts of one
    ``generate`` is marked too; that one has ``llm_output``, and a cached one has none.
    """
    if not isinstance(usage, dict) or "total_cost" not in usage:
        return False
    cost = usage["total_cost"]
    return type(cost) is int and cost == 0


def _is_later(message: object, output: dict[object, object]) -> bool:
    """Tell whether the usage of a text batch stands in its first run, not in this."""
    usage = output.get("token_usage") if message is None else None
    return isinstance(usage, dict) and not usage


def _usage(prompts: list[list[_Answer]], output: dict[object, object]) -> Usage | None:
    """Read the usage: of messages, else beside them, else of their metadata.

    The choices of one prompt hold copies of one usage, so one of them is taken.
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
    """Read the usage of the first of a prompt's choices that has one."""
    for message, metadata, _, _ in answers:
        reported = getattr(message, "usage_metadata", None)
        if (usage := message_usage(reported, output, metadata)) is not None:
            return usage
    return None


def _metadata_usage(answers: list[_Answer]) -> Usage | None:
    """Read the usage in what else was said of a prompt's choices."""
    for _, metadata, info, _ in answers:
        if (usage := usage_of(metadata) or usage_of(info)) is not None:
            return usage
    return None


def _reasons(answers: list[_Answer]) -> tuple[str, ...]:
    """Read the finish reasons of all choices, in order."""
    if len(answers) == 1:
        _, metadata, info, is_merged = answers[0]
        if reason := _reason(metadata, info):
            return (once(reason) if is_merged else reason,)
    reasons = []
    for _, metadata, info, is_merged in answers:
        if reason := _reason(metadata, info):
            reasons.append(once(reason) if is_merged else reason)
    if not reasons and answers and "choices" in answers[0][1]:
        choices = map(mapping, items(answers[0][1]["choices"]))
        return tuple(filter(None, (_find(_REASON_KEYS, each) for each in choices)))
    return tuple(reasons)


def _reason(metadata: dict[object, object], info: dict[object, object]) -> str:
    """Read why a choice ended, in the provider's own word."""
    if reason := _find(_REASON_KEYS, info, metadata):
        return reason
    status = metadata.get("status")
    if status is None or (state := text(status)) not in _STATUSES:
        return ""
    details = mapping(metadata.get("incomplete_details"))
    return text(details.get("reason")) or state


def once(value: str) -> str:
    """Undo that LangChain joined a word that several chunks of a stream repeat."""
    period = (value + value).find(value, 1)
    return value[:period] if period >= _SHORTEST_WORD else value


def _attributes(
    metadata: dict[object, object], output: dict[object, object]
) -> Attributes:
    """Read what only OpenAI says."""
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
_APART: Final = frozenset({_HOUR, "image"})
_NOT_BILLED: Final[tuple[tuple[str, int], ...]] = ()


def _billed_parts(
    usage_metadata: object,
    metadata: dict[object, object],
    content: object,
    more: object = None,
) -> tuple[tuple[str, int], ...]:
    """Read what is billed at a rate of its own and is no part of a usage."""
    reported = mapping(usage_metadata)
    inputs = mapping(reported.get("input_token_details"))
    outputs = mapping(reported.get("output_token_details"))
    raw = mapping(metadata.get("usage"))
    if (
        not raw
        and not isinstance(content, list)
        and inputs.keys().isdisjoint(_APART)
        and outputs.keys().isdisjoint(_APART)
        and metadata.keys().isdisjoint(_GROUNDING)
        and not (isinstance(more, dict) and _TOOL_OUTPUTS in more)
        and _SOURCES not in mapping(metadata.get("token_usage"))
        and _SEARCHES not in text(metadata.get("model_name"))
    ):
        return _NOT_BILLED  # as mostly
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
    )
    return tuple([(kind, amount) for kind, amount in parts if amount])


_GROUNDING: Final = frozenset({"grounding_metadata", "groundingMetadata"})
_QUERIES: Final = ("web_search_queries", "webSearchQueries")
_PER_PROMPT: Final = ("gemini-1", "gemini-2")
"""Gemini 3 bills each query, and those before it each prompt that had some.
https://ai.google.dev/gemini-api/docs/pricing"""
_SOURCES: Final = "num_sources_used"
"""xAI's: https://docs.x.ai/docs/guides/live-search"""
_SEARCHES: Final = "-search-"
"""In the name of a model of OpenAI's that searches for each answer."""
_TOOL_OUTPUTS: Final = "tool_outputs"
"""Where langchain-openai's first format keeps the calls of OpenAI's own tools."""
_UNUSUAL: Final = (
    COSTS | _GROUNDING | {"total_cost", "choices", "image", "speed", _SOURCES}
)
"""Where one of these keys is, there may be a cost, or something billed apart."""
_OWN_TOOLS: Final = ("web_search", "file_search", "code_interpreter")
"""Tools that OpenAI runs and bills; ``_call`` comes after, as the type of a part."""
_CALL: Final = "_call"
_MOST_PARTS: Final = 10_000
"""Of an answer, which mostly has one."""


def _tools(
    raw: dict[object, object],
    metadata: dict[object, object],
    content: object,
    outputs: object,
) -> Iterator[tuple[str, int]]:
    """Count what the provider did for an answer with tools of its own."""
    called = dict.fromkeys(_OWN_TOOLS, 0)
    for place in (content, outputs):
        for part in items(place)[:_MOST_PARTS]:
            tool = mapping(part)
            kind = text(tool.get("type"))
            if kind == "server_tool_call":
                own = text(tool.get("name"))
            else:
                own = kind[: -len(_CALL)] if kind.endswith(_CALL) else ""
            if own in called:
                called[own] += 1
    counted = count(mapping(raw.get("server_tool_use")).get("web_search_requests"))
    called_searches = called.pop("web_search")
    searches = called_searches if counted is None else counted
    yield "web_search", searches or _grounded(metadata)
    yield from called.items()
    yield "sources", count(mapping(metadata.get("token_usage")).get(_SOURCES)) or 0


def _grounded(metadata: dict[object, object]) -> int:
    """Count the searches that Gemini tells, or that a model makes for each answer."""
    model = text(metadata.get("model_name"))
    for key in _GROUNDING:
        grounding = mapping(metadata.get(key))
        for queries in map(grounding.get, _QUERIES):
            if isinstance(queries, list) and queries:
                per_prompt = any(name in model for name in _PER_PROMPT)
                return 1 if per_prompt else len(queries)
    return int(_SEARCHES in model)
