"""The command ``otel-callbacks``; each of its commands has a folder."""

from __future__ import annotations

import argparse
import io
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGE: Final = "otel-callbacks"
COMMANDS: Final = {
    "demo": "run a sample app and show its traces and tokens; no key, no Docker",
    "watch": "show your app's traces as they end; no Docker, no account",
    "env": "print the variables that send to a backend such as Jaeger or Langfuse",
    "doctor": "send a fake chain through the stack and find the broken hop",
    "prices": "print a model's known prices and their start dates",
    "report": "print the spending by model, outcome and label",
    "reconcile": "compare the counters with a provider's usage export",
}
"""Each command and its help text; a command's module is imported on use."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or print the help."""
    # A terminal that cannot show a character shows "?" in its place.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="otel-callbacks",
        description="Show, check and report the telemetry of LangChain apps."
        " Each command has its own --help.",
    )
    parser.add_argument(
        "--version", action="version", version=f"otel-callbacks {version(_PACKAGE)}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name in words:
            module = import_module(f"{__name__}.{name}")
            module.add_to(command)
            command.add_argument("--no-color", action="store_true", help="no colours")
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(words)
    if "run" not in parsed:
        parser.print_help()
        return 0
    code: int = parsed.run(parsed)
    return code
