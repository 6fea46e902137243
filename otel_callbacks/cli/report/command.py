"""``otel-callbacks report``: what was spent, by model, outcome and label."""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli._common import moment
from otel_callbacks.cli.report import printing as report_print
from otel_callbacks.cli.report.prometheus import (
    METRICS_URL,
    Prometheus,
    SourceError,
    read_metrics,
)
from otel_callbacks.cli.report.spend import spend

if TYPE_CHECKING:
    from otel_callbacks.cli.report.prometheus import Read

_CANNOT: Final = 2
_SINCE: Final = "24h"
_PRINTER: Final = "rich"
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options.

    Args:
        commands: The commands of the main parser.
    """
    parser = commands.add_parser(
        "report",
        help="print what was spent, by model, outcome and label",
        description="Reads an app's /metrics, or a Prometheus, and prints calls, "
        "tokens and cost by model and outcome. Exit code 0: printed; 2: it cannot "
        "be read.",
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help=f"the app's series (default: {METRICS_URL})",
    )
    add_times(parser)
    parser.add_argument(
        "--by",
        metavar="LABELS",
        type=_labels,
        default=(),
        help="further labels to tell apart, such as team,feature",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV, without a total")
    form.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.set_defaults(run=run)


def add_times(parser: argparse.ArgumentParser) -> None:
    """Add the options of a Prometheus and of a time.

    Args:
        parser: The command's.
    """
    parser.add_argument(
        "--prometheus", metavar="URL", help="ask a Prometheus, for a time"
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=moment,
        help=f"with --prometheus: 24h, 7d, 2026-11-01 (default: {_SINCE})",
    )
    parser.add_argument(
        "--until", metavar="TIME", type=moment, help="as --since (default: now)"
    )


def run(options: argparse.Namespace) -> int:
    """Print what was spent.

    Args:
        options: What the command line says.

    Returns:
        The exit code: 0 when it is printed, 2 when it cannot be.
    """
    plain = options.csv or options.json
    if not plain and importlib.util.find_spec(_PRINTER) is None:
        return _refused(
            f'{_PRINTER} not found: pip install "otel-callbacks[demo]", or --csv'
        )
    try:
        read = _read(options)
    except (SourceError, SettingError) as error:
        return _refused(str(error))
    rows = spend(read.samples, options.by)
    if options.json:
        sys.stdout.write(report_print.as_json(rows, options.by, read))
    elif options.csv:
        sys.stdout.write(report_print.as_csv(rows, options.by))
    else:
        from rich.console import Console  # noqa: PLC0415 -- the extra

        out = Console(no_color=options.no_color or None, highlight=False)
        report_print.table(out, rows, options.by, read)
    return 0


def _read(options: argparse.Namespace) -> Read:
    """Read the app's series, or ask Prometheus."""
    if options.prometheus is None:
        if options.since or options.until:
            message = (
                "--since and --until need --prometheus URL: /metrics knows no times."
            )
            raise SourceError(message)
        return read_metrics(options.url or METRICS_URL)
    if options.url:
        message = "Say either the URL of /metrics or --prometheus URL, not both."
        raise SourceError(message)
    until = options.until or datetime.now(UTC)
    since = options.since or moment(_SINCE, until)
    if since >= until:
        message = f"--since {since:%Y-%m-%d %H:%M} is not before --until."
        raise SourceError(message)
    return Prometheus(options.prometheus).read(since, until)


def _labels(text: str) -> tuple[str, ...]:
    """Read names of labels, divided by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(_LABEL.fullmatch(name) for name in names):
        message = f"{text!r} is no list of labels such as team,feature"
        raise argparse.ArgumentTypeError(message)
    return names


def _refused(why: str) -> int:
    """Say why nothing can be printed, and return the exit code."""
    sys.stderr.write(f"otel-callbacks report: {why}\n")
    return _CANNOT
