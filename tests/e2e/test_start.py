"""Log lines of servers that cannot start or cannot be reached."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from answers import get, samples
from processes import Server, eventually
from stack import Stack
from telemetry import Sender, chat

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("server", "port"),
    [("collector", "grpc"), ("jaeger", "jaeger_http"), ("prometheus", "prometheus")],
)
def test_taken_port_is_named(own_stack: Stack, server: str, port: str) -> None:
    """A server whose port is in use ends, and its log has the port."""
    host, _, number = own_stack.address(port).partition(":")
    started: Server = getattr(own_stack, server)
    with socket.create_server((host, int(number))):
        started.launch()
        assert started.ended() != 0
    assert (
        f"{own_stack.address(port)}: bind: address already in use" in started.logged()
    )


def test_unwritable_queue_is_named(tmp_path: Path) -> None:
    """A Collector that cannot make its queue's folder ends and names the folder."""
    (tmp_path / "volume").write_text("a file is in the folder's place")
    stack = Stack(tmp_path / "stack", COLLECTOR_STORAGE=str(tmp_path / "volume"))
    stack.collector.launch()
    assert stack.collector.ended() != 0
    assert f"{tmp_path / 'volume'}" in stack.collector.logged()
    assert "not a directory" in stack.collector.logged()


def test_unwritable_badger_is_named(own_stack: Stack) -> None:
    """A Jaeger that cannot make its store's folder ends and names the folder."""
    (own_stack.folder / "badger").write_text("a file is in the folder's place")
    own_stack.jaeger.launch()
    assert own_stack.jaeger.ended() != 0
    assert f"{own_stack.folder / 'badger'}" in own_stack.jaeger.logged()


def test_unknown_value_of_a_switch_is_refused(tmp_path: Path) -> None:
    """An invalid number is refused at the start with the setting's name."""
    stack = Stack(tmp_path, COLLECTOR_KEEP_PERCENT="most")
    stack.collector.launch()
    assert stack.collector.ended() != 0
    assert "sampling_percentage" in stack.collector.logged()


def test_jaeger_down_is_named_by_the_collector(own_stack: Stack) -> None:
    """The Collector logs the address that it cannot reach, and continues."""
    own_stack.collector.start()
    sender = Sender(own_stack.address("grpc"), "unheard")
    with sender.batch() as tracer:
        chat(tracer).end()
    assert sender.accepted
    wanted = f"{own_stack.address('jaeger_otlp')}: connect: connection refused"
    eventually(lambda: wanted in own_stack.collector.logged(), "the address in the log")
    get(own_stack.url("health"))


def test_collector_down_is_named_by_prometheus(own_stack: Stack) -> None:
    """The target is down with a reason, and its alert is pending."""
    own_stack.prometheus.start()
    url = own_stack.url("prometheus")

    def error() -> str:
        targets = get(f"{url}/api/v1/targets")["data"]["activeTargets"]
        return "".join(
            target["lastError"]
            for target in targets
            if target["labels"]["job"] == "otel-collector"
        )

    wanted = f"{own_stack.address('metrics')}: connect: connection refused"
    eventually(lambda: wanted in error(), "the address in the target's error")
    query = 'ALERTS{alertname="TelemetryTargetDown", job="otel-collector"}'
    eventually(lambda: samples(url, query), "the alert")
