"""Each signal has its own protocol, endpoint and exporter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from otlp_receiver import Receiver
from prometheus_client import CollectorRegistry

from otel_callbacks import configure
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = ("traces", "metrics", "logs")


@pytest.fixture
def send(
    monkeypatch: pytest.MonkeyPatch, nothing_is_set_up: None
) -> Callable[..., None]:
    """Return what makes a call in a process with these variables, and ends it."""
    del nothing_is_set_up

    def send(**variables: str) -> None:
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp")
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", "true")
        for name, value in variables.items():
            monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
        with configure(registry=CollectorRegistry()) as handler:
            FakeChatModel(callbacks=[handler]).invoke("Roses?")

    return send


@pytest.mark.parametrize("signal", SIGNALS)
def test_each_signal_has_its_own_protocol(
    signal: str, receiver: Receiver, send: Callable[..., None]
) -> None:
    """The variable of the signal holds for it alone."""
    send(
        ENDPOINT=receiver.url("http/protobuf"),
        PROTOCOL="http/protobuf",
        **{
            f"{signal.upper()}_ENDPOINT": receiver.url("grpc"),
            f"{signal.upper()}_PROTOCOL": "grpc",
        },
    )
    protocols = dict(receiver.protocols)
    assert protocols.pop(signal) == "grpc"
    assert protocols == dict.fromkeys({*SIGNALS} - {signal}, "http/protobuf")


@pytest.mark.parametrize("signal", SIGNALS)
def test_the_endpoint_of_the_signal_comes_first(
    signal: str, receiver: Receiver, send: Callable[..., None]
) -> None:
    """The others go to the general one."""
    with Receiver() as own:
        send(
            ENDPOINT=receiver.url("grpc"),
            **{f"{signal.upper()}_ENDPOINT": own.url("grpc")},
        )
        assert {kind for kind, _ in own.protocols} == {signal}
    assert {kind for kind, _ in receiver.protocols} == {*SIGNALS} - {signal}
