"""Set-up of an app, refused settings, and the flush at exit."""

from __future__ import annotations

import gc
import io
import resource
import socket
import subprocess
import sys
import threading
import types
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otlp_receiver import Receiver
from prometheus_client import CollectorRegistry, Info, start_http_server
from waiting import WAIT_S

from otel_callbacks import OTelCallbackHandler, SettingError, Settings, configure
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The package's name of it is the function's.
configuring: Any = import_module("otel_callbacks.configure")
USAGE: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
QUIET = Settings(traces_exporter="none", prometheus_port=0)


@pytest.fixture(autouse=True)
def _no_global_provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a process in which nobody has set anything up."""
    once = type(trace._TRACER_PROVIDER_SET_ONCE)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", once())
    yield
    for one in gc.get_objects():
        if issubclass(type(one), OTelCallbackHandler):
            one.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a running OTLP receiver."""
    with Receiver() as running:
        yield running


def spans(receiver: Receiver) -> list[tuple[str, str]]:
    """Return service and name of what has come."""
    return [(service, span.name) for service, span in receiver.spans()]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_spans_go_out_over_otlp(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """The Collector has a call's span when the handler is closed."""
    port = receiver.grpc_port if protocol == "grpc" else receiver.http_port
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    settings = Settings(protocol=protocol, prometheus_port=0)
    registry = CollectorRegistry()
    with configure(
        service_name="flower-shop", settings=settings, registry=registry
    ) as handler:
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert spans(receiver) == [("flower-shop", "chat fake-model")]


def test_app_spans_go_the_same_way(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider is global, so the app's own spans are sent too."""
    endpoint = f"http://127.0.0.1:{receiver.grpc_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    settings = Settings(prometheus_port=0)
    handler = configure(settings=settings, registry=CollectorRegistry())
    with handler, trace.get_tracer("app").start_as_current_span("request"):
        pass
    assert spans(receiver) == [("shop", "request")]


def test_unreachable_collector_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The app continues, one line is logged, and each lost span is counted."""
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
    """``/metrics`` serves the series, with exemplars in the OpenMetrics format."""
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
        assert handler.metrics_url.startswith("http://127.0.0.1:")
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        request = urllib.request.Request(handler.metrics_url, headers=accept)  # noqa: S310
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
            text = answer.read().decode()
    assert "otel_callbacks_operations_total{" in text
    assert "# {span_id=" in text


@contextmanager
def taken_port() -> Iterator[int]:
    """Hold a port that somebody else listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        yield taken.getsockname()[1]


def test_the_service_is_named_beside_its_series(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``target_info`` has the service name, which joins traces and series."""
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES",
        "service.version=1.2,deployment.environment.name=test,team=flowers",
    )
    registry = CollectorRegistry()
    with configure(service_name="shop", settings=QUIET, registry=registry):
        named = registry.get_target_info()
    assert named is not None
    named.pop("service_instance_id", "")
    assert named == {
        "service_name": "shop",
        "service_version": "1.2",
        "deployment_environment_name": "test",
    }


def test_target_info_of_the_app_stays() -> None:
    """A ``target_info`` that the app has set, in either way, is kept."""
    registry = CollectorRegistry()
    registry.set_target_info({"service_name": "mine"})
    with configure(service_name="shop", settings=QUIET, registry=registry):
        assert registry.get_target_info() == {"service_name": "mine"}
    registry = CollectorRegistry()
    Info("target", "Mine.", registry=registry).info({"service_name": "mine"})
    with configure(service_name="shop", settings=QUIET, registry=registry):
        assert registry.get_target_info() is None


def test_port_that_was_set_and_is_in_use_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message names the setting and the remedy, and nothing stays open."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with taken_port() as port:
        settings = Settings(traces_exporter="none", prometheus_port=port)
        with pytest.raises(SettingError) as refused:
            configure(settings=settings, registry=CollectorRegistry())
        assert refused.value.variable == "Settings.prometheus_port"
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", str(port))
        with pytest.raises(SettingError) as refused:
            configure(registry=CollectorRegistry())
    assert refused.value.variable == "OTEL_EXPORTER_PROMETHEUS_PORT"
    assert "OTEL_METRICS_EXPORTER=otlp" in str(refused.value)
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)


def test_usual_port_that_is_in_use_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The app starts, and one line has the address and a hint for workers."""
    with taken_port() as port:
        monkeypatch.setattr("otel_callbacks.settings.DEFAULT_METRICS_PORT", port)
        settings = Settings(traces_exporter="none")
        with configure(settings=settings, registry=CollectorRegistry()) as handler:
            FakeChatModel(callbacks=[handler]).invoke("Roses?")
            with urllib.request.urlopen(handler.metrics_url, timeout=60) as answer:  # noqa: S310
                assert "otel_callbacks_operations_total" in answer.read().decode()
    (line,) = [one for one in caplog.messages if str(port) in one]
    assert handler.metrics_url in line
    assert "OTEL_METRICS_EXPORTER=otlp" in line


def test_configured_again_is_the_same_handler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A second call, as in a rerun notebook cell, returns the same handler."""
    registry = CollectorRegistry()
    with configure(settings=QUIET, registry=registry) as first:
        for _ in range(3):
            assert configure(settings=QUIET, registry=registry) is first
        assert caplog.messages == []
        for name in ("shop", "other"):
            other = Settings(traces_exporter="none")
            assert configure(service_name=name, settings=other) is first
    (line,) = caplog.messages
    assert "another service_name and settings and registry" in line


def test_threads_that_configure_at_once_share_a_handler() -> None:
    """Concurrent calls wait and get the same handler."""
    registry = CollectorRegistry()
    together = threading.Barrier(8)

    def ask(_: int) -> Any:
        together.wait(WAIT_S)
        return configure(settings=QUIET, registry=registry)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(ask, range(8)))
    with made[0]:
        assert len({id(one) for one in made}) == 1
        assert len({one.metrics_url for one in made}) == 1


def test_flush_returns_whether_all_arrived(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """True if the receiver accepted everything; False if data is lost or late."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url())
    settings = Settings(protocol="http/protobuf", metrics_exporter="none")
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        model = FakeChatModel(callbacks=[handler])
        model.invoke("Roses?")
        assert handler.flush(60.0)
        assert receiver.names() == ["chat fake-model"]
        receiver.status = 400
        model.invoke("Roses?")
        assert not handler.flush(60.0)
        receiver.status = 200
        receiver.release.clear()
        model.invoke("Roses?")
        assert not handler.flush(0.05)
        receiver.release.set()


def test_flush_after_close_reports_unsent_calls(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls after `close()` are not sent, and `flush` returns False."""
    for name, value in receiver.environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings(protocol="http/protobuf", metrics_exporter="none")
    handler = configure(settings=settings, registry=CollectorRegistry())
    llm = FakeChatModel(callbacks=[handler])
    llm.invoke("Roses?")
    assert handler.flush(float("inf"))
    handler.close()
    assert handler.flush()
    llm.invoke("Lilies?")
    assert not handler.flush()
    assert len(receiver.names()) == 1


def test_flush_where_telemetry_is_off() -> None:
    """Without telemetry there is nothing to send, so `flush` returns True."""
    settings = Settings(sdk_disabled=True)
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        assert handler.flush()


def stop_serving(handler: Any) -> Any:
    """Return the server without its thread, as a forked child has it."""
    # A child is not measured, and nothing public ends the thread alone.
    server, thread = handler._server
    server.shutdown()
    thread.join(WAIT_S)
    return server


def test_forked_child_serves_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The parent keeps the address; the child's first call logs a warning."""
    handler = configure(settings=QUIET, registry=CollectorRegistry())
    server = stop_serving(handler)
    handler.after_fork()
    assert handler.metrics_url == ""
    assert server.socket.fileno() == -1
    assert caplog.messages == []
    for _ in range(2):
        FakeChatModel(usage=USAGE, callbacks=[handler]).invoke("Roses?")
    (line,) = caplog.messages
    assert "nobody scrapes" in line
    assert "OTEL_METRICS_EXPORTER=otlp" in line
    handler.close()
    handler.after_fork()


def test_forked_child_that_pushes_is_not_blind(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A child that pushes its series logs no warning."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url())
    monkeypatch.setattr("opentelemetry.metrics.set_meter_provider", lambda _: None)
    settings = Settings(
        traces_exporter="none",
        protocol="http/protobuf",
        metrics_exporter="both",
        prometheus_port=0,
    )
    handler = configure(settings=settings, registry=CollectorRegistry())
    stop_serving(handler)
    handler.after_fork()
    FakeChatModel(usage=USAGE, callbacks=[handler]).invoke("Roses?")
    handler.close()
    assert caplog.messages == []


def test_declarative_file_is_opentelemetrys(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """OpenTelemetry's package reads the file; without it the variable is refused.

    The log names options for otel_callbacks, which configure() does not read.
    """
    path = str(tmp_path / "otel.yaml")
    monkeypatch.setenv("OTEL_CONFIG_FILE", path)
    monkeypatch.setitem(sys.modules, "opentelemetry.configuration", None)
    with pytest.raises(SettingError, match=r"opentelemetry-configuration"):
        configure(settings=QUIET, registry=CollectorRegistry())
    provider = TracerProvider(shutdown_on_exit=False)
    read: Any = types.SimpleNamespace(
        load_config_file=lambda name: types.SimpleNamespace(
            path=name,
            instrumentation_development=types.SimpleNamespace(
                python={"otel_callbacks": {"enabled": True, "labels": ["team"]}}
            ),
        ),
        configure_sdk=lambda model: (
            trace.set_tracer_provider(provider) if model.path == path else None
        ),
    )
    monkeypatch.setitem(sys.modules, "opentelemetry.configuration", read)
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        assert handler.tracer_provider is provider
    (line,) = [one for one in caplog.messages if "instrumentation/development" in one]
    assert line.startswith(f"otel_callbacks: labels of {path} below")
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        assert handler.tracer_provider is provider


def test_declarative_file_without_options_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file without such options logs nothing."""
    monkeypatch.setenv("OTEL_CONFIG_FILE", "otel.yaml")
    provider = TracerProvider(shutdown_on_exit=False)
    read: Any = types.SimpleNamespace(
        load_config_file=lambda name: types.SimpleNamespace(path=name),
        configure_sdk=lambda _: trace.set_tracer_provider(provider),
    )
    monkeypatch.setitem(sys.modules, "opentelemetry.configuration", read)
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        assert handler.tracer_provider is provider
    assert "instrumentation/development" not in caplog.text


def test_close_gives_the_port_back() -> None:
    """``close()`` frees the port; a second call does nothing."""
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
    """A host that is not an address of this machine is refused with the reason."""
    # Reserved for documentation, RFC 5737: no machine has it.
    elsewhere = Settings(
        traces_exporter="none", prometheus_host="192.0.2.1", prometheus_port=0
    )
    with pytest.raises(SettingError, match=r"192\.0\.2\.1"):
        configure(settings=elsewhere, registry=CollectorRegistry())
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)


@pytest.mark.parametrize("host", ["no-host.invalid", "a..b", "x" * 70, "[::1]"])
@pytest.mark.parametrize("port", [0, None])
def test_host_that_is_none_is_refused_by_name(host: str, port: int | None) -> None:
    """If the name cannot be resolved, the message names the host, not the port."""
    wrong = Settings(traces_exporter="none", prometheus_host=host, prometheus_port=port)
    with pytest.raises(SettingError) as refused:
        configure(settings=wrong, registry=CollectorRegistry())
    assert refused.value.variable == "OTEL_EXPORTER_PROMETHEUS_HOST"
    assert refused.value.value == host


def test_where_nothing_can_be_served_the_app_starts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If no socket is left and no address was set, the app starts with a warning."""
    with configure(settings=QUIET, registry=CollectorRegistry()) as first:
        FakeChatModel(callbacks=[first]).invoke("Roses?")  # imports all that it needs
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        handler = configure(
            settings=Settings(traces_exporter="none"), registry=CollectorRegistry()
        )
        FakeChatModel(callbacks=[handler]).invoke("Roses?")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    handler.close()
    assert handler.metrics_url == ""
    (line,) = [one for one in caplog.messages if "/metrics" in one]
    assert "/metrics cannot be served here (Too many open files)" in line
    assert "OTEL_METRICS_EXPORTER=otlp" in line


def test_metrics_url_of_an_ipv6_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IPv6 address is in brackets, as in every URL."""
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
    """Spans are exported before and after a close and a new set-up."""
    endpoint = f"http://127.0.0.1:{receiver.grpc_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    for name in ("first", "second"):
        registry = CollectorRegistry()
        settings = Settings(prometheus_port=0)
        with configure(
            service_name=name, settings=settings, registry=registry
        ) as handler:
            FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert spans(receiver) == [
        ("first", "chat fake-model"),
        ("second", "chat fake-model"),
    ]


def test_no_metrics_where_none_are_wanted() -> None:
    """``OTEL_METRICS_EXPORTER=none`` opens no port."""
    settings = Settings(traces_exporter="none", metrics_exporter="none")
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        assert handler.metrics_url == ""


def test_pushed_metrics_open_no_port() -> None:
    """``OTEL_METRICS_EXPORTER=otlp`` serves nothing to scrape."""
    settings = Settings(traces_exporter="none", metrics_exporter="otlp")
    with configure(settings=settings, registry=CollectorRegistry()) as handler:
        assert handler.metrics_url == ""


def test_wrong_variable_of_the_sdk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong value that the SDK would ignore is refused with its variable."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "soon")
    with pytest.raises(SettingError, match="OTEL_BSP_SCHEDULE_DELAY=soon"):
        configure(settings=QUIET, registry=CollectorRegistry())


class _Vendor(trace.TracerProvider):
    """A provider of another package, which hands on to one that works."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.real = TracerProvider(shutdown_on_exit=False)
        self.real.add_span_processor(SimpleSpanProcessor(self.exporter))

    def get_tracer(self, *args: Any, **kwargs: Any) -> trace.Tracer:
        return self.real.get_tracer(*args, **kwargs)


def test_a_provider_that_is_not_the_sdks_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Spans go to that provider, one line is logged, and it is not replaced."""
    vendor = _Vendor()
    trace.set_tracer_provider(vendor)
    with configure(settings=QUIET, registry=CollectorRegistry()) as handler:
        assert handler.tracer_provider is vendor
        FakeChatModel(model_name="m").invoke("hi", {"callbacks": [handler]})
    assert trace.get_tracer_provider() is vendor
    assert [span.name for span in vendor.exporter.get_finished_spans()] == ["chat m"]
    assert caplog.text.count("set up already") == 1
    assert "Overriding" not in caplog.text


def test_provider_of_the_app_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A tracer provider that is already set up is kept, and one line is logged."""
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
    """With ``OTEL_SDK_DISABLED`` there is no provider, no port and no series."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    registry = CollectorRegistry()
    handler = configure(registry=registry)
    FakeChatModel(callbacks=[handler]).invoke("Roses?")
    assert handler.metrics_url == ""
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
    assert registry.get_sample_value("otel_callbacks_open_runs") is None
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


@pytest.mark.slow
def test_all_is_flushed_when_the_process_ends(receiver: Receiver) -> None:
    """Queued spans are sent at exit, and open ones end as abandoned."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.grpc_port}",
        "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
    }
    subprocess.run(  # noqa: S603 -- a script of ours
        [sys.executable, "-c", SCRIPT], env=environment, check=True, timeout=WAIT_S
    )
    assert sorted(spans(receiver)) == [
        ("shop", "chat fake-model"),
        ("shop", "still open"),
    ]


def test_traces_can_be_shown_in_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Traces are printed besides or instead of the export; a notebook shows both."""
    for variable, show in (("none", True), ("waterfall", False)):
        monkeypatch.setenv("OTEL_TRACES_EXPORTER", variable)
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
        with configure(registry=CollectorRegistry(), show=show) as handler:
            FakeChatModel(callbacks=[handler]).invoke("Roses?")
            assert f"<td>{variable}</td>" in handler._repr_html_()
        printed = capsys.readouterr().err
        assert "chat fake-model" in printed
        assert "1 traces, 1 calls" in printed
