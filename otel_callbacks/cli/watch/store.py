"""The latest traces, in memory, for the terminal and the page."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from genai_prices import Usage, calc_price

from otel_callbacks import _semconv as semconv
from otel_callbacks._content.cutting import length
from otel_callbacks.cli.picture.sums import Sum
from otel_callbacks.cli.picture.timeline import Span, Timeline, timelines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


_SPANS_OF_A_TRACE: Final = 2_000
_SPANS: Final = 50_000
_CHARACTERS: Final = 256 * 1024 * 1024
_BATCH_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 3.0


class _Trace:
    """One trace; its spans may arrive in any order and twice."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.content: dict[str, dict[str, Any]] = {}
        self.characters = 0
        self.left_out = 0
        self.revision = 0
        self.shown = 0
        self.touched = 0.0
        self.complete = False
        self._cached: tuple[int, Timeline | None] = 0, None

    def timeline(self) -> Timeline | None:
        """Return the trace as rows, or None without spans."""
        if self._cached[0] != self.revision:
            spans = [
                {**span, "attributes": {**more, **span["attributes"]}}
                if (more := self.content.get(span["span_id"]))
                else span
                for span in self.spans.values()
            ]
            drawn = timelines(spans)[0] if spans else None
            self._cached = self.revision, drawn
        return self._cached[1]


class Store:
    """Stores the latest traces; older ones are dropped."""

    def __init__(
        self, keep: int = 200, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._traces: dict[str, _Trace] = {}
        self._count = 0
        self._characters = 0
        self.unseen = 0
        """Traces that were dropped before they were shown."""
        self.version = 0
        self.totals: dict[str, Sum] = {}
        """What all calls used since the start, by model."""

    def add(self, spans: Iterable[Span]) -> None:
        """Add spans."""
        with self._lock:
            for span in spans:
                self._add(span)
            self._make_room()

    def add_content(
        self, trace_id: str, span_id: str, captured: Mapping[str, Any]
    ) -> None:
        """Add the content of a span's log event."""
        with self._lock:
            trace = self._traces.setdefault(trace_id, _Trace())
            if len(trace.content) < _SPANS_OF_A_TRACE:
                self._weigh(trace, trace.content.get(span_id), captured)
                trace.content[span_id] = dict(captured)
                self._touch(trace)
            self._make_room()

    def timeline(self, trace_id: str) -> Timeline | None:
        """Return a trace as rows, or None if it is unknown."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return trace.timeline() if trace else None

    def ended(self) -> list[Timeline]:
        """Return traces that are complete or idle, and those that have grown since."""
        now = self._clock()
        ready = []
        with self._lock:
            for trace in self._traces.values():
                wait = _BATCH_SECONDS if trace.complete else _QUIET_SECONDS
                if trace.shown == trace.revision or now - trace.touched < wait:
                    continue
                trace.shown = trace.revision
                if (drawn := trace.timeline()) is not None:
                    ready.append(drawn)
        return ready

    def summaries(self, search: str = "") -> list[dict[str, Any]]:
        """Return the entries of the list of traces, the newest first."""
        words = search.lower().split()
        with self._lock:
            traces = [(one, one.timeline()) for one in self._traces.values()]
        found = [_summary(one, drawn) for one, drawn in traces if drawn is not None]
        found = [one for one in found if all(word in one["search"] for word in words)]
        return sorted(found, key=lambda one: str(one["started"]), reverse=True)

    def _add(self, span: Span) -> None:
        """Add one span to its trace."""
        trace = self._traces.setdefault(span["trace_id"], _Trace())
        self._touch(trace)
        if span["parent_id"] is None:
            trace.complete = True
        known = trace.spans.get(span["span_id"])
        # Also for a span that is sent again, which replaces the first one.
        _price(span)
        if known is None:
            if len(trace.spans) >= _SPANS_OF_A_TRACE:
                trace.left_out += 1
                return
            self._count += 1
            self._total(span)
        self._weigh(trace, known, span)
        trace.spans[span["span_id"]] = span

    def _weigh(self, trace: _Trace, before: Any, after: Any) -> None:
        """Update the size of a trace's text."""
        more = length(after) - length(before)
        trace.characters += more
        self._characters += more

    def _touch(self, trace: _Trace) -> None:
        """Mark a trace as changed."""
        trace.revision += 1
        trace.touched = self._clock()
        self.version += 1

    def _total(self, span: Span) -> None:
        """Add a call to the sums of its model."""
        row = timelines([span])[0].rows[0]
        if row.kind != "model":
            return
        total = self.totals.get(row.model, Sum()).plus(calls=1)
        if row.outcome != "cache_hit":
            used, made = row.tokens or (0, 0)
            total = total.plus(input=used, output=made, cost=row.cost or 0.0)
        self.totals[row.model] = total

    def _make_room(self) -> None:
        """Drop the oldest traces beyond the limits."""
        while len(self._traces) > self._keep or (
            (self._count > _SPANS or self._characters > _CHARACTERS)
            and len(self._traces) > 1
        ):
            oldest = self._traces.pop(next(iter(self._traces)))
            self._count -= len(oldest.spans)
            self._characters -= oldest.characters
            self.unseen += oldest.shown == 0


def _summary(trace: _Trace, drawn: Timeline) -> dict[str, Any]:
    """Return the list entry of a trace."""
    calls = drawn.calls
    root = drawn.rows[0].span
    models = sorted({row.model for row in calls})
    outcomes = sorted({row.outcome for row in calls or drawn.rows[:1]})
    conversations = {
        str(row.span["attributes"].get(semconv.CONVERSATION_ID) or "")
        for row in drawn.rows
    } - {""}
    service = root.get("service", "")
    search = " ".join((drawn.name, service, *models, *outcomes, *conversations))
    return {
        "id": drawn.trace_id,
        "name": drawn.name,
        "service": service,
        "outcomes": outcomes,
        "sentence": drawn.sentence,
        "started": datetime.fromtimestamp(root["start_ns"] / 1e9, UTC).isoformat(),
        "revision": trace.revision,
        "left_out": trace.left_out,
        "search": search.lower(),
    }


_CACHE_WRITES: Final = [one.cache_write for one in semconv.REGISTRIES.values()]


def _price(span: Span) -> None:
    """Add the cost to another instrumentation's call, if the price is known."""
    attributes = span["attributes"]
    row = timelines([span])[0].rows[0]
    if row.kind != "model" or row.cost is not None or row.tokens is None:
        return
    try:
        usage = Usage(
            input_tokens=row.tokens[0],
            output_tokens=row.tokens[1],
            cache_read_tokens=attributes.get(semconv.USAGE_CACHE_READ),
            cache_write_tokens=next(
                (attributes[name] for name in _CACHE_WRITES if name in attributes), None
            ),
        )
        price = calc_price(usage, row.model).total_price
    except (LookupError, ValueError, TypeError):
        return
    attributes[semconv.COST_USD] = float(price)
