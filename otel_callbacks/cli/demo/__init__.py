"""``otel-callbacks demo``: a sample app, a flower shop, with its telemetry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli._common import refuse, require

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


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    require(*_NEEDED)
    if options.real and not os.environ.get("OPENAI_API_KEY", "").strip():
        refuse(
            "--real calls the provider: set OPENAI_API_KEY, and OPENAI_BASE_URL "
            "if it is not OpenAI's own"
        )
    if options.html and not options.html.absolute().parent.is_dir():
        refuse(f"--html {options.html}: there is no folder {options.html.parent}")
    # Imported here because it needs the extra and is slow to import.
    from otel_callbacks.cli.demo.show import show  # noqa: PLC0415

    return show(options)
