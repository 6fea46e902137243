"""The series, as one collector on a Prometheus registry.

A finished call costs one append. Calls are folded when somebody scrapes, or when a
thousand have come together; calls in flight are read from the table of open runs.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from prometheus_client.registry import Collector

from otel_callbacks import semconv
from otel_callbacks.forks import tell_after_fork
from otel_callbacks.operations import OK
from otel_callbacks.sinks import catalogue, rollup
from otel_callbacks.sinks.families import counter, empty, gauge
from otel_callbacks.sinks.fold import Fold
from otel_callbacks.sinks.labels import LabelLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from otel_callbacks.health import Health
    from otel_callbacks.operations import End, Request
    from otel_callbacks.runs import RunTable
    from otel_callbacks.sinks.current_span import StandIn
    from otel_callbacks.sinks.families import Trace
    from otel_callbacks.sinks.fold import Call
    from otel_callbacks.sinks.labels import LabelValues

_FOLD_AT: Final = 1_000
_NO_LABELS: Final = ()
# Operations whose length is in the histogram of calls.
_CALLS: Final = frozenset({semconv.CHAT, semconv.TEXT_COMPLETION, semconv.RETRIEVAL})
_SAMPLED: Final = int(trace.TraceFlags.SAMPLED)


class SeriesCollector(Collector):
    """Everything that one registry shows of us.

    Args:
        health: Counts the troubles that the registry shows.
        label_limit: Distinct values for each label.
        extensions: Whether the series that the conventions lack are shown.
    """

    def __init__(self, health: Health, *, label_limit: int, extensions: bool) -> None:
        self._health = health
        self._extensions = extensions
        self._limits = LabelLimits(label_limit)
        self._fold = Fold(self._limits, extensions=extensions)
        self._calls: deque[Call] = deque()
        self._lock = threading.Lock()
        self._tables: list[RunTable] = []
        self.is_shared = False
        tell_after_fork(self)

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self._lock = threading.Lock()

    def add_table(self, table: RunTable) -> None:
        """Show a table's runs, too.

        Args:
            table: A table of open runs.
        """
        self._tables.append(table)
        self.is_shared = len(self._tables) > 1

    def is_counted_by_another(self, run: StandIn) -> bool:
        """Say whether a run that starts has started in another table already.

        Args:
            run: The run; it is in the table that asks.
        """
        return sum(run.key in table for table in self._tables) > 1

    def append(self, call: Call) -> None:
        """Take a finished call.

        Args:
            call: The call.
        """
        self._calls.append(call)
        # Never waits: whoever holds the lock is folding, or will be asked again.
        if len(self._calls) >= _FOLD_AT and self._lock.acquire(blocking=False):
            try:
                self._fold_all()
            finally:
                self._lock.release()

    def collect(self) -> Iterator[Metric]:
        """Return all families, up to date."""
        for table in self._tables:
            table.settle()
        with self._lock:
            self._fold_all()
            families = list(self._fold.families())
            if self._extensions:
                families.extend(self._own())
        return iter(families)

    def describe(self) -> Iterator[Metric]:
        """Return the families without values, for a registry's check of names."""
        return (
            empty(series)
            for series in catalogue.SERIES
            if self._extensions or not series.is_ours
        )

    def _fold_all(self) -> None:
        """Fold what has come, under the lock."""
        calls = self._calls
        while calls:
            try:
                self._fold.add(calls.popleft())
            except Exception as error:  # noqa: BLE001 -- a scrape must show the rest
                self._health.trouble("fold", error)

    def _own(self) -> Iterator[Metric]:
        """Return the series about the handler itself."""
        lost: Counter[LabelValues] = Counter()
        for table in self._tables:
            lost.update({(reason,): n for reason, n in table.lost_counts().items()})
        errors: dict[LabelValues, float]
        errors = {(where,): n for where, n in self._health.counts().items()}
        overflowed: dict[LabelValues, float]
        overflowed = {(name,): n for name, n in self._limits.overflowed.items()}
        yield gauge(catalogue.IN_FLIGHT, self._in_flight())
        yield gauge(catalogue.OPEN_RUNS, {_NO_LABELS: sum(map(len, self._tables))})
        yield counter(catalogue.RUNS_LOST, lost)
        yield counter(catalogue.ERRORS, errors)
        yield counter(catalogue.USAGE_MISSING, {_NO_LABELS: self._fold.usage_missing})
        yield counter(catalogue.LABELS_OVERFLOWED, overflowed)

    def _in_flight(self) -> Counter[LabelValues]:
        """Count the open operations of each model."""
        requests = (
            run.request for table in self._tables for run in table if run.counted
        )
        raw = Counter(
            (request.operation, request.provider, request.model)
            for request in requests
            if request.operation
        )
        names = catalogue.IN_FLIGHT.labels
        bounded: Counter[LabelValues] = Counter()
        for labels, count in raw.items():
            bounded[self._limits.bound(names, labels, count=False)[0]] += count
        return bounded


class PrometheusSink:
    """Gives the ends of runs to a registry's collector.

    Args:
        collector: The registry's collector.
        health: Says once that usage is missing.
    """

    name: Final = "prometheus"

    def __init__(self, collector: SeriesCollector, health: Health) -> None:
        self._collector = collector
        self._health = health
        self._missing_said = False

    def started(self, run: StandIn) -> None:
        """Leave a run alone that another handler of this registry counts.

        Args:
            run: The run that starts.
        """
        if self._collector.is_shared and self._collector.is_counted_by_another(run):
            run.counted = False

    def ended(self, run: StandIn, end: End) -> None:
        """Count a run.

        Args:
            run: The run that ended.
            end: How it ended.
        """
        request = run.request
        if not request.operation or not run.counted:
            return
        model, usage, missing = "", None, False
        response, failure = end.response, end.failure
        if response is not None:
            model, usage = response.model, response.usage
            if usage is None and end.outcome == OK:
                missing = self._is_missing(run, end)
        kind = (
            request.operation,
            request.provider,
            request.model,
            model,
            request.server_address,
            request.server_port,
            end.outcome,
            failure.error_type if failure is not None else "",
            failure.error_class if failure is not None else "",
            None if request.operation in _CALLS else _own_labels(request),
        )
        self._collector.append(
            (
                kind,
                usage,
                missing,
                end.end_ns - run.start_ns,
                run.start_tick,
                end.chunk_ns,
                _trace(run, end),
                end.late,
                (
                    rollup.counts(run.of_agent)
                    if request.operation == semconv.INVOKE_AGENT
                    and run.of_agent is not None
                    else None
                ),
            )
        )

    def _is_missing(self, run: StandIn, end: End) -> bool:
        """Say whether the provider should have said the tokens, and log that once."""
        request = run.request
        if request.operation not in semconv.MODEL_OPERATIONS or end.late:
            return False
        # Only in a batch may the usage stand in another run's response.
        expected = end.response is None or end.response.usage_expected
        if not expected and request.batch_size > 1:
            return False
        if self._missing_said:
            return True
        self._missing_said = True
        self._health.say_once(
            "usage_missing",
            f"{request.provider or 'a provider'} gave no token usage for model "
            f"{request.model!r}; nothing is guessed. For streams through langchain-"
            "openai set stream_usage=True. Further calls like this are counted in "
            "otel_callbacks_usage_missing_total and not logged.",
        )
        return True


def _own_labels(request: Request) -> tuple[str, ...]:
    """Return the labels of an operation that has a histogram of its own."""
    attributes = request.attributes
    agent = str(attributes.get(semconv.AGENT_NAME, ""))
    if request.operation == semconv.EXECUTE_TOOL:
        return request.target, str(attributes.get(semconv.TOOL_TYPE, "")), agent
    if request.operation == semconv.INVOKE_AGENT:
        return agent, request.model
    return (request.target,)


def _trace(run: StandIn, end: End) -> Trace | None:
    """Return what an exemplar of this run points to; None if it is not sampled."""
    if run.span is None:
        return None
    context = run.span.get_span_context()
    if not context.trace_flags & _SAMPLED:
        return None
    return context.trace_id, context.span_id, end.end_ns
