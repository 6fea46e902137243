"""``OTEL_TRACES_EXPORTER=waterfall``: prints traces as they end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_callbacks.cli._common import Output
from otel_callbacks.cli.picture import waterfall
from otel_callbacks.cli.picture.timeline import duration, timelines, total
from otel_callbacks.testing.capturing import spans_as_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.cli.picture.timeline import Row

_TRACES: Final = 200
_SPANS: Final = 2_000
_CALLS: Final = 100_000


class WaterfallExporter(SpanExporter):
    """Prints traces on standard error as their root spans end, and sums at the end."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file
        self._open: dict[int, list[ReadableSpan]] = {}
        self._calls: list[Row] = []
        self._seconds = 0.0
        self._traces = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep spans until the root of their trace ends, then print it."""
        for span in spans:
            context = span.get_span_context()
            trace_id = 0 if context is None else context.trace_id
            kept = self._open.setdefault(trace_id, [])
            if len(kept) < _SPANS:
                kept.append(span)
            if span.parent is None or span.parent.is_remote:
                self._print(self._open.pop(trace_id))
        while len(self._open) > _TRACES:
            del self._open[next(iter(self._open))]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Print what has no root, and one line of sums."""
        for spans in self._open.values():
            self._print(spans)
        self._open.clear()
        if self._traces:
            seconds = duration(self._seconds)
            text = f"{self._traces} traces, {len(self._calls)} calls, {seconds}: "
            self._output().line(text + total(self._calls), "bold")
        self._traces = 0

    def _output(self) -> Output:
        """Return where to print: what stands there now, as a notebook changes it."""
        return Output(file=self._file or sys.stderr)

    def _print(self, spans: Sequence[ReadableSpan]) -> None:
        """Print one trace."""
        (timeline,) = timelines(spans_as_data(spans))
        self._traces += 1
        self._seconds += timeline.seconds
        self._calls += timeline.calls[: _CALLS - len(self._calls)]
        out = self._output()
        for line in waterfall.lines([timeline], out.width, plain=out.ascii_only):
            out.parts(line)
