"""What a series is called in OTLP, so that Prometheus' translation gives its name.

Dots become underscores, the unit ``s`` becomes ``_seconds``, a counter ends in
``_total``, and a unit in braces leaves no trace:
https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

from __future__ import annotations

from typing import Final

from otel_callbacks import _semconv as semconv
from otel_callbacks.sinks import catalogue

# Name and unit by the series. Those of gen_ai are the conventions' own.
METRICS: Final = {
    catalogue.TOKEN_USAGE.name: ("gen_ai.client.token.usage", "{token}"),
    catalogue.OPERATION_DURATION.name: ("gen_ai.client.operation.duration", "s"),
    catalogue.TIME_TO_FIRST_CHUNK.name: (
        "gen_ai.client.operation.time_to_first_chunk",
        "s",
    ),
    catalogue.TIME_PER_OUTPUT_CHUNK.name: (
        "gen_ai.client.operation.time_per_output_chunk",
        "s",
    ),
    catalogue.TOOL_DURATION.name: ("gen_ai.execute_tool.duration", "s"),
    catalogue.AGENT_DURATION.name: ("gen_ai.invoke_agent.duration", "s"),
    catalogue.AGENT_CALLS.name: (
        "gen_ai.invoke_agent.inference_calls",
        "{inference_call}",
    ),
    catalogue.AGENT_TOOL_CALLS.name: ("gen_ai.invoke_agent.tool_calls", "{tool_call}"),
    catalogue.WORKFLOW_DURATION.name: ("gen_ai.workflow.duration", "s"),
    catalogue.TOKENS.name: ("otel_callbacks.tokens", "{token}"),
    catalogue.TOKEN_DETAILS.name: ("otel_callbacks.token_details", "{token}"),
    catalogue.TOKENS_SAVED.name: ("otel_callbacks.tokens_saved", "{token}"),
    # In braces: a unit USD would end the name in _USD.
    catalogue.COST.name: ("otel_callbacks.cost_usd", "{USD}"),
    catalogue.COST_SAVED.name: ("otel_callbacks.cost_saved_usd", "{USD}"),
    catalogue.OPERATIONS.name: ("otel_callbacks.operations", "{operation}"),
    catalogue.UNPRICED.name: ("otel_callbacks.unpriced_tokens", "{token}"),
    catalogue.IN_FLIGHT.name: ("otel_callbacks.operations_in_flight", "{operation}"),
    catalogue.OPEN_RUNS.name: ("otel_callbacks.open_runs", "{run}"),
    catalogue.RUNS_LOST.name: ("otel_callbacks.runs_lost", "{run}"),
    catalogue.ERRORS.name: ("otel_callbacks.errors", "{error}"),
    catalogue.USAGE_MISSING.name: ("otel_callbacks.usage_missing", "{call}"),
    catalogue.LABELS_OVERFLOWED.name: ("otel_callbacks.labels_overflowed", "{value}"),
    catalogue.BUDGET_EXCEEDED.name: ("otel_callbacks.budget_exceeded", "{call}"),
}

# Attributes by their label; a label that is not here has one name for both.
ATTRIBUTES: Final = {
    catalogue.label(name): name
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
        catalogue.TOKEN_USAGE.name,
        catalogue.AGENT_CALLS.name,
        catalogue.AGENT_TOOL_CALLS.name,
    }
)
