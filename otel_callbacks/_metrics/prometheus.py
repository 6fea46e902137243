"""The collector of the series on a Prometheus registry, and the sink that counts.

A finished call costs one append; calls in flight are read from the table of open runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from prometheus_client.registry import Collector

from otel_callbacks import _semconv as semconv
from otel_callbacks._background import once
from otel_callbacks._metrics.series import series_of
from otel_callbacks._metrics.store import (
    birth,
    empty,
    has_created_times,
    metric_of,
    own_states,
    shown,
)
from otel_callbacks._records import OK
from otel_callbacks._spans import sums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._metrics.calls import CallQueue
    from otel_callbacks._metrics.fold import Kind, NewFold
    from otel_callbacks._metrics.store import LabelValues, Trace
    from otel_callbacks._records import End, Request, Response
    from otel_callbacks._runs.run import Run
    from otel_callbacks._spans.current import StandIn

# Operations without labels of their own.
_CALLS: Final = semconv.BILLED_OPERATIONS
_SAMPLED: Final = int(trace.TraceFlags.SAMPLED)


class SeriesCollector(Collector):
    """All our series of one registry."""

    def __init__(self, calls: CallQueue, new_fold: NewFold) -> None:
        self._calls = calls
        # Creation times of the label sets that are counted elsewhere.
        self._born: dict[str, dict[LabelValues, float]] = {}
        self._fold = new_fold(own_states)
        calls.folds.append(self._fold)

    def collect(self) -> Iterator[Metric]:
        """Yield all families, up to date."""
        self._calls.settle()
        with self._calls.locked():
            births = has_created_times()
            families = [
                metric_of(family.series, family.states, births=births)
                for family in self._fold.families
            ]
            if self._fold.extensions:
                for series, values in self._calls.about(self._fold):
                    born = self._born.setdefault(series.name, {})
                    born.update(dict.fromkeys(values.keys() - born.keys(), birth()))
                    families.append(shown(series, values, born if births else None))
        return iter(families)

    def describe(self) -> Iterator[Metric]:
        """Yield the families without values, for the registry's check of names."""
        return (
            empty(series)
            for series in series_of(self._fold.registry)
            if self._fold.extensions or not series.is_ours
        )


class PrometheusSink:
    """Counts ended runs in the series of a registry."""

    name: Final = "prometheus"
    is_foreign: Final = False

    def __init__(
        self, calls: CallQueue, diagnostics: Diagnostics, chain_at: int | None = None
    ) -> None:
        self._calls = calls
        self._append = calls.append
        self._diagnostics = diagnostics
        self._chain_at = chain_at
        self._is_missing_logged = False
        # The last successful call: similar calls have the same kind.
        self._last: tuple[Request | None, str, Kind | None] = (None, "", None)

    def started(self, run: StandIn) -> None:
        """Skip a run that another table of this registry counts."""
        if self._calls.is_shared and self._calls.is_counted_by_another(run):
            run.counted = False

    def ended(self, run: StandIn, end: End) -> None:
        """Count a run."""
        if self._calls.counted_runs:
            self._calls.forget(run)
        request = run.request
        if not request.operation or not run.counted:
            return
        model, usage, missing = "", None, False
        if (response := end.response) is not None:
            model, usage = response.model, response.usage
            unknown = usage is None or usage.input_tokens is None
            if unknown and end.outcome == OK and not end.late:
                missing = self._is_missing(request, response)
        last, last_model, kind = self._last
        if (
            kind is None
            or last is not request
            or last_model != model
            or end.outcome != OK
        ):
            kind = self._kind(run, end, model)
            # A call with labels of its own has a request of its own.
            if end.outcome == OK and request.operation in _CALLS:
                self._last = request, model, kind
        self._append(
            (
                kind,
                usage,
                missing,
                end.end_ns - run.start_ns,
                run.start_tick,
                end.chunk_ns,
                _trace(run, end),
                end.late,
                None if request.operation in _CALLS else _counts(run, end),
                end.cost,
                end.is_partly_priced,
            ),
            once() if end.late else run.once,
        )

    def _kind(self, run: StandIn, end: End, model: str) -> Kind:
        """Return the kind of a run: the values that it shares with others."""
        request, failure = run.request, end.failure
        return (
            request.operation,
            request.provider,
            request.model,
            model,
            request.server_address,
            request.server_port,
            end.outcome,
            failure.error_type if failure is not None else "",
            failure.error_class if failure is not None else "",
            None if request.operation in _CALLS else _own_labels(run),
            request.labels if self._chain_at is None else self._with_chain(run),
        )

    def _with_chain(self, run: StandIn) -> tuple[str, ...]:
        """Return the chosen labels with the name of the outermost run."""
        outermost: Run = run
        while outermost.parent_run is not None:
            outermost = outermost.parent_run
        labels = list(run.request.labels)
        if outermost is not run and self._chain_at is not None and labels:
            labels[self._chain_at] = outermost.request.target
        return tuple(labels)

    def _is_missing(self, request: Request, response: Response) -> bool:
        """Return whether expected usage is missing, and log that once."""
        if request.operation not in _CALLS:
            return False
        # Only in a batch may the usage be in the response of another run.
        if not response.usage_expected and (
            request.batch_size > 1
            or request.operation == semconv.EMBEDDINGS
            or semconv.INTERRUPTED in response.attributes
        ):
            return False
        if self._is_missing_logged:
            return True
        self._is_missing_logged = True
        self._diagnostics.log_once(
            "usage_missing",
            f"{request.provider or 'a provider'} returned no token usage for model "
            f"{request.model!r}; nothing is guessed. For streams through langchain-"
            "openai set stream_usage=True. Further calls like this are counted in "
            "otel_callbacks_usage_missing_total and not logged.",
        )
        return True


def _counts(run: StandIn, end: End) -> tuple[int, int] | None:
    """Return an agent's model and tool calls, or the number of documents found."""
    operation = run.request.operation
    if operation == semconv.INVOKE_AGENT and run.of_agent is not None:
        return sums.counts(run.of_agent)
    if operation == semconv.RETRIEVAL and end.response is not None:
        found = end.response.attributes.get(semconv.DOCUMENT_COUNT)
        return (found, 0) if isinstance(found, int) else None
    return None


def _own_labels(run: StandIn) -> tuple[str, ...]:
    """Return the labels of an operation that has a histogram of its own."""
    request = run.request
    attributes = request.attributes
    agent = str(attributes.get(semconv.AGENT_NAME, ""))
    if request.operation == semconv.EXECUTE_TOOL:
        return request.target, str(attributes.get(semconv.TOOL_TYPE, "")), agent
    if request.operation == semconv.INVOKE_AGENT:
        return agent, sums.agent_model(run.of_agent or ())
    return (request.target,)


def _trace(run: StandIn, end: End) -> Trace | None:
    """Return the span of this run's exemplars; None if it is not sampled."""
    if run.span is None:
        return None
    context = run.span.get_span_context()
    if not context.trace_flags & _SAMPLED:
        return None
    return context.trace_id, context.span_id, end.end_ns
