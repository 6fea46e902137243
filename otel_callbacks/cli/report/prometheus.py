"""Where spend is read: the app's own ``/metrics``, or a Prometheus.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

from otel_callbacks.cli.doctor.addresses import address

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_callbacks.cli.doctor.addresses import Address

TOKENS: Final = "otel_callbacks_tokens_total"
TOKENS_SAVED: Final = "otel_callbacks_tokens_saved_total"
COST: Final = "otel_callbacks_cost_usd_total"
COST_SAVED: Final = "otel_callbacks_cost_saved_usd_total"
OPERATIONS: Final = "otel_callbacks_operations_total"
UNPRICED: Final = "otel_callbacks_unpriced_tokens_total"
SPEND: Final = (TOKENS, TOKENS_SAVED, COST, COST_SAVED, OPERATIONS, UNPRICED)
"""The series of spend."""

METRICS_URL: Final = "http://127.0.0.1:9464/metrics"
_SECONDS: Final = 30.0
_NAME: Final = "__name__"
_CREATED: Final = "process_start_time_seconds"


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
    """Read an app's series: all that was spent since its process started.

    Args:
        url: Where they are.

    Raises:
        SourceError: They cannot be read.
        SettingError: The URL is none.
    """
    where = address("URL", url)
    remedy = "Start the app, or say where its /metrics is, or --prometheus URL."
    text = _get(where, "", remedy)
    found: list[Sample] = []
    started = None
    try:
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                if one.name in SPEND:
                    found.append(Sample(one.name, one.labels, one.value))
                elif one.name == _CREATED:
                    started = datetime.fromtimestamp(one.value, UTC)
    except (ValueError, KeyError, IndexError):
        message = f"{where.url} does not answer with series. {remedy}"
        raise SourceError(message) from None
    if not found and "otel_callbacks" not in text:
        message = f"{where.url} has none of our series. {remedy}"
        raise SourceError(message)
    return Read(tuple(found), started)


class Prometheus:
    """A Prometheus, asked for what was spent in a time.

    Args:
        url: Where it is.

    Raises:
        SettingError: The URL is none.
    """

    def __init__(self, url: str) -> None:
        self._address = address("--prometheus", url)

    def read(
        self, since: datetime, until: datetime, series: Iterable[str] = SPEND
    ) -> Read:
        """Read what the series grew by.

        A counter that never began anew grew by its last value less the one at the
        start, exactly: also one that is younger than the start, of which Prometheus'
        own ``increase`` leaves out the first value. For the others it is asked.

        Args:
            since: The start.
            until: The end.
            series: Their names.

        Raises:
            SourceError: It does not answer as it should.
        """
        seconds = max(int((until - since).total_seconds()), 1)
        found: list[Sample] = []
        restarts = 0
        for name in series:
            last = self._vector(f"last_over_time({name}[{seconds}s])", until)
            if not last:
                continue
            first = dict(self._vector(name, since))
            resets = dict(self._vector(f"resets({name}[{seconds}s])", until))
            restarted = {key for key, number in resets.items() if number}
            grown = dict(
                self._vector(f"increase({name}[{seconds}s])", until)
                if restarted
                else ()
            )
            restarts += len(restarted)
            for key, value in last:
                more = value - first.get(key, 0.0)
                if key in restarted:
                    more = grown.get(key, value)
                found.append(Sample(name, dict(key), max(more, 0.0)))
        return Read(tuple(found), since, until, restarts)

    def _vector(
        self, query: str, at: datetime
    ) -> list[tuple[tuple[tuple[str, str], ...], float]]:
        """Return what an expression gives at a time: each series and its value."""
        asked = urlencode({"query": query, "time": f"{at.timestamp():.3f}"})
        where = self._address
        remedy = "Say where Prometheus is: --prometheus URL."
        text = _get(where, f"/api/v1/query?{asked}", remedy)
        try:
            result: Any = json.loads(text)["data"]["result"]
            return list(_pairs(result))
        except (ValueError, KeyError, TypeError, AttributeError):
            message = f"{where.url} does not answer as a Prometheus does. {remedy}"
            raise SourceError(message) from None


def _pairs(result: Any) -> Iterator[tuple[tuple[tuple[str, str], ...], float]]:
    """Yield labels and value of each series of an answer."""
    for one in result:
        labels = {name: text for name, text in one["metric"].items() if name != _NAME}
        yield tuple(sorted(labels.items())), float(one["value"][1])


def _get(where: Address, path: str, remedy: str) -> str:
    """Return what a server answers, or say why it does not."""
    headers = {"Accept": "text/plain;version=0.0.4, application/json;q=0.5"}
    if where.login:
        headers["Authorization"] = where.login
    # `address` lets only http and https in.
    request = urllib.request.Request(where.url + path, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            text: str = answer.read().decode("utf-8", "replace")
            return text
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(200).decode("utf-8", "replace").strip()
        message = f"{where.url} answers {error.code}: {said or error.reason}. {remedy}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        message = f"{where.url} does not answer: {reason}. {remedy}"
    raise SourceError(message)
