"""Web servers: the service stays up, every call is a span, sums over workers agree."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Scene

CALLS = 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn(scene: Scene, number: int) -> None:
    """A single process ends by the signal, after the app's lifespan."""
    scene.start("-m", "uvicorn", "fastapi_app:app", "--port", str(scene.port))
    scene.ask(CALLS)
    scene.end(number)
    scene.check(CALLS, lines=1)


def test_uvicorn_with_workers(scene: Scene) -> None:
    """Both workers start, and only one has the default port."""
    port = ("--port", str(scene.port))
    scene.start("-m", "uvicorn", "fastapi_app:app", *port, "--workers", "2")
    scene.ask(CALLS)
    scene.end()
    scene.check(CALLS, lines=2)


def test_uvicorn_with_reload(scene: Scene) -> None:
    """The process that watches files does not use the port."""
    port = ("--port", str(scene.port))
    scene.start("-m", "uvicorn", "fastapi_app:app", *port, "--reload")
    scene.ask(CALLS)
    scene.end()
    scene.check(CALLS, lines=2)


def test_uvicorn_run(scene: Scene) -> None:
    """`python app.py` imports the app twice in one process, with one handler."""
    scene.start("-m", "fastapi_app")
    scene.ask(CALLS)
    scene.end()
    scene.check(CALLS, lines=1)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize(
    "how",
    [
        ("-w", "2"),
        ("-w", "2", "--preload"),
        ("-w", "2", "-k", "gthread", "--threads", "4"),
    ],
)
def test_gunicorn(scene: Scene, how: tuple[str, ...], protocol: str) -> None:
    """All workers start, and none is killed at the end."""
    scene.protocol = protocol
    bind = ("-b", f"127.0.0.1:{scene.port}")
    scene.start("-m", "gunicorn", "flask_app:app", *bind, *how)
    scene.ask(CALLS)
    assert scene.end() == 0
    scene.check(CALLS, lines=3)
    assert "SIGKILL" not in scene.log()
    assert "failed to boot" not in scene.log()


def test_flask_with_its_reloader(scene: Scene) -> None:
    """Flask imports the app in two processes, and one of them serves."""
    scene.more = {"OTEL_METRIC_EXPORT_INTERVAL": "500"}
    scene.start("-m", "flask_app")
    scene.ask(CALLS)
    # At Ctrl-C the one that watches files kills the other after a quarter of a second,
    # so what is sent by then is what the intervals have sent.
    reported = scene.provider.total_usage
    scene.receiver.wait_for(lambda: len(scene.receiver.names()) == CALLS)
    scene.receiver.wait_for(
        lambda: (
            reported.input + reported.output
            == sum(scene.receiver.sums("otel_callbacks.tokens").values())
        )
    )
    scene.interrupt()
    scene.check(CALLS, lines=2)
