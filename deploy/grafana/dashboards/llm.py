"""LLM calls: what runs, how fast, how often it fails, what it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.frame import assemble, choice
from dashboards.llm_errors import errors
from dashboards.llm_latency import latency
from dashboards.llm_tokens import tokens
from dashboards.llm_traffic import traffic
from dashboards.panels import number, steps
from dashboards.promql import increase, quantile_in_range, ratio, select, share, total
from dashboards.series import (
    COST,
    DURATION,
    ERROR_BOUNDS,
    ERRORS,
    FIRST_CHUNK,
    IN_FLIGHT,
    OPERATIONS,
    OUTPUT,
    SAVED,
    TOKENS,
)
from dashboards.tables import traces
from dashboards.targets import TraceSearch

if TYPE_CHECKING:
    from grafana_foundation_sdk.models.dashboard import Dashboard

    from dashboards.frame import Row


def _headline() -> Row:
    """Twelve numbers for the time range."""
    calls, cost = increase(OPERATIONS), increase(COST)
    used = increase(TOKENS)
    return (
        "Headline",
        [
            number("Calls", "Calls that ended, whatever their outcome.", calls),
            number(
                "Error ratio",
                "Calls with outcome error, as a share of all that ended.",
                share(increase(ERRORS), calls),
                unit="percentunit",
                thresholds=steps(*ERROR_BOUNDS),
            ),
            number(
                "Latency, p95",
                "95 of 100 calls took at most this long.",
                quantile_in_range(0.95, DURATION),
                unit="s",
            ),
            number(
                "First chunk, p95",
                "Of streams: 95 of 100 showed their first chunk within this time.",
                quantile_in_range(0.95, FIRST_CHUNK),
                unit="s",
                empty="No streams",
            ),
            number(
                "In flight",
                "Calls that have started and not ended, right now.",
                total(IN_FLIGHT),
                empty="0",
            ),
            number(
                "Most in flight",
                "The most calls at once that a scrape saw in the time range.",
                f"max_over_time({total(IN_FLIGHT)}[$__range:])",
                empty="0",
            ),
            number("Tokens", "Input and output tokens, all outcomes.", used),
            number("Tokens per call", "Tokens divided by calls.", ratio(used, calls)),
            number(
                "Output tokens per second",
                "Output tokens divided by the seconds that the calls took.",
                ratio(increase(OUTPUT), increase(select(f"{DURATION}_sum"))),
            ),
            number(
                "Cost",
                "US dollars by the price list of the day of each call. Calls of "
                "models without a price are not in it: see Spend.",
                cost,
                unit="currencyUSD",
                empty="No priced calls",
            ),
            number(
                "Cost per call",
                "Cost divided by calls.",
                ratio(cost, calls),
                unit="currencyUSD",
                empty="No priced calls",
            ),
            number(
                "Saved by caches",
                "What answers from LangChain's own cache would have cost.",
                increase(SAVED),
                unit="currencyUSD",
                empty="No cache hits",
            ),
        ],
    )


def _traces() -> Row:
    """Single requests to look at."""
    return (
        "Traces",
        [
            traces(
                "Slow traces",
                "The newest traces that took longer than the variable Slow, slowest "
                "first. The id opens the trace in Jaeger.",
                TraceSearch(min_duration="$slow"),
            ),
            traces(
                "Failed traces",
                "The newest traces with a span whose status is error. The id opens "
                "the trace in Jaeger.",
                TraceSearch(tags="error=true"),
            ),
        ],
    )


def build() -> Dashboard:
    """Build the dashboard of LLM calls.

    Returns:
        The dashboard with uid ``otel-callbacks-llm``.
    """
    return assemble(
        "otel-callbacks-llm",
        "LLM calls",
        "Every model call of a LangChain application: traffic, tokens, cost, "
        "latency, errors, and the traces behind them.",
        [_headline(), traffic(), latency(), errors(), tokens(), _traces()],
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
