from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import grpc  # type: ignore[import-untyped]
import pytest
from loopback_servers import CERTIFICATE, Page, Receiver, Web

from otel_callbacks import Settings
from otel_callbacks.cli.doctor.addresses import Addresses, address
from otel_callbacks.cli.doctor.chain import run_chain, trace_id
from otel_callbacks.cli.doctor.collector import send
from otel_callbacks.cli.doctor.findings import Finding, Trouble

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Sent, Visit


def _send(visit: Visit, url: str, protocol: str = "grpc", chosen: str = "") -> Sent:
    """Send a fake chain to a Collector."""
    other = address("", "http://127.0.0.1:1")
    where = Addresses(address("", url), chosen, other, other, other, None)
    return send(visit, where, protocol, run_chain(visit, "mark", Settings()))


def _why(visit: Visit, url: str, protocol: str = "grpc") -> Finding:
    """Return why a Collector does not take spans."""
    with pytest.raises(Trouble) as caught:
        _send(visit, url, protocol, url)
    return caught.value.finding


def test_spans_arrive(visit: Visit) -> None:
    """All of them, under the trace that is said."""
    with Receiver() as receiver:
        sent = _send(visit, receiver.url, chosen=receiver.url)
        assert receiver.traces == {sent.trace_id: 3}
    assert sent.trace_id == trace_id(sent.spans)
    assert sent.ago >= 0


def test_spans_arrive_over_tls(visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment's authority, as the app's own exporter."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(CERTIFICATE))
    with Receiver(tls=True) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        sent = _send(visit, receiver.url)
        assert receiver.traces == {sent.trace_id: 3}


def test_spans_arrive_over_http(visit: Visit) -> None:
    """At the path that is the protocol's, written out or not."""
    with Web({"/v1/traces": Page()}) as web:
        _send(visit, web.url, "http/protobuf", web.url)
        url = f"{web.url}/v1/traces"
        _send(visit, url, "http/protobuf", url)
        assert {path for path, _ in web.requests} == {"/v1/traces"}


def test_wrong_protocol_is_named(visit: Visit) -> None:
    """Both ways round."""
    with Receiver() as receiver:
        found = _why(visit, receiver.url, "http/protobuf")
        assert "speaks grpc, we http/protobuf" in found.reason
        assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in found.remedy
        assert "4318 by default" in found.remedy
    with Web({"/v1/traces": Page()}) as web:
        found = _why(visit, web.url)
        assert "speaks http/protobuf, we grpc" in found.reason
        assert "4317 by default" in found.remedy


def test_tls_mismatch_is_named(visit: Visit) -> None:
    """Plain text to a port for TLS, in both protocols, and TLS to a plain one."""
    with Receiver(tls=True) as receiver:
        found = _why(visit, receiver.url.replace("https", "http"))
        assert found.reason.endswith("speaks TLS, we plain text")
    with Web(tls=True) as web:
        found = _why(visit, web.url.replace("https", "http"), "http/protobuf")
        assert found.reason.endswith("speaks TLS, we plain text")
    with Receiver() as receiver:
        found = _why(visit, receiver.url.replace("http", "https"))
        assert found.reason.startswith("TLS mismatch: we speak TLS")


def test_another_server_is_named(visit: Visit) -> None:
    """It speaks no OTLP at all."""
    with Web() as web:
        found = _why(visit, web.url, "http/protobuf")
    assert "speaks no OTLP (HTTP 404" in found.reason
    assert "--collector URL" in found.remedy


@pytest.mark.parametrize(
    ("code", "everything", "reason", "remedy"),
    [
        ("UNAUTHENTICATED", True, "wants a login", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("RESOURCE_EXHAUSTED", True, "refuses for now", "exporter_queue_size"),
        ("INVALID_ARGUMENT", False, "answers, and refuses the spans (OK)", "limiter"),
    ],
)
def test_refusal_is_named(
    visit: Visit,
    code: str,
    everything: bool,  # noqa: FBT001
    reason: str,
    remedy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the server's words; the exporters' own lines about it are not logged."""
    with Receiver(grpc.StatusCode[code], refuses_all=everything) as receiver:
        found = _why(visit, receiver.url)
    assert reason in found.reason
    assert remedy in found.remedy
    assert caplog.records == []
    assert logging.root.manager.disable == logging.NOTSET
