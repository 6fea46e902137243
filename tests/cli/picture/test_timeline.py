from __future__ import annotations

from typing import Any

import pytest

from otel_callbacks.cli.picture.timeline import Row, Span, timelines

_SECOND = 1_000_000_000


def _span(
    name: str,
    start: float,
    end: float,
    parent: str | None = None,
    *,
    status: str = "UNSET",
    trace: str = "t1",
    **attributes: Any,
) -> Span:
    """Return a span as data; its id is its name."""
    return {
        "name": name,
        "kind": "CLIENT",
        "status": status,
        "attributes": {key.replace("__", "."): attributes[key] for key in attributes},
        "parent_id": parent,
        "span_id": name,
        "trace_id": trace,
        "start_ns": int(start * _SECOND),
        "end_ns": int(end * _SECOND),
    }


def _row(**attributes: Any) -> Row:
    """Return the row of one span with these attributes."""
    return timelines([_span("POST", 0, 1, **attributes)])[0].rows[0]


def test_rows_follow_the_tree_in_the_order_of_starts() -> None:
    """Children follow their parent, with guides."""
    spans = [
        _span("late", 13, 14, "root"),
        _span("early", 11, 12, "root"),
        _span("inner", 11.5, 15, "early"),
        _span("root", 10, 14),
        _span("other", 1, 2, trace="t2"),
    ]
    other, line = timelines(spans)
    assert (other.name, other.trace_id, other.seconds) == ("other", "t2", 1.0)
    assert line.seconds == 5.0
    assert [(row.name, row.guides, row.start) for row in line.rows] == [
        ("root", (False,), 0.0),
        ("early", (False, True), 1.0),
        ("inner", (False, True, False), 1.5),
        ("late", (False, False), 3.0),
    ]
    assert line.rows[2].seconds == 3.5


def test_a_span_whose_parent_is_missing_is_a_root() -> None:
    """An incomplete trace is shown."""
    rows = timelines([_span("a", 0, 1, "gone"), _span("b", 1, 2, "gone")])[0].rows
    assert [row.guides for row in rows] == [(True,), (False,)]


def test_no_spans_are_no_traces() -> None:
    """The result is empty."""
    assert timelines([]) == []


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai__operation__name": "chat"}, "model"),
        ({"gen_ai__operation__name": "text_completion"}, "model"),
        ({"gen_ai__operation__name": "execute_tool"}, "tool"),
        ({"gen_ai__operation__name": "retrieval"}, "tool"),
        ({"http__method": "POST"}, "http"),
        ({"http__request__method": "POST"}, "http"),
        ({}, "step"),
    ],
)
def test_attributes_determine_the_kind(attributes: dict[str, Any], kind: str) -> None:
    """The kind determines the shape of the bar."""
    assert _row(**attributes).kind == kind


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"http__method": "POST", "http__status_code": 200}, ("POST 200", "ok", "")),
        (
            {"http__method": "POST", "http__status_code": 429},
            ("POST 429", "error", ""),
        ),
        ({"http__request__method": "POST"}, ("POST", "cancelled", "no answer")),
        (
            {"http__request__method": "POST", "status": "ERROR"},
            ("POST", "error", "no answer"),
        ),
        ({"status": "ERROR"}, ("POST", "error", "error")),
        (
            {
                "gen_ai__operation__name": "chat",
                "status": "ERROR",
                "otel_callbacks__outcome": "error",
                "otel_callbacks__error_class": "context_length",
            },
            ("POST", "error", "context length"),
        ),
        (
            {
                "status": "ERROR",
                "error__type": "tool_error",
                "otel_callbacks__error_class": "other",
            },
            ("POST", "error", "tool error"),
        ),
        ({"otel_callbacks__outcome": "cache_hit"}, ("POST", "cache_hit", "cache hit")),
        ({"gen_ai__request__stream": True}, ("POST", "ok", "stream")),
    ],
)
def test_attributes_determine_outcome_and_note(
    attributes: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """From status codes, outcomes and error classes."""
    row = _row(**attributes)
    assert (row.name, row.outcome, row.note) == expected


def test_tokens_and_first_chunk_are_optional() -> None:
    """A missing number is None."""
    row = _row(
        gen_ai__usage__input_tokens=3,
        gen_ai__usage__output_tokens=4,
        gen_ai__response__time_to_first_chunk=0.25,
    )
    assert (row.tokens, row.first_chunk) == ((3, 4), 0.25)
    assert _row(gen_ai__usage__input_tokens=3).tokens == (3, 0)
    assert _row(gen_ai__usage__output_tokens=3).tokens is None


def test_the_sentence_sums_up_a_trace() -> None:
    """Concurrent calls, outcomes, tokens, dollars and unknown tokens."""
    chat = {"gen_ai__operation__name": "chat", "gen_ai__request__model": "rose-1"}
    used = {"gen_ai__usage__input_tokens": 1200, "gen_ai__usage__output_tokens": 45}
    spans = [
        _span("a", 0, 2, **chat, **used, otel_callbacks__cost_usd=0.0012),
        _span("b", 0.5, 1, **chat, otel_callbacks__outcome="cancelled"),
        _span("c", 2, 3, **chat, **used),
        _span(
            "d",
            3,
            3.05,
            **chat,
            otel_callbacks__outcome="cache_hit",
            otel_callbacks__saved__input_tokens=7,
        ),
    ]
    (line,) = timelines(spans)
    assert line.sentence == (
        "4 calls of rose-1, up to 2 at once, 1 cache hit, 1 cancelled, in 3.05 s: "
        "2,400 tokens in, 90 out, $0.001200, 7 tokens saved, tokens of 1 unknown, "
        "1 without a price."
    )
    (lost,) = timelines([spans[1]])
    assert lost.sentence == (
        "1 call of rose-1, 1 cancelled, in 0.50 s: tokens of 1 unknown."
    )
    (quiet,) = timelines([_span("step", 0, 0.01)])
    assert quiet.sentence == "No model call in 10 ms."


def test_spans_of_other_instrumentations_are_read() -> None:
    """Old token attributes, other operations and unknown values."""
    row = _row(
        gen_ai__operation__name="generate_content",
        gen_ai__usage__prompt_tokens=3,
        gen_ai__usage__completion_tokens=4,
        otel_callbacks__outcome="<b>",
    )
    assert (row.kind, row.tokens, row.outcome) == ("model", (3, 4), "ok")
    assert row.model == "unknown"
    assert _row(gen_ai__operation__name="embeddings").tokens_unknown


def test_invalid_spans_are_drawn() -> None:
    """A circle of parents, a chain of 3,000 spans, values of other types."""
    circle = timelines([_span("a", 0, 1, "b"), _span("b", 0, 1, "a")])
    assert [row.name for row in circle[0].rows] == ["a", "b"]
    chain = [_span(str(n), 0, 1, str(n - 1)) for n in range(3000)]
    assert len(timelines(chain)[0].rows[-1].guides) == 3000
    row = _row(
        gen_ai__operation__name=["chat"],
        gen_ai__usage__input_tokens="3",
        gen_ai__usage__prompt_tokens=float("nan"),
        otel_callbacks__outcome=["ok"],
        otel_callbacks__cost_usd="much",
        http__response__status_code="500",
    )
    assert (row.kind, row.tokens, row.cost, row.outcome) == ("step", None, None, "ok")
