"""Servers that commands ask over HTTP, and the one client of Prometheus' API.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from otel_callbacks._setting_values import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from email.message import Message

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("127.", "localhost", "::1")
_OK: Final = 200
_NAME: Final = "__name__"

FAILURES: Final = (OSError, ValueError, http.client.HTTPException)
"""What `get` raises when there is no answer."""

Labels = tuple[tuple[str, str], ...]
"""A series' labels but its name, in the order of their names."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is."""

    url: str
    host: str
    port: int
    tls: bool
    login: str = ""


def address(variable: str, url: str) -> Address:
    """Read a URL, which may hold a user and a password."""
    try:
        parts = urlsplit(url)
        usual = _PORTS[parts.scheme]
        port = usual if parts.port is None else parts.port
        host = parts.hostname or ""
    except (ValueError, KeyError):
        host, port = "", 0
    if not host or not port:
        allowed = "a URL such as http://127.0.0.1:9090"
        raise SettingError(variable, _without_login(url), allowed)
    without = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    text = without.geturl().rstrip("/")
    return Address(text, host, port, parts.scheme == "https", _login(parts))


def _without_login(url: str) -> str:
    """Return a text that may be a URL without the password that it may hold."""
    before, at, after = url.rpartition("@")
    scheme, separator, _ = before.rpartition("://")
    return f"{scheme}{separator}{after}" if at else url


def _login(parts: SplitResult) -> str:
    """Return the header that a URL's user and password make."""
    if parts.username is None:
        return ""
    text = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


class Answer(NamedTuple):
    """What a server answers: the HTTP status, the headers, the body."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body as JSON, or None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def get(
    where: Address,
    path: str,
    query: dict[str, str],
    *,
    accept: str = "*/*",
    seconds: float,
) -> Answer:
    """Ask a server, whatever the status of its answer; raises one of `FAILURES`."""
    headers = {"Accept": accept, "User-Agent": "otel-callbacks"}
    if where.login:
        headers["Authorization"] = where.login
    request = urllib.request.Request(  # noqa: S310 -- `address` lets only http(s) in
        f"{where.url}{path}{'?' if query else ''}{urlencode(query)}", headers=headers
    )
    # A proxy is for what is far away.
    near = where.host.startswith(_LOOPBACK)
    opener = urllib.request.build_opener(
        *([urllib.request.ProxyHandler({})] if near else [])
    )
    try:
        with opener.open(request, timeout=seconds) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def data_of(answer: Answer) -> Any:
    """Return the data of an answer of Prometheus' API, or None without success."""
    found = answer.json()
    if answer.status == _OK and isinstance(found, dict):
        return found.get("data")
    return None


class Prometheus:
    """A Prometheus."""

    def __init__(self, ask: Callable[..., Answer]) -> None:
        self.ask = ask

    def data(self, path: str, **query: str) -> Any:
        """Return what a path below ``/api/v1`` answers, or None without success."""
        return data_of(self.ask(f"/api/v1/{path}", **query))

    def vector(self, query: str, at: float | None = None) -> dict[Labels, float] | None:
        """Return the series that an expression gives; None from another server."""
        time = {} if at is None else {"time": f"{at:.3f}"}
        data = self.data("query", query=query, **time)
        try:
            return {
                tuple(
                    sorted(
                        item
                        for item in one.get("metric", {}).items()
                        if item[0] != _NAME
                    )
                ): float(one["value"][1])
                for one in data["result"]
            }
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None

    def value(self, query: str) -> float | None:
        """Return the one number that an expression gives now, or None."""
        return next(iter((self.vector(query) or {}).values()), None)
