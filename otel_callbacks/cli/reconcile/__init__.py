"""``otel-callbacks reconcile``: compare the counters with a usage export."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks import _semconv as semconv
from otel_callbacks.cli import report
from otel_callbacks.cli._common import Column, Output, Refusal, refuse, write_json
from otel_callbacks.cli.reconcile.exports import Export, Item, read_export
from otel_callbacks.cli.report import spending
from otel_callbacks.cli.report.growth import read_prometheus, require_ours

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from prometheus_client.samples import Sample


TYPES: Final = report.TYPES
"""What reads the text of this command's arguments."""

SERIES: Final = (spending.TOKENS, spending.COST)
"""What is compared."""

INPUT: Final = "input tokens"
OUTPUT: Final = "output tokens"
COST: Final = "cost, $"
_DATE: Final = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|\d{4})$")

Counts = dict[tuple[str, str], float]
"""Model and what is counted -> how much."""


class Gap(NamedTuple):
    """A number of the counters, and the same number of the export."""

    day: date | None
    """None where the days are not known."""
    model: str
    what: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        """Our number minus theirs, to a billionth, the precision of sums of doubles."""
        return round(self.ours - self.theirs, 9)

    @property
    def percent(self) -> float:
        """The difference in percent of theirs; infinite if theirs is zero."""
        if not self.difference:
            return 0.0
        return 100 * self.difference / self.theirs if self.theirs else float("inf")


def ours(
    samples: Iterable[Sample], provider: str, operations: frozenset[str] | None = None
) -> Counts:
    """Add up the counters by response model."""
    counts: Counts = {}
    for sample in samples:
        labels = sample.labels
        if provider and labels.get(spending.PROVIDER) != provider:
            continue
        if operations is not None and labels.get(spending.OPERATION) not in operations:
            continue
        model = (
            labels.get(spending.RESPONSE_MODEL)
            or labels.get(spending.REQUEST_MODEL)
            or ""
        )
        if sample.name == spending.TOKENS:
            is_input = labels.get(spending.TOKEN_TYPE) == semconv.INPUT
            key = model, INPUT if is_input else OUTPUT
        elif sample.name == spending.COST:
            key = model, COST
        else:
            continue
        counts[key] = counts.get(key, 0) + sample.value
    return counts


def theirs(items: Iterable[Item]) -> Counts:
    """Add up the export."""
    counts: Counts = {}
    for item in items:
        tokens = (INPUT, item.input_tokens), (OUTPUT, item.output_tokens)
        for what, value in (*tokens, (COST, item.cost_usd)):
            if value is not None:
                key = item.model, what
                counts[key] = counts.get(key, 0) + value
    return counts


def gaps(
    day: date | None, our: Counts, their: Counts, whole: Counts | None = None
) -> list[Gap]:
    """Compare both sides, only for numbers that the whole export has."""
    kinds = {what for _, what in whole or their}
    models = {model for model, _ in whole or their}
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
    """Return the name in the export for each of our models.

    Either side may omit the date of a model's version.
    """
    exact = {name.lower(): name for name in their}
    matched = {}
    for name in our:
        # Two dates are two versions: one side must have none.
        like = [
            one
            for one in their
            if _undated(one) == _undated(name)
            and _undated(name) in {one.lower(), name.lower()}
        ]
        matched[name] = exact.get(name.lower(), like[0] if len(like) == 1 else name)
    return matched


def _undated(name: str) -> str:
    """Return a model's name without its date."""
    return _DATE.sub("", name.lower())


_DAY: Final = timedelta(days=1)
_ALL: Final = "all"


def run(options: argparse.Namespace) -> int:
    """Compare both sides and print the gaps."""
    try:
        export = read_export(options.file)
    except Refusal as error:
        refuse(
            f"{options.file}: {error}. Export OpenAI's usage as CSV or JSON, or write "
            "a CSV with the columns date, model, input_tokens, output_tokens, cost."
        )
    if options.provider is None:
        options.provider = export.provider
    compare = _sums if options.prometheus is None else _days
    compared = compare(options, export)
    if not compared.gaps:
        refuse(f"{options.file} and our series hold nothing to compare: all is 0")
    beyond = [one for one in compared.gaps if abs(one.percent) > options.tolerance]
    if options.json:
        write_json(_as_data(compared, options.tolerance))
    else:
        _print(Output(color=not options.no_color), compared, options.tolerance)
    return 1 if beyond or not compared.is_proven else 0


class Compared(NamedTuple):
    """The gaps of both sides, with remarks."""

    gaps: list[Gap]
    remarks: list[str]
    is_proven: bool = True
    """Whether our side has all that was counted."""


def _sums(options: argparse.Namespace, export: Export) -> Compared:
    """Compare with an app's series, which have no days."""
    days = export.days
    read = spending.read_metrics(options.metrics or spending.METRICS_URL, options.match)
    since = "" if read.since is None else f" {read.since:%Y-%m-%d %H:%M} UTC"
    if read.since is not None and read.since.date() > days[-1]:
        refuse(
            f"the process started{since}, after the export's last day {days[-1]}, so "
            "its /metrics have nothing from that time. Use --prometheus URL."
        )
    remark = (
        f"/metrics counts since the process started{since}, the export is of "
        f"{days[0]} to {days[-1]}: only their sums are compared. --prometheus URL "
        "compares days."
    )
    our = ours(read.samples, options.provider, export.operations)
    return Compared(gaps(None, our, theirs(export.items)), [remark])


def _days(options: argparse.Namespace, export: Export) -> Compared:
    """Compare each day with a Prometheus."""
    whole = theirs(export.items)
    found: list[Gap] = []
    reads: list[spending.Read] = []
    for day in export.days:
        since = datetime(day.year, day.month, day.day, tzinfo=UTC)
        read = read_prometheus(
            options.prometheus, since, since + _DAY, SERIES, options.match
        )
        reads.append(read)
        their = theirs(item for item in export.items if item.day == day)
        our = ours(read.samples, options.provider, export.operations)
        found += gaps(day, our, their, whole)
    until = since + _DAY
    if not any(read.samples for read in reads):
        since -= _DAY * (len(reads) - 1)
        require_ours(options.prometheus, since, until, options.match)
    remarks = ["Days are UTC."]
    if until > datetime.now(UTC):
        remarks.append(f"{day} is not over: both sides still grow.")
    if restarts := sum(read.restarts for read in reads):
        remarks.append(
            f"{restarts} counters began anew in a day; what a process counted after "
            "its last scrape is in no sum."
        )
    everything = spending.Read(
        (),
        unknown=tuple(sample for read in reads for sample in read.unknown),
        warnings=tuple(dict.fromkeys(text for read in reads for text in read.warnings)),
        silences=spending.merged(one for read in reads for one in read.silences),
    )
    return Compared(found, [*remarks, *report.doubts(everything)], everything.is_proven)


def _as_data(compared: Compared, tolerance: float) -> dict[str, Any]:
    """Return the gaps as JSON values, which have no infinity."""
    return {
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
            for one in compared.gaps
        ],
        "proven": compared.is_proven,
        "remarks": compared.remarks,
    }


def _print(out: Output, compared: Compared, tolerance: float) -> None:
    """Print the gaps as a table, those beyond the tolerance in red."""
    found = compared.gaps
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
            report.dollars(value) if one.what == COST else f"{round(value):,}"
            for value in numbers
        ]
        percent = f"{one.percent:+.2f}" if one.theirs else "not theirs"
        rows.append([*cells, one.what, *written, percent])
        styles.append("bold red" if abs(one.percent) > tolerance else "")
    out.table(columns, rows, styles)
    if beyond := sum(map(bool, styles)):
        verdict = (
            f"{beyond} of {len(found)} numbers differ by more than {tolerance:g} %."
        )
        out.line(verdict, "bold red")
    elif compared.is_proven:
        out.line(f"All {len(found)} numbers agree within {tolerance:g} %.", "green")
    else:
        out.line("No gap was found, but our side is not complete:", "bold red")
    for line in compared.remarks:
        out.line(line, "dim")
