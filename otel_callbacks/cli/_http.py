"""HTTP requests of the commands, and the client for the Prometheus API.

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
"""Exceptions that `get` raises without a response."""

Labels = tuple[tuple[str, str], ...]
"""The labels of a series without its name, sorted by name."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, and the ``Authorization`` header for it."""

    url: str
    host: str
    port: int
    tls: bool
    login: str = ""


def address(variable: str, url: str) -> Address:
    """Parse a URL, which may include a user and a password."""
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
    """Return a text, which may be a URL, without its user and password."""
    before, at, after = url.rpartition("@")
    scheme, separator, _ = before.rpartition("://")
    return f"{scheme}{separator}{after}" if at else url


def _login(parts: SplitResult) -> str:
    """Return the ``Authorization`` header for a URL's user and password."""
    if parts.username is None:
        return ""
    text = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return f"Basic {base64.b64encode(text.encode()).decode()}"


class Answer(NamedTuple):
    """An HTTP response: status, headers and body."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the parsed JSON of the body, or None if it is not JSON."""
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
    """Send a GET request and return the response of any status; see `FAILURES`."""
    headers = {"Accept": accept, "User-Agent": "otel-callbacks"}
    if where.login:
        headers["Authorization"] = where.login
    request = urllib.request.Request(  # noqa: S310 -- `address` allows only http(s)
        f"{where.url}{path}{'?' if query else ''}{urlencode(query)}", headers=headers
    )
    # Loopback requests bypass a proxy.
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
    """Return the data of a Prometheus API response, or None if it is no success."""
    found = answer.json()
    if answer.status == _OK and isinstance(found, dict):
        return found.get("data")
    return None


class Prometheus:
    """A client for the Prometheus API."""

    def __init__(self, ask: Callable[..., Answer]) -> None:
        self.ask = ask

    def data(self, path: str, **query: str) -> Any:
        """Return the data at a path below ``/api/v1``, or None without success."""
        return data_of(self.ask(f"/api/v1/{path}", **query))

    def vector(self, query: str, at: float | None = None) -> dict[Labels, float] | None:
        """Return the series of an expression; None if the server is no Prometheus."""
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
        """Return the current value of an expression's first series, or None."""
        return next(iter((self.vector(query) or {}).values()), None)
