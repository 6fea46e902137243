from __future__ import annotations

import logging
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import grpc  # type: ignore[import-untyped]
import pytest
from loopback_servers import CERTIFICATE, Page, Receiver, Web, at

from otel_callbacks import Settings
from otel_callbacks.cli.doctor.chain import run_chain, trace_id
from otel_callbacks.cli.doctor.collector import Reply, ask, send
from otel_callbacks.cli.doctor.examination import Addresses
from otel_callbacks.cli.doctor.probe import Finding, Trouble

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Check, Sent


def _send(check: Check, url: str, protocol: str = "grpc", chosen: str = "") -> Sent:
    """Send a fake chain to a Collector."""
    other = at("http://127.0.0.1:1")
    where = Addresses(at(url), chosen, "/v1/traces", other, other, other, None)
    return send(check, where, protocol, run_chain(check, "mark", Settings()))


def _why(check: Check, url: str, protocol: str = "grpc") -> Finding:
    """Return why a Collector refuses spans."""
    with pytest.raises(Trouble) as caught:
        _send(check, url, protocol, url)
    return caught.value.finding


def test_spans_arrive(check: Check) -> None:
    """All spans arrive, in the reported trace."""
    with Receiver() as receiver:
        sent = _send(check, receiver.url, chosen=receiver.url)
        assert receiver.traces == {sent.trace_id: 3}
    assert sent.trace_id == trace_id(sent.spans)
    assert sent.ago >= 0


def test_spans_arrive_over_tls(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is from the environment, as for the app's exporter."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(CERTIFICATE))
    with Receiver(tls=True) as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        sent = _send(check, receiver.url)
        assert receiver.traces == {sent.trace_id: 3}


def test_spans_arrive_over_http(check: Check) -> None:
    """The path is optional in the address."""
    with Web({"/v1/traces": Page()}) as web:
        _send(check, web.url, "http/protobuf", web.url)
        url = f"{web.url}/v1/traces"
        _send(check, url, "http/protobuf", url)
        assert {path for path, _ in web.requests} == {"/v1/traces"}


def test_wrong_protocol_is_named(check: Check) -> None:
    """HTTP for gRPC, and gRPC for HTTP."""
    with Receiver() as receiver:
        found = _why(check, receiver.url, "http/protobuf")
        assert "speaks grpc, not http/protobuf" in found.reason
        assert "OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in found.remedy
        assert "4318 by default" in found.remedy
    with Web({"/v1/traces": Page()}) as web:
        found = _why(check, web.url)
        assert "speaks http/protobuf, not grpc" in found.reason
        assert "4317 by default" in found.remedy


def test_tls_mismatch_is_named(check: Check) -> None:
    """Plain text to a port for TLS, in both protocols, and TLS to a plain one."""
    with Receiver(tls=True) as receiver:
        found = _why(check, receiver.url.replace("https", "http"))
        assert found.reason.endswith("speaks TLS, not plain text")
    with Web(tls=True) as web:
        found = _why(check, web.url.replace("https", "http"), "http/protobuf")
        assert found.reason.endswith("speaks TLS, not plain text")
    with Receiver() as receiver:
        found = _why(check, receiver.url.replace("http", "https"))
        assert found.reason.startswith("TLS mismatch: 127.0.0.1")


def test_another_server_is_named(check: Check) -> None:
    """It does not support OTLP."""
    with Web() as web:
        found = _why(check, web.url, "http/protobuf")
    assert "does not speak OTLP (HTTP 404" in found.reason
    assert "--collector URL" in found.remedy


@pytest.mark.parametrize(
    ("code", "everything", "reason", "remedy"),
    [
        ("UNAUTHENTICATED", True, "requires a login", "OTEL_EXPORTER_OTLP_HEADERS"),
        ("RESOURCE_EXHAUSTED", True, "is overloaded", "exporter_queue_size"),
        ("INVALID_ARGUMENT", False, "responds, but refuses the spans (OK)", "limiter"),
    ],
)
def test_refusal_is_named(
    check: Check,
    code: str,
    everything: bool,  # noqa: FBT001
    reason: str,
    remedy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The trouble has the server's message; the exporters log nothing."""
    with Receiver(grpc.StatusCode[code], refuses_all=everything) as receiver:
        found = _why(check, receiver.url)
    assert reason in found.reason
    assert remedy in found.remedy
    assert caplog.records == []
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize("tls", [False, True])
def test_receivers_take_an_empty_export(tls: bool) -> None:  # noqa: FBT001
    """Over gRPC and HTTP, plain and over TLS; nothing is stored."""
    authorities = str(CERTIFICATE) if tls else None
    with Receiver(tls=tls) as receiver:
        where = at(receiver.url)
        assert ask(where, "grpc", 5, authorities) == Reply(True, True, "OK")  # noqa: FBT003
        assert receiver.traces == {}
    with Web({"/v1/traces": Page()}, tls=tls) as web:
        reply = ask(at(web.url), "http/protobuf", 5, authorities)
        assert reply == Reply(True, True, "HTTP 200 OK")  # noqa: FBT003


def test_refusals_speak_the_protocol() -> None:
    """The response has a status and a message."""
    code = grpc.StatusCode.UNAUTHENTICATED
    with Receiver(code, refuses_all=True) as receiver:
        reply = ask(at(receiver.url), "grpc", 5)
    assert reply == Reply(True, False, "UNAUTHENTICATED: not today")  # noqa: FBT003
    with Web({"/v1/traces": Page("who are you?", 401)}) as web:
        reply = ask(at(web.url), "http/protobuf", 5)
    assert reply == Reply(True, False, "HTTP 401 Unauthorized who are you?")  # noqa: FBT003


def test_other_servers_do_not_speak_it() -> None:
    """Another gRPC service, another web page, HTTP for gRPC, and gRPC for HTTP."""
    with Receiver(service="other.Service") as receiver:
        reply = ask(at(receiver.url), "grpc", 5)
        assert (reply.speaks, reply.detail.partition(":")[0]) == (
            False,
            "UNIMPLEMENTED",
        )
        reply = ask(at(receiver.url), "http/protobuf", 5)
        assert not reply.speaks
    with Web() as web:
        reply = ask(at(web.url), "http/protobuf", 5)
        assert reply == Reply(
            speaks=False, takes=False, detail="HTTP 404 Not Found 404 page not found"
        )
        reply = ask(at(web.url), "grpc", 5)
        assert (reply.speaks, reply.detail.partition(":")[0]) == (False, "UNAVAILABLE")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_silence_is_no_protocol(protocol: str) -> None:
    """A server without a response in time supports neither."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        where = at(f"http://127.0.0.1:{server.getsockname()[1]}")
        reply = ask(where, protocol, 0.2)
    assert not reply.speaks
