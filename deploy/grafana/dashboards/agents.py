"""Agents, tools and retrieval: the program around the model calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.agents_steps import agent_traces, program, retrieval
from dashboards.agents_tools import tools
from dashboards.frame import assemble
from dashboards.panels import buckets, lines, number, steps
from dashboards.promql import (
    SERVICE,
    increase,
    quantile,
    quantile_in_range,
    rate,
    ratio,
    select,
    share,
)
from dashboards.series import (
    AGENT,
    AGENT_CALLS,
    AGENT_TOOLS,
    DURATION,
    ERROR_BOUNDS,
    FAILED,
    RETRIEVAL,
    TOOL,
    WORKFLOW,
    count,
)
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from dashboards.frame import Row

_NAME: Final = "gen_ai_agent_name"
_FLOW: Final = "gen_ai_workflow_name"
_NO_AGENTS: Final = "No agents in this time range"
_NO_TOOLS: Final = "No tool calls in this time range"
_NO_RETRIEVALS: Final = "No retrievals in this time range"
_NO_WORKFLOWS: Final = "No workflows in this time range"


def _mean(histogram: str, *by: str) -> str:
    """Divide a histogram's sum by its count."""
    return ratio(
        rate(select(f"{histogram}_sum", SERVICE), *by), rate(count(histogram), *by)
    )


def _headline() -> Row:
    """Six numbers for the time range."""
    agents, tools = increase(count(AGENT)), increase(count(TOOL))
    retrievals = select(f"{DURATION}_count", RETRIEVAL)
    return (
        "Headline",
        [
            number("Agents invoked", "Runs of agents.", agents, empty=_NO_AGENTS),
            number(
                "Agent, p95",
                "95 of 100 runs of agents took at most this long.",
                quantile_in_range(0.95, AGENT, SERVICE),
                unit="s",
                empty=_NO_AGENTS,
            ),
            number("Tool calls", "Calls of tools.", tools, empty=_NO_TOOLS),
            number(
                "Tool errors",
                "Share of the tool calls that failed, those that the agent handled "
                "as well.",
                share(increase(count(TOOL, FAILED)), tools),
                unit="percentunit",
                thresholds=steps(*ERROR_BOUNDS),
                empty=_NO_TOOLS,
            ),
            number(
                "Retrievals",
                "Questions to retrievers.",
                increase(retrievals),
                empty=_NO_RETRIEVALS,
            ),
            number(
                "Retrieval, p95",
                "95 of 100 retrievals took at most this long.",
                quantile_in_range(0.95, DURATION, RETRIEVAL),
                unit="s",
                empty=_NO_RETRIEVALS,
            ),
        ],
    )


def _agents() -> Row:
    """How often agents run, how long, and how much they ask."""
    runs = increase(count(AGENT), _NAME)
    return (
        "Agents",
        [
            lines(
                "Agents invoked",
                "Runs of agents that ended in a second.",
                over_time(rate(count(AGENT), _NAME), "{{gen_ai_agent_name}}"),
                unit="reqps",
                stacked=True,
                empty=_NO_AGENTS,
            ),
            lines(
                "Duration of agents, p95",
                "95 of 100 runs of the agent took at most this long.",
                over_time(
                    quantile(0.95, AGENT, SERVICE, _NAME),
                    "{{gen_ai_agent_name}}",
                    exemplars=True,
                ),
                unit="s",
                empty=_NO_AGENTS,
            ),
            lines(
                "Model and tool calls in one run",
                "Means. A number that grows is an agent that turns in a circle.",
                over_time(_mean(AGENT_CALLS, _NAME), "{{gen_ai_agent_name}} models"),
                over_time(_mean(AGENT_TOOLS, _NAME), "{{gen_ai_agent_name}} tools"),
                empty=_NO_AGENTS,
            ),
            buckets(
                "Distribution of the duration of agents",
                "How many runs took how long; dots are single runs.",
                rate(select(f"{AGENT}_bucket", SERVICE), "le"),
            ),
            numbers(
                "Agents",
                "One row for each agent, busiest first.",
                Column("Runs", runs),
                Column(
                    "Failed",
                    share(increase(count(AGENT, FAILED), _NAME), runs),
                    "percentunit",
                ),
                Column("p95", quantile_in_range(0.95, AGENT, SERVICE, _NAME), "s"),
                Column(
                    "Model calls, p95",
                    quantile_in_range(0.95, AGENT_CALLS, SERVICE, _NAME),
                ),
                Column(
                    "Tool calls, p95",
                    quantile_in_range(0.95, AGENT_TOOLS, SERVICE, _NAME),
                ),
                empty=_NO_AGENTS,
                width=12,
            ),
            numbers(
                "Workflows",
                "One row for each workflow, such as a compiled graph.",
                Column("Runs", increase(count(WORKFLOW), _FLOW)),
                Column(
                    "Failed",
                    share(
                        increase(count(WORKFLOW, FAILED), _FLOW),
                        increase(count(WORKFLOW), _FLOW),
                    ),
                    "percentunit",
                ),
                Column("p95", quantile_in_range(0.95, WORKFLOW, SERVICE, _FLOW), "s"),
                empty=_NO_WORKFLOWS,
                width=12,
            ),
        ],
    )


def build() -> Dashboard:
    """Build the dashboard of agents, tools and retrieval.

    Returns:
        The dashboard with uid ``otel-callbacks-agents``.
    """
    return assemble(
        "otel-callbacks-agents",
        "Agents, tools and retrieval",
        "What surrounds the model calls: agents, workflows, tools, retrievers and "
        "the steps of the program.",
        [_headline(), _agents(), tools(), retrieval(), program(), agent_traces()],
    )
