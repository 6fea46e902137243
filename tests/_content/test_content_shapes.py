"""The shape of each attribute, as the schemas have it."""

from __future__ import annotations

from typing import Any

import pytest

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.cutting import has_shape

PART = {"type": "text", "content": "x"}
MESSAGE = {"role": "user", "parts": [PART]}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (semconv.INPUT_MESSAGES, [MESSAGE], True),
        (semconv.INPUT_MESSAGES, [{**MESSAGE, "name": None}], True),
        (semconv.INPUT_MESSAGES, [{**MESSAGE, "name": 3}], False),
        (semconv.INPUT_MESSAGES, ["x"], False),
        (semconv.INPUT_MESSAGES, [{"parts": []}], False),
        (semconv.INPUT_MESSAGES, [{"role": "user"}], False),
        (semconv.INPUT_MESSAGES, "x", False),
        (semconv.INPUT_MESSAGES, [{"role": "u", "parts": ["x"]}], False),
        (semconv.INPUT_MESSAGES, [{"role": "u", "parts": [{"type": "text"}]}], False),
        (semconv.INPUT_MESSAGES, [{"role": "u", "parts": [{"type": "odd"}]}], True),
        (
            semconv.INPUT_MESSAGES,
            [
                {
                    "role": "u",
                    "parts": [
                        {
                            "type": "server_tool_call",
                            "name": "n",
                            "server_tool_call": {},
                        }
                    ],
                }
            ],
            False,
        ),
        (
            semconv.INPUT_MESSAGES,
            [{"role": "u", "parts": [{"type": "tool_call", "name": "n", "id": 3}]}],
            False,
        ),
        (semconv.OUTPUT_MESSAGES, [MESSAGE], False),
        (semconv.OUTPUT_MESSAGES, [{**MESSAGE, "finish_reason": "stop"}], True),
        (semconv.SYSTEM_INSTRUCTIONS, [PART], True),
        (semconv.SYSTEM_INSTRUCTIONS, PART, False),
        (semconv.TOOL_DEFINITIONS, [{"type": "function", "name": "n"}], True),
        (semconv.TOOL_DEFINITIONS, [{"type": "function"}], False),
        (semconv.TOOL_CALL_ARGUMENTS, {}, True),
        (semconv.TOOL_CALL_RESULT, [], False),
        (semconv.RETRIEVAL_DOCUMENTS, [{"id": "1", "score": 0.5}], True),
        (semconv.RETRIEVAL_DOCUMENTS, [{"id": 1}], False),
        (semconv.RETRIEVAL_QUERY_TEXT, "x", True),
        (semconv.RETRIEVAL_QUERY_TEXT, 3, False),
        ("another.attribute", 3, True),
    ],
)
def test_a_shape_is_told(
    name: str,
    value: Any,
    expected: bool,  # noqa: FBT001
) -> None:
    """What lacks an entry that its schema requires has not its shape."""
    assert has_shape(name, value) is expected
