"""Why an address cannot be reached: its name, its port, its certificate."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli.doctor_report import Trouble

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor_addresses import Address

_START: Final = (
    "Start it (`docker compose up --wait`; `docker compose ps` shows what runs), or "
    "say where it is: {option} URL."
)


def connect(
    address: Address, option: str, seconds: float, authorities: str | None = None
) -> None:
    """Open a connection and close it again, over TLS where the address says so.

    Args:
        address: Where to.
        option: The option that says where, for the remedy.
        seconds: How long it may take.
        authorities: A file of certificates to trust; the system's when None.

    Raises:
        Trouble: There is no connection; it says why.
    """
    where = f"{address.host}:{address.port}"
    start = _START.format(option=option)
    try:
        plain = socket.create_connection((address.host, address.port), seconds)
    except socket.gaierror as error:
        reason = f"DNS does not know {address.host} ({error.strerror})"
        remedy = (
            f"Check the name: {option} URL. Names of Compose services "
            "(otel-collector, jaeger) are known inside its network only; outside it "
            "is 127.0.0.1."
        )
        raise Trouble(reason, remedy) from error
    except ConnectionRefusedError as error:
        reason = f"connection refused: nothing listens on {where}"
        raise Trouble(reason, start) from error
    except TimeoutError as error:
        reason = f"no connection to {where} within {seconds:.0f} s"
        remedy = f"Is a firewall between, or is the host away? Else: {option} URL."
        raise Trouble(reason, remedy) from error
    except OSError as error:
        reason = f"no connection to {where}: {error.strerror or error}"
        raise Trouble(reason, start) from error
    with closing(plain):
        if address.tls:
            _check_certificate(plain, address, option, authorities)


def speaks_tls(address: Address, seconds: float) -> bool:
    """Say whether a server speaks TLS, whatever its certificate.

    Args:
        address: Where it is.
        seconds: How long it may take.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), seconds) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except OSError:
        return False


def plain_text_trouble(address: Address, option: str) -> Trouble:
    """Return what to say when we speak plain text to a server that wants TLS.

    Args:
        address: Where it is.
        option: The option that says where, for the remedy.
    """
    reason = f"TLS mismatch: {address.host}:{address.port} speaks TLS, we plain text"
    return Trouble(reason, f"Write https:// in its address: {option} URL.")


def _check_certificate(
    plain: socket.socket, address: Address, option: str, authorities: str | None
) -> None:
    """Shake hands, or say why that fails."""
    where = f"{address.host}:{address.port}"
    try:
        context = ssl.create_default_context(cafile=authorities)
    except OSError as error:
        reason = f"the certificates of {authorities} cannot be read ({error.strerror})"
        remedy = "Check OTEL_EXPORTER_OTLP_CERTIFICATE: a file in PEM."
        raise Trouble(reason, remedy) from error
    try:
        context.wrap_socket(plain, server_hostname=address.host).close()
    except ssl.SSLCertVerificationError as error:
        reason = f"TLS: the certificate of {where} is not trusted: " + (
            error.verify_message
        )
        remedy = (
            "Name the certificate authority's file: OTEL_EXPORTER_OTLP_CERTIFICATE "
            "for the Collector, SSL_CERT_FILE for the others; and the host by the "
            "name that the certificate has."
        )
        raise Trouble(reason, remedy) from error
    except OSError as error:
        reason = f"TLS mismatch: we speak TLS, {where} does not ({error})"
        remedy = (
            f"Write http:// in its address: {option} URL. An OTLP address without "
            "a scheme is TLS unless OTEL_EXPORTER_OTLP_INSECURE=true."
        )
        raise Trouble(reason, remedy) from error
