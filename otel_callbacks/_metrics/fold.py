"""Fold finished calls into counters and histograms, in bulk.

The hot path has one append; label sets, sums and buckets are computed here, at a scrape
or after a number of calls. Most calls differ only in their numbers, so the label sets
of a kind of calls are looked up once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from otel_callbacks import _semconv as semconv
from otel_callbacks._metrics import series as catalogue
from otel_callbacks._metrics.store import Family, own_states
from otel_callbacks._records import CACHE_HIT, DETAILS, with_series

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from otel_callbacks._metrics.series import Series
    from otel_callbacks._metrics.store import (
        LabelLimits,
        LabelValues,
        State,
        States,
        Trace,
    )
    from otel_callbacks._records import Usage

_SECONDS: Final = 1e-9
_CACHE: Final = "cache_hit"
_PRICED: Final = semconv.BILLED_OPERATIONS
_ERROR_LABELS: Final = (catalogue.label(semconv.ERROR_TYPE),)
# The most kinds of calls whose states are cached; beyond it the cache is cleared.
_KEPT_AT_MOST: Final = 10_000

# The index of the outcome in a kind.
_OUTCOME: Final = 6

Kind: TypeAlias = tuple[
    str,
    str,
    str,
    str,
    str,
    int,
    str,
    str,
    str,
    "tuple[str, ...] | None",
    "tuple[str, ...]",
]
"""What calls have in common that count in the same label sets: operation, provider,
requested model, response's model, server's address and port, outcome, error.type,
error_class, for a histogram of the operation's own (a tool's, an agent's, a
workflow's) the label values that it has beside ``error_type`` or a retrieval's data
source, and the values of the labels that the app has chosen."""

Call: TypeAlias = tuple[
    Kind,
    "Usage | None",
    bool,
    int,
    int,
    "Sequence[int]",
    "Trace | None",
    bool,
    "tuple[int, int] | None",
    "Decimal | None",
    bool,
]
"""One finished operation: its kind, its usage, whether that is missing though it should
be there, nanoseconds that it took, the reading of the clock at its start and at each
chunk, its trace if sampled, whether it comes late (tokens of a call that has been
counted already), an agent's calls of models and tools or a retriever's documents and 0,
US dollars, if known, and whether more is billed than these. Plain tuples, as these are
made on the path of a call."""


NewFold: TypeAlias = "Callable[[States], Fold]"
"""Takes a way of export, and returns a fold that adds to its states."""


class _Tokens(NamedTuple):
    """The states of the tokens of one kind of calls."""

    totals: tuple[State, ...]
    usage: tuple[State, ...] | None
    """None for tokens that were saved."""


@dataclass(slots=True)
class _States:
    """The states of one kind of calls."""

    base: LabelValues
    chosen: LabelValues
    overflowed: tuple[str, ...]
    operations: State
    duration: State
    labels: LabelValues
    """The label values of the operation's own histogram."""
    # Made when first used: a tool has no tokens, and needs no series of zeros.
    tokens: _Tokens | None = None
    cost: State | None = None
    unpriced: State | None = None


class Fold:
    """All counters and histograms of one registry; not thread-safe."""

    def __init__(
        self,
        states: States,
        limits: LabelLimits,
        names: tuple[str, ...] = (),
        registry: semconv.Registry = catalogue.REGISTRY,
        *,
        extensions: bool = True,
    ) -> None:
        self.limits = limits
        self.registry = registry
        self.extensions = extensions
        self._names = names
        self.families: list[Family] = []

        def kept(series: Series) -> Family:
            if series in catalogue.SPEND:
                series = series.with_labels(names)
            is_exported = extensions or not series.is_ours
            new = (states if is_exported else own_states)(series)
            family = Family(series, new, limits)
            if is_exported:
                self.families.append(family)
            return family

        self._usage = kept(catalogue.TOKEN_USAGE)
        self._duration = kept(catalogue.OPERATION_DURATION)
        self._first_chunk = kept(catalogue.TIME_TO_FIRST_CHUNK)
        self._per_chunk = kept(catalogue.TIME_PER_OUTPUT_CHUNK)
        # Operations with a duration histogram of their own.
        self._own = {
            semconv.EXECUTE_TOOL: kept(catalogue.TOOL_DURATION),
            semconv.INVOKE_AGENT: kept(catalogue.AGENT_DURATION),
        }
        self._agent_calls = kept(catalogue.AGENT_CALLS)
        self._agent_tool_calls = kept(catalogue.AGENT_TOOL_CALLS)
        workflow = kept(catalogue.workflow_duration(registry))
        self._own[semconv.INVOKE_WORKFLOW] = workflow
        self._tokens = kept(catalogue.TOKENS)
        self._details = kept(catalogue.TOKEN_DETAILS)
        self._saved = kept(catalogue.TOKENS_SAVED)
        self._cost = kept(catalogue.COST)
        self._cost_saved = kept(catalogue.COST_SAVED)
        self._operations = kept(catalogue.OPERATIONS)
        self._documents = kept(catalogue.DOCUMENTS)
        self._unpriced = kept(catalogue.UNPRICED)
        self._partly_priced = kept(catalogue.PARTLY_PRICED)
        self._kinds: dict[Kind, _States] = {}
        self.usage_missing = 0
        # Label sets for which the gauge of calls in flight shows 0 when none is open.
        self.seen_in_flight: dict[LabelValues, int] = {}

    def add(self, call: Call) -> None:
        """Add one finished call to all its series."""
        kind, usage, missing, took_ns, _, chunks, trace, late, calls, cost, more = call
        states = self._kinds.get(kind)
        if states is None:
            states = self._states_of(kind)
        elif states.overflowed:
            self.limits.overflowed.update(states.overflowed)
        if usage is not None:
            self._add_usage(states, usage, kind, trace)
        if cost is not None:
            self._add_cost(states, cost, kind, trace, is_partial=more)
        elif usage is not None:
            self._add_unpriced(states, usage, kind, trace)
        if late:
            return
        states.operations.add(1, trace)
        states.duration.observe(took_ns * _SECONDS, trace)
        if missing:
            self.usage_missing += 1
        if calls is not None:
            self._add_counts(states, calls, kind[0], trace)
        if chunks:
            self._add_chunks(states, call)

    def _add_counts(
        self,
        states: _States,
        counts: tuple[int, int],
        operation: str,
        trace: Trace | None,
    ) -> None:
        """Observe the calls of an agent, or the documents of a retriever."""
        named = states.labels[:1]
        if operation == semconv.RETRIEVAL:
            self._documents.at(named).add(counts[0], trace)
            return
        self._agent_calls.at(named).observe(counts[0], trace)
        self._agent_tool_calls.at(named).observe(counts[1], trace)

    def _add_chunks(self, states: _States, call: Call) -> None:
        """Observe the time to the first chunk and the times between chunks."""
        _, _, _, _, start, chunks, trace, *_ = call
        first = (chunks[0] - start) * _SECONDS
        self._first_chunk.at(states.base).observe(first, trace)
        if len(chunks) > 1:
            self._per_chunk.at(states.base).observe_gaps(chunks, trace)

    def _add_usage(
        self, states: _States, usage: Usage, kind: Kind, trace: Trace | None
    ) -> None:
        """Count the tokens: used ones by outcome, those of cache hits as saved."""
        outcome = kind[_OUTCOME]
        tokens = states.tokens
        if tokens is None:
            tokens = states.tokens = self._token_states(states, kind[0], outcome)
        # Embeddings have input tokens only.
        for position, total in enumerate(tokens.totals):
            count = usage[position]
            if count is not None:
                total.add(count, trace)
                if tokens.usage is not None:
                    tokens.usage[position].observe(count, trace)
        details = with_series(usage)
        if tokens.usage is not None and any(details):
            for detail, count in zip(DETAILS, details, strict=True):
                if count:
                    labels = (*states.base, detail, outcome, *states.chosen)
                    self._details.at(labels).add(count, trace)

    def _add_cost(
        self,
        states: _States,
        cost: Decimal,
        kind: Kind,
        trace: Trace | None,
        *,
        is_partial: bool,
    ) -> None:
        """Count the cost: spent by outcome, or saved for a cache hit."""
        if is_partial:
            self._partly_priced.at(states.base[1:3]).add(1, trace)
        state = states.cost
        if state is None:
            outcome, chosen = kind[_OUTCOME], states.chosen
            state = states.cost = (
                self._cost_saved.at((*states.base, _CACHE, *chosen))
                if outcome == CACHE_HIT
                else self._cost.at((*states.base, outcome, *chosen))
            )
        state.add(cost, trace)

    def _add_unpriced(
        self, states: _States, usage: Usage, kind: Kind, trace: Trace | None
    ) -> None:
        """Count used tokens without a price."""
        tokens = (usage[0] or 0) + (usage[1] or 0)
        if not tokens or kind[0] not in _PRICED or kind[_OUTCOME] == CACHE_HIT:
            return
        if states.unpriced is None:
            states.unpriced = self._unpriced.at(states.base[1:3])
        states.unpriced.add(tokens, trace)

    def _states_of(self, kind: Kind) -> _States:
        """Return the states of a new kind of calls."""
        if len(self._kinds) >= _KEPT_AT_MOST:
            self._kinds.clear()
        *names, server_port, outcome, error_type, error_class, values, chosen = kind
        port = str(server_port) if server_port else ""
        base, overflowed = self.limits.bound(catalogue.BASE, (*names, port))
        errors, more = self.limits.bound(_ERROR_LABELS, (error_type,))
        overflowed += more
        if len(chosen) != len(self._names):
            # A request that could not be read, or a handler with other settings.
            chosen = ("",) * len(self._names)
        if chosen:
            chosen, more = self.limits.bound(self._names, chosen)
            overflowed += more
        if len(self.seen_in_flight) < self.limits.series_limit:
            self.seen_in_flight[base[:3]] = 0
        own = self._own.get(kind[0])
        labels: LabelValues = ()
        if own is None or values is None:
            duration = self._duration.at(base + errors)
            if values is not None:
                labels, more = self.limits.bound(catalogue.DOCUMENTS.labels, values)
                overflowed += more
        else:
            labels, more = self.limits.bound(own.series.labels[:-1], values)
            overflowed += more
            duration = own.at(labels + errors)
        states = self._kinds[kind] = _States(
            base,
            chosen,
            overflowed,
            self._operations.at((*base, outcome, error_class, *chosen)),
            duration,
            labels,
        )
        return states

    def _token_states(self, states: _States, operation: str, outcome: str) -> _Tokens:
        """Return the states of tokens: used and observed, or saved."""
        base, chosen = states.base, states.chosen
        types: tuple[str, ...] = (semconv.INPUT, semconv.OUTPUT)
        if operation == semconv.EMBEDDINGS:
            types = (semconv.INPUT,)
        if outcome == CACHE_HIT:
            saved = self._saved
            return _Tokens(
                tuple(saved.at((*base, one, _CACHE, *chosen)) for one in types), None
            )
        return _Tokens(
            tuple(self._tokens.at((*base, one, outcome, *chosen)) for one in types),
            tuple(self._usage.at((*base, one)) for one in types),
        )
