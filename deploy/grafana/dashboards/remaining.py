"""A panel for each series that no other panel reads: a new series is shown at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dashboards.frame import Row
from dashboards.panels import lines
from dashboards.promql import (
    MODEL,
    PROVIDER,
    SERVICE,
    per_minute,
    quantile,
    select,
    total,
)
from dashboards.targets import over_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dashboards.frame import Panel
    from otel_callbacks._metrics.series import Series

_VARIABLES = {PROVIDER: "$provider", MODEL: "$model"}


def not_read(series: Iterable[Series], boards: str) -> list[Series]:
    """Find the series that no board reads.

    Args:
        series: All series.
        boards: The text of the boards.

    Returns:
        Those whose name is nowhere in the text.
    """
    read = set(re.findall(r"\w+?(?=(?:_bucket|_sum|_count)?\b)", boards))
    return [one for one in series if one.name not in read]


def _panel(series: Series) -> Panel:
    """Draw a series by all its labels: a gauge as it is, a histogram's p95."""
    matchers = ", ".join(
        [
            SERVICE,
            *(f'{n}=~"{v}"' for n, v in _VARIABLES.items() if n in series.labels),
        ]
    )
    selector = select(series.name, matchers)
    expression, unit = {
        "counter": (per_minute(selector, *series.labels), "/min"),
        "gauge": (total(selector, *series.labels), ""),
        "histogram": (quantile(0.95, series.name, matchers, *series.labels), ""),
    }[series.kind]
    things = series.metric_unit.strip("{}")
    legend = " ".join(f"{{{{{label}}}}}" for label in series.labels)
    return lines(
        series.metric + (", p95" if series.kind == "histogram" else ""),
        series.help,
        over_time(
            expression, legend or series.metric, exemplars=series.kind == "histogram"
        ),
        unit="s" if things == "s" else f"suffix: {things}{unit}",
    )


def rows(series: Iterable[Series]) -> list[Row]:
    """Show series that have no panel of their own.

    Args:
        series: The series, as `not_read` finds them.

    Returns:
        One closed row, none without series.
    """
    panels = [_panel(one) for one in series]
    return [Row("More series", panels, is_collapsed=True)] if panels else []
