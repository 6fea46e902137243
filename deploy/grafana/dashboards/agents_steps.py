"""Agents, tools and retrieval, the rows of retrievals, steps and traces."""

from __future__ import annotations

from typing import Final

from dashboards.frame import Row
from dashboards.panels import NO_FAILURES, lines
from dashboards.promql import (
    RANGE,
    SPAN_TIME,
    SPANS_OF_SERVICE,
    counted,
    increase,
    largest,
    per_minute,
    quantile,
    rate,
    ratio,
    select,
    share,
    span_quantile,
    top,
    whole,
)
from dashboards.series import (
    ABOUT_PERCENTILES,
    CALLS_A_MINUTE,
    DOCUMENTS,
    DURATION,
    FAILED_SPAN,
    FAILED_TYPE,
    RETRIEVAL,
    SPANS,
    TRACED,
)
from dashboards.tables import Column, numbers, traces
from dashboards.targets import TraceSearch, over_time

_NO_RETRIEVALS: Final = "No retrievals in this time range"
_SOURCE: Final = "gen_ai_data_source_id"
_SECOND_CHANCE: Final = 'span_name=~"RunnableWithFallbacks.*|RunnableRetry.*"'
_NO_SPANS: Final = "No spans of this service: is the Collector reached?"


def retrieval() -> Row:
    """Show how often retrievers are asked and how long they take.

    Returns:
        The row.
    """
    spans = f'{SPANS_OF_SERVICE}, gen_ai_operation_name="retrieval"'
    return Row(
        "Retrieval",
        [
            lines(
                "Retrievals over time",
                "Questions to retrievers, and those that failed.",
                over_time(f"60 * {counted(DURATION, RETRIEVAL)}", "all"),
                over_time(
                    f"60 * {counted(DURATION, f'{RETRIEVAL}, {FAILED_TYPE}')}", "failed"
                ),
                unit=CALLS_A_MINUTE,
                empty=_NO_RETRIEVALS,
            ),
            lines(
                "Duration of retrievals",
                "p50 and p95. Each dot is one retrieval: a click on it leads to its "
                f"trace. {ABOUT_PERCENTILES}",
                over_time(quantile(0.5, DURATION, RETRIEVAL, spans=spans), "p50"),
                over_time(
                    quantile(0.95, DURATION, RETRIEVAL, spans=spans),
                    "p95",
                    exemplars=True,
                ),
                unit="s",
                empty=_NO_RETRIEVALS,
            ),
            lines(
                "Documents found for each retrieval",
                "A mean that falls to 0 is an index that is empty or a question that "
                "nothing matches.",
                over_time(
                    ratio(rate(DOCUMENTS), counted(DURATION, RETRIEVAL)), "documents"
                ),
                empty=_NO_RETRIEVALS,
            ),
            lines(
                "Documents found by source",
                "The ten retrievers that found most.",
                over_time(
                    top(per_minute(DOCUMENTS, _SOURCE), DOCUMENTS, _SOURCE),
                    f"{{{{{_SOURCE}}}}}",
                ),
                unit="suffix: documents/min",
                empty=_NO_RETRIEVALS,
            ),
        ],
    )


def program() -> Row:
    """Show chains, graph nodes and HTTP calls, from the spans themselves.

    Returns:
        The row.
    """
    failed = select(SPANS, TRACED, FAILED_SPAN)
    time = select(f"{SPAN_TIME}_sum", TRACED)
    inner = f'{TRACED}, span_kind="SPAN_KIND_INTERNAL"'
    by = ("span_name", "span_kind")
    spans = increase(select(SPANS, TRACED), *by)
    return Row(
        "Steps of the program (from spans)",
        [
            numbers(
                "Spans by name",
                "Every kind of span of the service, the 20 most frequent: how many, "
                "how many failed, the time they took together. Counted by the "
                "Collector before it samples, so complete.",
                Column("Spans", largest(whole(spans))),
                Column("Failed", share(increase(failed, *by), spans), "percentunit"),
                Column("Time", increase(time, *by), "ms"),
                empty=_NO_SPANS,
                width=12,
            ),
            numbers(
                "Chains and graph nodes, p95",
                "Duration of the INTERNAL spans, the 20 longest: where the program "
                "spends its time. Estimated within a bucket, at most a factor of 1.5 "
                "wide.",
                Column(
                    "p95",
                    largest(span_quantile(0.95, inner, "span_name", window=RANGE)),
                    "ms",
                ),
                empty=_NO_SPANS,
                width=12,
            ),
            lines(
                "Spans by operation",
                "What the Collector saw. Less than the calls that the handler counted "
                "is telemetry that was lost on its way.",
                over_time(
                    per_minute(
                        select(SPANS, TRACED, 'gen_ai_operation_name!=""'),
                        "gen_ai_operation_name",
                    ),
                    "{{gen_ai_operation_name}}",
                ),
                unit="suffix: spans/min",
                empty=_NO_SPANS,
            ),
            lines(
                "Runs with fallbacks or retries",
                "Steps made by with_fallbacks() and with_retry(), and those that "
                "failed all the same: failed calls below the others were made good. "
                "Steps that the app gave a name are not found.",
                over_time(
                    per_minute(select(SPANS, TRACED, _SECOND_CHANCE), "span_name"),
                    "{{span_name}}",
                ),
                over_time(
                    per_minute(
                        select(SPANS, TRACED, _SECOND_CHANCE, FAILED_SPAN), "span_name"
                    ),
                    "{{span_name}}, failed",
                ),
                unit="suffix: runs/min",
                empty="None in this time range",
            ),
            lines(
                "Failed spans by exception",
                "error.type of the spans that failed. Spans without one, such as HTTP "
                "requests, are left out.",
                over_time(
                    per_minute(
                        select(SPANS, TRACED, FAILED_SPAN, 'error_type!=""'),
                        "error_type",
                    ),
                    "{{error_type}}",
                ),
                unit="suffix: spans/min",
                stacked=True,
                empty=NO_FAILURES,
            ),
        ],
        is_collapsed=True,
    )


def agent_traces() -> Row:
    """List requests to look at.

    Returns:
        The row.
    """
    return Row(
        "Traces of $trace_service",
        [
            traces(
                "Traces of agents of $trace_service",
                "The newest traces with an agent in them, slowest first. The id "
                "opens the trace in Jaeger.",
                TraceSearch(tags="gen_ai.operation.name=invoke_agent"),
            ),
            traces(
                "Failed tool calls of $trace_service",
                "The newest traces with a tool call that failed, slowest first.",
                TraceSearch(tags="gen_ai.operation.name=execute_tool error=true"),
            ),
        ],
        is_collapsed=True,
    )
