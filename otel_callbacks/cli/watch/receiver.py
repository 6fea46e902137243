"""The server of `watch`: OTLP over HTTP and gRPC, safe for any input, and the page.

https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import base64
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import grpc  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli.picture.page import CONTENT, LEGEND, STYLE, trace
from otel_callbacks.testing.serving import ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from google.protobuf.message import Message
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1 import trace_pb2

    from otel_callbacks.cli.picture.timeline import Span
    from otel_callbacks.cli.watch.store import Store

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a request that are read, also when it is decompressed."""

_HTTP_PORT: Final = "--http-port"
_GRPC_PORT: Final = "--grpc-port"
_DRAINED: Final = 256 * 1024 * 1024
_LONGEST_TEXT: Final = 200_000
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_INVALID_ARGUMENT: Final = 3  # https://grpc.io/docs/guides/status-codes/
_KINDS: Final = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUSES: Final = ("UNSET", "OK", "ERROR")
# The first bytes of HTTP/2, and so of gRPC: https://www.rfc-editor.org/rfc/rfc9113#section-3.4
_HTTP2: Final = "PRI"
_GZIP: Final = 31  # zlib's value for gzip


class Receiver:
    """Receives spans and their log events; metrics are dropped."""

    def __init__(
        self,
        store: Store,
        host: str = "127.0.0.1",
        http_port: int = 4318,
        grpc_port: int = 4317,
        *,
        routes: Sequence[BaseRoute] = (),
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._take: dict[str, tuple[str, Any, Any, Callable[[Any], str]]] = {
            f"/v1/{name}": (
                module.DESCRIPTOR.services_by_name[f"{noun}Service"].full_name,
                getattr(module, f"Export{noun}ServiceRequest"),
                getattr(module, f"Export{noun}ServiceResponse"),
                take,
            )
            for name, noun, module, take in (
                ("traces", "Trace", traces, self._take_spans),
                ("logs", "Logs", logs, self._take_logs),
                ("metrics", "Metrics", metrics, lambda _: ""),
            )
        }
        self._store = store
        self._refused = refused
        app = Starlette(
            routes=[
                *routes,
                *(Route(path, self._export, methods=["POST"]) for path in self._take),
            ],
            exception_handlers={404: self._unknown},
        )
        try:
            self._http = ThreadedServer(app, host=host, port=http_port)
        except OSError as error:
            allowed = f"a free port of {host} ({error.strerror})"
            raise SettingError(_HTTP_PORT, http_port, allowed) from error
        self.http_port = self._http.port
        try:
            self._grpc, self.grpc_port = self._grpc_server(host, grpc_port)
        except RuntimeError as error:
            self._http.stop()
            allowed = f"a free port of {host}"
            raise SettingError(_GRPC_PORT, grpc_port, allowed) from error

    def __enter__(self) -> Self:
        self._grpc.start()
        self._http.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(None).wait(5.0)
        self._http.stop()

    def _grpc_server(self, host: str, port: int) -> tuple[Any, int]:
        """Return the gRPC server and its port."""
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", LARGEST),
        ]
        server = grpc.server(ThreadPoolExecutor(4), options=options)
        for name, kind, answer, take in self._take.values():
            export = grpc.unary_unary_rpc_method_handler(
                lambda request, _, answer=answer, take=take: _answer(
                    answer, take(request)
                ),
                request_deserializer=kind.FromString,
                response_serializer=answer.SerializeToString,
            )
            service = grpc.method_handlers_generic_handler(name, {"Export": export})
            server.add_generic_rpc_handlers((service,))
        named = f"[{host}]" if ":" in host else host
        return server, server.add_insecure_port(f"{named}:{port}")

    async def _export(self, request: Request) -> Response:
        """Handle one export over HTTP."""
        _, kind, answer, take = self._take[request.url.path]
        media = request.headers.get("content-type", "").partition(";")[0].strip()
        try:
            body = await _body(request)
            rejected = take(_parsed(kind, media, body))
        except HTTPException as error:
            code, why = error.status_code, error.detail
            self._refused(f"HTTP {code} on {request.url.path}: {why}")
            return _response(Status(code=_INVALID_ARGUMENT, message=why), media, code)
        except ClientDisconnect:
            self._refused(f"{request.url.path}: the client left within its request")
            return Response(status_code=400)
        return _response(_answer(answer, rejected), media)

    async def _unknown(self, request: Request, _: Exception) -> Response:
        """Return the list of paths for an unknown one."""
        paths = ", ".join(self._take)
        why = f"there is no {request.url.path} here: OTLP goes to POST {paths}"
        if request.method == _HTTP2:
            why = f"this port is for OTLP over HTTP; gRPC goes to {self.grpc_port}"
        if request.method in {"POST", _HTTP2}:
            self._refused(f"HTTP 404: {why}")
        return Response(f"{why}\n", 404, media_type="text/plain")

    def _take_spans(self, request: Any) -> str:
        """Store spans; return why some were rejected, or an empty string."""
        spans, wrong = [], 0
        for resource in request.resource_spans:
            service = str(
                _attributes(resource.resource.attributes).get("service.name", "")
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    if (len(span.trace_id), len(span.span_id)) == (16, 8):
                        spans.append(_as_data(span, service))
                    else:
                        wrong += 1
        self._store.add(spans)
        return f"{wrong} spans without a trace's and a span's id" if wrong else ""

    def _take_logs(self, request: Any) -> str:
        """Store the events of calls; other log records are dropped."""
        for resource in request.resource_logs:
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    fields = _attributes(record.attributes)
                    content = {key: fields[key] for key in fields.keys() & CONTENT}
                    if content and record.span_id:
                        ids = record.trace_id.hex(), record.span_id.hex()
                        self._store.add_content(*ids, content)
        return ""


def _answer(kind: Any, rejected: str) -> Message:
    """Return the response to an export, with the rejected part."""
    answer: Message = kind()
    if rejected:
        partial = answer.partial_success
        partial.rejected_spans = int(rejected.partition(" ")[0])
        partial.error_message = rejected
    return answer


async def _body(request: Request) -> bytes:
    """Read a body to its end, even if too large, so that the response arrives."""
    kept, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LARGEST:
            kept += chunk
        elif size > _DRAINED:
            break
    if size > LARGEST:
        raise HTTPException(413, f"a request has at most {LARGEST:,} bytes")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        return bytes(kept)
    if encoding != "gzip":
        raise HTTPException(415, f"Content-Encoding {encoding}: must be gzip")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(bytes(kept), LARGEST)
    except zlib.error as error:
        raise HTTPException(400, f"the body is no gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise HTTPException(413, f"a request unpacks to at most {LARGEST:,} bytes")
    if not unpacker.eof:
        raise HTTPException(400, "the body ends within its gzip")
    return body


def _parsed(kind: Any, media: str, body: bytes) -> Any:
    """Return the parsed export, or refuse an invalid one."""
    try:
        if media == _PROTOBUF:
            return kind.FromString(body)
        if media == _JSON:
            return ParseDict(_with_ids(json.loads(body)), kind(), True)  # noqa: FBT003
    except (DecodeError, ParseError, ValueError, RecursionError, TypeError) as error:
        why = f"the body is no {kind.__name__}: {error}"
        raise HTTPException(400, why[:300]) from None
    why = f"Content-Type {media or 'is missing'}: must be {_PROTOBUF} or {_JSON}"
    raise HTTPException(415, why)


def _with_ids(value: Any) -> Any:
    """Return JSON with ids in base64, as in protobuf's JSON; OTLP has them in hex."""
    if isinstance(value, list):
        return [_with_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: base64.b64encode(bytes.fromhex(one)).decode()
        if name in {"traceId", "spanId", "parentSpanId"} and isinstance(one, str)
        else _with_ids(one)
        for name, one in value.items()
    }


def _response(message: Message, media: str, status: int = 200) -> Response:
    """Return a message in the encoding of the request."""
    if media == _PROTOBUF:
        return Response(message.SerializeToString(), status, media_type=media)
    return Response(MessageToJson(message), status, media_type=_JSON)


def _as_data(span: trace_pb2.Span, service: str) -> Span:
    """Return a span in the form of `spans_as_data`."""
    kind, status = span.kind, span.status.code
    return {
        "name": span.name[:_LONGEST_TEXT],
        "service": service,
        "kind": _KINDS[kind] if kind < len(_KINDS) else _KINDS[0],
        "status": _STATUSES[status] if status < len(_STATUSES) else _STATUSES[0],
        "status_description": span.status.message[:_LONGEST_TEXT],
        "attributes": _attributes(span.attributes),
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "start_ns": span.start_time_unix_nano,
        "end_ns": max(span.end_time_unix_nano, span.start_time_unix_nano),
    }


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    """Return attributes by name."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    """Return the value of an attribute; a text that is too long is cut."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    found = getattr(value, kind) if kind else None
    return found[:_LONGEST_TEXT] if isinstance(found, str) else found


_HERE: Final = Path(__file__).parent
_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page_routes(store: Store, *, any_host: bool) -> Sequence[Route]:
    """Return the routes of the page: traces with a search, one trace as a waterfall."""
    html = (_HERE / "live.html").read_text(encoding="utf-8")
    html = html.replace("/* STYLE */", STYLE).replace("<!-- LEGEND -->", LEGEND)
    script = (_HERE / "live.js").read_text(encoding="utf-8")

    async def index(_: Request) -> Response:
        return Response(html, media_type="text/html")

    async def live(_: Request) -> Response:
        return Response(script, media_type="text/javascript")

    async def traces(request: Request) -> Response:
        if request.query_params.get("version") == str(store.version):
            return Response(status_code=204)
        version = store.version
        found = store.summaries(request.query_params.get("search", ""))
        return JSONResponse({"version": version, "traces": found})

    async def one(request: Request) -> Response:
        timeline = store.timeline(request.path_params["id"])
        if timeline is None:
            return Response("It is no longer in memory.\n", 404)
        return Response(trace(timeline), media_type="text/html")

    def guarded(answer: Any) -> Any:
        async def page(request: Request) -> Response:
            name = request.headers.get("host", "").rpartition(":")[0]
            if not any_host and (name or request.headers.get("host")) not in _NAMES:
                return Response("Ask by http://localhost.\n", 421)
            response: Response = await answer(request)
            response.headers.update(_HEADERS)
            return response

        return page

    return [
        Route("/", guarded(index)),
        Route("/live.js", guarded(live)),
        Route("/api/traces", guarded(traces)),
        Route("/api/traces/{id}", guarded(one)),
    ]
