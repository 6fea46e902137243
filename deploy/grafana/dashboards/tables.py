"""Tables: numbers side by side from Prometheus, and lists of traces from Jaeger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.panels import HEIGHT, NO_CALLS, new_tab
from dashboards.targets import (
    METRICS,
    TRACE_URL,
    TRACES,
    TraceQuery,
    TraceSearch,
    lettered,
    now,
)

_HEADINGS: Final = {
    "gen_ai_request_model": "Model",
    "gen_ai_response_model": "Response model",
    "gen_ai_provider_name": "Provider",
    "gen_ai_operation_name": "Operation",
    "gen_ai_agent_name": "Agent",
    "gen_ai_tool_name": "Tool",
    "gen_ai_tool_type": "Type",
    "gen_ai_workflow_name": "Workflow",
    "server_address": "Server",
    "server_port": "Port",
    "error_type": "Error",
    "error_class": "Class",
    "span_name": "Span",
    "outcome": "Outcome",
    "service_name": "Service",
    "service_version": "Version",
    "deployment_environment_name": "Environment",
    "instance": "Instance",
    "chain": "Chain",
    "gen_ai_prompt_name": "Prompt",
    "gen_ai_prompt_version": "Prompt version",
    "job": "Job",
    "__name__": "Series",
    "alertname": "Alert",
    "severity": "Severity",
}
"""What a label is called at the head of a column."""


@dataclass(frozen=True, slots=True)
class Column:
    """One number of a table.

    Args:
        title: The head of the column.
        expression: PromQL; all columns of a table have the same labels.
        unit: Grafana's name of the unit.
    """

    title: str
    expression: str
    unit: str = "short"


def numbers(
    title: str,
    description: str,
    *columns: Column,
    empty: str = NO_CALLS,
    width: int = 24,
    height: int = HEIGHT,
) -> table.Panel:
    """Show numbers side by side, one row for each combination of labels.

    Args:
        title: What it is.
        description: How it is computed.
        columns: The numbers; rows are sorted by the first.
        empty: What stands there when there is no data.
        width: Columns of 24.
        height: As high as the rows that are usual; more of them scroll.

    Returns:
        The panel.
    """
    queries = tuple(
        now(column.expression).format(PromQueryFormat.TABLE) for column in columns
    )
    # With one query Grafana names the value "Value", with several "Value #A".
    values = [
        f"Value #{chr(ord('A') + at)}" if len(columns) > 1 else "Value"
        for at in range(len(columns))
    ]
    renames = dict(zip(values, (column.title for column in columns), strict=True))
    # The busiest are those of the first column; others would have no count. A model
    # that costs nothing known is no row less.
    only_first = (
        [
            model.DataTransformerConfig(
                id_val="filterByValue",
                options={
                    "type": "include",
                    "match": "all",
                    "filters": [
                        {
                            "fieldName": columns[0].title,
                            "config": {"id": "isNotNull", "options": {}},
                        }
                    ],
                },
            )
        ]
        if columns[0].unit != "currencyUSD" and columns[1:]
        else []
    )
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(METRICS)
        .no_value(empty)
        .sort_by([_largest_first(columns[0].title)])
        .height(height)
        .span(width)
        .targets([*lettered(queries)])
        .transformations(
            [
                model.DataTransformerConfig(id_val="merge", options={}),
                model.DataTransformerConfig(
                    id_val="organize",
                    options={
                        "excludeByName": {"Time": True},
                        "renameByName": {**_HEADINGS, **renames},
                    },
                ),
                *only_first,
            ]
        )
    )
    for column in columns:
        unit = model.DynamicConfigValue(id_val="unit", value=column.unit)
        panel.override_by_name(column.title, [unit])
    return panel


def traces(
    title: str, description: str, search: TraceSearch, *, width: int = 12
) -> table.Panel:
    """List traces of the chosen service, each a link to its page in Jaeger.

    Args:
        title: What it is.
        description: How they are found.
        search: The search.
        width: Columns of 24.

    Returns:
        The panel.
    """
    link = new_tab("Open in Jaeger", TRACE_URL).build()
    links = model.DynamicConfigValue(id_val="links", value=[link])
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(TRACES)
        .no_value("No such traces in this time range")
        .sort_by([_largest_first("Duration")])
        .height(HEIGHT)
        .span(width)
        .with_target(TraceQuery(search))
        .override_by_regexp("/^trace ?id$/i", [links])
    )


def _largest_first(title: str) -> common.TableSortByFieldState:
    """Sort by a column."""
    return common.TableSortByFieldState().display_name(title).desc(desc=True)
