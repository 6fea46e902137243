"""``otel-callbacks demo``: a sample app, a flower shop, with its telemetry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli._common import missing, refuse, within

if TYPE_CHECKING:
    import argparse

# Packages of the extra that the demo imports.
_NEEDED: Final = (
    "langchain_openai",
    "opentelemetry.instrumentation.httpx",
    "rich",
    "starlette",
    "uvicorn",
)

_whole = within(int, lambda number: number >= 0, "a whole number from 0 on")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = (
        "Run LangChain's ChatOpenAI against a fake provider on this "
        "machine and show the traces, the tokens and where to look at them."
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="also write the traces to a self-contained HTML page",
    )
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=_whole,
        default=1,
        help="rounds of traffic; 0 for no limit (default: 1)",
    )
    parser.add_argument(
        "--keep-serving",
        action="store_true",
        help="serve /metrics and /healthz after the last round, until Ctrl-C",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=7,
        help="the same number gives the same questions and delays (default: 7)",
    )
    parser.add_argument(
        "--real",
        action="store_true",
        help="call the real provider with OPENAI_API_KEY and OPENAI_BASE_URL; this "
        "costs money",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="gpt-4o-mini",
        help="the model for --real (default: gpt-4o-mini)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    if refusal := _refusal(options):
        return refuse("demo", refusal)
    # Imported here because it needs the extra and is slow to import.
    from otel_callbacks.cli.demo.show import show  # noqa: PLC0415

    return show(options)


def _refusal(options: argparse.Namespace) -> str:
    """Return why the demo cannot run, or an empty string."""
    if why := missing(*_NEEDED):
        return why
    if options.real and not os.environ.get("OPENAI_API_KEY", "").strip():
        return (
            "--real calls the provider: set OPENAI_API_KEY, and OPENAI_BASE_URL "
            "if it is not OpenAI's own"
        )
    if options.html and not options.html.absolute().parent.is_dir():
        return f"--html {options.html}: there is no folder {options.html.parent}"
    return ""
