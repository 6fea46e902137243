"""How a stream flowed: its first chunk, its rate and its longest gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_callbacks._records import AttributeValue

_NANOSECONDS: Final = 1e9


def add_chunk_times(
    attributes: dict[str, AttributeValue], start: int, chunks: Sequence[int]
) -> None:
    """Add what the times of a stream's chunks say; two chunks make a rate and a gap.

    Args:
        attributes: Span attributes, changed in place.
        start: When the run started, a reading of its clock in nanoseconds.
        chunks: When each chunk came, of the same clock, in order; at least one.
    """
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
