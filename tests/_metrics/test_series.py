"""The table of series against the conventions' own numbers."""

from __future__ import annotations

from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._metrics import series as catalogue
from otel_callbacks._metrics.calls import CallQueue
from otel_callbacks._metrics.fold import Fold
from otel_callbacks._metrics.prometheus import SeriesCollector
from otel_callbacks._metrics.store import LabelLimits

SECONDS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
TOKENS = (
    1,
    4,
    16,
    64,
    256,
    1024,
    4096,
    16384,
    65536,
    262144,
    1048576,
    4194304,
    16777216,
    67108864,
)
CALLS = (1, 2, 4, 8, 16, 32, 64, 128)
# Those that differ from the usual ones.
BUCKETS = {
    "gen_ai_client_token_usage": TOKENS,
    "gen_ai_invoke_agent_duration_seconds": (
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        25.6,
        51.2,
        102.4,
        204.8,
        409.6,
    ),
    "gen_ai_invoke_agent_inference_calls": CALLS,
    "gen_ai_invoke_agent_tool_calls": CALLS,
    "gen_ai_workflow_duration_seconds": (
        1,
        5,
        10,
        30,
        60,
        120,
        300,
        600,
        1800,
        3600,
        7200,
    ),
}


def test_buckets_are_the_conventions() -> None:
    """Durations and tokens fall into the buckets that the conventions advise."""
    for series in catalogue.SERIES:
        if series.kind != "histogram":
            assert series.buckets == ()
        else:
            expected = BUCKETS.get(series.name, SECONDS)
            assert series.buckets == pytest.approx(expected, abs=1e-12)


def test_names_end_as_prometheus_advises() -> None:
    """Counters end in ``_total``, what has a unit ends in it, nothing is unsaid."""
    for series in catalogue.SERIES:
        assert series.name.endswith("_total") == (series.kind == "counter")
        assert series.name.endswith(series.unit)
        assert series.help.endswith(".")


def test_ours_have_our_prefix() -> None:
    """What is ours starts with our name, and nothing of ours squats elsewhere."""
    ours = {series.name for series in catalogue.SERIES if series.is_ours}
    theirs = {series.name for series in catalogue.SERIES if not series.is_ours}
    assert all(name.startswith("otel_callbacks_") for name in ours)
    assert all(name.startswith("gen_ai_") for name in theirs)
    assert len(theirs) == 9


def test_label_is_written_as_prometheus_does() -> None:
    """Dots become underscores."""
    assert catalogue.label("gen_ai.request.model") == "gen_ai_request_model"


@pytest.mark.parametrize("extensions", [True, False], ids=["all", "conventions"])
def test_collector_has_the_families_of_the_table(*, extensions: bool) -> None:
    """Described and collected families are those of the table, in both modes."""
    calls = CallQueue(Diagnostics())
    collector = SeriesCollector(
        calls, partial(Fold, limits=LabelLimits(10, 10_000), extensions=extensions)
    )
    CollectorRegistry().register(collector)
    expected = [
        (series.name.removesuffix("_total"), series.kind, series.unit)
        for series in catalogue.SERIES
        if extensions or not series.is_ours
    ]
    for families in (collector.describe(), collector.collect()):
        assert [(one.name, one.type, one.unit) for one in families] == expected
