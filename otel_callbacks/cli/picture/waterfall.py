"""A trace in the terminal: one line with a bar for each span, below a scale."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_callbacks.cli._common import Output, cells
from otel_callbacks.cli.picture.timeline import OUTCOMES, duration, timelines, total
from otel_callbacks.testing.capturing import spans_as_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.cli.picture.timeline import Row, Timeline

Line = list[tuple[str, str]]
"""A line of texts, each with its style."""

STYLES: Final = {
    "ok": "green",
    "error": "bold red",
    "cancelled": "yellow",
    "abandoned": "magenta",
    "cache_hit": "cyan",
}
"""Outcome -> the style of its bars."""

_GUIDE_STYLE: Final = "dim"
_NAME_AT_MOST: Final = 34
_NAME_AT_LEAST: Final = 12
_BAR_AT_LEAST: Final = 12
_NO_BARS_BELOW: Final = 70


class _Pen(NamedTuple):
    """The characters of a bar."""

    full: str
    left: str
    right: str
    waiting: str


_PENS: Final = {
    "model": _Pen("█", "▌", "▐", "░"),
    "tool": _Pen("▓", "▓", "▓", "▓"),
    "http": _Pen("━", "╸", "╺", "━"),
    "step": _Pen("─", "╴", "╶", "─"),
}
_ASCII: Final = str.maketrans("█▌▐░▓━╸╺─╴╶├└│→", "###.*===---|`|>")


def lines(
    timelines: Sequence[Timeline], width: int, *, plain: bool = False
) -> Iterator[Line]:
    """Yield traces as lines of a width, in aligned columns.

    A narrow terminal has no bars, only numbers.
    """
    rows = [row for timeline in timelines for row in timeline.rows]
    if not rows:
        return
    rest = [max(map(len, column)) for column in zip(*map(_numbers, rows), strict=True)]
    tail = max(sum(len(text) for text, _ in _tail(row, rest)) for row in rows)
    name = max(sum(cells(text) for text, _ in _name(row)) for row in rows)
    if width < _NO_BARS_BELOW:
        numbers_alone = sum(rest) + sum(map(bool, rest))
        name, bar = min(name, max(width - numbers_alone, _NAME_AT_LEAST)), 0
    else:
        name = min(name, _NAME_AT_MOST)
        bar = max(_BAR_AT_LEAST, width - name - 1 - tail)
    for place, timeline in enumerate(timelines):
        if place:
            yield []
        if bar:
            scale = _scale(timeline.seconds, bar)
            yield [(" " * (name + 1), ""), (scale, _GUIDE_STYLE)]
        for row in timeline.rows:
            line = _fitted(_name(row), name)
            if bar:
                line += [(" ", ""), *draw(row, timeline.seconds, bar)]
            line = _fitted([*line, *_tail(row, rest)], width, pad=False)
            yield _in_ascii(line) if plain else line


def draw_on(out: Output, timeline: Timeline) -> None:
    """Write one trace in the width of an output."""
    for line in lines([timeline], out.width, plain=out.ascii_only):
        out.parts(line)


def _in_ascii(line: Line) -> Line:
    """Return a line for a terminal without Unicode."""
    return [(text.translate(_ASCII), style) for text, style in line]


def _numbers(row: Row) -> tuple[str, str, str]:
    """Return a row's time, tokens and dollars."""
    tokens = "unknown" if row.tokens_unknown else ""
    if row.tokens is not None:
        tokens = f"{row.tokens[0]}→{row.tokens[1]}"
    dollars = "" if row.cost is None else f"${row.cost:.6f}"
    return duration(row.seconds), tokens, dollars


def _tail(row: Row, sizes: Sequence[int]) -> Line:
    """Return a row after its bar: a note takes the place of missing last numbers."""
    numbers = list(zip(_numbers(row), sizes, strict=True))
    while row.note and not numbers[-1][0]:
        numbers.pop()
    tail = [(f" {text:>{size}}", "") for text, size in numbers if size]
    note = (f" {row.note}", STYLES.get(row.outcome, ""))
    return [*tail, note] if row.note else tail


def legend(*, plain: bool = False) -> Iterator[Line]:
    """Yield the two lines of the legend."""
    signs = [("██ model  ▓▓ tool  ━━ HTTP  ░░ before the first chunk", "")]
    signs.append(("  33→15 tokens in, out", ""))
    yield _in_ascii(signs) if plain else signs
    names = [(f"  {name}", STYLES[outcome]) for outcome, name in OUTCOMES.items()]
    yield [("ended:", ""), *names]


def draw(row: Row, seconds: float, width: int) -> Line:
    """Return a row's bar, at least half a cell, on the scale of the trace."""
    pen = _PENS[row.kind]
    scale = 2 * width / seconds if seconds else 0.0
    start = min(int(row.start * scale), 2 * width - 1)
    end = min(max(round(row.end * scale), start + 1), 2 * width)
    answering = start
    if row.first_chunk is not None:
        answering = min(int((row.start + row.first_chunk) * scale), end - 1)
    text = ""
    for cell in range(width):
        halves = [start <= half < end for half in (2 * cell, 2 * cell + 1)]
        if 2 * cell + 1 < answering and any(halves):
            text += pen.waiting
        elif all(halves):
            text += pen.full
        elif any(halves):
            text += pen.left if halves[0] else pen.right
        else:
            text += " "
    style = "dim" if row.kind == "step" else STYLES.get(row.outcome, "")
    return [(text, style)]


def _name(row: Row) -> Line:
    """Return a row's name after its guides."""
    more, last, through, empty = ("├─ ", "└─ ", "│  ", "   ")
    # Roots are at the margin, so their guide is not drawn.
    guides = "".join(through if follows else empty for follows in row.guides[1:-1])
    if len(row.guides) > 1:
        guides += more if row.guides[-1] else last
    style = {"step": "bold", "http": "dim"}.get(row.kind, "")
    return [(guides, _GUIDE_STYLE), (row.name, style)]


def _fitted(line: Line, width: int, *, pad: bool = True) -> Line:
    """Return a line cut or padded to a width."""
    fitted: Line = []
    left = width
    for text, style in line:
        size = cells(text)
        if size <= left:
            fitted.append((text, style))
            left -= size
            continue
        kept = text
        while kept and cells(kept) > left - 1:
            kept = kept[:-1]
        fitted.append((f"{kept}…" if left else "", style))
        left -= cells(kept) + bool(left)
        break
    return [*fitted, (" " * left, "")] if pad and left else fitted


def _scale(seconds: float, width: int) -> str:
    """Return the time scale above the bars."""
    middle, end = duration(seconds / 2), duration(seconds)
    left = "0".ljust(width // 2)
    if width // 2 > len(middle) + len(end):
        left += middle
    return left + end.rjust(width - len(left))


_TRACES: Final = 200
_SPANS: Final = 2_000
_CALLS: Final = 100_000


class WaterfallExporter(SpanExporter):
    """Prints traces to standard error as their roots end, and sums at shutdown."""

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
        """Print traces without a root, and one line of sums."""
        for spans in self._open.values():
            self._print(spans)
        self._open.clear()
        if self._traces:
            seconds = duration(self._seconds)
            text = f"{self._traces} traces, {len(self._calls)} calls, {seconds}: "
            self._output().line(text + total(self._calls), "bold")
        self._traces = 0

    def _output(self) -> Output:
        """Return the output; a notebook replaces ``sys.stderr`` for each cell."""
        return Output(file=self._file or sys.stderr)

    def _print(self, spans: Sequence[ReadableSpan]) -> None:
        """Print one trace."""
        (timeline,) = timelines(spans_as_data(spans))
        self._traces += 1
        self._seconds += timeline.seconds
        self._calls += timeline.calls[: _CALLS - len(self._calls)]
        draw_on(self._output(), timeline)
