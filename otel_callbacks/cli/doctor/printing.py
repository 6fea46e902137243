"""What the doctor prints: a line for each hop, with reasons and remedies below it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from otel_callbacks.cli.doctor.examination import HOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console, RenderableType

    from otel_callbacks.cli.doctor.findings import Finding, Hop, Report

_WIDTH_AT_MOST: Final = 100
_NAME_CELLS: Final = max(map(len, HOPS))
_SIGNS: Final = {
    "reached": ("✓", "+", "green"),
    "answers": ("○", "o", "yellow"),
    "broken": ("✗", "x", "bold red"),
    "skipped": ("-", "-", "dim"),
}


def while_it_runs(
    out: Console, examine: Callable[[Callable[[str], None]], Report]
) -> Report:
    """Show which hop is looked at, and the hops as they end.

    Args:
        out: Where to print; a spinner is drawn on terminals only.
        examine: Makes the report; it is given what to tell each hop's name to.

    Returns:
        The report.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=out, transient=True, disable=not out.is_terminal
    ) as progress:
        task = progress.add_task("")

        def begins(name: str) -> None:
            progress.reset(task, description=name)

        return examine(begins)


def hop(out: Console, seen: Hop) -> None:
    """Print one hop.

    Args:
        out: Where to print.
        seen: The hop.
    """
    plain = out.options.ascii_only
    full, ascii_sign, style = _SIGNS[seen.state]
    grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
    grid.add_column(width=1)
    grid.add_column(width=_NAME_CELLS, no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_column(justify="right", no_wrap=True)
    seconds = "" if seen.state == "skipped" else f"{seen.seconds:.2f} s"
    grid.add_row(
        Text(ascii_sign if plain else full, style),
        Text(seen.name, "bold"),
        Group(*_lines(seen, plain=plain)),
        seconds,
    )
    out.print(grid, width=min(out.width, _WIDTH_AT_MOST))


def verdict(out: Console, report: Report) -> None:
    """Print the sum of it all.

    Args:
        out: Where to print.
        report: The report.
    """
    out.print()
    if report.broken:
        names = ", ".join(one.name for one in report.broken)
        text = Text.assemble(("Broken: ", "bold red"), names, ".")
    else:
        text = Text("All hops that were looked at are well.", "green")
    out.print(text, width=min(out.width, _WIDTH_AT_MOST))
    if report.trace_id:
        line = f"Trace {report.trace_id} of {report.service}"
        out.print(Text(line, "dim"), width=min(out.width, _WIDTH_AT_MOST))


def _lines(seen: Hop, *, plain: bool) -> Iterator[RenderableType]:
    """Yield what was seen, then troubles, then cautions."""
    first = ", ".join(filter(None, (seen.address, seen.saw)))
    yield Text("skipped" if seen.state == "skipped" and not seen.saw else first)
    for trouble in seen.troubles:
        yield from _finding(trouble, "bold red", plain=plain)
    for caution in seen.cautions:
        yield from _finding(caution, "yellow", plain=plain)


def _finding(finding: Finding, style: str, *, plain: bool) -> Iterator[RenderableType]:
    """Yield a reason, and its remedy behind an arrow."""
    yield Text(finding.reason, style)
    remedy = Table.grid(padding=(0, 1, 0, 0))
    remedy.add_row("->" if plain else "→", Text(finding.remedy))
    yield remedy
