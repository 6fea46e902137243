"""The reason of a failed export, with real exporters."""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from otel_callbacks import Settings

# Words that no exporter of this version logs can only be read directly, and the
# filter of a log is shared by all handlers of the process.
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._export.otlp import LOGS, Route
from otel_callbacks._export.providers import Exports
from otel_callbacks._export.reasons import close_filter, listening, open_filter, why

if TYPE_CHECKING:
    from otlp_receiver import Receiver

GRPC = "opentelemetry.exporter.otlp.proto.grpc.exporter"


@pytest.fixture(autouse=True)
def _own_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing become global here."""
    monkeypatch.setattr(
        "opentelemetry.trace.set_tracer_provider", lambda provider: provider
    )


def line_of_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    endpoint: str,
    protocol: str,
    *,
    own: bool = False,
) -> str:
    """Return what is logged when one span cannot be sent there."""
    signal = "TRACES_" if own else ""
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    diagnostics = Diagnostics()
    exports = Exports(Settings(protocol=protocol, metrics_exporter="none"), None)
    assert exports.tracer_provider is not None
    exports.start(diagnostics)
    exports.tracer_provider.get_tracer("test").start_span("span").end()
    assert not exports.flush(60.0)
    exports.close()
    assert diagnostics.counts() == {"export": 1}
    (line,) = [one for one in caplog.messages if "cannot be sent" in one]
    assert line.startswith(f"otel_callbacks: spans cannot be sent to {endpoint}: ")
    assert "otel-callbacks doctor" in line
    assert "otel_callbacks_errors_total{where='export'}" in line
    assert caplog.messages == [line]
    return line


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_nothing_listens_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """A refused connection is named so, over both protocols."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    line = line_of_a_failure(monkeypatch, caplog, endpoint, protocol)
    assert "the connection is refused: nothing listens there" in line


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_the_name_is_unknown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """A host that no name server knows."""
    endpoint = "http://collector.invalid:4317"
    line = line_of_a_failure(monkeypatch, caplog, endpoint, protocol)
    assert "its host name cannot be resolved (DNS)" in line


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_no_answer(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
) -> None:
    """One that takes the request and says nothing; over HTTP, newer exporters say less.

    They log the same where it cannot be reached in time.
    """
    receiver.release.clear()
    line = line_of_a_failure(monkeypatch, caplog, receiver.url(protocol), protocol)
    assert "does not answer in time" in line


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "HTTP status 400 Bad Request: the receiver cannot read the request"),
        (401, "HTTP status 401 Unauthorized: set the key in OTEL_EXPORTER_OTLP_HEADER"),
        (404, "HTTP status 404 Not Found: the receiver has no such path"),
        (413, "HTTP status 413 Request Entity Too Large: the request is too large: lo"),
        # After these the exporter tries again, and logs the words alone.
        (429, "HTTP status 429 Too Many Requests: the receiver limits the rate"),
        (502, "HTTP status 502 Bad Gateway: a proxy stands there"),
        (503, "HTTP status 503 Service Unavailable: the receiver is overloaded"),
        # Has no name. Above 599, older exporters take anything for a success.
        (499, "HTTP status 499."),
        (500, "HTTP status 500 Internal Server Error."),
    ],
)
def test_http_status(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    words: str,
) -> None:
    """The status, and what it means where that is known."""
    receiver.status = status
    endpoint = receiver.url()
    line = line_of_a_failure(monkeypatch, caplog, endpoint, "http/protobuf")
    assert words in line


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics", "/v1/logs/"])
def test_the_path_is_doubled(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    """The general endpoint has the signal's path added; with one, it has two."""
    endpoint = f"{receiver.url()}{path}"
    line = line_of_a_failure(monkeypatch, caplog, endpoint, "http/protobuf")
    assert "the path is doubled, /v1/traces is added" in line
    assert f"leave {path.rstrip('/')} out there" in line
    assert receiver.paths[0] == f"{path.rstrip('/')}/v1/traces"


def test_a_signals_own_endpoint_is_never_doubled(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is used as it is, so a 404 there means another thing."""
    endpoint = f"{receiver.url()}/other/v1/traces"
    line = line_of_a_failure(monkeypatch, caplog, endpoint, "http/protobuf", own=True)
    assert "the receiver has no such path" in line


def test_grpc_without_a_scheme_is_tls(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The most usual mistake with gRPC: the line says what to write."""
    endpoint = f"127.0.0.1:{receiver.grpc_port}"
    line = line_of_a_failure(monkeypatch, caplog, endpoint, "grpc")
    assert f"write http://{endpoint} if the receiver has none" in line


def test_tls_where_there_is_none(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """HTTPS to a port that speaks plain HTTP."""
    endpoint = f"https://127.0.0.1:{receiver.http_port}"
    line = line_of_a_failure(monkeypatch, caplog, endpoint, "http/protobuf")
    assert "no TLS connection can be made" in line


@pytest.mark.parametrize(
    ("protocol", "other"), [("grpc", "http/protobuf"), ("http/protobuf", "grpc")]
)
def test_the_other_protocol(
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    protocol: str,
    other: str,
) -> None:
    """The two ports are taken for each other."""
    endpoint = receiver.url(other)
    line = line_of_a_failure(monkeypatch, caplog, endpoint, protocol)
    assert f"does not speak {protocol}" in line


@pytest.mark.parametrize(
    ("logged", "words"),
    [
        (
            "Failed to export logs to x, error code: StatusCode.UNIMPLEMENTED",
            "the receiver does not accept logs over gRPC",
        ),
        (
            "Failed to export logs to x, error code: StatusCode.UNAUTHENTICATED",
            "the receiver requires a key",
        ),
        (
            "Failed to export logs to x, error code: StatusCode.INTERNAL, details: hm",
            "gRPC status INTERNAL",
        ),
        (
            "Failed to export logs batch due to timeout, max retries or shutdown.",
            "the receiver cannot be reached, or does not answer in time",
        ),
        (
            "Transient error Service Unavailable encountered while exporting logs",
            "HTTP status 503 Service Unavailable: the receiver is overloaded",
        ),
        ("Transient error Hm encountered while exporting", "no reason is known"),
        (
            "Dropping log batch: serialized size 9 bytes exceeds max_request_size 8",
            "the request is too large: lower OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        ),
        (
            "StatusCode.RESOURCE_EXHAUSTED CLIENT: Received message larger than max",
            "the request is too large",
        ),
        ("something new", "no reason is known"),
    ],
)
def test_other_words_of_the_exporters(logged: str, words: str) -> None:
    """What gRPC says, without its own text, which may hold anything."""
    found = why([logged], Route(LOGS, "grpc", "http://x", is_own_endpoint=False))
    assert found.startswith(words)
    assert "hm" not in found


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_all_signals_to_one_address_cost_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    """Without a Collector there is one line, not three; each loss is counted."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name in ("metrics.set_meter_provider", "_logs.set_logger_provider"):
        monkeypatch.setattr(f"opentelemetry.{name}", lambda provider: provider)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    settings = Settings(protocol=protocol, metrics_exporter="otlp", emit_event=True)
    diagnostics = Diagnostics()
    monkeypatch.setattr(
        "otel_callbacks._export.providers.set_logger_provider", lambda _: None
    )
    exports = Exports(settings, None)
    exports.start(diagnostics)
    assert exports.tracer_provider is not None
    assert exports.logger_provider is not None
    assert exports.meter_provider is not None
    exports.tracer_provider.get_tracer("test").start_span("span").end()
    exports.logger_provider.get_logger("test").emit(event_name="said")
    exports.meter_provider.get_meter("test").create_counter("roses").add(1)
    exports.close(60.0)
    assert diagnostics.counts() == {
        "export": 1,
        "export_events": 1,
        "export_metrics": 1,
    }
    (line,) = caplog.messages
    assert "the connection is refused: nothing listens there" in line


def filters() -> int:
    """Return how many filters the exporters' logger has."""
    return len(logging.getLogger(GRPC).filters)


def test_no_filter_outlives_its_owners() -> None:
    """One for all of them, and none after the last; a second close is none."""
    before = filters()
    first, second = object(), object()
    open_filter(first)
    open_filter(second)
    assert filters() == before + 1
    close_filter(first)
    assert filters() == before + 1
    close_filter(second)
    close_filter(second)
    assert filters() == before


def test_only_lines_of_our_own_exports_are_kept_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An app's exporters log under the same names, in other threads or later."""
    caplog.set_level(logging.INFO, GRPC)
    owner = object()
    open_filter(owner)
    logger, heard = logging.getLogger(GRPC), list[str]()
    with listening(heard.append):
        logger.warning("Failed to export %s", "ours")
        logger.info("sending")
        thread = threading.Thread(target=logger.warning, args=("an app's own",))
        thread.start()
        thread.join()
    logger.warning("an app's own, later")
    close_filter(owner)
    assert heard == ["Failed to export ours"]
    assert caplog.messages == ["sending", "an app's own", "an app's own, later"]
