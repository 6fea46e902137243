from __future__ import annotations

import socket
from contextlib import closing

import grpc  # type: ignore[import-untyped]
import pytest
from loopback_servers import CERTIFICATE, Page, Receiver, Web

from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.collector import Word, ask


@pytest.mark.parametrize("tls", [False, True])
def test_receivers_take_an_empty_export(tls: bool) -> None:  # noqa: FBT001
    """Over gRPC and HTTP, plain and over TLS; nothing is stored."""
    authorities = str(CERTIFICATE) if tls else None
    with Receiver(tls=tls) as receiver:
        where = address("", receiver.url)
        assert ask(where, "grpc", 5, authorities) == Word(True, True, "OK")  # noqa: FBT003
        assert receiver.traces == {}
    with Web({"/v1/traces": Page()}, tls=tls) as web:
        word = ask(address("", web.url), "http/protobuf", 5, authorities)
        assert word == Word(True, True, "HTTP 200 OK")  # noqa: FBT003


def test_refusals_speak_the_protocol() -> None:
    """With their status and their words."""
    code = grpc.StatusCode.UNAUTHENTICATED
    with Receiver(code, refuses_all=True) as receiver:
        word = ask(address("", receiver.url), "grpc", 5)
    assert word == Word(True, False, "UNAUTHENTICATED: not today")  # noqa: FBT003
    with Web({"/v1/traces": Page("who are you?", 401)}) as web:
        word = ask(address("", web.url), "http/protobuf", 5)
    assert word == Word(True, False, "HTTP 401 Unauthorized who are you?")  # noqa: FBT003


def test_other_servers_do_not_speak_it() -> None:
    """Another gRPC service, another web page, HTTP for gRPC, and gRPC for HTTP."""
    with Receiver(service="other.Service") as receiver:
        word = ask(address("", receiver.url), "grpc", 5)
        assert (word.speaks, word.said.partition(":")[0]) == (False, "UNIMPLEMENTED")
        word = ask(address("", receiver.url), "http/protobuf", 5)
        assert not word.speaks
    with Web() as web:
        word = ask(address("", web.url), "http/protobuf", 5)
        assert word == Word(
            speaks=False, takes=False, said="HTTP 404 Not Found 404 page not found"
        )
        word = ask(address("", web.url), "grpc", 5)
        assert (word.speaks, word.said.partition(":")[0]) == (False, "UNAVAILABLE")


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_silence_is_no_protocol(protocol: str) -> None:
    """Whoever says nothing within the time speaks neither."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        where = address("", f"http://127.0.0.1:{server.getsockname()[1]}")
        word = ask(where, protocol, 0.2)
    assert not word.speaks
