"""The prices of genai-prices: dated, offline, with conditions.

https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks._data import by_item, data_beside
from otel_callbacks._records import EXACT
from otel_callbacks._spend import rates
from otel_callbacks._spend.rates import Rates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

    from otel_callbacks._spend.rates import Tiers

_TABLES: Final = data_beside(__file__)
_PROVIDERS: Final = by_item(_TABLES["names"]) | {
    name: name for name in _TABLES["same"]["names"]
}
"""``gen_ai.provider.name`` -> the provider's id in genai-prices."""

_PREFIXES: Final = by_item(_TABLES["prefixes"])
"""A model's prefix -> the id in genai-prices; other prefixes are ids themselves."""

_HOSTS: Final = by_item(_TABLES["hosts"])
"""The ending of a host -> the id in genai-prices."""

_NO_SELLERS: Final = frozenset(_TABLES["unknown"]["hosts"])
"""Hosts with prices of their own."""

_HUGGING_FACE: Final = "router.huggingface.co"
"""Its model names end with the provider: ``meta-llama/Llama-3.3-70B-Instruct:groq``."""

_BEDROCK: Final = re.compile(r"bedrock[-.].*\.(?:amazonaws\.com|api\.aws)$")
"""Bedrock's hosts: of a region, FIPS, OpenAI's API, and endpoints of a VPC."""

_REGIONAL: Final = re.compile(
    r"[a-z0-9]+(?:\.api\.(?:openai\.com|x\.ai)|-api\.together\.ai)"
)
"""Hosts of one region, which bill more than the list price: OpenAI, xAI, Together.
https://developers.openai.com/api/docs/guides/data-residency"""
_VERTEX_REGION: Final = "-aiplatform.googleapis.com"
"""Ending of Vertex AI's hosts of one region, where Claude costs more."""
_MODELS: Final = "/models/"

_STANDARD: Final = frozenset({"", "auto", "default"})
"""Service tiers that the list's price is for."""

_OTHER_MODEL: Final = re.compile(
    r"(?<![a-z0-9])(?:\d+(?:\.\d+)?[bk]|mini|nano|lite|micro|pro|plus|max|ultra|heavy"
    r"|fast|turbo|flash|air|image|audio|live|tts|transcribe|realtime|search|embed\w*"
    r"|vision|coder|code|codex|distill|computer|robotics|deep|research)(?![a-z0-9])"
)
"""Words after the beginning of a listed name that make it the name of another model."""
_LONGER_VERSION: Final = re.compile(r"(?<!\d)\d\|\d(?!\d)")
"""A digit that makes a version of one digit longer; ``|`` is the end of the match."""
_END_OF_NAME: Final = re.compile(r"[:@\[/]")

_HTTPS: Final = 443
_THOUSAND: Final = Decimal(1000)
_DAY: Final = timedelta(days=1)
_NS: Final = 10**9

_KINDS: Final[dict[str, str]] = _TABLES["tokens"]
_COUNTED: Final[dict[str, str]] = _TABLES["counted"]


class Sold(NamedTuple):
    """A model as one provider sells it."""

    provider: Provider
    model: ModelInfo
    name: str = ""
    """The requested name; only this name marks a free variant."""
    is_regional: bool = False
    """Whether its server bills more than the list price."""

    def prices(self, at: datetime, tier: str, *, is_fast: bool = False) -> ModelPrice:
        """Return the prices at a time."""
        context = {"service_tier": tier} if tier else {}
        if is_fast:
            context["speed"] = rates.FAST
        return self.model.get_prices(at, context if context and self.is_own else None)

    @property
    def is_own(self) -> bool:
        """Return whether the provider itself lists the model, with its own tiers."""
        return any(self.model is one for one in self.provider.models)

    def rates(self, at: datetime, tier: str, *, is_fast: bool = False) -> Rates:
        """Return the rates at a time."""
        prices = self.prices(at, tier, is_fast=is_fast)
        known = self._variants(at) if self.is_own else ()
        included = (rates.FAST,) if is_fast and ("speed", rates.FAST) in known else ()
        is_listed = tier in _STANDARD or ("service_tier", tier) in known
        return compiled(
            prices,
            self.name,
            included,
            is_partial=not is_listed or self.is_regional,
        )

    def _variants(self, at: datetime) -> set[tuple[str, str]]:
        """Return the conditions of a call that the list has prices for at a time."""
        return {
            condition
            for variant in self.model.price_variants or ()
            if variant.constraint is None or variant.constraint.active(at)
            for condition in variant.when.items()
        }

    def holds(self, at: datetime) -> tuple[int, int]:
        """Return a range around a time in which its prices hold, Unix nanoseconds."""
        # Prices change at midnight, UTC, or at a time of day.
        midnight = datetime.combine(at, time(), UTC)
        bounds = [midnight, midnight + _DAY]
        prices = self.model.prices
        dated: list[Any] = prices if isinstance(prices, list) else []
        for condition in (*dated, *(self.model.price_variants or ())):
            limit: Any = condition.constraint
            hours = getattr(limit, "start_time", None), getattr(limit, "end_time", None)
            bounds += [_on_the_day(midnight, hour) for hour in hours if hour]
        return (
            max(_ns(bound) for bound in bounds if bound <= at),
            min(_ns(bound) for bound in bounds if bound > at),
        )


def sold(
    snapshot: DataSnapshot, provider: str, address: str, port: int, model: str
) -> Sold | None:
    """Return a model by the server's address, its prefix or its provider."""
    name = model.removeprefix("models/")
    by_address = _by_address(snapshot, address, port, name)
    if by_address is not None:
        if address.lower() == _HUGGING_FACE:
            name = name.rpartition(":")[0]
        found = _by_path(snapshot, by_address, name)
        # The provider's own server may also accept its name as a prefix.
        head, _, tail = name.partition("/")
        if found is None and tail and _PREFIXES.get(head, head) == by_address.id:
            found = listed(snapshot, by_address, tail)
        if found is None:
            return None
        host = address.lower()
        is_regional = bool(_REGIONAL.fullmatch(host)) or (
            host.endswith(_VERTEX_REGION) and "claude" in found.model.id
        )
        return found._replace(is_regional=is_regional)
    if address.lower() in _NO_SELLERS:
        return None
    head, _, tail = name.partition("/")
    before = _named(snapshot, _PREFIXES.get(head, head)) if tail else None
    if before is not None and (found := listed(snapshot, before, tail)) is not None:
        return found
    found_seller = _named(snapshot, _PROVIDERS.get(provider, ""))
    if found_seller is None:
        return None
    return _by_path(snapshot, found_seller, name)


def _by_path(snapshot: DataSnapshot, found: Provider, name: str) -> Sold | None:
    """Return a model of a provider by its name, or by the end of Vertex AI's paths."""
    model = listed(snapshot, found, name)
    if model is None and found.id == "google" and _MODELS in f"/{name}":
        model = listed(snapshot, found, name.rpartition(_MODELS)[2])
    return model


def listed(snapshot: DataSnapshot, found: Provider, name: str) -> Sold | None:
    """Return a model that a provider lists."""
    model = found.find_model(name, all_providers=snapshot.providers) if name else None
    if model is None or _is_other(model.match, name.lower()):
        return None
    return Sold(found, model, name)


def _is_other(match: Any, name: str) -> bool:
    """Return whether a name that the list matches belongs to another model.

    The list matches some names by their beginning: ``gemini-3.6-flash`` also matches
    ``gemini-3.6-flash-lite``, and ``claude-opus-4-1`` also ``claude-opus-4-12``.
    """
    if several := getattr(match, "or_", None):
        matching = [each for each in several if each.is_match(name)]
        return bool(matching) and all(_is_other(each, name) for each in matching)
    if several := getattr(match, "and_", None):
        return any(_is_other(each, name) for each in several)
    part = getattr(match, "starts_with", "") or getattr(match, "contains", "")
    before, _, after = name.partition(part.lower() or name)
    rest = _END_OF_NAME.split(after)[0]
    return bool(_OTHER_MODEL.search(rest)) or bool(
        _LONGER_VERSION.search(f"{before}{part}|{rest}")
    )


def seller(
    snapshot: DataSnapshot, provider: str, address: str, port: int
) -> Provider | None:
    """Return the seller by the server's address, else by the provider's name."""
    by_address = _by_address(snapshot, address, port, "")
    # An unknown address is mostly a gateway, which passes on the provider's price.
    return by_address or _named(snapshot, _PROVIDERS.get(provider, ""))


def _by_address(
    snapshot: DataSnapshot, address: str, port: int, model: str
) -> Provider | None:
    """Return the seller at an address, by its host: the path is not known."""
    if not address:
        return None
    host = address.lower()
    if host == _HUGGING_FACE:
        return _named(snapshot, f"huggingface_{model.rpartition(':')[2]}")
    if _BEDROCK.search(host):
        return _named(snapshot, "aws")
    for ending, name in _HOSTS.items():
        if host.endswith(ending):
            return _named(snapshot, name)
    url = f"https://{host}" + (f":{port}" if port not in {0, _HTTPS} else "")
    try:
        return snapshot.find_provider(None, None, url)
    except LookupError:
        return None


def _named(snapshot: DataSnapshot, name: str) -> Provider | None:
    """Return the provider with an id of genai-prices."""
    return next((one for one in snapshot.providers if one.id == name), None)


def compiled(
    prices: ModelPrice,
    model: str = "",
    included: tuple[str, ...] = (),
    *,
    is_partial: bool = False,
) -> Rates:
    """Return the rates of a price list."""
    known = {key: value for key, value in vars(prices).items() if value is not None}
    ours = {kind: _tiers(known[key]) for key, kind in _KINDS.items() if key in known}
    for key, kind in _COUNTED.items():
        if key in known:
            tiers = _tiers(known[key])
            ours[kind] = tuple(
                (above, EXACT.multiply(amount, _THOUSAND)) for above, amount in tiers
            )
    is_free = not known and model.lower().endswith(":free")
    return Rates(ours, free=is_free, included=included, is_partial=is_partial)


def _tiers(value: Any) -> Tiers:
    """Return a price as tiers; most prices have one."""
    if isinstance(value, Decimal):
        return rates.flat(value)
    tiers = [(tier.start, tier.price) for tier in value.tiers]
    return (*rates.flat(value.base), *tiers)


def _on_the_day(midnight: datetime, hour: time) -> datetime:
    """Return the UTC time, on the day of `midnight`, of an hour in its own zone."""
    moment = datetime.combine(midnight, hour, hour.tzinfo or UTC).astimezone(UTC)
    return moment.replace(year=midnight.year, month=midnight.month, day=midnight.day)


def _ns(moment: datetime) -> int:
    """Return a time as Unix time in nanoseconds."""
    return int(moment.timestamp()) * _NS


def moment_of(unix_ns: int) -> datetime:
    """Return a Unix time in nanoseconds as UTC datetime."""
    return datetime.fromtimestamp(unix_ns // _NS, UTC)
