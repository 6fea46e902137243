"""Sums over a tree of runs, on its root span and on each agent's span.

Jaeger can then search for requests with many calls or tokens. An open run keeps a few
entries of runs that ended below it; further ones are merged into one.
"""

from __future__ import annotations

import os
from functools import reduce
from operator import sub
from typing import TYPE_CHECKING, Final, TypeVar

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import EXACT, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_callbacks._records import Attributes, AttributeValue, End
    from otel_callbacks._runs.run import AgentTally, Run, Tally

_Entry = TypeVar("_Entry")

_MOST: Final = 32
"""Entries that a run keeps before they become one."""

_NO_USAGE: Final = Usage()
_NO_DETAILS: Final = _NO_USAGE[2:]

_being_added: Final[dict[int, object]] = {}
"""The lists that a thread is adding up, by id."""

os.register_at_fork(after_in_child=_being_added.clear)


def _note(
    entries: list[_Entry], entry: _Entry, add: Callable[[_Entry, _Entry], _Entry]
) -> None:
    """Keep an entry; an append needs no lock, in whichever thread a branch ends."""
    entries.append(entry)
    if len(entries) > _MOST:
        mine = object()
        # A second thread leaves the merge to the first, as others only append.
        if _being_added.setdefault(id(entries), mine) is mine:
            try:
                count = len(entries)
                entries[:count] = [reduce(add, entries[:count])]
            finally:
                del _being_added[id(entries)]


_TOOL: Final[AgentTally] = (0, 1, None, None, None, None)

_IN_COMMON: Final = (
    semconv.REQUEST_MODEL,
    semconv.REQUEST_TEMPERATURE,
    semconv.REQUEST_TOP_P,
    semconv.REQUEST_MAX_TOKENS,
    semconv.REQUEST_STOP_SEQUENCES,
    semconv.REQUEST_FREQUENCY_PENALTY,
    semconv.REQUEST_PRESENCE_PENALTY,
    semconv.REQUEST_SEED,
    semconv.REQUEST_CHOICE_COUNT,
    semconv.OUTPUT_TYPE,
)
"""On an agent's span if all its calls have the same value."""


def note_in_agent(entries: list[AgentTally], run: Run, end: End) -> None:
    """Add one ended run to the entries of its agent."""
    request, response = run.request, end.response
    operation = request.operation
    entry: AgentTally
    if operation in semconv.MODEL_OPERATIONS:
        reasons, usage = None, None
        if response is not None:
            reasons = response.finish_reasons
            usage = None if response.cache_hit else response.usage
        entry = (1, 0, request.model, request.attributes, reasons, usage)
    elif operation == semconv.EXECUTE_TOOL:
        entry = _TOOL
    elif operation == semconv.INVOKE_AGENT and run.of_agent:
        # The sums of an outer agent include those of the inner one.
        entry = _whole(run.of_agent)
    else:
        return
    _note(entries, entry, _add_in_agent)


def _whole(entries: Sequence[AgentTally]) -> AgentTally:
    """Return the sum of all entries."""
    return reduce(_add_in_agent, tuple(entries), _NO_CALLS)


_NO_CALLS: Final[AgentTally] = (0, 0, None, None, None, None)


def _add_in_agent(one: AgentTally, other: AgentTally) -> AgentTally:
    """Return the sum of two entries, in their order."""
    calls, tools, model, common, reasons, usage = other
    if one[3] is not None:
        # Similar calls of a model share one request.
        if common is None or common is one[3]:
            common = one[3]
        else:
            common = _in_common(one[3], common)
        model = one[2] if model is None or model == one[2] else ""
    return (
        one[0] + calls,
        one[1] + tools,
        model,
        common,
        one[4] if reasons is None else reasons,
        _both(one[5], usage),
    )


def _in_common(one: Attributes, other: Attributes) -> Attributes:
    """Return the parameters that two requests have with the same value."""
    return {
        name: one[name]
        for name in _IN_COMMON
        if name in one and other.get(name) == one[name]
    }


def _both(one: Usage | None, other: Usage | None) -> Usage | None:
    """Add the usage for an agent's span; unknown counts stay unknown."""
    if one is None or other is None:
        return one if other is None else other
    input_tokens, output_tokens = one.input_tokens, one.output_tokens
    if other.input_tokens is not None:
        input_tokens = (input_tokens or 0) + other.input_tokens
    if other.output_tokens is not None:
        output_tokens = (output_tokens or 0) + other.output_tokens
    return Usage(
        input_tokens,
        output_tokens,
        one.cache_read + other.cache_read,
        one.cache_write + other.cache_write,
    )


def add_usage(
    attributes: dict[str, AttributeValue], usage: Usage, registry: semconv.Registry
) -> None:
    """Add the tokens of a call or an agent; details only where there are any."""
    if usage.input_tokens is not None:
        attributes[semconv.USAGE_INPUT_TOKENS] = usage.input_tokens
    if usage.output_tokens is not None:
        attributes[semconv.USAGE_OUTPUT_TOKENS] = usage.output_tokens
    if usage[2:] == _NO_DETAILS:
        return  # as mostly
    if usage.cache_read:
        attributes[semconv.USAGE_CACHE_READ] = usage.cache_read
    if usage.cache_write:
        attributes[registry.cache_write] = usage.cache_write
    if usage.reasoning:
        attributes[semconv.USAGE_REASONING] = usage.reasoning
    for detail, name in registry.modalities.items():
        if count := getattr(usage, detail):
            attributes[name] = count


def agent_attributes(
    entries: Sequence[AgentTally],
    registry: semconv.Registry = semconv.REGISTRIES[semconv.DEFAULT_REGISTRY],
) -> dict[str, AttributeValue]:
    """Return the attributes of an agent's span about its calls."""
    _, _, _, common, reasons, usage = _whole(entries)
    if common is None:
        return {}
    totals: dict[str, AttributeValue] = dict(_in_common(common, common))
    if reasons:
        totals[semconv.RESPONSE_FINISH_REASONS] = reasons
    if usage is not None:
        # An agent's sums have these four types: `_both` adds no others.
        add_usage(totals, Usage(*usage[:4]), registry)
    return totals


def agent_model(entries: Sequence[AgentTally]) -> str:
    """Return the model that all calls of an agent requested, else an empty text."""
    return _whole(entries)[2] or ""


_NAMES: Final = (
    semconv.ROLLUP_CALLS,
    semconv.ROLLUP_TOOL_CALLS,
    semconv.ROLLUP_INPUT_TOKENS,
    semconv.ROLLUP_OUTPUT_TOKENS,
)


def note(entries: list[Tally], operation: str, end: End) -> None:
    """Add one ended run to the sums of its root."""
    entry: Tally
    if operation in semconv.MODEL_OPERATIONS:
        response = end.response
        if response is None or response.cache_hit:
            entry = (1, 0, 0, 0, 0, 0, 0)
        else:
            usage = response.usage or _NO_USAGE
            input_tokens, output_tokens = (
                usage.input_tokens or 0,
                usage.output_tokens or 0,
            )
            unpriced = input_tokens + output_tokens if end.cost is None else 0
            partial = int(end.is_partly_priced)
            entry = (
                1,
                0,
                input_tokens,
                output_tokens,
                end.cost or 0,
                unpriced,
                partial,
            )
    elif operation == semconv.EXECUTE_TOOL:
        entry = (0, 1, 0, 0, 0, 0, 0)
    else:
        return
    _note(entries, entry, _add)


def _add(one: Tally, other: Tally) -> Tally:
    """Return the sum of two entries."""
    calls, tools, input_tokens, output_tokens, cost, unpriced, partial = one
    return (
        calls + other[0],
        tools + other[1],
        input_tokens + other[2],
        output_tokens + other[3],
        EXACT.add(cost, other[4]) if cost and other[4] else cost or other[4],
        unpriced + other[5],
        partial + other[6],
    )


def counts(entries: Sequence[Tally | AgentTally]) -> tuple[int, int]:
    """Return the numbers of model calls and tool calls."""
    entries = tuple(entries)
    return sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)


def attributes(entries: Sequence[Tally]) -> dict[str, AttributeValue]:
    """Return the sums as span attributes."""
    *whole, cost, unpriced, partial = reduce(_add, tuple(entries))
    sums: dict[str, AttributeValue] = dict(zip(_NAMES, whole, strict=True))
    # Left out if it is zero: the price of all calls below may be unknown.
    if not cost:
        return sums
    sums[semconv.COST_USD] = float(cost)
    if unpriced:
        sums[semconv.ROLLUP_UNPRICED_TOKENS] = unpriced
    if unpriced or partial:
        sums[semconv.PARTLY_PRICED] = True
    return sums


_NANOSECONDS: Final = 1e9


def add_chunk_times(
    attributes: dict[str, AttributeValue], start: int, chunks: Sequence[int]
) -> None:
    """Add the rate and the gaps of a stream's chunks, from two chunks on."""
    attributes[semconv.REQUEST_STREAM] = True
    first = (chunks[0] - start) / _NANOSECONDS
    attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = first
    attributes[semconv.CHUNK_COUNT] = len(chunks)
    flowed = chunks[-1] - chunks[0]
    if flowed > 0:
        rate = (len(chunks) - 1) * _NANOSECONDS / flowed
        attributes[semconv.CHUNK_RATE] = rate
        gap = max(map(sub, chunks[1:], chunks))
        attributes[semconv.LONGEST_GAP] = gap / _NANOSECONDS
