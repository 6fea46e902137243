"""Parameters of a model call, by the names that providers give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from otel_callbacks import _semconv as semconv
from otel_callbacks.payloads.values import (
    count,
    integer,
    mapping,
    number,
    strings,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks._records import AttributeValue

_JSON: Final = "json"
_TEXT: Final = "text"
_MIME_TYPES: Final = {"application/json": _JSON, "text/plain": _TEXT}


def _name(value: object) -> str | None:
    """Read a string that says something."""
    return text(value) or None


def _choices(value: object) -> int | None:
    """Read how many answers are asked for; the convention wants it if it is not 1."""
    number_of = count(value)
    return number_of if number_of != 1 else None


def _effort(value: object) -> str | None:
    """Read the reasoning level of ``{"effort": ...}``."""
    return text(mapping(value).get("effort")) or None


def _format(value: object) -> str | None:
    """Read the kind of output that a response format asks for.

    OpenAI's are ``{"type": ...}``, Ollama's a word or a JSON schema; LangChain hands
    a Pydantic class over as it is.
    """
    if isinstance(value, dict):
        kind = value.get("type")
        return _JSON if kind != _TEXT else _TEXT
    if isinstance(value, type):
        return _JSON
    return _JSON if isinstance(value, str) and value.startswith(_JSON) else None


def _text_format(value: object) -> str | None:
    """Read the format in the ``text`` parameter of OpenAI's Responses API."""
    return _format(mapping(value).get("format"))


def _mime_type(value: object) -> str | None:
    """Read the kind of output of a MIME type."""
    return _MIME_TYPES.get(text(value))


def _service_tier(value: object) -> str | None:
    """Read the service tier; the convention leaves ``auto`` out."""
    tier = text(value)
    return tier if tier and tier != "auto" else None


_Row: TypeAlias = "tuple[str, Callable[[object], AttributeValue | None] | None]"

_NESTED: Final[_Row] = ("", None)
"""A dictionary of further parameters."""

_PARAMETERS: Final[dict[object, _Row]] = {
    "additional_model_request_fields": _NESTED,
    "candidate_count": (semconv.REQUEST_CHOICE_COUNT, _choices),
    "extra_body": _NESTED,
    "format": (semconv.OUTPUT_TYPE, _format),
    "frequency_penalty": (semconv.REQUEST_FREQUENCY_PENALTY, number),
    "frequencyPenalty": (semconv.REQUEST_FREQUENCY_PENALTY, number),
    "generation_config": _NESTED,
    "inferenceConfig": _NESTED,
    "max_completion_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "max_new_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "max_output_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "maxTokens": (semconv.REQUEST_MAX_TOKENS, count),
    "model_kwargs": _NESTED,
    "n": (semconv.REQUEST_CHOICE_COUNT, _choices),
    "num_predict": (semconv.REQUEST_MAX_TOKENS, count),
    "presence_penalty": (semconv.REQUEST_PRESENCE_PENALTY, number),
    "presencePenalty": (semconv.REQUEST_PRESENCE_PENALTY, number),
    "previous_response_id": (semconv.REQUEST_PREVIOUS_RESPONSE_ID, _name),
    "random_seed": (semconv.REQUEST_SEED, integer),
    "reasoning": (semconv.REQUEST_REASONING_LEVEL, _effort),
    "reasoning_effort": (semconv.REQUEST_REASONING_LEVEL, _name),
    "response_format": (semconv.OUTPUT_TYPE, _format),
    "response_mime_type": (semconv.OUTPUT_TYPE, _mime_type),
    "seed": (semconv.REQUEST_SEED, integer),
    "service_tier": (semconv.OPENAI_REQUEST_SERVICE_TIER, _service_tier),
    "stop": (semconv.REQUEST_STOP_SEQUENCES, strings),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, strings),
    "stopSequences": (semconv.REQUEST_STOP_SEQUENCES, strings),
    "temperature": (semconv.REQUEST_TEMPERATURE, number),
    "text": (semconv.OUTPUT_TYPE, _text_format),
    "thinking_level": (semconv.REQUEST_REASONING_LEVEL, _name),
    "top_k": (semconv.REQUEST_TOP_K, integer),
    "top_p": (semconv.REQUEST_TOP_P, number),
    "topP": (semconv.REQUEST_TOP_P, number),
}
"""A parameter's name -> the attribute, and how its value is read."""


def add_parameters(
    attributes: dict[str, AttributeValue], params: dict[object, object]
) -> None:
    """Add the parameters of a model call to its span attributes.

    Args:
        attributes: Span attributes, changed in place.
        params: LangChain's invocation parameters.
    """
    for key, value in params.items():
        if value is None or (row := _PARAMETERS.get(key)) is None:
            continue
        attribute, read = row
        if read is None:
            _add_nested(attributes, mapping(value))
        elif (found := read(value)) is not None:
            attributes[attribute] = found


def _add_nested(
    attributes: dict[str, AttributeValue], params: dict[object, object]
) -> None:
    """Add what a nested dictionary holds beside the parameters themselves."""
    for key, value in params.items():
        attribute, read = _PARAMETERS.get(key, _NESTED)
        if (
            read is not None
            and attribute not in attributes
            and (found := read(value)) is not None
        ):
            attributes[attribute] = found
