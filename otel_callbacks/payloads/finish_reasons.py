"""Why a message ended, in the words of the conventions' schemas.

The span's ``gen_ai.response.finish_reasons`` keep the provider's own word.
"""

from __future__ import annotations

from typing import Final

from otel_callbacks.payloads.values import mapping, text

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

_SHORTEST_WORD: Final = 3


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


def _once(value: str) -> str:
    """Undo that LangChain joined a word that several chunks of a stream repeat."""
    period = (value + value).find(value, 1)
    return value[:period] if period >= _SHORTEST_WORD else value
