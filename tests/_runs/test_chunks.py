"""What an open stream keeps of its chunks."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from otel_callbacks.testing import Capture

_CHUNKS = 4_000


def test_a_chunk_of_an_open_stream_costs_eight_bytes(telemetry: Capture) -> None:
    """A list of numbers would keep five times that, for thousands of open streams."""
    model = FakeChatModel(answer="rose " * _CHUNKS, chunks=_CHUNKS)
    stream = model.stream("?", {"callbacks": [telemetry.handler]})
    for _ in range(2):
        next(stream)
    tracemalloc.start()
    try:
        for _ in range(_CHUNKS - 10):
            next(stream)
        ours = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.Filter(inclusive=True, filename_pattern="*/handler.py")]
        )
    finally:
        tracemalloc.stop()
    kept = sum(one.size for one in ours.statistics("filename"))
    for _ in stream:
        pass
    # An array grows ahead of what it holds.
    assert kept < 12 * _CHUNKS
    assert telemetry.spans[0]["attributes"]["otel_callbacks.chunk_count"] >= _CHUNKS
