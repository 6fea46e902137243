"""The series that several dashboards read, named once."""

from __future__ import annotations

from typing import Final

from dashboards.promql import CALLS, SERVICE, SPANS_OF_SERVICE, select
from dashboards.targets import MODEL_SEARCH_URL

# One definition, for dashboards, rules, span metrics and docs/dashboards.md: ok and
# cache_hit are success, error is failure, cancelled and abandoned are given up.
SUCCEEDED: Final = 'outcome=~"ok|cache_hit"'
FAILED: Final = 'outcome="error"'
GIVEN_UP: Final = 'outcome=~"cancelled|abandoned"'
NOBODY_GOT: Final = 'outcome!~"ok|cache_hit"'
# The same where a series has error.type and no outcome.
FAILED_TYPE: Final = 'error_type!~"|cancelled|abandoned"'

OPERATIONS: Final = select("otel_callbacks_operations_total")
ERRORS: Final = select("otel_callbacks_operations_total", CALLS, FAILED)
ANSWERED: Final = select("otel_callbacks_operations_total", CALLS, SUCCEEDED)
LEFT: Final = select("otel_callbacks_operations_total", CALLS, GIVEN_UP)
FROM_CACHE: Final = select(
    "otel_callbacks_operations_total", CALLS, 'outcome="cache_hit"'
)
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
MISSING: Final = select("otel_callbacks_usage_missing_total", SERVICE)
UNPRICED: Final = select(
    "otel_callbacks_unpriced_tokens_total",
    SERVICE,
    'gen_ai_provider_name=~"$provider"',
    'gen_ai_request_model=~"$model"',
)
PARTLY_PRICED: Final = select(
    "otel_callbacks_partly_priced_operations_total",
    SERVICE,
    'gen_ai_provider_name=~"$provider"',
    'gen_ai_request_model=~"$model"',
)
BEYOND_BUDGET: Final = select("otel_callbacks_budget_exceeded_total", SERVICE)
IN_FLIGHT: Final = select("otel_callbacks_operations_in_flight")
DOCUMENTS: Final = select("otel_callbacks_documents_total", SERVICE)
OPEN_RUNS: Final = select("otel_callbacks_open_runs", SERVICE)

DURATION: Final = "gen_ai_client_operation_duration_seconds"
FIRST_CHUNK: Final = "gen_ai_client_operation_time_to_first_chunk_seconds"
NEXT_CHUNK: Final = "gen_ai_client_operation_time_per_output_chunk_seconds"
USAGE: Final = "gen_ai_client_token_usage"

MODEL_IN_JAEGER: Final = ("Traces of this model in Jaeger", MODEL_SEARCH_URL)
BY_MODEL: Final = "{{gen_ai_request_model}}"
ERROR_BOUNDS: Final = ((0.01, "yellow"), (0.05, "red"))
USD: Final = "currencyUSD"
TOKENS_A_SECOND: Final = "suffix: tokens/s"
CALLS_A_MINUTE: Final = "suffix: calls/min"
SPANS_A_SECOND: Final = "suffix: spans/s"

AGENT: Final = "gen_ai_invoke_agent_duration_seconds"
AGENT_CALLS: Final = "gen_ai_invoke_agent_inference_calls"
AGENT_TOOLS: Final = "gen_ai_invoke_agent_tool_calls"
# By the conventions of August 2026, and by the newest ones.
WORKFLOW: Final = (
    "gen_ai_workflow_duration_seconds",
    "gen_ai_invoke_workflow_duration_seconds",
)
TOOL: Final = "gen_ai_execute_tool_duration_seconds"
RETRIEVAL: Final = f'{SERVICE}, gen_ai_operation_name="retrieval"'

SPANS: Final = "traces_span_metrics_calls_total"
TRACED: Final = SPANS_OF_SERVICE
FAILED_SPAN: Final = 'status_code="STATUS_CODE_ERROR"'

ABOUT_PERCENTILES: Final = (
    "Estimated within a bucket: of native histograms within 5 %, of the spans' buckets "
    "at most a factor of 1.5 apart, of the conventions' a factor of 2."
)
