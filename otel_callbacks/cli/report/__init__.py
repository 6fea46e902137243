"""``otel-callbacks report``: spending by model, outcome and label.

As a table, CSV or JSON.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.cli._common import Column, Output, moment, refuse, write_json
from otel_callbacks.cli.report.growth import read_prometheus, require_ours
from otel_callbacks.cli.report.spending import (
    METRICS_URL,
    NUMBERS,
    UNPRICED,
    matchers,
    read_metrics,
    spend,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_callbacks.cli.report.spending import Key, Read, Spend

_NAMED: Final = 3
"""How many gaps are named."""
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def _labels(text: str) -> tuple[str, ...]:
    """Parse label names, separated by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(_LABEL.fullmatch(name) for name in names):
        message = f"{text!r} is no list of labels such as team,feature"
        raise argparse.ArgumentTypeError(message)
    return names


TYPES: Final = {"matchers": matchers, "labels": _labels}
"""What reads the text of this command's arguments."""


def run(options: argparse.Namespace) -> int:
    """Print the spending."""
    read = _read(options)
    rows = spend(read.samples, options.by)
    if options.json:
        write_json(as_data(rows, options.by, read))
    elif options.csv:
        sys.stdout.write(as_csv(rows, options.by))
    else:
        table(Output(color=not options.no_color), rows, options.by, read)
    if not read.is_proven and options.csv:
        sys.stderr.writelines(f"{line}\n" for line in doubts(read))
    return 0 if read.is_proven else 1


def _read(options: argparse.Namespace) -> Read:
    """Read the app's series, or query Prometheus."""
    if options.prometheus is None:
        if options.since or options.until:
            refuse("--since and --until need --prometheus URL: /metrics has no past.")
        return read_metrics(options.url or METRICS_URL, options.match)
    if options.url:
        refuse("Give either the URL of /metrics or --prometheus URL, not both.")
    until = options.until or datetime.now(UTC)
    since = options.since or moment("24h", until)
    if since >= until:
        refuse(f"--since {since:%Y-%m-%d %H:%M} is not before --until.")
    read = read_prometheus(options.prometheus, since, until, matchers=options.match)
    if not read.samples:
        require_ours(options.prometheus, since, until, options.match)
    return read


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
    """Format US dollars, small amounts with more digits."""
    if amount == 0:
        return "0"
    return f"{amount:,.2f}" if abs(amount) >= 100 else f"{amount:.6f}"  # noqa: PLR2004


def remarks(rows: Mapping[Key, Spend], read: Read) -> list[str]:
    """Return remarks that explain the sums."""
    notes = []
    if read.until is None:
        since = "" if read.since is None else f" ({read.since:%Y-%m-%d %H:%M:%S} UTC)"
        notes.append(f"/metrics counts since the process started{since}.")
    elif read.since is not None:
        span = f"{read.since:%Y-%m-%d %H:%M:%S} to {read.until:%Y-%m-%d %H:%M:%S} UTC"
        notes.append(f"From {span}.")
    if read.restarts:
        notes.append(
            f"{read.restarts} counters began anew in this time; what a process "
            "counted after its last scrape is in no sum."
        )
    notes += doubts(read)
    unpriced: dict[str, float] = {}
    for key, row in rows.items():
        if row.unpriced_tokens:
            unpriced[key[0]] = unpriced.get(key[0], 0) + row.unpriced_tokens
    if unpriced:
        tokens = round(sum(unpriced.values()))
        notes.append(_WITHOUT.format(tokens=tokens, models=", ".join(sorted(unpriced))))
    return notes


def doubts(read: Read) -> list[str]:
    """Return the reasons why the sums may be incomplete."""
    notes = [f"The server warns: {text}" for text in read.warnings]
    if read.unknown:
        more = total(spend(read.unknown).values())
        tokens = more.input_tokens + more.output_tokens
        notes.append(
            f"Up to {round(tokens):,} tokens, ${dollars(more.cost_usd)} and "
            f"{round(more.calls):,} calls more may fall in this time, and are in no "
            "sum: Prometheus has no values around its start or its end. Choose a "
            "time in which it was running."
        )
    if read.silences:
        times = [
            f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d %H:%M} to "
            f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M}"
            for start, end in read.silences
        ]
        others = f" and {len(times) - _NAMED} more" if times[_NAMED:] else ""
        notes.append(
            f"Nothing was read from {', '.join(times[:_NAMED])}{others} (UTC): what a "
            "process counted there that began or ended in it is in no sum."
        )
    return notes


def as_data(rows: Mapping[Key, Spend], by: Sequence[str], read: Read) -> dict[str, Any]:
    """Return the report as JSON values."""
    return {
        "since": None if read.since is None else read.since.isoformat(),
        "until": None if read.until is None else read.until.isoformat(),
        "rows": [
            dict(zip(("model", "outcome", *by), key, strict=True)) | row.numbers()
            for key, row in rows.items()
        ],
        "total": total(rows.values()).numbers(),
        "proven": read.is_proven,
        "remarks": remarks(rows, read),
    }


def as_csv(rows: Mapping[Key, Spend], by: Sequence[str]) -> str:
    """Return the rows as CSV, without a total, so that a sheet can add them up."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("model", "outcome", *by, *NUMBERS))
    for key, row in rows.items():
        writer.writerow((*key, *row.numbers().values()))
    return out.getvalue()


def table(
    out: Output, rows: Mapping[Key, Spend], by: Sequence[str], read: Read
) -> None:
    """Print a table with its total and remarks."""
    everything = total(rows.values())
    unpriced = {key[0] for key, row in rows.items() if row.unpriced_tokens}
    # Columns without values, or covered by a remark, are left out.
    shown = [
        name
        for name in NUMBERS[:-1]
        if name in NUMBERS[:4] or getattr(everything, name)
    ]
    columns = [Column("model", "total", folds=True)]
    columns += [Column(head) for head in ("outcome", *by)]
    columns += [
        Column(_HEADS[name], _written(name, everything), right=True) for name in shown
    ]
    lines: list[list[str]] = []
    before = ""
    for key, row in rows.items():
        if key[1] == UNPRICED:
            continue
        first = "" if key[0] == before else key[0]
        before = key[0]
        cells = [_written(name, row) for name in shown]
        if key[0] in unpriced and not row.cost_usd and row.input_tokens:
            cells[shown.index("cost_usd")] = "no price"
        lines.append([first, *key[1:], *cells])
    if rows:
        out.table(columns, lines)
    else:
        out.line("No model calls were counted.")
    for line in remarks(rows, read):
        out.line(line, "dim")


def _written(name: str, row: Spend) -> str:
    """Format one number; zero is an empty text."""
    value = row.numbers()[name]
    if not value:
        return ""
    return dollars(value) if name.endswith("_usd") else f"{value:,}"
