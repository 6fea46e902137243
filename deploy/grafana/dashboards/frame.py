"""What all four dashboards share: variables, links, alert marks, rows and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.targets import METRICS, SEARCH_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

Panel: TypeAlias = Builder[model.Panel]
Row: TypeAlias = tuple[str, "Sequence[Panel]"]
Variable: TypeAlias = Builder[model.VariableModel]

_TAG: Final = "otel-callbacks"

# Where a browser finds Jaeger; typed over in the dashboard when it is elsewhere.
_JAEGER_URL: Final = "http://localhost:16686"

_OPERATIONS: Final = "otel_callbacks_operations_total"
_SPANS: Final = "traces_span_metrics_calls_total"


def labelled(name: str, label: str, description: str, values: str) -> Variable:
    """Let the reader choose some values of a label.

    Args:
        name: The variable's name.
        label: What the reader sees.
        description: What the choice does.
        values: Grafana's query for the values.

    Returns:
        A variable with several values or all.
    """
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(METRICS)
        .query({"query": values, "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        # Matches series without the label as well, so "All" is really all.
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


def choice(name: str, label: str, description: str, *values: str) -> Variable:
    """Let the reader choose one of a few values, or type another.

    Args:
        name: The variable's name.
        label: What the reader sees.
        description: What the choice does.
        values: The values, the default first.

    Returns:
        A variable with one value.
    """
    first = model.VariableOption(selected=True, text=values[0], value=values[0])
    rest = [
        model.VariableOption(selected=False, text=value, value=value)
        for value in values[1:]
    ]
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .description(description)
        .values(",".join(values))
        .current(first)
        .options([first, *rest])
    )


def text(name: str, label: str, description: str, default: str) -> Variable:
    """Let the reader type a value.

    Args:
        name: The variable's name.
        label: What the reader sees.
        description: What the value does.
        default: What stands there at first.

    Returns:
        A variable with one value.
    """
    option = model.VariableOption(selected=True, text=default, value=default)
    return (
        dashboard.TextBoxVariable(name)
        .label(label)
        .description(description)
        .default_value(default)
        .current(option)
        .options([option])
    )


def _data_source(name: str, label: str, kind: str, title: str, uid: str) -> Variable:
    """Choose a data source; the provisioned one first."""
    return (
        dashboard.DatasourceVariable(name)
        .label(label)
        .type(kind)
        .current(model.VariableOption(selected=True, text=title, value=uid))
    )


def _variables() -> list[Variable]:
    """Choose data sources, service, provider and model."""
    return [
        _data_source("datasource", "Metrics", "prometheus", "Prometheus", "prometheus"),
        _data_source("jaeger", "Traces", "jaeger", "Jaeger", "jaeger"),
        labelled(
            "service",
            "Service",
            "The job label: the application as Prometheus knows it.",
            f"label_values({_OPERATIONS}, job)",
        ),
        labelled(
            "provider",
            "Provider",
            "gen_ai.provider.name of the calls.",
            f'label_values({_OPERATIONS}{{job=~"$service"}}, gen_ai_provider_name)',
        ),
        labelled(
            "model",
            "Model",
            "gen_ai.request.model of the calls.",
            f'label_values({_OPERATIONS}{{job=~"$service", '
            'gen_ai_provider_name=~"$provider"}, gen_ai_request_model)',
        ),
        dashboard.QueryVariable("trace_service")
        .label("Service in Jaeger")
        .description("service.name of the traces that the tables list.")
        .datasource(METRICS)
        .query(
            {
                "query": f"label_values({_SPANS}, service_name)",
                "refId": "trace_service",
            }
        )
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC),
        text(
            "jaeger_url",
            "Jaeger's address",
            "Where this browser finds Jaeger; links to traces begin with it.",
            _JAEGER_URL,
        ),
    ]


def assemble(
    uid: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    *,
    more: Sequence[Variable] = (),
    since: str = "now-1h",
) -> model.Dashboard:
    """Put rows of panels into a dashboard.

    Args:
        uid: The fixed id, which links name.
        title: The dashboard's name.
        description: What it answers.
        rows: Titles of rows and their panels.
        more: Variables of this dashboard alone.
        since: The start of the time range at first.

    Returns:
        The dashboard, each panel with an id of its own.
    """
    firing = (
        dashboard.AnnotationQuery()
        .name("Alerts that fire")
        .datasource(METRICS)
        .enable(enable=True)
        .icon_color("red")
        .expr('ALERTS{alertstate="firing"}')
    )
    others = (
        dashboard.DashboardLink("Other dashboards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .as_dropdown(as_dropdown=True)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
    jaeger = (
        dashboard.DashboardLink("Traces in Jaeger")
        .type(model.DashboardLinkType.LINK)
        .icon("external link")
        .tooltip("Search this service's traces in Jaeger")
        .url(SEARCH_URL)
        .target_blank(target_blank=True)
    )
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([_TAG, "llm"])
        .time(since, "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables([*_variables(), *more])
        .annotations([firing])
        .links([others, jaeger])
    )
    for heading, panels in rows:
        board.with_row(dashboard.Row(heading))
        for panel in panels:
            board.with_panel(panel)
    built = board.build()
    for number, placed in enumerate(built.panels or [], start=1):
        placed.id_val = number
    return built
