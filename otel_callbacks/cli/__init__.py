"""The command ``otel-callbacks``: one module for each of its commands."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli import prices, reconcile, report, watch
from otel_callbacks.cli.demo import command as demo
from otel_callbacks.cli.doctor import command as doctor

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS: Final = (demo, watch, doctor, prices, report, reconcile)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or print what commands there are.

    Args:
        arguments: The words after the program's name; the process's by default.

    Returns:
        The exit code: 0 when all went well, 1 when what was checked is not right, 2
        when the command cannot be run as asked.
    """
    # A terminal that cannot show a character shows "?" in its place.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    parser = argparse.ArgumentParser(
        prog="otel-callbacks",
        description="Every LangChain model call an OpenTelemetry span and "
        "Prometheus token counters.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in _COMMANDS:
        command.add_to(commands)
    parsed = parser.parse_args(arguments)
    if "run" not in parsed:
        parser.print_help()
        return 0
    code: int = parsed.run(parsed)
    return code
