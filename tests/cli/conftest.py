"""Fixtures of the commands of money; the servers beside this file are importable."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report_servers import serving, spend_of_a_day  # importable by the line above

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _a_terminal_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the variables of this machine out, and print for one width."""
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture
def metrics() -> Iterator[str]:
    """Give the address of an app's series."""
    with serving(spend_of_a_day()) as url:
        yield url
