from __future__ import annotations

import io
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from otel_callbacks.cli import main

# What a terminal shows depends on its width, its colours and its encoding.
from otel_callbacks.cli._common import Column, Output

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Callable[[str], datetime]:
    """Return what gives a time to a command, and returns how it is understood."""

    def read(text: str) -> datetime:
        assert (
            main(["prices", "gpt-4o-mini", "--provider", "openai", "--at", text]) == 0
        )
        (time,) = re.findall(r"on (\S+ \S+) UTC", capsys.readouterr().out)
        return datetime.strptime(f"{time} +0000", "%Y-%m-%d %H:%M %z")

    return read


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", timedelta(minutes=90)),
        ("24h", timedelta(hours=24)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
        ("0h", timedelta(0)),
    ],
)
def test_durations_count_back_from_now(
    text: str, ago: timedelta, read: Callable[[str], datetime]
) -> None:
    """Now is what the system clock shows, in minutes."""
    before = datetime.now(UTC) - ago - timedelta(minutes=1)
    found = read(text)
    assert before < found <= datetime.now(UTC) - ago


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30+02:00", datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_dates(text: str, expected: datetime, read: Callable[[str], datetime]) -> None:
    """A date, or a date and time; UTC unless it has an offset."""
    assert read(text) == expected


@pytest.mark.parametrize(
    ("command", "allowed"),
    [
        ("watch --http-port 65536", "'65536': must be a port, 0 to 65535"),
        ("watch --grpc-port -1", "'-1': must be a port"),
        ("watch --keep none", "'none': must be a whole number from 1 on"),
        ("doctor --timeout nan", "'nan': must be seconds, above 0 and at most a day"),
        ("demo --rounds 1.5", "'1.5': must be a whole number from 0 on"),
        ("reconcile usage.csv --tolerance=-5", "'-5': must be a number from 0 on"),
        ("reconcile usage.csv --tolerance inf", "'inf': must be a number from 0 on"),
    ],
)
def test_numbers_of_options(
    command: str, allowed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error for an invalid number names the allowed values."""
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    assert allowed in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "999999w", "2026-13-01"])
def test_invalid_times(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the allowed forms."""
    with pytest.raises(SystemExit):
        main(["prices", "gpt-4o-mini", f"--at={text}"])
    assert "use 24h, 7d" in capsys.readouterr().err


def test_a_table_fits_its_terminal() -> None:
    """The folding column shrinks; wide characters take two columns."""
    file = io.StringIO()
    columns = [Column("model", "total", folds=True), Column("tokens", "7", right=True)]
    rows = [["a-very-long-name-of-a-model", "3"], ["玫瑰", "4\n5 above"]]
    Output(file=file, width=24).table(columns, rows, ["bold red"])
    assert file.getvalue().splitlines() == [
        "model             tokens",
        "---------------  -------",
        "a-very-long-nam        3",
        "e-of-a-model",
        "玫瑰                   4",
        "                 5 above",
        "---------------  -------",
        "total                  7",
    ]


def test_long_lines_are_wrapped() -> None:
    """Later lines are indented; an empty text is an empty line."""
    file = io.StringIO()
    out = Output(file=file, width=20)
    out.line("one two three four five", "dim", indent=2)
    out.line()
    assert file.getvalue() == "one two three four\n  five\n\n"


@pytest.mark.parametrize(
    ("variables", "color", "colored"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_colours(
    variables: dict[str, str],
    color: bool,  # noqa: FBT001 -- a parameter
    colored: bool,  # noqa: FBT001 -- a parameter
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are on for terminals that support them, unless switched off."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    out = Output(file=file, color=color, width=20)
    out.line("roses", "bold red")
    assert out.is_terminal
    text = "\x1b[1;31mroses\x1b[0m\n" if colored else "roses\n"
    assert file.getvalue() == text


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\x9b2J", "\u202eoff", "a\rb"])
def test_codes_of_terminals_are_shown_and_not_obeyed(text: str) -> None:
    """A model or a service may have any name; a terminal obeys none of them."""
    file = io.StringIO()
    out = Output(file=file, width=40)
    out.line(text, label=(text, "bold"))
    out.parts([(text, "red"), ("two\nlines", "")])
    out.table([Column("model", folds=True)], [[text]])
    written = file.getvalue()
    assert all(char.isprintable() or char == "\n" for char in written), written
    assert "two lines" in written
    assert "?" in written


def test_parts_of_a_line_have_their_own_styles() -> None:
    """Trailing spaces are removed."""
    file = io.StringIO()
    Output(file=file, width=20).parts([("roses ", "bold"), ("red ", "red")])
    assert file.getvalue() == "roses red\n"


def test_lines_are_written_at_once() -> None:
    """The log of a container shows them while the command runs."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(writing, "w") as file, os.fdopen(reading, "rb", buffering=0) as pipe:
        out = Output(file=file, width=20)
        out.line("roses")
        out.parts([("tulips", "")])
        out.table([Column("model")], [])
        assert pipe.read(99) == b"roses\ntulips\nmodel\n-----\n"
