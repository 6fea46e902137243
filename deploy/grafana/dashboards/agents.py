"""Agents, tools and retrieval: the program around the model calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dashboards.agents_steps import agent_traces, program, retrieval
from dashboards.agents_tools import tools
from dashboards.frame import Row, assemble, labelled
from dashboards.panels import buckets, lines, number, steps
from dashboards.promql import (
    MODEL_OPERATIONS,
    RANGE,
    SERVICE,
    SPANS_OF_SERVICE,
    STEP,
    counted,
    distribution,
    increase,
    largest,
    mean,
    named_span_quantile,
    quantile,
    select,
    share,
    whole,
)
from dashboards.series import (
    ABOUT_PERCENTILES,
    AGENT,
    AGENT_CALLS,
    AGENT_TOOLS,
    DURATION,
    ERROR_BOUNDS,
    FAILED_TYPE,
    RETRIEVAL,
    TOOL,
    USD,
    WORKFLOW,
)
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

_NAME: Final = "gen_ai_agent_name"
_FLOW: Final = "gen_ai_workflow_name"
_AGENTS: Final = f'{SERVICE}, gen_ai_agent_name=~"$agent"'
_NO_AGENTS: Final = "No agents in this time range"
_NO_TOOLS: Final = "No tool calls in this time range"
_NO_RETRIEVALS: Final = "No retrievals in this time range"
_NO_WORKFLOWS: Final = "No workflows in this time range"


def _headline() -> Row:
    """Six numbers for the time range."""
    agents = counted(AGENT, _AGENTS, window=RANGE)
    tools = counted(TOOL, _AGENTS, window=RANGE)
    failed_tools = counted(TOOL, f"{_AGENTS}, {FAILED_TYPE}", window=RANGE)
    spans = f'{SPANS_OF_SERVICE}, gen_ai_operation_name="%s"'
    return Row(
        "Headline",
        [
            number(
                "Agents invoked", "Runs of agents.", whole(agents), empty=_NO_AGENTS
            ),
            number(
                "Agent, p95",
                f"95 of 100 runs of agents took at most this long. {ABOUT_PERCENTILES}",
                quantile(
                    0.95, AGENT, _AGENTS, window=RANGE, spans=spans % "invoke_agent"
                ),
                unit="s",
                empty=_NO_AGENTS,
            ),
            number("Tool calls", "Calls of tools.", whole(tools), empty=_NO_TOOLS),
            number(
                "Failed tool calls",
                "Share of the tool calls that failed, those that the agent handled as "
                "well; cancelled ones are not failed.",
                share(failed_tools, tools),
                unit="percentunit",
                thresholds=steps(*ERROR_BOUNDS),
                empty=_NO_TOOLS,
            ),
            number(
                "Retrievals",
                "Questions to retrievers.",
                whole(counted(DURATION, RETRIEVAL, window=RANGE)),
                empty=_NO_RETRIEVALS,
            ),
            number(
                "Retrieval, p95",
                f"95 of 100 retrievals took at most this long. {ABOUT_PERCENTILES}",
                quantile(
                    0.95, DURATION, RETRIEVAL, window=RANGE, spans=spans % "retrieval"
                ),
                unit="s",
                empty=_NO_RETRIEVALS,
            ),
        ],
    )


def _by_name(
    operation: str, histogram: str | tuple[str, ...], label: str, window: str
) -> str:
    """Estimate how long something with a name takes, from spans or the histogram."""
    matchers = _AGENTS if label == _NAME else SERVICE
    spans = named_span_quantile(0.95, operation, label, window=window)
    return f"({spans} or ({quantile(0.95, histogram, matchers, label, window=window)}))"


def _agents() -> Row:
    """How often agents run, how long, and how much they ask."""
    runs = counted(AGENT, _AGENTS, _NAME, window=RANGE)
    flows = counted(WORKFLOW, SERVICE, _FLOW, window=RANGE)
    return Row(
        "Agents",
        [
            numbers(
                "Agents",
                f"One row for each agent, the 20 busiest. {ABOUT_PERCENTILES}",
                Column("Runs", largest(whole(runs))),
                Column(
                    "Failed",
                    share(
                        counted(
                            AGENT, f"{_AGENTS}, {FAILED_TYPE}", _NAME, window=RANGE
                        ),
                        runs,
                    ),
                    "percentunit",
                ),
                Column("p95", _by_name("invoke_agent", AGENT, _NAME, RANGE), "s"),
                Column(
                    "Model calls, mean", mean(AGENT_CALLS, _AGENTS, _NAME, window=RANGE)
                ),
                Column(
                    "Tool calls, mean", mean(AGENT_TOOLS, _AGENTS, _NAME, window=RANGE)
                ),
                empty=_NO_AGENTS,
                width=12,
                height=6,
            ),
            numbers(
                "Workflows",
                "One row for each workflow, such as a compiled graph; the 20 busiest. "
                f"{ABOUT_PERCENTILES}",
                Column("Runs", largest(whole(flows))),
                Column(
                    "Failed",
                    share(
                        counted(
                            WORKFLOW, f"{SERVICE}, {FAILED_TYPE}", _FLOW, window=RANGE
                        ),
                        flows,
                    ),
                    "percentunit",
                ),
                Column("p95", _by_name("invoke_workflow", WORKFLOW, _FLOW, RANGE), "s"),
                empty=_NO_WORKFLOWS,
                width=12,
                height=6,
            ),
            lines(
                "Runs by agent",
                "Runs of agents that ended.",
                over_time(
                    f"60 * {counted(AGENT, _AGENTS, _NAME)}", "{{gen_ai_agent_name}}"
                ),
                unit="suffix: runs/min",
                stacked=True,
                empty=_NO_AGENTS,
            ),
            lines(
                "Duration of agents, p95",
                "95 of 100 runs of the agent took at most this long. "
                f"{ABOUT_PERCENTILES}",
                over_time(
                    _by_name("invoke_agent", AGENT, _NAME, STEP),
                    "{{gen_ai_agent_name}}",
                    exemplars=True,
                ),
                unit="s",
                empty=_NO_AGENTS,
            ),
            lines(
                "Model and tool calls in one run",
                "Means. A number that grows is an agent that turns in a circle.",
                over_time(
                    mean(AGENT_CALLS, _AGENTS, _NAME), "{{gen_ai_agent_name}} models"
                ),
                over_time(
                    mean(AGENT_TOOLS, _AGENTS, _NAME), "{{gen_ai_agent_name}} tools"
                ),
                unit="suffix: calls",
                empty=_NO_AGENTS,
            ),
            buckets(
                "Distribution of the duration of agents",
                "How many runs took how long; dots are single runs.",
                distribution(AGENT, _AGENTS),
            ),
        ],
    )


def _spend() -> Row:
    """What agents cost."""
    matchers = (
        f'{_AGENTS}, gen_ai_agent_name!="", gen_ai_operation_name=~"{MODEL_OPERATIONS}"'
    )
    cost = select("otel_callbacks_cost_usd_total", matchers)
    tokens = select("otel_callbacks_tokens_total", matchers)
    without = "No label gen_ai_agent_name: set OTEL_CALLBACKS_LABELS=gen_ai.agent.name"
    return Row(
        "Cost of agents",
        [
            numbers(
                "Cost and tokens by agent",
                "Of the model calls that an agent made. The label is chosen with "
                "OTEL_CALLBACKS_LABELS=gen_ai.agent.name.",
                Column("Spent", largest(increase(cost, _NAME)), USD),
                Column("Tokens", whole(increase(tokens, _NAME))),
                Column(
                    "Calls",
                    whole(
                        increase(
                            select("otel_callbacks_operations_total", matchers), _NAME
                        )
                    ),
                ),
                empty=without,
                height=6,
            )
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
        [
            _headline(),
            _agents(),
            tools(),
            _spend(),
            retrieval(),
            program(),
            agent_traces(),
        ],
        more=[
            labelled(
                "agent",
                "Agent",
                "gen_ai.agent.name of agents and of the tools they call.",
                f'label_values({{__name__=~"{AGENT}(_count)?", {SERVICE}}}, {_NAME})',
            )
        ],
    )
