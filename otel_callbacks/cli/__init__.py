"""The command ``otel-callbacks``; each of its commands has a folder."""

from __future__ import annotations

import argparse
import io
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._data import data_beside
from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli._common import TYPES, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_PACKAGE: Final = "otel-callbacks"
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or print the help."""
    # A terminal that cannot show a character shows "?" in its place.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = parser_for(words)
    parsed = parser.parse_args(words)
    if parsed.command is None:
        parser.print_help()
        return 0
    try:
        code: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (Refusal, SettingError) as error:
        sys.stderr.write(f"{_PACKAGE} {parsed.command}: {error}\n")
        return error.code if isinstance(error, Refusal) else 2
    return code


def parser_for(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line; only a command in it is imported."""
    parser = argparse.ArgumentParser(
        prog=_PACKAGE,
        description="Show, check and report the telemetry of LangChain apps."
        " Each command has its own --help.",
    )
    parser.add_argument(
        "--version", action="version", version=f"{_PACKAGE} {version(_PACKAGE)}"
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command"
    )
    for name, fields in data_beside(__file__, "options").items():
        command = commands.add_parser(name, help=fields["help"])
        if name in words:
            module = import_module(f"{__name__}.{name}")
            command.description = fields["description"]
            _add(command, fields["arguments"], module)
            command.add_argument("--no-color", action="store_true", help="no colours")
            command.set_defaults(run=module.run)
    return parser


def _add(
    command: argparse.ArgumentParser,
    arguments: dict[str, dict[str, Any]],
    module: ModuleType,
) -> None:
    """Add the arguments of a command."""
    types = {**TYPES, **getattr(module, "TYPES", {})}
    groups: dict[str, Any] = {}
    for name, fields in arguments.items():
        where: Any = command
        if group := fields.pop("group", ""):
            if group not in groups:
                groups[group] = command.add_mutually_exclusive_group()
            where = groups[group]
        if "type" in fields:
            fields["type"] = types[fields["type"]]
        if "choices" in fields:
            fields["choices"] = getattr(module, fields["choices"])
        where.add_argument(name, **fields)
