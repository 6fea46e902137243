"""Graphs that go on where they were interrupted: linked to the trace before.

LangGraph keeps a graph's state under a thread. A run that resumes the thread has a link
to the run before it: https://opentelemetry.io/docs/specs/otel/overview/#links-between-spans
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Link

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

    from otel_callbacks._records import Request

MOST_THREADS: Final = 1_000
"""Threads remembered, the ones used last; in this process alone."""


class Threads:
    """The last run of each thread of a graph."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], SpanContext] = {}

    def links(self, request: Request) -> tuple[Link, ...]:
        """Return the link of a run that resumes its thread, if the thread is known."""
        if not request.resumes:
            return ()
        before = self._last.get((request.target, request.thread))
        return () if before is None else (Link(before),)

    def remember(self, request: Request, span: Span) -> None:
        """Take a run as the last one of its thread."""
        key = (request.target, request.thread)
        # Out and in again: the threads used last stand at the end.
        self._last.pop(key, None)
        self._last[key] = span.get_span_context()
        if len(self._last) > MOST_THREADS:
            # Another thread may change it at this moment, and makes room then.
            with contextlib.suppress(RuntimeError):
                self._last.pop(next(iter(self._last)), None)
