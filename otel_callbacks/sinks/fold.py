"""Folds finished calls into counters and histograms, in bulk.

On the path of a call there is one append; the label sets, sums and buckets are worked
out here, at scrape time or every so many calls.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from otel_callbacks import semconv
from otel_callbacks.operations import CACHE_HIT
from otel_callbacks.sinks import catalogue
from otel_callbacks.sinks.families import Counters, Histograms, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from otel_callbacks.operations import Failure, Outcome, Request, Usage
    from otel_callbacks.sinks.labels import LabelLimits, LabelValues

_SECONDS: Final = 1e-9
_CACHE: Final = "cache_hit"
_TOOL_LABELS: Final = catalogue.TOOL_DURATION.labels
_ERROR_LABEL: Final = (catalogue.label(semconv.ERROR_TYPE),)


class Call(NamedTuple):
    """One finished operation, as far as series are concerned."""

    request: Request
    outcome: Outcome
    failure: Failure | None
    response_model: str
    usage: Usage | None
    usage_missing: bool
    duration_ns: int
    start_tick: int
    chunk_ns: tuple[int, ...]
    trace: Trace | None
    late: bool = False
    """Tokens of a call that has been counted already."""


class Fold:
    """All counters and histograms of one registry; not safe for threads.

    Args:
        limits: Bounds the label values.
        extensions: Whether the series that the conventions lack are kept.
    """

    def __init__(self, limits: LabelLimits, *, extensions: bool) -> None:
        self._limits = limits
        self._extensions = extensions
        self._usage = Histograms(catalogue.TOKEN_USAGE)
        self._duration = Histograms(catalogue.OPERATION_DURATION)
        self._first_chunk = Histograms(catalogue.TIME_TO_FIRST_CHUNK)
        self._per_chunk = Histograms(catalogue.TIME_PER_OUTPUT_CHUNK)
        self._tool = Histograms(catalogue.TOOL_DURATION)
        self._tokens = Counters(catalogue.TOKENS)
        self._details = Counters(catalogue.TOKEN_DETAILS)
        self._saved = Counters(catalogue.TOKENS_SAVED)
        self._operations = Counters(catalogue.OPERATIONS)
        self.usage_missing = 0

    def add(self, call: Call) -> None:
        """Add one finished call to every series it concerns.

        Args:
            call: The call.
        """
        request = call.request
        base = self._limits.bound(
            catalogue.BASE,
            (
                request.operation,
                request.provider,
                request.model,
                call.response_model,
                request.server_address,
                str(request.server_port) if request.server_port else "",
            ),
        )
        if call.usage is not None:
            self._add_usage(base, call, call.usage)
        if call.late:
            return
        failure = call.failure
        self._operations.add(
            (*base, call.outcome, failure.error_class if failure else ""),
            1,
            call.trace,
        )
        self.usage_missing += call.usage_missing
        self._add_durations(base, call)

    def families(self) -> Iterator[Metric]:
        """Return the families, ours only where extensions are on."""
        yield self._usage.family()
        yield self._duration.family()
        yield self._first_chunk.family()
        yield self._per_chunk.family()
        yield self._tool.family()
        if self._extensions:
            yield self._tokens.family()
            yield self._details.family()
            yield self._saved.family()
            yield self._operations.family()

    def _add_durations(self, base: LabelValues, call: Call) -> None:
        """Observe how long it took, and a stream's chunks."""
        error = call.failure.error_type if call.failure else ""
        error = self._limits.bound(_ERROR_LABEL, (error,))[0]
        seconds = call.duration_ns * _SECONDS
        if call.request.operation == semconv.EXECUTE_TOOL:
            labels = (*self._limits.bound(_TOOL_LABELS[:3], _tool(call.request)), error)
            self._tool.observe(labels, (seconds,), call.trace)
            return
        self._duration.observe((*base, error), (seconds,), call.trace)
        chunks = call.chunk_ns
        if chunks:
            first = (chunks[0] - call.start_tick) * _SECONDS
            self._first_chunk.observe(base, (first,), call.trace)
            gaps = [(after - before) * _SECONDS for before, after in pairwise(chunks)]
            if gaps:
                self._per_chunk.observe(base, gaps, call.trace)

    def _add_usage(self, base: LabelValues, call: Call, usage: Usage) -> None:
        """Count the tokens: spent ones by outcome, a cache's as saved."""
        saved = call.outcome == CACHE_HIT
        for token_type, count in (
            (semconv.INPUT, usage.input_tokens),
            (semconv.OUTPUT, usage.output_tokens),
        ):
            if count is None:
                continue
            if saved:
                self._saved.add((*base, token_type, _CACHE), count, call.trace)
                continue
            self._tokens.add((*base, token_type, call.outcome), count, call.trace)
            self._usage.observe((*base, token_type), (count,), call.trace)
        if saved:
            return
        for detail, count in zip(_DETAILS, usage[2:], strict=True):
            if count:
                self._details.add((*base, detail, call.outcome), count, call.trace)


# In the order of the fields of Usage after the two totals.
_DETAILS: Final = (
    "cache_read",
    "cache_write",
    "reasoning",
    "audio_input",
    "audio_output",
)


def _tool(request: Request) -> LabelValues:
    """Return the label values of a tool: name, type, agent."""
    attributes = request.attributes
    return (
        request.target,
        str(attributes.get(semconv.TOOL_TYPE, "")),
        str(attributes.get(semconv.AGENT_NAME, "")),
    )
