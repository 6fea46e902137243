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
    TOLD_BESIDE,
    TOLD_IN_USAGE,
    langchain,
    message_usage,
    reported_cost,
    total,
    usage_of,
)
from otel_callbacks._readers.values import LARGEST_INTEGER, LONGEST_TEXT, mapping, text
from otel_callbacks._records import NO_ATTRIBUTES, Response, Usage

if TYPE_CHECKING:
    from otel_callbacks._records import Attributes, AttributeValue

# Of the events of ``stream_events(version="v3")`` the ones that bring output; the
# others mark where a message and its blocks begin and end, at the same moments.
_CHUNK: Final = "content-block-delta"


def is_chunk(event: Any) -> bool:
    """Say whether a protocol event brings output of the model.

    Args:
        event: An event of ``stream_events(version="v3")``.
    """
    return isinstance(event, dict) and event.get("event") == _CHUNK


def first_of(batch: Any) -> object:
    """Return the payload of a start: LangChain wraps each prompt in a new list.

    Args:
        batch: The list of one prompt or one list of messages.
    """
    return batch[0] if isinstance(batch, list) and batch else batch


UNFINISHED: Final = "error"
"""Of a message that an error or its reader cut short."""

_NOT_SAID: Final = "unknown"
"""The schemas want a reason, and none is made up."""

_KEYS: Final = (
    "finish_reason",
    "stop_reason",
    "stopReason",
    "done_reason",
    "finishReason",
    "status",
)
_OF_SCHEMA: Final = {
    "completed": "stop",
    "end_turn": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "incomplete": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "failed": "error",
}
"""A provider's word in small letters -> the schemas'; others stay."""


def finish_reason(generation: object, message: object) -> str:
    """Read why a message ended.

    Args:
        generation: LangChain's generation, if there is one.
        message: The message, if there is one.

    Returns:
        One of the schemas' words, the provider's own, or ``unknown``.
    """
    info = mapping(getattr(generation, "generation_info", None))
    metadata = mapping(getattr(message, "response_metadata", None))
    for place in (info, metadata):
        for key in _KEYS:
            if key in place and (found := text(place[key])):
                word = _once(found).lower()
                return _OF_SCHEMA.get(word, word)
    return _NOT_SAID


# Where one of these stands in the metadata, other shapes must be looked at.
_UNUSUAL: Final = TOLD_BESIDE | {
    *("body", "status", "object"),
    *("model", "stop_reason", "stopReason", "done_reason"),
}
# What comes with most errors.
_NO_GENERATION: Final[list[list[object]]] = [[]]
_NO_RESPONSE: Final = Response()


def usual_response(  # noqa: PLR0911 -- each return is a way to be unusual
    result: Any,
) -> Response | None:
    """Read the usual answer of a chat model.

    Args:
        result: LangChain's ``LLMResult``, or anything.

    Returns:
        The response; ``None`` where anything about it is unusual.

    Raises:
        Exception: Whatever a payload raises when it is read, or lacks.
    """
    if result.generations == _NO_GENERATION and not result.llm_output:
        return _NO_RESPONSE
    ((generation,),) = result.generations
    if type(generation).__name__ != "ChatGeneration":
        return None
    message = generation.message
    metadata = message.response_metadata
    usage = _usual_usage(message.usage_metadata)
    if usage is None or not _UNUSUAL.isdisjoint(metadata):
        return None
    told = metadata.get("token_usage") or metadata.get("usage")
    if told is not None and not TOLD_IN_USAGE.isdisjoint(told):
        return None  # the provider says what it cost
    model = metadata.get("model_name", "")
    identifier = metadata.get("id", "")
    if result.llm_output and not (model and identifier):
        return None  # they may stand there
    info: Any = generation.generation_info or NO_ATTRIBUTES
    reason = info.get("finish_reason") or metadata.get("finish_reason", "")
    if not (_is_plain(model) and _is_plain(identifier) and _is_plain(reason)):
        return None
    if identifier.startswith(("lc_", "run-")):
        return None
    attributes = (
        _usual_attributes(metadata, result.llm_output) if metadata else NO_ATTRIBUTES
    )
    if attributes is None:
        return None
    reasons = (reason,) if reason else ()
    return Response(model, identifier, reasons, usage, attributes=attributes)


def _usual_usage(told: Any) -> Usage | None:
    """Read the tokens, where both numbers are there and none is in doubt."""
    if type(told) is not dict or "total_cost" in told:
        return None
    given, taken = told.get("input_tokens"), told.get("output_tokens")
    if type(given) is not int or type(taken) is not int:
        return None
    if not (0 < given <= LARGEST_INTEGER and 0 < taken <= LARGEST_INTEGER):
        return None
    details = told.get("input_token_details"), told.get("output_token_details")
    for parts in details:
        if parts and any(parts.values()):
            return langchain(told)
    return Usage(given, taken)


def _usual_attributes(metadata: Any, output: Any) -> Attributes | None:
    """Read what only OpenAI says; None where it is not said in the usual way."""
    if metadata.get("model_provider") not in _OPENAI:
        return NO_ATTRIBUTES
    tier, version = metadata.get("service_tier"), metadata.get("system_fingerprint")
    if tier is None and version is None and not output:
        return NO_ATTRIBUTES
    if tier and version and _is_plain(tier) and _is_plain(version):
        return {
            semconv.OPENAI_RESPONSE_SERVICE_TIER: tier,
            semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT: version,
        }
    return None


def _is_plain(value: object) -> bool:
    """Say whether a value is text that needs no care."""
    return type(value) is str and value.isascii() and len(value) <= LONGEST_TEXT


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

_OPENAI: Final = (None, "openai", "azure", "azure_openai")
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
    """Read what a model gave back when its run ends, or ends early.

    Args:
        result: LangChain's ``LLMResult``, or ``None``. At an error it holds what came
            before the error.

    Returns:
        The response; what the provider did not send is left empty.

    Raises:
        Exception: Whatever a payload raises when it is read.
    """
    try:
        usual = usual_response(result)
    except Exception:  # noqa: BLE001 -- then it is not the usual one
        usual = None
    return usual if usual is not None else any_response(result)


def any_response(result: object) -> Response:
    """Read what a model gave back in any of the shapes that there are.

    Args:
        result: LangChain's ``LLMResult``, or anything.

    Returns:
        The response; what the provider did not send is left empty.

    Raises:
        Exception: Whatever a payload raises when it is read.
    """
    output = mapping(getattr(result, "llm_output", None))
    prompts = [
        [_answer(generation) for generation in _items(generations)]
        for generations in _items(getattr(result, "generations", None))
    ]
    answers = prompts[0] if len(prompts) == 1 else [*chain.from_iterable(prompts)]
    message, metadata, info, is_merged = answers[0] if answers else _NO_ANSWER
    # A text model's llm_output names the model that was asked for.
    model = _find(_MODEL_KEYS, metadata, info, _NOTHING if message is None else output)
    identifier = _find(_ID_KEYS, metadata, output, info)
    cached = not output and _is_cached(message)
    return Response(
        _once(model) if is_merged else model,
        "" if identifier.startswith(_OWN_IDS) else identifier,
        _reasons(answers),
        _usage(prompts, output),
        not cached and not _is_later(message, output),
        cached,
        _attributes(metadata, output),
        reported_cost(getattr(message, "usage_metadata", None), metadata, output),
    )


def _items(value: object) -> list[object] | tuple[object, ...]:
    """Read a list, or nothing."""
    return value if isinstance(value, list | tuple) else ()


def _answer(generation: object) -> _Answer:
    """Find what the provider said of a generation."""
    message = getattr(generation, "message", None)
    metadata = mapping(getattr(message, "response_metadata", None))
    if "body" in metadata and metadata.get("status_code") == _HTTP_OK:
        # The answer came, and langchain-openai could not read it: it was paid for.
        metadata = mapping(metadata["body"])
    info = mapping(getattr(generation, "generation_info", None))
    return message, metadata, info, type(generation).__name__[-5:] == "Chunk"


def _find(keys: tuple[str, ...], *places: dict[object, object]) -> str:
    """Take the first text that stands under one of the keys."""
    for place in places:
        for key in keys:
            if key in place and (found := text(place[key])):
                return found
    return ""


def _is_cached(message: object) -> bool:
    """Tell whether LangChain's own cache gave a message.

    It marks the very object that it keeps, so the first of two equal prompts of one
    ``generate`` is marked too; that one has ``llm_output``, and a cached one has none.
    """
    usage = getattr(message, "usage_metadata", None)
    if not isinstance(usage, dict) or "total_cost" not in usage:
        return False
    cost = usage["total_cost"]
    return type(cost) is int and cost == 0


def _is_later(message: object, output: dict[object, object]) -> bool:
    """Tell whether the usage of a text batch stands in its first run, not in this."""
    return message is None and output.get("token_usage") == _NOTHING


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
        told = getattr(message, "usage_metadata", None)
        if (usage := message_usage(told, output, metadata)) is not None:
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
    reasons = []
    for _, metadata, info, is_merged in answers:
        if reason := _reason(metadata, info):
            reasons.append(_once(reason) if is_merged else reason)
    if not reasons and answers and "choices" in answers[0][1]:
        choices = map(mapping, _items(answers[0][1]["choices"]))
        return tuple(filter(None, (_find(_REASON_KEYS, each) for each in choices)))
    return tuple(reasons)


def _reason(metadata: dict[object, object], info: dict[object, object]) -> str:
    """Read why a choice ended, in the provider's own word."""
    if reason := _find(_REASON_KEYS, info, metadata):
        return reason
    status = metadata.get("status")
    if status not in _STATUSES:
        return ""
    details = mapping(metadata.get("incomplete_details"))
    return text(details.get("reason")) or text(status)


def _once(value: str) -> str:
    """Undo that LangChain joined a word that several chunks of a stream repeat."""
    period = (value + value).find(value, 1)
    return value[:period] if period >= _SHORTEST_WORD else value


def _attributes(
    metadata: dict[object, object], output: dict[object, object]
) -> Attributes:
    """Read what only OpenAI says."""
    if (metadata.get("model_provider") or output.get("model_provider")) not in _OPENAI:
        return NO_ATTRIBUTES
    attributes: dict[str, AttributeValue] = {}
    for key, attribute in _OPENAI_KEYS:
        if found := text(metadata.get(key) or output.get(key)):
            attributes[attribute] = found
    if metadata.get("object") == "response":
        attributes[semconv.OPENAI_API_TYPE] = RESPONSES
    return attributes or NO_ATTRIBUTES
