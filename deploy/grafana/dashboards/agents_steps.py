"""Agents, tools and retrieval, the rows of retrievals, steps and traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import NO_FAILURES, lines
from dashboards.promql import increase, quantile, rate, select, share
from dashboards.series import DURATION, FAILED, RETRIEVAL, SPAN_TIME, SPANS, TRACED
from dashboards.tables import Column, numbers, traces
from dashboards.targets import TraceSearch, over_time

if TYPE_CHECKING:
    from dashboards.frame import Row

_NO_RETRIEVALS: Final = "No retrievals in this time range"
_NO_SPANS: Final = "No spans of this service: is the Collector reached?"


def retrieval() -> Row:
    """Show how often retrievers are asked and how long they take.

    Returns:
        The row.
    """
    asked = select(f"{DURATION}_count", RETRIEVAL)
    failed = select(f"{DURATION}_count", RETRIEVAL, FAILED)
    return (
        "Retrieval",
        [
            lines(
                "Retrievals",
                "Questions to retrievers in a second, and those that failed.",
                over_time(rate(asked), "asked"),
                over_time(rate(failed), "failed"),
                unit="reqps",
                empty=_NO_RETRIEVALS,
            ),
            lines(
                "Duration of retrievals",
                "p50 and p95. Each dot is one retrieval: a click on it leads to its "
                "trace.",
                over_time(quantile(0.5, DURATION, RETRIEVAL), "p50"),
                over_time(quantile(0.95, DURATION, RETRIEVAL), "p95", exemplars=True),
                unit="s",
                empty=_NO_RETRIEVALS,
            ),
        ],
    )


def program() -> Row:
    """Show chains, graph nodes and HTTP calls, from the spans themselves.

    Returns:
        The row.
    """
    failed = select(SPANS, TRACED, 'status_code="STATUS_CODE_ERROR"')
    seconds = select(f"{SPAN_TIME}_sum", TRACED)
    inner = select(f"{SPAN_TIME}_bucket", TRACED, 'span_kind="SPAN_KIND_INTERNAL"')
    spans = increase(select(SPANS, TRACED), "span_name", "span_kind")
    by_name = f"histogram_quantile(0.95, {increase(inner, 'le', 'span_name')})"
    return (
        "Steps of the program (from spans)",
        [
            numbers(
                "Spans by name",
                "Every kind of span of the service: how many, how many failed, the "
                "time they took together. Counted by the Collector before it "
                "samples, so complete.",
                Column("Spans", spans),
                Column(
                    "Failed",
                    share(increase(failed, "span_name", "span_kind"), spans),
                    "percentunit",
                ),
                Column("Time", increase(seconds, "span_name", "span_kind"), "ms"),
                empty=_NO_SPANS,
                width=12,
            ),
            numbers(
                "Chains and graph nodes, p95",
                "Duration of the INTERNAL spans: where the program spends its time.",
                Column("p95", by_name, "ms"),
                empty=_NO_SPANS,
                width=12,
            ),
            lines(
                "Spans of model calls by operation",
                "What the Collector saw, in a second. Less than the calls that the "
                "handler counted is telemetry that was lost on its way.",
                over_time(
                    rate(
                        select(SPANS, TRACED, 'gen_ai_operation_name!=""'),
                        "gen_ai_operation_name",
                    ),
                    "{{gen_ai_operation_name}}",
                ),
                unit="reqps",
                empty=_NO_SPANS,
            ),
            lines(
                "Failed spans by exception",
                "error.type of the spans whose status is error, in a second.",
                over_time(rate(failed, "error_type"), "{{error_type}}"),
                unit="reqps",
                stacked=True,
                empty=NO_FAILURES,
            ),
        ],
    )


def agent_traces() -> Row:
    """List requests to look at.

    Returns:
        The row.
    """
    return (
        "Traces",
        [
            traces(
                "Traces of agents",
                "The newest traces with an agent in them, slowest first. The id "
                "opens the trace in Jaeger.",
                TraceSearch(tags="gen_ai.operation.name=invoke_agent"),
            ),
            traces(
                "Failed tool calls",
                "The newest traces with a tool call that failed, slowest first.",
                TraceSearch(tags="gen_ai.operation.name=execute_tool error=true"),
            ),
        ],
    )
