"""Test tools for apps that use this library: a capture, fake models, a server.

``capture()`` and the fake models need no extra; ``FakeOpenAI`` needs
``pip install "otel-callbacks[testing]"``.
"""

from __future__ import annotations

from otel_callbacks.testing.capturing import (
    Capture,
    Span,
    capture,
    spans_as_data,
    tree_of,
)
from otel_callbacks.testing.fake_models import FakeChatModel, FakeTextModel
from otel_callbacks.testing.fake_openai import FakeOpenAI
from otel_callbacks.testing.replies import (
    Received,
    Reply,
    Tokens,
    ToolCall,
    answer_to,
    count_tokens,
)

__all__ = [
    "Capture",
    "FakeChatModel",
    "FakeOpenAI",
    "FakeTextModel",
    "Received",
    "Reply",
    "Span",
    "Tokens",
    "ToolCall",
    "answer_to",
    "capture",
    "count_tokens",
    "spans_as_data",
    "tree_of",
]
