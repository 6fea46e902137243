"""What a whole tree of runs did: on its root span.

So Jaeger can search for requests that made many calls or used many tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_callbacks._records import AttributeValue, End, Request, Response
    from otel_callbacks._runs.run import AgentTally, Run, Tally

_TOOL: Final[AgentTally] = (0, 1, None, None)

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
"""Said of the agent where all its calls say the same."""


def note_in_agent(entries: list[AgentTally], run: Run, end: End) -> None:
    """Add one ended run to what its agent did."""
    operation = run.request.operation
    # An append needs no lock, whichever thread the branches of a tree end in.
    if operation in semconv.MODEL_OPERATIONS:
        entries.append((1, 0, run.request, end.response))
    elif operation == semconv.EXECUTE_TOOL:
        entries.append(_TOOL)
    elif operation == semconv.INVOKE_AGENT and run.of_agent:
        # An invocation is all that it caused: the outer agent's has the inner one's.
        entries.extend(run.of_agent)


def agent_attributes(
    entries: Sequence[AgentTally],
    registry: semconv.Registry = semconv.REGISTRIES[semconv.DEFAULT_REGISTRY],
) -> dict[str, AttributeValue]:
    """Return what is said of an agent's calls on its span."""
    requests = [request for _, _, request, _ in entries if request is not None]
    if not requests:
        return {}
    answers = [response for *_, response in entries if response is not None]
    said = _in_common(requests)
    if answers and answers[-1].finish_reasons:
        said[semconv.RESPONSE_FINISH_REASONS] = answers[-1].finish_reasons
    _add_usage(said, answers, registry)
    return said


def agent_model(entries: Sequence[AgentTally]) -> str:
    """Return the model that all calls of an agent asked for, else nothing."""
    asked = {request.model for _, _, request, _ in entries if request is not None}
    return asked.pop() if len(asked) == 1 else ""


def _in_common(requests: list[Request]) -> dict[str, AttributeValue]:
    """Return the parameters that all requests have with the same value."""
    first = requests[0].attributes
    # A model that is called alike has one request for all its calls.
    others = [each.attributes for each in requests if each.attributes is not first]
    return {
        name: first[name]
        for name in _IN_COMMON
        if name in first and all(each.get(name) == first[name] for each in others)
    }


def _add_usage(
    said: dict[str, AttributeValue],
    answers: list[Response],
    registry: semconv.Registry,
) -> None:
    """Add the tokens that were spent, where any call said them."""
    spent = [
        each.usage for each in answers if each.usage is not None and not each.cache_hit
    ]
    given = [each.input_tokens for each in spent if each.input_tokens is not None]
    taken = [each.output_tokens for each in spent if each.output_tokens is not None]
    if given:
        said[semconv.USAGE_INPUT_TOKENS] = sum(given)
    if taken:
        said[semconv.USAGE_OUTPUT_TOKENS] = sum(taken)
    if read := sum(each.cache_read for each in spent):
        said[semconv.USAGE_CACHE_READ] = read
    if written := sum(each.cache_write for each in spent):
        said[registry.cache_write] = written


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
            entry = (1, 0, 0, 0, 0)
        else:
            given, taken = response.usage[:2] if response.usage else (0, 0)
            entry = (1, 0, given or 0, taken or 0, end.cost or 0)
    elif operation == semconv.EXECUTE_TOOL:
        entry = (0, 1, 0, 0, 0)
    else:
        return
    # An append needs no lock, whichever thread the branches of a tree end in.
    entries.append(entry)


def counts(entries: Iterable[Tally | AgentTally]) -> tuple[int, int]:
    """Return how many model calls and tool calls there were."""
    entries = tuple(entries)
    return sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)


def attributes(entries: list[Tally]) -> dict[str, AttributeValue]:
    """Return the sums as span attributes."""
    sums: dict[str, AttributeValue] = {
        name: int(sum(entry[position] for entry in entries))
        for position, name in enumerate(_NAMES)
    }
    # Left out where it is nothing: the price of no call below may be known.
    if cost := sum(entry[4] for entry in entries):
        sums[semconv.COST_USD] = float(cost)
    return sums


_NANOSECONDS: Final = 1e9


def add_chunk_times(
    attributes: dict[str, AttributeValue], start: int, chunks: Sequence[int]
) -> None:
    """Add what the times of a stream's chunks say; two chunks make a rate and a gap."""
    attributes[semconv.REQUEST_STREAM] = True
    first = (chunks[0] - start) / _NANOSECONDS
    attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = first
    attributes[semconv.CHUNK_COUNT] = len(chunks)
    flowed = chunks[-1] - chunks[0]
    if flowed > 0:
        rate = (len(chunks) - 1) * _NANOSECONDS / flowed
        attributes[semconv.CHUNK_RATE] = rate
        gap = max(map(int.__sub__, chunks[1:], chunks))
        attributes[semconv.LONGEST_GAP] = gap / _NANOSECONDS
