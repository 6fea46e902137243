"""Look up a model's known prices, their source and their start dates."""

from __future__ import annotations

import difflib
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from genai_prices import __version__
from genai_prices.data_snapshot import get_snapshot

from otel_callbacks._records import Usage
from otel_callbacks._spend import rates
from otel_callbacks._spend.price_file import ALWAYS, PriceFile
from otel_callbacks._spend.price_list import Sold, compiled, listed, seller

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from genai_prices.types import ModelPrice

    from otel_callbacks._spend.rates import Rates, Tiers

EXAMPLE: Final = Usage(1_000_000, 100_000)
"""The tokens of the worked example."""

_NEAR: Final = 5


class Period(NamedTuple):
    """Prices that apply, or applied, under one condition."""

    when: str
    rates: Rates
    now: bool = False


class Found(NamedTuple):
    """One model at one provider."""

    provider: str
    model: str
    source: str
    periods: tuple[Period, ...]
    cost: Decimal | None
    remark: str = ""


def find(model: str, provider: str, at: datetime, own: PriceFile) -> tuple[Found, ...]:
    """Find a model's prices: the user's first, then those of each provider."""
    return (*_own(model, provider, at, own), *_known(model, provider, at))


def near(model: str) -> tuple[str, ...]:
    """Return the names of models with a similar name."""
    names = {one.id for seller in get_snapshot().providers for one in seller.models}
    found = difflib.get_close_matches(model.lower(), sorted(names), _NEAR, 0.5)
    inside = sorted(name for name in names if model.lower() in name.lower())
    return tuple(dict.fromkeys((*found, *inside)))[:_NEAR]


def source() -> str:
    """Return the name and version of the price list, with its newest date."""
    days = [
        price.constraint.start_date
        for seller in get_snapshot().providers
        for model in seller.models
        for price in _conditions(model)
        if isinstance(getattr(price.constraint, "start_date", None), date)
    ]
    newest = max((day for day in days if day <= date.today()), default=None)  # noqa: DTZ011
    return f"genai-prices {__version__}, newest price of {newest}"


def _own(model: str, provider: str, at: datetime, own: PriceFile) -> list[Found]:
    """Find the user's prices for a model, at any server."""
    chosen = own.find(provider, "", 0, model, at)
    periods = []
    for entry in own.entries:
        if entry.names(model):
            words = (
                "" if entry.since == ALWAYS else f"from {entry.since}",
                entry.server and f"at {entry.server}",
                entry.provider and f"of {entry.provider}",
            )
            when = ", ".join(filter(None, words)) or "always"
            periods.append(Period(when, entry.rates, entry.rates is chosen))
    if not periods:
        return []
    cost = None if chosen is None else chosen.cost(EXAMPLE)
    return [Found(provider or "any", model, "your file", tuple(periods), cost)]


def _known(model: str, provider: str, at: datetime) -> list[Found]:
    """Find a model in the list at one or all providers, its maker first."""
    snapshot = get_snapshot()
    sellers = snapshot.providers
    if provider:
        one = seller(snapshot, provider, "", 0)
        sellers = [p for p in sellers if p is one or p.id == provider]
    try:
        maker = snapshot.find_provider(model, None, None).id
    except LookupError:
        maker = ""
    found = []
    for one in sellers:
        match = listed(snapshot, one, model)
        # A model sold on behalf of another provider is listed at that provider.
        if match is None or not (provider or match.is_own):
            continue
        known, sold = match.model, Sold(one, match.model)
        found.append(
            Found(
                one.id,
                known.id,
                source(),
                tuple(_periods(sold, at)),
                compiled(sold.prices(at, "")).cost(EXAMPLE),
                known.price_comments or "",
            )
        )
    return sorted(found, key=lambda one: one.provider != maker)


def _periods(sold: Sold, at: datetime) -> list[Period]:
    """Return a model's prices for each condition."""
    now = sold.prices(at, "")
    listed = _conditions(sold.model)
    if not listed:
        plain: Any = sold.model.prices
        periods = [Period("always", compiled(plain), now=True)]
    else:
        periods = [
            Period(_when(one.constraint), compiled(one.prices), one.prices is now)
            for one in listed
        ]
    for variant in sold.model.price_variants or ():
        words = " ".join(f"{key} {value}" for key, value in variant.when.items())
        if variant.constraint is not None:
            words += f", {_when(variant.constraint)}"
        # A variant overrides some of the standard prices.
        merged: ModelPrice = type(now)(**{**vars(now), **vars(variant.prices)})
        periods.append(Period(words, compiled(merged)))
    return periods


def _when(constraint: Any) -> str:
    """Return the text for the condition of a price."""
    if constraint is None:
        return "else"
    if (day := getattr(constraint, "start_date", None)) is not None:
        return f"from {day}"
    return f"{constraint.start_time:%H:%M} to {constraint.end_time:%H:%M} UTC"


def _conditions(model: Any) -> list[Any]:
    """Return the conditional prices of a model."""
    return model.prices if isinstance(model.prices, list) else []


def written(tiers: Tiers | None) -> str:
    """Return the text for a price per million tokens, one line for each tier."""
    if tiers is None:
        return ""
    first, *others = [(above, f"{amount.normalize():f}") for above, amount in tiers]
    return first[1] + "".join(f"\n{amount} above {above:,}" for above, amount in others)


KINDS: Final = (*rates.TOKENS, rates.PER_CALL)
"""Kinds of prices, in the order of the columns."""
