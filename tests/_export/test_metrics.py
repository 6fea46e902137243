"""Metrics that are pushed over OTLP to a real receiver."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry import metrics
from opentelemetry.proto.collector.metrics.v1 import (
    metrics_service_pb2,
    metrics_service_pb2_grpc,
)
from opentelemetry.sdk.metrics.export import MetricExportResult
from waiting import WAIT_S

from otel_callbacks import Settings
from otel_callbacks._diagnostics import Health
from otel_callbacks._export import metrics as metric_export
from otel_callbacks._export.metrics import PushedMetrics, _Reporting

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """
import os, sys
from otel_callbacks import configure
from otel_callbacks.testing import FakeChatModel

usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
handler = configure(service_name="shop")
print(bool(handler.metrics_url))
def call():
    FakeChatModel(usage=usage).invoke("?", {"callbacks": [handler]})
call()
if sys.argv[1] == "fork":
    workers = [os.fork() for _ in range(1)]
    if 0 in workers:
        call(); call()
        handler.close()
        os._exit(0)
    os.waitpid(workers[0], 0)
handler.close()
"""


class Receiver:
    """An OTLP receiver of metrics, over gRPC and over HTTP."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(self, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                read = metrics_service_pb2.ExportMetricsServiceRequest.FromString
                requests.append(read(self.rfile.read(size)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http_port = self._http.server_port
        self._thread = Thread(target=self._http.serve_forever)
        self._thread.start()

    def Export(self, request: Any, _: Any) -> Any:  # noqa: N802 -- gRPC's name
        """Take a request over gRPC."""
        self.requests.append(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()

    def close(self) -> None:
        """Stop both."""
        self._grpc.stop(0).wait(WAIT_S)
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(WAIT_S)

    def operations(self) -> dict[tuple[str, str], int]:
        """Return the last number of operations of each service and instance."""
        found: dict[tuple[str, str], int] = {}
        for request in self.requests:
            for resource in request.resource_metrics:
                about = {
                    one.key: one.value.string_value
                    for one in resource.resource.attributes
                }
                who = about["service.name"], about["service.instance.id"]
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        if metric.name == "otel_callbacks.operations":
                            points = metric.sum.data_points
                            found[who] = sum(point.as_int for point in points)
        return found


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a running OTLP receiver."""
    running = Receiver()
    yield running
    running.close()


def run(receiver: Receiver, protocol: str, *, fork: bool = False, **more: str) -> str:
    """Run the app and return what it has said."""
    port = receiver.grpc_port if protocol == "grpc" else receiver.http_port
    environment = {
        **{name: value for name, value in os.environ.items() if "OTEL" not in name},
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        **more,
    }
    ran = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, "-c", APP, "fork" if fork else "alone"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_series_are_pushed_at_the_end(receiver: Receiver, protocol: str) -> None:
    """One call is one operation of the service; no address is served."""
    assert run(receiver, protocol) == "False\n"
    ((service, instance),) = receiver.operations()
    assert (service, bool(instance)) == ("shop", True)
    assert set(receiver.operations().values()) == {1}


def test_forked_worker_is_an_instance_of_its_own(receiver: Receiver) -> None:
    """Parent and child push what each has counted, and nothing twice."""
    run(receiver, "http/protobuf", fork=True)
    assert sorted(receiver.operations().values()) == [1, 2]


def test_both_ways(receiver: Receiver) -> None:
    """Pushed and served."""
    more = {"OTEL_METRICS_EXPORTER": "both", "OTEL_EXPORTER_PROMETHEUS_PORT": "0"}
    assert run(receiver, "grpc", **more) == "True\n"
    assert set(receiver.operations().values()) == {1}


def test_no_receiver_is_said_once(receiver: Receiver) -> None:
    """The app goes on, one line says why nothing arrives."""
    gone = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:9"}
    said = run(receiver, "http/protobuf", **gone)
    assert said.count("metrics cannot be sent to http://127.0.0.1:9") == 1
    assert receiver.operations() == {}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keep the process's meter provider as it is; return what would become global."""
    made: list[Any] = []
    monkeypatch.setattr(metric_export, "_is_set_up", lambda: False)
    monkeypatch.setattr(metrics, "set_meter_provider", made.append)
    return made


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_what_is_recorded_arrives(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    elsewhere: list[Any],
    protocol: str,
) -> None:
    """The provider is made the global one, pushes at its end, and ends twice."""
    port = receiver.grpc_port if protocol == "grpc" else receiver.http_port
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    pushed = PushedMetrics(Settings(metrics_exporter="otlp", protocol=protocol), "shop")
    pushed.start(Health())
    assert elsewhere == [pushed.provider]
    assert pushed.provider is not None
    pushed.provider.get_meter("test").create_counter("roses").add(3)
    assert pushed.provider.force_flush()
    pushed.close()
    pushed.close()
    names = [
        metric.name
        for request in receiver.requests
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    assert "roses" in names


def test_the_process_of_the_tests_has_no_provider() -> None:
    """What is asked before one is made: nothing here may become global."""
    assert not metric_export._is_set_up()


def test_nothing_is_made_where_nothing_is_pushed(elsewhere: list[Any]) -> None:
    """With Prometheus alone there is no provider, and none to fork."""
    pushed = PushedMetrics(Settings(), None)
    pushed.start(Health())
    pushed.close()
    assert elsewhere == []
    assert pushed.provider is None


@pytest.mark.usefixtures("elsewhere")
def test_a_push_that_fails_is_said_once_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line with the target; the SDK's own lines are not shown."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    health = Health()
    pushed = PushedMetrics(Settings(metrics_exporter="otlp"), None)
    pushed.failed("before there is anybody to tell")
    pushed.start(health)
    assert pushed.provider is not None
    pushed.provider.get_meter("test").create_counter("roses").add(3)
    pushed.provider.force_flush(2_000)
    pushed.close()
    assert health.counts()["export_metrics"] >= 1
    said = [line for line in caplog.messages if "127.0.0.1:9" in line]
    assert len(said) == 1


@pytest.mark.usefixtures("elsewhere")
def test_an_exporter_that_raises_is_a_failed_push(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes out of the reader's thread."""
    endpoint = f"http://127.0.0.1:{receiver.http_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    settings = Settings(metrics_exporter="otlp", protocol="http/protobuf")
    pushed = PushedMetrics(settings, None)
    health = Health()
    pushed.start(health)
    exporter = _Reporting(pushed, settings)
    nothing: Any = None

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError

    monkeypatch.setattr(exporter._inner, "export", broken)
    assert exporter.export(nothing) is MetricExportResult.FAILURE
    assert exporter.force_flush()
    exporter.shutdown()
    exporter._sending.acquire()  # a push is under way
    exporter.shutdown()
    pushed.close()
    assert health.counts() == {"export_metrics": 1}


@pytest.mark.usefixtures("elsewhere")
def test_a_forked_child_begins_anew(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a provider of its own, unless there is none any more."""
    endpoint = f"http://127.0.0.1:{receiver.http_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    settings = Settings(metrics_exporter="otlp", protocol="http/protobuf")
    pushed = PushedMetrics(settings, None)
    before = pushed.provider
    assert before is not None
    pushed.after_fork()
    assert pushed.provider not in {None, before}
    before.shutdown()
    pushed.close()
    pushed.after_fork()
    assert pushed.provider is None


def test_an_id_that_is_set_is_kept(
    monkeypatch: pytest.MonkeyPatch, elsewhere: list[Any], receiver: Receiver
) -> None:
    """Who names the instance knows what they do."""
    endpoint = f"http://127.0.0.1:{receiver.http_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one")
    settings = Settings(metrics_exporter="otlp", protocol="http/protobuf")
    pushed = PushedMetrics(settings, None)
    provider: Any = pushed.provider
    assert provider._sdk_config.resource.attributes["service.instance.id"] == "one"
    assert elsewhere == []
    pushed.close()


def test_only_warnings_about_metrics_are_kept_back() -> None:
    """An app's own exporters of other signals log under the same names."""

    def passes(level: int, text: str) -> bool:
        record = logging.LogRecord("x", level, "", 1, text, None, None)
        return metric_export._is_not_about_metrics(record)

    assert passes(logging.INFO, "metrics sent")
    assert passes(logging.WARNING, "traces lost")
    assert not passes(logging.ERROR, "metrics lost")
