"""What the tests of the export share: a receiver, and loggers left as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.util._once import Once
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


@pytest.fixture
def nothing_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a process in which nobody has set a provider."""
    from opentelemetry._logs import _internal as logs_state  # noqa: PLC0415
    from opentelemetry.metrics import _internal as metrics_state  # noqa: PLC0415

    for state, name in (
        (trace, "_TRACER_PROVIDER"),
        (logs_state, "_LOGGER_PROVIDER"),
        (metrics_state, "_METER_PROVIDER"),
    ):
        monkeypatch.setattr(state, name, None)
        monkeypatch.setattr(state, f"{name}_SET_ONCE", Once())
