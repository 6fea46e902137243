"""A trace in the terminal: one line for each span, overlapping bars below a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from otel_callbacks.cli.picture.timeline import OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

    from otel_callbacks.cli.picture.timeline import Row, Timeline

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
_IN_SECONDS_FROM: Final = 0.1


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
    """Draws traces in the width there is, all in the same columns.

    Args:
        timelines: The traces.
    """

    def __init__(self, timelines: Sequence[Timeline]) -> None:
        self._timelines = timelines

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the lines, as rich asks for them."""
        plain = options.ascii_only
        if not self._timelines:
            return
        rows = [row for timeline in self._timelines for row in timeline.rows]
        cells = {id(row): _cells(row, plain=plain) for row in rows}
        name = max(cell_len(one.name.plain) for one in cells.values())
        name = min(name, _NAME_AT_MOST)
        texts = [(one.time, one.tokens, one.note) for one in cells.values()]
        rest = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
        bar = max(_BAR_AT_LEAST, options.max_width - name - sum(rest) - 4)
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=name, no_wrap=True, overflow="ellipsis")
        grid.add_column(width=bar, no_wrap=True, overflow="crop")
        grid.add_column(width=rest[0], justify="right", no_wrap=True)
        grid.add_column(width=rest[1], justify="right", no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis")
        for place, timeline in enumerate(self._timelines):
            if place:
                grid.add_row()
            grid.add_row("", Text(_scale(timeline.seconds, bar), _GUIDE_STYLE))
            for row in timeline.rows:
                label, time, tokens, note = cells[id(row)]
                drawn = draw(row, timeline.seconds, bar, plain=plain)
                grid.add_row(
                    label, drawn, time, tokens, Text(note, STYLES[row.outcome])
                )
        yield from console.render(grid, options)


def legend(*, plain: bool = False) -> Text:
    """Return two lines that say what signs and colours mean.

    Args:
        plain: With ASCII signs alone.
    """
    pens = _ASCII_PENS if plain else _PENS
    text = Text()
    for kind, name in (("model", "model"), ("tool", "tool"), ("http", "HTTP")):
        text.append(f"{pens[kind].full * 2} ").append(f"{name}  ")
    text.append(f"{pens['model'].waiting * 2} before the first chunk  ")
    text.append(f"33{'>' if plain else '→'}15 tokens in, out\n")
    text.append("ended:")
    for outcome, name in OUTCOMES.items():
        text.append("  ").append(name, STYLES[outcome])
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


def duration(seconds: float) -> str:
    """Return a length of time for people.

    Args:
        seconds: How long it took.
    """
    if seconds < _IN_SECONDS_FROM:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s"


class _Cells(NamedTuple):
    """The texts of a row: its name, its time, its tokens, its note."""

    name: Text
    time: str
    tokens: str
    note: str


def _cells(row: Row, *, plain: bool) -> _Cells:
    """Return a row's texts."""
    time = duration(row.seconds)
    return _Cells(_name(row, plain=plain), time, _tokens(row, plain=plain), row.note)


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
