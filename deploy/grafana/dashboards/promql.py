"""PromQL as the dashboards write it: one function for each question.

Every counter is read through ``rate`` or ``increase``, never raw: a raw counter is
right only until the process that counts restarts
(https://prometheus.io/docs/prometheus/latest/querying/functions/#increase).
"""

from __future__ import annotations

from typing import Final

SERVICE: Final = 'job=~"$service"'
"""Matchers that every series of the handler has."""

# The operations that ask a model; tools and retrievals are counted as well, and
# have the dashboard of agents.
MODEL_OPERATIONS: Final = (
    'gen_ai_operation_name=~"chat|text_completion|generate_content|embeddings"'
)

CALLS: Final = (
    f'{SERVICE}, gen_ai_provider_name=~"$provider", gen_ai_request_model=~"$model", '
    f"{MODEL_OPERATIONS}"
)
"""Matchers of the series of model calls."""

MODEL: Final = "gen_ai_request_model"
PROVIDER: Final = "gen_ai_provider_name"

# Widths of a window: a step of a graph, and the whole time range of the dashboard.
_STEP: Final = "$__rate_interval"
_RANGE: Final = "$__range"


def _by(labels: tuple[str, ...]) -> str:
    """Write the ``by`` clause, with the blank after it."""
    return f"by ({', '.join(labels)}) " if labels else ""


def select(series: str, matchers: str = CALLS, *more: str) -> str:
    """Select a series.

    Args:
        series: The name in Prometheus' text.
        matchers: Label matchers, comma separated.
        more: Further matchers.

    Returns:
        The selector.
    """
    return f"{series}{{{', '.join(part for part in (matchers, *more) if part)}}}"


def rate(selector: str, *by: str) -> str:
    """Ask how many a second, for graphs.

    Args:
        selector: A counter, or the ``_count``, ``_sum`` or ``_bucket`` of a histogram.
        by: The labels to keep.

    Returns:
        The sum of the rates over ``$__rate_interval``.
    """
    return f"sum {_by(by)}(rate({selector}[{_STEP}]))"


def increase(selector: str, *by: str, window: str = _RANGE) -> str:
    """Ask how many in the time range of the dashboard, for numbers and tables.

    Args:
        selector: A counter, or the ``_count``, ``_sum`` or ``_bucket`` of a histogram.
        by: The labels to keep.
        window: Another window than the dashboard's range, such as ``1h``.

    Returns:
        The sum of the increases.
    """
    return f"sum {_by(by)}(increase({selector}[{window}]))"


def total(selector: str, *by: str) -> str:
    """Add up a gauge.

    Args:
        selector: A gauge.
        by: The labels to keep.

    Returns:
        The sum.
    """
    return f"sum {_by(by)}({selector})"


def ratio(part: str, whole: str) -> str:
    """Divide, and answer nothing (instead of NaN) where there was no traffic.

    Args:
        part: The part, with the same labels as the whole.
        whole: The whole.

    Returns:
        The quotient.
    """
    return f"{part} / ({whole} > 0)"


def share(part: str, whole: str) -> str:
    """Divide a subset by its whole, and answer 0 where the subset has no series.

    A model that never failed has no series of failures, and one that always failed
    none of successes: without the ``or`` both vanish from the panel.

    Args:
        part: The part, with the same labels as the whole.
        whole: The whole.

    Returns:
        The share, 0 to 1.
    """
    return f"({part} or {whole} * 0) / ({whole} > 0)"


def quantile(q: float, histogram: str, matchers: str = CALLS, *by: str) -> str:
    """Estimate a quantile of a histogram over ``$__rate_interval``.

    Args:
        q: The quantile, 0 to 1.
        histogram: The series' name without ``_bucket``.
        matchers: Label matchers.
        by: The labels to keep beside ``le``.

    Returns:
        The quantile in the unit of the histogram.
    """
    buckets = rate(select(f"{histogram}_bucket", matchers), "le", *by)
    return f"histogram_quantile({q}, {buckets})"


def quantile_in_range(q: float, histogram: str, matchers: str = CALLS, *by: str) -> str:
    """Estimate a quantile over the time range of the dashboard.

    Args:
        q: The quantile, 0 to 1.
        histogram: The series' name without ``_bucket``.
        matchers: Label matchers.
        by: The labels to keep beside ``le``.

    Returns:
        The quantile in the unit of the histogram.
    """
    buckets = increase(select(f"{histogram}_bucket", matchers), "le", *by)
    return f"histogram_quantile({q}, {buckets})"
