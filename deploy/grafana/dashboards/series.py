"""The series that several dashboards read, named once."""

from __future__ import annotations

from typing import Final

from dashboards.promql import CALLS, SERVICE, select
from dashboards.targets import MODEL_SEARCH_URL

OPERATIONS: Final = select("otel_callbacks_operations_total")
ERRORS: Final = select("otel_callbacks_operations_total", CALLS, 'outcome="error"')
ANSWERED: Final = select("otel_callbacks_operations_total", CALLS, 'outcome="ok"')
TOKENS: Final = select("otel_callbacks_tokens_total")
INPUT: Final = select("otel_callbacks_tokens_total", CALLS, 'gen_ai_token_type="input"')
OUTPUT: Final = select(
    "otel_callbacks_tokens_total", CALLS, 'gen_ai_token_type="output"'
)
DETAILS: Final = select("otel_callbacks_token_details_total")
CACHE_READ: Final = select(
    "otel_callbacks_token_details_total", CALLS, 'detail="cache_read"'
)
COST: Final = select("otel_callbacks_cost_usd_total")
SAVED: Final = select("otel_callbacks_cost_saved_usd_total")
SAVED_TOKENS: Final = select("otel_callbacks_tokens_saved_total")
BEYOND_BUDGET: Final = select("otel_callbacks_budget_exceeded_total", SERVICE)
IN_FLIGHT: Final = select("otel_callbacks_operations_in_flight")

DURATION: Final = "gen_ai_client_operation_duration_seconds"
FIRST_CHUNK: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"
NEXT_CHUNK: Final = "gen_ai_client_operation_time_per_output_chunk_seconds"
USAGE: Final = "gen_ai_client_token_usage"

MODEL_IN_JAEGER: Final = ("Traces of this model in Jaeger", MODEL_SEARCH_URL)
BY_MODEL: Final = "{{gen_ai_request_model}}"
ERROR_BOUNDS: Final = ((0.01, "yellow"), (0.05, "red"))

AGENT: Final = "gen_ai_invoke_agent_duration_seconds"
AGENT_CALLS: Final = "gen_ai_invoke_agent_inference_calls"
AGENT_TOOLS: Final = "gen_ai_invoke_agent_tool_calls"
WORKFLOW: Final = "gen_ai_workflow_duration_seconds"
TOOL: Final = "gen_ai_execute_tool_duration_seconds"
FAILED: Final = 'error_type!=""'
RETRIEVAL: Final = f'{SERVICE}, gen_ai_operation_name="retrieval"'

# Computed by the Collector from all spans, before it samples.
SPANS: Final = "traces_span_metrics_calls_total"
SPAN_TIME: Final = "traces_span_metrics_duration_milliseconds"
TRACED: Final = 'service_name="$trace_service"'


def count(histogram: str, *more: str) -> str:
    """Select the count of a histogram that has no base labels.

    Args:
        histogram: The series' name without ``_count``.
        more: Matchers beside the service's.

    Returns:
        The selector.
    """
    return select(f"{histogram}_count", SERVICE, *more)
