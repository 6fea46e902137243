"""Apply the SDK's limits: truncate content as valid JSON, keep important attributes.

The SDK truncates text at its length limit, which breaks JSON. Above its count limit it
drops the oldest attributes, which are a call's model and provider.
https://opentelemetry.io/docs/specs/otel/common/#attribute-limits
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.cutting import cut, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry import trace

    from otel_callbacks._records import AttributeValue, Content

ENOUGH: Final = 96
"""Attributes that a span of ours has at most, by far; a higher limit bounds nothing."""

_FIRST: Final = (
    semconv.OPERATION_NAME,
    semconv.REQUEST_MODEL,
    semconv.ERROR_TYPE,
    semconv.PROVIDER_NAME,
    semconv.TOOL_NAME,
    semconv.AGENT_NAME,
    semconv.WORKFLOW_NAME,
    semconv.DATA_SOURCE_ID,
    semconv.USAGE_INPUT_TOKENS,
    semconv.USAGE_OUTPUT_TOKENS,
    semconv.COST_USD,
    semconv.RESPONSE_MODEL,
    semconv.CONVERSATION_ID,
    semconv.OUTCOME,
    semconv.ERROR_CLASS,
    semconv.RESPONSE_FINISH_REASONS,
    semconv.SERVER_ADDRESS,
    semconv.RESPONSE_ID,
    semconv.TOOL_CALL_ID,
    semconv.USER_ID,
    semconv.SESSION_ID,
    semconv.ROLLUP_CALLS,
    semconv.ROLLUP_INPUT_TOKENS,
    semconv.ROLLUP_OUTPUT_TOKENS,
)
"""What is looked for first, in this order."""
_RANKS: Final = {name: rank for rank, name in enumerate(_FIRST)}
_CONVENTIONS, _CONTENT, _OURS = 100, 200, 300
_SAID: Final = frozenset(
    {
        semconv.INPUT_MESSAGES,
        semconv.OUTPUT_MESSAGES,
        semconv.SYSTEM_INSTRUCTIONS,
        semconv.TOOL_DEFINITIONS,
        semconv.TOOL_CALL_ARGUMENTS,
        semconv.TOOL_CALL_RESULT,
        semconv.RETRIEVAL_DOCUMENTS,
        semconv.RETRIEVAL_QUERY_TEXT,
    }
)


class Limits(NamedTuple):
    """The limits of a tracer that apply to our spans."""

    longest: int | None = None
    """Characters of a text."""
    most: int | None = None
    """Attributes of a span."""

    def shorten(
        self,
        attributes: dict[str, Any],
        content: Content,
        *,
        extensions: bool,
    ) -> None:
        """Truncate each content attribute that the SDK would truncate."""
        if self.longest is None:
            return
        for name, value in content.items():
            text = attributes.get(name)
            if not isinstance(text, str) or len(text) <= self.longest:
                continue
            left, length, dropped = cut(name, value, self.longest)
            text = left if isinstance(left, str) else to_json(left)
            if len(text) <= self.longest:
                attributes[name] = text
            else:  # not even an empty JSON list fits
                del attributes[name]
            if extensions:
                short = name.removeprefix("gen_ai.")
                attributes.setdefault(f"{semconv.CONTENT_LENGTH}.{short}", length)
                key = f"{semconv.CONTENT_DROPPED}.{short}"
                if dropped := attributes.get(key, 0) + dropped:
                    attributes[key] = dropped

    def at_start(
        self, attributes: Mapping[str, AttributeValue]
    ) -> Mapping[str, AttributeValue]:
        """Return the first attributes, least important first, as these are dropped."""
        return _most_important(attributes, {}, self.most)

    def at_end(
        self, span: trace.Span, attributes: Mapping[str, AttributeValue]
    ) -> Mapping[str, AttributeValue]:
        """Return the attributes that are more important than those they replace."""
        held = getattr(span, "attributes", None)
        return _most_important(attributes, dict(held or {}), self.most)


NO_LIMITS: Final = Limits()


def limits_of(tracer: Any) -> Limits:
    """Return the limits of an SDK tracer; others have no known limits."""
    known = getattr(tracer, "_span_limits", None)
    length = getattr(known, "max_span_attribute_length", None)
    count = getattr(known, "max_span_attributes", None)
    found = Limits(
        length if type(length) is int else None,
        count if type(count) is int and count < ENOUGH else None,
    )
    return NO_LIMITS if found == NO_LIMITS else found


def _most_important(
    attributes: Mapping[str, AttributeValue],
    held: Mapping[str, AttributeValue],
    count: int | None,
) -> Mapping[str, AttributeValue]:
    """Return the attributes that are among the most important ones."""
    if count is None:
        return attributes
    kept = sorted({**held, **attributes}, key=_rank)[:count]
    return {name: attributes[name] for name in reversed(kept) if name in attributes}


def _rank(name: str) -> int:
    """Return the rank of an attribute; the app's attributes come before ours."""
    if name in _RANKS:
        return _RANKS[name]
    if name in _SAID:
        return _CONTENT
    if name.startswith(semconv.OURS):
        return _OURS
    return _CONVENTIONS if name.startswith(semconv.CONVENTION_PREFIXES) else -1
