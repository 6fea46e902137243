"""What a whole tree of runs did: on its root span, and in its agent's series.

So Jaeger can search for requests that made many calls or used many tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import semconv

if TYPE_CHECKING:
    from otel_callbacks.operations import AttributeValue, Response

    Entry = tuple[int, int, int, int]

_NAMES: Final = (
    semconv.ROLLUP_CALLS,
    semconv.ROLLUP_TOOL_CALLS,
    semconv.ROLLUP_INPUT_TOKENS,
    semconv.ROLLUP_OUTPUT_TOKENS,
)


def note(entries: list[Entry], operation: str, response: Response | None) -> None:
    """Add one ended run to the sums of its root, or of its agent.

    Args:
        entries: The entries of the outermost run, or of the nearest agent.
        operation: The ended run's operation; chains and retrievals do not count.
        response: What it gave back.
    """
    if operation in semconv.MODEL_OPERATIONS:
        usage = response.usage if response and not response.cache_hit else None
        entry = (
            1,
            0,
            (usage and usage.input_tokens) or 0,
            (usage and usage.output_tokens) or 0,
        )
    elif operation == semconv.EXECUTE_TOOL:
        entry = (0, 1, 0, 0)
    else:
        return
    # An append needs no lock, whichever thread the branches of a tree end in.
    entries.append(entry)


def counts(entries: list[Entry]) -> tuple[int, int]:
    """Return how many model calls and tool calls there were.

    Args:
        entries: What `note` has added.
    """
    return sum(entry[0] for entry in entries), sum(entry[1] for entry in entries)


def attributes(entries: list[Entry]) -> dict[str, AttributeValue]:
    """Return the sums as span attributes.

    Args:
        entries: What `note` has added.
    """
    return dict(zip(_NAMES, map(sum, zip(*entries, strict=True)), strict=True))
