"""``otel-callbacks reconcile``: our counters beside a provider's usage export."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli._common import Column, Output, refuse
from otel_callbacks.cli.reconcile.exports import ExportError, read_export
from otel_callbacks.cli.report import dollars
from otel_callbacks.cli.report import spending as source
from otel_callbacks.cli.report.spending import (
    METRICS_URL,
    PROVIDER,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    TOKEN_TYPE,
    SourceError,
    read_metrics,
    read_prometheus,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from otel_callbacks.cli.reconcile.exports import Export, Item
    from otel_callbacks.cli.report.spending import Sample

SERIES: Final = (source.TOKENS, source.COST)
"""What is compared."""

INPUT: Final = "input tokens"
OUTPUT: Final = "output tokens"
COST: Final = "cost, $"
_DATE: Final = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|\d{4})$")

Counts = dict[tuple[str, str], float]
"""Model and what is counted -> how much."""


class Gap(NamedTuple):
    """One number of ours beside one of theirs."""

    day: date | None
    """None where we know no days."""
    model: str
    what: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """How much more we counted, to a billionth: sums of doubles are no closer."""
        return round(self.ours - self.theirs, 9)

    @property
    def percent(self) -> float:
        """The difference as a part of theirs; infinite where they have nothing."""
        if not self.difference:
            return 0.0
        return 100 * self.difference / self.theirs if self.theirs else float("inf")


def ours(samples: Iterable[Sample], provider: str) -> Counts:
    """Add up what we counted, by the model that answered."""
    counts: Counts = {}
    for sample in samples:
        labels = sample.labels
        if provider and labels.get(PROVIDER) != provider:
            continue
        model = labels.get(RESPONSE_MODEL) or labels.get(REQUEST_MODEL) or ""
        if sample.series == source.TOKENS:
            is_input = labels.get(TOKEN_TYPE) == semconv.INPUT
            key = model, INPUT if is_input else OUTPUT
        elif sample.series == source.COST:
            key = model, COST
        else:
            continue
        counts[key] = counts.get(key, 0) + sample.value
    return counts


def theirs(items: Iterable[Item]) -> Counts:
    """Add up what the provider counted."""
    counts: Counts = {}
    for item in items:
        said = (INPUT, item.input_tokens), (OUTPUT, item.output_tokens)
        for what, value in (*said, (COST, item.cost_usd)):
            if value is not None:
                key = item.model, what
                counts[key] = counts.get(key, 0) + value
    return counts


def gaps(day: date | None, our: Counts, their: Counts) -> list[Gap]:
    """Put both side by side; only what the provider counts at all."""
    kinds = {what for _, what in their}
    models = {model for model, _ in their}
    total = models == {""}
    names = _matched({model for model, _ in our}, models)
    counted: Counts = {}
    for (model, what), value in our.items():
        key = "" if total else names[model], what
        counted[key] = counted.get(key, 0) + value
    keys = {key for key in {*counted, *their} if key[1] in kinds}
    order = (INPUT, OUTPUT, COST)
    return [
        Gap(day, *key, counted.get(key, 0), their.get(key, 0))
        for key in sorted(keys, key=lambda key: (key[0], order.index(key[1])))
        if counted.get(key) or their.get(key)
    ]


def _matched(our: set[str], their: set[str]) -> Mapping[str, str]:
    """Say what each of our models is called in the export.

    An export may leave out the date of a model's version, or our series may.
    """
    exact = {name.lower(): name for name in their}
    matched = {}
    for name in our:
        # Two dates are two versions: one of both sides must have none.
        like = [
            one
            for one in their
            if _undated(one) == _undated(name)
            and _undated(name) in {one.lower(), name.lower()}
        ]
        matched[name] = exact.get(name.lower(), like[0] if len(like) == 1 else name)
    return matched


def _undated(name: str) -> str:
    """Return a model's name without the date of its version."""
    return _DATE.sub("", name.lower())


_GAP: Final = 1
_PERCENT: Final = 1.0
_DAY: Final = timedelta(days=1)
_OPENAI: Final = "openai"
_ALL: Final = "all"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.description = (
        "Compares tokens and cost by model and day with an export: "
        "OpenAI's usage or costs, as JSON of its API or as CSV of its pages, or any "
        "CSV with date, model, input_tokens, output_tokens, cost. Exit code 0: no gap "
        "beyond the tolerance; 1: a gap; 2: it cannot be read."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="the export")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--metrics",
        metavar="URL",
        help=f"the app's series, which know no days (default: {METRICS_URL})",
    )
    where.add_argument(
        "--prometheus", metavar="URL", help="ask a Prometheus, for each day"
    )
    parser.add_argument(
        "--provider",
        metavar="NAME",
        help="compare only this one's calls (default: openai for OpenAI's exports, "
        "else all)",
    )
    parser.add_argument(
        "--tolerance",
        metavar="PERCENT",
        type=_percent,
        default=_PERCENT,
        help=f"how large a gap is none (default: {_PERCENT:g})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, and print the gaps."""
    try:
        export = read_export(options.file)
    except ExportError as error:
        return refuse(
            "reconcile",
            f"{options.file}: {error}. Export OpenAI's usage as CSV or JSON, or write "
            "a CSV with the columns date, model, input_tokens, output_tokens, cost.",
        )
    try:
        found, remarks = _gaps(options, export)
    except (SourceError, SettingError) as error:
        return refuse("reconcile", str(error))
    beyond = [one for one in found if abs(one.percent) > options.tolerance]
    if options.json:
        sys.stdout.write(_as_json(found, options.tolerance, remarks))
    else:
        out = Output(color=not options.no_color)
        _print(out, found, options.tolerance, remarks)
    return _GAP if beyond else 0


def _gaps(options: argparse.Namespace, export: Export) -> tuple[list[Gap], list[str]]:
    """Read our side for each day of the export, or once where there are no days."""
    days = sorted({item.day for item in export.items})
    provider = options.provider
    if provider is None:
        provider = _OPENAI if export.is_openai else ""
    if options.prometheus is None:
        read = read_metrics(options.metrics or METRICS_URL)
        since = "" if read.since is None else f" {read.since:%Y-%m-%d %H:%M} UTC"
        remark = (
            f"/metrics counts since the process started{since}, the export is of "
            f"{days[0]} to {days[-1]}: only their sums are compared. --prometheus URL "
            "compares days."
        )
        return gaps(None, ours(read.samples, provider), theirs(export.items)), [remark]
    found: list[Gap] = []
    restarts = 0
    for day in days:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        read = read_prometheus(options.prometheus, midnight, midnight + _DAY, SERIES)
        restarts += read.restarts
        their = theirs(item for item in export.items if item.day == day)
        found += gaps(day, ours(read.samples, provider), their)
    remarks = ["Days are UTC."]
    if restarts:
        remarks.append(
            f"{restarts} counters began anew in a day; their sums are Prometheus' "
            "increase(), which is an estimate."
        )
    return found, remarks


def _as_json(found: Sequence[Gap], tolerance: float, remarks: Sequence[str]) -> str:
    """Write the gaps as JSON, which knows no infinity."""
    content = {
        "tolerance_percent": tolerance,
        "rows": [
            {
                "day": None if one.day is None else one.day.isoformat(),
                "model": one.model or _ALL,
                "what": one.what,
                "ours": round(one.ours, 9),
                "theirs": round(one.theirs, 9),
                "difference": round(one.difference, 9),
                "percent": round(one.percent, 3) if one.theirs else None,
                "ok": abs(one.percent) <= tolerance,
            }
            for one in found
        ],
        "remarks": list(remarks),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _print(
    out: Output, found: Sequence[Gap], tolerance: float, remarks: Sequence[str]
) -> None:
    """Print the gaps as a table, those beyond the tolerance in red."""
    heads = ("day", "model") if any(one.day for one in found) else ("model",)
    columns = [Column(head, folds=head == "model") for head in (*heads, "what")]
    columns += [
        Column(head, right=True) for head in ("ours", "theirs", "difference", "percent")
    ]
    rows, styles = [], []
    before: tuple[str, ...] = ()
    for one in found:
        place = (f"{one.day}", one.model or _ALL)[-len(heads) :]
        cells = place if place != before else ("",) * len(heads)
        before = place
        numbers = one.ours, one.theirs, one.difference
        written = [
            dollars(value) if one.what == COST else f"{round(value):,}"
            for value in numbers
        ]
        percent = f"{one.percent:+.2f}" if one.theirs else "not theirs"
        rows.append([*cells, one.what, *written, percent])
        styles.append("bold red" if abs(one.percent) > tolerance else "")
    out.table(columns, rows, styles)
    beyond = sum(map(bool, styles))
    if beyond:
        verdict = (
            f"{beyond} of {len(found)} numbers differ by more than {tolerance:g} %."
        )
        out.line(verdict, "bold red")
    else:
        out.line(f"All {len(found)} numbers agree within {tolerance:g} %.", "green")
    for line in remarks:
        out.line(line, "dim")


def _percent(text: str) -> float:
    """Read a part in percent."""
    number = float(text)
    # Written so that "nan" is refused.
    if not 0 <= number < float("inf"):
        raise ValueError(text)
    return number
