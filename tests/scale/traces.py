"""Copies of real traces of the handler, and a client that counts what becomes of them.

An ordinary and a failed trace are recorded once, from real LangChain classes over real
sockets. A copy is the recorded request with other ids: bytes are replaced in place, so
that the client costs little beside what it measures.
"""

from __future__ import annotations

import http.client
import re
import secrets
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from otel_callbacks import OTelCallbackHandler
from otel_callbacks.testing import FakeOpenAI, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "scale"
FAILED, ORDINARY = "failed", "ordinary"
# Every tenth trace fails, as far as these figures go.
_FAILS_EVERY = 10


@tool
def stock(flower: str) -> str:
    """Say how many are left."""
    return f"{len(flower)} {flower}"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One trace as OTLP bytes, and where its ids stand.

    Args:
        kind: ``failed`` or ``ordinary``.
        body: One ResourceSpans message, with its tag and length.
        traces: Where the trace id stands.
        spans: Where each span id stands, its mentions as a parent included.
    """

    kind: str
    body: bytes
    traces: tuple[int, ...]
    spans: tuple[tuple[int, ...], ...]

    def copy(self, trace_id: bytes) -> bytes:
        """Return the trace under another id, with other span ids.

        Args:
            trace_id: 16 bytes.
        """
        copied = bytearray(self.body)
        for place in self.traces:
            copied[place : place + 16] = trace_id
        fresh = secrets.token_bytes(8 * len(self.spans))
        for index, places in enumerate(self.spans):
            for place in places:
                copied[place : place + 8] = fresh[8 * index : 8 * index + 8]
        return bytes(copied)


def record(*, with_roots: bool = True) -> dict[str, list[Recorded]]:
    """Run a small app once and return its traces, by kind.

    Args:
        with_roots: Whether the root spans have come: a trace without one stays open.
    """
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": SERVICE}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    registry = CollectorRegistry()
    with (
        FakeOpenAI() as server,
        OTelCallbackHandler(tracer_provider=provider, registry=registry) as handler,
    ):
        server.when("please fail", Reply.failing(429))
        llm = ChatOpenAI(
            base_url=server.base_url,
            api_key=SecretStr("none"),
            model="gpt-4.1-mini",
            max_retries=0,
        )
        chain = ChatPromptTemplate.from_template("{question}") | llm
        tracer = provider.get_tracer("app")
        config = {"callbacks": [handler]}
        for question in ("Which flowers last longest?", "please fail"):
            with tracer.start_as_current_span("request"):
                stock.invoke({"flower": "rose"}, config=config)
                try:
                    chain.invoke({"question": question}, config=config)
                except Exception:  # noqa: BLE001 -- its span is what is wanted
                    assert question == "please fail"
    found: dict[str, list[Recorded]] = {FAILED: [], ORDINARY: []}
    spans = exporter.get_finished_spans()
    for trace_id in {each.context.trace_id for each in spans}:
        mine = [
            each
            for each in spans
            if each.context.trace_id == trace_id and (with_roots or each.parent)
        ]
        kind = FAILED if any(not each.status.is_ok for each in mine) else ORDINARY
        body = encode_spans(mine).SerializeToString()
        found[kind].append(
            Recorded(
                kind,
                body,
                _places(body, trace_id.to_bytes(16)),
                tuple(_places(body, each.context.span_id.to_bytes(8)) for each in mine),
            )
        )
    return found


def _places(body: bytes, what: bytes) -> tuple[int, ...]:
    return tuple(each.start() for each in re.finditer(re.escape(what), body))


@dataclass(slots=True)
class Sent:
    """What one client sent and what it was answered.

    Args:
        traces: When each trace was accepted, its kind and its number of spans, by id.
        accepted: Spans of requests that were answered with success.
        bytes_accepted: How large those requests were.
        refused: Spans of requests that were answered with an error; sent again.
        unanswered: Spans of requests whose connection broke; sent again.
    """

    traces: dict[str, tuple[float, str, int]] = field(default_factory=dict)
    accepted: int = 0
    bytes_accepted: int = 0
    refused: int = 0
    unanswered: int = 0

    @property
    def attempted(self) -> int:
        """Spans that were put on the wire, repetitions included."""
        return self.accepted + self.refused + self.unanswered

    def of(self, kind: str) -> dict[str, tuple[float, str, int]]:
        """Return the traces of a kind.

        Args:
            kind: ``failed`` or ``ordinary``.
        """
        return {key: value for key, value in self.traces.items() if value[1] == kind}


class Client:
    """One connection that sends copies until it is told to stop.

    Args:
        port: Asked before each connection: which gateway it is, now.
        ca: The authority's certificate.
        token: What the gateway wants to see.
        batch: Traces in a request.
    """

    def __init__(self, port: list[int], ca: Path, token: str, batch: int = 60) -> None:
        self._port = port
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._headers = {
            "Content-Type": "application/x-protobuf",
            "Authorization": f"Bearer {token}",
        }
        self._batch = batch
        self._recorded = record()
        self._connection: http.client.HTTPSConnection | None = None
        self._made = 0
        self.sent = Sent()

    def send(self, requests: int) -> None:
        """Send that many requests, each until it is accepted.

        Args:
            requests: How many.
        """
        for _ in range(requests):
            self._send()

    @contextmanager
    def steadily(self, a_second: float) -> Iterator[None]:
        """Send beside the block, at a pace that leaves the cores to others.

        Args:
            a_second: Requests.
        """
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(1 / a_second):
                self._send()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _send(self) -> None:
        copies = []
        made: dict[str, tuple[float, str, int]] = {}
        for _ in range(self._batch):
            self._made += 1
            kind = ORDINARY if self._made % _FAILS_EVERY else FAILED
            choices = self._recorded[kind]
            recorded = choices[self._made % len(choices)]
            trace_id = secrets.token_bytes(16)
            copies.append(recorded.copy(trace_id))
            made[trace_id.hex()] = (time.time(), kind, len(recorded.spans))
        body = b"".join(copies)
        count = sum(spans for _, _, spans in made.values())
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = self.post(body)
            if status == 200:
                self.sent.accepted += count
                self.sent.bytes_accepted += len(body)
                now = time.time()
                self.sent.traces |= {
                    key: (now, kind, spans) for key, (_, kind, spans) in made.items()
                }
                return
            if status:
                self.sent.refused += count
            else:
                self.sent.unanswered += count
            time.sleep(0.2)
        message = "no gateway accepted a request for two minutes"
        raise AssertionError(message)

    def post(self, body: bytes) -> int:
        """Send one request and return the answer's status; zero for no answer.

        Args:
            body: OTLP as protobuf.
        """
        try:
            if self._connection is None:
                self._connection = http.client.HTTPSConnection(
                    "127.0.0.1", self._port[0], timeout=60, context=self._tls
                )
            self._connection.request("POST", "/v1/traces", body, self._headers)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return 0
        if answer.will_close or answer.status != 200:
            self.close()
        return answer.status

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
