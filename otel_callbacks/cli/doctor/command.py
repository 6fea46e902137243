"""``otel-callbacks doctor``: follows one fake chain through the whole stack."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Final

from otel_callbacks._setting_values import SettingError
from otel_callbacks.settings import Settings, check_sdk_variables

if TYPE_CHECKING:
    import argparse

    from otel_callbacks.cli.doctor.findings import Report

_BROKEN: Final = 1
_CANNOT: Final = 2
_INTERRUPTED: Final = 130
_SKIPPABLE: Final = (
    "collector",
    "jaeger",
    "metrics",
    "prometheus",
    "span-metrics",
    "grafana",
)
_PRINTER: Final = "rich"
_SECONDS: Final = 60.0
_URLS: Final = {
    "collector": "where spans are sent (default: OTEL_EXPORTER_OTLP_ENDPOINT, else "
    "http://127.0.0.1:4317, or 4318 for http/protobuf)",
    "jaeger": "Jaeger (default: http://127.0.0.1:16686)",
    "metrics": "the app's series (default: OTEL_EXPORTER_PROMETHEUS_HOST and _PORT, "
    "else http://127.0.0.1:9464/metrics)",
    "prometheus": "Prometheus (default: http://127.0.0.1:9090)",
    "grafana": "Grafana (default: http://127.0.0.1:3000)",
}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options.

    Args:
        commands: The commands of the main parser.
    """
    parser = commands.add_parser(
        "doctor",
        help="follow a fake chain through the whole stack and name the broken hop",
        description="Sends a fake chain through the handler, the Collector, Jaeger, "
        "Prometheus and Grafana, and says of each hop whether it was reached, else why "
        "not and what to do. Exit code 0: all reached; 1: a hop is broken; 2: it "
        "cannot be run as asked.",
    )
    for name, text in _URLS.items():
        parser.add_argument(f"--{name}", metavar="URL", help=text)
    parser.add_argument(
        "--skip",
        metavar="HOP",
        action="append",
        default=[],
        choices=_SKIPPABLE,
        help=f"leave a hop out, once or more: {', '.join(_SKIPPABLE)}",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=_SECONDS,
        help=f"how long all may take (default: {_SECONDS:.0f})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine the stack.

    Args:
        options: What the command line says.

    Returns:
        The exit code: 0 when all hops are reached, 1 when one is broken, 2 when a
        setting is wrong.
    """
    if not options.json and importlib.util.find_spec(_PRINTER) is None:
        return _refused(
            f'{_PRINTER} not found: pip install "otel-callbacks[demo]", or --json'
        )
    try:
        report = _report(options)
    except SettingError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return _BROKEN if report.broken else 0


def _report(options: argparse.Namespace) -> Report:
    """Examine, and print what was found."""
    # Here, because these are slow to import.
    from otel_callbacks.cli.doctor.addresses import addresses  # noqa: PLC0415
    from otel_callbacks.cli.doctor.examination import Examination  # noqa: PLC0415

    settings = Settings.from_env()
    check_sdk_variables()
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
    from rich.console import Console  # noqa: PLC0415 -- the extra

    from otel_callbacks.cli.doctor import printing as doctor_print  # noqa: PLC0415

    out = Console(no_color=options.no_color or None, highlight=False)
    report = doctor_print.while_it_runs(
        out,
        lambda begins: examination.report(
            begins, lambda hop: doctor_print.hop(out, hop)
        ),
    )
    doctor_print.verdict(out, report)
    return report


def _refused(why: str) -> int:
    """Say why the doctor cannot run, and return the exit code."""
    sys.stderr.write(f"otel-callbacks doctor: {why}\n")
    return _CANNOT


def _seconds(text: str) -> float:
    """Read a positive length of time."""
    number = float(text)
    # Written so that "nan" is refused.
    if not 0 < number <= 24 * 3600:
        raise ValueError(text)
    return number
