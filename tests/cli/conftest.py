"""Fixtures for the commands; the servers beside this file are importable."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report_servers import serving, spend_of_a_day  # importable by the line above

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from prometheus_client import CollectorRegistry


@pytest.fixture(autouse=True)
def _fixed_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's OTel variables, and set the width of the terminal."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def metrics() -> Iterator[str]:
    """Serve an app's series and return their URL."""
    with serving(spend_of_a_day()) as url:
        yield url


@pytest.fixture
def serve() -> Callable[[CollectorRegistry], AbstractContextManager[str]]:
    """Return what serves an app's series at a URL."""
    return serving
