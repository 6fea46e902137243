"""Agents, tools and retrieval, the row of tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.panels import NO_FAILURES, OUTCOME_COLOURS, lines
from dashboards.promql import (
    SERVICE,
    increase,
    quantile,
    quantile_in_range,
    rate,
    select,
    share,
)
from dashboards.series import FAILED, TOOL, count
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

if TYPE_CHECKING:
    from dashboards.frame import Row

_NAME: Final = "gen_ai_agent_name"
_TOOL_NAME: Final = "gen_ai_tool_name"
_TOOL_TYPE: Final = "gen_ai_tool_type"
_NO_TOOLS: Final = "No tool calls in this time range"


def tools() -> Row:
    """Show which tools run, how long, and how often they fail.

    Returns:
        The row.
    """
    calls = increase(count(TOOL), _TOOL_NAME, _TOOL_TYPE)
    outcomes = select(
        "otel_callbacks_operations_total",
        SERVICE,
        'gen_ai_operation_name="execute_tool"',
    )
    return (
        "Tools",
        [
            lines(
                "Tool calls",
                "Calls that ended in a second.",
                over_time(rate(count(TOOL), _TOOL_NAME), "{{gen_ai_tool_name}}"),
                unit="reqps",
                stacked=True,
                empty=_NO_TOOLS,
            ),
            lines(
                "Duration of tools, p95",
                "95 of 100 calls of the tool took at most this long.",
                over_time(
                    quantile(0.95, TOOL, SERVICE, _TOOL_NAME),
                    "{{gen_ai_tool_name}}",
                    exemplars=True,
                ),
                unit="s",
                empty=_NO_TOOLS,
            ),
            lines(
                "Tool calls by outcome",
                "cancelled: the agent was stopped while the tool ran.",
                over_time(rate(outcomes, "outcome"), "{{outcome}}"),
                unit="reqps",
                stacked=True,
                colours=OUTCOME_COLOURS,
                empty=_NO_TOOLS,
            ),
            lines(
                "Failed tool calls by exception",
                "Calls in a second.",
                over_time(
                    rate(count(TOOL, FAILED), _TOOL_NAME, "error_type"),
                    "{{gen_ai_tool_name}}: {{error_type}}",
                ),
                unit="reqps",
                stacked=True,
                empty=NO_FAILURES,
            ),
            numbers(
                "Tools",
                "One row for each tool, busiest first.",
                Column("Calls", calls),
                Column(
                    "Failed",
                    share(increase(count(TOOL, FAILED), _TOOL_NAME, _TOOL_TYPE), calls),
                    "percentunit",
                ),
                Column(
                    "p95",
                    quantile_in_range(0.95, TOOL, SERVICE, _TOOL_NAME, _TOOL_TYPE),
                    "s",
                ),
                empty=_NO_TOOLS,
                width=12,
            ),
            numbers(
                "Tools by agent",
                "Which agent calls which tool.",
                Column("Calls", increase(count(TOOL), _NAME, _TOOL_NAME)),
                empty=_NO_TOOLS,
                width=12,
            ),
        ],
    )
