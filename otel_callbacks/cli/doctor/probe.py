"""The doctor's checks and report: hops, troubles and their remedies."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from otel_callbacks.cli._http import FAILURES, Answer, get

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from otel_callbacks.cli._http import Address

State = Literal["reached", "answers", "broken", "skipped"]
"""How a hop is: the trace got there; it works, but no trace could be followed to it;
it has troubles; it was left out."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and its remedy."""

    reason: str
    remedy: str


class Trouble(Exception):  # noqa: N818 -- not an error of the doctor's
    """A hop cannot be followed any further."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.finding = Finding(reason, remedy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One hop of the chain."""

    name: str
    state: State
    address: str = ""
    saw: str = ""
    seconds: float = 0.0
    troubles: tuple[Finding, ...] = ()
    cautions: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All hops."""

    service: str
    instance: str
    trace_id: str
    seconds: float
    hops: tuple[Hop, ...]

    @property
    def broken(self) -> tuple[Hop, ...]:
        """The broken hops."""
        return tuple(hop for hop in self.hops if hop.state == "broken")

    def as_json(self) -> str:
        """Return the JSON text, with a newline."""
        data = {"ok": not self.broken, **asdict(self)}
        for part in (data, *data["hops"]):
            part["seconds"] = round(part["seconds"], 3)
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


_START: Final = (
    "Start it (`docker compose up --wait`; `docker compose ps` shows what runs), or "
    "give its address: {option} URL."
)


def connect(
    address: Address, option: str, seconds: float, authorities: str | None = None
) -> None:
    """Open and close a connection, over TLS for an https address."""
    where = f"{address.host}:{address.port}"
    start = _START.format(option=option)
    try:
        plain = socket.create_connection((address.host, address.port), seconds)
    except socket.gaierror as error:
        reason = f"DNS cannot resolve {address.host} ({error.strerror})"
        remedy = (
            f"Check the name: {option} URL. Names of Compose services "
            "(otel-collector, jaeger) resolve only inside the Compose network; "
            "outside it, use 127.0.0.1."
        )
        raise Trouble(reason, remedy) from error
    except ConnectionRefusedError as error:
        reason = f"connection refused: nothing listens on {where}"
        raise Trouble(reason, start) from error
    except TimeoutError as error:
        reason = f"no connection to {where} within {seconds:.0f} s"
        remedy = f"Check for a firewall and that the host is up; else {option} URL."
        raise Trouble(reason, remedy) from error
    except OSError as error:
        reason = f"no connection to {where}: {error.strerror or error}"
        raise Trouble(reason, start) from error
    with closing(plain):
        if address.tls:
            _check_certificate(plain, address, option, authorities)


def speaks_tls(address: Address, seconds: float) -> bool:
    """Return whether a server speaks TLS, with any certificate."""
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
    """Return the trouble of plain text sent to a server that requires TLS."""
    reason = f"TLS mismatch: {address.host}:{address.port} speaks TLS, not plain text"
    return Trouble(reason, f"Use https:// in its address: {option} URL.")


def _check_certificate(
    plain: socket.socket, address: Address, option: str, authorities: str | None
) -> None:
    """Do the TLS handshake, or raise the reason of its failure."""
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
            "Set the certificate authority's file: OTEL_EXPORTER_OTLP_CERTIFICATE "
            "for the Collector, SSL_CERT_FILE for the other servers. Use the host name "
            "in the certificate."
        )
        raise Trouble(reason, remedy) from error
    except OSError as error:
        reason = f"TLS mismatch: {where} does not speak TLS ({error})"
        remedy = (
            f"Use http:// in its address: {option} URL. An OTLP address without "
            "a scheme is TLS unless OTEL_EXPORTER_OTLP_INSECURE=true."
        )
        raise Trouble(reason, remedy) from error


_T = TypeVar("_T")
_REQUEST_SECONDS: Final = 5.0
_LEAST_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.25
_SKEW_SECONDS: Final = 5.0
# Responses of Go's servers and nginx to plain text on a TLS port.
_WANTS_TLS: Final = re.compile("HTTP request (to an HTTPS server|was sent to HTTPS)")
_NOT_READY: Final = frozenset({502, 503, 504})
_LOGIN_NEEDED: Final = (401, 403)


class Deadline:
    """The remaining time."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """The remaining seconds, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    @property
    def request(self) -> float:
        """The time limit of one request in seconds, with a minimum."""
        return max(min(_REQUEST_SECONDS, self.remaining), _LEAST_SECONDS)

    def share(self, part: float) -> Deadline:
        """Return a deadline after a part of the remaining time."""
        return Deadline(self.remaining * part)

    def poll(self, probe: Callable[[], _T | None]) -> _T | None:
        """Poll until there is a result; return None when the time is over."""
        while (found := probe()) is None:
            if self.remaining <= 0:
                return None
            time.sleep(min(_POLL_SECONDS, self.remaining))
        return found


@dataclass(frozen=True, slots=True)
class Sent:
    """The sent spans of the fake chain."""

    spans: Sequence[ReadableSpan]
    trace_id: str
    at: float
    wall: float

    @property
    def ago(self) -> float:
        """The seconds since the export."""
        return time.monotonic() - self.at


@dataclass(slots=True)
class Check:
    """The check of one hop."""

    deadline: Deadline
    sent: Sent | None = None
    troubles: list[Finding] = field(default_factory=list)
    cautions: list[Finding] = field(default_factory=list)

    def trouble(self, reason: str, remedy: str) -> None:
        """Add a fault that breaks the hop, and continue."""
        self.troubles.append(Finding(reason, remedy))

    def caution(self, reason: str, remedy: str) -> None:
        """Add a warning that does not break the hop."""
        finding = Finding(reason, remedy)
        if finding not in self.cautions:
            self.cautions.append(finding)


class Server:
    """A server with an HTTP API."""

    def __init__(self, name: str, address: Address, check: Check) -> None:
        self._name = name
        self._option = f"--{name}"
        self._address = address
        self._check = check

    def get(self, path: str, accept: str = "*/*", **query: str) -> Answer:
        """Return the response, whatever its status."""
        seconds = self._check.deadline.request
        began = time.time()
        try:
            answer = get(self._address, path, query, accept=accept, seconds=seconds)
        except FAILURES as error:
            raise self._why(error) from error
        if not self._address.tls and _WANTS_TLS.search(answer.text[:500]):
            raise plain_text_trouble(self._address, self._option)
        self._compare_clocks(answer.headers.get("Date"), (began + time.time()) / 2)
        return answer

    def needs_login(self, answer: Answer) -> bool:
        """Return whether a response requires a login."""
        return answer.status in _LOGIN_NEEDED

    def login_remedy(self) -> str:
        """Return the remedy for a missing login."""
        return f"Give user and password: {self._option} http://USER:PASSWORD@HOST."

    def unrecognised(self, answer: Answer) -> Trouble:
        """Return the trouble of an unexpected server at the address."""
        if self.needs_login(answer):
            reason = f"HTTP {answer.status}: it requires a login"
            return Trouble(reason, self.login_remedy())
        reason = f"the server there is not {self._name} (HTTP {answer.status})"
        remedy = f"Give the address of {self._name}: {self._option} URL."
        if answer.status in _NOT_READY:
            reason = f"HTTP {answer.status}: it is not ready, or behind a broken proxy"
            remedy = f"Wait, or check `docker compose logs {self._name}`."
        return Trouble(reason, remedy)

    def _why(self, error: Exception) -> Trouble:
        """Return the trouble of a failed request."""
        seconds = self._check.deadline.request
        try:
            connect(self._address, self._option, seconds)
        except Trouble as trouble:
            return trouble
        if not self._address.tls and speaks_tls(self._address, seconds):
            return plain_text_trouble(self._address, self._option)
        cause = getattr(error, "reason", error)
        if isinstance(cause, (TimeoutError, ssl.SSLError)):
            reason = f"it accepted the connection, but did not respond ({cause})"
        else:
            reason = f"it does not speak HTTP ({type(cause).__name__}: {cause})"
        remedy = f"Check the port ({self._option} URL), then its log."
        return Trouble(reason, remedy)

    def _compare_clocks(self, date: str | None, ours: float) -> None:
        """Add a warning if the server's clock differs."""
        try:
            theirs = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        # The header has whole seconds.
        skew = theirs + 0.5 - ours
        if abs(skew) > _SKEW_SECONDS:
            side = "ahead of" if skew > 0 else "behind"
            self._check.caution(
                f"clock skew: its clock is {abs(skew):.0f} s {side} this machine's",
                "Synchronize both clocks (NTP): spans and samples are sorted and "
                "searched by time, and Prometheus refuses samples from the future.",
            )
