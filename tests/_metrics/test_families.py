"""Counters and histograms of our own, as prometheus_client writes them out."""

from __future__ import annotations

import time
from array import array
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import disable_created_metrics, enable_created_metrics
from prometheus_client.core import Exemplar

from otel_callbacks._metrics.series import COST, Series
from otel_callbacks._metrics.store import (
    Distribution,
    Family,
    LabelLimits,
    empty,
    has_created_times,
    metric_of,
    own_states,
    shown,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TRACE = (0xABC, 0xDEF, 1_500_000_000)
IDS = {"trace_id": f"{0xABC:032x}", "span_id": f"{0xDEF:016x}"}
COUNTER = Series("roses", "counter", "{rose}", "Roses.", ("colour",))
HISTOGRAM = Series("wait", "histogram", "s", "Waiting.", ("shop",), (0.5, 1.0))
GAUGE = Series("open", "gauge", "{shop}", "Open.", ("shop",))


def family_of(series: Series) -> Family:
    """Return a family without label sets, kept in this process."""
    return Family(series, own_states(series), LabelLimits(10, 10_000))


def written(family: Family, *, births: bool = False) -> Metric:
    """Return a family as it is written out."""
    return metric_of(family.series, family.states, births=births)


def samples(family: Metric) -> list[tuple[str, dict[str, str], float, Any]]:
    """Return a family's samples as plain tuples."""
    return [(one.name, one.labels, one.value, one.exemplar) for one in family.samples]


def test_counter_adds_up() -> None:
    """Each label set adds up for itself; without a trace there is no exemplar."""
    counters = family_of(COUNTER)
    counters.at(("red",)).add(2, None)
    counters.at(("red",)).add(3, None)
    counters.at(("white",)).add(1, None)
    family = written(counters)
    assert (family.name, family.type, family.documentation) == (
        "roses",
        "counter",
        "Roses.",
    )
    assert samples(family) == [
        ("roses_total", {"colour": "red"}, 5, None),
        ("roses_total", {"colour": "white"}, 1, None),
    ]


def test_counter_points_to_the_last_sampled_part() -> None:
    """The exemplar is the last addition that had a trace, with its own value."""
    counters = family_of(COUNTER)
    counters.at(("red",)).add(2, TRACE)
    counters.at(("red",)).add(3, None)
    assert samples(written(counters)) == [
        ("roses_total", {"colour": "red"}, 5, Exemplar(IDS, 2, 1.5))
    ]


def test_histogram_sorts_into_buckets() -> None:
    """Bounds belong to their bucket, counts are cumulative, infinity holds all."""
    histograms = family_of(HISTOGRAM)
    state = histograms.at(("here",))
    for value in (0.5, 0.6, 7.0):
        state.observe(value, None)
    assert histograms.at(("here",)) is state
    family = written(histograms)
    assert (family.name, family.type, family.unit) == (
        "wait_seconds",
        "histogram",
        "seconds",
    )
    labels = {"shop": "here"}
    assert samples(family) == [
        ("wait_seconds_bucket", {**labels, "le": "0.5"}, 1, None),
        ("wait_seconds_bucket", {**labels, "le": "1.0"}, 2, None),
        ("wait_seconds_bucket", {**labels, "le": "+Inf"}, 3, None),
        ("wait_seconds_count", labels, 3, None),
        ("wait_seconds_sum", labels, pytest.approx(8.1), None),
    ]


def test_each_bucket_points_to_its_last_sampled_value() -> None:
    """An exemplar stands on the bucket of its value, the newest one."""
    histograms = family_of(HISTOGRAM)
    state = histograms.at(("here",))
    state.observe(0.1, TRACE)
    state.observe(0.2, TRACE)
    state.observe(0.3, None)
    state.observe(9.0, TRACE)
    exemplars = [one.exemplar for one in written(histograms).samples[:3]]
    assert exemplars == [Exemplar(IDS, 0.2, 1.5), None, Exemplar(IDS, 9.0, 1.5)]


@pytest.mark.parametrize("trace", [None, TRACE], ids=["not sampled", "sampled"])
def test_gaps_between_chunks_are_observed(trace: tuple[int, int, int] | None) -> None:
    """Each gap counts in its bucket, a bound's own too; the last is the exemplar."""
    state = Distribution((0.5, 1.0))
    start = 10**18
    state.observe_gaps((start, start + 500_000_000, start + 2_500_000_000), trace)
    assert state.counts == [1, 0, 1]
    assert state.sum == pytest.approx(2.5)
    assert state.exemplars == ({} if trace is None else {2: (2.0, TRACE)})


def test_gaps_and_values_meet_in_the_same_buckets() -> None:
    """A duration in seconds and the same one as a gap fall into one bucket."""
    bounds = (0.01, 0.02, 0.04)
    for value in (0.005, 0.01, 0.015, 0.02, 0.04, 0.05):
        one, other = Distribution(bounds), Distribution(bounds)
        one.observe(value, None)
        other.observe_gaps((0, round(value * 1e9)), None)
        assert one.counts == other.counts


@given(st.lists(st.integers(0, 60), min_size=2, max_size=60))
def test_many_gaps_fall_where_each_alone_would(gaps: list[int]) -> None:
    """However the gaps of a stream are counted together, each is in its bucket."""
    bounds, milli = (0.01, 0.02, 0.04), 1_000_000
    together = Distribution(bounds)
    ticks = array("q", accumulate((gap * milli for gap in gaps), initial=10**15))
    together.observe_gaps(ticks, TRACE)
    alone = Distribution(bounds)
    for gap in gaps:
        alone.observe_gaps((0, gap * milli), None)
    assert together.counts == alone.counts
    assert together.sum == pytest.approx(alone.sum)
    ((bucket, (value, _)),) = together.exemplars.items()
    assert value == pytest.approx(gaps[-1] / 1_000)
    assert bucket == sum(bound * 1_000 < gaps[-1] for bound in bounds)


def test_gauge_and_counter_take_values_from_elsewhere() -> None:
    """What is counted elsewhere is shown as it is."""
    family = shown(GAUGE, {("here",): 3})
    assert family.type == "gauge"
    assert samples(family) == [("open", {"shop": "here"}, 3, None)]
    family = shown(COUNTER, {("red",): 4})
    assert family.type == "counter"
    assert samples(family) == [("roses_total", {"colour": "red"}, 4, None)]


def test_label_sets_have_created_times() -> None:
    """Prometheus adds a zero there; it is before the scrape that shows them first."""
    before = time.time() - 1
    counters, histograms = family_of(COUNTER), family_of(HISTOGRAM)
    counters.at(("red",)).add(2, None)
    histograms.at(("here",)).observe(1, None)
    elsewhere = shown(COUNTER, {("red",): 4}, {("red",): before})
    now = time.time()
    for family, name in (
        (written(counters, births=True), "roses_created"),
        (written(histograms, births=True), "wait_seconds_created"),
        (elsewhere, "roses_created"),
    ):
        (created,) = (one for one in family.samples if one.name == name)
        assert before <= created.value < now


def test_prometheus_client_switches_births_off() -> None:
    """Its users can leave ``_created`` out, and do so for ours as well."""
    assert has_created_times()
    disable_created_metrics()
    try:
        assert not has_created_times()
    finally:
        enable_created_metrics()


def test_empty_family_has_name_and_no_samples() -> None:
    """A registry's check of names needs no values."""
    family = empty(COUNTER)
    assert (family.name, family.type, family.samples) == ("roses", "counter", [])


def test_money_is_exact() -> None:
    """A hundred dimes of a cent are one cent, which floats would miss."""
    cost = family_of(COST).at(())
    for _ in range(100):
        cost.add(Decimal("0.0001"), None)
    assert cost.value == Decimal("0.01")
