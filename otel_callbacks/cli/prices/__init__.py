"""``otel-callbacks prices``: a model's known prices and their start dates."""

from __future__ import annotations

import difflib
import os
import textwrap
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from genai_prices import __version__
from genai_prices.data_snapshot import get_snapshot

from otel_callbacks._records import Usage
from otel_callbacks._spend import rates
from otel_callbacks._spend.price_file import ALWAYS, VARIABLE, PriceFile
from otel_callbacks._spend.price_list import Sold, compiled, listed, seller
from otel_callbacks.cli._common import Column, Output, refuse, write_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from decimal import Decimal

    from genai_prices.types import ModelPrice

    from otel_callbacks._spend.rates import Rates, Tiers

KINDS: Final = (*rates.TOKENS, rates.PER_CALL)
"""Kinds of prices, in the order of the columns."""

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


def run(options: argparse.Namespace) -> int:
    """Print a model's prices."""
    at = options.at or datetime.now(UTC)
    path = options.prices or os.environ.get(VARIABLE, "").strip()
    own = PriceFile.read(path)
    found = find(options.model, options.provider, at, own)
    if options.json:
        write_json([_as_dict(one) for one in found])
    if not found:
        like = ", ".join(near(options.model)) or "none"
        where = f" at {options.provider}" if options.provider else ""
        refuse(
            f"no known price for {options.model!r}{where} ({source()}). Similar names: "
            f"{like}. Set its price in a file: --prices FILE or {VARIABLE}.",
            code=1,
        )
    if not options.json:
        _print(Output(color=not options.no_color), found, at)
    return 0


def _print(out: Output, found: Sequence[Found], at: datetime) -> None:
    """Print one table for each provider of the model."""
    for one in found:
        out.line()
        out.line(f"{one.model} from {one.provider}, $ per million tokens", "bold")
        kinds = [
            kind
            for kind in KINDS
            if any(kind in period.rates.prices for period in one.periods)
        ]
        columns = [Column("when")]
        columns += [Column(kind.replace("_", " "), right=True) for kind in kinds]
        rows = [
            [
                f"{period.when}: free" if period.rates.free else period.when,
                *(written(period.rates.prices.get(kind)) for kind in kinds),
            ]
            for period in one.periods
        ]
        out.table(columns, rows, ["bold" * period.now for period in one.periods])
        cost = "no price" if one.cost is None else f"${one.cost.normalize():f}"
        out.line(
            f"{EXAMPLE.input_tokens:,} tokens in and {EXAMPLE.output_tokens:,} out, "
            f"on {at:%Y-%m-%d %H:%M} UTC: {cost}"
        )
        if one.remark:
            out.line(textwrap.shorten(one.remark, 300, placeholder="..."), "dim")
        out.line(one.source, "dim")


def _as_dict(found: Found) -> dict[str, Any]:
    """Return prices as JSON values; amounts are text, so that they stay exact."""
    return {
        "provider": found.provider,
        "model": found.model,
        "source": found.source,
        "remark": found.remark,
        "example_usd": None if found.cost is None else f"{found.cost.normalize():f}",
        "periods": [
            {
                "when": period.when,
                "now": period.now,
                "free": period.rates.free,
                "usd_per_million": {
                    kind: [{"above": above, "usd": str(usd)} for above, usd in tiers]
                    for kind, tiers in period.rates.prices.items()
                },
            }
            for period in found.periods
        ],
    }


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
    if not (listed := _conditions(sold.model)):
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
