"""Nothing that was said leaves without being asked for: each exported byte is read.

Secrets are planted in every place that a payload has. What OTLP sends over a real
socket, what ``/metrics`` shows and what we log is searched for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeOpenAI, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "sk-planted-key-0123456789"
CONTENT = {
    "system": "planted-system",
    "prompt": "planted-prompt",
    "completion": "planted-completion",
    "argument": "planted-argument",
    "result": "planted-result",
    "document": "planted-document",
    "query": "planted-query",
    "definition": "planted-definition",
}
NEVER = {
    "key": KEY,
    "header": "planted-header",
    "user of a URL": "planted-user",
    "query of a URL": "planted-signature",
    "metadata": "planted-metadata",
    "parameter": "planted-parameter",
    "MCP header": "planted-mcp",
    "state": "planted-client",
}
MESSAGE = "planted-exception"
PICTURE = "cGxhbnRlZC1waWN0dXJl"  # base64 of "planted-picture"
NAMES = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text",
)


class Collector:
    """Takes OTLP over HTTP and keeps the bytes."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {
            f"/v1/{signal}": [] for signal in ("traces", "metrics", "logs")
        }
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                bodies[self.path].append(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[Any]:
        """Return the spans that came."""
        read = ExportTraceServiceRequest.FromString
        requests = map(read, self.bodies["/v1/traces"])
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def events(self) -> list[Any]:
        """Return the log records that came."""
        requests = map(ExportLogsServiceRequest.FromString, self.bodies["/v1/logs"])
        return [
            record
            for request in requests
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


class Run:
    """A handler and all that comes out of it."""

    def __init__(self, collector: Collector, redact: Any, **settings: Any) -> None:
        self.collector = collector
        self.registry = CollectorRegistry()
        self._tracers = TracerProvider(shutdown_on_exit=False)
        spans = OTLPSpanExporter(endpoint=f"{collector.url}/v1/traces")
        self._tracers.add_span_processor(BatchSpanProcessor(spans))
        self._loggers = LoggerProvider(shutdown_on_exit=False)
        logs = OTLPLogExporter(endpoint=f"{collector.url}/v1/logs")
        self._loggers.add_log_record_processor(BatchLogRecordProcessor(logs))
        sums = OTLPMetricExporter(endpoint=f"{collector.url}/v1/metrics")
        reader = PeriodicExportingMetricReader(sums, export_interval_millis=3_600_000)
        self._meters = MeterProvider([reader], shutdown_on_exit=False)
        settings.setdefault("metrics_exporter", "both")
        self.handler = OTelCallbackHandler(
            tracer_provider=self._tracers,
            meter_provider=self._meters,
            logger_provider=self._loggers,
            registry=self.registry,
            settings=Settings(**settings),
            redact=redact,
        )

    def everything(self, log: str) -> bytes:
        """Flush, and return each byte of each signal and of our log."""
        self.handler.close()
        shown = generate_latest(self.registry)
        self._tracers.shutdown()
        self._loggers.shutdown()
        self._meters.shutdown()
        bodies = [body for each in self.collector.bodies.values() for body in each]
        # Without events there are no logs.
        assert self.collector.bodies["/v1/traces"]
        assert self.collector.bodies["/v1/metrics"]
        return b"\n".join([*bodies, shown, log.encode()])


@pytest.fixture
def start(
    server: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[..., tuple[Run, bytes]]]:
    """Return how to run everything with settings, and what came out."""
    collectors = []
    logging.getLogger("otel_callbacks").setLevel(logging.DEBUG)

    def run(redact: Any = None, **settings: Any) -> tuple[Run, bytes]:
        collector = Collector()
        collectors.append(collector)
        made = Run(collector, redact, **settings)
        use_everything(made.handler, server)
        ours = [r for r in caplog.records if r.name == "otel_callbacks"]
        formatter = logging.Formatter()
        return made, made.everything("\n".join(map(formatter.format, ours)))

    yield run
    for collector in collectors:
        collector.stop()


class Shelf(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(self, _: str, **__: Any) -> list[Document]:
        about = {"source": CONTENT["document"]}
        return [Document(CONTENT["document"], metadata=about)]


@tool
def price(of: str) -> str:
    """Tell the price of a flower."""
    if of == "error":
        raise ValueError(MESSAGE)
    return CONTENT["result"]


class Client:
    """An object in a state that knows a key."""

    def __repr__(self) -> str:
        return NEVER["state"]


def use_everything(handler: OTelCallbackHandler, server: FakeOpenAI) -> None:
    """Call models, tools and retrievers in all ways, well and badly."""
    options: dict[str, Any] = {
        "base_url": server.base_url,
        "api_key": KEY,
        "max_retries": 0,
        "default_headers": {"x-secret": NEVER["header"]},
        "callbacks": [handler],
    }
    model = ChatOpenAI(model="gpt-4o-mini", stream_usage=True, **options)
    picture = f"data:image/png;base64,{PICTURE}"
    url = f"https://{NEVER['user of a URL']}@shop.example/a.png"
    messages: list[Any] = [
        SystemMessage(CONTENT["system"]),
        HumanMessage(
            [
                {"type": "text", "text": CONTENT["prompt"]},
                {"type": "image_url", "image_url": {"url": picture}},
                {
                    "type": "image_url",
                    "image_url": {"url": f"{url}?sig={NEVER['query of a URL']}"},
                },
            ]
        ),
        AIMessage(
            "",
            tool_calls=[{"name": "price", "args": {"of": "rose"}, "id": "c1"}],
        ),
        ToolMessage(CONTENT["result"], tool_call_id="c1"),
    ]
    tools = [
        {
            "type": "function",
            "function": {"name": "price", "description": CONTENT["definition"]},
        },
        {
            "type": "mcp",
            "server_label": "shop",
            "headers": {"Authorization": NEVER["MCP header"]},
        },
    ]
    config: Any = {"metadata": {"secret": NEVER["metadata"]}}
    answer = Reply(CONTENT["completion"])
    call = ToolCall("price", {"of": CONTENT["argument"]})
    server.script(answer, answer, Reply(tool_calls=(call,)), answer)
    model.invoke(messages, config, user=NEVER["parameter"], tools=tools)
    list(model.stream(messages, config))
    asyncio.run(model.ainvoke(messages, config))
    text = OpenAI(model="gpt-3.5-turbo-instruct", **options)
    text.invoke(CONTENT["prompt"], config)
    server.script(
        Reply.failing(401, message=f"{MESSAGE} {KEY}"),
        Reply(CONTENT["completion"], fault="drop", after_chunks=3),
    )
    with contextlib.suppress(Exception):
        model.invoke(messages, config)
    with contextlib.suppress(Exception):
        list(model.stream(messages, config))
    config = {**config, "callbacks": [handler]}
    price.invoke({"of": CONTENT["argument"]}, config)
    with contextlib.suppress(ValueError):
        price.invoke({"of": "error"}, config)
    Shelf().invoke(CONTENT["query"], config)
    use_graph(handler, model)


def use_graph(handler: OTelCallbackHandler, model: Any) -> None:
    """Run a graph whose state holds messages, and one whose state holds a client."""
    from langgraph.graph import END, START, StateGraph  # noqa: PLC0415 -- heavy

    graph: Any = StateGraph(dict)
    graph.add_node("say", lambda _: {"messages": [model.invoke(CONTENT["prompt"])]})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    state = {
        "messages": [{"role": "user", "content": CONTENT["prompt"]}],
        "client": Client(),
    }
    graph.compile().invoke(state, {"callbacks": [handler]})
    odd = {"topic": CONTENT["prompt"], "client": Client(), "api_key": KEY}
    graph.compile().invoke(odd, {"callbacks": [handler]})


def found(planted: dict[str, str], exported: bytes) -> list[str]:
    """Return which planted secrets are in what was exported."""
    return [name for name, secret in planted.items() if secret.encode() in exported]


def attributes_with_content(run: Run) -> set[str]:
    """Return the names of the attributes, of any signal, that hold content."""
    signals = [*run.collector.spans(), *run.collector.events()]
    secrets = [*CONTENT.values(), MESSAGE]
    return {
        pair.key
        for signal in signals
        for pair in signal.attributes
        if any(secret in str(pair.value) for secret in secrets)
    }


def test_nothing_leaks_with_content_off(start: Callable[..., Any]) -> None:
    """With the default settings and with events, no secret is exported."""
    run, exported = start(emit_event=True)
    assert found({**CONTENT, **NEVER, "message": MESSAGE}, exported) == []
    assert PICTURE.encode() not in exported
    names = {span.name for span in run.collector.spans()}
    assert {"chat gpt-4o-mini", "execute_tool price"} <= names
    assert len(run.collector.events()) > 8
    assert b"otel_callbacks_tokens_total" in exported


def test_content_is_in_its_attributes_alone(start: Callable[..., Any]) -> None:
    """Captured content is only in content attributes, and keys are nowhere."""
    run, exported = start(capture_content="SPAN_AND_EVENT")
    assert found(CONTENT, exported) == list(CONTENT)
    assert found(NEVER, exported) == []
    assert PICTURE.encode() not in exported
    assert attributes_with_content(run) == {*NAMES, "exception.message"} - {
        "gen_ai.system_instructions"
    }


@pytest.mark.parametrize("mode", ["SPAN_ONLY", "EVENT_ONLY"])
def test_content_is_in_the_signal_that_was_chosen(
    start: Callable[..., Any], mode: str
) -> None:
    """Content is only in the chosen signal."""
    run, _ = start(capture_content=mode, emit_event=True)
    other = "/v1/logs" if mode == "SPAN_ONLY" else "/v1/traces"
    assert found(CONTENT, b"".join(run.collector.bodies[other])) == []
    chosen = "/v1/traces" if mode == "SPAN_ONLY" else "/v1/logs"
    assert "prompt" in found(CONTENT, b"".join(run.collector.bodies[chosen]))


def test_what_is_redacted_is_not_sent(start: Callable[..., Any]) -> None:
    """Redacted content is in no signal."""

    def redact(_: str, value: Any) -> Any:
        text = json.dumps(value)
        for secret in (*CONTENT.values(), MESSAGE):
            text = text.replace(secret, "***")
        return json.loads(text)

    run, exported = start(redact, capture_content="SPAN_AND_EVENT")
    assert found({**CONTENT, **NEVER, "message": MESSAGE}, exported) == []
    assert b"***" in exported
    assert attributes_with_content(run) == set()


def test_a_redaction_that_fails_sends_nothing(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The content is dropped, counted and logged once, without a quote."""

    def redact(_: str, value: Any) -> Any:
        raise ValueError(str(value))

    run, exported = start(redact, capture_content="SPAN_AND_EVENT")
    assert found({**CONTENT, **NEVER, "message": MESSAGE}, exported) == []
    assert attributes_with_content(run) == set()
    assert b'otel_callbacks_errors_total{where="redact"}' in exported
    lines = [line for line in caplog.messages if "redact failed" in line]
    assert len(lines) == 1


def test_what_is_cut_is_valid_and_bounded(
    start: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    check_schema: Callable[[str, Any], None],
) -> None:
    """Long content is cut within its schema and leaks no key."""
    monkeypatch.setitem(CONTENT, "prompt", "planted-prompt " * 1_000)
    monkeypatch.setitem(CONTENT, "result", "planted-result " * 1_000)
    run, exported = start(capture_content="SPAN_AND_EVENT", content_limit=1_024)
    assert found(NEVER, exported) == []
    seen = set()
    for span in run.collector.spans():
        for pair in span.attributes:
            if pair.key in NAMES[:-1]:
                value = pair.value.string_value
                assert len(value.encode()) <= 1_024
                check_schema(pair.key, json.loads(value))
                seen.add(pair.key)
    assert seen == {*NAMES[:-1]} - {"gen_ai.system_instructions"}
    assert b"otel_callbacks.content.length.input.messages" in exported
