"""HTTP requests of the commands."""

from __future__ import annotations

import base64
import ssl
from contextlib import suppress
from functools import cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import TypeAdapter

from otel_callbacks._setting_values import SettingError

_PORTS: Final = {"http": 80, "https": 443}
_LOOPBACK: Final = ("127.", "localhost", "::1")
_OBJECT: Final = TypeAdapter(dict[str, Any])
# The authorities of this machine; httpx has its own.
_tls: Final = cache(ssl.create_default_context)

FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError)
"""Exceptions that `get` raises without a response; the last two are of a proxy."""


class Address(NamedTuple):
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
    text = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    return Address(text, host, port, parts.scheme == "https", login)


def get(
    where: Address,
    path: str,
    query: dict[str, str],
    *,
    accept: str = "*/*",
    seconds: float,
) -> httpx.Response:
    """Send a GET request and return the response of any status; see `FAILURES`."""
    headers = {"Accept": accept, "User-Agent": "otel-callbacks"}
    if where.login:
        headers["Authorization"] = where.login
    return httpx.get(
        f"{where.url}{path}",
        params=query or None,
        headers=headers,
        timeout=seconds,
        follow_redirects=True,
        verify=_tls(),
        # Loopback requests bypass a proxy.
        trust_env=not where.host.startswith(_LOOPBACK),
    )


def fields_of(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a response; an empty one if it has none."""
    with suppress(ValueError):
        return _OBJECT.validate_json(answer.content)
    return {}
