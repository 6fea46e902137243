"""Write the dashboards as JSON, or check that the committed JSON is what they say.

``python deploy/grafana/build.py`` writes ``deploy/grafana/json/*.json``, which the
stack provisions; ``--check`` compares and exits with 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dashboards import agents, health, llm, remaining, spend
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from otel_callbacks._metrics.series import series_of
from otel_callbacks._semconv import REGISTRIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from grafana_foundation_sdk.models.dashboard import Dashboard

    from otel_callbacks._metrics.series import Series

ALL_SERIES: Final = dict.fromkeys(
    one for registry in REGISTRIES.values() for one in series_of(registry)
)
FOLDER: Final = Path(__file__).parent / "json"


def _text(board: Dashboard) -> str:
    """Write a board as JSON."""
    return json.dumps(board, cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"


def rendered(series: Iterable[Series] = ALL_SERIES) -> dict[Path, str]:
    """Render all dashboards.

    Args:
        series: What the package emits. A series that no panel reads is drawn by a panel
            in the row "More series" of the LLM calls.

    Returns:
        The text of each file.
    """
    boards = {
        "llm": _text(llm.build()),
        "agents": _text(agents.build()),
        "spend": _text(spend.build()),
        "health": _text(health.build()),
    }
    if others := remaining.not_read(series, "".join(boards.values())):
        boards["llm"] = _text(llm.build(remaining.rows(others)))
    return {FOLDER / f"{name}.json": text for name, text in boards.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check.

    Args:
        arguments: The command's arguments; those of the process by default.

    Returns:
        The exit code: 1 if a check found a difference.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="compare with the files, write nothing"
    )
    files = rendered()
    if not parser.parse_args(arguments).check:
        FOLDER.mkdir(exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        return 0
    stale = sorted(
        path.name
        for path, text in files.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    )
    unknown = sorted(path.name for path in set(FOLDER.glob("*.json")) - set(files))
    for name in stale:
        print(f"{name} is not what the code says: python deploy/grafana/build.py")
    for name in unknown:
        print(f"{name} has no code")
    return 1 if stale or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
