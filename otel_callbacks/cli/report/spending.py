"""Spend by model, outcome and label, from ``/metrics`` or a Prometheus."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics.series import label
from otel_callbacks.cli._common import refuse
from otel_callbacks.cli._http import FAILURES, Address, address, fields_of, get

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import httpx
    from prometheus_client.samples import Sample

    Labels = tuple[tuple[str, str], ...]
    Points = dict[float, float]
    Histories = dict[Labels, Points]

TOKENS: Final = "otel_callbacks_tokens_total"
TOKENS_SAVED: Final = "otel_callbacks_tokens_saved_total"
COST: Final = "otel_callbacks_cost_usd_total"
COST_SAVED: Final = "otel_callbacks_cost_saved_usd_total"
OPERATIONS: Final = "otel_callbacks_operations_total"
UNPRICED_TOKENS: Final = "otel_callbacks_unpriced_tokens_total"
SPEND: Final = (TOKENS, TOKENS_SAVED, COST, COST_SAVED, OPERATIONS, UNPRICED_TOKENS)
"""The series of spend."""

METRICS_URL: Final = "http://127.0.0.1:9464/metrics"
_SECONDS: Final = 30.0
_TEXT: Final = "text/plain;version=0.0.4, application/json;q=0.5"
STARTED: Final = "process_start_time_seconds"


Silence = tuple[float, float]
"""From when to when nothing was read, in Unix seconds."""


def merged(silences: Iterable[Silence]) -> tuple[Silence, ...]:
    """Merge overlapping times."""
    found: list[Silence] = []
    for start, end in sorted(silences):
        if found and start <= found[-1][1]:
            start, end = found[-1][0], max(found.pop()[1], end)  # noqa: PLW2901
        found.append((start, end))
    return tuple(found)


class Read(NamedTuple):
    """The values of a source, and whether they are complete."""

    samples: tuple[Sample, ...]
    since: datetime | None = None
    """The start, where it is known."""
    until: datetime | None = None
    restarts: int = 0
    """How often counters began anew in between."""
    unknown: tuple[Sample, ...] = ()
    """What may fall in the time, or not, and is in no sample."""
    warnings: tuple[str, ...] = ()
    """Warnings in the server's responses, such as that they are partial."""
    silences: tuple[Silence, ...] = ()
    """The times in which nothing was read, of all or of a process that ended."""

    @property
    def is_proven(self) -> bool:
        """Whether nothing that was counted in the period is missing."""
        return not self.unknown and not self.warnings and not self.silences


def read_metrics(url: str, chosen: Sequence[Matcher] = ()) -> Read:
    """Read an app's series: the spend since its process started."""
    where = address("URL", url)
    remedy = "Start the app, or give the URL of its /metrics, or --prometheus URL."
    text = fetch(where, "", {}, remedy).text
    found: list[Sample] = []
    started = None
    try:
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                if one.name in SPEND and all(m.holds(one.labels) for m in chosen):
                    found.append(one)
                elif one.name == STARTED:
                    started = datetime.fromtimestamp(one.value, UTC)
    except (ValueError, KeyError, IndexError):
        refuse(f"{where.url} does not answer with series. {remedy}")
    broken = next((one for one in found if not math.isfinite(one.value)), None)
    if broken is not None:
        refuse(f"{where.url} has {broken.value} for {broken.name}, which is not a sum")
    if not found and "otel_callbacks" not in text:
        refuse(f"{where.url} has none of our series. {remedy}")
    return Read(tuple(found), started)


class Matcher(NamedTuple):
    """One label matcher of PromQL."""

    label: str
    operator: str
    text: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels match; a missing label is empty."""
        value = labels.get(self.label, "")
        if "~" in self.operator:
            is_like = re.fullmatch(self.text, value, re.DOTALL) is not None
        else:
            is_like = self.text == value
        return is_like is not self.operator.startswith("!")


_MATCHER: Final = re.compile(
    r"""\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"""
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)\s*(,|$)""",
    re.ASCII,
)


_QUOTED: Final = re.compile(r"""\\.|["]""")
_OF_JSON: Final = {'"': r"\"", r"\'": "'"}


def matchers(text: str) -> tuple[Matcher, ...]:
    """Parse an argument such as ``job="shop", team=~"a|b"``."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    found: list[Matcher] = []
    end = 0
    with suppress(ValueError, re.error):
        while one := _MATCHER.match(inner, end):
            value = one[3][1:-1]
            if not one[3].startswith("`"):
                # PromQL also allows single quotes, JSON does not. Both double the
                # backslashes of a regular expression.
                quoted = _QUOTED.sub(lambda q: _OF_JSON.get(q[0], q[0]), value)
                value = json.loads(f'"{quoted}"')
            re.compile(value if "~" in one[2] else "")
            found.append(Matcher(one[1], one[2], value))
            end = one.end()
        if found and end == len(inner):
            return tuple(found)
    message = f'{text!r} are no matchers such as job="shop",team=~"a|b"'
    raise argparse.ArgumentTypeError(message)


def selector(chosen: Iterable[Matcher]) -> str:
    """Return matchers as a PromQL selector; empty without matchers."""
    written = ",".join(
        f"{one.label}{one.operator}{json.dumps(one.text, ensure_ascii=False)}"
        for one in chosen
    )
    return f"{{{written}}}" if written else ""


def fetch(
    where: Address, path: str, query: dict[str, str], remedy: str
) -> httpx.Response:
    """Return the data of a response, or raise a refusal with the reason."""
    try:
        answer = get(where, path, query, accept=_TEXT, seconds=_SECONDS)
    except FAILURES as error:
        refuse(f"{where.url} does not answer: {error}. {remedy}")
    if answer.is_error:
        text = answer.text[:200].strip() or answer.reason_phrase or "no reason"
        # A Prometheus that refuses the query says why.
        reason = fields_of(answer).get("error") or f"{text}. {remedy}"
        refuse(f"{where.url} answers {answer.status_code}: {reason}")
    return answer


_REMEDY: Final = "Give the address of Prometheus: --prometheus URL."


class Prometheus:
    """A client of one Prometheus, which keeps the warnings of its responses."""

    def __init__(self, url: str) -> None:
        self._where = address("--prometheus", url)
        self.url = self._where.url
        self.warnings: dict[str, None] = {}

    def now(self, query: str, at: float) -> Histories:
        """Return the result of an expression at a time: one point or its samples."""
        return self._ask("query", query=query, time=f"{at:.3f}")

    def last(self, series: str, start: float, end: float, step: float) -> Histories:
        """Return the last value of each step, if it has one."""
        # One second more, so that rounding drops no sample.
        query = f"last_over_time({series}[{math.ceil(step) + 1}s])"
        return self.stepped(query, start, end, step)

    def stepped(self, query: str, start: float, end: float, step: float) -> Histories:
        """Return the result of an expression at each step."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return self._ask("query_range", query=query, **times)

    def samples(self, series: str, start: float, end: float) -> Histories:
        """Return the raw samples after a start."""
        found = self.now(f"{series}[{math.ceil(end - start)}s]", end)
        return {
            key: {time: value for time, value in points.items() if time > start}
            for key, points in found.items()
        }

    def _ask(self, path: str, **query: str) -> Histories:
        """Return the series of a response."""
        answer = fields_of(fetch(self._where, f"/api/v1/{path}", query, _REMEDY))
        try:
            warned = answer.get("warnings") or ()
            self.warnings.update((str(one), None) for one in warned)
            found = {
                _labels(one.get("metric", {})): {
                    float(time): self._number(value, query["query"])
                    for time, value in one.get("values") or [one["value"]]
                }
                for one in answer["data"]["result"]
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            refuse(f"{self.url} does not answer as a Prometheus does. {_REMEDY}")
        return found

    def _number(self, value: Any, query: str) -> float:
        """Read a finite value; ``nan`` would equal everything."""
        number = float(value)
        if not math.isfinite(number):
            refuse(f"{self.url} answers {value} to {query}, which is no sum")
        return number


def _labels(metric: dict[str, str]) -> Labels:
    """Return the labels of a series without its name, sorted by name."""
    return tuple(sorted(item for item in metric.items() if item[0] != "__name__"))


REQUEST_MODEL: Final = label(semconv.REQUEST_MODEL)
RESPONSE_MODEL: Final = label(semconv.RESPONSE_MODEL)
PROVIDER: Final = label(semconv.PROVIDER_NAME)
TOKEN_TYPE: Final = label(semconv.TOKEN_TYPE)
OPERATION: Final = label(semconv.OPERATION_NAME)


@dataclasses.dataclass(slots=True)
class Spend:
    """The spend of a group, and what a cache saved."""

    calls: float = 0
    input_tokens: float = 0
    output_tokens: float = 0
    cost_usd: float = 0
    saved_tokens: float = 0
    saved_usd: float = 0
    unpriced_tokens: float = 0

    def numbers(self) -> dict[str, float]:
        """Return the numbers by name: integer counts, dollars to a billionth."""
        return {
            name: round(getattr(self, name), 9 if name.endswith("_usd") else None)
            for name in NUMBERS
        }

    def add(self, name: str, value: float) -> None:
        """Add to one of the numbers."""
        setattr(self, name, getattr(self, name) + value)


NUMBERS: Final = tuple(field.name for field in dataclasses.fields(Spend))
UNPRICED: Final = "unpriced"
"""Replaces the outcome of tokens without a price, whose series has none."""

Key = tuple[str, ...]
"""Model, outcome, and the values of further labels."""


def spend(samples: Iterable[Sample], by: Sequence[str] = ()) -> dict[Key, Spend]:
    """Add up samples."""
    rows: dict[Key, Spend] = {}
    for sample in samples:
        number = _number(sample)
        if not number or not sample.value:
            continue
        labels = sample.labels
        model = labels.get(REQUEST_MODEL) or labels.get(RESPONSE_MODEL) or "unknown"
        outcome = labels.get(semconv.LABEL_OUTCOME) or labels.get(semconv.LABEL_REASON)
        key = (model, outcome or UNPRICED, *(labels.get(one, "") for one in by))
        rows.setdefault(key, Spend()).add(number, sample.value)
    costs: dict[str, float] = {}
    for key, row in rows.items():
        costs[key[0]] = costs.get(key[0], 0) + row.cost_usd
    return dict(sorted(rows.items(), key=lambda row: (-costs[row[0][0]], row[0])))


def total(rows: Iterable[Spend]) -> Spend:
    """Add up rows."""
    everything = Spend()
    for row in rows:
        for name in NUMBERS:
            everything.add(name, getattr(row, name))
    return everything


def _number(sample: Sample) -> str:
    """Return the name of a sample's number; empty if it is no model call."""
    operation = sample.labels.get(OPERATION)
    if operation is not None and operation not in semconv.BILLED_OPERATIONS:
        return ""
    if sample.name == TOKENS:
        return f"{sample.labels.get(TOKEN_TYPE, semconv.OUTPUT)}_tokens"
    return {
        TOKENS_SAVED: "saved_tokens",
        COST: "cost_usd",
        COST_SAVED: "saved_usd",
        OPERATIONS: "calls",
        UNPRICED_TOKENS: "unpriced_tokens",
    }[sample.name]
