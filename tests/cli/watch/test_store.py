from __future__ import annotations

from typing import Any

import pytest

from otel_callbacks.cli.picture.sums import Sum
from otel_callbacks.cli.watch import store as watch_store
from otel_callbacks.cli.watch.store import Store


def _span(
    span_id: str, parent: str | None = None, trace: str = "t1", **attributes: Any
) -> dict[str, Any]:
    """Return a span as data."""
    return {
        "name": span_id,
        "service": "Shop",
        "kind": "CLIENT",
        "status": "UNSET",
        "attributes": {key.replace("__", "."): attributes[key] for key in attributes},
        "parent_id": parent,
        "span_id": span_id,
        "trace_id": trace,
        "start_ns": int(trace.removeprefix("t")) * 1_000_000_000,
        "end_ns": 2_000_000_000_000,
    }


def _call(
    span_id: str, model: str = "gpt-4o-mini", **attributes: Any
) -> dict[str, Any]:
    """Return a model call as data."""
    used = {
        "gen_ai__operation__name": "chat",
        "gen_ai__request__model": model,
        "gen_ai__usage__input_tokens": 1000,
        "gen_ai__usage__output_tokens": 10,
    }
    return _span(span_id, "root", **{**used, **attributes})


class Clock:
    """A time that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_trace_is_shown_when_it_is_over_and_again_when_it_has_grown() -> None:
    """Half a second after its root; without a root when it has been quiet."""
    clock = Clock()
    store = Store(clock=clock)
    store.add([_call("a")])
    clock.now = 2.9
    assert store.ended() == []
    clock.now = 3.0
    assert [one.trace_id for one in store.ended()] == ["t1"]
    assert store.ended() == []
    store.add([_span("root")])
    assert store.ended() == []
    clock.now = 3.5
    assert [row.name for row in store.ended()[0].rows] == ["root", "a"]


def test_totals_count_each_span_once() -> None:
    """A retried export brings spans again; a cache's tokens are not spent."""
    store = Store()
    call = _call("a", otel_callbacks__cost_usd=0.5)
    store.add([call, call, _span("root")])
    store.add([call, _call("b", otel_callbacks__outcome="cache_hit")])
    assert store.totals == {"gpt-4o-mini": Sum(2, 1000, 10, 0.5)}


def test_calls_of_others_get_known_prices() -> None:
    """With cached tokens; a model that nobody knows stays without one."""
    store = Store()
    cached = {"gen_ai__usage__cache_read__input_tokens": 1000}
    store.add([_call("a"), _call("b", **cached), _call("c", "rose-1")])
    store.add([_call("d", gen_ai__usage__cache_read__input_tokens="x")])
    timeline = store.timeline("t1")
    assert timeline is not None
    costs = [row.cost for row in timeline.rows]
    assert costs[:2] == [pytest.approx(0.000156), pytest.approx(0.000081)]
    assert costs[2] is None


def test_a_call_that_is_sent_again_keeps_its_price() -> None:
    """An exporter that had no answer sends a batch twice; nothing counts double."""
    store = Store()
    for _ in range(2):
        store.add([_call("a")])
    timeline = store.timeline("t1")
    assert timeline is not None
    (row,) = timeline.rows
    assert row.cost == pytest.approx(0.000156)
    assert store.totals["gpt-4o-mini"] == Sum(1, 1000, 10, row.cost)


def test_long_texts_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their length, wherever they come from; the newest trace always stays."""
    monkeypatch.setattr(watch_store, "_CHARACTERS", 3_000)
    store = Store()
    for trace in ("t1", "t2", "t3"):
        store.add([_span("a", trace=trace)])
        for text in ("x" * 500, ["x" * 500, {"content": "x" * 500}]):
            store.add_content(trace, "a", {"gen_ai.input.messages": text})
    assert [one["id"] for one in store.summaries()] == ["t3", "t2"]
    assert store.unseen == 1
    store.add_content("t4", "a", {"gen_ai.input.messages": "x" * 9_000})
    store.add([_span("a", trace="t4")])
    assert [one["id"] for one in store.summaries()] == ["t4"]
    assert store.unseen == 3


def test_old_traces_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number of traces, and by number of spans."""
    store = Store(keep=2)
    for trace in ("t1", "t2", "t3"):
        store.add([_span("a", trace=trace)])
    assert [one["id"] for one in store.summaries()] == ["t3", "t2"]
    assert store.timeline("t1") is None
    monkeypatch.setattr(watch_store, "_SPANS", 3)
    store.add([_span(name, trace="t4") for name in "abcd"])
    assert [one["id"] for one in store.summaries()] == ["t4"]


def test_spans_of_one_trace_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out is said."""
    monkeypatch.setattr(watch_store, "_SPANS_OF_A_TRACE", 2)
    store = Store()
    store.add([_span(name) for name in "abc"])
    for name in "abc":
        store.add_content("t1", name, {"gen_ai.input.messages": name})
    (one,) = store.summaries()
    assert one["left_out"] == 1
    timeline = store.timeline("t1")
    assert timeline is not None
    attributes = [row.span["attributes"] for row in timeline.rows]
    assert attributes == [{"gen_ai.input.messages": name} for name in "ab"]


def test_content_may_come_before_its_span() -> None:
    """Until then there is nothing to show."""
    clock = Clock()
    store = Store(clock=clock)
    store.add_content("t1", "a", {"gen_ai.input.messages": "x"})
    clock.now = 9.0
    assert store.ended() == []
    assert store.summaries() == []
    store.add([_span("a"), _span("b", "a")])
    timeline = store.timeline("t1")
    assert timeline is not None
    assert timeline.rows[0].span["attributes"] == {"gen_ai.input.messages": "x"}


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["t2", "t1"]),
        ("ROSE", ["t2"]),
        ("shop cancelled", ["t1"]),
        ("thread-7", ["t1"]),
        ("thread-7 rose", []),
    ],
)
def test_traces_are_found_by_words(search: str, found: list[str]) -> None:
    """Of name, service, model, outcome and conversation; the newest first."""
    store = Store()
    store.add(
        [
            _call("a", otel_callbacks__outcome="cancelled"),
            _span("root", gen_ai__conversation__id="thread-7"),
            _span(
                "b",
                trace="t2",
                gen_ai__operation__name="chat",
                gen_ai__request__model="rose-1",
            ),
        ]
    )
    assert [one["id"] for one in store.summaries(search)] == found
