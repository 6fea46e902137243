"""The look of the HTML page, light and dark."""

from __future__ import annotations

from typing import Final

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
h2 { font-size: 15px; margin: 0; }
p { margin: 0 0 14px; color: var(--soft); }
code, dl, .time, .tokens, table { font-variant-numeric: tabular-nums; }
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
  grid-template-columns: minmax(150px, 24%) 1fr 62px 76px 112px;
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
.time, .tokens { text-align: right; white-space: nowrap; }
.tokens, .http .time { color: var(--soft); }
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
table { border-collapse: collapse; margin: 0 14px; }
th, td { padding: 3px 22px 3px 0; text-align: left; }
th { color: var(--soft); font-weight: 500; }
td:nth-child(n+3):nth-child(-n+5), th:nth-child(n+3):nth-child(-n+5) {
  text-align: right;
}
@media (max-width: 720px) {
  summary, .scale { grid-template-columns: minmax(110px, 34%) 1fr 56px; }
  .tokens, .note { display: none; }
}
"""
