"""The hop to the Collector: send the spans like an app, and explain failures."""

from __future__ import annotations

import logging
import os
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import grpc  # type: ignore[import-untyped]
import httpx
from opentelemetry.sdk.trace.export import SpanExportResult

from otel_callbacks._export.otlp import OTLP_PORTS, TRACES, exporter_class
from otel_callbacks._setting_values import otlp_variable
from otel_callbacks.cli.doctor.chain import trace_id
from otel_callbacks.cli.doctor.probe import (
    Sent,
    Trouble,
    connect,
    finding,
    plain_text_trouble,
    speaks_tls,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.cli._http import Address
    from otel_callbacks.cli.doctor.examination import Addresses
    from otel_callbacks.cli.doctor.probe import Check

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_PATH: Final = "/v1/traces"
# Codes of a server without OTLP: the client's own, and an unknown method.
_NO_OTLP_GRPC: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"})
_NO_OTLP_HTTP: Final = frozenset({301, 302, 307, 308, 404, 405, 501})


class Reply(NamedTuple):
    """A server's response to an empty export."""

    speaks: bool
    takes: bool
    detail: str


def ask(
    address: Address,
    protocol: str,
    seconds: float,
    authorities: str | None = None,
    path: str = _PATH,
) -> Reply:
    """Send an empty export and return the server's response."""
    if protocol == "grpc":
        return _over_grpc(address, seconds, authorities)
    return _over_http(address, seconds, authorities, path)


def _over_grpc(address: Address, seconds: float, authorities: str | None) -> Reply:
    """Send an empty export over gRPC."""
    target = f"{address.host}:{address.port}"
    # Otherwise gRPC uses http_proxy even for this machine.
    options = [("grpc.enable_http_proxy", 0)]
    if address.tls:
        roots = Path(authorities).read_bytes() if authorities else None
        credentials = grpc.ssl_channel_credentials(roots)
        channel = grpc.secure_channel(target, credentials, options)
    else:
        channel = grpc.insecure_channel(target, options)
    with channel:
        try:
            channel.unary_unary(_METHOD)(b"", timeout=seconds)
        except grpc.RpcError as error:
            code = error.code()
            detail = f"{code.name}: {error.details()}"
            return Reply(code.name not in _NO_OTLP_GRPC, takes=False, detail=detail)
    return Reply(speaks=True, takes=True, detail="OK")


def _over_http(
    address: Address, seconds: float, authorities: str | None, path: str
) -> Reply:
    """Send an empty export over HTTP."""
    try:
        answer = httpx.post(
            httpx.URL(address.url).copy_with(path=path),
            headers={"Content-Type": "application/x-protobuf"},
            timeout=seconds,
            verify=address.tls and ssl.create_default_context(cafile=authorities),
            trust_env=False,
        )
    except httpx.HTTPError as error:
        detail = f"{type(error).__name__}: {error}"
        return Reply(speaks=False, takes=False, detail=detail)
    detail = f"HTTP {answer.status_code} {answer.reason_phrase}"
    if answer.is_success:  # and the body is binary
        return Reply(speaks=True, takes=True, detail=detail)
    speaks = answer.status_code not in _NO_OTLP_HTTP
    return Reply(speaks, takes=False, detail=f"{detail} {answer.text[:200]}".strip())


_OPTION: Final = "--collector"
_OTHER: Final = {"grpc": "http/protobuf", "http/protobuf": "grpc"}
# Response -> the finding. An empty request does not reach the memory limiter.
_REFUSALS: Final = (
    (
        ("UNAUTHENTICATED", "PERMISSION_DENIED", "HTTP 401", "HTTP 403"),
        "collector_login",
    ),
    (("RESOURCE_EXHAUSTED", "HTTP 429", "HTTP 503"), "overloaded"),
    (("",), "spans_refused"),
)


def send(
    check: Check, addresses: Addresses, protocol: str, spans: Sequence[ReadableSpan]
) -> Sent:
    """Send spans with OpenTelemetry's own exporter."""
    reply = handshake(check, addresses, protocol)
    at, wall = time.monotonic(), time.time()
    url = addresses.collector.url if addresses.chosen else None
    if url and protocol != "grpc" and not url.endswith(_PATH):
        url = f"{url}{_PATH}"
    # The doctor reports itself what the exporters log.
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        make = exporter_class(TRACES, protocol)
        exporter = make(endpoint=url, timeout=check.deadline.request)
        result = exporter.export(spans)
        exporter.shutdown()
    finally:
        logging.disable(before)
    if result is not SpanExportResult.SUCCESS:
        name = next(n for signs, n in _REFUSALS if reply.detail.startswith(signs))
        raise Trouble(finding(name, detail=reply.detail))
    return Sent(spans, trace_id(spans), at, wall)


def handshake(check: Check, addresses: Addresses, protocol: str) -> Reply:
    """Identify the server at the Collector's address, without sending a span."""
    address, path = addresses.collector, addresses.path
    authorities = otlp_variable(os.environ, "traces", "CERTIFICATE")[1] or None
    seconds = check.deadline.request
    connect(address, _OPTION, seconds, authorities)
    reply = ask(address, protocol, seconds, authorities, path)
    if reply.takes:
        return reply
    if not address.tls and speaks_tls(address, seconds):
        raise plain_text_trouble(address, _OPTION)
    if reply.speaks:
        return reply
    if path != _PATH and ask(address, protocol, seconds, authorities).takes:
        name = "doubled_path" if path.count(_PATH) > 1 else "wrong_path"
        raise Trouble(finding(name, detail=reply.detail, path=path))
    other = _OTHER[protocol]
    words = {"where": address.where, "protocol": protocol, "port": OTLP_PORTS[protocol]}
    if ask(address, other, seconds, authorities).speaks:
        raise Trouble(finding("wrong_protocol", other=other, **words))
    raise Trouble(finding("no_otlp", detail=reply.detail, option=_OPTION, **words))
