"""The waterfall as a self-contained HTML page, without script or resources."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks.cli.picture.timeline import OUTCOMES, Row, Timeline, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_callbacks.cli.picture.sums import Comparison

_HERE: Final = Path(__file__).parent
STYLE: Final = (_HERE / "page.css").read_text(encoding="utf-8")
LEGEND: Final = (_HERE / "legend.html").read_text(encoding="utf-8")
"""The shapes of bars, and the colours of outcomes."""
_TICKS: Final = 4
CONTENT: Final = frozenset(
    {semconv.SYSTEM_INSTRUCTIONS, semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES}
)
"""Attributes that hold content."""


def page(timelines: Sequence[Timeline], comparisons: Sequence[Comparison]) -> str:
    """Return the page's HTML."""
    template = Template((_HERE / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        style=STYLE,
        legend=LEGEND,
        traces="".join(map(trace, timelines)),
        tokens="".join(map(_tokens, comparisons)),
    )


def trace(timeline: Timeline) -> str:
    """Return the escaped HTML of one trace."""
    ticks = "".join(
        f"<span>{timeline.seconds * tick / _TICKS:.2f} s</span>"
        for tick in range(_TICKS + 1)
    )
    rows = "".join(_row(row, timeline.seconds) for row in timeline.rows)
    return (
        f'<section aria-label="{escape(timeline.name)}">\n'
        f"<header><h2>{escape(timeline.name)}</h2>"
        f"<code>{escape(timeline.trace_id)}</code></header>\n"
        f"<p>{escape(timeline.sentence)}</p>\n"
        f'<div class="scale" aria-hidden="true"><div>{ticks}</div></div>\n'
        f"{rows}</section>\n"
    )


def _row(row: Row, seconds: float) -> str:
    """Return one span: its line, with its attributes below."""
    tokens = "unknown" if row.tokens_unknown else ""
    if row.tokens is not None:
        tokens = f"{row.tokens[0]:,} → {row.tokens[1]:,}"
    dollars = "" if row.cost is None else f"${row.cost:.6f}"
    depth = len(row.guides) - 1
    note = row.note or ("" if row.outcome == "ok" else OUTCOMES[row.outcome])
    return (
        f'<details class="{row.kind} {row.outcome}" '
        f'data-span="{escape(row.span["span_id"])}"><summary>'
        f'<span class="name" style="--depth:{depth}">{escape(row.name)}</span>'
        f'<span class="track">{_bar(row, seconds)}</span>'
        f'<span class="time">{duration(row.seconds)}</span>'
        f'<span class="tokens">{tokens}</span>'
        f'<span class="dollars">{dollars}</span>'
        f'<span class="note">{escape(note)}</span>'
        f"</summary>\n{_conversation(row)}<dl>{''.join(_details(row))}</dl></details>\n"
    )


def _bar(row: Row, seconds: float) -> str:
    """Return a span's bar, with the time to a stream's first chunk."""
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


def _conversation(row: Row) -> str:
    """Return the captured content as a dialogue."""
    attributes = row.span["attributes"]
    turns = [
        ("system", part) for part in _listed(attributes, semconv.SYSTEM_INSTRUCTIONS)
    ]
    for name in (semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES):
        for message in _listed(attributes, name):
            role = message.get("role") or ""
            parts = message.get("parts") or [message]
            turns += [(str(role), part) for part in parts if isinstance(part, dict)]
    if not turns:
        return ""
    items = "".join(
        f'<li class="{"mine" if role == "assistant" else ""}"><b>{escape(role)}</b>'
        f"<span>{escape(_part(part))}</span></li>"
        for role, part in turns
    )
    return f'<ol class="talk">{items}</ol>\n'


def _listed(attributes: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the objects of an attribute's list, which may be JSON text."""
    found = attributes.get(name)
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            # Truncated content is invalid JSON, but still readable.
            found = [{"role": "", "content": found}]
    listed = found if isinstance(found, (list, tuple)) else [found]
    return [one for one in listed if isinstance(one, dict)]


def _part(part: dict[str, Any]) -> str:
    """Return one part of a message as text."""
    content = part.get("content")
    kind = part.get("type")
    if kind == "tool_call":
        return f"{part.get('name')}({_json(part.get('arguments'))})"
    if kind == "tool_call_response":
        return f"→ {_json(part.get('response', part.get('result')))}"
    prefix = "" if kind in {None, "text"} else f"[{kind}] "
    return f"{prefix}{content if isinstance(content, str) else _json(part)}"


def _json(value: Any) -> str:
    """Return a value as text."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _details(row: Row) -> Iterator[str]:
    """Yield a span's fields and attributes, without content."""
    known: dict[str, Any] = {
        "span id": row.span["span_id"],
        "kind": row.span["kind"],
        "status": row.span["status"],
        "started after": f"{row.start:.3f} s",
        **dict(sorted(row.span["attributes"].items())),
    }
    for name, value in known.items():
        if name in CONTENT:
            continue
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>"


def _tokens(one: Comparison) -> str:
    """Return the row of one model and outcome in the table of tokens."""
    cost = f"${one.counters.cost:.6f}" if one.counters.cost else ""
    numbers = "".join(f"<td>{number}</td>" for number in (*one.numbers, cost))
    return (
        f"<tr><td>{escape(one.model)}</td>"
        f'<td><i class="dot {escape(one.outcome)}"></i>'
        f"{escape(OUTCOMES.get(one.outcome, one.outcome))}</td>"
        f"{numbers}<td>{'equal' if one.equal else 'NOT equal'}</td></tr>\n"
    )
