"""The user's file of prices: TOML or JSON, read once, refused if wrong.

```toml
[[prices]]
model = "qwen-*"          # exact, or a pattern
provider = "openai"       # optional: gen_ai.provider.name
server = "llm.example"    # optional: server.address, or address:port
from = 2026-01-01         # optional: the first day, UTC
input = 0.4               # US dollars for a million tokens
output = 1.2
cache_read = 0.04         # a part that is not given costs as its whole

[[servers]]
server = "gateway.example"   # behind this address
provider = "openai"          # is this provider, at its prices
```
"""

from __future__ import annotations

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
"""A price of a million tokens is below a million dollars; its sum is exact."""
_READING: Final = Context(prec=_DIGITS, traps=[])
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_HOST: Final = re.compile(r"[^\s/:@?#*]*|[0-9a-fA-F:.]+|\[[0-9a-fA-F:.]+\]")
_MOST_BYTES: Final = 1_000_000
ALWAYS: Final = date.min
"""Since when a price holds that says no day."""

_PATTERN: Final = frozenset("*?[")


class _WrongError(ValueError):
    """What is wrong with a file, for people."""


def _refuse(why: str) -> NoReturn:
    """Say what is wrong with a file."""
    raise _WrongError(why)


class Entry(NamedTuple):
    """One price of the user's."""

    model: str
    provider: str
    server: str
    since: date
    rates: Rates

    def is_for(
        self, provider: str, servers: tuple[str, ...], model: str, day: date
    ) -> bool:
        """Say whether the price is one for a call."""
        return (
            self.since <= day
            and self.provider in {"", provider}
            and self.server in {"", *servers}
            and self.names(model)
        )

    def names(self, model: str) -> bool:
        """Say whether the price is one of a model."""
        return fnmatchcase(model.lower(), self.model)

    def rank(self) -> tuple[bool, bool, bool, date]:
        """Say how much the price is made for what it fits; the greatest counts."""
        exact = _PATTERN.isdisjoint(self.model)
        return exact, bool(self.server), bool(self.provider), self.since


class PriceFile(NamedTuple):
    """The user's prices, and whose servers are behind which address."""

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
        """Return the price of a model; of several that fit, the most exact one."""
        servers = _names(address, port)
        day = at.date()
        fitting = [
            entry
            for entry in self.entries
            if entry.is_for(provider, servers, model, day)
        ]
        # Of equals the last one: what is added below corrects what is above.
        best = max(reversed(fitting), key=Entry.rank, default=None)
        return None if best is None else best.rates

    def seller(self, provider: str, address: str, port: int) -> tuple[str, str]:
        """Return whose prices hold at a server: provider, and address or empty."""
        for name in reversed(_names(address, port)):
            for server, behind in reversed(self.servers):
                if server == name:
                    return behind, ""
        return provider, address


def _names(address: str, port: int) -> tuple[str, ...]:
    """Return what a server may be called in the file."""
    address = address.lower()
    return (address, f"{address}:{port}") if address else ()


def _text_of(path: Path) -> str:
    """Read the file, which is no pipe that waits, and no device without an end."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            _refuse("it is no file")
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            _refuse(f"it is larger than {_MOST_BYTES:,} bytes")
        return raw.decode("utf-8-sig")  # Windows' editors put a mark
    except _WrongError:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        _refuse(f"it cannot be read: {why}")


def _parsed(path: Path) -> dict[str, Any]:
    """Read the file as what its name says that it is."""
    text = _text_of(path)
    try:
        if path.suffix == ".json":
            content = json.loads(text, parse_float=_number, object_pairs_hook=_once)
        elif path.suffix == ".toml":
            content = tomllib.loads(text, parse_float=_number)
        else:
            _refuse("its name must end in .toml or .json")
    except _WrongError:
        raise
    except (ValueError, RecursionError) as error:
        _refuse(f"{error}")
    if not isinstance(content, dict) or not content.keys() <= {_PRICES, _SERVERS}:
        _refuse(f"it has tables {_PRICES!r} and {_SERVERS!r} and nothing else")
    if not content:
        _refuse("it is empty")
    return content


def _number(text: str) -> Decimal:
    """Read a number to its last digit; one of a million digits is no price."""
    if len(text) > _DIGITS:
        _refuse(f"{text[:12]}... has more than {_DIGITS} digits")
    # The widest context: the app's own may refuse what this reads.
    return Decimal(text, _READING)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice; JSON itself would take the last."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        _refuse(f"{twice!r} stands twice in one table")
    return content


def _listed(content: dict[str, Any], name: str, read: Any) -> Any:
    """Read each of a list, and name the one that is wrong."""
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
    """Read one price."""
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
    """Read whose models are behind an address."""
    _only(entry, _SERVER_KEYS)
    server, provider = _text(entry, "server"), _text(entry, "provider")
    if not server or not provider:
        _refuse("it needs 'server' and 'provider'")
    return _host(server), provider


def _host(server: str) -> str:
    """Refuse what is no ``server.address`` and would never match."""
    host, colon, port = (
        server.rpartition(":") if server.count(":") == 1 else (server, "", "")
    )
    if not _HOST.fullmatch(host) or (colon and not _PORT.fullmatch(port)):
        _refuse(
            f"'server' is {server!r}; it must be a host such as 'llm.example' or "
            "'llm.example:8000', without 'https://' and without a path"
        )
    return server.lower()


def _refuse_doubles(name: str, keys: list[Any]) -> None:
    """Refuse two entries for one thing: which of them counts would be a guess."""
    known: dict[Any, int] = {}
    for number, key in enumerate(keys, 1):
        if (first := known.setdefault(key, number)) != number:
            _refuse(f"entry {number} of {name!r} is for the same as entry {first}")


def _only(entry: dict[str, Any], keys: frozenset[str]) -> None:
    """Refuse keys that mean nothing; a price with a typing error would be free."""
    if unknown := sorted(entry.keys() - keys):
        _refuse(f"{unknown[0]!r} is none of {', '.join(sorted(keys))}")


def _text(entry: dict[str, Any], key: str) -> str:
    """Read a text that need not be there."""
    value = entry.get(key, "")
    if not isinstance(value, str):
        _refuse(f"{key!r} must be text")
    return value


def _price(kind: str, value: object) -> Decimal:
    """Read US dollars for a million tokens."""
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
    """Read a day; JSON has none but text."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            value = None
    if type(value) is not date:
        _refuse(f"{_FROM!r} must be a day such as 2026-01-31")
    return value
