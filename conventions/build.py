"""Write ``metrics.yaml`` from the table of series; ``make registry`` runs it.

A test compares the file with this module's text, so that no metric is stated twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from otel_callbacks._metrics.series import ATTRIBUTES, SERIES, Series

METRICS = Path(__file__).resolve().parent / "metrics.yaml"

_HEADER = """\
# Written by build.py from otel_callbacks/_metrics/series.py: change the table there,
# then run make registry.
"""
_INSTRUMENTS = {"gauge": "updowncounter"}


def metric(series: Series) -> dict[str, Any]:
    """Return a series as Weaver's registry defines it, all attributes recommended.

    Args:
        series: A series that the conventions lack.
    """
    attributes = [
        {"ref": ATTRIBUTES[label], "requirement_level": "recommended"}
        for label in series.labels
    ]
    return {
        "name": series.metric,
        "instrument": _INSTRUMENTS.get(series.kind, series.kind),
        "unit": series.metric_unit,
        "brief": series.help,
        "stability": "development",
    } | ({"attributes": attributes} if attributes else {})


def metrics() -> str:
    """Return the text of ``metrics.yaml``."""
    document = {
        "file_format": "definition/2",
        "metrics": [metric(series) for series in SERIES if series.is_ours],
    }
    return _HEADER + yaml.safe_dump(document, sort_keys=False, width=100)


if __name__ == "__main__":
    METRICS.write_text(metrics(), encoding="utf-8")
