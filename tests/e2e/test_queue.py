"""The guarantees of the Collector's queue, with the Collector killed under load.

A request that is in the queue is on disk. Tail sampling holds a trace in memory
until its root has come and a short wait is over: what is in that window when the
Collector is killed was never promised, and is what these tests allow to be lost.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest
from answers import samples, trace
from opentelemetry import trace as api
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from processes import eventually
from stack import DEPLOY
from telemetry import Sender, chat, trace_id
from waiting import WAIT_S

if TYPE_CHECKING:
    from stack import Stack

pytestmark = pytest.mark.e2e

_WAIT = 1.0  # COLLECTOR_DECISION_WAIT_AFTER_ROOT of the tests
_TICK = 1.0  # the sampler looks once a second
_FLUSH = 0.5  # from the sampler to the disk


class _Load(threading.Thread):
    """Send traces one by one, and record when each was acknowledged."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[str, float] = {}
        self._sender = sender
        self._finished = threading.Event()

    def run(self) -> None:
        while not self._finished.wait(0.02):
            with self._sender.batch() as tracer:
                root = tracer.start_span("bouquet")
                with api.use_span(root, end_on_exit=True):
                    chat(tracer).end()
            if self._sender.accepted:
                self.acknowledged[trace_id(root)] = time.monotonic()

    def finish(self) -> None:
        """Stop sending and wait for the last response."""
        self._finished.set()
        self.join(WAIT_S)
        assert not self.is_alive()


def test_killed_collector_keeps_what_is_in_its_queue(own_stack: Stack) -> None:
    """With Jaeger down and the Collector killed and restarted, no trace is lost."""
    stack = own_stack
    stack.collector.start()
    load = _Load(Sender(stack.address("grpc"), "queued"))
    load.start()
    try:
        time.sleep(5)
        stack.collector.kill()
        killed = time.monotonic()
        time.sleep(0.5)
        stack.collector.start()
        restarted = time.monotonic()
        time.sleep(4)
    finally:
        load.finish()
    promised = {
        sent
        for sent, at in load.acknowledged.items()
        if at < killed - _WAIT - _TICK - _FLUSH or at > restarted
    }
    unpromised = set(load.acknowledged) - promised
    assert len(promised) > 50
    assert unpromised, "the Collector was killed under load"
    stack.jaeger.start()

    def missing() -> set[str]:
        url = stack.url("jaeger_http")
        return {sent for sent in promised if len(trace(url, sent)) != 2}

    eventually(lambda: not missing(), "every promised trace in Jaeger")


def test_orderly_stop_loses_nothing(own_stack: Stack) -> None:
    """A stopped Collector queues its traces, and the next one sends them."""
    stack = own_stack
    stack.collector.start()
    sender = Sender(stack.address("grpc"), "stopped")
    sent = []
    for _ in range(20):
        with sender.batch() as tracer:
            span = chat(tracer)
            span.end()
        assert sender.accepted
        sent.append(trace_id(span))
    stack.collector.stop()
    stack.jaeger.start()
    stack.collector.start()
    url = stack.url("jaeger_http")
    eventually(lambda: all(trace(url, each) for each in sent), "all twenty traces")


def test_metrics_wait_for_prometheus(own_stack: Stack) -> None:
    """Span metrics from the time when Prometheus was down arrive afterwards."""
    stack = own_stack
    stack.jaeger.start()
    stack.collector.start()
    sender = Sender(stack.address("grpc"), "patient")
    with sender.batch() as tracer:
        chat(tracer).end()
    time.sleep(2)
    stack.prometheus.start()
    query = 'traces_span_metrics_calls_total{service_name="patient"} == 1'
    eventually(lambda: samples(stack.url("prometheus"), query), "the one call")


def test_series_of_a_clock_that_is_ahead_are_lost_and_counted(own_stack: Stack) -> None:
    """As in docs/kubernetes.md, Prometheus refuses them, and they are counted."""
    stack = own_stack
    stack.prometheus.start()
    stack.collector.start()
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add()
    metric.name = "ahead"
    point = metric.gauge.data_points.add()
    point.as_int = 1
    point.time_unix_nano = time.time_ns() + 20 * 60 * 10**9
    url, kind = f"{stack.url('http')}/v1/metrics", "application/x-protobuf"
    sent = Request(url, request.SerializeToString(), {"Content-Type": kind})  # noqa: S310 -- our own server
    urlopen(sent).close()  # noqa: S310 -- our own server
    log = stack.folder / "collector.log"

    def is_logged() -> bool:
        lines = log.read_text().splitlines()
        return any(
            "Exporting failed. Dropping data." in line
            and "HTTP Status Code 400" in line
            for line in lines
        )

    eventually(is_logged, "the Collector's log says what it dropped")
    query = (
        'instance_exporter:otelcol_exporter_failed:sum{exporter=~".*prometheus"} > 0'
    )
    eventually(lambda: samples(stack.url("prometheus"), query), "the loss is counted")
    page = (DEPLOY.parent / "docs/kubernetes.md").read_text()
    assert "`Exporting failed. Dropping data.` with `HTTP Status Code 400`" in page
