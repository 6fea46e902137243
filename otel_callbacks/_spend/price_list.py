"""The prices that genai-prices knows: dated, offline, with conditions.

https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks._spend import rates
from otel_callbacks._spend.rates import Rates

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

    from otel_callbacks._spend.rates import Tiers

_PROVIDERS: Final = {
    "anthropic": "anthropic",
    "aws.bedrock": "aws",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "baseten": "baseten",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "groq": "groq",
    "minimax": "minimax",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "voyageai": "voyageai",
    "x_ai": "x-ai",
    "zai": "zai",
    "zhipuai": "zhipuai",
}
"""``gen_ai.provider.name`` -> the provider's id in genai-prices."""

_GATEWAYS: Final = frozenset({"litellm"})
"""They name the provider before the model: ``anthropic/claude-haiku-4-5``."""

_HTTPS: Final = 443
_DAY: Final = timedelta(days=1)
_NS: Final = 10**9

_KINDS: Final = {
    "input_mtok": rates.INPUT,
    "output_mtok": rates.OUTPUT,
    "cache_read_mtok": rates.CACHE_READ,
    "cache_write_mtok": rates.CACHE_WRITE,
    "output_reasoning_mtok": rates.REASONING,
    "input_audio_mtok": rates.AUDIO_INPUT,
    "output_audio_mtok": rates.AUDIO_OUTPUT,
}
"""genai-prices' keys -> ours. Others price what no usage says: hours, pages, images,
searches, and cached audio, which counts as cached or as audio here."""

_PER_1000_CALLS: Final = "requests_kcount"


class Sold(NamedTuple):
    """A model as one provider sells it."""

    provider: Provider
    model: ModelInfo

    def prices(self, at: datetime, tier: str) -> ModelPrice:
        """Return the prices of a moment.

        Args:
            at: The moment, with its time zone.
            tier: The service tier that answered, or empty.
        """
        # Another provider's tiers are not this one's.
        own = any(self.model is one for one in self.provider.models)
        context = {"service_tier": tier} if tier and own else None
        return self.model.get_prices(at, context)

    def holds(self, at: datetime) -> tuple[int, int]:
        """Return from when until when the prices of a moment hold, at least.

        Prices change at midnight, UTC, or at a time of day.

        Args:
            at: The moment, in UTC.

        Returns:
            Unix times in nanoseconds: the first that is in, the first that is not.
        """
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        bounds = [midnight, midnight + _DAY]
        for condition in (*_conditions(self.model), *(self.model.price_variants or ())):
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
    """Find a model among all that are known.

    Args:
        snapshot: The prices.
        provider: ``gen_ai.provider.name``.
        address: ``server.address``, or empty.
        port: ``server.port``, or 0.
        model: The model's name, as the provider says it or as it was asked for.

    Returns:
        The model; None where it is not known, or not whose it is.
    """
    if provider in _GATEWAYS and "/" in model:
        provider, _, model = model.partition("/")
        found = _named(snapshot, _PROVIDERS.get(provider, provider))
    else:
        found = seller(snapshot, provider, address, port)
    if found is None or not model:
        return None
    known = found.find_model(model, all_providers=snapshot.providers)
    return None if known is None else Sold(found, known)


def seller(
    snapshot: DataSnapshot, provider: str, address: str, port: int
) -> Provider | None:
    """Find who sells: by the server's address, else by the provider's name.

    Args:
        snapshot: The prices.
        provider: ``gen_ai.provider.name``.
        address: ``server.address``, or empty.
        port: ``server.port``, or 0.
    """
    if address:
        url = f"https://{address}" + (f":{port}" if port not in {0, _HTTPS} else "")
        try:
            return snapshot.find_provider(None, None, url)
        except LookupError:
            # A gateway, most of the time: it passes on what the provider bills.
            pass
    name = _PROVIDERS.get(provider, "")
    return _named(snapshot, name) if name else None


def _named(snapshot: DataSnapshot, name: str) -> Provider | None:
    """Return the provider with an id of genai-prices."""
    return next((one for one in snapshot.providers if one.id == name), None)


def compiled(prices: ModelPrice) -> Rates:
    """Make the sum of a price list ready.

    Args:
        prices: What genai-prices says; with no price at all the model is free.
    """
    said = {key: value for key, value in vars(prices).items() if value is not None}
    ours = {kind: _tiers(said[key]) for key, kind in _KINDS.items() if key in said}
    if _PER_1000_CALLS in said:
        ours[rates.PER_CALL] = tuple(
            (above, amount * 1000) for above, amount in _tiers(said[_PER_1000_CALLS])
        )
    return Rates(ours, free=not said)


def _tiers(value: Any) -> Tiers:
    """Return a price in tiers; the most have one."""
    if isinstance(value, Decimal):
        return rates.flat(value)
    tiers = [(tier.start, tier.price) for tier in value.tiers]
    return ((0, value.base), *tiers)


def _conditions(model: ModelInfo) -> list[Any]:
    """Return the prices of a model that hold under a condition."""
    return model.prices if isinstance(model.prices, list) else []


def _on_the_day(midnight: datetime, hour: time) -> datetime:
    """Return the moment of a day, UTC, at which it is a time that has its own zone."""
    moment = datetime.combine(midnight, hour, hour.tzinfo or UTC).astimezone(UTC)
    return moment.replace(year=midnight.year, month=midnight.month, day=midnight.day)


def _ns(moment: datetime) -> int:
    """Return a moment's Unix time in nanoseconds."""
    return int(moment.timestamp()) * _NS


def moment_of(unix_ns: int) -> datetime:
    """Return the moment of a Unix time, in UTC.

    Args:
        unix_ns: Nanoseconds.
    """
    return datetime.fromtimestamp(unix_ns // _NS, UTC)
