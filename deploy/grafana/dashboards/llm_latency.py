"""LLM calls, the row of latency: how long a caller waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.panels import buckets, lines
from dashboards.promql import CALLS, MODEL, quantile, rate, select
from dashboards.series import (
    BY_MODEL,
    DURATION,
    FIRST_CHUNK,
    MODEL_IN_JAEGER,
    NEXT_CHUNK,
)
from dashboards.targets import over_time

if TYPE_CHECKING:
    from dashboards.frame import Row


def latency() -> Row:
    """Show how long a caller waits, with traces as dots.

    Returns:
        The row.
    """
    return (
        "Latency",
        [
            lines(
                "Latency",
                "p50, p95 and p99 of all calls. Each dot is one call: a click on it "
                "leads to its trace.",
                *(
                    over_time(quantile(q, DURATION), name, exemplars=name == "p99")
                    for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
                unit="s",
            ),
            buckets(
                "Distribution of latency",
                "How many calls took how long. Dots are single calls: a click on "
                "one leads to its trace.",
                rate(select(f"{DURATION}_bucket"), "le"),
            ),
            lines(
                "Latency by model, p95",
                "95 of 100 calls of the model took at most this long.",
                over_time(
                    quantile(0.95, DURATION, CALLS, MODEL), BY_MODEL, exemplars=True
                ),
                unit="s",
                link=MODEL_IN_JAEGER,
            ),
            lines(
                "Time to first chunk by model, p95",
                "Of streams: the time until the reader sees something.",
                over_time(
                    quantile(0.95, FIRST_CHUNK, CALLS, MODEL),
                    BY_MODEL,
                    exemplars=True,
                ),
                unit="s",
                empty="No streams in this time range",
                link=MODEL_IN_JAEGER,
            ),
            lines(
                "Time per further chunk, p95",
                "Of streams: the time from one chunk to the next. Where it is "
                "large, the answer stutters.",
                over_time(
                    quantile(0.95, NEXT_CHUNK, CALLS, MODEL), BY_MODEL, exemplars=True
                ),
                unit="s",
                empty="No streams in this time range",
            ),
            buckets(
                "Distribution of the time to first chunk",
                "How many streams began after how long.",
                rate(select(f"{FIRST_CHUNK}_bucket"), "le"),
            ),
        ],
    )
