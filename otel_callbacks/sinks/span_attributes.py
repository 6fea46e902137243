"""What is written on a span when its run has ended."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import CACHE_HIT, OK
from otel_callbacks.sinks.chunk_times import add_chunk_times

if TYPE_CHECKING:
    from otel_callbacks._records import Attributes, AttributeValue, Content, End, Usage
    from otel_callbacks._runs.run import Run


def end_attributes(run: Run, end: End, *, content: bool) -> dict[str, AttributeValue]:
    """Return what became known of a run by its end.

    Args:
        run: The run.
        end: How it ended.
        content: Whether what came back is written, too.
    """
    attributes = _response_attributes(run, end)
    if end.failure is not None:
        attributes[semconv.ERROR_TYPE] = end.failure.error_type
        attributes[semconv.ERROR_CLASS] = end.failure.error_class
        attributes[semconv.OUTCOME] = end.outcome
        attributes.update(end.failure.attributes)
        if run.lost:
            attributes[semconv.LOST_REASON] = run.lost
    elif end.outcome != OK:
        attributes[semconv.OUTCOME] = end.outcome
    if end.cost is not None:
        saved = end.outcome == CACHE_HIT
        name = semconv.SAVED_COST_USD if saved else semconv.COST_USD
        attributes[name] = float(end.cost)
    if end.content and content:
        attributes.update(as_json(end.content))
    return attributes


def as_json(content: Content) -> dict[str, str | int]:
    """Return content as a span can hold it: as JSON, where other letters stay text.

    Args:
        content: Lists and dictionaries by the attribute's name. An exception's
            message is left to its event.
    """
    return {
        name: value
        if isinstance(value, str | int)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in content.items()
        if name != semconv.EXCEPTION_MESSAGE
    }


def of_the_conventions(attributes: Attributes) -> Attributes:
    """Return the attributes without those of ours.

    Args:
        attributes: Span attributes by name.
    """
    return {
        key: value
        for key, value in attributes.items()
        if key.startswith(semconv.CONVENTION_PREFIXES)
    }


def _response_attributes(run: Run, end: End) -> dict[str, AttributeValue]:
    """Return the attributes of what a run gave back."""
    attributes: dict[str, AttributeValue] = {}
    if end.chunk_ns:
        add_chunk_times(attributes, run.start_tick, end.chunk_ns)
    response = end.response
    if response is not None:
        attributes.update(response.attributes)
        if response.model:
            attributes[semconv.RESPONSE_MODEL] = response.model
        if response.id:
            attributes[semconv.RESPONSE_ID] = response.id
        if response.finish_reasons:
            attributes[semconv.RESPONSE_FINISH_REASONS] = response.finish_reasons
        if response.usage is not None:
            _add_usage(attributes, response.usage, saved=response.cache_hit)
    return attributes


def _add_usage(
    attributes: dict[str, AttributeValue], usage: Usage, *, saved: bool
) -> None:
    """Add the tokens; details only where there are any."""
    if saved:
        # Under names of ours: whoever adds up gen_ai.usage adds up what was spent.
        attributes[semconv.SAVED_INPUT_TOKENS] = usage.input_tokens or 0
        attributes[semconv.SAVED_OUTPUT_TOKENS] = usage.output_tokens or 0
        return
    if usage.input_tokens is not None:
        attributes[semconv.USAGE_INPUT_TOKENS] = usage.input_tokens
    if usage.output_tokens is not None:
        attributes[semconv.USAGE_OUTPUT_TOKENS] = usage.output_tokens
    if usage.cache_read:
        attributes[semconv.USAGE_CACHE_READ] = usage.cache_read
    if usage.cache_write:
        attributes[semconv.USAGE_CACHE_WRITE] = usage.cache_write
    if usage.reasoning:
        attributes[semconv.USAGE_REASONING] = usage.reasoning
