"""The panels of a dashboard's JSON."""

from __future__ import annotations

from typing import Any


def panels_of(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a dashboard's panels without the rows; those of closed rows as well."""
    return [
        panel
        for placed in dashboard["panels"]
        for panel in (placed.get("panels") or [placed])
        if panel["type"] != "row"
    ]
