"""The waterfall as a self-contained HTML page, without script or resources."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks.cli.picture.timeline import OUTCOMES, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_callbacks.cli.picture.sums import Comparison
    from otel_callbacks.cli.picture.timeline import Row, Timeline

STYLE: Final = """\
:root {
  --ground: #f6f5f2; --box: #fff; --ink: #1d1f21; --soft: #62676d; --line: #e2e0da;
  --ok: #2a8c55; --error: #c8323c; --cancelled: #b7790a; --abandoned: #8a4bb0;
  --cache_hit: #0f8196; --step: #a3a8ad;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #16181b; --box: #1f2226; --ink: #e7e6e3; --soft: #9aa0a6;
    --line: #33373c; --ok: #4fb97c; --error: #f0666f; --cancelled: #e0a63a;
    --abandoned: #bd8ae0; --cache_hit: #45b8cc; --step: #6b7178;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 14px/1.45 system-ui, "Noto Sans CJK SC", "PingFang SC", sans-serif;
}
main { max-width: 1200px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 22px; margin: 0 0 4px; }
h2 { font-size: 15px; margin: 0; overflow-wrap: anywhere; }
p { margin: 0 0 14px; color: var(--soft); }
code, dl, .time, .tokens, .dollars, table { font-variant-numeric: tabular-nums; }
code { color: var(--soft); font: 12px ui-monospace, monospace; }
section {
  background: var(--box); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 0; margin: 14px 0; overflow: hidden;
}
header {
  display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: baseline;
  padding: 0 14px 8px;
}
.legend {
  display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none;
  padding: 0; margin: 0 0 6px; color: var(--soft);
}
.legend li { display: flex; align-items: center; gap: 6px; }
.legend .bar { position: static; width: 26px; --tone: var(--ok); }
.legend .step { --tone: var(--step); }
.legend .waiting { opacity: .35; }
.dot {
  display: inline-block; width: 9px; height: 9px; border-radius: 50%;
  margin-right: 6px; background: var(--tone);
}
.legend .dot { margin: 0; }
.ok { --tone: var(--ok); }
.error { --tone: var(--error); }
.cancelled { --tone: var(--cancelled); }
.abandoned { --tone: var(--abandoned); }
.cache_hit { --tone: var(--cache_hit); }
details.step.ok { --tone: var(--step); }
summary, .scale {
  display: grid; gap: 12px; padding: 3px 14px; align-items: center;
  grid-template-columns: minmax(150px, 24%) 1fr 62px 84px 84px 120px;
}
summary { cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary:hover, details[open] > summary { background: var(--ground); }
summary:focus-visible { outline: 2px solid var(--cache_hit); outline-offset: -2px; }
.name {
  padding-left: calc(var(--depth) * 16px); overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap;
}
.step .name { font-weight: 600; }
.http .name { color: var(--soft); }
.track { position: relative; height: 16px; }
.scale { color: var(--soft); font-size: 11px; }
.scale > div { grid-column: 2; display: flex; justify-content: space-between; }
.bar {
  position: absolute; top: 0; bottom: 0; margin: auto 0; height: 12px;
  min-width: 3px; border-radius: 3px; background: var(--tone); overflow: hidden;
}
.step .bar, .bar.step { height: 4px; }
.http .bar, .bar.http { height: 6px; opacity: .75; }
.tool .bar, .bar.tool {
  background: repeating-linear-gradient(
    45deg, var(--tone) 0 3px, transparent 3px 5px);
  box-shadow: inset 0 0 0 1px var(--tone);
}
.bar b {
  position: absolute; inset: 0 auto 0 0; background: var(--box); opacity: .65;
}
.time, .tokens, .dollars { text-align: right; white-space: nowrap; }
.tokens, .dollars, .http .time { color: var(--soft); }
.note {
  color: var(--tone); overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
dl {
  margin: 2px 14px 10px; padding: 8px 12px; border-left: 3px solid var(--tone);
  background: var(--ground); display: grid; gap: 1px 24px;
  grid-template-columns: repeat(auto-fill, minmax(340px, 1fr));
  font: 12px ui-monospace, monospace;
}
dl div { display: flex; gap: 8px; justify-content: space-between; }
dt { color: var(--soft); }
dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.talk { list-style: none; margin: 4px 14px 8px; padding: 0; }
.talk li {
  max-width: 640px; margin: 4px 0; padding: 6px 10px; border-radius: 8px;
  background: var(--ground); border: 1px solid var(--line);
}
.talk .mine { margin-left: auto; border-color: var(--ok); }
.talk b { display: block; font-size: 11px; color: var(--soft); }
.talk span { white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0 14px; }
th, td { padding: 3px 22px 3px 0; text-align: left; }
th { color: var(--soft); font-weight: 500; }
td:nth-child(n+3):nth-child(-n+6), th:nth-child(n+3):nth-child(-n+6) {
  text-align: right;
}
section > p { padding: 0 14px; margin: 0 0 6px; }
.scroll { overflow-x: auto; }
@media (max-width: 720px) {
  main { padding: 16px 10px 32px; }
  summary, .scale { grid-template-columns: 1fr auto auto auto; gap: 0 10px; }
  .track, .note, .scale > div { grid-column: 1 / -1; }
  .note:empty, .tokens:empty, .dollars:empty { display: none; }
  .track { grid-row: 2; margin: 2px 0 4px; }
  .scale span:nth-child(even) { display: none; }
  dl { grid-template-columns: 1fr; margin: 2px 8px 10px; }
  th, td { padding-right: 12px; }
}
"""


_TICKS: Final = 4
_CONTENT: Final = frozenset(
    {semconv.SYSTEM_INSTRUCTIONS, semconv.INPUT_MESSAGES, semconv.OUTPUT_MESSAGES}
)
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
    "Open a line with Enter or a click to see its attributes."
)


def page(timelines: Sequence[Timeline], comparisons: Sequence[Comparison]) -> str:
    """Return the page's HTML."""
    parts = [
        _HEAD,
        STYLE,
        "</style>\n</head>\n<body>\n<main>\n<h1>Traces of the flower shop</h1>\n",
        f"<p>{escape(_INTRODUCTION)}</p>\n",
        legend(),
        *map(trace, timelines),
        _tokens(comparisons),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def legend() -> str:
    """Return the legend of shapes and colours."""
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
        if name in _CONTENT:
            continue
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>"


def _tokens(comparisons: Sequence[Comparison]) -> str:
    """Return the table of tokens by model and outcome."""
    rows = "".join(
        f"<tr><td>{escape(one.model)}</td>"
        f'<td><i class="dot {escape(one.outcome)}"></i>'
        f"{escape(OUTCOMES.get(one.outcome, one.outcome))}</td>"
        + "".join(f"<td>{number}</td>" for number in one.numbers)
        + (f"<td>${one.cost:.6f}</td>" if one.cost else "<td></td>")
        + f"<td>{'equal' if one.equal else 'NOT equal'}</td></tr>\n"
        for one in comparisons
    )
    return (
        "<section><header><h2>Tokens by model and outcome</h2></header>\n"
        '<div class="scroll"><table><thead><tr><th>model</th><th>outcome</th>'
        "<th>calls</th><th>input</th><th>output</th><th>cost</th>"
        "<th>counters and results</th></tr></thead>\n"
        f"<tbody>{rows}</tbody></table></div></section>\n"
    )
