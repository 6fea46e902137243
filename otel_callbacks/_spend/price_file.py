"""The user's price file: TOML or JSON, read once, refused if invalid.

``docs/prices.md`` describes it.
"""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from datetime import date
from decimal import Context, Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from otel_callbacks._setting_values import SettingError
from otel_callbacks._spend.rates import INPUT, OUTPUT, TOKENS, Rates, flat

if TYPE_CHECKING:
    from datetime import datetime

    from otel_callbacks._spend.rates import Tiers

VARIABLE: Final = "OTEL_CALLBACKS_PRICES"
_PRICES: Final = "prices"
_SERVERS: Final = "servers"
_TEXTS: Final = ("model", "provider", "server")
_FROM: Final = "from"
_KEYS: Final = frozenset({*_TEXTS, _FROM, *TOKENS})
_SERVER_KEYS: Final = frozenset({"server", "provider"})
_DIGITS: Final = 40
_DIGITS_BEFORE: Final = 6
_PLACES: Final = 12
"""Bounds within which a price of a million tokens is exact in all sums."""
_READING: Final = Context(prec=_DIGITS, traps=[])
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_LAST_PORT: Final = 65_535
_HOST: Final = re.compile(r"[^\s/:@?#*]*|[0-9a-fA-F:.]+|\[[0-9a-fA-F:.]+\]")
_MOST_BYTES: Final = 1_000_000
ALWAYS: Final = date.min
"""The first day of a price without ``from``."""

_PATTERN: Final = frozenset("*?[")


class _WrongError(Exception):
    """An error in a file, as text for the user."""


def _refuse(why: str) -> NoReturn:
    """Raise an error about a file."""
    raise _WrongError(why)


class Entry(NamedTuple):
    """One price entry."""

    model: str
    provider: str
    server: str
    since: date
    rates: Rates

    def is_for(
        self, provider: str, servers: tuple[str, ...], model: str, day: date
    ) -> bool:
        """Return whether the price holds for a call."""
        return (
            self.since <= day
            and self.provider in {"", provider}
            and self.server in {"", *servers}
            and self.names(model)
        )

    def names(self, model: str) -> bool:
        """Return whether the price is for a model."""
        return fnmatchcase(model.lower(), self.model)

    def rank(self) -> tuple[bool, bool, bool, date]:
        """Return how specific the entry is; the greatest rank wins."""
        exact = _PATTERN.isdisjoint(self.model)
        return exact, bool(self.server), bool(self.provider), self.since


class PriceFile(NamedTuple):
    """The user's prices, and the provider behind each server."""

    entries: tuple[Entry, ...] = ()
    servers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, path: str) -> PriceFile:
        """Read a file."""
        if not path:
            return cls()
        try:
            content = _parsed(Path(path))
            entries = tuple(_listed(content, _PRICES, _entry))
            servers = tuple(_listed(content, _SERVERS, _server))
            _refuse_doubles(_PRICES, [entry[:4] for entry in entries])
            _refuse_doubles(_SERVERS, [server for server, _ in servers])
            return cls(entries, servers)
        except _WrongError as wrong:
            allowed = f"a file of prices; {wrong}"
            raise SettingError(VARIABLE, path, allowed) from None

    def find(
        self, provider: str, address: str, port: int, model: str, at: datetime
    ) -> Rates | None:
        """Return the price of a model, by the most specific matching entry."""
        servers = _names(address, port)
        day = at.date()
        fitting = [
            entry
            for entry in self.entries
            if entry.is_for(provider, servers, model, day)
        ]
        # Of equal entries the last one: a later entry corrects an earlier one.
        best = max(reversed(fitting), key=Entry.rank, default=None)
        return None if best is None else best.rates

    def seller(self, provider: str, address: str, port: int) -> tuple[str, str]:
        """Return the provider behind a server, and its address or an empty text."""
        for name in reversed(_names(address, port)):
            for server, behind in reversed(self.servers):
                if server == name:
                    return behind, ""
        return provider, address


def _names(address: str, port: int) -> tuple[str, ...]:
    """Return the names of a server in the file."""
    address = address.lower()
    return (address, f"{address}:{port}") if address else ()


def _text_of(path: Path) -> str:
    """Read the file; refuse pipes and devices, which may block or never end."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            _refuse("it is no file")
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            _refuse(f"it is larger than {_MOST_BYTES:,} bytes")
        return raw.decode("utf-8-sig")  # Windows editors add a BOM
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        _refuse(f"it cannot be read: {why}")


def _parsed(path: Path) -> dict[str, Any]:
    """Parse the file by the ending of its name."""
    text = _text_of(path)
    try:
        if path.suffix == ".json":
            content = json.loads(text, parse_float=_number, object_pairs_hook=_once)
        elif path.suffix == ".toml":
            content = tomllib.loads(text, parse_float=_number)
        else:
            _refuse("its name must end in .toml or .json")
    except (ValueError, RecursionError) as error:
        _refuse(f"{error}")
    if not isinstance(content, dict) or not content.keys() <= {_PRICES, _SERVERS}:
        _refuse(f"it has tables {_PRICES!r} and {_SERVERS!r} and nothing else")
    if not content:
        _refuse("it is empty")
    return content


def _number(text: str) -> Decimal:
    """Return a number exactly; refuse one with too many digits."""
    if len(text) > _DIGITS:
        _refuse(f"{text[:12]}... has more than {_DIGITS} digits")
    # A context of its own: the app's context may raise or round.
    return Decimal(text, _READING)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a duplicate key, of which JSON would keep the last."""
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            _refuse(f"{key!r} stands twice in one table")
        content[key] = value
    return content


def _listed(content: dict[str, Any], name: str, read: Any) -> Any:
    """Read each entry of a list; errors name the entry."""
    entries = content.get(name, [])
    if not isinstance(entries, list):
        _refuse(f"{name!r} must be a list")
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, dict):
                _refuse("it must be a table")
            yield read(entry)
        except _WrongError as wrong:
            _refuse(f"entry {number} of {name!r}: {wrong}")


def _entry(entry: dict[str, Any]) -> Entry:
    """Read one price entry."""
    _only(entry, _KEYS)
    model, provider, server = (_text(entry, key) for key in _TEXTS)
    if not model:
        _refuse("it has no 'model'")
    prices: dict[str, Tiers] = {
        kind: flat(_price(kind, entry[kind])) for kind in TOKENS if kind in entry
    }
    if prices.keys().isdisjoint({INPUT, OUTPUT}):
        _refuse("it has no price for 'input' or 'output'")
    since = _day(entry.get(_FROM, ALWAYS))
    return Entry(model.lower(), provider, _host(server), since, Rates(prices))


def _server(entry: dict[str, Any]) -> tuple[str, str]:
    """Read one server entry."""
    _only(entry, _SERVER_KEYS)
    server, provider = _text(entry, "server"), _text(entry, "provider")
    if not server or not provider:
        _refuse("it needs 'server' and 'provider'")
    return _host(server), provider


def _host(server: str) -> str:
    """Return a ``server.address``, and refuse a text that would never match one."""
    host, colon, port = (
        server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    )
    is_port = not colon or (_PORT.fullmatch(port) and int(port) <= _LAST_PORT)
    if not _HOST.fullmatch(host) or not is_port:
        _refuse(
            f"'server' is {server!r}; it must be a host such as 'llm.example' or "
            "'llm.example:8000', without 'https://' and without a path"
        )
    # A span has an IPv6 address without the brackets of a URL.
    return server.lower().strip("[]")


def _refuse_doubles(name: str, keys: list[Any]) -> None:
    """Refuse two entries for the same thing, which would be ambiguous."""
    known: dict[Any, int] = {}
    for number, key in enumerate(keys, 1):
        if (first := known.setdefault(key, number)) != number:
            _refuse(f"entry {number} of {name!r} is for the same as entry {first}")


def _only(entry: dict[str, Any], keys: frozenset[str]) -> None:
    """Refuse unknown keys: with a typing error, a price would be missing."""
    if unknown := entry.keys() - keys:
        _refuse(f"{min(unknown)!r} is none of {', '.join(sorted(keys))}")


def _text(entry: dict[str, Any], key: str) -> str:
    """Read an optional text."""
    value = entry.get(key, "")
    if not isinstance(value, str):
        _refuse(f"{key!r} must be text")
    if value != value.strip():
        _refuse(f"{key!r} is {value!r}; with spaces around it, it matches nothing")
    return value


def _price(kind: str, value: object) -> Decimal:
    """Read a price in US dollars for a million tokens."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite() or value.is_signed():
        _refuse(f"{kind!r} must be US dollars for a million tokens, 0 or more")
    places = value.as_tuple().exponent
    if value and (value.adjusted() >= _DIGITS_BEFORE or int(places) < -_PLACES):
        _refuse(
            f"{kind!r} is {value:.3e}; it must be US dollars for a million tokens: "
            f"below 10 to the power of {_DIGITS_BEFORE}, with at most {_PLACES} places"
        )
    return value or Decimal(0)


def _day(value: object) -> date:
    """Read a day, which is text in JSON."""
    with contextlib.suppress(ValueError):
        value = date.fromisoformat(value) if isinstance(value, str) else value
    if type(value) is not date:
        _refuse(f"{_FROM!r} must be a day such as 2026-01-31")
    return value
