"""Every span, attribute, metric, unit, bucket and enum string that we emit.

Names without a comment are OpenTelemetry's GenAI semantic conventions, registry
of August 2026 (https://github.com/open-telemetry/semantic-conventions-genai).
What the conventions do not have is ours and starts with ``otel_callbacks``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# Attributes of requests.
OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_TOP_K: Final = "gen_ai.request.top_k"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_STOP_SEQUENCES: Final = "gen_ai.request.stop_sequences"
REQUEST_FREQUENCY_PENALTY: Final = "gen_ai.request.frequency_penalty"
REQUEST_PRESENCE_PENALTY: Final = "gen_ai.request.presence_penalty"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_CHOICE_COUNT: Final = "gen_ai.request.choice.count"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_REASONING_LEVEL: Final = "gen_ai.request.reasoning.level"
REQUEST_ENCODING_FORMATS: Final = "gen_ai.request.encoding_formats"
EMBEDDINGS_DIMENSION_COUNT: Final = "gen_ai.embeddings.dimension.count"
REQUEST_PREVIOUS_RESPONSE_ID: Final = "gen_ai.request.previous_response.id"
OUTPUT_TYPE: Final = "gen_ai.output.type"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
OPENAI_API_TYPE: Final = "openai.api.type"
OPENAI_REQUEST_SERVICE_TIER: Final = "openai.request.service_tier"

# Attributes of responses.
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
OPENAI_RESPONSE_SERVICE_TIER: Final = "openai.response.service_tier"
OPENAI_RESPONSE_SYSTEM_FINGERPRINT: Final = "openai.response.system_fingerprint"

# Attributes of tools, agents and retrievals.
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_DESCRIPTION: Final = "gen_ai.agent.description"
AGENT_VERSION: Final = "gen_ai.agent.version"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_DESCRIPTION: Final = "gen_ai.tool.description"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
DATA_SOURCE_ID: Final = "gen_ai.data_source.id"
RETRIEVAL_TOP_K: Final = "gen_ai.retrieval.top_k"
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 -- a label's name

# Content. Off by default; JSON in the conventions' schemas.
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
TOOL_CALL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
TOOL_CALL_RESULT: Final = "gen_ai.tool.call.result"
RETRIEVAL_DOCUMENTS: Final = "gen_ai.retrieval.documents"
RETRIEVAL_QUERY_TEXT: Final = "gen_ai.retrieval.query.text"

# Events: log records with an event name.
DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
EXCEPTION_EVENT: Final = "gen_ai.client.operation.exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"

# General attributes: https://opentelemetry.io/docs/specs/semconv/general/attributes/
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
USER_ID: Final = "user.id"
SESSION_ID: Final = "session.id"
IDS: Final = (CONVERSATION_ID, SESSION_ID, USER_ID)
"""Ids of the conversation, session and user of a run."""

# Prefixes of the conventions' registry; other names are off with
# OTEL_CALLBACKS_EXTENSIONS=false.
CONVENTION_PREFIXES: Final = (
    "gen_ai.",
    "openai.",
    "server.",
    "error.",
    "aws.bedrock.",
    "azure.",
)

# Ours, on spans. Off with OTEL_CALLBACKS_EXTENSIONS=false.
OURS: Final = "otel_callbacks."
OUTCOME: Final = "otel_callbacks.outcome"
ERROR_CLASS: Final = "otel_callbacks.error_class"
LOST_REASON: Final = "otel_callbacks.lost_reason"
SAVED_INPUT_TOKENS: Final = "otel_callbacks.saved.input_tokens"
SAVED_OUTPUT_TOKENS: Final = "otel_callbacks.saved.output_tokens"
COST_USD: Final = "otel_callbacks.cost_usd"
SAVED_COST_USD: Final = "otel_callbacks.saved.cost_usd"
CHUNK_COUNT: Final = "otel_callbacks.chunk_count"
CHUNK_RATE: Final = "otel_callbacks.chunks_per_second"
LONGEST_GAP: Final = "otel_callbacks.longest_chunk_gap"
HTTP_STATUS: Final = "otel_callbacks.http.status_code"
RETRY_AFTER: Final = "otel_callbacks.retry_after"
REQUEST_ID: Final = "otel_callbacks.provider_request_id"
INTERRUPTED: Final = "otel_callbacks.interrupted"
# Followed by the attribute that was cut, as in ``...length.input.messages``.
CONTENT_LENGTH: Final = "otel_callbacks.content.length"
CONTENT_DROPPED: Final = "otel_callbacks.content.dropped"
DOCUMENT_COUNT: Final = "otel_callbacks.document_count"
RUN_NAME: Final = "otel_callbacks.run_name"
RUN_TAGS: Final = "otel_callbacks.tags"
LANGGRAPH_NODE: Final = "otel_callbacks.langgraph.node"
LANGGRAPH_STEP: Final = "otel_callbacks.langgraph.step"
ROLLUP_CALLS: Final = "otel_callbacks.calls"
ROLLUP_TOOL_CALLS: Final = "otel_callbacks.tool_calls"
ROLLUP_INPUT_TOKENS: Final = "otel_callbacks.input_tokens"
ROLLUP_OUTPUT_TOKENS: Final = "otel_callbacks.output_tokens"
ROLLUP_UNPRICED_TOKENS: Final = "otel_callbacks.unpriced_tokens"
PARTLY_PRICED: Final = "otel_callbacks.partly_priced"
BUDGET: Final = "otel_callbacks.budget"
BUDGET_LIMIT: Final = "otel_callbacks.budget_limit"
BUDGET_SPENT: Final = "otel_callbacks.budget_spent"
BUDGET_RESERVED: Final = "otel_callbacks.budget_reserved"
BUDGET_ASKED: Final = "otel_callbacks.budget_asked"

# gen_ai.operation.name
CHAT: Final = "chat"
TEXT_COMPLETION: Final = "text_completion"
EXECUTE_TOOL: Final = "execute_tool"
RETRIEVAL: Final = "retrieval"
EMBEDDINGS: Final = "embeddings"
INVOKE_AGENT: Final = "invoke_agent"
INVOKE_WORKFLOW: Final = "invoke_workflow"
MODEL_OPERATIONS: Final = frozenset({CHAT, TEXT_COMPLETION})
BILLED_OPERATIONS: Final = MODEL_OPERATIONS | {EMBEDDINGS}
"""Operations that a provider bills."""
CLIENT_OPERATIONS: Final = BILLED_OPERATIONS | {RETRIEVAL}
"""Operations that call a service: their spans have the kind CLIENT."""

# gen_ai.tool.type
TOOL_FUNCTION: Final = "function"

# gen_ai.token.type
INPUT: Final = "input"
OUTPUT: Final = "output"

# error_class: our closed set, empty on success.
RATE_LIMITED: Final = "rate_limited"
TIMEOUT: Final = "timeout"
CONTEXT_LENGTH: Final = "context_length"
CONTENT_FILTER: Final = "content_filter"
AUTH: Final = "auth"
BAD_REQUEST: Final = "bad_request"
SERVER_ERROR: Final = "server_error"
CONNECTION: Final = "connection"
CANCELLED: Final = "cancelled"
ABANDONED: Final = "abandoned"
OTHER: Final = "other"
ERROR_CLASSES: Final = (
    RATE_LIMITED,
    TIMEOUT,
    CONTEXT_LENGTH,
    CONTENT_FILTER,
    AUTH,
    BAD_REQUEST,
    SERVER_ERROR,
    CONNECTION,
    CANCELLED,
    ABANDONED,
    OTHER,
)

# error.type beyond its limit of distinct values:
# https://opentelemetry.io/docs/specs/semconv/attributes-registry/error/
ERROR_TYPE_OTHER: Final = "_OTHER"

# Labels that are ours, as Prometheus has them; in OTLP each begins with `OURS`.
LABEL_OUTCOME: Final = "outcome"
LABEL_ERROR_CLASS: Final = "error_class"
LABEL_DETAIL: Final = "detail"
LABEL_REASON: Final = "reason"
LABEL_WHERE: Final = "where"
LABEL_LABEL: Final = "label"
LABEL_BUDGET: Final = "budget"
LABEL_ACTION: Final = "action"
OUR_LABELS: Final = frozenset(
    {name for key, name in (*globals().items(),) if key.startswith("LABEL_")}
)


SCHEMA_URL: Final = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev"
"""Both releases below share it: the registry is in development, with one manifest.
https://opentelemetry.io/docs/specs/otel/schemas/"""


class Registry(NamedTuple):
    """The names that differ between two releases of the conventions."""

    workflow_duration: str
    """The metric of a workflow's duration."""
    cache_write: str
    """The span attribute of the tokens written to a provider's cache."""
    modalities: Mapping[str, str]
    """A detail of the usage -> the span attribute of its modality."""


REGISTRIES: Final[Mapping[str, Registry]] = {
    "2026-08": Registry(
        "gen_ai.workflow.duration",
        "gen_ai.usage.cache_creation.input_tokens",
        {},
    ),
    "latest": Registry(
        "gen_ai.invoke_workflow.duration",
        "gen_ai.usage.cache_write.input_tokens",
        {
            "text_input": "gen_ai.usage.text.input_tokens",
            "image_input": "gen_ai.usage.image.input_tokens",
            "audio_input": "gen_ai.usage.audio.input_tokens",
            "text_output": "gen_ai.usage.text.output_tokens",
            "image_output": "gen_ai.usage.image.output_tokens",
            "audio_output": "gen_ai.usage.audio.output_tokens",
        },
    ),
}
DEFAULT_REGISTRY: Final = "2026-08"

CALL_LABELS: Final = (
    OPERATION_NAME,
    PROVIDER_NAME,
    REQUEST_MODEL,
    RESPONSE_MODEL,
    SERVER_ADDRESS,
    SERVER_PORT,
)
"""The labels of every series of calls."""
