"""Every series there is, once: name, type, unit, labels, buckets.

The collector builds its output from this table, the docs, dashboards and rules are
tested against it. ``gen_ai_*`` are the metrics of OpenTelemetry's GenAI conventions
(https://github.com/open-telemetry/semantic-conventions-genai), names as Prometheus'
own translation writes them; the rest is ours.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from otel_callbacks import _semconv as semconv

Kind = Literal["counter", "histogram", "gauge"]


class Series(NamedTuple):
    """One metric family.

    Args:
        name: The name in Prometheus' text format; counters end in ``_total``.
        kind: Its type.
        help: What it holds, for people.
        labels: Label names, in the order in which values are kept.
        unit: Prometheus' unit, or empty.
        buckets: Upper bounds without infinity; histograms only.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    buckets: tuple[float, ...] = ()

    @property
    def is_ours(self) -> bool:
        """Whether the conventions do not have it."""
        return self.name.startswith("otel_callbacks_")

    def with_labels(self, names: tuple[str, ...]) -> Series:
        """Return it with the labels that an app has chosen beside its own.

        Args:
            names: The further labels' names.
        """
        return self._replace(labels=(*self.labels, *names))


def label(attribute: str) -> str:
    """Return an attribute's name as Prometheus writes it: dots become underscores.

    Args:
        attribute: The name by the conventions, ``gen_ai.request.model``.
    """
    return attribute.replace(".", "_")


BASE: Final = tuple(
    label(name)
    for name in (
        semconv.OPERATION_NAME,
        semconv.PROVIDER_NAME,
        semconv.REQUEST_MODEL,
        semconv.RESPONSE_MODEL,
        semconv.SERVER_ADDRESS,
        semconv.SERVER_PORT,
    )
)
_ERROR: Final = label(semconv.ERROR_TYPE)
_TOKEN: Final = label(semconv.TOKEN_TYPE)
_AGENT: Final = label(semconv.AGENT_NAME)

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_CALLS: Final = tuple(float(2**power) for power in range(8))
_TOKENS: Final = tuple(float(4**power) for power in range(14))

TOKEN_USAGE: Final = Series(
    "gen_ai_client_token_usage",
    "histogram",
    "Tokens of one model call.",
    (*BASE, _TOKEN),
    buckets=_TOKENS,
)
OPERATION_DURATION: Final = Series(
    "gen_ai_client_operation_duration_seconds",
    "histogram",
    "Seconds that one GenAI operation took.",
    (*BASE, _ERROR),
    "seconds",
    _SECONDS,
)
TIME_TO_FIRST_CHUNK: Final = Series(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "histogram",
    "Seconds from a stream's request to its first chunk.",
    BASE,
    "seconds",
    _SECONDS,
)
TIME_PER_OUTPUT_CHUNK: Final = Series(
    "gen_ai_client_operation_time_per_output_chunk_seconds",
    "histogram",
    "Seconds between one chunk of a stream and the next.",
    BASE,
    "seconds",
    _SECONDS,
)
TOOL_DURATION: Final = Series(
    "gen_ai_execute_tool_duration_seconds",
    "histogram",
    "Seconds that one tool call took.",
    (label(semconv.TOOL_NAME), label(semconv.TOOL_TYPE), _AGENT, _ERROR),
    "seconds",
    _SECONDS,
)
AGENT_DURATION: Final = Series(
    "gen_ai_invoke_agent_duration_seconds",
    "histogram",
    "Seconds that one invocation of an agent took.",
    (_AGENT, label(semconv.REQUEST_MODEL), _ERROR),
    "seconds",
    tuple(0.1 * 2**power for power in range(13)),
)
AGENT_CALLS: Final = Series(
    "gen_ai_invoke_agent_inference_calls",
    "histogram",
    "Model calls of one invocation of an agent.",
    (_AGENT,),
    buckets=_CALLS,
)
AGENT_TOOL_CALLS: Final = Series(
    "gen_ai_invoke_agent_tool_calls",
    "histogram",
    "Tool calls of one invocation of an agent.",
    (_AGENT,),
    buckets=_CALLS,
)
WORKFLOW_DURATION: Final = Series(
    "gen_ai_workflow_duration_seconds",
    "histogram",
    "Seconds that one workflow took.",
    (label(semconv.WORKFLOW_NAME), _ERROR),
    "seconds",
    (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0),
)
TOKENS: Final = Series(
    "otel_callbacks_tokens_total",
    "counter",
    "Tokens that providers reported, by how the call ended.",
    (*BASE, _TOKEN, semconv.LABEL_OUTCOME),
)
TOKEN_DETAILS: Final = Series(
    "otel_callbacks_token_details_total",
    "counter",
    "Parts of the tokens above: cached, reasoning, audio. Never add them to these.",
    (*BASE, semconv.LABEL_DETAIL, semconv.LABEL_OUTCOME),
)
TOKENS_SAVED: Final = Series(
    "otel_callbacks_tokens_saved_total",
    "counter",
    "Tokens that were not spent because a cache answered.",
    (*BASE, _TOKEN, semconv.LABEL_REASON),
)
COST: Final = Series(
    "otel_callbacks_cost_usd_total",
    "counter",
    "US dollars that model calls cost, by how the call ended.",
    (*BASE, semconv.LABEL_OUTCOME),
)
COST_SAVED: Final = Series(
    "otel_callbacks_cost_saved_usd_total",
    "counter",
    "US dollars that were not spent because a cache answered.",
    (*BASE, semconv.LABEL_REASON),
)
OPERATIONS: Final = Series(
    "otel_callbacks_operations_total",
    "counter",
    "Operations that ended, by how they ended.",
    (*BASE, semconv.LABEL_OUTCOME, semconv.LABEL_ERROR_CLASS),
)
UNPRICED: Final = Series(
    "otel_callbacks_unpriced_tokens_total",
    "counter",
    "Tokens of models without a known price: they are missing in the cost.",
    (label(semconv.PROVIDER_NAME), label(semconv.REQUEST_MODEL)),
)
IN_FLIGHT: Final = Series(
    "otel_callbacks_operations_in_flight",
    "gauge",
    "Operations that have started and not ended.",
    (BASE[0], BASE[1], BASE[2]),
)
OPEN_RUNS: Final = Series(
    "otel_callbacks_open_runs",
    "gauge",
    "Runs in the table of open runs, chains too.",
)
RUNS_LOST: Final = Series(
    "otel_callbacks_runs_lost_total",
    "counter",
    "Runs whose end LangChain never reported, by how that was found out.",
    (semconv.LABEL_REASON,),
)
ERRORS: Final = Series(
    "otel_callbacks_errors_total",
    "counter",
    "Failures of the telemetry itself, by place; the app went on.",
    (semconv.LABEL_WHERE,),
)
USAGE_MISSING: Final = Series(
    "otel_callbacks_usage_missing_total",
    "counter",
    "Model calls that ended well without the provider saying their tokens.",
)
LABELS_OVERFLOWED: Final = Series(
    "otel_callbacks_labels_overflowed_total",
    "counter",
    "Values put into 'other' because a label had reached its limit of values.",
    (semconv.LABEL_LABEL,),
)
BUDGET_EXCEEDED: Final = Series(
    "otel_callbacks_budget_exceeded_total",
    "counter",
    "Model calls that a budget refused or warned of.",
    (semconv.LABEL_BUDGET, semconv.LABEL_ACTION),
)

# Series of spend: they get the labels that an app chooses.
SPEND: Final = (TOKENS, TOKEN_DETAILS, TOKENS_SAVED, COST, COST_SAVED, OPERATIONS)

SERIES: Final = (
    TOKEN_USAGE,
    OPERATION_DURATION,
    TIME_TO_FIRST_CHUNK,
    TIME_PER_OUTPUT_CHUNK,
    TOOL_DURATION,
    AGENT_DURATION,
    AGENT_CALLS,
    AGENT_TOOL_CALLS,
    WORKFLOW_DURATION,
    TOKENS,
    TOKEN_DETAILS,
    TOKENS_SAVED,
    COST,
    COST_SAVED,
    OPERATIONS,
    UNPRICED,
    IN_FLIGHT,
    OPEN_RUNS,
    RUNS_LOST,
    ERRORS,
    USAGE_MISSING,
    LABELS_OVERFLOWED,
    BUDGET_EXCEEDED,
)


# Name and unit by the series. Those of gen_ai are the conventions' own.
METRICS: Final = {
    TOKEN_USAGE.name: ("gen_ai.client.token.usage", "{token}"),
    OPERATION_DURATION.name: ("gen_ai.client.operation.duration", "s"),
    TIME_TO_FIRST_CHUNK.name: (
        "gen_ai.client.operation.time_to_first_chunk",
        "s",
    ),
    TIME_PER_OUTPUT_CHUNK.name: (
        "gen_ai.client.operation.time_per_output_chunk",
        "s",
    ),
    TOOL_DURATION.name: ("gen_ai.execute_tool.duration", "s"),
    AGENT_DURATION.name: ("gen_ai.invoke_agent.duration", "s"),
    AGENT_CALLS.name: (
        "gen_ai.invoke_agent.inference_calls",
        "{inference_call}",
    ),
    AGENT_TOOL_CALLS.name: ("gen_ai.invoke_agent.tool_calls", "{tool_call}"),
    WORKFLOW_DURATION.name: ("gen_ai.workflow.duration", "s"),
    TOKENS.name: ("otel_callbacks.tokens", "{token}"),
    TOKEN_DETAILS.name: ("otel_callbacks.token_details", "{token}"),
    TOKENS_SAVED.name: ("otel_callbacks.tokens_saved", "{token}"),
    # In braces: a unit USD would end the name in _USD.
    COST.name: ("otel_callbacks.cost_usd", "{USD}"),
    COST_SAVED.name: ("otel_callbacks.cost_saved_usd", "{USD}"),
    OPERATIONS.name: ("otel_callbacks.operations", "{operation}"),
    UNPRICED.name: ("otel_callbacks.unpriced_tokens", "{token}"),
    IN_FLIGHT.name: ("otel_callbacks.operations_in_flight", "{operation}"),
    OPEN_RUNS.name: ("otel_callbacks.open_runs", "{run}"),
    RUNS_LOST.name: ("otel_callbacks.runs_lost", "{run}"),
    ERRORS.name: ("otel_callbacks.errors", "{error}"),
    USAGE_MISSING.name: ("otel_callbacks.usage_missing", "{call}"),
    LABELS_OVERFLOWED.name: ("otel_callbacks.labels_overflowed", "{value}"),
    BUDGET_EXCEEDED.name: ("otel_callbacks.budget_exceeded", "{call}"),
}

# Attributes by their label; a label that is not here has one name for both.
ATTRIBUTES: Final = {
    label(name): name
    for name in (
        semconv.OPERATION_NAME,
        semconv.PROVIDER_NAME,
        semconv.REQUEST_MODEL,
        semconv.RESPONSE_MODEL,
        semconv.SERVER_ADDRESS,
        semconv.SERVER_PORT,
        semconv.ERROR_TYPE,
        semconv.TOKEN_TYPE,
        semconv.AGENT_NAME,
        semconv.TOOL_NAME,
        semconv.TOOL_TYPE,
        semconv.WORKFLOW_NAME,
    )
}

# Whole numbers in OTLP, where Prometheus knows doubles alone.
WHOLE: Final = frozenset(
    {
        TOKEN_USAGE.name,
        AGENT_CALLS.name,
        AGENT_TOOL_CALLS.name,
    }
)
