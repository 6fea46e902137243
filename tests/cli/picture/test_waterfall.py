from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from otel_callbacks.cli.picture.timeline import Row, Timeline
from otel_callbacks.cli.picture.waterfall import Waterfall, draw, duration, legend


def _row(name: str, start: float, end: float, **fields: object) -> Row:
    """Return a row."""
    values: dict[str, object] = {
        "guides": (False,),
        "kind": "model",
        "outcome": "ok",
        "first_chunk": None,
        "tokens": None,
        "note": "",
        "span": {},
    }
    return Row(name=name, start=start, end=end, **{**values, **fields})  # type: ignore[arg-type]


_SHOP = Timeline(
    "flower-shop",
    "t1",
    2.0,
    (
        _row("flower-shop", 0, 2, kind="step"),
        _row("聊天 qwen", 0, 1, guides=(False, True), tokens=(3, 4)),
        _row("POST 200", 0, 1, guides=(False, True, True), kind="http"),
        _row("deep", 0, 1, guides=(False, True, False, False), kind="tool"),
        _row("chat", 1, 2, guides=(False, False), outcome="error", note="timeout"),
    ),
)


def _printed(*timelines: Timeline, width: int = 60, encoding: str = "utf-8") -> str:
    """Return what a terminal of this width shows."""
    buffer = io.BytesIO()
    file = io.TextIOWrapper(buffer, encoding=encoding)
    console = Console(file=file, width=width, color_system=None)
    console.print(Waterfall(timelines))
    console.print(legend(plain=console.options.ascii_only))
    file.flush()
    return buffer.getvalue().decode(encoding)


def test_a_trace_is_drawn_as_a_tree_with_bars() -> None:
    """Names with guides, bars below a scale, time, tokens and notes."""
    lines = [line.rstrip() for line in _printed(_SHOP).splitlines()]
    assert lines[:6] == [
        "               0            1.0     2.0 s",
        "flower-shop    ────────────────────────── 2.00 s",
        "├─ 聊天 qwen   █████████████              1.00 s 3→4",
        "│  ├─ POST 200 ━━━━━━━━━━━━━              1.00 s",
        "│     └─ deep  ▓▓▓▓▓▓▓▓▓▓▓▓▓              1.00 s",
        "└─ chat                     █████████████ 2.00 s     timeout".replace(
            "2.00", "1.00"
        ),
    ]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Wide characters count two cells, and every line has its bar."""
    long = _SHOP._replace(rows=(*_SHOP.rows, _row("玫瑰" * 30, 0, 2)))
    lines = _printed(long, _SHOP, width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert sum("█" in line for line in lines) == 6


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    """Everything but the names is ASCII then."""
    trace = _SHOP._replace(rows=(_row("app", 0, 2, kind="step"), _row("c", 0, 1)))
    text = _printed(trace, encoding="ascii")
    assert "###" in text
    assert "---" in text


def test_nothing_is_drawn_for_no_traces() -> None:
    """An interrupted run has none."""
    assert _printed().startswith("██ model")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 4.0, "████"),
        (0.5, 1.5, "▐▌  "),
        (3.999, 4.0, "   ▐"),
        (1.0, 1.0, " ▌  "),
    ],
)
def test_bars_are_exact_to_half_a_cell(start: float, end: float, expected: str) -> None:
    """And never vanish, however short the span."""
    assert draw(_row("x", start, end), 4.0, 4).plain == expected


def test_a_trace_that_took_no_time_has_bars() -> None:
    """No division by zero."""
    assert draw(_row("x", 0.0, 0.0), 0.0, 4).plain == "▌   "


def test_a_stream_shows_the_wait_for_its_first_chunk() -> None:
    """The part before it is drawn lighter."""
    assert draw(_row("x", 0.0, 4.0, first_chunk=2.0), 4.0, 4).plain == "░░██"


def test_short_times_are_milliseconds() -> None:
    """A tool call of 3 ms is not 0.00 s."""
    assert [duration(one) for one in (0.003, 0.0996, 1.234)] == [
        "3 ms",
        "100 ms",
        "1.23 s",
    ]
