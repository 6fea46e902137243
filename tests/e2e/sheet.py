"""Draws the answers of all panels as one page, for people to look at."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from boards import Answer

_WIDTH, _HEIGHT = 460, 120
_COLOURS = ("#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9")
_STYLE = """
body {font: 13px sans-serif; background: #f4f5f5; margin: 16px}
section {display: flex; flex-wrap: wrap; gap: 8px}
article {background: #fff; border: 1px solid #ddd; padding: 8px; width: 480px}
h3 {margin: 0 0 4px; font-size: 13px} p {margin: 4px 0; color: #666; font-size: 11px}
b {font-size: 26px} table {border-collapse: collapse; font-size: 11px}
td, th {border: 1px solid #eee; padding: 1px 5px; text-align: left}
"""


def draw(answers: Mapping[str, Answer], folder: Path) -> None:
    """Write ``boards.html``: a section for each board, a box for each panel.

    Args:
        answers: The answers by board and title.
        folder: Where the page goes; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>"]
    board = ""
    for where, answer in answers.items():
        name, _, title = where.partition(": ")
        if name != board:
            parts.append(f"</section><h2>{escape(name)}</h2><section>")
            board = name
        about = escape(answer.panel.get("description", ""))
        body = _body(answer)
        parts.append(f"<article><h3>{escape(title)}</h3>{body}<p>{about}</p></article>")
    (folder / "boards.html").write_text("".join(parts), encoding="utf-8")


def _body(answer: Answer) -> str:
    """Draw one panel."""
    if answer.is_empty:
        defaults = answer.panel["fieldConfig"]["defaults"]
        return f"<i>{escape(str(defaults.get('noValue', '')))}</i>"
    if answer.traces:
        return f"<b>{len(answer.traces)}</b> traces"
    if answer.panel["type"] in {"timeseries", "heatmap"}:
        return _lines([one for series in answer.series for one in series])
    unit = escape(str(answer.panel["fieldConfig"]["defaults"].get("unit", "")))
    if answer.panel["type"] == "stat":
        return f"<b>{answer.value:.6g}</b> {unit}"
    return _table(answer.series)


def _table(columns: list[list[dict[str, Any]]]) -> str:
    """Draw numbers side by side, a row for each combination of labels."""
    rows: dict[str, list[str]] = {}
    for at, column in enumerate(columns):
        for one in column:
            name = ", ".join(one["labels"].values())
            row = rows.setdefault(name, [""] * len(columns))
            row[at] = f"{float(one['values'][-1][1]):.4g}"
    cells = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{one}</td>' for one in row)}</tr>"
        for name, row in rows.items()
    )
    return f"<table>{cells}</table>"


def _lines(series: list[dict[str, Any]]) -> str:
    """Draw values over time."""
    points = [
        (float(moment), float(value))
        for one in series
        for moment, value in one["values"]
        if isinstance(value, str)
    ]
    if not points:
        return "<i>native histogram</i>"
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    most = max((p[1] for p in points if p[1] == p[1]), default=0) or 1
    drawn = []
    for at, one in enumerate(series):
        path = " ".join(
            f"{_WIDTH * (float(t) - first) / ((last - first) or 1):.0f},"
            f"{_HEIGHT * (1 - float(v) / most):.0f}"
            for t, v in one["values"]
            if isinstance(v, str) and v not in {"NaN", "+Inf"}
        )
        colour = _COLOURS[at % len(_COLOURS)]
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
    names = "; ".join(", ".join(one["labels"].values()) for one in series[:10])
    box = f'<svg width="{_WIDTH}" height="{_HEIGHT}">{"".join(drawn)}</svg>'
    return f"{box}<p>most {most:.4g}: {escape(names)}</p>"
