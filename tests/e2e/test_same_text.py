"""Prometheus stores the same series, scraped or pushed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from processes import eventually
from stack import HERE
from waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack import Stack

pytestmark = pytest.mark.e2e

_OURS = '{__name__=~"gen_ai_.+|otel_callbacks_.+",job="%s"}'
# What Prometheus itself adds: whose series they are, by a scrape's target or by the
# resource of what is pushed.
_WHOSE = ("job", "instance", "service_name", "service_instance_id")


@pytest.fixture
def prometheus(own_stack: Stack) -> Iterator[str]:
    """A Prometheus that scrapes an app and receives its pushes."""
    own_stack.start()
    running = subprocess.Popen(  # noqa: S603 -- our own app
        [sys.executable, HERE / "apps/both_ways.py"],
        env={
            **{key: value for key, value in os.environ.items() if "OTEL" not in key},
            "OTEL_EXPORTER_OTLP_ENDPOINT": own_stack.url("grpc"),
            "OTEL_METRICS_EXPORTER": "both",
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(own_stack.app_port),
            "OTEL_CALLBACKS_LABELS": "team",
            "OTEL_CALLBACKS_STRICT": "1",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        assert running.stdout.readline() == "ready\n"
        yield own_stack.url("prometheus")
        running.stdin.close()
        assert running.wait(WAIT_S) == 0
    finally:
        running.kill()
        running.wait(WAIT_S)
        running.stdout.close()
        running.stdin.close()


def _held(prometheus: str, job: str) -> dict[str, float]:
    """Return the series of one job in Prometheus as text, with their values."""
    query = urllib.parse.urlencode({"query": _OURS % job})
    address = f"{prometheus}/api/v1/query?{query}"
    with urllib.request.urlopen(address, timeout=WAIT_S) as answer:  # noqa: S310 -- loopback
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    held = {}
    for series in found:
        labels = {k: v for k, v in series["metric"].items() if k not in _WHOSE}
        # Prometheus writes the bucket of a whole number as 1.0 where it scrapes, and
        # as 1 where it is pushed to; that is the one difference in the text.
        if "le" in labels:
            labels["le"] = str(float(labels["le"]))
        held[json.dumps(labels, sort_keys=True)] = float(series["value"][1])
    return held


def _settled(prometheus: str, job: str) -> dict[str, float]:
    """Return the series when they include every call."""

    def found() -> dict[str, float]:
        held = _held(prometheus, job)
        calls = [v for k, v in held.items() if "otel_callbacks_operations_total" in k]
        return held if sum(calls) == 8 else {}

    return eventually(found, f"all calls of {job} in Prometheus")


def test_scraped_and_pushed_are_the_same_text(prometheus: str) -> None:
    """Names, labels, buckets and values are equal, scraped and pushed."""
    pushed = _settled(prometheus, "both-ways")
    scraped = _settled(prometheus, "app")
    # Only a scrape tells when a counter began.
    scraped = {text: value for text, value in scraped.items() if "_created" not in text}
    assert len(scraped) > 100
    assert sorted(pushed) == sorted(scraped)
    different = {
        text: (pushed[text], scraped[text])
        for text in scraped
        if pushed[text] != pytest.approx(scraped[text])
    }
    assert different == {}
