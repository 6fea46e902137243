"""Agents, tools and retrieval, the row of tools."""

from __future__ import annotations

from typing import Final

from dashboards.frame import Row
from dashboards.panels import NO_FAILURES, OUTCOME_COLOURS, lines
from dashboards.promql import (
    RANGE,
    SERVICE,
    STEP,
    counted,
    largest,
    named_span_quantile,
    per_minute,
    quantile,
    select,
    share,
    whole,
)
from dashboards.series import ABOUT_PERCENTILES, CALLS_A_MINUTE, FAILED_TYPE, TOOL
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

_NAME: Final = "gen_ai_agent_name"
_TOOL_NAME: Final = "gen_ai_tool_name"
_AGENTS: Final = f'{SERVICE}, gen_ai_agent_name=~"$agent"'
_FAILED: Final = f"{_AGENTS}, {FAILED_TYPE}"
_NO_TOOLS: Final = "No tool calls in this time range"


def _duration(window: str) -> str:
    """Estimate how long a tool takes, from spans or the histogram."""
    spans = named_span_quantile(0.95, "execute_tool", _TOOL_NAME, window=window)
    return f"({spans} or ({quantile(0.95, TOOL, _AGENTS, _TOOL_NAME, window=window)}))"


def tools() -> Row:
    """Show which tools run, how long, and how often they fail.

    Returns:
        The row.
    """
    calls = counted(TOOL, _AGENTS, _TOOL_NAME, window=RANGE)
    outcomes = select(
        "otel_callbacks_operations_total",
        SERVICE,
        'gen_ai_operation_name="execute_tool"',
    )
    return Row(
        "Tools",
        [
            numbers(
                "Tools",
                f"One row for each tool, the 20 busiest. {ABOUT_PERCENTILES}",
                Column("Calls", largest(whole(calls))),
                Column(
                    "Failed",
                    share(counted(TOOL, _FAILED, _TOOL_NAME, window=RANGE), calls),
                    "percentunit",
                ),
                Column("p95", _duration(RANGE), "s"),
                empty=_NO_TOOLS,
                width=12,
                height=6,
            ),
            numbers(
                "Tools by agent",
                "Which agent calls which tool. A row without an agent: the app itself.",
                Column(
                    "Calls",
                    largest(
                        whole(counted(TOOL, _AGENTS, _NAME, _TOOL_NAME, window=RANGE))
                    ),
                ),
                empty=_NO_TOOLS,
                width=12,
                height=6,
            ),
            lines(
                "Tool calls by outcome",
                "cancelled: the agent was stopped while the tool ran. The variable "
                "Agent does not narrow this panel.",
                over_time(per_minute(outcomes, "outcome"), "{{outcome}}"),
                unit=CALLS_A_MINUTE,
                stacked=True,
                colours=OUTCOME_COLOURS,
                empty=_NO_TOOLS,
            ),
            lines(
                "Failed tool calls by exception",
                "error.type of tool calls that failed.",
                over_time(
                    f"60 * {counted(TOOL, _FAILED, _TOOL_NAME, 'error_type')}",
                    "{{gen_ai_tool_name}}: {{error_type}}",
                ),
                unit=CALLS_A_MINUTE,
                stacked=True,
                empty=NO_FAILURES,
            ),
            lines(
                "Calls by tool",
                "Calls that ended.",
                over_time(
                    f"60 * {counted(TOOL, _AGENTS, _TOOL_NAME)}", "{{gen_ai_tool_name}}"
                ),
                unit=CALLS_A_MINUTE,
                stacked=True,
                empty=_NO_TOOLS,
            ),
            lines(
                "Duration of tools, p95",
                "95 of 100 calls of the tool took at most this long. "
                f"{ABOUT_PERCENTILES}",
                over_time(_duration(STEP), "{{gen_ai_tool_name}}", exemplars=True),
                unit="s",
                empty=_NO_TOOLS,
            ),
        ],
    )
