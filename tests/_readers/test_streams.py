"""What tells the parts of a stream, and one start's payload from another's."""

from __future__ import annotations

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel

from otel_callbacks._readers.response import first_of, is_chunk


class _Events(BaseCallbackHandler):
    """Keeps what a stream of protocol events brings."""

    def __init__(self) -> None:
        self.chunks: list[bool] = []

    def on_stream_event(self, event: object, **_: object) -> None:
        """Take an event."""
        self.chunks.append(is_chunk(event))


@pytest.mark.recent
def test_each_piece_of_output_is_a_chunk() -> None:
    """The events around it are none."""
    events = _Events()
    model = FakeListChatModel(responses=["rose"])
    stream = model.stream_events("x", config={"callbacks": [events]}, version="v3")
    assert "".join(stream.text) == "rose"
    assert sum(events.chunks) == len("rose")
    assert not events.chunks[0]


@pytest.mark.parametrize("event", [None, "content-block-delta", {}, {"event": 3}, []])
def test_anything_else_is_no_chunk(event: object) -> None:
    """Odd events are passed over."""
    assert not is_chunk(event)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [(["rose"], "rose"), ([["hi"]], ["hi"]), ([], []), (None, None), ("rose", "rose")],
)
def test_the_payload_of_a_start_is_unwrapped(batch: object, expected: object) -> None:
    """What is no list stays what it is."""
    assert first_of(batch) == expected
