"""What the demo prints: scenes, waterfalls, tables, addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import set_cell_size
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from otel_callbacks import _semconv as semconv
from otel_callbacks.cli.picture import waterfall
from otel_callbacks.cli.picture.timeline import OUTCOMES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from otel_callbacks.cli.demo.session import Session
    from otel_callbacks.cli.demo.show import Played
    from otel_callbacks.cli.picture.sums import Comparison
    from otel_callbacks.cli.picture.timeline import Timeline
    from otel_callbacks.testing import Span

_WIDTH_AT_MOST: Final = 120
_JAEGER: Final = "http://localhost:16686"
_TITLE_CELLS: Final = 32


def title(out: Console, session: Session, *, real: bool) -> None:
    """Print what is going to happen."""
    if session.fake is not None:
        where = f"a fake provider on {session.fake.url}: no key, no cost"
    else:
        where = "the real provider"
    out.print(Text.assemble(("A flower shop", "bold"), f", asking {where}"))
    if real:
        out.print("This costs a few hundred tokens.", style="yellow")
    out.print()


def scene(out: Console, played: Played) -> None:
    """Print one scene when it is over."""
    sign, style = ("✗", "bold red") if played.trouble else ("✓", "green")
    name = set_cell_size(played.scene.title, _TITLE_CELLS)
    line = Text.assemble((sign, style), f" {name}{played.seconds:5.2f} s")
    out.print(line, no_wrap=True, overflow="ellipsis")
    for question, answer in played.said:
        text = Text.assemble(f"  {question} ", ("→", "dim"), f" {answer}")
        out.print(text, no_wrap=True, overflow="ellipsis", crop=True)
    if played.trouble:
        out.print(Text(f"  {played.trouble}", "red"))


def traces(out: Console, timelines: Sequence[Timeline]) -> None:
    """Print the traces as waterfalls, with a legend."""
    width = min(out.width, _WIDTH_AT_MOST)
    out.print()
    out.print(Rule("Traces", align="left", style="dim"), width=width)
    plain = out.options.ascii_only
    for line in waterfall.lines(timelines, width, plain=plain):
        out.print(Text.assemble(*line), no_wrap=True)
    out.print()
    for line in waterfall.legend(plain=plain):
        out.print(Text.assemble(*line), width=width)


def round_line(
    out: Console, number: int, played: Sequence[Played], spans: Sequence[Span]
) -> None:
    """Print one line for a round of steady traffic."""
    calls = [
        span["attributes"]
        for span in spans
        if span["attributes"].get(semconv.OPERATION_NAME) in semconv.MODEL_OPERATIONS
    ]
    tokens = sum(
        one.get(semconv.USAGE_INPUT_TOKENS, 0) + one.get(semconv.USAGE_OUTPUT_TOKENS, 0)
        for one in calls
    )
    names = ", ".join(one.scene.name for one in played)
    line = f"round {number:<5} {len(calls):>2} calls {tokens:>5} tokens  {names}"
    out.print(line, no_wrap=True, overflow="ellipsis", markup=False)
    for one in played:
        if one.trouble:
            out.print(Text(f"  {one.scene.name}: {one.trouble}", "red"))


def tokens(out: Console, comparisons: Sequence[Comparison]) -> None:
    """Print the tokens by model and outcome."""
    out.print()
    width = min(out.width, _WIDTH_AT_MOST)
    out.print(
        Rule("Tokens by model and outcome", align="left", style="dim"), width=width
    )
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    for name in ("calls", "input", "output", "cost in $"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in comparisons:
        style = waterfall.STYLES.get(one.outcome, "")
        table.add_row(
            one.model,
            Text(OUTCOMES.get(one.outcome, one.outcome), style),
            *one.numbers,
            f"{one.cost:.6f}" if one.cost else "",
            Text("saved, not spent" if one.outcome == "cache_hit" else "", "dim"),
        )
    out.print(table)


def verdict(
    out: Console,
    comparisons: Sequence[Comparison],
    sent: Mapping[str, tuple[int, int]] | None,
    *,
    right: bool,
) -> None:
    """Print whether the counters are right."""
    spent = [one for one in comparisons if one.outcome != "cache_hit"]
    counted = sum(one.counters.input + one.counters.output for one in spent)
    results = sum(one.results.input + one.results.output for one in spent)
    parts = [f"counters {counted:,}", f"results {results:,}"]
    if sent is not None:
        total = sum(map(sum, sent.values()))
        parts.append(f"sent by the provider {total:,}")
    sign = Text("✓ equal", "green") if right else Text("✗ NOT equal", "bold red")
    out.print()
    out.print(Text.assemble("Sum check: ", " = ".join(parts), "  ", sign))
    for one in comparisons:
        if not one.equal:
            line = f"  {one.model} {one.outcome}: {one.counters} is not {one.results}"
            out.print(Text(line, "red"))


def addresses(
    out: Console, session: Session, trace_id: str, options: argparse.Namespace
) -> None:
    """Print where to look further."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    if session.metrics_url:
        until = "while this runs (--keep-serving)"
        if options.keep_serving:
            until = "until you end it; /healthz beside it"
        table.add_row("Prometheus", f"{session.metrics_url}  {until}")
        if session.moved:
            table.add_row("", "on a free port, because the usual one is in use")
    if session.exports:
        where = f"{_JAEGER}/trace/{trace_id}"
    else:
        where = "no Collector on port 4317; `docker compose up` starts the stack"
    table.add_row("Jaeger", where)
    if options.html:
        table.add_row("Page", str(options.html))
    out.print()
    out.print(table)
