"""The doctor's checks and report: hops, troubles and their remedies."""

from __future__ import annotations

import re
import socket
import ssl
import time
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import httpx

from otel_callbacks._data import data_beside
from otel_callbacks.cli._http import FAILURES, Address, get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

State = Literal["reached", "answers", "broken", "skipped"]
"""How a hop is: the trace got there; it works, but no trace could be followed to it;
it has troubles; it was left out."""


FINDINGS: Final[dict[str, dict[str, str]]] = data_beside(__file__, "findings")
"""The texts of all findings by name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault and its remedy."""

    reason: str
    remedy: str


def finding(name: str, /, **words: object) -> Finding:
    """Return a finding of ``findings.toml``, with its words filled in."""
    text = FINDINGS[name]
    return Finding(text["reason"].format(**words), text["remedy"].format(**words))


class Trouble(Exception):  # noqa: N818 -- not an error of the doctor's
    """A hop cannot be followed any further."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.reason)
        self.finding = finding


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

    def as_data(self) -> dict[str, Any]:
        """Return JSON values."""
        data = {"ok": not self.broken, **asdict(self)}
        for part in (data, *data["hops"]):
            part["seconds"] = round(part["seconds"], 3)
        return data


def connect(
    address: Address, option: str, seconds: float, authorities: str | None = None
) -> None:
    """Open and close a connection, over TLS for an https address."""
    words = {
        "where": address.where,
        "host": address.host,
        "seconds": seconds,
        "file": authorities,
        "option": option,
    }
    with _naming(_UNREACHABLE, words):
        plain = socket.create_connection((address.host, address.port), seconds)
    with closing(plain):
        if address.tls:
            with _naming({OSError: "authorities"}, words):
                context = ssl.create_default_context(cafile=authorities)
            with _naming(_NO_TLS, words):
                context.wrap_socket(plain, server_hostname=address.host).close()


@contextmanager
def _naming(
    names: Mapping[type[OSError], str], words: Mapping[str, object]
) -> Iterator[None]:
    """Raise an error as the trouble that is named for the first kind it is of."""
    try:
        yield
    except OSError as error:
        name = next(name for kind, name in names.items() if isinstance(error, kind))
        why = getattr(error, "verify_message", "") or error.strerror or error
        raise Trouble(finding(name, error=why, **words)) from error


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
    return Trouble(finding("only_tls", where=address.where, option=option))


_T = TypeVar("_T")
_REQUEST_SECONDS: Final = 5.0
_LEAST_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.25
_SKEW_SECONDS: Final = 5.0
_UNREACHABLE: Final = {
    socket.gaierror: "dns",
    ConnectionRefusedError: "refused",
    TimeoutError: "timeout",
    OSError: "no_connection",
}
_NO_TLS: Final = {ssl.SSLCertVerificationError: "untrusted", OSError: "no_tls"}
# Responses of Go's servers and nginx to plain text on a TLS port.
_WANTS_TLS: Final = re.compile("HTTP request (to an HTTPS server|was sent to HTTPS)")
LOGIN_NEEDED: Final = (401, 403)
_REFUSALS: Final = {
    **dict.fromkeys(LOGIN_NEEDED, "login"),
    **dict.fromkeys((502, 503, 504), "not_ready"),
}


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


NOWHERE: Final = Address("", "", 0, tls=False)
"""The address of a hop without a server."""


@dataclass(slots=True)
class Check:
    """The check of one hop: asks its server, and keeps what it finds."""

    deadline: Deadline
    name: str = ""
    address: Address = NOWHERE
    sent: Sent | None = None
    troubles: list[Finding] = field(default_factory=list)
    cautions: list[Finding] = field(default_factory=list)

    @property
    def option(self) -> str:
        """The option for the server's address."""
        return f"--{self.name}"

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Add the trouble that ends this part of the check, and continue after it."""
        try:
            yield
        except Trouble as trouble:
            self.troubles.append(trouble.finding)

    def caution(self, finding: Finding) -> None:
        """Add a warning that does not break the hop, once."""
        if finding not in self.cautions:
            self.cautions.append(finding)

    def get(self, path: str, accept: str = "*/*", **query: str) -> httpx.Response:
        """Return the response, whatever its status."""
        seconds = self.deadline.request
        began = time.time()
        try:
            answer = get(self.address, path, query, accept=accept, seconds=seconds)
        except FAILURES as error:
            raise self._why(error) from error
        if not self.address.tls and _WANTS_TLS.search(answer.text[:500]):
            raise plain_text_trouble(self.address, self.option)
        self._compare_clocks(answer.headers.get("Date"), (began + time.time()) / 2)
        return answer

    def unrecognised(self, answer: httpx.Response) -> Trouble:
        """Return the trouble of an unexpected server at the address."""
        kind = _REFUSALS.get(answer.status_code, "other_server")
        words = {"status": answer.status_code, "name": self.name, "option": self.option}
        return Trouble(finding(kind, **words))

    def _why(self, error: Exception) -> Trouble:
        """Return the trouble of a failed request."""
        seconds = self.deadline.request
        try:
            connect(self.address, self.option, seconds)
        except Trouble as trouble:
            return trouble
        if not self.address.tls and speaks_tls(self.address, seconds):
            return plain_text_trouble(self.address, self.option)
        name = "no_response" if isinstance(error, httpx.TimeoutException) else "no_http"
        words = {"kind": type(error).__name__, "error": error, "option": self.option}
        return Trouble(finding(name, **words))

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
            self.caution(finding("clock_skew", seconds=abs(skew), side=side))
