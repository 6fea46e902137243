"""How spend is printed: a table for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli.report.spend import NUMBERS, UNPRICED, total

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from otel_callbacks.cli.report.prometheus import Read
    from otel_callbacks.cli.report.spend import Key, Spend

_WIDTH_AT_MOST: Final = 120
_HEADS: Final = {
    "calls": "calls",
    "input_tokens": "in",
    "output_tokens": "out",
    "cost_usd": "cost, $",
    "saved_tokens": "saved",
    "saved_usd": "saved, $",
}
_WITHOUT: Final = (
    "{tokens:,} tokens have no price and are in no sum of dollars: {models}. "
    "Give their prices in a file: OTEL_CALLBACKS_PRICES."
)


def dollars(amount: float) -> str:
    """Write US dollars, small ones with more digits.

    Args:
        amount: How many.
    """
    if amount == 0:
        return "0"
    return f"{amount:,.2f}" if abs(amount) >= 100 else f"{amount:.6f}"  # noqa: PLR2004


def remarks(rows: Mapping[Key, Spend], read: Read) -> list[str]:
    """Say what must be known to read the sums rightly.

    Args:
        rows: What was spent.
        read: What was read.
    """
    said = []
    if read.until is None:
        since = "" if read.since is None else f" ({read.since:%Y-%m-%d %H:%M:%S} UTC)"
        said.append(f"/metrics counts since the process started{since}.")
    elif read.since is not None:
        span = f"{read.since:%Y-%m-%d %H:%M:%S} to {read.until:%Y-%m-%d %H:%M:%S} UTC"
        said.append(f"From {span}.")
    if read.restarts:
        said.append(
            f"{read.restarts} counters began anew in this time; their sums are "
            "Prometheus' increase(), which is an estimate."
        )
    unpriced: dict[str, float] = {}
    for key, row in rows.items():
        if row.unpriced_tokens:
            unpriced[key[0]] = unpriced.get(key[0], 0) + row.unpriced_tokens
    if unpriced:
        tokens = round(sum(unpriced.values()))
        said.append(_WITHOUT.format(tokens=tokens, models=", ".join(sorted(unpriced))))
    return said


def as_json(rows: Mapping[Key, Spend], by: Sequence[str], read: Read) -> str:
    """Write all as JSON.

    Args:
        rows: What was spent.
        by: The further labels.
        read: What was read.
    """
    content: dict[str, Any] = {
        "since": None if read.since is None else read.since.isoformat(),
        "until": None if read.until is None else read.until.isoformat(),
        "rows": [
            dict(zip(("model", "outcome", *by), key, strict=True)) | row.numbers()
            for key, row in rows.items()
        ],
        "total": total(rows.values()).numbers(),
        "remarks": remarks(rows, read),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_csv(rows: Mapping[Key, Spend], by: Sequence[str]) -> str:
    """Write the rows as CSV, without the total, so that a sheet may add them up.

    Args:
        rows: What was spent.
        by: The further labels.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "outcome", *by, *NUMBERS))
    for key, row in rows.items():
        writer.writerow((*key, *row.numbers().values()))
    return out.getvalue()


def table(
    out: Console, rows: Mapping[Key, Spend], by: Sequence[str], read: Read
) -> None:
    """Print a table with its total and remarks.

    Args:
        out: Where to print.
        rows: What was spent.
        by: The further labels.
        read: What was read.
    """
    # Here, because it is an extra.
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    everything = total(rows.values())
    unpriced = {key[0] for key, row in rows.items() if row.unpriced_tokens}
    # What no call cost or saved, and what a remark says, takes no room.
    shown = [
        name
        for name in NUMBERS[:-1]
        if name in NUMBERS[:4] or getattr(everything, name)
    ]
    grid = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    grid.add_column("model", footer="total", overflow="fold")
    for head in ("outcome", *by):
        grid.add_column(head, no_wrap=True)
    for name in shown:
        amount = _written(name, everything)
        grid.add_column(_HEADS[name], footer=amount, justify="right", no_wrap=True)
    before = ""
    for key, row in rows.items():
        if key[1] == UNPRICED:
            continue
        first = "" if key[0] == before else key[0]
        before = key[0]
        cells = [_written(name, row) for name in shown]
        if key[0] in unpriced and not row.cost_usd and row.input_tokens:
            cells[shown.index("cost_usd")] = "no price"
        grid.add_row(first, *key[1:], *cells)
    width = min(out.width, _WIDTH_AT_MOST)
    if rows:
        out.print(grid, width=width)
    else:
        out.print("No model calls were counted.", width=width)
    for line in remarks(rows, read):
        out.print(line, style="dim", width=width, markup=False)


def _written(name: str, row: Spend) -> str:
    """Write one number; nothing is left empty."""
    value = row.numbers()[name]
    if not value:
        return ""
    return dollars(value) if name.endswith("_usd") else f"{value:,}"
