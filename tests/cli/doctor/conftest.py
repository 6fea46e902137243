"""Fixtures of the doctor's tests; the servers beside this file are importable."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from otel_callbacks.cli.doctor import backends as doctor_jaeger
from otel_callbacks.cli.doctor import probe as doctor_probe
from otel_callbacks.cli.doctor.probe import Check, Deadline

sys.path.insert(0, str(Path(__file__).resolve().parent))

from loopback_servers import FakeStack  # importable by the line above

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's variables, and shorten the time limits."""
    for name in os.environ:
        if name.startswith(("OTEL_", "LANGSMITH_", "LANGCHAIN_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(doctor_jaeger, "_GRACE_SECONDS", 0.0)
    monkeypatch.setattr(doctor_probe, "_POLL_SECONDS", 0.01)


@pytest.fixture
def stack() -> Iterator[FakeStack]:
    """All servers, without faults."""
    with FakeStack() as servers:
        yield servers


@pytest.fixture
def check() -> Check:
    """A hop with a generous time limit."""
    return Check(Deadline(30))
