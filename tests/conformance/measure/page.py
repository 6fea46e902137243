"""The table in the documents, written anew by ``make conformance-page``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from measure.declared import HEAD, carried, table
from measure.floors import FLOORS
from measure.registry import registry
from measure.session import FOLDER, SCENARIOS, run

PAGE: Final = Path(__file__).parents[3] / "docs" / "conformance.md"


def with_table(page: str, measured: str) -> str:
    """Return a page with its table of the coverage replaced.

    Args:
        page: Its text.
        measured: The table.

    Raises:
        ValueError: The page has no such table.
    """
    lines = page.splitlines()
    first = lines.index(HEAD)
    last = next(
        (at for at in range(first, len(lines)) if not lines[at].startswith("|")),
        len(lines),
    )
    return "\n".join([*lines[:first], *measured.splitlines(), *lines[last:], ""])


def main() -> None:
    """Run the scenarios and write what they carry into the page."""
    ran = run([(name, FOLDER / f"{name}.py") for name in SCENARIOS])
    carried_by = {name: carried(registry(), one.received) for name, one in ran.items()}
    page = PAGE.read_text(encoding="utf-8")
    measured = table(registry(), carried_by, FLOORS)
    PAGE.write_text(with_table(page, measured), encoding="utf-8")


if __name__ == "__main__":
    main()
