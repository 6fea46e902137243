"""``otel-callbacks doctor``: follow one fake chain through the stack."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli._common import Output, refuse, within

if TYPE_CHECKING:
    import argparse

    from otel_callbacks.cli.doctor.probe import Finding, Hop, Report


class Stage(NamedTuple):
    """A hop of the chain."""

    name: str
    help: str = ""
    """The help of the option for its address; empty without one."""
    default: str = ""
    """Its address in ``docker-compose.yml``, unless the environment names it."""
    follows: bool = False
    """Whether the trace is followed to this hop."""


STAGES: Final = (
    Stage("handler"),
    Stage(
        "collector",
        "where spans are sent (default: OTEL_EXPORTER_OTLP_ENDPOINT, else "
        "http://127.0.0.1:4317, or 4318 for http/protobuf)",
        follows=True,
    ),
    Stage("jaeger", "Jaeger", "http://127.0.0.1:16686", follows=True),
    Stage(
        "metrics",
        "the app's series (default: OTEL_EXPORTER_PROMETHEUS_HOST and _PORT, else "
        "http://127.0.0.1:9464/metrics)",
    ),
    Stage("prometheus", "Prometheus", "http://127.0.0.1:9090", follows=True),
    Stage("grafana", "Grafana", "http://127.0.0.1:3000"),
)
"""The hops, in the order of the chain."""

_BROKEN: Final = 1
_INTERRUPTED: Final = 130
_PART: Final = "span-metrics"
"""A part of Prometheus' hop that can be skipped separately."""

_SKIPPABLE: Final = (*(one.name for one in STAGES if one.help), _PART)
_SECONDS: Final = 60.0
_NAME_CELLS: Final = max(len(one.name) for one in STAGES)
_SIGNS: Final = {
    "reached": ("✓", "+", "green"),
    "answers": ("○", "o", "yellow"),
    "broken": ("✗", "x", "bold red"),
    "skipped": ("-", "-", "dim"),
}


_DAY: Final = 24 * 3600
_seconds = within(
    float, lambda number: 0 < number <= _DAY, "seconds, above 0 and at most a day"
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = (
        "Send a fake chain through the handler, the Collector, Jaeger, "
        "Prometheus and Grafana. Report for each hop whether the chain arrived, and "
        "if not, why and what to do. Exit code 0: all hops work; 1: a hop is broken; "
        "2: wrong usage or an invalid setting."
    )
    for one in STAGES:
        if one.help:
            default = f" (default: {one.default})" if one.default else ""
            parser.add_argument(
                f"--{one.name}", metavar="URL", help=f"{one.help}{default}"
            )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--skip",
        metavar="HOP",
        action="append",
        default=[],
        choices=_SKIPPABLE,
        help=f"skip a hop; repeatable: {', '.join(_SKIPPABLE)}",
    )
    which.add_argument(
        "--only",
        metavar="HOP",
        action="append",
        default=[],
        choices=_SKIPPABLE,
        help="check only the handler and this hop; repeatable",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=_SECONDS,
        help=f"time limit for all checks (default: {_SECONDS:.0f})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def run(options: argparse.Namespace) -> int:
    """Examine the stack."""
    try:
        report = _report(options)
    except SettingError as error:
        return refuse("doctor", str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _BROKEN if report.broken else 0


def _report(options: argparse.Namespace) -> Report:
    """Examine the stack and print the report."""
    # Imported here because these are slow to import.
    from otel_callbacks.cli.doctor.examination import (  # noqa: PLC0415
        Examination,
        addresses,
    )
    from otel_callbacks.settings import (  # noqa: PLC0415
        Settings,
        check_sdk_variables,
    )

    settings = Settings.from_env()
    check_sdk_variables()
    if options.only:
        options.skip = [name for name in _SKIPPABLE if name not in options.only]
    examination = Examination(
        addresses(options, settings, os.environ),
        settings,
        frozenset(options.skip),
        options.timeout,
    )
    if options.json:
        report = examination.report()
        sys.stdout.write(report.as_json())
        return report
    out = Output(color=not options.no_color)
    report = examination.report(
        lambda name: waiting(out, name), lambda hop: print_hop(out, hop)
    )
    verdict(out, report)
    return report


def waiting(out: Output, name: str) -> None:
    """Print the current hop on a terminal; its result overwrites the line."""
    if out.is_terminal:
        out.overwritten(f"  {name} ...")


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
    label = f"{sign} {seen.name:<{_NAME_CELLS}} "
    out.line(first, indent=indent, label=(label, style))
    for trouble in seen.troubles:
        _print_finding(out, trouble, "bold red", indent)
    for caution in seen.cautions:
        _print_finding(out, caution, "yellow", indent)


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


def _print_finding(out: Output, finding: Finding, style: str, indent: int) -> None:
    """Print a reason, and its remedy after an arrow."""
    space = " " * indent
    out.line(finding.reason, style, indent, label=(space, ""))
    arrow = "->" if out.ascii_only else "→"
    label = f"{space}{arrow} "
    out.line(finding.remedy, indent=len(label), label=(label, ""))
