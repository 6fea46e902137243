"""Refusals, times and plain-text output, shared by the commands.

Nothing here needs an extra.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import textwrap
import unicodedata
from datetime import UTC, datetime, timedelta
from itertools import starmap, zip_longest
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TextIO, TypeVar

from otel_callbacks._instrument.start_check import is_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_AGO: Final = re.compile(r"(\d{1,6})([mhdw])")
_UNITS: Final = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_LONGEST: Final = timedelta(days=3660)
_DAY: Final = 24 * 3600
_WIDEST: Final = 120
_GAP: Final = "  "
_NARROWEST: Final = 8
# https://en.wikipedia.org/wiki/ANSI_escape_code#SGR_(Select_Graphic_Rendition)_parameters
_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
}


class Refusal(Exception):  # noqa: N818 -- a result of the command, no error in it
    """A command cannot run; the message has the reason and what to do."""

    def __init__(self, why: str, code: int = 2) -> None:
        super().__init__(why)
        self.code = code


def refuse(why: str, code: int = 2) -> NoReturn:
    """Refuse to run, with the reason and what to do."""
    raise Refusal(why, code)


def write_json(content: object) -> None:
    """Write JSON, for scripts."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def require(*modules: str) -> None:
    """Refuse to run without the modules of the extra."""
    if names := [module for module in modules if not is_there(module)]:
        refuse(f'{", ".join(names)} not found: pip install "otel-callbacks[demo]"')


_N = TypeVar("_N", int, float)


def within(
    kind: type[_N], is_allowed: Callable[[_N], bool], allowed: str
) -> Callable[[str], _N]:
    """Return an argparse type for a number, which names the allowed values."""

    def read(text: str) -> _N:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not is_allowed(number):
            message = f"{text!r}: must be {allowed}"
            raise argparse.ArgumentTypeError(message)
        return number

    return read


def moment(text: str, now: datetime | None = None) -> datetime:
    """Read ``24h`` (ago), ``2026-11-01`` or ``2026-11-01T12:00``; UTC by default."""
    if (ago := _AGO.fullmatch(text)) is not None:
        length = int(ago[1]) * _UNITS[ago[2]]
        if length <= _LONGEST:
            return (now or datetime.now(UTC)) - length
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is not a time; use 24h, 7d or 2026-11-01"
        raise argparse.ArgumentTypeError(message) from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


TYPES: Final[dict[str, Callable[[str], Any]]] = {
    "int": int,
    "moment": moment,
    "path": Path,
    "percent": within(float, lambda part: 0 <= part < inf, "a number from 0 on"),
    "port": within(int, range(65_536).__contains__, "a port, 0 to 65535"),
    "positive": within(int, lambda number: number > 0, "a whole number from 1 on"),
    "seconds": within(
        float, lambda number: 0 < number <= _DAY, "seconds, above 0 and at most a day"
    ),
    "whole": within(int, lambda number: number >= 0, "a whole number from 0 on"),
}
"""What reads the text of an argument, by its name in ``options.toml``."""

# Names come from anywhere: codes that move the cursor, set the window's title or turn
# the direction of writing are shown and not obeyed.
_CODES_OF_TERMINALS: Final = dict.fromkeys(
    {*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
    - {*b"\n\t"},
    "?",
)


def cells(text: str) -> int:
    """Return the width of a text in terminal columns."""
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


class Column(NamedTuple):
    """A column of a table."""

    head: str
    foot: str = ""
    right: bool = False
    folds: bool = False
    """Whether the column shrinks when the table is too wide."""


class Output:
    """Writes lines and tables that fit the terminal, in colour if supported."""

    def __init__(
        self, *, color: bool = True, file: TextIO | None = None, width: int = 0
    ) -> None:
        self._file = file or sys.stdout
        self._erase = ""
        self.is_terminal = self._file.isatty()
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        self.ascii_only = not encoding.lower().startswith("utf")
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self._color = color and self.is_terminal and not plain
        self.width = width or min(shutil.get_terminal_size().columns, _WIDEST)

    def line(
        self,
        text: str = "",
        style: str = "",
        indent: int = 0,
        label: tuple[str, str] = ("", ""),
    ) -> None:
        """Write a label and a text, wrapped at the width, with later lines indented."""
        label = label[0].translate(_CODES_OF_TERMINALS), label[1]
        wrapped = textwrap.wrap(
            text.translate(_CODES_OF_TERMINALS),
            self.width,
            initial_indent=" " * cells(label[0]),
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        first, *others = wrapped or [label[0]]
        rest = self._styled(first[cells(label[0]) :], style)
        self._write(f"{self._styled(*label)}{rest}", "")
        for one in others:
            self._write(one, style)

    def overwritten(self, text: str) -> None:
        """Write a line that the next one overwrites, to a terminal only."""
        if self.is_terminal:
            self._file.write(f"{text}\r")
            self._file.flush()
            self._erase = "\x1b[K"

    def parts(self, parts: Iterable[tuple[str, str]]) -> None:
        """Write one line of texts, each in its style."""
        plain = [
            (" ".join(text.translate(_CODES_OF_TERMINALS).splitlines()), style)
            for text, style in parts
        ]
        self._write("".join(starmap(self._styled, plain)).rstrip(), "")

    def table(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[str]],
        styles: Sequence[str] = (),
    ) -> None:
        """Write a table with a rule below its headings; cells may be multi-line."""
        feet = [[one.foot for one in columns]] if any(c.foot for c in columns) else []
        heads = [one.head for one in columns]
        widths = [
            max(cells(line) for cell in column for line in cell.split("\n"))
            for column in zip(heads, *rows, *feet, strict=True)
        ]
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - self.width
        for place, column in enumerate(columns):
            if column.folds and excess > 0:
                widths[place] = max(widths[place] - excess, _NARROWEST)
        rule = _GAP.join("-" * width for width in widths)
        self._row(columns, widths, heads, "bold")
        self._write(rule, "dim")
        for row, style in zip_longest(rows, styles[: len(rows)], fillvalue=""):
            self._row(columns, widths, row, str(style))
        for row in feet:
            self._write(rule, "dim")
            self._row(columns, widths, row, "bold")

    def _row(
        self,
        columns: Sequence[Column],
        widths: Sequence[int],
        row: Sequence[str],
        style: str,
    ) -> None:
        """Write one row of a table."""
        folded = [
            list(_folded(cell.translate(_CODES_OF_TERMINALS), width))
            for cell, width in zip(row, widths, strict=True)
        ]
        for lines in zip_longest(*folded, fillvalue=""):
            padded = []
            for column, width, text in zip(columns, widths, lines, strict=True):
                space = " " * (width - cells(text))
                padded.append(space + text if column.right else text + space)
            self._write(_GAP.join(padded).rstrip(), style)

    def _write(self, text: str, style: str) -> None:
        """Write one line, at once: a pipe may be somebody's log."""
        self._file.write(f"{self._erase}{self._styled(text, style)}\n")
        self._file.flush()
        self._erase = ""

    def _styled(self, text: str, style: str) -> str:
        """Return a text with the escape codes of its style, if colours are on."""
        if not (style and text and self._color):
            return text
        codes = ";".join(_CODES[word] for word in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m"


def _folded(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a cell, none wider than its column."""
    for line in text.split("\n"):
        begin = width_so_far = 0
        for place, char in enumerate(line):
            width_so_far += cells(char)
            if width_so_far > width and place > begin:
                yield line[begin:place]
                begin, width_so_far = place, cells(char)
        yield line[begin:]
