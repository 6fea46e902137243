"""Panels: one function for each kind, so that all dashboards look alike.

Every panel has a title, a description and a text for "no data": the three things a
reader needs when a number surprises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    stat,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.targets import METRICS, PrometheusQuery, lettered, now, over_time

if TYPE_CHECKING:
    from collections.abc import Mapping

# One colour for one outcome on every dashboard.
OUTCOME_COLOURS: Final = {
    "ok": "green",
    "cache_hit": "blue",
    "error": "red",
    "cancelled": "orange",
    "abandoned": "yellow",
}

NO_CALLS: Final = "No calls in this time range"
NO_FAILURES: Final = "None in this time range"
# Of series without the labels that an app chooses: empty as soon as one is chosen.
NOT_BY_LABEL: Final = "or a label is chosen"

# Grafana lays panels on a grid of 24 columns.
_STAT_WIDTH: Final = 4
_STAT_HEIGHT: Final = 4
HEIGHT: Final = 8


def steps(
    *bounds: tuple[float, str], below: str = "green"
) -> dashboard.ThresholdsConfig:
    """Colour values by bounds.

    Args:
        bounds: From which value on which colour.
        below: The colour of what is below the first.

    Returns:
        The thresholds.
    """
    thresholds = [model.Threshold(color=below)]
    thresholds += [model.Threshold(value=value, color=name) for value, name in bounds]
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps(thresholds)
    )


def number(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "short",
    thresholds: dashboard.ThresholdsConfig | None = None,
    empty: str = NO_CALLS,
    width: int = _STAT_WIDTH,
) -> stat.Panel:
    """Show one number for the time range.

    Args:
        title: What it is.
        description: How it is computed, and what to do about it.
        expression: PromQL with one result.
        unit: Grafana's name of the unit.
        thresholds: Colours by value.
        empty: What stands there when there is no data.
        width: Columns of 24.

    Returns:
        The panel.
    """
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .unit(unit)
        .no_value(empty)
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(thresholds or steps())
        .height(_STAT_HEIGHT)
        .span(width)
        .with_target(now(expression).ref_id("A"))
    )


def lines(
    title: str,
    description: str,
    *queries: PrometheusQuery,
    unit: str = "short",
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    thresholds: dashboard.ThresholdsConfig | None = None,
    empty: str = NO_CALLS,
    link: tuple[str, str] | None = None,
    width: int = 12,
) -> timeseries.Panel:
    """Draw values over time.

    Args:
        title: What it is.
        description: How it is computed, and what to do about it.
        queries: What is drawn.
        unit: Grafana's name of the unit.
        stacked: Whether the values add up to a whole.
        colours: Colours by the legend's text.
        thresholds: Dashed lines across the graph.
        empty: What stands there when there is no data.
        link: Title and address that a click on a point offers.
        width: Columns of 24.

    Returns:
        The panel.
    """
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .legend(_legend())
        .tooltip(
            common.VizTooltipOptions()
            .mode(looks.TooltipDisplayMode.MULTI)
            .sort(looks.SortOrder.DESCENDING)
        )
        .line_width(1)
        .fill_opacity(40 if stacked else 10)
        .show_points(looks.VisibilityMode.AUTO)
        .height(HEIGHT)
        .span(width)
        .targets([*lettered(queries)])
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if thresholds is not None:
        dashed = looks.GraphTresholdsStyleMode.DASHED
        style = common.GraphThresholdsStyleConfig().mode(dashed)
        panel.thresholds(thresholds).thresholds_style(style)
    if link is not None:
        panel.data_links([new_tab(*link)])
    for legend, colour in (colours or {}).items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        override = model.DynamicConfigValue(id_val="color", value=fixed)
        panel.override_by_name(legend, [override])
    return panel


def buckets(
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "s",
    empty: str = NO_CALLS,
    width: int = 12,
) -> heatmap.Panel:
    """Draw a histogram over time, with the exemplars on it.

    Args:
        title: What it is.
        description: How to read it.
        expression: PromQL with one series for each ``le``.
        unit: Grafana's name of the unit of the buckets.
        empty: What stands there when there is no data.
        width: Columns of 24.

    Returns:
        The panel.
    """
    cells = over_time(expression, "{{le}}", exemplars=True)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .no_value(empty)
        .calculate(calculate=False)
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            .scheme("Turbo")
            .steps(64)
        )
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .exemplars_color("rgba(255,255,255,0.8)")
        .show_tooltip()
        .show_legend()
        .height(HEIGHT)
        .span(width)
        .with_target(cells.format(PromQueryFormat.HEATMAP).ref_id("A"))
    )


def bars(
    title: str,
    description: str,
    query: PrometheusQuery,
    *,
    unit: str = "short",
    empty: str = NO_CALLS,
    width: int = 12,
) -> bargauge.Panel:
    """Compare parts of the time range with each other.

    Args:
        title: What it is.
        description: How it is computed.
        query: One result for each bar, named by its legend.
        unit: Grafana's name of the unit.
        empty: What stands there when there is no data.
        width: Columns of 24.

    Returns:
        The panel.
    """
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .unit(unit)
        .min(0)
        .no_value(empty)
        .orientation(looks.VizOrientation.HORIZONTAL)
        .display_mode(looks.BarGaugeDisplayMode.GRADIENT)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(steps())
        .height(HEIGHT)
        .span(width)
        .with_target(query.ref_id("A"))
    )


def new_tab(title: str, url: str) -> dashboard.DashboardLink:
    """Open an address in a new tab.

    Args:
        title: The text of the link.
        url: The address, with Grafana's variables in it.

    Returns:
        The link.
    """
    return dashboard.DashboardLink(title).url(url).target_blank(target_blank=True)


def _legend() -> common.VizLegendOptions:
    """Show mean, highest and last value beneath each graph."""
    return (
        common.VizLegendOptions()
        .show_legend(show_legend=True)
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .calcs(["mean", "max", "lastNotNull"])
    )
