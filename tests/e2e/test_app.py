"""The whole path: an app with ``configure()``, observed in every server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from answers import exemplars, samples, total, trace
from processes import eventually
from stack import HERE
from waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from answers import Span
    from stack import Stack

pytestmark = pytest.mark.e2e

_OWN = 'job="app"'  # other tests push series of the same names


@dataclass(frozen=True, slots=True)
class _App:
    """The app's report, and the servers' addresses.

    Args:
        did: Its report.
        began: Unix seconds.
        jaeger: The URL of Jaeger.
        prometheus: The URL of Prometheus.
    """

    did: dict[str, Any]
    began: float
    jaeger: str
    prometheus: str

    def trace(self, trace_id: str, spans: int) -> list[Span]:
        """Return a trace of the app when Jaeger has all of it."""

        def found() -> list[Span]:
            stored = trace(self.jaeger, trace_id)
            return stored if len(stored) >= spans else []

        return eventually(found, f"{spans} spans of {trace_id} in Jaeger")


@pytest.fixture(scope="module")
def app(stack: Stack) -> Iterator[_App]:
    """The flower shop, run once, serving its series until the tests are done."""
    began = time.time()
    complaint = stack.folder / "app.log"
    with complaint.open("w") as errors:
        running = subprocess.Popen(  # noqa: S603 -- our own app
            [sys.executable, HERE / "apps/flower_shop.py"],
            env={
                **{
                    name: os.environ[name]
                    for name in ("PATH", "HOME")
                    if name in os.environ
                },
                "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
                "OTEL_BSP_SCHEDULE_DELAY": "500",
                "OTEL_CALLBACKS_STRICT": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert running.stdin is not None
    assert running.stdout is not None
    try:
        report = running.stdout.readline()
        assert report, f"the app ended: {complaint.read_text()}"
        did = json.loads(report)
        yield _App(did, began, stack.url("jaeger_http"), stack.url("prometheus"))
        running.stdin.close()
        assert running.wait(WAIT_S) == 0
    finally:
        running.kill()
        running.wait(WAIT_S)
        running.stdout.close()
        running.stdin.close()


def _equal(prometheus: str, query: str, expected: float) -> bool:
    """Return whether a PromQL expression has this value now."""
    return total(prometheus, query) == expected


def test_three_calls_overlap_with_http_children(app: _App) -> None:
    """Three concurrent chat spans of one trace each have their own HTTP span."""
    for trace_id in app.did["traces"]:
        spans = app.trace(trace_id, 7)
        by_name = {span.name: span for span in spans}
        calls = [span for span in spans if span.name == "chat gpt-4.1-mini"]
        assert [span.parent_id for span in calls] == [by_name["bouquet"].span_id] * 3
        assert all(one.overlaps(other) for one, other in combinations(calls, 2))
        requests = [span for span in spans if span.name == "POST"]
        assert sorted(span.parent_id for span in requests) == sorted(
            span.span_id for span in calls
        )
        assert {span.service for span in spans} == {"flower-shop-e2e"}


def test_counters_equal_what_the_results_say(app: _App) -> None:
    """Tokens and calls in Prometheus equal the app's results exactly."""
    for kind, expected in app.did["tokens"].items():
        query = (
            f'sum(otel_callbacks_tokens_total{{{_OWN}, gen_ai_token_type="{kind}"}})'
        )
        eventually(partial(_equal, app.prometheus, query, expected), query)
    for query, expected in (
        (
            f'sum(otel_callbacks_operations_total{{{_OWN}, outcome="ok"}})',
            app.did["calls"],
        ),
        (f"sum(otel_callbacks_operations_in_flight{{{_OWN}}})", 0),
    ):
        eventually(partial(_equal, app.prometheus, query, expected), query)
    spent = sum(
        span.attributes[f"gen_ai.usage.{kind}_tokens"]
        for trace_id in app.did["traces"]
        for span in app.trace(trace_id, 7)
        if span.name == "chat gpt-4.1-mini"
        for kind in ("input", "output")
    )
    assert 0 < spent < sum(app.did["tokens"].values())


def test_exemplar_of_a_call_opens_in_jaeger(app: _App) -> None:
    """An exemplar on the latency panel leads to a trace in Jaeger with a model call."""
    series = f"gen_ai_client_operation_duration_seconds_bucket{{{_OWN}}}"
    named = eventually(
        lambda: exemplars(app.prometheus, series, app.began, time.time() + 60),
        "an exemplar",
    )
    known = {*app.did["traces"], app.did["failed_trace"]}
    opened = [each for each in named if each in known]
    assert opened
    assert "chat gpt-4.1-mini" in {span.name for span in app.trace(opened[0], 1)}


def test_failure_is_seen_everywhere(app: _App) -> None:
    """A refused call has an error span with only the type, and a count by class."""
    spans = app.trace(app.did["failed_trace"], 3)
    call = next(span for span in spans if span.name == "chat gpt-4.1-mini")
    assert call.failed
    assert call.attributes["error.type"] == app.did["failure"]
    assert "Rate limit reached" not in repr(spans)
    failed = f'otel_callbacks_operations_total{{{_OWN}, outcome="error"}}'
    found = eventually(lambda: samples(app.prometheus, failed), "the failed call")
    assert [(each["labels"]["error_class"], each["value"]) for each in found] == [
        ("rate_limited", 1.0)
    ]


def test_recording_rules_have_values(app: _App) -> None:
    """Recording rules have values that are computed from the app's series."""
    for rule in (
        "provider_model:otel_callbacks_operations:rate5m",
        "provider_model_type:otel_callbacks_tokens:rate5m",
        "provider_model:gen_ai_client_operation_duration_seconds:p95_5m",
    ):
        query = f'{rule}{{gen_ai_request_model="gpt-4.1-mini"}} > 0'
        eventually(partial(samples, app.prometheus, query), rule)


def test_key_and_questions_are_nowhere(app: _App) -> None:
    """Jaeger stores neither the API key nor a question."""
    everything = repr([app.trace(each, 7) for each in app.did["traces"]])
    for secret in ("sk-flower-shop", "婚礼", "last longest", "Peonies"):
        assert secret not in everything
