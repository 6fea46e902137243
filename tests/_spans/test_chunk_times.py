"""How a stream flowed, from the times of its chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_callbacks._spans.sums import add_chunk_times

if TYPE_CHECKING:
    from otel_callbacks._records import AttributeValue

SECOND = 10**9


def test_rate_and_longest_gap() -> None:
    """Four chunks in three seconds are one in a second; the longest pause counts."""
    attributes: dict[str, AttributeValue] = {}
    chunks = [
        3 * SECOND,
        3 * SECOND + SECOND // 2,
        5 * SECOND + SECOND // 2,
        6 * SECOND,
    ]
    add_chunk_times(attributes, SECOND, chunks)
    assert attributes == {
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 2.0,
        "otel_callbacks.chunk_count": 4,
        "otel_callbacks.chunks_per_second": 1.0,
        "otel_callbacks.longest_chunk_gap": 2.0,
    }


def test_one_chunk_has_no_rate() -> None:
    """Neither have chunks that came at one moment."""
    for count in (1, 2):
        attributes: dict[str, AttributeValue] = {}
        add_chunk_times(attributes, 0, [SECOND] * count)
        assert attributes == {
            "gen_ai.request.stream": True,
            "gen_ai.response.time_to_first_chunk": 1.0,
            "otel_callbacks.chunk_count": count,
        }


def test_chunks_a_nanosecond_apart_have_a_rate() -> None:
    """It is the shortest time that a clock shows."""
    attributes: dict[str, AttributeValue] = {}
    add_chunk_times(attributes, 0, [SECOND, SECOND + 1])
    assert attributes["otel_callbacks.chunks_per_second"] == SECOND
    assert attributes["otel_callbacks.longest_chunk_gap"] == 1 / SECOND
