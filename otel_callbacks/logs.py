"""Log lines joined to their trace: what OpenTelemetry's own pieces leave out.

A line written in a tool, a chain or at a run's start has the run's span as the
current one, and OpenTelemetry's instrumentation of ``logging`` reads it. `RunSpans` is
for the callbacks after that, where the run's span is current no more; `loguru_patcher`
is for loguru. Recipes are in ``docs/logs.md``.

The names of the fields:
https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/
"""

from __future__ import annotations

import uuid
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry import trace

from otel_callbacks._runs.run import run_key
from otel_callbacks._spans.current import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping
    from uuid import UUID

    from opentelemetry.trace import SpanContext

_LATEST: Final = 1_000


class RunSpans(BaseCallbackHandler):
    """Remembers the span of each run, for log lines about its tokens and its end.

    Give it after the handler, and write in your own callbacks ``with
    spans.of(run_id):``. A run is forgotten when LangChain forgets its id.

    Example:
        >>> spans = RunSpans()
        >>> llm = ChatOpenAI(model="gpt-4o-mini", callbacks=[handler, spans, mine])
    """

    # In the caller's own task: there the run's span is current at its start.
    run_inline = True

    def __init__(self) -> None:
        self._spans: weakref.WeakKeyDictionary[UUID, SpanContext] = (
            weakref.WeakKeyDictionary()
        )
        # Of ids that are no UUID and cannot say that they are forgotten: the latest.
        self._latest: OrderedDict[int, SpanContext] = OrderedDict()

    @contextmanager
    def of(self, run_id: UUID) -> Iterator[None]:
        """Make a run's span the current one, also when the run has ended.

        Args:
            run_id: What the callback was given; a run that is not known changes
                nothing.
        """
        span = (
            self._spans.get(run_id)
            if type(run_id) is uuid.UUID
            else self._latest.get(run_key(run_id))
        )
        if span is None:
            yield
        else:
            with trace.use_span(trace.NonRecordingSpan(span)):
                yield

    def _note(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Remember the span that is current at a run's start."""
        current = trace.get_current_span()
        if isinstance(current, Shared):  # runs that start together: which one is it
            current = current.runs.get(run_key(run_id), current)
        span = current.get_span_context()
        if not span.is_valid:
            return
        if type(run_id) is uuid.UUID:
            self._spans[run_id] = span
            return
        self._latest[run_key(run_id)] = span
        if len(self._latest) > _LATEST:
            self._latest.popitem(last=False)

    on_llm_start = on_chat_model_start = _note
    on_chain_start = on_tool_start = on_retriever_start = _note


def loguru_patcher(record: MutableMapping[str, Any]) -> None:
    """Put the current span's ids into the extra fields of a loguru record.

    Where no span is current, both are empty.

    Args:
        record: The record; loguru calls this in the thread that logs.

    Example:
        >>> logger.configure(patcher=loguru_patcher)
        >>> logger.add("shop.log", enqueue=True, format="{extra[trace_id]} {message}")
    """
    span = trace.get_current_span().get_span_context()
    valid = span.is_valid
    record["extra"]["trace_id"] = trace.format_trace_id(span.trace_id) if valid else ""
    record["extra"]["span_id"] = trace.format_span_id(span.span_id) if valid else ""
