from __future__ import annotations

from otel_callbacks.cli.picture import sums
from otel_callbacks.cli.picture.sums import Comparison, Sum, Sums
from otel_callbacks.testing import FakeChatModel, capture

_USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def test_counters_of_real_calls_are_read_by_model_and_outcome() -> None:
    """Calls and tokens match those of the handler."""
    with capture() as telemetry:
        call = {"callbacks": [telemetry.handler]}
        FakeChatModel(model_name="a", usage=_USAGE, **call).batch(["x", "y"])
        FakeChatModel(model_name="b", **call).invoke("x")
        priced = {"model_name": "gpt-4o-mini", "provider": "openai", **call}
        FakeChatModel(usage=_USAGE, **priced).invoke("x")
        counted = sums.counted(telemetry.registry)
        cost = telemetry.value("otel_callbacks_cost_usd_total")
    assert counted == {
        ("a", "ok"): Sum(2, 14, 6),
        ("b", "ok"): Sum(1),
        ("gpt-4o-mini", "ok"): Sum(1, 7, 3, cost),
    }
    assert cost > 0


def test_fields_of_a_sum_are_added() -> None:
    """By model and outcome; the other fields stay."""
    found = Sums()
    found.add("a", "ok", calls=1, input=7, output=3)
    found.add("a", "ok", calls=1)
    found.add("a", "error", calls=1)
    assert found == {("a", "ok"): Sum(2, 7, 3), ("a", "error"): Sum(1)}


def test_comparisons_include_rows_missing_on_either_side() -> None:
    """They are sorted by model and outcome, with unknown outcomes last."""
    counters = {("b", "ok"): Sum(1, 2, 3, 0.5), ("a", "strange"): Sum(1)}
    results = {("b", "ok"): Sum(1, 2, 3), ("a", "error"): Sum(1)}
    compared = sums.compared(counters, results)
    assert compared == [
        Comparison("a", "error", Sum(), Sum(1)),
        Comparison("a", "strange", Sum(1), Sum()),
        Comparison("b", "ok", Sum(1, 2, 3, 0.5), Sum(1, 2, 3)),
    ]
    assert [one.equal for one in compared] == [False, False, True]


def test_spent_excludes_saved_tokens() -> None:
    """Models without spent tokens are excluded, too."""
    found = {
        ("a", "ok"): Sum(1, 2, 3),
        ("a", "error"): Sum(1, 1, 1),
        ("a", "cache_hit"): Sum(1, 2, 3),
        ("b", "cancelled"): Sum(1),
    }
    assert sums.spent(found) == {"a": (3, 4)}


def test_series_of_zeros_are_no_rows() -> None:
    """A series of zeros adds nothing to the sums."""
    with capture() as telemetry:
        usage = {"input_tokens": 0, "output_tokens": 2, "total_tokens": 2}
        FakeChatModel(usage=usage, callbacks=[telemetry.handler]).invoke("?")
        read = sums.counted(telemetry.registry)
    assert read == {("fake-model", "ok"): Sum(1, 0, 2)}
