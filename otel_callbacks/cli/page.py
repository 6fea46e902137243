"""The waterfall as one self-contained HTML page: no script, no outside resource."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli.page_style import STYLE
from otel_callbacks.cli.timeline import OUTCOMES
from otel_callbacks.cli.waterfall import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_callbacks.cli.sums import Comparison
    from otel_callbacks.cli.timeline import Row, Timeline

_TICKS: Final = 4
_HEAD: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<title>Traces of the flower shop</title>
<style>
"""
_INTRODUCTION: Final = (
    "Each line is a span, each box one trace with its own time scale. "
    "Open a line, with Enter or a click, for its attributes."
)


def page(timelines: Sequence[Timeline], comparisons: Sequence[Comparison]) -> str:
    """Return the page's HTML.

    Args:
        timelines: The traces.
        comparisons: Tokens by model and outcome.
    """
    parts = [
        _HEAD,
        STYLE,
        "</style>\n</head>\n<body>\n<main>\n<h1>Traces of the flower shop</h1>\n",
        f"<p>{escape(_INTRODUCTION)}</p>\n",
        _legend(),
        *map(_trace, timelines),
        _tokens(comparisons),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def _legend() -> str:
    """Return what the bars' shapes and colours mean."""
    shapes = "".join(
        f'<li><i class="bar {kind}"></i>{name}</li>'
        for kind, name in (
            ("step", "app"),
            ("model", "model"),
            ("tool", "tool"),
            ("http", "HTTP"),
            ("waiting", "before the first chunk"),
        )
    )
    outcomes = "".join(
        f'<li><i class="dot {outcome}"></i>{name}</li>'
        for outcome, name in OUTCOMES.items()
    )
    return f'<ul class="legend">{shapes}</ul>\n<ul class="legend">{outcomes}</ul>\n'


def _trace(timeline: Timeline) -> str:
    """Return one trace."""
    ticks = "".join(
        f"<span>{timeline.seconds * tick / _TICKS:.2f} s</span>"
        for tick in range(_TICKS + 1)
    )
    rows = "".join(_row(row, timeline.seconds) for row in timeline.rows)
    return (
        f'<section aria-label="{escape(timeline.name)}">\n'
        f"<header><h2>{escape(timeline.name)}</h2>"
        f"<code>{escape(timeline.trace_id)}</code></header>\n"
        f'<div class="scale" aria-hidden="true"><div>{ticks}</div></div>\n'
        f"{rows}</section>\n"
    )


def _row(row: Row, seconds: float) -> str:
    """Return one span: its line, and its attributes below it."""
    tokens = "" if row.tokens is None else f"{row.tokens[0]} → {row.tokens[1]}"
    depth = len(row.guides) - 1
    note = row.note or ("" if row.outcome == "ok" else OUTCOMES[row.outcome])
    return (
        f'<details class="{row.kind} {row.outcome}"><summary>'
        f'<span class="name" style="--depth:{depth}">{escape(row.name)}</span>'
        f'<span class="track">{_bar(row, seconds)}</span>'
        f'<span class="time">{duration(row.seconds)}</span>'
        f'<span class="tokens">{tokens}</span>'
        f'<span class="note">{escape(note)}</span>'
        f"</summary>\n<dl>{''.join(_details(row))}</dl></details>\n"
    )


def _bar(row: Row, seconds: float) -> str:
    """Return a span's bar, with the wait for a stream's first chunk in it."""
    whole = seconds or 1.0
    left, width = 100 * row.start / whole, 100 * row.seconds / whole
    title = f"{row.name}: {row.start:.3f} s to {row.end:.3f} s"
    waiting = ""
    if row.first_chunk is not None and row.seconds:
        share = min(100.0, 100 * row.first_chunk / row.seconds)
        waiting = f'<b style="width:{share:.2f}%"></b>'
    return (
        f'<i class="bar" title="{escape(title)}" '
        f'style="left:{left:.2f}%;width:{width:.2f}%">{waiting}</i>'
    )


def _details(row: Row) -> Iterator[str]:
    """Yield what is known about a span."""
    known: dict[str, Any] = {
        "span id": row.span["span_id"],
        "kind": row.span["kind"],
        "status": row.span["status"],
        "started after": f"{row.start:.3f} s",
        **dict(sorted(row.span["attributes"].items())),
    }
    for name, value in known.items():
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>"


def _tokens(comparisons: Sequence[Comparison]) -> str:
    """Return the table of tokens."""
    rows = "".join(
        f"<tr><td>{escape(one.model)}</td>"
        f'<td><i class="dot {escape(one.outcome)}"></i>'
        f"{escape(OUTCOMES.get(one.outcome, one.outcome))}</td>"
        + "".join(f"<td>{number:,}</td>" for number in one.counters)
        + f"<td>{'equal' if one.equal else 'NOT equal'}</td></tr>\n"
        for one in comparisons
    )
    return (
        "<section><header><h2>Tokens by model and outcome</h2></header>\n"
        "<table><thead><tr><th>model</th><th>outcome</th><th>calls</th><th>input</th>"
        "<th>output</th><th>counters and results</th></tr></thead>\n"
        f"<tbody>{rows}</tbody></table></section>\n"
    )
