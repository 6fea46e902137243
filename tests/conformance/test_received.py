"""The receiver takes what the SDK's own exporters send, and sorts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from measure import crafted
from measure.received import Receiver
from measure.values import as_dict, plain
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Listen on a free port."""
    with Receiver() as listening:
        yield listening


def _resource(service: str) -> Resource:
    """Return the resource of one app."""
    return Resource.create({"service.name": service})


def test_spans_of_two_apps_are_kept_apart(receiver: Receiver) -> None:
    """Each app finds its own spans under its service name."""
    for service in ("one", "two"):
        exporter = OTLPSpanExporter(endpoint=receiver.endpoint)
        provider = TracerProvider(resource=_resource(service))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("t").start_span(f"span of {service}").end()
        provider.shutdown()
    for service in ("one", "two"):
        spans = receiver.received(service).each_span()
        assert [span.name for span in spans] == [f"span of {service}"]


def test_metrics_and_records_come_with_their_resource(receiver: Receiver) -> None:
    """Points and records are what the SDK has exported."""
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(endpoint=receiver.endpoint)
    )
    meters = MeterProvider([reader], resource=_resource("one"))
    meters.get_meter("m").create_histogram("sold", unit="s").record(1.0)
    meters.shutdown()
    loggers = LoggerProvider(resource=_resource("one"))
    exporter = OTLPLogExporter(endpoint=receiver.endpoint)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    loggers.get_logger("l").emit(event_name="shop.sold", body="a lily")
    loggers.shutdown()
    received = receiver.received("one")
    assert [metric.name for metric in received.each_metric()] == ["sold"]
    assert [record.event_name for record in received.each_record()] == ["shop.sold"]
    names = [
        plain(as_dict(resource.attributes)["service.name"])
        for resource in received.resources()
    ]
    assert names == ["one", "one"]


def test_values_come_back_as_they_were() -> None:
    """What OTLP carries is what was meant, structures too; nothing is None."""
    value = {"a": [1, 2.5, True, {"b": "c"}]}
    assert plain(crafted.value(value)) == value
    assert plain(crafted.AnyValue()) is None
    with pytest.raises(TypeError):
        crafted.value(object())


def test_who_has_sent_nothing_has_nothing(receiver: Receiver) -> None:
    """An unknown service is empty."""
    assert not list(receiver.received("nobody").resources())
