"""Costs equal those of genai-prices, for every provider, model and day."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage as KnownUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import DataSnapshot, get_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_callbacks._records import Usage
from otel_callbacks._spend.price_list import (
    _PROVIDERS,
    Sold,
    compiled,
    listed,
    seller,
    sold,
)

SNAPSHOT = get_snapshot()
SOLD = [Sold(seller, model) for seller in SNAPSHOT.providers for model in seller.models]
TIERS = ("", "default", "flex", "priority", "scale")


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Make a usage whose parts fit into their wholes."""
    few = st.integers(0, 200_000)
    read, write, audio = draw(few), draw(few), draw(few)
    thought, spoken = draw(few), draw(few)
    given = read + write + audio + draw(few)
    taken = thought + spoken + draw(few)
    return Usage(given, taken, read, write, thought, audio, spoken)


def as_known(usage: Usage) -> KnownUsage:
    """Return the same usage for genai-prices.

    Which of the cached tokens were audio no usage says; none, for both.
    """
    return KnownUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read,
        cache_write_tokens=usage.cache_write,
        output_reasoning_tokens=usage.reasoning,
        input_audio_tokens=usage.audio_input,
        output_audio_tokens=usage.audio_output,
        cache_audio_read_tokens=0,
    )


@pytest.mark.slow
@settings(max_examples=1_000)
@given(
    st.sampled_from(SOLD),
    usages(),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(TIERS),
)
def test_costs_equal_those_of_genai_prices(
    model: Sold, usage: Usage, at: datetime, tier: str
) -> None:
    """For any model, usage, moment and tier, to the last digit."""
    expected = model.model.calc_price(
        as_known(usage),
        model.provider,
        genai_request_timestamp=at,
        price_context={"service_tier": tier} if tier else None,
    ).total_price
    prices = model.prices(at, tier)
    cost = compiled(prices).cost(usage)
    if cost is None:
        # Sold by the hour, the page or the image: tokens have no price.
        named = {key for key, value in vars(prices).items() if value is not None}
        assert not {"input_mtok", "output_mtok"} <= named
    else:
        assert cost == expected


def test_each_model_of_the_tables_is_priced() -> None:
    """Every model that has a price for tokens, at every provider of the list."""
    at = datetime(2026, 11, 21, 12, tzinfo=UTC)
    usage = Usage(1234, 56, 78)
    for model in SOLD:
        prices = model.prices(at, "")
        if {"input_mtok", "output_mtok"} <= vars(prices).keys():
            expected = prices.calc_price(as_known(usage))["total_price"]
            assert compiled(prices).cost(usage) == expected


def test_the_price_of_the_day() -> None:
    """On each day on which a price changed, the day before and the day after."""
    changed = 0
    usage = Usage(1_000, 100, 10)
    for model in SOLD:
        conditions = model.model.prices
        for one in conditions if isinstance(conditions, list) else ():
            if not isinstance(one.constraint, StartDateConstraint):
                continue
            start = datetime.combine(one.constraint.start_date, time(), UTC)
            for at in (start - timedelta(seconds=1), start, start + timedelta(days=1)):
                expected = model.model.get_prices(at).calc_price(as_known(usage))
                cost = compiled(model.prices(at, "")).cost(usage)
                assert cost in {expected["total_price"], None}
            changed += 1
    assert changed > 100


def test_openai_halved_a_price_on_a_day() -> None:
    """A call is paid at the price of its own day, not of today."""
    before = compiled(_o3().prices(datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC), ""))
    after = compiled(_o3().prices(datetime(2025, 6, 10, tzinfo=UTC), ""))
    assert before.cost(Usage(1_000_000, 0)) == 10
    assert after.cost(Usage(1_000_000, 0)) == 2


def _o3() -> Sold:
    """Return a model whose price is known to have changed."""
    found = sold(SNAPSHOT, "openai", "", 0, "o3")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("provider", "address", "port", "model", "seller_id"),
    [
        ("openai", "api.openai.com", 443, "gpt-4o-mini", "openai"),
        ("openai", "", 0, "gpt-4o-mini-2024-07-18", "openai"),
        ("openai", "openrouter.ai", 443, "openai/gpt-4o-mini", "openrouter"),
        ("openai", "api.groq.com", 443, "llama-3.1-8b-instant", "groq"),
        ("openai", "api.deepseek.com", 443, "deepseek-chat", "deepseek"),
        ("anthropic", "api.anthropic.com", 443, "claude-sonnet-4-5", "anthropic"),
        ("azure.ai.openai", "flowers.openai.azure.com", 443, "gpt-4o-mini", "azure"),
        ("azure.ai.openai", "llm.flowers.example", 443, "gpt-4o-mini", "azure"),
        ("aws.bedrock", "", 0, "anthropic.claude-3-haiku-20240307-v1:0", "aws"),
        ("gcp.gemini", "", 0, "gemini-2.5-flash", "google"),
        (
            "gcp.vertex_ai",
            "eu-aiplatform.googleapis.com",
            443,
            "gemini-2.5-pro",
            "google",
        ),
        ("x_ai", "api.x.ai", 443, "grok-4-0709", "x-ai"),
        ("mistral_ai", "api.mistral.ai", 443, "mistral-small-latest", "mistral"),
        ("litellm", "", 0, "openai/gpt-4o-mini", "openai"),
    ],
)
def test_who_sells(
    provider: str, address: str, port: int, model: str, seller_id: str
) -> None:
    """The server's address says it, else the provider's name does."""
    found = sold(SNAPSHOT, provider, address, port, model)
    assert found is not None
    assert found.provider.id == seller_id


@pytest.mark.parametrize(
    ("provider", "address", "port", "model"),
    [
        ("openai", "127.0.0.1", 8000, "qwen2.5-7b-instruct"),
        ("openai", "dashscope.aliyuncs.com", 443, "qwen-plus"),
        ("ollama", "127.0.0.1", 11434, "llama3.2"),
        ("openai", "api.openai.com", 443, "bouquet-1"),
        ("openai", "api.openai.com", 443, ""),
        ("", "", 0, "gpt-4o-mini"),
        ("litellm", "", 0, "bouquet/gpt-4o-mini"),
        ("litellm", "", 0, "gpt-4o-mini"),
        ("openai", "api.openai.com", 443, "azure/gpt-4o-mini"),
        ("openai", "api.openai.com", 443, "xai/gpt-4o-mini"),
        ("openai", "api.openai.com", 443, "publishers/google/models/gpt-4o-mini"),
        ("anthropic", "", 0, "publishers/google/models/claude-sonnet-4-5"),
    ],
)
def test_who_does_not_sell(provider: str, address: str, port: int, model: str) -> None:
    """A model that its provider does not list has no price, wherever it runs."""
    assert sold(SNAPSHOT, provider, address, port, model) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "llm.flowers.example"])
def test_behind_an_unknown_address(address: str) -> None:
    """A gateway passes on what the provider bills for the provider's own models."""
    found = sold(SNAPSHOT, "openai", address, 8000, "gpt-4o-mini")
    assert found == sold(SNAPSHOT, "openai", "api.openai.com", 443, "gpt-4o-mini")


def test_providers_of_the_table_are_known() -> None:
    """A renamed provider of genai-prices would leave its models unpriced."""
    # An unknown provider has no price, as any other without one.
    assert set(_PROVIDERS.values()) <= {one.id for one in SNAPSHOT.providers}
    assert seller(SNAPSHOT, "openai", "", 0) is not None


def test_free_models_cost_nothing() -> None:
    """A model that is listed without a price, and that says so in its name, is free."""
    found = sold(SNAPSHOT, "openrouter", "", 0, "google/gemma-3-27b-it:free")
    assert found is not None
    rates = found.rates(datetime(2026, 1, 1, tzinfo=UTC), "")
    assert rates.cost(Usage(10, 10)) == Decimal(0)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("gcp.gemini", "gemma-3n-e4b-it"),
        ("cerebras", "qwen-3-coder-480b"),
        ("openrouter", "google/gemini-flash-1.5-8b-exp"),
    ],
)
def test_an_empty_entry_is_not_free(provider: str, model: str) -> None:
    """A model that is listed without a price has none."""
    found = sold(SNAPSHOT, provider, "", 0, model)
    assert found is not None
    rates = found.rates(datetime(2026, 1, 1, tzinfo=UTC), "")
    assert not rates.free
    assert rates.cost(Usage(10, 10)) is None


def _model(*prices: ConditionalPrice) -> Sold:
    """Return a model with prices of our own."""
    model = ModelInfo(id="rose", match=ClauseEquals("rose"), prices=list(prices))
    provider = Provider(id="garden", name="Garden", api_pattern="x", models=[model])
    return Sold(provider, model)


def _price(constraint: Any, dollars: int) -> ConditionalPrice:
    """Return a price under a condition."""
    return ConditionalPrice(constraint, prices=ModelPrice(input_mtok=Decimal(dollars)))


@settings(max_examples=200)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 4), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(-12, 12),
    st.times(),
    st.times(),
)
@example(datetime(2026, 1, 2, tzinfo=UTC), 0, time(5), time(7))
@example(datetime(2026, 1, 2, 5, tzinfo=UTC), 0, time(5), time(7))
@example(datetime(2026, 1, 1, 12, tzinfo=UTC), 0, time(5), time(7))
def test_prices_hold_for_as_long_as_they_say(
    at: datetime, zone: int, start: time, end: time
) -> None:
    """Between the two times that are returned, no price changes."""
    there = timezone(timedelta(hours=zone))
    start = start.replace(microsecond=0, tzinfo=there)
    end = end.replace(microsecond=0, tzinfo=there)
    at = at.replace(microsecond=0)
    model = _model(
        _price(None, 1),
        _price(StartDateConstraint(date(2026, 1, 2)), 2),
        _price(TimeOfDateConstraint(start, end), 3),
    )
    since, until = model.holds(at)
    assert since <= at.timestamp() * 10**9 < until
    expected = model.prices(at, "")
    quarter, second = (until - since) // 4, 10**9
    for inside in (*range(since, until, quarter), until - second):
        moment = datetime.fromtimestamp(inside // second, UTC)
        assert model.prices(moment, "") == expected


def test_tiers_of_another_provider_are_not_its_own() -> None:
    """Azure sells OpenAI's models and not OpenAI's tiers."""
    at = datetime(2026, 11, 21, tzinfo=UTC)
    azure = sold(SNAPSHOT, "azure.ai.openai", "", 0, "gpt-5")
    openai = sold(SNAPSHOT, "openai", "", 0, "gpt-5")
    assert azure is not None
    assert openai is not None
    assert openai.prices(at, "priority") != openai.prices(at, "")
    for tier in TIERS:
        known = calc_price(
            KnownUsage(input_tokens=1_000_000),
            "gpt-5",
            provider_id="azure",
            genai_request_timestamp=at,
            price_context={"service_tier": tier},
        )
        cost = compiled(azure.prices(at, tier)).cost(Usage(1_000_000, 0))
        assert cost == known.total_price


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-opus-4-12"),
        ("anthropic", "claude-opus-4-6-fast"),
        ("anthropic", "claude-3-7-sonnet-mini"),
        ("aws.bedrock", "us.anthropic.claude-opus-4-55-v1:0"),
        ("aws.bedrock", "us.amazon.nova-lite-vision-v1:0"),
        ("azure.ai.openai", "deepseek-r1-distill-llama-70b"),
        ("gcp.gemini", "gemini-2.5-pro-image"),
        ("gcp.gemini", "models/gemini-2.5-pro-live-preview"),
        ("gcp.vertex_ai", "publishers/google/models/gemini-2.5-pro-nano@001"),
    ],
)
def test_no_model_has_the_price_of_another(provider: str, model: str) -> None:
    """The list matches some names by their beginning only."""
    assert sold(SNAPSHOT, provider, "", 0, model) is None


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("anthropic", "claude-opus-4-1-20250805"),
        ("anthropic", "claude-opus-4-6[1m]"),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:p/us.amazon.nova-pro-v1:0:300k"),
        ("gcp.gemini", "gemini-2.5-pro-preview-05-06"),
        ("gcp.vertex_ai", "claude-3-5-sonnet-v2@20241022"),
        ("openai", "ft:gpt-4o-2024-08-06:live-pro:search:x"),
        ("openai", "gpt-5.2-20251211"),
    ],
)
def test_a_dated_or_tuned_model_has_its_price(provider: str, model: str) -> None:
    """What follows a listed name is a date, a version or a name of the user's own."""
    assert sold(SNAPSHOT, provider, "", 0, model) is not None


def test_names_of_the_list_are_those_of_its_models() -> None:
    """No id of the list is taken for another model."""
    for provider in SNAPSHOT.providers:
        for model in provider.models:
            if provider.find_model(model.id) is not None:
                assert listed(SNAPSHOT, provider, model.id) is not None


@pytest.mark.parametrize(
    ("provider", "address", "model", "seller_id"),
    [
        ("openai", "bedrock-mantle.us-east-1.api.aws", "openai.gpt-oss-20b-1:0", "aws"),
        (
            *("aws.bedrock", "vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com"),
            *("amazon.nova-pro-v1:0", "aws"),
        ),
        (
            *("openai", "bedrock-runtime-fips.us-east-1.amazonaws.com"),
            *("us.amazon.nova-pro-v1:0", "aws"),
        ),
        ("openai", "us.api.x.ai", "grok-4", "x-ai"),
        (
            *("gcp.vertex_ai", "eu-aiplatform.googleapis.com"),
            *("publishers/google/models/gemini-2.5-flash", "google"),
        ),
        ("openai", "x.elb.amazonaws.com", "gpt-4o", "openai"),
    ],
)
def test_hosts_of_a_seller(
    provider: str, address: str, model: str, seller_id: str
) -> None:
    """Also those that the list has no pattern for."""
    found = sold(SNAPSHOT, provider, address, 443, model)
    assert found is not None
    assert found.provider.id == seller_id


@pytest.mark.parametrize(
    "address", ["api.deepinfra.com", "api.sambanova.ai", "llm.chutes.ai"]
)
def test_sellers_that_are_not_on_the_list(address: str) -> None:
    """What others bill for the same model is not their price."""
    assert sold(SNAPSHOT, "openai", address, 443, "openai/gpt-oss-120b") is None


@pytest.mark.parametrize(
    ("provider", "address", "model", "tier", "is_partial"),
    [
        ("openai", "api.openai.com", "gpt-5", "", False),
        ("openai", "api.openai.com", "gpt-5", "default", False),
        ("openai", "api.openai.com", "gpt-5-nano", "priority", True),
        ("openai", "api.openai.com", "gpt-5", "scale", True),
        ("azure.ai.openai", "x.openai.azure.com", "gpt-5", "priority", True),
        ("openai", "eu.api.openai.com", "gpt-5.4", "", True),
        ("openai", "us.api.x.ai", "grok-4", "", True),
        ("openai", "us-api.together.ai", "openai/gpt-oss-120b", "", True),
        (
            *("gcp.vertex_ai", "us-east5-aiplatform.googleapis.com"),
            *("claude-opus-4-5@20251101", "", True),
        ),
        (
            *("gcp.vertex_ai", "aiplatform.googleapis.com"),
            *("claude-opus-4-5@20251101", "", False),
        ),
    ],
)
def test_tiers_and_regions_without_a_price_are_partly_priced(
    provider: str, address: str, model: str, tier: str, *, is_partial: bool
) -> None:
    """They are billed at a rate that the list does not have."""
    found = sold(SNAPSHOT, provider, address, 443, model)
    assert found is not None
    rates = found.rates(datetime(2026, 11, 21, tzinfo=UTC), tier)
    cost, is_partly = rates.cost_of(Usage(1_000, 10), ())
    assert cost
    assert is_partly is is_partial


@pytest.mark.recent  # the lowest price list has no tiers
def test_a_tier_is_known_from_its_first_day() -> None:
    """Before, the list has no price of the tier."""
    found = sold(SNAPSHOT, "openai", "", 0, "gpt-4.1")
    assert found is not None
    for day, is_partial in ((11, True), (13, False)):
        rates = found.rates(datetime(2026, 10, day, tzinfo=UTC), "priority")
        assert rates.cost_of(Usage(1_000, 10), ())[1] is is_partial


def test_cached_audio_is_partly_priced() -> None:
    """No usage says how many of the cached tokens are audio."""
    found = sold(SNAPSHOT, "gcp.gemini", "", 0, "gemini-2.0-flash")
    assert found is not None
    rates = found.rates(datetime(2026, 11, 21, tzinfo=UTC), "")
    assert rates.cost_of(Usage(100, 1, cache_read=10, audio_input=20), ())[1]
    assert not rates.cost_of(Usage(100, 1, cache_read=10), ())[1]
    assert not rates.cost_of(Usage(100, 1, audio_input=20), ())[1]


def test_addresses_are_those_of_the_list() -> None:
    """A port that is not HTTPS's is part of the address."""
    own = Provider(id="own", name="Own", api_pattern=re.escape("https://a.example:81"))
    snapshot = DataSnapshot(providers=[own], from_auto_update=False)
    assert seller(snapshot, "", "a.example", 81) is own
    assert seller(snapshot, "", "a.example", 443) is None
    own = Provider(id="own", name="Own", api_pattern=r"https://a\.example(?:/|$)")
    snapshot = DataSnapshot(providers=[own], from_auto_update=False)
    for port in (0, 443):
        assert seller(snapshot, "", "a.example", port) is own
    assert seller(snapshot, "", "a.example", 444) is None
