"""Warn at start about packages that an injected copy of this package lacks or hides.

OpenTelemetry's operator copies a folder into a Pod and puts it before the app's own
packages on the path. A missing package shows as one DEBUG line only, and a package that
is in both places hides the app's own version.
https://opentelemetry.io/docs/platforms/kubernetes/operator/automatic/
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED: Final = (
    "genai_prices",
    "langchain_core",
    "opentelemetry.exporter.otlp",
    "opentelemetry.sdk",
    "prometheus_client",
)

_logger = logging.getLogger(__name__)


def check_injection(folder: Path, path: Sequence[str]) -> None:
    """Log one warning if the injected folder does not fit the app."""
    injected = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(folder) not in injected:
        return
    found = [
        *(f"{name} is missing" for name in _NEEDED if not is_there(name)),
        *_hidden(folder, [each for each in path if each not in injected]),
    ]
    if found:
        _logger.warning(
            "The copy of otel_callbacks that was injected from %s does not fit this "
            "app: %s. What is missing is not traced, what is hidden may break the app. "
            "Build the image from deploy/kubernetes/injection, or install "
            "otel-callbacks in the app's own image",
            folder,
            "; ".join(found),
        )


def is_there(module: str) -> bool:
    """Return whether a module can be found. Imports its parent packages."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _hidden(folder: Path, others: list[str]) -> list[str]:
    """Return the app's packages that the folder has in another version."""
    ours = _versions([str(folder)])
    theirs = _versions(others)
    return [
        f"{name} {theirs[name]} of the app is hidden by {ours[name]}"
        for name in sorted(ours.keys() & theirs.keys())
        if ours[name] != theirs[name]
    ]


def _versions(folders: list[str]) -> dict[str, str]:
    """Return the installed versions by name; the first on the path wins."""
    found: dict[str, str] = {}
    for each in distributions(path=folders):
        # A folder that pip could not remove has no metadata.
        try:
            metadata: Any = each.metadata
            name, version = metadata.get("Name"), metadata.get("Version")
        except (AttributeError, TypeError, ValueError, OSError):
            continue
        if name and version:
            found.setdefault(re.sub("[-_.]+", "-", name).lower(), version)
    return found


check_injection(Path(__file__).resolve().parents[2], sys.path)
