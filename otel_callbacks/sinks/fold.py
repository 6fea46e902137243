"""Folds finished calls into counters and histograms, in bulk.

On the path of a call there is one append; the label sets, sums and buckets are worked
out here, at scrape time or every so many calls. Most calls are alike but for their
numbers, so what is alike is looked up once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_callbacks import semconv
from otel_callbacks.operations import CACHE_HIT
from otel_callbacks.sinks import catalogue
from otel_callbacks.sinks.families import Count, Counters, Distribution, Histograms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from otel_callbacks.operations import Usage
    from otel_callbacks.sinks.families import Trace
    from otel_callbacks.sinks.labels import LabelLimits, LabelValues

_SECONDS: Final = 1e-9
_CACHE: Final = "cache_hit"
_ERROR_LABELS: Final = (catalogue.label(semconv.ERROR_TYPE),)
# Kinds of calls whose states are kept at hand; dropped and found again beyond that.
_KEPT_AT_MOST: Final = 10_000

# Where a kind says how the call ended.
_OUTCOME: Final = 6

# In the order of the fields of Usage after the two totals.
_DETAILS: Final = (
    "cache_read",
    "cache_write",
    "reasoning",
    "audio_input",
    "audio_output",
)


Kind: TypeAlias = tuple[
    str, str, str, str, str, int, str, str, str, "tuple[str, ...] | None"
]
"""What calls have in common that count in the same label sets: operation, provider,
requested model, response's model, server's address and port, outcome, error.type,
error_class, and for a histogram of the operation's own (a tool's, an agent's, a
workflow's) the label values that it has beside ``error_type``."""

Call: TypeAlias = tuple[
    Kind,
    "Usage | None",
    bool,
    int,
    int,
    tuple[int, ...],
    "Trace | None",
    bool,
    "tuple[int, int] | None",
]
"""One finished operation: its kind, its usage, whether that is missing though it should
be there, nanoseconds that it took, the reading of the clock at its start and at each
chunk, its trace if sampled, whether it comes late (tokens of a call that has been
counted already), and an agent's calls of models and tools. Plain tuples, as these are
made on the path of a call."""


class _Tokens(NamedTuple):
    """The states that the tokens of one kind of calls are added to."""

    totals: tuple[Count, Count]
    usage: tuple[Distribution, Distribution] | None
    """None for tokens that were saved."""


class _States:
    """The states that calls of one kind are added to."""

    __slots__ = (
        "base",
        "duration",
        "labels",
        "operations",
        "overflowed",
        "tokens",
    )

    def __init__(
        self,
        base: LabelValues,
        overflowed: tuple[str, ...],
        operations: Count,
        duration: Distribution,
        labels: LabelValues,
    ) -> None:
        self.base = base
        # Those of the operation's own histogram.
        self.labels = labels
        self.overflowed = overflowed
        self.operations = operations
        self.duration = duration
        # Made with the first usage: a tool's call has none, and no series of zeros.
        self.tokens: _Tokens | None = None


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
        self._agent = Histograms(catalogue.AGENT_DURATION)
        self._agent_calls = Histograms(catalogue.AGENT_CALLS)
        self._agent_tool_calls = Histograms(catalogue.AGENT_TOOL_CALLS)
        self._workflow = Histograms(catalogue.WORKFLOW_DURATION)
        # Operations whose length is in a histogram of their own.
        self._own = {
            semconv.EXECUTE_TOOL: self._tool,
            semconv.INVOKE_AGENT: self._agent,
            semconv.INVOKE_WORKFLOW: self._workflow,
        }
        self._tokens = Counters(catalogue.TOKENS)
        self._details = Counters(catalogue.TOKEN_DETAILS)
        self._saved = Counters(catalogue.TOKENS_SAVED)
        self._operations = Counters(catalogue.OPERATIONS)
        self._kinds: dict[Kind, _States] = {}
        self.usage_missing = 0

    def add(self, call: Call) -> None:
        """Add one finished call to every series it concerns.

        Args:
            call: The call.
        """
        kind, usage, missing, duration_ns, start, chunks, trace, late, calls = call
        states = self._kinds.get(kind)
        if states is None:
            states = self._states_of(kind)
        elif states.overflowed:
            self._limits.overflowed.update(states.overflowed)
        if usage is not None:
            self._add_usage(states, usage, kind[_OUTCOME], trace)
        if late:
            return
        states.operations.add(1, trace)
        states.duration.observe(duration_ns * _SECONDS, trace)
        if missing:
            self.usage_missing += 1
        if calls is not None:
            agent = states.labels[:1]
            self._agent_calls.at(agent).observe(calls[0], trace)
            self._agent_tool_calls.at(agent).observe(calls[1], trace)
        if chunks:
            first = (chunks[0] - start) * _SECONDS
            self._first_chunk.at(states.base).observe(first, trace)
            if len(chunks) > 1:
                self._per_chunk.at(states.base).observe_gaps(chunks, trace)

    def families(self) -> Iterator[Metric]:
        """Return the families, ours only where extensions are on."""
        yield self._usage.family()
        yield self._duration.family()
        yield self._first_chunk.family()
        yield self._per_chunk.family()
        yield self._tool.family()
        yield self._agent.family()
        yield self._agent_calls.family()
        yield self._agent_tool_calls.family()
        yield self._workflow.family()
        if self._extensions:
            yield self._tokens.family()
            yield self._details.family()
            yield self._saved.family()
            yield self._operations.family()

    def _add_usage(
        self, states: _States, usage: Usage, outcome: str, trace: Trace | None
    ) -> None:
        """Count the tokens: spent ones by outcome, a cache's as saved."""
        tokens = states.tokens
        if tokens is None:
            tokens = states.tokens = self._token_states(states.base, outcome)
        for position in (0, 1):
            count = usage[position]
            if count is not None:
                tokens.totals[position].add(count, trace)
                if tokens.usage is not None:
                    tokens.usage[position].observe(count, trace)
        if tokens.usage is not None and any(usage[2:]):
            for detail, count in zip(_DETAILS, usage[2:], strict=True):
                if count:
                    labels = (*states.base, detail, outcome)
                    self._details.at(labels).add(count, trace)

    def _states_of(self, kind: Kind) -> _States:
        """Find the states of a kind of calls that has not come before."""
        if len(self._kinds) >= _KEPT_AT_MOST:
            self._kinds.clear()
        *names, server_port, outcome, error_type, error_class, values = kind
        port = str(server_port) if server_port else ""
        base, overflowed = self._limits.bound(catalogue.BASE, (*names, port))
        errors, more = self._limits.bound(_ERROR_LABELS, (error_type,))
        overflowed += more
        own = self._own.get(kind[0])
        labels: LabelValues = ()
        if own is None or values is None:
            duration = self._duration.at(base + errors)
        else:
            labels, more = self._limits.bound(own.series.labels[:-1], values)
            overflowed += more
            duration = own.at(labels + errors)
        states = self._kinds[kind] = _States(
            base,
            overflowed,
            self._operations.at((*base, outcome, error_class)),
            duration,
            labels,
        )
        return states

    def _token_states(self, base: LabelValues, outcome: str) -> _Tokens:
        """Return where tokens go: spent and observed, or saved."""
        types = (semconv.INPUT, semconv.OUTPUT)
        if outcome == CACHE_HIT:
            first, second = (self._saved.at((*base, kind, _CACHE)) for kind in types)
            return _Tokens((first, second), None)
        first, second = (self._tokens.at((*base, kind, outcome)) for kind in types)
        one, other = (self._usage.at((*base, kind)) for kind in types)
        return _Tokens((first, second), (one, other))
