"""Graphs that go on where they were interrupted: linked to the trace before.

LangGraph keeps a graph's state under a thread. A run that resumes the thread has a link
to the run before it: https://opentelemetry.io/docs/specs/otel/overview/#links-between-spans
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Link

from otel_callbacks._forks import tell_after_fork

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext

    from otel_callbacks._records import Request

MOST_THREADS: Final = 1_000
"""Threads remembered, the ones used last; in this process alone."""


class Threads:
    """The last run of each thread of a graph."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], SpanContext] = OrderedDict()
        self._lock = Lock()
        tell_after_fork(self)

    def links(self, request: Request) -> tuple[Link, ...]:
        """Return the link of a run that resumes its thread, if the thread is known.

        Args:
            request: What is known of the run at its start.
        """
        if not request.resumes:
            return ()
        with self._lock:
            before = self._last.get((request.target, request.thread))
        return () if before is None else (Link(before),)

    def remember(self, request: Request, span: Span) -> None:
        """Take a run as the last one of its thread.

        Args:
            request: What is known of the run at its start.
            span: Its span.
        """
        key = (request.target, request.thread)
        with self._lock:
            self._last[key] = span.get_span_context()
            self._last.move_to_end(key)
            if len(self._last) > MOST_THREADS:
                self._last.popitem(last=False)

    def after_fork(self) -> None:
        """Take a new lock: another thread may have held this one."""
        self._lock = Lock()
