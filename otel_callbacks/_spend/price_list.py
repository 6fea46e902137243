"""The prices of genai-prices: dated, offline, with conditions.

https://github.com/pydantic/genai-prices
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks._records import EXACT
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

_PREFIXES: Final = {
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "vertex_ai": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
}
"""Model prefix of LiteLLM and other proxies -> the id in genai-prices; other prefixes
are ids themselves. https://docs.litellm.ai/docs/providers"""

_HUGGING_FACE: Final = "router.huggingface.co"
"""Its model names end with the provider: ``meta-llama/Llama-3.3-70B-Instruct:groq``."""

_HOSTS: Final = (
    (".cloud.databricks.com", "databricks"),
    (".azuredatabricks.net", "databricks"),
    (".gcp.databricks.com", "databricks"),
    ("api.cloudflare.com", "cloudflare"),
    ("api.together.ai", "together"),
)
"""Ending of a host -> provider; the list has these by path only, or not at all."""

_NO_SELLERS: Final = frozenset(
    {
        *("integrate.api.nvidia.com", "dashscope.aliyuncs.com"),
        *("dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
        _HUGGING_FACE,
    }
)
"""Hosts with their own prices, which the list does not have."""

_HTTPS: Final = 443
_THOUSAND: Final = Decimal(1000)
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
    "cache_write_1h_mtok": rates.CACHE_WRITE_1H,
    "input_image_mtok": rates.IMAGE_INPUT,
    "output_image_mtok": rates.IMAGE_OUTPUT,
}
"""genai-prices' keys -> ours. Other keys are for hours, pages and video, which no usage
reports, and for cached audio, which counts as cached or as audio here."""

_COUNTED: Final = {
    "requests_kcount": rates.PER_CALL,
    "web_searches_kcount": rates.WEB_SEARCH,
    "storage_searches_kcount": rates.FILE_SEARCH,
}
"""The same for prices per thousand."""

_FREE: Final = ":free"


class Sold(NamedTuple):
    """A model as one provider sells it."""

    provider: Provider
    model: ModelInfo
    name: str = ""
    """The requested name; only this name marks a free variant."""

    def prices(self, at: datetime, tier: str, *, is_fast: bool = False) -> ModelPrice:
        """Return the prices at a time."""
        # The tiers of another provider do not apply to this one.
        own = any(self.model is one for one in self.provider.models)
        context = {"service_tier": tier} if tier else {}
        if is_fast:
            context["speed"] = rates.FAST
        return self.model.get_prices(at, context if context and own else None)

    def rates(self, at: datetime, tier: str, *, is_fast: bool = False) -> Rates:
        """Return the rates at a time."""
        prices = self.prices(at, tier, is_fast=is_fast)
        knows_fast = is_fast and any(
            rates.FAST in variant.when.values()
            for variant in self.model.price_variants or ()
        )
        included = (rates.FAST,) if knows_fast else ()
        return compiled(prices, self.name or self.model.id, included)

    def holds(self, at: datetime) -> tuple[int, int]:
        """Return a range around a time in which its prices hold, Unix nanoseconds.

        Prices change at midnight, UTC, or at a time of day.
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
    """Return a model by the server's address, its prefix or its provider."""
    name = model.removeprefix("models/")
    by_address = _by_address(snapshot, address, port, name)
    if by_address is not None:
        if address.lower() == _HUGGING_FACE:
            name = name.rpartition(":")[0]
        found = _model(snapshot, by_address, name)
        # The provider's own server may also accept its name as a prefix.
        head, _, tail = name.partition("/")
        if found is None and tail and _PREFIXES.get(head, head) == by_address.id:
            found = _model(snapshot, by_address, tail)
        return found
    if address.lower() in _NO_SELLERS:
        return None
    head, _, tail = name.partition("/")
    before = _named(snapshot, _PREFIXES.get(head, head)) if tail else None
    if before is not None and (found := _model(snapshot, before, tail)) is not None:
        return found
    found_seller = _named(snapshot, _PROVIDERS.get(provider, ""))
    if found_seller is None:
        return None
    # Vertex AI's names are paths: publishers/google/models/gemini-2.5-flash.
    found = _model(snapshot, found_seller, name)
    return found or _model(snapshot, found_seller, name.rpartition("/models/")[2])


def _model(snapshot: DataSnapshot, found: Provider, name: str) -> Sold | None:
    """Return a model of a provider."""
    model = found.find_model(name, all_providers=snapshot.providers) if name else None
    return None if model is None else Sold(found, model, name)


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
    for ending, name in _HOSTS:
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
    prices: ModelPrice, model: str = "", included: tuple[str, ...] = ()
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
    is_free = not known and model.lower().endswith(_FREE)
    return Rates(ours, free=is_free, included=included)


def _tiers(value: Any) -> Tiers:
    """Return a price as tiers; most prices have one."""
    if isinstance(value, Decimal):
        return rates.flat(value)
    tiers = [(tier.start, tier.price) for tier in value.tiers]
    return ((0, value.base), *tiers)


def _conditions(model: ModelInfo) -> list[Any]:
    """Return the conditional prices of a model."""
    return model.prices if isinstance(model.prices, list) else []


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
