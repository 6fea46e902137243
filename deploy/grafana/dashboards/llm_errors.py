"""LLM calls, the row of errors: what fails, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dashboards.panels import NO_FAILURES, lines, steps
from dashboards.promql import CALLS, MODEL, increase, rate, select, share
from dashboards.series import (
    BY_MODEL,
    DURATION,
    ERROR_BOUNDS,
    ERRORS,
    MODEL_IN_JAEGER,
    OPERATIONS,
)
from dashboards.tables import Column, numbers
from dashboards.targets import over_time

if TYPE_CHECKING:
    from dashboards.frame import Row


def errors() -> Row:
    """Show what fails, and why.

    Returns:
        The row.
    """
    failed = select("otel_callbacks_operations_total", CALLS, 'error_class!=""')
    typed = select(f"{DURATION}_count", CALLS, 'error_type!=""')
    return (
        "Errors",
        [
            lines(
                "Failed calls by class",
                "Calls in a second. rate_limited: ask for a higher limit. "
                "context_length: cut the conversation. auth: look at the key.",
                over_time(rate(failed, "error_class"), "{{error_class}}"),
                unit="reqps",
                stacked=True,
                empty=NO_FAILURES,
            ),
            lines(
                "Error ratio by model",
                "Share of the calls with outcome error. A model that never failed "
                "stands at 0, one that always fails at 100 %.",
                over_time(
                    share(rate(ERRORS, MODEL), rate(OPERATIONS, MODEL)), BY_MODEL
                ),
                unit="percentunit",
                thresholds=steps(*ERROR_BOUNDS),
                link=MODEL_IN_JAEGER,
            ),
            numbers(
                "Failed calls by exception",
                "error.type: the name of the exception's class, as on the span.",
                Column("Calls", increase(typed, "error_type", MODEL)),
                empty=NO_FAILURES,
            ),
        ],
    )
