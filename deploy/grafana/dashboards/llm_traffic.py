"""LLM calls, the rows of outcomes and callers: what fails, and who asks what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.frame import Row
from dashboards.panels import (
    NO_FAILURES,
    NOT_BY_LABEL,
    OUTCOME_COLOURS,
    lines,
    steps,
)
from dashboards.promql import (
    CALLS,
    MODEL,
    MODEL_OPERATIONS,
    NOT_BY_OPERATION,
    PROVIDER,
    RANGE,
    SPANS_OF_CALLS,
    SPANS_OF_SERVICE,
    counted,
    increase,
    largest,
    per_minute,
    quantile,
    rate,
    ratio,
    select,
    share,
    top,
    total,
    whole,
)
from dashboards.series import (
    ANSWERED,
    BY_MODEL,
    CALLS_A_MINUTE,
    COST,
    DURATION,
    ERROR_BOUNDS,
    ERRORS,
    FAILED_TYPE,
    FIRST_CHUNK,
    IN_FLIGHT,
    LEFT,
    MODEL_IN_JAEGER,
    OPERATIONS,
    SPANS,
    TOKENS,
    USD,
)
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.table import Panel


def errors() -> Row:
    """Show how calls end, and why they fail.

    Returns:
        The row.
    """
    return Row(
        "Outcomes and errors",
        [
            lines(
                "Calls by outcome",
                "Calls that ended. cancelled: the caller gave up. abandoned: nobody "
                "read the answer to its end. cache_hit: answered without a call of "
                "the provider.",
                over_time(per_minute(OPERATIONS, "outcome"), "{{outcome}}"),
                unit=CALLS_A_MINUTE,
                stacked=True,
                colours=OUTCOME_COLOURS,
            ),
            lines(
                "Failed calls by class",
                "Calls with outcome error. rate_limited: ask for a higher limit. "
                "context_length: cut the conversation. auth: look at the key.",
                over_time(per_minute(ERRORS, "error_class"), "{{error_class}}"),
                unit=CALLS_A_MINUTE,
                stacked=True,
                empty=NO_FAILURES,
            ),
            lines(
                "Failed by model",
                "Share of the calls with outcome error, the ten busiest models. A "
                "model that never failed stands at 0, one that always fails at 100 %.",
                over_time(
                    top(
                        share(rate(ERRORS, MODEL), rate(OPERATIONS, MODEL)),
                        OPERATIONS,
                        MODEL,
                    ),
                    BY_MODEL,
                ),
                unit="percentunit",
                thresholds=steps(*ERROR_BOUNDS),
                link=MODEL_IN_JAEGER,
            ),
            _exceptions(),
        ],
    )


def _exceptions() -> Panel:
    """Name the exceptions behind the failed calls."""
    failed = counted(
        DURATION, f"{CALLS}, {FAILED_TYPE}", "error_type", MODEL, window=RANGE
    )
    return numbers(
        "Failed calls by exception",
        "error.type: the name of the exception's class, as on the span.",
        Column("Calls", largest(whole(failed))),
        empty=f"None, {NOT_BY_LABEL}",
        width=12,
    )


def callers() -> Row:
    """Show who asks what, and how much of it at once.

    Returns:
        The row.
    """
    calls = increase(OPERATIONS, MODEL, PROVIDER)
    client = (SPANS_OF_SERVICE, NOT_BY_OPERATION, 'span_kind="SPAN_KIND_CLIENT"')
    requests = select(SPANS, *client, 'span_name="POST"')
    asked = select(SPANS, *client, f'gen_ai_operation_name=~"{MODEL_OPERATIONS}"')
    return Row(
        "Models and callers",
        [
            numbers(
                "Models",
                "One row for each model and provider, the 20 busiest. Succeeded, "
                "failed and given up make 100 %.",
                Column("Calls", largest(whole(calls))),
                Column(
                    "Succeeded",
                    share(increase(ANSWERED, MODEL, PROVIDER), calls),
                    "percentunit",
                ),
                Column(
                    "Failed",
                    share(increase(ERRORS, MODEL, PROVIDER), calls),
                    "percentunit",
                ),
                Column(
                    "Given up",
                    share(increase(LEFT, MODEL, PROVIDER), calls),
                    "percentunit",
                ),
                Column("Tokens", whole(increase(TOKENS, MODEL, PROVIDER))),
                Column("Cost", increase(COST, MODEL, PROVIDER), USD),
                Column(
                    "Latency, p95",
                    quantile(
                        0.95,
                        DURATION,
                        CALLS,
                        MODEL,
                        PROVIDER,
                        window=RANGE,
                        spans=SPANS_OF_CALLS,
                    ),
                    "s",
                ),
                Column(
                    "First chunk, p95",
                    quantile(0.95, FIRST_CHUNK, CALLS, MODEL, PROVIDER, window=RANGE),
                    "s",
                ),
                height=6,
            ),
            lines(
                "Calls by model",
                "Calls that ended, the ten busiest models. A click leads to their "
                "traces.",
                over_time(
                    top(per_minute(OPERATIONS, MODEL), OPERATIONS, MODEL), BY_MODEL
                ),
                unit=CALLS_A_MINUTE,
                stacked=True,
                link=MODEL_IN_JAEGER,
            ),
            lines(
                "In flight by model",
                "Calls that have started and not ended, the ten busiest models. A "
                "line that only rises is a provider that hangs.",
                over_time(top(total(IN_FLIGHT, MODEL), OPERATIONS, MODEL), BY_MODEL),
                unit="suffix: calls",
                stacked=True,
                empty=f"No calls, {NOT_BY_LABEL}",
            ),
            lines(
                "Calls by operation and provider",
                "Chat, text completion, embeddings, and who answers them.",
                over_time(
                    per_minute(OPERATIONS, "gen_ai_operation_name", PROVIDER),
                    "{{gen_ai_operation_name}}, {{gen_ai_provider_name}}",
                ),
                unit=CALLS_A_MINUTE,
            ),
            lines(
                "HTTP requests for each model call",
                "From spans, where the HTTP client is instrumented. More than 1: the "
                "provider's client tries again; less: answers from a cache. Of all "
                "models and operations: an HTTP span does not say whose it is.",
                over_time(ratio(rate(requests), rate(asked)), "requests"),
                empty="No HTTP spans, or a model or label is chosen",
            ),
            numbers(
                "Request model and response model",
                "A gateway that falls back to another model shows here.",
                Column(
                    "Calls",
                    largest(
                        whole(increase(OPERATIONS, MODEL, "gen_ai_response_model"))
                    ),
                ),
                width=12,
                height=6,
            ),
            numbers(
                "Servers",
                "Where the calls go: an address with its port.",
                Column(
                    "Calls",
                    largest(
                        whole(increase(OPERATIONS, "server_address", "server_port"))
                    ),
                ),
                width=12,
                height=6,
            ),
        ],
    )
