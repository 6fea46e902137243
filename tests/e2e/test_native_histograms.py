"""Boards and rules read exponential histograms, which Prometheus keeps as native."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from answers import samples, total
from boards import Board
from one_call import one_call_app
from processes import eventually

if TYPE_CHECKING:
    from stack import Stack

pytestmark = pytest.mark.e2e

_SETTING = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
_NATIVE = "gen_ai_client_operation_duration_seconds"
_RULE = "provider_model:gen_ai_client_operation_duration_seconds:p95_5m"


def test_boards_read_native_histograms(own_stack: Stack) -> None:
    """With one setting no buckets are stored, and the panels have their values."""
    own_stack.start()
    since = time.time()
    url = own_stack.url("prometheus")
    more = {_SETTING: "base2_exponential_bucket_histogram"}
    with one_call_app(own_stack, "otlp", **more) as call:
        for _ in range(5):
            call()
            time.sleep(0.5)
        query = f'histogram_count({_NATIVE}{{job="one-call"}})'
        eventually(lambda: total(url, f"sum({query})") == 5, query)
        assert samples(url, f'{_NATIVE}_bucket{{job="one-call"}}') == []
        eventually(lambda: samples(url, f"{_RULE} > 0"), _RULE)
        board = Board("llm", url, own_stack.url("jaeger_http"), since)
        answers = board.answers()
    for title in (
        *("Latency, p95", "Latency", "Latency by model, p95"),
        *("Distribution of latency", "Tokens of one call", "Models"),
        "Output tokens a second of a call",
    ):
        assert not answers[title].is_empty, title
        assert not answers[title].trouble, title
    assert 0 < answers["Latency, p95"].value < 5
