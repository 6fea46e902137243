"""LLM calls, the rows of latency: how long a caller waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.frame import Row
from dashboards.panels import NOT_BY_LABEL, buckets, lines
from dashboards.promql import (
    CALLS,
    MODEL,
    MODEL_OPERATIONS,
    NOT_BY_OPERATION,
    SPAN_TIME,
    SPANS_OF_CALLS,
    SPANS_OF_SERVICE,
    distribution,
    quantile,
    rate,
    ratio,
    select,
    top,
)
from dashboards.series import (
    ABOUT_PERCENTILES,
    BY_MODEL,
    DURATION,
    FIRST_CHUNK,
    MODEL_IN_JAEGER,
    NEXT_CHUNK,
    OPERATIONS,
)
from dashboards.targets import over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.timeseries import Panel


def latency() -> Row:
    """Show how long a caller waits, with traces as dots.

    Returns:
        The row.
    """
    return Row(
        "Latency",
        [
            lines(
                "Latency",
                "p50, p95 and p99 of all calls. Each dot is one call: a click on it "
                f"leads to its trace. {ABOUT_PERCENTILES}",
                *(
                    over_time(
                        quantile(q, DURATION, CALLS, spans=SPANS_OF_CALLS),
                        name,
                        exemplars=name == "p99",
                    )
                    for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
                unit="s",
                empty=f"No calls, {NOT_BY_LABEL}",
            ),
            lines(
                "Latency by model, p95",
                "95 of 100 calls of the model took at most this long; the ten busiest "
                f"models. {ABOUT_PERCENTILES}",
                over_time(
                    top(
                        f"({_by_model()})",
                        OPERATIONS,
                        MODEL,
                    ),
                    BY_MODEL,
                    exemplars=True,
                ),
                unit="s",
                empty=f"No calls, {NOT_BY_LABEL}",
                link=MODEL_IN_JAEGER,
            ),
        ],
    )


def _by_model() -> str:
    """Ask for the latency of each model."""
    return quantile(0.95, DURATION, CALLS, MODEL, spans=SPANS_OF_CALLS)


def _streams(title: str, description: str, histogram: str) -> Panel:
    """Draw a quantile of streams, by model."""
    by_model = quantile(0.95, histogram, CALLS, MODEL)
    return lines(
        title,
        f"{description} The ten busiest models; estimated within a bucket, a factor of "
        "2 wide.",
        over_time(
            top(f"({by_model})", OPERATIONS, MODEL),
            BY_MODEL,
            exemplars=True,
        ),
        unit="s",
        empty=f"No streams, {NOT_BY_LABEL}",
        link=MODEL_IN_JAEGER,
    )


def latency_details() -> Row:
    """Show streams, distributions, and what of it is the provider's.

    Returns:
        The row.
    """
    asked = (
        SPANS_OF_SERVICE,
        NOT_BY_OPERATION,
        f'gen_ai_operation_name=~"{MODEL_OPERATIONS}"',
        'span_kind="SPAN_KIND_CLIENT"',
    )
    inside = select(f"{SPAN_TIME}_sum", *asked)
    calls = select(f"{SPAN_TIME}_count", *asked)
    http = select(
        f"{SPAN_TIME}_sum",
        SPANS_OF_SERVICE,
        NOT_BY_OPERATION,
        'span_kind="SPAN_KIND_CLIENT"',
        'span_name="POST"',
    )
    return Row(
        "Latency: streams, distribution, provider",
        [
            _streams(
                "Time to first chunk by model, p95",
                "Of streams: the time until the reader sees something.",
                FIRST_CHUNK,
            ),
            _streams(
                "Time per further chunk by model, p95",
                "Of streams: the time from one chunk to the next. Where it is large, "
                "the answer stutters.",
                NEXT_CHUNK,
            ),
            buckets(
                "Distribution of latency",
                "How many calls took how long. Dots are single calls: a click on one "
                "leads to its trace.",
                distribution(DURATION, CALLS),
                empty=f"No calls, {NOT_BY_LABEL}",
            ),
            buckets(
                "Distribution of the time to first chunk",
                "How many streams began after how long.",
                distribution(FIRST_CHUNK, CALLS),
                empty=f"No streams, {NOT_BY_LABEL}",
            ),
            buckets(
                "Distribution of the time per further chunk",
                "How many chunks came how long after the one before. A second band "
                "high above the first is a stream that stops and goes on.",
                distribution(NEXT_CHUNK, CALLS),
                empty=f"No streams, {NOT_BY_LABEL}",
            ),
            lines(
                "Provider and overhead, for each call",
                "Means from spans, where the HTTP client is instrumented: the time in "
                "HTTP requests, and the rest: LangChain, the provider's client, the "
                "wait between two tries. A stream's request ends with its headers. Of "
                "all models and operations: an HTTP span does not say whose it is.",
                over_time(ratio(rate(http), rate(calls)), "HTTP requests"),
                over_time(
                    ratio(f"({rate(inside)} - {rate(http)})", rate(calls)), "rest"
                ),
                unit="ms",
                stacked=True,
                empty="No HTTP spans, or a model or label is chosen",
                width=12,
            ),
        ],
        is_collapsed=True,
    )
