"""What all four dashboards share: variables, links, alert marks, rows and places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders import text as text_panel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.text import TextMode

from dashboards.promql import MODEL_OPERATIONS
from dashboards.targets import METRICS, MONITOR_URL, SEARCH_URL

if TYPE_CHECKING:
    from collections.abc import Sequence

Panel: TypeAlias = Builder[model.Panel]
Variable: TypeAlias = Builder[model.VariableModel]

_TAG: Final = "otel-callbacks"

# Where a browser finds Jaeger; typed over in the dashboard when it is elsewhere.
_JAEGER_URL: Final = "http://localhost:16686"

_OPERATIONS: Final = "otel_callbacks_operations_total"
# Recorded by deploy/prometheus/rules/recording.yml: which process is which service.
_WHO: Final = "instance:otel_callbacks_service:info"
_OF_CALLS: Final = ("provider", "model", "operation", "label", "label_value")

# What every counter of calls has, and what Prometheus, its operator and the Collector
# add: all other labels of it are those that apps chose with OTEL_CALLBACKS_LABELS.
NOT_CHOSEN: Final = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
    "server_address",
    "server_port",
    "outcome",
    "error_class",
    "job",
    "instance",
    "service_name",
    "service_namespace",
    "service_instance_id",
    "service_version",
    "deployment_environment_name",
    "container",
    "endpoint",
    "namespace",
    "pod",
    "prometheus",
    "prometheus_replica",
    "service",
)
"""Labels of the counters of calls that are not from an app's metadata."""

_ANYTHING: Final = ".*"

_EMPTY: Final = """\
| nothing here | then |
|---|---|
| on all dashboards | Does Prometheus read the app? Look at *Targets that answer* on \
**Telemetry health**. Is the time range one in which calls were made? |
| only with a service chosen | *All* shows every process; a process names itself by \
`service.name` (`OTEL_SERVICE_NAME`), else by its scrape job. |
| only tables of traces | Jaeger keeps what the Collector samples; *Traces of* names \
the service whose traces are listed. |
| only from spans | The Collector is not reached: `otel-callbacks doctor` says where \
spans end. |
| latency, calls in flight, streams | Is a label chosen (variable *Label*)? They are \
not known by an app's own labels; cost, tokens and calls are. |
| one panel | Its text says what is missing: no streams, no cache hits, no agents, no \
label chosen with `OTEL_CALLBACKS_LABELS`. |
"""


class Row(NamedTuple):
    """A heading and what stands below it.

    Args:
        title: The heading.
        panels: Its panels, from left to right.
        is_collapsed: Whether it opens by a click; until then it asks nothing.
    """

    title: str
    panels: Sequence[Panel]
    is_collapsed: bool = False


def labelled(
    name: str,
    label: str,
    description: str,
    values: str,
    *,
    everything: str = _ANYTHING,
    is_hidden: bool = False,
) -> dashboard.QueryVariable:
    """Let the reader choose some values of a label.

    Args:
        name: The variable's name.
        label: What the reader sees.
        description: What the choice does.
        values: Grafana's query for the values.
        everything: What stands for all values; empty for those that were found.
        is_hidden: Whether it follows from the others and is not shown.

    Returns:
        A variable with several values or all.
    """
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(METRICS)
        .query({"query": values, "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(multi=True)
        .include_all(include_all=True)
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )
    if everything:
        # Matches series without the label as well, so "All" is really all.
        variable.all_value(everything)
    if is_hidden:
        variable.hide(model.VariableHide.HIDE_VARIABLE)
    return variable


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


def _identity() -> list[Variable]:
    """Choose processes: by service, environment, version, instance."""
    of_service = 'service_name=~"$service"'
    of_environment = f'{of_service}, deployment_environment_name=~"$environment"'
    of_version = f'{of_environment}, service_version=~"$version"'
    return [
        labelled(
            "service",
            "Service",
            "service.name of the application; its scrape job where it says none.",
            f"label_values({_WHO}, service_name)",
        ),
        labelled(
            "environment",
            "Environment",
            "deployment.environment.name of the application.",
            f"label_values({_WHO}{{{of_service}}}, deployment_environment_name)",
        ),
        labelled(
            "version",
            "Version",
            "service.version of the application.",
            f"label_values({_WHO}{{{of_environment}}}, service_version)",
        ),
        labelled(
            "instance",
            "Instance",
            "One process of the service.",
            f"label_values({_WHO}{{{of_version}}}, instance)",
            everything="",
        ),
        labelled(
            "job",
            "Job",
            "The jobs of the chosen services.",
            f"label_values({_WHO}{{{of_version}}}, job)",
            everything="",
            is_hidden=True,
        ),
    ]


def _calls() -> list[Variable]:
    """Choose calls: by provider, model and operation."""
    of_service = 'job=~"$job", instance=~"$instance"'
    operations = f'gen_ai_operation_name=~"{MODEL_OPERATIONS}"'
    of_provider = f'{of_service}, {operations}, gen_ai_provider_name=~"$provider"'
    return [
        labelled(
            "provider",
            "Provider",
            "gen_ai.provider.name of the model calls.",
            f"label_values({_OPERATIONS}{{{of_service}, {operations}}}, "
            "gen_ai_provider_name)",
        ),
        labelled(
            "model",
            "Model",
            "gen_ai.request.model of the model calls.",
            f"label_values({_OPERATIONS}{{{of_provider}}}, gen_ai_request_model)",
        ),
        labelled(
            "operation",
            "Operation",
            "gen_ai.operation.name of the model calls.",
            f"label_values({_OPERATIONS}{{{of_service}, {operations}}}, "
            "gen_ai_operation_name)",
            everything=MODEL_OPERATIONS,
        ),
    ]


def _chosen() -> list[Variable]:
    """Choose calls by a label that the app made from its metadata."""
    return [
        labelled(
            "label",
            "Label",
            "A label that an app chose with OTEL_CALLBACKS_LABELS, such as team. All: "
            "none is looked at.",
            f"label_names({_OPERATIONS})",
            # Every series has it, so with all of its values nothing is left out; and
            # it stands there where no app has chosen a label.
            everything="job",
        )
        .multi(multi=False)
        .regex(f"/^(?!(?:{'|'.join(NOT_CHOSEN)})$).*$/"),
        labelled(
            "label_value",
            "Value of the label",
            "Calls with this value of the variable Label. Latency, calls in flight and "
            "what is from spans are not known by such a label: these panels are empty "
            "then.",
            f'label_values({_OPERATIONS}{{job=~"$job", instance=~"$instance"}}, '
            "$label)",
        ),
    ]


def _variables() -> list[Variable]:
    """Choose data sources, processes, calls, and whose traces are listed."""
    return [
        _data_source("datasource", "Metrics", "prometheus", "Prometheus", "prometheus"),
        _data_source("jaeger", "Traces", "jaeger", "Jaeger", "jaeger"),
        *_identity(),
        *_calls(),
        *_chosen(),
        dashboard.QueryVariable("trace_service")
        .label("Traces of")
        .description(
            "Which of the chosen services the tables and links of traces show: Jaeger "
            "searches one at a time."
        )
        .datasource(METRICS)
        .query(
            {
                "query": f'label_values({_WHO}{{service_name=~"$service"}}, '
                "service_name)",
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


def _help() -> Row:
    """Say what to do when a board is empty."""
    panel = (
        text_panel.Panel()
        .title("When a board is empty")
        .description("What to look at, in this order.")
        .mode(TextMode.MARKDOWN)
        .content(_EMPTY)
        .height(8)
        .span(24)
    )
    return Row("When a board is empty", [panel], is_collapsed=True)


def _links() -> list[dashboard.DashboardLink]:
    """Lead to the other dashboards, and to Jaeger's two pages."""
    others = (
        dashboard.DashboardLink("Other dashboards")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .as_dropdown(as_dropdown=True)
        .include_vars(include_vars=True)
        .keep_time(keep_time=True)
    )
    pages = (
        ("Traces in Jaeger", "Search the traces of the service", SEARCH_URL),
        ("Monitor in Jaeger", "Model calls by span, in Jaeger", MONITOR_URL),
    )
    return [
        others,
        *(
            dashboard.DashboardLink(title)
            .type(model.DashboardLinkType.LINK)
            .icon("external link")
            .tooltip(tooltip)
            .url(url)
            .target_blank(target_blank=True)
            for title, tooltip, url in pages
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
        rows: Headings and their panels.
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
        .links(_links())
    )
    for row in (*rows, _help()):
        heading = dashboard.Row(row.title)
        if row.is_collapsed:
            for panel in row.panels:
                heading.with_panel(panel)
        board.with_row(heading)
        if not row.is_collapsed:
            for panel in row.panels:
                board.with_panel(panel)
    built = board.build()
    number = 0
    for placed in built.panels or []:
        for one in (placed, *(getattr(placed, "panels", None) or ())):
            number += 1
            one.id_val = number
    _hide_what_is_not_asked(built)
    return built


def _hide_what_is_not_asked(built: model.Dashboard) -> None:
    """Hide the variables of calls that no panel here follows; links carry them on."""
    asked = JSONEncoder().encode(built.panels)
    for variable in (built.templating and built.templating.list_val) or ():
        if variable.name in _OF_CALLS and f"${variable.name}" not in asked:
            variable.hide = model.VariableHide.HIDE_VARIABLE
