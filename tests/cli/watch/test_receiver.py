from __future__ import annotations

import gzip
import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as Grpc,
)
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as Http,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from waiting import WAIT_S

from otel_callbacks import SettingError
from otel_callbacks.cli.watch import receiver as watch_receiver
from otel_callbacks.cli.watch.receiver import Receiver
from otel_callbacks.cli.watch.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.export import SpanExporter

PROTOBUF = "application/x-protobuf"


class Running:
    """A receiver on free ports, its store, and what it refused."""

    def __init__(self) -> None:
        self.store = Store()
        self.refusals: list[str] = []
        self.receiver = Receiver(
            self.store, http_port=0, grpc_port=0, refused=self.refusals.append
        )
        self.url = f"http://127.0.0.1:{self.receiver.http_port}"

    def post(
        self, body: bytes, media: str = PROTOBUF, path: str = "/v1/traces", **more: str
    ) -> tuple[int, bytes]:
        """Send a body, and return the status and the answer."""
        headers = {"Content-Type": media}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        answer = httpx.post(
            self.url + path,
            content=body,
            headers=headers,
            timeout=WAIT_S,
            trust_env=False,
        )
        return answer.status_code, answer.content

    def names(self) -> list[str]:
        """Return the names of all spans."""
        return [
            row.span["name"]
            for one in self.store.summaries()
            if (found := self.store.timeline(one["id"]))
            for row in found.rows
        ]


@pytest.fixture
def running() -> Iterator[Running]:
    """Give a receiver that runs."""
    one = Running()
    with one.receiver:
        yield one


def _send(exporter: SpanExporter, count: int = 1) -> str:
    """Send one trace through a real exporter; return its id."""
    provider = TracerProvider(
        resource=Resource({"service.name": "shop"}), shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("t")
    root = tracer.start_span("root")
    for number in range(count):
        child = tracer.start_span(
            f"chat {number}", set_span_in_context(root), SpanKind.CLIENT
        )
        child.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.request.model": "gpt-4o-mini",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.response.finish_reasons": ("stop",),
            }
        )
        child.set_status(Status(StatusCode.ERROR, "no"))
        child.end()
    root.end()
    provider.shutdown()
    return f"{root.get_span_context().trace_id:032x}"


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_real_exporters_are_received(running: Running, protocol: str) -> None:
    """With tree, service, kind, status, attributes and dollars."""
    port = running.receiver.grpc_port
    exporter: Any = Http(f"{running.url}/v1/traces")
    if protocol == "grpc":
        exporter = Grpc(f"http://127.0.0.1:{port}", insecure=True)
    timeline = running.store.timeline(_send(exporter))
    assert timeline is not None
    root, chat = timeline.rows
    assert (root.name, root.span["service"], chat.guides) == (
        "root",
        "shop",
        (False, False),
    )
    assert (chat.span["kind"], chat.span["status"]) == ("CLIENT", "ERROR")
    assert chat.span["attributes"]["gen_ai.response.finish_reasons"] == ["stop"]
    assert chat.cost == pytest.approx(0.00015)
    assert not running.refusals


@pytest.mark.recent  # the lowest SDK drops a list of mixed kinds
def test_content_of_events_is_joined_to_its_span(running: Running) -> None:
    """Other log records and metrics are taken, and dropped."""
    trace_id = _send(Http(f"{running.url}/v1/traces"))
    timeline = running.store.timeline(trace_id)
    assert timeline is not None
    provider = LoggerProvider(shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"{running.url}/v1/logs")
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    content = {
        "gen_ai.input.messages": [{"role": "user", "n": [1, None, b"\1"]}],
        "other": "x",
    }
    for attributes in (content, {"other": "x"}):
        provider.get_logger("t").emit(
            LogRecord(
                trace_id=int(trace_id, 16),
                span_id=int(timeline.rows[1].span["span_id"], 16),
                attributes=attributes,
            )
        )
    provider.shutdown()
    timeline = running.store.timeline(trace_id)
    assert timeline is not None
    attributes = timeline.rows[1].span["attributes"]
    assert attributes["gen_ai.input.messages"] == [
        {"role": "user", "n": [1, None, "01"]}
    ]
    assert "other" not in attributes
    meters = MeterProvider(
        [PeriodicExportingMetricReader(OTLPMetricExporter(f"{running.url}/v1/metrics"))]
    )
    meters.get_meter("t").create_counter("c").add(1)
    assert meters.force_flush()
    meters.shutdown()
    assert not running.refusals


def _json(**span: Any) -> bytes:
    """Return a request in OTLP's JSON, with ids in hex."""
    one = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "json", **span}
    return json.dumps(
        {"resourceSpans": [{"scopeSpans": [{"spans": [one], "schemaUrl": "x"}]}]}
    ).encode()


def test_json_is_received_too(running: Running) -> None:
    """Ids are hex there; fields that are unknown are no error; gzip is unpacked."""
    status, answer = running.post(_json(later=1, kind=99), "application/json")
    assert (status, json.loads(answer)) == (200, {})
    assert running.store.timeline("0a" * 16) is not None
    zipped = gzip.compress(_json(spanId="0c" * 8))
    status, _ = running.post(zipped, "application/json", content_encoding="gzip")
    assert (status, running.names()) == (200, ["json", "json"])


def test_spans_without_ids_are_rejected_one_by_one(running: Running) -> None:
    """The others of the request are kept, and the client is told."""
    status, answer = running.post(_json(traceId=""), "application/json; charset=utf-8")
    assert status == 200
    assert "1 spans without a trace's" in answer.decode()
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"1" * 16, span_id=b"2" * 8, name="kept")
    spans.add(name="wrong")
    _, answer = running.post(request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert partial.rejected_spans == 1
    assert running.names() == ["kept"]


@pytest.mark.parametrize(
    ("body", "media", "encoding", "status", "why"),
    [
        (b"{}", "text/plain", "", 415, "Content-Type text/plain: must be"),
        (b"roses", PROTOBUF, "", 400, "the body is no ExportTraceServiceRequest"),
        (b"{", "application/json", "", 400, "the body is no ExportTraceService"),
        (b"[1]", "application/json", "", 400, "the body is no ExportTraceService"),
        (b"[" * 99999, "application/json", "", 400, "the body is no ExportTrace"),
        (_json(spanId="xyz"), "application/json", "", 400, "the body is no Export"),
        (b"roses", PROTOBUF, "gzip", 400, "the body is no gzip"),
        (
            gzip.compress(b"x" * 99, mtime=0)[:-9],
            PROTOBUF,
            "gzip",
            400,
            "ends within its gzip",
        ),
        (
            gzip.compress(bytes(99_000_000), mtime=0),
            PROTOBUF,
            "gzip",
            413,
            "unpacks to at most",
        ),
        (b"", PROTOBUF, "br", 415, "Content-Encoding br: must be gzip"),
        (bytes(100_000_000), PROTOBUF, "", 413, "a request has at most 16,777,216"),
    ],
)
def test_bad_input_gets_a_clear_status(
    running: Running, body: bytes, media: str, encoding: str, status: int, why: str
) -> None:
    """In the client's own form, and the next request is taken."""
    more = {"content_encoding": encoding} if encoding else {}
    got, answer = running.post(body, media, **more)
    assert got == status
    assert why in answer.decode(errors="replace")
    assert why in running.refusals[0]
    assert running.post(_json(), "application/json")[0] == 200


def test_a_body_without_end_is_not_read_for_ever(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond what is read away, the answer comes before the end."""
    monkeypatch.setattr(watch_receiver, "LARGEST", 10)
    monkeypatch.setattr(watch_receiver, "_DRAINED", 20)
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with closing(
        socket.create_connection(("127.0.0.1", running.receiver.http_port))
    ) as one:
        one.settimeout(WAIT_S)
        one.sendall(head + b"20\r\n" + bytes(32) + b"\r\n")
        assert b" 413 " in one.recv(100)


def test_other_paths_say_where_otlp_goes(running: Running) -> None:
    """A doubled path is the usual mistake."""
    status, answer = running.post(b"", path="/v1/traces/v1/traces")
    assert status == 404
    assert b"OTLP goes to POST /v1/traces, /v1/logs" in answer
    assert running.refusals[0].startswith("HTTP 404: there is no /v1/traces/v1/traces")
    icon = httpx.get(f"{running.url}/favicon.ico", timeout=WAIT_S, trust_env=False)
    assert icon.status_code == 404
    assert len(running.refusals) == 1


def _raw(port: int, sent: bytes) -> bytes:
    """Send bytes, and return the first ones that come back."""
    with closing(socket.create_connection(("127.0.0.1", port))) as one:
        one.settimeout(WAIT_S)
        one.sendall(sent)
        return one.recv(100)


def test_wrong_protocols_and_half_requests_stop_nothing(running: Running) -> None:
    """HTTP on gRPC's port and gRPC on HTTP's, half a body, bytes of no protocol."""
    http, other = running.receiver.http_port, running.receiver.grpc_port
    assert b"404" in _raw(http, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"400" in _raw(http, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")
    assert _raw(other, b"POST /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n")
    head = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n"
    with closing(socket.create_connection(("127.0.0.1", http))) as half:
        half.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert b"100" in half.recv(100)
        half.sendall(b"half")
    with grpc.insecure_channel(f"127.0.0.1:{other}") as channel:
        call = channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        )
        with pytest.raises(grpc.RpcError):
            call(b"roses", timeout=WAIT_S)
        with pytest.raises(grpc.RpcError) as caught:
            call(bytes(17_000_000), timeout=WAIT_S)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.post(_json(), "application/json")[0] == 200
    _send(Grpc(f"http://127.0.0.1:{other}", insecure=True))
    assert len(running.store.summaries()) == 2
    assert running.refusals == [
        f"HTTP 404: this port is for OTLP over HTTP; gRPC goes to {other}",
        "/v1/traces: the client left within its request",
    ]


def test_a_flood_is_bounded(running: Running) -> None:
    """10,000 spans of one trace in a request; the first 2,000 are kept, all counted."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for number in range(10_000):
        spans.add(trace_id=b"1" * 16, span_id=number.to_bytes(8), name="x")
    assert running.post(request.SerializeToString())[0] == 200
    (one,) = running.store.summaries()
    assert one["left_out"] == 8_000


@pytest.mark.parametrize("option", ["http_port", "grpc_port"])
def test_a_port_that_is_taken_is_refused_by_its_name(
    running: Running, option: str
) -> None:
    """Nothing is left open."""
    ports = {"http_port": 0, "grpc_port": 0}
    ports[option] = getattr(running.receiver, option)
    with pytest.raises(SettingError, match=f"--{option.replace('_', '-')}="):
        Receiver(Store(), "127.0.0.1", **ports)


def test_ipv6_is_listened_on_too() -> None:
    """Where the machine has it."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    with Receiver(Store(), "::1", 0, 0) as receiver:
        exporter = Grpc(f"http://[::1]:{receiver.grpc_port}", insecure=True)
        assert _send(exporter)
