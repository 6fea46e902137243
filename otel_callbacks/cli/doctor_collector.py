"""The hop to the Collector: sends the spans as an app does, and says why it cannot."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_callbacks.cli.doctor_chain import trace_id
from otel_callbacks.cli.doctor_connection import (
    connect,
    plain_text_trouble,
    speaks_tls,
)
from otel_callbacks.cli.doctor_otlp import ask
from otel_callbacks.cli.doctor_report import Trouble
from otel_callbacks.cli.doctor_visit import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.cli.doctor_addresses import Address, Addresses
    from otel_callbacks.cli.doctor_otlp import Word
    from otel_callbacks.cli.doctor_visit import Visit

_OPTION: Final = "--collector"
_OTHER: Final = {"grpc": "http/protobuf", "http/protobuf": "grpc"}
_PORTS: Final = {"grpc": 4317, "http/protobuf": 4318}
_AUTHORITIES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
)
# What a server says -> why, and what to do.
_REFUSALS: Final = (
    (
        ("UNAUTHENTICATED", "PERMISSION_DENIED", "HTTP 401", "HTTP 403"),
        "the Collector wants a login",
        "Set OTEL_EXPORTER_OTLP_HEADERS, such as authorization=Bearer%20TOKEN.",
    ),
    (
        ("RESOURCE_EXHAUSTED", "HTTP 429", "HTTP 503"),
        "the Collector refuses for now: its memory limiter or its queue is full",
        (
            "Look at its log, at otelcol_receiver_refused_spans_total and at "
            "otelcol_exporter_queue_size: does it reach Jaeger and Prometheus?"
        ),
    ),
)


def send(
    visit: Visit, addresses: Addresses, protocol: str, spans: Sequence[ReadableSpan]
) -> Sent:
    """Send spans with OpenTelemetry's own exporter.

    Args:
        visit: The hop.
        addresses: Where to.
        protocol: ``grpc`` or ``http/protobuf``.
        spans: What to send.

    Raises:
        Trouble: The Collector did not take them; it says why.
    """
    word = greet(visit, addresses.collector, protocol)
    at, wall = time.monotonic(), time.time()
    with _quiet():
        exporter = _exporter(addresses, protocol, visit.deadline.request)
        try:
            result = exporter.export(spans)
        finally:
            exporter.shutdown()
    if result is not SpanExportResult.SUCCESS:
        raise _refused(word)
    return Sent(spans, trace_id(spans), at, wall)


def greet(visit: Visit, address: Address, protocol: str) -> Word:
    """Find out what speaks at the Collector's address, without sending a span.

    Args:
        visit: The hop.
        address: Where it is.
        protocol: ``grpc`` or ``http/protobuf``.

    Raises:
        Trouble: It cannot be reached, or does not speak the protocol.
    """
    authorities = next(filter(None, map(os.environ.get, _AUTHORITIES)), None)
    seconds = visit.deadline.request
    connect(address, _OPTION, seconds, authorities)
    word = ask(address, protocol, seconds, authorities)
    if word.takes:
        return word
    if not address.tls and speaks_tls(address, seconds):
        raise plain_text_trouble(address, _OPTION)
    if word.speaks:
        return word
    other = _OTHER[protocol]
    where = f"{address.host}:{address.port}"
    if ask(address, other, seconds, authorities).speaks:
        reason = f"wrong protocol on the port: {where} speaks {other}, we {protocol}"
        remedy = (
            f"Set OTEL_EXPORTER_OTLP_PROTOCOL={other}, or take the port for "
            f"{protocol}: {_PORTS[protocol]} by default."
        )
        raise Trouble(reason, remedy)
    reason = f"what listens on {where} speaks no OTLP ({word.said})"
    raise Trouble(reason, f"Is it the Collector's port? {_OPTION} URL.")


def _exporter(addresses: Addresses, protocol: str, seconds: float) -> SpanExporter:
    """Return the exporter that an app has, or one for the address that was chosen."""
    url = addresses.collector.url if addresses.chosen else None
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter as Grpc,
        )

        return Grpc(endpoint=url, timeout=seconds)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter as Http,
    )

    if url and not url.endswith("/v1/traces"):
        url = f"{url}/v1/traces"
    return Http(endpoint=url, timeout=seconds)


def _refused(word: Word) -> Trouble:
    """Return why the Collector did not take the spans."""
    for signs, reason, remedy in _REFUSALS:
        if word.said.startswith(signs):
            return Trouble(f"{reason} ({word.said})", remedy)
    # An empty request does not get as far as the memory limiter.
    reason = "the Collector answers, and refuses the spans"
    remedy = (
        "Is its memory limiter or its queue full (its log; "
        "otelcol_receiver_refused_spans_total; otelcol_exporter_queue_size)? Else "
        "check OTEL_EXPORTER_OTLP_HEADERS and _COMPRESSION."
    )
    return Trouble(f"{reason} ({word.said})", remedy)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters from logging what the doctor says itself."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
