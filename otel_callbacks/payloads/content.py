"""What was said, for spans and events: redacted and cut. Only where capture is on.

https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from otel_callbacks import semconv

if TYPE_CHECKING:
    from otel_callbacks.operations import Content, Request

Redact: TypeAlias = Callable[[str, Any], Any]
"""Is given an attribute's name and its value, and returns the value to send."""


class Capture:
    """Reads content from what LangChain hands over; it never raises.

    Args:
        redact: Changes what was said before it goes anywhere.
        limit: Bytes of one attribute.
        trouble: Told of the place and the exception where content cannot be read.
    """

    __slots__ = ("_limit", "_redact", "_trouble")

    def __init__(
        self,
        redact: Redact | None,
        limit: int,
        trouble: Callable[[str, Exception], None],
    ) -> None:
        self._redact = redact
        self._limit = limit
        self._trouble = trouble

    def of_start(
        self, request: Request, payload: object, more: object
    ) -> Content | None:
        """Read what goes in.

        Args:
            request: What is known of the run.
            payload: Messages, a prompt, a tool's input, a query, a chain's inputs.
            more: A call's parameters, or a tool's arguments.
        """
        if request.operation == semconv.RETRIEVAL:
            return {semconv.RETRIEVAL_QUERY_TEXT: str(payload)[: self._limit]}
        return None

    def of_end(self, request: Request, payload: object) -> Content | None:
        """Read what came back.

        Args:
            request: What was known of the run at its start.
            payload: LangChain's result.
        """
        return None
