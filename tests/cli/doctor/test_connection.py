from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from loopback_servers import CERTIFICATE, Web, closed_port

from otel_callbacks.cli.doctor.addresses import Address, address
from otel_callbacks.cli.doctor.findings import Finding, Trouble
from otel_callbacks.cli.doctor.probe import connect, speaks_tls

if TYPE_CHECKING:
    from pathlib import Path


def _why(where: Address, authorities: str | None = None) -> Finding:
    """Return why there is no connection."""
    with pytest.raises(Trouble) as caught:
        connect(where, "--jaeger", 0.3, authorities)
    return caught.value.finding


def test_open_port_is_no_trouble() -> None:
    """Plain, and over TLS with a certificate that is trusted."""
    with Web() as plain, Web(tls=True) as secure:
        connect(address("", plain.url), "--jaeger", 5)
        connect(address("", secure.url), "--jaeger", 5, str(CERTIFICATE))
        assert not speaks_tls(address("", plain.url), 5)
        assert speaks_tls(address("", secure.url), 5)


def test_unknown_name_is_named() -> None:
    """DNS, with a word on the names of Compose services."""
    found = _why(address("", "http://otel-collector.invalid:1"))
    assert found.reason.startswith("DNS does not know otel-collector.invalid (")
    assert "Names of Compose services" in found.remedy


def test_closed_port_is_refused() -> None:
    """With host and port, and how to start what should be there."""
    port = closed_port()
    found = _why(address("", f"http://127.0.0.1:{port}"))
    assert found.reason == f"connection refused: nothing listens on 127.0.0.1:{port}"
    assert "docker compose up" in found.remedy
    assert "--jaeger URL" in found.remedy


def test_silent_host_is_named() -> None:
    """A full queue of connections: no answer, as from behind a firewall."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        where = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003 -- its one argument
            one.connect_ex(where)
        found = _why(address("", f"http://127.0.0.1:{where[1]}"))
        for one in waiting:
            one.close()
    assert found.reason == f"no connection to 127.0.0.1:{where[1]} within 0 s"
    assert "firewall" in found.remedy


def test_unreachable_network_is_named() -> None:
    """By the system's own words."""
    found = _why(address("", "http://255.255.255.255:9"))
    assert found.reason.startswith("no connection to 255.255.255.255:9: ")


def test_untrusted_certificate_is_named() -> None:
    """With the variable that names the authority."""
    with Web(tls=True) as secure:
        found = _why(address("", secure.url))
    assert "is not trusted: self" in found.reason
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in found.remedy


def test_plain_server_is_a_tls_mismatch() -> None:
    """When we are the one who speaks TLS."""
    with Web() as plain:
        found = _why(address("", plain.url.replace("http", "https")))
    assert found.reason.startswith("TLS mismatch: we speak TLS, 127.0.0.1:")
    assert "http://" in found.remedy


def test_missing_authority_is_named(tmp_path: Path) -> None:
    """By the file's name."""
    missing = str(tmp_path / "ca.pem")
    with Web(tls=True) as secure:
        found = _why(address("", secure.url), missing)
    assert found.reason.startswith(f"the certificates of {missing} cannot be read")
