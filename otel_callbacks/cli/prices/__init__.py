"""``otel-callbacks prices``: a model's known prices and their start dates."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._spend.price_file import VARIABLE, PriceFile
from otel_callbacks.cli._common import Column, Output, Refusal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from otel_callbacks.cli.prices.lookup import Found

_UNKNOWN: Final = 1
_LONGEST_REMARK: Final = 300


def run(options: argparse.Namespace) -> int:
    """Print a model's prices."""
    # Imported here because the import takes 90 ms.
    from otel_callbacks.cli.prices.lookup import find, near, source  # noqa: PLC0415

    at = options.at or datetime.now(UTC)
    path = options.prices or os.environ.get(VARIABLE, "").strip()
    own = PriceFile.read(path)
    found = find(options.model, options.provider, at, own)
    if options.json:
        content = [_as_dict(one) for one in found]
        sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if not found:
        like = ", ".join(near(options.model)) or "none"
        where = f" at {options.provider}" if options.provider else ""
        why = (
            f"no known price for {options.model!r}{where} ({source()}). Similar names: "
            f"{like}. Set its price in a file: --prices FILE or {VARIABLE}."
        )
        raise Refusal(why, _UNKNOWN)
    if not options.json:
        _print(Output(color=not options.no_color), found, at)
    return 0


def _print(out: Output, found: Sequence[Found], at: datetime) -> None:
    """Print one table for each provider of the model."""
    from otel_callbacks.cli.prices.lookup import EXAMPLE, KINDS, written  # noqa: PLC0415

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
            remark = one.remark
            if len(remark) > _LONGEST_REMARK:
                remark = f"{remark[:_LONGEST_REMARK]} ..."
            out.line(remark, "dim")
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
