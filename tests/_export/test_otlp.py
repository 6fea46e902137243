"""Each signal has its own protocol, endpoint and exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otel_callbacks import Settings
from otel_callbacks._export.otlp import LOGS, METRICS, TRACES, route

if TYPE_CHECKING:
    from otel_callbacks._export.otlp import Signal

SIGNALS = pytest.mark.parametrize("signal", [TRACES, METRICS, LOGS])


@SIGNALS
def test_each_signal_has_its_own_protocol(
    signal: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable of the signal holds for it alone."""
    variable = f"OTEL_EXPORTER_OTLP_{signal.name.upper()}_PROTOCOL"
    monkeypatch.setenv(variable, "http/protobuf")
    settings = Settings.from_env()
    protocols = {
        one.name: route(one, settings).protocol for one in (TRACES, METRICS, LOGS)
    }
    assert protocols.pop(signal.name) == "http/protobuf"
    assert set(protocols.values()) == {"grpc"}


@SIGNALS
def test_the_endpoint_of_the_signal_comes_first(
    signal: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the general one, then the protocol's usual one."""
    settings = Settings()
    assert route(signal, settings).target == "http://localhost:4317"
    http = Settings(protocol="http/protobuf")
    assert route(signal, http).target == "http://localhost:4318"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:1")
    found = route(signal, settings)
    assert (found.target, found.is_own_endpoint) == ("http://all:1", False)
    variable = f"OTEL_EXPORTER_OTLP_{signal.name.upper()}_ENDPOINT"
    monkeypatch.setenv(variable, "http://own:1")
    found = route(signal, settings)
    assert (found.target, found.is_own_endpoint) == ("http://own:1", True)


@SIGNALS
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_exporters_are_opentelemetrys(signal: Signal, protocol: str) -> None:
    """One for each signal and protocol."""
    exporter = route(signal, Settings(protocol=protocol)).exporter()
    assert type(exporter).__name__ == signal.exporter
    assert (".grpc." in type(exporter).__module__) == (protocol == "grpc")
    exporter.shutdown()
