"""``otel-callbacks doctor``: follow one fake chain through the stack."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli._common import Output, write_json

if TYPE_CHECKING:
    import argparse

    from otel_callbacks.cli.doctor.probe import Hop, Report


HOPS: Final = ("handler", "collector", "jaeger", "metrics", "prometheus", "grafana")
"""The hops, in the order of the chain."""

CHECKS: Final = (*HOPS[1:], "span-metrics")
"""What can be skipped: all hops but the first, and a part of Prometheus' hop."""

_NAME_CELLS: Final = max(map(len, HOPS))
_SIGNS: Final = {
    "reached": ("✓", "+", "green"),
    "answers": ("○", "o", "yellow"),
    "broken": ("✗", "x", "bold red"),
    "skipped": ("-", "-", "dim"),
}


def run(options: argparse.Namespace) -> int:
    """Examine the stack and print the report."""
    # Imported here because these are slow to import.
    from otel_callbacks.cli.doctor.examination import Examination, addresses  # noqa: PLC0415
    from otel_callbacks.settings import Settings, check_sdk_variables  # noqa: PLC0415

    settings = Settings.from_env()
    check_sdk_variables()
    if options.only:
        options.skip = {*CHECKS} - {*options.only}
    examination = Examination(
        addresses(options, settings, os.environ),
        settings,
        frozenset(options.skip),
        options.timeout,
    )
    if options.json:
        report = examination.report()
        write_json(report.as_data())
    else:
        out = Output(color=not options.no_color)
        report = examination.report(
            lambda name: out.overwritten(f"  {name} ..."),
            lambda hop: print_hop(out, hop),
        )
        verdict(out, report)
    return 1 if report.broken else 0


def print_hop(out: Output, seen: Hop) -> None:
    """Print one hop: its sign, name, address and time, then reasons with remedies."""
    full, ascii_sign, style = _SIGNS[seen.state]
    sign = ascii_sign if out.ascii_only else full
    first = ", ".join(filter(None, (seen.address, seen.saw)))
    if seen.state == "skipped":
        first = first if seen.saw else "skipped"
    else:
        first = f"{first} ({seen.seconds:.2f} s)".lstrip()
    indent = _NAME_CELLS + 3
    out.line(first, indent=indent, label=(f"{sign} {seen.name:<{_NAME_CELLS}} ", style))
    space = " " * indent
    label = f"{space}{'->' if out.ascii_only else '→'} "
    for tint, findings in (("bold red", seen.troubles), ("yellow", seen.cautions)):
        for one in findings:
            out.line(one.reason, tint, indent, label=(space, ""))
            out.line(one.remedy, indent=len(label), label=(label, ""))


def verdict(out: Output, report: Report) -> None:
    """Print the verdict."""
    out.line()
    if report.broken:
        names = ", ".join(one.name for one in report.broken)
        out.line(f"Broken: {names}.", "bold red")
    else:
        out.line("All checked hops work.", "green")
    if report.trace_id:
        out.line(f"Trace {report.trace_id} of {report.service}", "dim")
