"""HTTP requests of the commands."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote, urlencode, urlsplit

from otel_callbacks._setting_values import SettingError

if TYPE_CHECKING:
    from email.message import Message

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("127.", "localhost", "::1")

FAILURES: Final = (OSError, ValueError, http.client.HTTPException)
"""Exceptions that `get` raises without a response."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, and the ``Authorization`` header for it."""

    url: str
    host: str
    port: int
    tls: bool
    login: str = ""

    @property
    def where(self) -> str:
        """The host and the port."""
        return f"{self.host}:{self.port}"


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
        # The message must not show a user and a password.
        before, at, after = url.rpartition("@")
        scheme, separator, _ = before.rpartition("://")
        shown = f"{scheme}{separator}{after}" if at else url
        raise SettingError(variable, shown, "a URL such as http://127.0.0.1:9090")
    login = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        login = f"Basic {base64.b64encode(pair.encode()).decode()}"
    without = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    text = without.geturl().rstrip("/")
    return Address(text, host, port, parts.scheme == "https", login)


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
