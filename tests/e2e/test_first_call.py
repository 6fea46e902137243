"""The first call of a series is on the boards, and the first after a restart, too."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from answers import samples, total
from processes import eventually
from stack import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack import Stack

pytestmark = pytest.mark.e2e

_ENDS_WITHIN = 60
_CALL = {
    "otel_callbacks_cost_usd_total": 0.45,
    "otel_callbacks_tokens_total": 1_500_000,
    "otel_callbacks_operations_total": 1,
    "gen_ai_client_operation_duration_seconds_count": 1,
    "gen_ai_client_token_usage_sum": 1_500_000,
}


@contextmanager
def _app(stack: Stack, exporter: str) -> Iterator[Callable[[], None]]:
    """Run the app, scraped or pushing, and give what makes one call."""
    running = subprocess.Popen(  # noqa: S603 -- our own app
        [sys.executable, HERE / "apps/one_call.py"],
        env={
            **{key: value for key, value in os.environ.items() if "OTEL" not in key},
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
            "OTEL_METRICS_EXPORTER": exporter,
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
            "OTEL_CALLBACKS_STRICT": "1",
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


def _seen(url: str, job: str, calls: int) -> None:
    """Wait until every series has risen by what the calls are.

    ``increase`` extrapolates: as time goes by the surplus of the first minutes shrinks.
    """
    for name, one in _CALL.items():
        query = f'sum(increase({name}{{job="{job}"}}[10m]))'
        eventually(
            lambda query=query, whole=calls * one: (  # type: ignore[misc]
                whole * 0.999 <= total(url, query) <= whole * 1.25
            ),
            f"{calls} times {one} in {query}",
            120,
        )


@pytest.mark.parametrize(
    ("exporter", "job"), [("prometheus", "app"), ("otlp", "one-call")]
)
def test_one_call_is_seen_and_one_after_a_restart(
    own_stack: Stack, exporter: str, job: str
) -> None:
    """45 cents are spent and 45 are shown, in both ways out, twice."""
    own_stack.start()
    url = own_stack.url("prometheus")
    runs = f'otel_callbacks_open_runs{{job="{job}"}}'
    with _app(own_stack, exporter) as call:
        eventually(lambda: samples(url, runs), "a scrape or push before the call")
        call()
        _seen(url, job, 1)
    with _app(own_stack, exporter) as call:
        call()
        _seen(url, job, 2)
