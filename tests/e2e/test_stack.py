"""Traces through the Collector into Jaeger and Prometheus, with the defaults."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import pytest
from answers import exemplars, get, samples, total, trace
from opentelemetry import trace as api
from opentelemetry.trace import SpanKind, StatusCode
from processes import eventually
from telemetry import chat, measuring, sending, trace_id

if TYPE_CHECKING:
    from stack import Stack

pytestmark = pytest.mark.e2e


def test_trace_reaches_jaeger_whole(stack: Stack) -> None:
    """A root and its children keep names, parents and numbers."""
    with sending(stack.address("grpc"), "whole") as tracer:
        root = tracer.start_span("bouquet")
        with api.use_span(root, end_on_exit=True):
            for _ in range(3):
                chat(tracer).end()
    spans = eventually(
        lambda: trace(stack.url("jaeger_http"), trace_id(root)), "the trace in Jaeger"
    )
    parent = next(span for span in spans if span.name == "bouquet")
    calls = [span for span in spans if span.name == "chat gpt-4.1"]
    assert [span.parent_id for span in calls] == [parent.span_id] * 3
    assert {span.service for span in spans} == {"whole"}
    assert all(span.attributes["gen_ai.usage.input_tokens"] == 12 for span in calls)


def test_span_metrics_count_every_span(stack: Stack) -> None:
    """Span metrics count calls by model and status, with the Monitor tab's names."""
    with sending(stack.address("grpc"), "counted") as tracer:
        for number in range(5):
            call = chat(tracer)
            if number == 0:
                call.set_status(StatusCode.ERROR, "RateLimitError")
            call.end()
    query = 'traces_span_metrics_calls_total{service_name="counted"}'
    eventually(
        lambda: total(stack.url("prometheus"), f"sum({query})") == 5, "five calls"
    )
    found = {
        each["labels"]["status_code"]: (
            each["value"],
            each["labels"]["span_kind"],
            each["labels"]["gen_ai_request_model"],
            each["labels"]["gen_ai_provider_name"],
            each["labels"]["gen_ai_operation_name"],
        )
        for each in samples(stack.url("prometheus"), query)
    }
    assert found == {
        "STATUS_CODE_UNSET": (4, "SPAN_KIND_CLIENT", "gpt-4.1", "openai", "chat"),
        "STATUS_CODE_ERROR": (1, "SPAN_KIND_CLIENT", "gpt-4.1", "openai", "chat"),
    }


def test_span_metrics_reach_beyond_two_minutes(stack: Stack) -> None:
    """A call of 130 seconds is in a bucket with an upper bound."""
    with sending(stack.address("grpc"), "slow") as tracer:
        now = time.time_ns()
        tracer.start_span("chat slow", start_time=now - 130 * 10**9).end(now)
    query = (
        "histogram_quantile(1, sum by (le) "
        '(traces_span_metrics_duration_milliseconds_bucket{service_name="slow"}))'
    )
    eventually(lambda: total(stack.url("prometheus"), query) == 180e3, "180 seconds")


def test_exemplar_of_span_metrics_opens_in_jaeger(stack: Stack) -> None:
    """An exemplar's trace id is a trace that Jaeger has."""
    began = time.time()
    with sending(stack.address("grpc"), "exemplary") as tracer:
        call = chat(tracer)
        call.end()
    query = 'traces_span_metrics_duration_milliseconds_bucket{service_name="exemplary"}'
    named = eventually(
        lambda: exemplars(stack.url("prometheus"), query, began - 60, time.time() + 60),
        "an exemplar",
    )
    assert set(named) == {trace_id(call)}
    spans = eventually(lambda: trace(stack.url("jaeger_http"), named[0]), "the trace")
    assert [span.name for span in spans] == ["chat gpt-4.1"]


def test_who_gives_up_does_not_fail(stack: Stack) -> None:
    """Cancelled spans are errors in Jaeger, but not in the span metrics."""
    given_up = ("cancelled", "abandoned", "asyncio.exceptions.CancelledError")
    with sending(stack.address("grpc"), "patient") as tracer:
        for why in (*given_up, "TimeoutError", "RateLimitError"):
            call = chat(tracer, error__type=why)
            call.set_status(StatusCode.ERROR, why)
            call.end()
    query = 'traces_span_metrics_calls_total{service_name="patient"}'
    url = stack.url("prometheus")
    eventually(lambda: total(url, f"sum({query})") == 5, "five calls")
    found = {
        each["labels"]["error_type"]: each["labels"]["status_code"]
        for each in samples(url, query)
    }
    assert found == {
        **dict.fromkeys(given_up, "STATUS_CODE_UNSET"),
        "TimeoutError": "STATUS_CODE_ERROR",
        "RateLimitError": "STATUS_CODE_ERROR",
    }
    stored = eventually(
        lambda: trace(stack.url("jaeger_http"), trace_id(call)), "the last trace"
    )
    assert stored[0].failed


def test_monitor_tab_has_the_truth_in_milliseconds(stack: Stack) -> None:
    """Jaeger's Monitor tab shows the calls, and their length in its own unit."""
    took = 1_440  # milliseconds, between the bounds 1,250 and 1,500
    for _ in range(2):  # a rate needs an increase that a scrape has seen
        with sending(stack.address("grpc"), "monitored") as tracer:
            for _ in range(3):
                now = time.time_ns()
                tracer.start_span(
                    "chat gpt-4.1",
                    kind=SpanKind.CLIENT,
                    start_time=now - took * 1_000_000,
                ).end(now)
        time.sleep(2.5)

    def points(metric: str, **more: str) -> list[float]:
        found = get(
            f"{stack.url('jaeger_http')}/api/metrics/{metric}",
            service="monitored",
            spanKind="client",
            step="1000",
            lookback="60000",
            ratePer="60000",
            **more,
        )
        return [
            point["gaugeValue"]["doubleValue"]
            for metric in found["metrics"]
            for point in metric["metricPoints"]
            if point["gaugeValue"]["doubleValue"] not in (0, "NaN")
        ]

    assert eventually(lambda: points("calls"), "calls in the Monitor tab")
    latencies = eventually(lambda: points("latencies", quantile="0.95"), "latencies")
    assert all(1_250 < latency <= 1_500 for latency in latencies), latencies


def test_pushed_metrics_have_the_scraped_names(stack: Stack) -> None:
    """Pushed metrics have the same series as a scrape of the app."""
    labels = {"gen_ai.request.model": "gpt-4.1", "gen_ai.token.type": "input"}
    with measuring(stack.address("grpc"), "pushed") as meter:
        meter.create_counter("otel_callbacks.tokens", "{token}").add(7, labels)
        meter.create_histogram("gen_ai.client.operation.duration", "s").record(
            0.2, labels
        )
    url = stack.url("prometheus")
    for series, value in (
        ("otel_callbacks_tokens_total", 7),
        ("gen_ai_client_operation_duration_seconds_count", 1),
        ("gen_ai_client_operation_duration_seconds_sum", 0.2),
    ):
        query = f'{series}{{job="pushed"}}'
        found = eventually(partial(samples, url, query), query)
        assert [each["value"] for each in found] == [value]
        assert (
            found[0]["labels"].items()
            >= {
                "gen_ai_request_model": "gpt-4.1",
                "gen_ai_token_type": "input",
                "service_name": "pushed",
            }.items()
        )


def test_every_target_is_read(stack: Stack) -> None:
    """Prometheus scrapes Collector, Jaeger and itself by the committed jobs."""
    eventually(
        lambda: (
            {
                each["labels"]["job"]
                for each in samples(stack.url("prometheus"), "up == 1")
            }
            >= {"otel-collector", "jaeger", "prometheus"}
        ),
        "all targets up",
    )


def test_alerts_read_series_that_the_servers_have(stack: Stack) -> None:
    """The Collector's own series have the names and labels that the alerts use."""
    with sending(stack.address("grpc"), "named") as tracer:
        chat(tracer).end()
    for series in (
        'otelcol_receiver_refused_spans_total{receiver="otlp",transport="grpc"}',
        'otelcol_exporter_sent_spans_total{exporter="otlp_grpc/jaeger"}',
        'otelcol_exporter_queue_size{exporter="otlp_grpc/jaeger",data_type="traces"}',
        'otelcol_exporter_queue_capacity{exporter="otlp_grpc/jaeger",data_type="traces"}',
        "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total",
    ):
        eventually(partial(samples, stack.url("prometheus"), series), series)


def test_collector_starts_without_a_complaint(stack: Stack) -> None:
    """The configuration has no deprecated name and no unknown key."""
    log = stack.collector.logged()
    assert "deprecat" not in log.lower()
    assert "Everything is ready" in log


def test_rules_are_loaded_and_healthy(stack: Stack) -> None:
    """Prometheus evaluates every rule without an error."""
    url = f"{stack.url('prometheus')}/api/v1/rules"

    def unhealthy() -> dict[str, str]:
        groups = get(url)["data"]["groups"]
        return {
            rule["name"]: f"{rule['health']}: {rule.get('lastError')}"
            for group in groups
            for rule in group["rules"]
            if rule["health"] != "ok"
        }

    for _ in range(3):  # a rule may fail only once there is something to read
        time.sleep(1)
        assert {name: why for name, why in unhealthy().items() if "err" in why} == {}
    eventually(lambda: not unhealthy(), "all rules evaluated")
