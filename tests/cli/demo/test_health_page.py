from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from otel_callbacks.cli.demo import health_page
from otel_callbacks.cli.demo.health_page import HealthPage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def served() -> Iterator[HealthPage]:
    """Return a running page."""
    registry = CollectorRegistry()
    Counter("flowers", "Flowers sold.", registry=registry).inc(3)
    page = HealthPage(registry, "127.0.0.1", 0)
    yield page
    page.stop()


def _health(served: HealthPage) -> tuple[int, dict[str, object]]:
    """Ask how it is."""
    answer = httpx.get(served.metrics_url.replace("/metrics", "/healthz"))
    return answer.status_code, answer.json()


def test_series_are_served_in_both_formats(served: HealthPage) -> None:
    """OpenMetrics when asked for, without a redirect."""
    plain = httpx.get(served.metrics_url)
    assert plain.status_code == 200
    assert "flowers_total 3.0" in plain.text
    accept = {"accept": "application/openmetrics-text"}
    assert httpx.get(served.metrics_url, headers=accept).text.endswith("# EOF\n")


def test_it_is_healthy_while_rounds_are_played(
    served: HealthPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traffic that has come to a stop is no health; an end that was meant is."""
    served.round_done()
    assert _health(served) == (200, {"status": "ok", "rounds": 1})
    monkeypatch.setattr(health_page, "_STUCK_SECONDS", -1.0)
    assert _health(served) == (503, {"status": "stuck", "rounds": 1})
    served.round_done(last=True)
    assert _health(served) == (200, {"status": "ok", "rounds": 2})
