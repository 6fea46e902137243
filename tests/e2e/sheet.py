"""Draw the results of all panels as one page."""

from __future__ import annotations

import math
import re
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
    defaults = answer.panel["fieldConfig"]["defaults"]
    if answer.is_empty:
        return f"<i>{escape(str(defaults.get('noValue', '')))}</i>"
    if answer.traces:
        return f"<b>{len(answer.traces)}</b> traces"
    unit = str(defaults.get("unit", ""))
    if answer.panel["type"] in {"timeseries", "heatmap"}:
        return _lines(answer, unit)
    if answer.panel["type"] == "stat":
        return f"<b>{escape(_formatted(answer.value, unit))}</b>"
    return _table(answer, unit)


def _formatted(value: float, unit: str) -> str:
    """Format a value with its unit, about as Grafana does."""
    if unit == "percentunit":
        return f"{100 * value:.1f} %"
    if unit == "currencyUSD":
        digits = 4 - math.ceil(math.log10(abs(value))) if 0 < abs(value) < 1 else 2
        return f"${value:,.{digits}f}"
    number = f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{number} {unit.removeprefix('short').removeprefix('suffix: ')}".rstrip()


def _table(answer: Answer, unit: str) -> str:
    """Draw numbers side by side, a row for each combination of labels."""
    titles = [""] * len(answer.series)
    for change in answer.panel.get("transformations", ()):
        names = change["options"].get("renameByName", {})
        for at in range(len(titles)):
            of_many = names.get(f"Value #{chr(ord('A') + at)}", "")
            titles[at] = names.get("Value", "") if len(titles) == 1 else of_many
    units = {
        override["matcher"]["options"]: change["value"]
        for override in answer.panel["fieldConfig"]["overrides"]
        for change in override["properties"]
        if change["id"] == "unit"
    }
    rows: dict[str, list[str]] = {}
    for at, column in enumerate(answer.series):
        for one in column:
            name = ", ".join(one["labels"].values())
            row = rows.setdefault(name, [""] * len(answer.series))
            row[at] = _formatted(
                float(one["values"][-1][1]), units.get(titles[at], unit)
            )
    if any(
        one["id"] == "filterByValue" for one in answer.panel.get("transformations", ())
    ):
        rows = {name: row for name, row in rows.items() if row[0]}
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    cells = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{one}</td>' for one in row)}</tr>"
        for name, row in rows.items()
    )
    return f"<table><tr><th></th>{head}</tr>{cells}</table>"


def _named(answer: Answer) -> list[tuple[str, dict[str, Any]]]:
    """Return the series with their legends."""
    found = []
    for target, series in zip(answer.panel["targets"], answer.series, strict=False):
        legend = target.get("legendFormat", "__auto")
        for one in series:
            labels = one["labels"]
            name = ", ".join(labels.values())
            if legend != "__auto":
                parts = re.split(r"{{(\w+)}}", legend)
                parts[1::2] = [labels.get(label, "") for label in parts[1::2]]
                name = "".join(parts)
            found.append((name, one))
    return found


def _lines(answer: Answer, unit: str) -> str:
    """Draw values over time."""
    named = _named(answer)
    points = [
        (float(moment), float(value))
        for _, one in named
        for moment, value in one["values"]
        if isinstance(value, str)
    ]
    if not points:
        return "<i>native histogram</i>"
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    most = max((p[1] for p in points if p[1] == p[1]), default=0)
    drawn, legend = [], []
    for at, (name, one) in enumerate(named):
        path = " ".join(
            f"{_WIDTH * (float(t) - first) / ((last - first) or 1):.0f},"
            f"{_HEIGHT * (1 - float(v) / (most or 1)):.0f}"
            for t, v in one["values"]
            if isinstance(v, str) and v not in {"NaN", "+Inf"}
        )
        colour = _COLOURS[at % len(_COLOURS)]
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}"/>')
        legend.append(f'<span style="color:{colour}">&#9632;</span> {escape(name)}')
    box = f'<svg width="{_WIDTH}" height="{_HEIGHT}">{"".join(drawn)}</svg>'
    highest = escape(_formatted(most, unit))
    return f"{box}<p>highest: {highest} &nbsp; {' &nbsp; '.join(legend[:10])}</p>"
