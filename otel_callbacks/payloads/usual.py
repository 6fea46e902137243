"""The usual answer of a chat model, read in one go.

Nearly every call ends with one plain chat message whose parts are where LangChain's
packages have agreed to put them. That one is read here, with a handful of look-ups;
whatever is unusual in any respect is left to ``response``, which reads all shapes and
gives the same for this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import NO_ATTRIBUTES, Response, Usage
from otel_callbacks.payloads.costs import TOLD_BESIDE, TOLD_IN_USAGE
from otel_callbacks.payloads.usage_shapes import langchain
from otel_callbacks.payloads.values import LARGEST_INTEGER, LONGEST_TEXT

if TYPE_CHECKING:
    from otel_callbacks._records import Attributes

# Where one of these stands in the metadata, other shapes must be looked at.
_UNUSUAL: Final = TOLD_BESIDE | {
    *("body", "status", "object"),
    *("model", "stop_reason", "stopReason", "done_reason"),
}
# What comes with most errors.
_NO_GENERATION: Final[list[list[object]]] = [[]]
_NO_RESPONSE: Final = Response()
_OPENAI: Final = (None, "openai", "azure", "azure_openai")


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
    usage = _usage(message.usage_metadata)
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
    attributes = _attributes(metadata, result.llm_output) if metadata else NO_ATTRIBUTES
    if attributes is None:
        return None
    reasons = (reason,) if reason else ()
    return Response(model, identifier, reasons, usage, attributes=attributes)


def _usage(told: Any) -> Usage | None:
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


def _attributes(metadata: Any, output: Any) -> Attributes | None:
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
