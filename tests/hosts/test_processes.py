"""Scripts with children, and every kind of end."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Scene

PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])


@PROTOCOLS
@pytest.mark.parametrize("way", ["plain", "fork", "spawn", "executor", "os.fork"])
def test_children(scene: Scene, way: str, protocol: str) -> None:
    """Each child exports its own calls before it ends."""
    scene.protocol = protocol
    children = 0 if way == "plain" else 3
    scene.run("-m", "script", way, str(children))
    scene.check(1 + children, lines=1 + children)


@pytest.mark.parametrize("way", ["fork", "forkserver", "spawn"])
def test_children_that_set_up_by_themselves(scene: Scene, way: str) -> None:
    """Children that set up after the fork export without `atexit`."""
    scene.run("-m", "own_children", way, "3")
    scene.check(3, lines=3)


@PROTOCOLS
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)]
)
def test_signals(scene: Scene, number: int, code: int, protocol: str) -> None:
    """The last calls are exported, and the process ends as without a handler."""
    scene.protocol = protocol
    scene.start("-m", "script", "signal", "0")
    scene.receiver.wait_for(lambda: "ready" in scene.log())
    assert scene.end(number) == code
    scene.check(1, lines=1)


@PROTOCOLS
def test_a_process_that_is_frozen(scene: Scene, protocol: str) -> None:
    """A serverless host may freeze the process; after a flush nothing is missing."""
    scene.protocol = protocol
    scene.start("-m", "script", "freeze", "0")
    scene.receiver.wait_for(lambda: "ready" in scene.log())
    assert scene.receiver.names() == ["chat gpt-4o-mini"]
    scene.send(signal.SIGCONT)
    scene.receiver.wait_for(lambda: "again" in scene.log())
    assert scene.receiver.names() == ["chat gpt-4o-mini"] * 2
    scene.send(signal.SIGCONT)
    assert scene.wait() == 0
    scene.check(2, lines=1)


def test_a_worker_that_nobody_scrapes_logs_it(scene: Scene) -> None:
    """A worker that is forked after configure() and only scraped logs a warning."""
    scene.more = {"OTEL_METRICS_EXPORTER": "prometheus"}
    scene.run("-m", "script", "fork", "2")
    lines = [line for line in scene.log().splitlines() if "nobody scrapes" in line]
    assert len(lines) == 2
    assert all("OTEL_METRICS_EXPORTER=otlp" in line for line in lines)
    assert len(scene.receiver.names()) == 3


def test_a_port_that_was_set_is_refused(scene: Scene) -> None:
    """The message at the start names the setting."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        scene.more = {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
        scene.start("-m", "script", "plain", "0")
        assert scene.wait() == 1
    assert f"OTEL_EXPORTER_PROMETHEUS_PORT={port}: /metrics cannot" in scene.log()


@PROTOCOLS
def test_a_receiver_that_hangs_does_not_hold_the_end_up(
    scene: Scene, protocol: str
) -> None:
    """A receiver that never responds delays no exit, and one line is logged."""
    scene.protocol = protocol
    scene.more = {
        "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
        # Longer than any test may take: only giving up ends the process.
        "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
    }
    scene.receiver.release.clear()
    scene.run("-m", "script", "plain", "0")
    lines = [line for line in scene.log().splitlines() if "otel_callbacks:" in line]
    assert len([one for one in lines if "does not answer in time" in one]) == 1


@PROTOCOLS
def test_no_receiver(scene: Scene, protocol: str) -> None:
    """Without a receiver the script ends normally, and one line gives the reason."""
    scene.protocol = protocol
    scene.more = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    scene.run("-m", "script", "plain", "0")
    lines = [line for line in scene.log().splitlines() if "cannot be sent" in line]
    assert len(lines) == 1
    assert "the connection is refused" in lines[0]
