"""Correlate log lines with traces where OpenTelemetry's own packages do not.

A line that is logged in a tool, in a chain or at a run's start has the run's span as
the current span, which OpenTelemetry's instrumentation of ``logging`` reads. `RunSpans`
is for later callbacks, where the run's span is no longer current; `loguru_patcher` is
for loguru. Recipes are in ``docs/logs.md``.

Field names:
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
    """Keeps the span of each run, for log lines about its tokens and its end.

    Pass it after the handler, and use ``with spans.of(run_id):`` in your own callbacks.
    A run's span is released when LangChain releases the run's id.

    Example:
        >>> spans = RunSpans()
        >>> llm = ChatOpenAI(model="gpt-4o-mini", callbacks=[handler, spans, mine])
    """

    # In the caller's task, where the run's span is current at its start.
    run_inline = True

    def __init__(self) -> None:
        self._spans: weakref.WeakKeyDictionary[UUID, SpanContext] = (
            weakref.WeakKeyDictionary()
        )
        # The latest ids that are not of the class UUID and have no weak references.
        self._latest: OrderedDict[int, SpanContext] = OrderedDict()

    @contextmanager
    def of(self, run_id: UUID) -> Iterator[None]:
        """Make a run's span the current span, even after the run has ended.

        Args:
            run_id: The callback's ``run_id``; an unknown one changes nothing.
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

    def _keep_span(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Keep the span that is current at a run's start."""
        current = trace.get_current_span()
        if isinstance(current, Shared):  # find the run among those that start together
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

    on_llm_start = on_chat_model_start = _keep_span
    on_chain_start = on_tool_start = on_retriever_start = _keep_span


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
