"""LLM calls: what runs, how fast, how often it fails, what it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.frame import Row, assemble, choice
from dashboards.llm_latency import latency, latency_details
from dashboards.llm_tokens import tokens
from dashboards.llm_traffic import callers, errors
from dashboards.panels import NOT_BY_LABEL, number, steps
from dashboards.promql import (
    CALLS,
    RANGE,
    SPANS_OF_CALLS,
    increase,
    quantile,
    ratio,
    share,
    total,
    whole,
)
from dashboards.series import (
    ABOUT_PERCENTILES,
    ANSWERED,
    COST,
    DURATION,
    ERROR_BOUNDS,
    ERRORS,
    FIRST_CHUNK,
    FROM_CACHE,
    IN_FLIGHT,
    LEFT,
    OPERATIONS,
    SAVED,
    TOKENS,
    USD,
)
from dashboards.tables import traces
from dashboards.targets import TraceSearch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana_foundation_sdk.models.dashboard import Dashboard


def _headline() -> Row:
    """Twelve numbers for the time range: does it work, how fast, what does it use."""
    calls, cost = increase(OPERATIONS), increase(COST)
    used = increase(TOKENS)
    return Row(
        "Headline",
        [
            number("Calls", "Model calls that ended, however.", whole(calls)),
            number(
                "Failed",
                "Calls with outcome error, as a share of all that ended. Calls that "
                "their caller cancelled or abandoned are not failed.",
                share(increase(ERRORS), calls),
                unit="percentunit",
                thresholds=steps(*ERROR_BOUNDS),
            ),
            number(
                "Succeeded",
                "Calls with outcome ok or cache_hit, as a share of all that ended.",
                share(increase(ANSWERED), calls),
                unit="percentunit",
            ),
            number(
                "Given up",
                "Calls that their caller cancelled or abandoned, as a share of all "
                "that ended.",
                share(increase(LEFT), calls),
                unit="percentunit",
            ),
            number(
                "Latency, p95",
                f"95 of 100 calls took at most this long. {ABOUT_PERCENTILES}",
                quantile(0.95, DURATION, CALLS, window=RANGE, spans=SPANS_OF_CALLS),
                unit="s",
                empty=f"No calls, {NOT_BY_LABEL}",
            ),
            number(
                "First chunk, p95",
                "Of streams: 95 of 100 showed their first chunk within this time. "
                "Estimated within a bucket, a factor of 2 wide.",
                quantile(0.95, FIRST_CHUNK, CALLS, window=RANGE),
                unit="s",
                empty=f"No streams, {NOT_BY_LABEL}",
            ),
            number(
                "In flight",
                "Calls that have started and not ended, right now.",
                total(IN_FLIGHT),
                empty="Not known",
            ),
            number(
                "Most in flight",
                "The most calls at once that a scrape saw in the time range.",
                f"max_over_time({total(IN_FLIGHT)}[{RANGE}:])",
                empty="Not known",
            ),
            number("Tokens", "Input and output tokens, all outcomes.", whole(used)),
            number(
                "From LangChain's cache",
                "Calls that LangChain's own cache answered, as a share of all.",
                share(increase(FROM_CACHE), calls),
                unit="percentunit",
            ),
            number(
                "Cost",
                "US dollars by the price list of the day of each call. Calls of "
                "models without a price are not in it: see Spend.",
                cost,
                unit=USD,
                empty="No priced calls",
            ),
            number(
                "Saved by caches",
                "What answers from LangChain's own cache would have cost.",
                increase(SAVED),
                unit=USD,
                empty="No cache hits",
            ),
        ],
    )


def _economy() -> Row:
    """What one call takes."""
    calls, cost = increase(OPERATIONS), increase(COST)
    return Row(
        "One call",
        [
            number(
                "Tokens per call",
                "Tokens divided by calls.",
                ratio(increase(TOKENS), calls),
            ),
            number(
                "Cost per call",
                "Cost divided by calls.",
                ratio(cost, calls),
                unit=USD,
                empty="No priced calls",
            ),
        ],
        is_collapsed=True,
    )


def _traces() -> Row:
    """Single requests to look at."""
    return Row(
        "Traces of $trace_service",
        [
            traces(
                "Slow traces of $trace_service",
                "The newest traces that took longer than the variable Slow, slowest "
                "first. The id opens the trace in Jaeger.",
                TraceSearch(min_duration="$slow"),
            ),
            traces(
                "Failed traces of $trace_service",
                "The newest traces with a span whose status is error; of spans, "
                "cancelled ones as well. The id opens the trace in Jaeger.",
                TraceSearch(tags="error=true"),
            ),
        ],
        is_collapsed=True,
    )


def build(more: Sequence[Row] = ()) -> Dashboard:
    """Build the dashboard of LLM calls.

    Args:
        more: Rows after the usual ones.

    Returns:
        The dashboard with uid ``otel-callbacks-llm``.
    """
    return assemble(
        "otel-callbacks-llm",
        "LLM calls",
        "Every model call of a LangChain application: does it work, how fast, what "
        "does it use, and the traces behind it.",
        [
            _headline(),
            errors(),
            latency(),
            callers(),
            latency_details(),
            tokens(),
            _economy(),
            _traces(),
            *more,
        ],
        more=[
            choice(
                "slow",
                "Slow",
                "Traces that took longer than this are listed as slow.",
                "2s",
                "500ms",
                "1s",
                "5s",
                "10s",
                "30s",
                "60s",
            )
        ],
    )
