"""What the tests of the export share: a receiver, and loggers left as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from otlp_receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a running OTLP receiver."""
    with Receiver() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what the environment of the tests says about OTLP."""
    for signal in ("", "TRACES_", "METRICS_", "LOGS_"):
        for what in ("ENDPOINT", "PROTOCOL"):
            monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{signal}{what}", raising=False)
