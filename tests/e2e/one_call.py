"""Run the app that makes one call for each line of its input."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stack import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack import Stack

_ENDS_WITHIN = 60


@contextmanager
def one_call_app(
    stack: Stack, exporter: str, **more: str
) -> Iterator[Callable[[], None]]:
    """Run the app, scraped or pushing, and return a function that makes one call.

    Args:
        stack: Where it sends.
        exporter: ``prometheus`` or ``otlp``.
        more: Further variables.
    """
    running = subprocess.Popen(  # noqa: S603 -- our own app
        [sys.executable, HERE / "apps/one_call.py"],
        env={
            **{key: value for key, value in os.environ.items() if "OTEL" not in key},
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
            "OTEL_METRICS_EXPORTER": exporter,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
            "OTEL_CALLBACKS_STRICT": "1",
            **more,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdin is not None
    assert running.stdout is not None

    def call() -> None:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write("\n")
        running.stdin.flush()
        assert running.stdout.readline() == "called\n"

    try:
        assert running.stdout.readline() == "ready\n"
        yield call
        running.stdin.close()
        assert running.wait(_ENDS_WITHIN) == 0
    finally:
        running.kill()
        running.wait(_ENDS_WITHIN)
        running.stdout.close()
        running.stdin.close()
