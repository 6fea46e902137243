"""The command ``otel-callbacks``: a folder for each of its commands."""

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
    "demo": "show traces and token counters of a flower shop; no key, no Docker",
    "watch": "show the calls of your own app as they end; no Docker, no account",
    "env": "print the variables that send to a backend, such as Jaeger or Langfuse",
    "doctor": "follow a fake chain through the whole stack and name the broken hop",
    "prices": "print what is known of a model's prices, and since when",
    "report": "print what was spent, by model, outcome and label",
    "reconcile": "compare our counters with a provider's usage export",
}
"""Each command, with what it does; its module is imported when it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or print what commands there are."""
    # A terminal that cannot show a character shows "?" in its place.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(
        prog="otel-callbacks",
        description="Shows, checks and reports the telemetry of LangChain apps."
        " Each command has its own --help.",
    )
    parser.add_argument(
        "--version", action="version", version=f"otel-callbacks {version(_PACKAGE)}"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name in words:
            import_module(f"{__name__}.{name}").add_to(command)
    parsed = parser.parse_args(words)
    if "run" not in parsed:
        parser.print_help()
        return 0
    code: int = parsed.run(parsed)
    return code
