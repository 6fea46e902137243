"""What a whole tree of runs did: on its root span.

So Jaeger can search for requests that made many calls or used many tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_callbacks._records import AttributeValue, End
    from otel_callbacks._runs.run import AgentTally, Tally

_NAMES: Final = (
    semconv.ROLLUP_CALLS,
    semconv.ROLLUP_TOOL_CALLS,
    semconv.ROLLUP_INPUT_TOKENS,
    semconv.ROLLUP_OUTPUT_TOKENS,
)


def note(entries: list[Tally], operation: str, end: End) -> None:
    """Add one ended run to the sums of its root.

    Args:
        entries: The entries of the outermost run.
        operation: The ended run's operation; chains and retrievals do not count.
        end: How it ended; what a cache answered is not spent.
    """
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
    """Return how many model calls and tool calls there were.

    Args:
        entries: What `note` has added, here or in `agent_sums`.
    """
    entries = tuple(entries)
    return sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)


def attributes(entries: list[Tally]) -> dict[str, AttributeValue]:
    """Return the sums as span attributes.

    Args:
        entries: What `note` has added.
    """
    sums: dict[str, AttributeValue] = {
        name: int(sum(entry[position] for entry in entries))
        for position, name in enumerate(_NAMES)
    }
    # Left out where it is nothing: the price of no call below may be known.
    if cost := sum(entry[4] for entry in entries):
        sums[semconv.COST_USD] = float(cost)
    return sums
