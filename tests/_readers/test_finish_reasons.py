"""Why a message ended, in the schemas' words."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation

from otel_callbacks._readers.response import finish_reason


@pytest.mark.parametrize(
    ("info", "metadata", "expected"),
    [
        ({"finish_reason": "stop"}, {}, "stop"),
        ({}, {"finish_reason": "tool_calls"}, "tool_call"),
        ({}, {"stop_reason": "end_turn"}, "stop"),
        ({}, {"stopReason": "max_tokens"}, "length"),
        ({}, {"finish_reason": "SAFETY"}, "content_filter"),
        ({}, {"status": "completed"}, "stop"),
        ({"finish_reason": "stopstop"}, {}, "stop"),
        ({"finish_reason": "malformed"}, {}, "malformed"),
        ({"finish_reason": None}, {}, "unknown"),
        ({}, {}, "unknown"),
    ],
)
def test_a_reason_is_the_schemas(
    info: dict[str, Any], metadata: dict[str, Any], expected: str
) -> None:
    """Known words are the schemas', others stay, and none is made up."""
    message = AIMessage("x", response_metadata=metadata)
    generation = ChatGeneration(message=message, generation_info=info)
    assert finish_reason(generation, message) == expected


def test_a_text_models_reason_stands_in_its_generation() -> None:
    """A text model has no message."""
    said = Generation(text="x", generation_info={"finish_reason": "length"})
    assert finish_reason(said, None) == "length"
