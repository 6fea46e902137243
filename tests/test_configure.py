"""Setting up what an app lacks, refusing what is wrong, flushing at the end."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from prometheus_client import CollectorRegistry, start_http_server
from waiting import WAIT_S

from otel_callbacks import SettingError, Settings, configure
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Iterator

QUIET = Settings(traces_exporter="none", prometheus_port=0)


@pytest.fixture(autouse=True)
def _no_global_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a process in which nobody has set a tracer provider."""
    once = type(trace._TRACER_PROVIDER_SET_ONCE)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", once())
    loggers = [
        logging.getLogger(name)
        for name in (
            "opentelemetry.exporter.otlp.proto.grpc.exporter",
            "opentelemetry.exporter.otlp.proto.http.trace_exporter",
            "opentelemetry.exporter.otlp.common.http",
            "opentelemetry.sdk._shared_internal",
        )
    ]
    before = [list(logger.filters) for logger in loggers]
    yield
    for logger, filters in zip(loggers, before, strict=True):
        logger.filters = filters


class Receiver:
    """A real OTLP receiver, over gRPC and over HTTP."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                read = trace_service_pb2.ExportTraceServiceRequest.FromString
                requests.append(read(self.rfile.read(size)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http_port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever)

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 -- gRPC's name
        """Take a request over gRPC."""
        self.requests.append(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def __enter__(self) -> Self:
        self._grpc.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._grpc.stop(0).wait(WAIT_S)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(WAIT_S)

    def spans(self) -> list[tuple[str, str]]:
        """Return service and name of what has come."""
        return [
            (
                next(
                    attribute.value.string_value
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name"
                ),
                span.name,
            )
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a running OTLP receiver."""
    with Receiver() as running:
        yield running


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_spans_go_out_over_otlp(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """A call's span is with the Collector when the handler is closed."""
    port = receiver.grpc_port if protocol == "grpc" else receiver.http_port
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    settings = Settings(protocol=protocol, prometheus_port=0)
    registry = CollectorRegistry()
    with configure(
        service_name="flower-shop", settings=settings, registry=registry
    ) as handler:
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert receiver.spans() == [("flower-shop", "chat fake-model")]


def test_app_spans_go_the_same_way(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is the global one, so that an app's own spans are sent, too."""
    endpoint = f"http://127.0.0.1:{receiver.grpc_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    settings = Settings(prometheus_port=0)
    handler = configure(settings=settings, registry=CollectorRegistry())
    with handler, trace.get_tracer("app").start_as_current_span("request"):
        pass
    assert receiver.spans() == [("shop", "request")]


def test_unreachable_collector_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The app goes on; one line says it, and each lost span is counted."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    registry = CollectorRegistry()
    handler = configure(settings=Settings(prometheus_port=0), registry=registry)
    usage: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    model = FakeChatModel(usage=usage, callbacks=[handler])
    for _ in range(3):
        model.invoke("Roses?")
    handler.close()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "http://127.0.0.1:9" in lines[0]
    lost = registry.get_sample_value("otel_callbacks_errors_total", {"where": "export"})
    assert lost == 3


def test_metrics_are_served_on_loopback() -> None:
    """``/metrics`` shows the series, with exemplars where they are asked for."""
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
        assert handler.metrics_url.startswith("http://127.0.0.1:")
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        request = urllib.request.Request(handler.metrics_url, headers=accept)  # noqa: S310
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
            text = answer.read().decode()
    assert "otel_callbacks_operations_total{" in text
    assert "# {span_id=" in text


def test_port_in_use_is_refused_by_name() -> None:
    """A port that is taken is named, with what to do; nothing stays behind."""
    with configure(settings=QUIET, registry=CollectorRegistry()) as first:
        port = int(first.metrics_url.split(":")[2].split("/")[0])
        taken = Settings(traces_exporter="none", prometheus_port=port)
        trace._TRACER_PROVIDER = None
        with pytest.raises(SettingError, match=f"PROMETHEUS_PORT={port}.*0 finds one"):
            configure(settings=taken, registry=CollectorRegistry())


def test_close_gives_the_port_back() -> None:
    """``close()`` undoes what was set up; a second time there is nothing to do."""
    handler = configure(settings=QUIET, registry=CollectorRegistry())
    assert handler.metrics_url.endswith("/metrics")
    port = int(handler.metrics_url.split(":")[2].split("/")[0])
    handler.close()
    handler.shutdown()
    trace._TRACER_PROVIDER = None
    again = Settings(traces_exporter="none", prometheus_port=port)
    with configure(settings=again, registry=CollectorRegistry()) as second:
        assert second.metrics_url == handler.metrics_url


def test_address_that_is_not_ours_is_refused() -> None:
    """A host on which nothing can be served is refused, with the reason."""
    # Reserved for documentation, RFC 5737: no machine has it.
    elsewhere = Settings(
        traces_exporter="none", prometheus_host="192.0.2.1", prometheus_port=0
    )
    with pytest.raises(SettingError, match=r"192\.0\.2\.1"):
        configure(settings=elsewhere, registry=CollectorRegistry())
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)


def test_host_that_is_none_is_refused_by_name() -> None:
    """A name that cannot be resolved is the host's fault and not the port's."""
    wrong = Settings(
        traces_exporter="none", prometheus_host="no-host.invalid", prometheus_port=0
    )
    with pytest.raises(SettingError) as refused:
        configure(settings=wrong, registry=CollectorRegistry())
    assert refused.value.variable == "OTEL_EXPORTER_PROMETHEUS_HOST"
    assert refused.value.value == "no-host.invalid"


def test_metrics_url_of_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address stands in brackets, as a browser wants it."""
    # Not each machine has IPv6: only the address in the settings is of that kind.
    monkeypatch.setattr(
        sys.modules["otel_callbacks.configure"],
        "start_http_server",
        lambda port, _, registry: start_http_server(port, "127.0.0.1", registry),
    )
    settings = Settings(
        traces_exporter="none", prometheus_host="::1", prometheus_port=0
    )
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        parts = urllib.parse.urlsplit(handler.metrics_url)
    assert (parts.hostname, parts.path) == ("::1", "/metrics")
    assert parts.netloc == f"[::1]:{parts.port}"


def test_configured_again_after_close(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that sets up, closes and sets up again has its spans both times."""
    endpoint = f"http://127.0.0.1:{receiver.grpc_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    for name in ("first", "second"):
        registry = CollectorRegistry()
        settings = Settings(prometheus_port=0)
        with configure(
            service_name=name, settings=settings, registry=registry
        ) as handler:
            FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert receiver.spans() == [
        ("first", "chat fake-model"),
        ("second", "chat fake-model"),
    ]


def test_no_metrics_where_none_are_wanted() -> None:
    """``OTEL_METRICS_EXPORTER=none`` opens no port."""
    settings = Settings(traces_exporter="none", metrics_exporter="none")
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        assert handler.metrics_url == ""


def test_wrong_variable_of_the_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK would pass over in silence is refused by name."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
    with pytest.raises(SettingError, match="OTEL_BSP_SCHEDULE_DELAY=soon"):
        configure(settings=QUIET, registry=CollectorRegistry())


def test_provider_of_the_app_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Where a tracer provider is set up, it stays, and a line says so."""
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        assert handler.tracer_provider is provider
    assert "set up already" in caplog.text
    # What the app has made is the app's to end.
    with trace.get_tracer("app").start_as_current_span("later") as span:
        assert span.is_recording()
    provider.shutdown()


def test_disabled_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_SDK_DISABLED`` leaves no provider, no port, no series."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    registry = CollectorRegistry()
    handler = configure(registry=registry)
    FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert handler.metrics_url == ""
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
    assert registry.get_sample_value("otel_callbacks_open_runs") == 0
    handler.close()


def test_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """``OTEL_TRACES_EXPORTER=console`` prints spans."""
    printed = io.StringIO()
    # The exporter's default is the output that was there at import.
    none, _, formatter = ConsoleSpanExporter.__init__.__defaults__ or ()
    defaults = (none, printed, formatter)
    monkeypatch.setattr(ConsoleSpanExporter.__init__, "__defaults__", defaults)
    settings = Settings(traces_exporter="console", metrics_exporter="none")
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert '"name": "chat fake-model"' in printed.getvalue()


SCRIPT = """
from otel_callbacks import configure
from otel_callbacks.testing import FakeChatModel
import uuid
handler = configure(service_name="shop")
FakeChatModel(callbacks=[handler]).invoke("Roses?")
held = uuid.uuid4()
handler.on_chain_start({}, "x", run_id=held, name="still open")
"""


def test_all_is_flushed_when_the_process_ends(receiver: Receiver) -> None:
    """Spans that wait are sent at exit, those still open as abandoned."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.grpc_port}",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
    }
    subprocess.run(  # noqa: S603 -- a script of ours
        [sys.executable, "-c", SCRIPT], env=environment, check=True, timeout=WAIT_S
    )
    assert sorted(receiver.spans()) == [
        ("shop", "chat fake-model"),
        ("shop", "still open"),
    ]
