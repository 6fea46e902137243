"""Spans as rows of a waterfall, for the terminal and for HTML."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from otel_callbacks import _semconv as semconv

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Span = dict[str, Any]
"""A span as ``otel_callbacks.testing.spans_as_data`` returns it."""

Kind = Literal["model", "tool", "http", "step"]

_NANO: Final = 1e-9
_IN_SECONDS_FROM: Final = 0.1
_FIRST_HTTP_ERROR: Final = 400
# The stable and the old attribute names:
# https://opentelemetry.io/docs/specs/semconv/non-normative/http-migration/
_HTTP_METHODS: Final = ("http.request.method", "http.method")
# Spent tokens, saved tokens, and the names before 2024-11.
_INPUT_TOKENS: Final = (
    semconv.USAGE_INPUT_TOKENS,
    semconv.SAVED_INPUT_TOKENS,
    "gen_ai.usage.prompt_tokens",
)
_OUTPUT_TOKENS: Final = (
    semconv.USAGE_OUTPUT_TOKENS,
    semconv.SAVED_OUTPUT_TOKENS,
    "gen_ai.usage.completion_tokens",
)
_MODELS: Final = (semconv.RESPONSE_MODEL, semconv.REQUEST_MODEL)
# Other instrumentations also send generate_content.
_CALLS: Final = semconv.BILLED_OPERATIONS | {"generate_content"}
_HTTP_STATUSES: Final = ("http.response.status_code", "http.status_code")

OUTCOMES: Final = {
    "ok": "ok",
    "error": "error",
    "cancelled": "cancelled",
    "abandoned": "abandoned",
    "cache_hit": "cache hit",
}
"""Outcome -> its display name, in the order of the legend."""


class Row(NamedTuple):
    """One span of a waterfall."""

    name: str
    guides: tuple[bool, ...]
    kind: Kind
    outcome: str
    start: float
    end: float
    first_chunk: float | None
    tokens: tuple[int, int] | None
    note: str
    span: Span
    cost: float | None = None

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.end - self.start

    @property
    def tokens_unknown(self) -> bool:
        """Whether this is a call without reported tokens; a failed one has none."""
        return self.kind == "model" and self.tokens is None and self.outcome != "error"

    @property
    def model(self) -> str:
        """The response model, or else the requested one."""
        return str(_first(self.span["attributes"], _MODELS) or "unknown")


class Timeline(NamedTuple):
    """One trace."""

    name: str
    trace_id: str
    seconds: float
    rows: tuple[Row, ...]

    @property
    def calls(self) -> list[Row]:
        """The model calls, with embeddings."""
        return [row for row in self.rows if row.kind == "model"]

    @property
    def sentence(self) -> str:
        """A summary in one sentence: calls, outcomes, tokens and dollars."""
        calls = self.calls
        if not calls:
            return f"No model call in {duration(self.seconds)}."
        models = ", ".join(sorted({row.model for row in calls}))
        edges = sorted([(row.start, 1) for row in calls] + [(c.end, -1) for c in calls])
        at_once = max(itertools.accumulate(step for _, step in edges))
        parts = [f"{len(calls)} call{'s' * (len(calls) > 1)} of {models}"]
        if at_once > 1:
            parts.append(f"up to {at_once} at once")
        ends = Counter(row.outcome for row in calls if row.outcome != "ok")
        parts += [f"{ends[key]} {OUTCOMES.get(key, key)}" for key in sorted(ends)]
        parts.append(f"in {duration(self.seconds)}")
        return f"{', '.join(parts)}: {total(calls)}."


def total(calls: Iterable[Row]) -> str:
    """Return the text for calls' tokens and dollars, with saved and unknown ones."""
    spent, saved, dollars = [0, 0], 0, 0.0
    unknown = unpriced = 0
    for row in calls:
        tokens = row.tokens or (0, 0)
        if row.outcome == "cache_hit":
            saved += sum(tokens)
            continue
        unknown += row.tokens_unknown
        unpriced += row.tokens is not None and row.cost is None
        spent = [before + more for before, more in zip(spent, tokens, strict=True)]
        dollars += row.cost or 0.0
    parts = []
    if any(spent) or not unknown:
        parts = [f"{spent[0]:,} tokens in, {spent[1]:,} out", f"${dollars:.6f}"]
    parts += [f"{saved:,} tokens saved"] if saved else []
    parts += [f"tokens of {unknown} unknown"] if unknown else []
    parts += [f"{unpriced} without a price"] if unpriced else []
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return the text for a duration."""
    if seconds < _IN_SECONDS_FROM:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s"


def timelines(spans: Sequence[Span]) -> list[Timeline]:
    """Group spans into traces, the oldest first."""
    traces: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda span: int(span["start_ns"])):
        traces.setdefault(span["trace_id"], []).append(span)
    return [_timeline(trace_id, trace) for trace_id, trace in traces.items()]


def _timeline(trace_id: str, spans: list[Span]) -> Timeline:
    """Return the spans of one trace in tree order."""
    begin = spans[0]["start_ns"]
    known = {span["span_id"] for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in spans:
        parent = span["parent_id"] if span["parent_id"] in known else None
        children.setdefault(parent, []).append(span)
    rows = []
    waiting = _siblings(children.get(None, []), ())
    while waiting:
        span, guides = waiting.pop()
        rows.append(_row(span, guides, begin))
        waiting += _siblings(children.get(span["span_id"], []), guides)
    seen = {row.span["span_id"] for row in rows}
    # Spans in a circle of parents have no root, so each becomes one.
    circles = [span for span in spans if span["span_id"] not in seen]
    rows += [_row(span, (False,), begin) for span in circles]
    end = max(row.end for row in rows)
    return Timeline(spans[0]["name"], trace_id, end, tuple(rows))


def _siblings(
    spans: list[Span], guides: tuple[bool, ...]
) -> list[tuple[Span, tuple[bool, ...]]]:
    """Return siblings, the last one first, with their guides."""
    last = len(spans) - 1
    return [(span, (*guides, place < last)) for place, span in enumerate(spans)][::-1]


def _row(span: Span, guides: tuple[bool, ...], begin: int) -> Row:
    """Return the row for one span."""
    attributes = span["attributes"]
    kind = _kind(attributes)
    status = _number(attributes, _HTTP_STATUSES)
    name = f"{span['name']} {status}" if kind == "http" and status else span["name"]
    outcome = _outcome(span, kind, status)
    input_tokens = _number(attributes, _INPUT_TOKENS)
    output_tokens = _number(attributes, _OUTPUT_TOKENS) or 0
    tokens = None if input_tokens is None else (int(input_tokens), int(output_tokens))
    return Row(
        name=name,
        guides=guides,
        kind=kind,
        outcome=outcome,
        start=(span["start_ns"] - begin) * _NANO,
        end=(span["end_ns"] - begin) * _NANO,
        first_chunk=_number(attributes, (semconv.RESPONSE_TIME_TO_FIRST_CHUNK,)),
        tokens=tokens,
        note=_note(attributes, kind, outcome, status),
        span=span,
        cost=_number(attributes, (semconv.COST_USD, semconv.SAVED_COST_USD)),
    )


def _kind(attributes: dict[str, Any]) -> Kind:
    """Return the kind of a span."""
    operation = str(attributes.get(semconv.OPERATION_NAME))
    if operation in {semconv.EXECUTE_TOOL, semconv.RETRIEVAL}:
        return "tool"
    if operation in _CALLS:
        return "model"
    return "http" if _first(attributes, _HTTP_METHODS) else "step"


def _outcome(span: Span, kind: Kind, status: Any) -> str:
    """Return the outcome of a span."""
    attributes = span["attributes"]
    if (known := str(attributes.get(semconv.OUTCOME))) in OUTCOMES:
        return known
    if kind == "http" and status is None and span["status"] != "ERROR":
        return "cancelled"
    failed = span["status"] == "ERROR" or (status or 0) >= _FIRST_HTTP_ERROR
    return "error" if failed else "ok"


def _note(attributes: dict[str, Any], kind: Kind, outcome: str, status: Any) -> str:
    """Return a short note on the outcome."""
    if kind == "http":
        return "no answer" if status is None else ""
    if outcome == "error":
        known = attributes.get(semconv.ERROR_CLASS)
        if known is None or known == semconv.OTHER:  # the type is more specific
            known = attributes.get(semconv.ERROR_TYPE, "error")
        return str(known).replace("_", " ")
    if outcome != "ok":
        return OUTCOMES.get(outcome, outcome)
    return "stream" if attributes.get(semconv.REQUEST_STREAM) else ""


def _first(attributes: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Return the first of some attributes that is present."""
    return next((attributes[name] for name in names if name in attributes), None)


def _number(attributes: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Return the first of some attributes that is a finite number."""
    return next(
        (
            value
            for name in names
            if isinstance(value := attributes.get(name), (int, float))
            and math.isfinite(value)
        ),
        None,
    )
