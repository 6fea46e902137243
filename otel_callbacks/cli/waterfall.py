"""A trace in the terminal: one line for each span, overlapping bars below a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from otel_callbacks.cli.timeline import OUTCOMES

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from otel_callbacks.cli.timeline import Row, Timeline

STYLES: Final = {
    "ok": "green",
    "error": "bold red",
    "cancelled": "yellow",
    "abandoned": "magenta",
    "cache_hit": "cyan",
}
"""Outcome -> the colour of its bars."""

_STEP_STYLE: Final = "bright_black"
_GUIDE_STYLE: Final = "bright_black"
_NAME_AT_MOST: Final = 34
_BAR_AT_LEAST: Final = 12


class _Pen(NamedTuple):
    """How a bar is drawn: a full cell, its left half, its right half, waiting."""

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
_ASCII_PENS: Final = {
    "model": _Pen("#", "#", "#", "."),
    "tool": _Pen("*", "*", "*", "*"),
    "http": _Pen("=", "=", "=", "="),
    "step": _Pen("-", "-", "-", "-"),
}
_GUIDES: Final = ("├─ ", "└─ ", "│  ", "   ")
_ASCII_GUIDES: Final = ("|- ", "`- ", "|  ", "   ")


class Waterfall:
    """Draws one trace in the width there is.

    Args:
        timeline: The trace.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the lines, as rich asks for them."""
        plain = options.ascii_only
        names = [_name(row, plain=plain) for row in self._timeline.rows]
        tokens = [_tokens(row, plain=plain) for row in self._timeline.rows]
        times = [f"{row.seconds:.2f} s" for row in self._timeline.rows]
        notes = [row.note for row in self._timeline.rows]
        name = min(_NAME_AT_MOST, max(cell_len(one.plain) for one in names))
        rest = sum(max(map(len, column)) for column in (tokens, times, notes))
        bar = max(_BAR_AT_LEAST, options.max_width - name - rest - 4)
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=name, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=bar, no_wrap=True, overflow="crop")
        for _ in range(2):
            grid.add_column(justify="right", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        scale = Text(_scale(self._timeline.seconds, bar), style=_GUIDE_STYLE)
        grid.add_row("", scale, "", "", "")
        lines = zip(names, self._timeline.rows, times, tokens, notes, strict=True)
        for label, row, time, count, note in lines:
            drawn = draw(row, self._timeline.seconds, bar, plain=plain)
            grid.add_row(label, drawn, time, count, Text(note, STYLES[row.outcome]))
        yield from console.render(grid, options)


def legend(*, plain: bool = False) -> Text:
    """Return one line that says what signs and colours mean.

    Args:
        plain: With ASCII signs alone.
    """
    pens = _ASCII_PENS if plain else _PENS
    text = Text()
    for kind, name in (("model", "model"), ("tool", "tool"), ("http", "HTTP")):
        text.append(f"{pens[kind].full * 2} ").append(f"{name}  ")
    text.append(f"{pens['model'].waiting * 2} before the first chunk   ")
    for outcome, name in OUTCOMES.items():
        text.append(name, STYLES[outcome]).append("  ")
    text.rstrip()
    return text


def draw(row: Row, seconds: float, width: int, *, plain: bool = False) -> Text:
    """Return a row's bar, at least half a cell of it.

    Args:
        row: The row.
        seconds: How long the whole trace took.
        width: The cells that this time fills.
        plain: With ASCII signs alone.
    """
    pen = (_ASCII_PENS if plain else _PENS)[row.kind]
    scale = 2 * width / seconds if seconds else 0.0
    start = min(int(row.start * scale), 2 * width - 1)
    end = min(max(round(row.end * scale), start + 1), 2 * width)
    begun = start
    if row.first_chunk is not None:
        begun = min(int((row.start + row.first_chunk) * scale), end - 1)
    style = _STEP_STYLE if row.kind == "step" else STYLES[row.outcome]
    text = Text()
    for cell in range(width):
        halves = [start <= half < end for half in (2 * cell, 2 * cell + 1)]
        if 2 * cell + 1 < begun and any(halves):
            text.append(pen.waiting, style)
        elif all(halves):
            text.append(pen.full, style)
        elif any(halves):
            text.append(pen.left if halves[0] else pen.right, style)
        else:
            text.append(" ")
    return text


def _name(row: Row, *, plain: bool) -> Text:
    """Return a row's name behind the lines of the tree."""
    more, last, through, empty = _ASCII_GUIDES if plain else _GUIDES
    text = Text()
    # The roots of a trace stand at the margin, so their own guide is not drawn.
    for follows in row.guides[1:-1]:
        text.append(through if follows else empty, _GUIDE_STYLE)
    if len(row.guides) > 1:
        text.append(more if row.guides[-1] else last, _GUIDE_STYLE)
    style = {"step": "bold", "http": "dim"}.get(row.kind, "")
    return text.append(row.name, style)


def _tokens(row: Row, *, plain: bool) -> str:
    """Return a row's tokens, in and out."""
    if row.tokens is None:
        return ""
    arrow = ">" if plain else "→"
    return f"{row.tokens[0]}{arrow}{row.tokens[1]}"


def _scale(seconds: float, width: int) -> str:
    """Return the line with the times above the bars."""
    middle, end = f"{seconds / 2:.1f}", f"{seconds:.1f} s"
    left = "0".ljust(max(1, width // 2)) + middle
    return left + end.rjust(max(0, width - len(left)))
