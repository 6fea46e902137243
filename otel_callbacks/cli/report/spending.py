"""Spend by model, outcome and label: read from ``/metrics`` or Prometheus, added up."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from http.client import responses
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics.series import label
from otel_callbacks.cli._http import FAILURES, Prometheus, address, get

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from otel_callbacks.cli._http import Address, Answer, Labels

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
_FIRST_ERROR: Final = 400
_STARTED: Final = "process_start_time_seconds"


class SourceError(Exception):
    """Spend cannot be read; the message says where it was tried and what to do."""


class Sample(NamedTuple):
    """One number of one series."""

    series: str
    labels: Mapping[str, str]
    value: float


class Read(NamedTuple):
    """What was read."""

    samples: tuple[Sample, ...]
    since: datetime | None = None
    """The start, where it is known."""
    until: datetime | None = None
    restarts: int = 0
    """Counters that began anew in between; their sums are Prometheus' estimate."""


def read_metrics(url: str) -> Read:
    """Read an app's series: all that was spent since its process started."""
    where = address("URL", url)
    remedy = "Start the app, or say where its /metrics is, or --prometheus URL."
    text = _get(where, "", {}, remedy).text
    found: list[Sample] = []
    started = None
    try:
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                if one.name in SPEND:
                    found.append(Sample(one.name, one.labels, one.value))
                elif one.name == _STARTED:
                    started = datetime.fromtimestamp(one.value, UTC)
    except (ValueError, KeyError, IndexError):
        message = f"{where.url} does not answer with series. {remedy}"
        raise SourceError(message) from None
    if not found and "otel_callbacks" not in text:
        message = f"{where.url} has none of our series. {remedy}"
        raise SourceError(message)
    return Read(tuple(found), started)


def read_prometheus(
    url: str, since: datetime, until: datetime, series: Iterable[str] = SPEND
) -> Read:
    """Read what the series of a Prometheus grew by in a time.

    A counter that never began anew grew by its last value less the one at the
    start, exactly: also one that is younger than the start, of which Prometheus'
    own ``increase`` leaves out the first value. For the others it is asked.
    """
    where = address("--prometheus", url)
    remedy = "Say where Prometheus is: --prometheus URL."
    prometheus = Prometheus(lambda path, **query: _get(where, path, query, remedy))

    def vector(query: str, at: datetime) -> dict[Labels, float]:
        found = prometheus.vector(query, at.timestamp())
        if found is None:
            message = f"{where.url} does not answer as a Prometheus does. {remedy}"
            raise SourceError(message)
        return found

    seconds = max(int((until - since).total_seconds()), 1)
    found: list[Sample] = []
    restarts = 0
    for name in series:
        last = vector(f"last_over_time({name}[{seconds}s])", until)
        if not last:
            continue
        first = vector(name, since)
        resets = vector(f"resets({name}[{seconds}s])", until)
        restarted = {key for key, number in resets.items() if number}
        grown = vector(f"increase({name}[{seconds}s])", until) if restarted else {}
        restarts += len(restarted)
        for key, value in last.items():
            more = value - first.get(key, 0.0)
            if key in restarted:
                more = grown.get(key, value)
            found.append(Sample(name, dict(key), max(more, 0.0)))
    return Read(tuple(found), since, until, restarts)


def _get(where: Address, path: str, query: dict[str, str], remedy: str) -> Answer:
    """Return what a server answers, or say why it does not."""
    try:
        answer = get(where, path, query, accept=_TEXT, seconds=_SECONDS)
    except FAILURES as error:
        reason = getattr(error, "reason", None) or error
        message = f"{where.url} does not answer: {reason}. {remedy}"
        raise SourceError(message) from None
    if answer.status < _FIRST_ERROR:
        return answer
    text = answer.text[:200].strip() or responses.get(answer.status, "no reason")
    message = f"{where.url} answers {answer.status}: {text}. {remedy}"
    raise SourceError(message)


REQUEST_MODEL: Final = label(semconv.REQUEST_MODEL)
RESPONSE_MODEL: Final = label(semconv.RESPONSE_MODEL)
PROVIDER: Final = label(semconv.PROVIDER_NAME)
TOKEN_TYPE: Final = label(semconv.TOKEN_TYPE)
_OPERATION: Final = label(semconv.OPERATION_NAME)
_PAID: Final = semconv.MODEL_OPERATIONS | {semconv.EMBEDDINGS}

NUMBERS: Final = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "saved_tokens",
    "saved_usd",
    "unpriced_tokens",
)


@dataclasses.dataclass(slots=True)
class Spend:
    """What was spent, and what a cache saved."""

    calls: float = 0
    input_tokens: float = 0
    output_tokens: float = 0
    cost_usd: float = 0
    saved_tokens: float = 0
    saved_usd: float = 0
    unpriced_tokens: float = 0

    def numbers(self) -> dict[str, float]:
        """Return the numbers by name: counts whole, dollars to a billionth."""
        return {
            name: round(getattr(self, name), 9 if name.endswith("_usd") else None)
            for name in NUMBERS
        }

    def add(self, name: str, value: float) -> None:
        """Add to one of the numbers."""
        setattr(self, name, getattr(self, name) + value)


UNPRICED: Final = "unpriced"
"""Stands for an outcome where the tokens without a price are: these say none."""

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
    """Name the number that a sample belongs to; empty for what is no model call."""
    operation = sample.labels.get(_OPERATION)
    if operation is not None and operation not in _PAID:
        return ""
    if sample.series == TOKENS:
        return f"{sample.labels.get(TOKEN_TYPE, semconv.OUTPUT)}_tokens"
    return {
        TOKENS_SAVED: "saved_tokens",
        COST: "cost_usd",
        COST_SAVED: "saved_usd",
        OPERATIONS: "calls",
        UNPRICED_TOKENS: "unpriced_tokens",
    }[sample.series]
