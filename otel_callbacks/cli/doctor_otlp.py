"""What speaks at an OTLP address: gRPC, HTTP, or something else.

An empty export is a valid request in both protocols, and stores nothing.
https://opentelemetry.io/docs/specs/otlp/
"""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

# It ships no types.
import grpc  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor_addresses import Address

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_PATH: Final = "/v1/traces"
# What says that there is no OTLP: the client's own codes, and an unknown method.
_NO_OTLP_GRPC: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"})
_NO_OTLP_HTTP: Final = frozenset({301, 302, 307, 308, 404, 405, 501})
_OK: Final = 200
_TYPE: Final = {"Content-Type": "application/x-protobuf"}


class Word(NamedTuple):
    """What a server said to an empty export.

    Args:
        speaks: Whether it speaks the protocol at all.
        takes: Whether it took the export.
        said: Its status and its words, for people.
    """

    speaks: bool
    takes: bool
    said: str


def ask(
    address: Address, protocol: str, seconds: float, authorities: str | None = None
) -> Word:
    """Send an empty export.

    Args:
        address: Where to.
        protocol: ``grpc`` or ``http/protobuf``.
        seconds: How long it may take.
        authorities: A file of certificates to trust; the system's when None.
    """
    send = _over_grpc if protocol == "grpc" else _over_http
    return send(address, seconds, authorities)


def _over_grpc(address: Address, seconds: float, authorities: str | None) -> Word:
    """Ask in gRPC."""
    target = f"{address.host}:{address.port}"
    # Else gRPC goes through http_proxy even to this machine.
    options = [("grpc.enable_http_proxy", 0)]
    if address.tls:
        roots = Path(authorities).read_bytes() if authorities else None
        credentials = grpc.ssl_channel_credentials(roots)
        channel = grpc.secure_channel(target, credentials, options)
    else:
        channel = grpc.insecure_channel(target, options)
    with channel:
        try:
            channel.unary_unary(_METHOD)(b"", timeout=seconds)
        except grpc.RpcError as error:
            code = error.code()
            said = f"{code.name}: {error.details()}"
            return Word(code.name not in _NO_OTLP_GRPC, takes=False, said=said)
    return Word(speaks=True, takes=True, said="OK")


def _over_http(address: Address, seconds: float, authorities: str | None) -> Word:
    """Ask in HTTP."""
    connection: http.client.HTTPConnection
    if address.tls:
        context = ssl.create_default_context(cafile=authorities)
        connection = http.client.HTTPSConnection(
            address.host, address.port, timeout=seconds, context=context
        )
    else:
        connection = http.client.HTTPConnection(
            address.host, address.port, timeout=seconds
        )
    try:
        connection.request("POST", _PATH, b"", _TYPE)
        answer = connection.getresponse()
        words = answer.read(200).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return Word(speaks=False, takes=False, said=f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    said = f"HTTP {answer.status} {answer.reason}"
    if answer.status == _OK:  # and the body is binary
        return Word(speaks=True, takes=True, said=said)
    speaks = answer.status not in _NO_OTLP_HTTP
    return Word(speaks, takes=False, said=f"{said} {words}".strip())
