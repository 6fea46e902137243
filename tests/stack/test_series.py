"""Every series and label that the stack reads exists, and none is left unread."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pytest
from board_panels import panels_of
from documented_series import ALL_SERIES, WITH_CHOSEN_LABELS, Series

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Expression

# Prometheus adds these to whatever it scrapes or is sent.
_TARGET: Final = frozenset({"job", "instance"})

_AGENT = "gen_ai_agent_name"
_FLOW = "gen_ai_workflow_name"
_MODEL = "gen_ai_request_model"
_PROVIDER = "gen_ai_provider_name"
_ENVIRONMENT = "deployment_environment_name"

_SPAN_LABELS: Final = frozenset(
    {
        "service_name",
        "span_name",
        "span_kind",
        "status_code",
        _ENVIRONMENT,
        "gen_ai_operation_name",
        _PROVIDER,
        _MODEL,
        "error_type",
    }
)

# What others emit, as seen on the versions that .env pins.
_ITEMS = "(spans|metric_points|log_records)"
FOREIGN: Final = {
    # Collector: https://opentelemetry.io/docs/collector/internal-telemetry/
    rf"otelcol_receiver_(accepted|refused)_{_ITEMS}_total": {"receiver", "transport"},
    rf"otelcol_exporter_(sent|send_failed|enqueue_failed)_{_ITEMS}_total": {"exporter"},
    r"otelcol_exporter_queue_(size|capacity)": {"exporter", "data_type"},
    r"otelcol_process_(memory_rss_bytes|cpu_seconds_total)": set(),
    r"otelcol_processor_tail_sampling_global_count_traces_sampled_total": {"sampled"},
    r"otelcol_processor_tail_sampling_count_traces_sampled_total": {
        "policy",
        "sampled",
    },
    r"otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total": set(),
    r"otelcol_processor_tail_sampling_sampling_traces_on_memory": set(),
    # The Collector's span_metrics, with the dimensions of deploy/collector.
    r"traces_span_metrics_calls_total": _SPAN_LABELS,
    r"traces_span_metrics_duration_milliseconds_(sum|count)": _SPAN_LABELS,
    r"traces_span_metrics_duration_milliseconds_bucket": _SPAN_LABELS | {"le"},
    # Prometheus: https://prometheus.io/docs/concepts/jobs_instances/
    r"up|scrape_duration_seconds|scrape_samples_scraped": set(),
    r"ALERTS": {"alertname", "alertstate", "severity"},
    # What a process tells about itself:
    # https://prometheus.io/docs/specs/om/open_metrics_spec/#supporting-target-metadata-in-both-push-based-and-pull-based-systems
    r"target_info": {"service_name", "service_version", _ENVIRONMENT},
    # All of ours at once, to count them.
    r"(otel_callbacks|gen_ai)_\.\+": {"__name__"},
}


# What docs/labels.md names for the series of spend, beside an app's own.
_CHOSEN: Final = frozenset(
    {"gen_ai_agent_name", "chain", "gen_ai_prompt_name", "gen_ai_prompt_version"}
)


def _known(series: list[Series]) -> dict[str, frozenset[str]]:
    """Return the names in Prometheus' text with their labels."""
    known: dict[str, frozenset[str]] = {}
    for one in series:
        labels = _TARGET | set(one.labels)
        if one.name in WITH_CHOSEN_LABELS:
            labels |= _CHOSEN
        if one.kind == "histogram":
            # A native one has no suffix.
            known[one.name] = labels
            known[f"{one.name}_bucket"] = labels | {"le"}
            known[f"{one.name}_sum"] = known[f"{one.name}_count"] = labels
        else:
            known[one.name] = labels
    return known


def _recorded(rules: list[dict[str, Any]]) -> dict[str, frozenset[str]]:
    """Return the recorded series; their labels are what the rule groups by."""
    return {
        rule["record"]: frozenset(
            label
            for clause in re.findall(r"by \(([^)]*)\)", rule["expr"])
            for label in re.split(r"[,\s]+", clause)
            if label and label != "le"
        )
        for rule in rules
        if "record" in rule
    }


def _unknown(
    expressions: list[Expression], known: dict[str, frozenset[str]]
) -> list[str]:
    """Return what the expressions ask for and nobody has."""
    troubles = []
    for expression in expressions:
        for name, labels in expression.selectors():
            owned = known.get(name)
            foreign = [FOREIGN[p] for p in FOREIGN if re.fullmatch(p, name)]
            if owned is None and foreign:
                owned = _TARGET | foreign[0]
            if owned is None:
                troubles.append(f"{expression.where}: no series {name}")
            elif not labels <= owned:
                missing = ", ".join(sorted(labels - owned))
                troubles.append(f"{expression.where}: {name} has no label {missing}")
    return troubles


@pytest.fixture(scope="module")
def known(rules: list[dict[str, Any]]) -> dict[str, frozenset[str]]:
    """Return all series that are ours: emitted, recorded."""
    known = _derived(rules)
    known |= _known(ALL_SERIES)
    for rule in rules:
        # All labels but the process's: those of the series that it sums up.
        if found := re.search(r"sum without \([^)]*\)\s*\(\s*\w+\((\w+)", rule["expr"]):
            known[rule["record"]] = known[found[1]] - {"instance"}
    return known


def _derived(rules: list[dict[str, Any]]) -> dict[str, frozenset[str]]:
    """Return recorded series, those that are made of recorded ones too."""
    recorded = _recorded(rules)
    for rule in rules:
        name = rule.get("record")
        if name and not recorded[name]:
            sources = re.findall(r"[a-z_]+(?::[a-z0-9_]+)+", rule["expr"])
            recorded[name] = frozenset().union(*(recorded[s] for s in sources))
        elif name:
            sources = re.findall(r"[a-z_]+(?::[a-z0-9_]+)+", rule["expr"])
            recorded[name] |= frozenset().union(*(recorded[s] for s in sources))
    return recorded


def test_dashboards_read_only_what_exists(
    panel_expressions: list[Expression], known: dict[str, frozenset[str]]
) -> None:
    """Panels use only series and labels that exist."""
    assert _unknown(panel_expressions, known) == []


def test_rules_and_links_read_only_what_exists(
    other_expressions: list[Expression], known: dict[str, frozenset[str]]
) -> None:
    """Alerts, recording rules and links use only series that exist."""
    assert _unknown(other_expressions, known) == []


def test_legends_name_labels_that_the_query_keeps(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """A label in a legend is one that its expression groups by."""
    lost = [
        f"{name}: {panel['title']}: {label}"
        for name, dashboard in dashboards.items()
        for panel in panels_of(dashboard)
        for target in panel.get("targets", ())
        for label in re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))
        if not re.search(rf"by \([^)]*\b{label}\b[^)]*\)", target["expr"])
    ]
    assert lost == []


@pytest.mark.parametrize("series", ALL_SERIES, ids=lambda series: series.name)
def test_every_series_of_the_code_is_on_a_dashboard(
    series: Series, panel_expressions: list[Expression]
) -> None:
    """Every emitted series is on a dashboard."""
    names = set(_known([series]))
    read = {s.name for expression in panel_expressions for s in expression.selectors()}
    assert names & read


@pytest.mark.parametrize(
    ("fields", "read", "unit"),
    [
        (
            ("x.calls", "counter", "{call}", "Calls.", ("gen_ai_request_model",)),
            "rate(x_calls_total{",
            "suffix: call/min",
        ),
        (("x.open", "gauge", "{run}", "Runs."), "(x_open{", "suffix: run"),
        (
            ("x.wait", "histogram", "s", "Waits.", ("error_type",), (1.0,)),
            "histogram_quantile(0.95, sum by (le, error_type)",
            "s",
        ),
    ],
    ids=["counter", "gauge", "histogram"],
)
def test_a_new_series_is_on_a_board_without_a_panel_of_its_own(
    fields: tuple[Any, ...],
    read: str,
    unit: str,
    root: Path,
    panel_expressions: list[Expression],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row "More series" draws what no other panel reads, by all its labels."""
    monkeypatch.syspath_prepend(root / "deploy" / "grafana")
    build = importlib.import_module("build")
    new = type(next(iter(build.ALL_SERIES)))(*fields)
    boards = {
        path.stem: json.loads(text)
        for path, text in build.rendered([*build.ALL_SERIES, new]).items()
    }
    row = next(p for p in boards["llm"]["panels"] if p["title"] == "More series")
    (panel,) = row["panels"]
    (target,) = panel["targets"]
    expression = panel_expressions[0]._replace(text=target["expr"])
    assert read in expression.text
    assert panel["description"] == new.help
    assert panel["fieldConfig"]["defaults"]["unit"] == unit
    assert (
        _unknown([expression], _known([Series(new.name, new.kind, new.labels)])) == []
    )
    labels = set().union(*(found.labels for found in expression.selectors()))
    assert labels >= {*new.labels, "job", "instance"}
    assert ('gen_ai_request_model=~"$model"' in expression.text) == (
        "gen_ai_request_model" in new.labels
    )
    # The boards as they are have no such row.
    assert "More series" not in str(build.rendered())


def test_the_choices_of_group_by_are_labels_of_the_cost(
    dashboards: dict[str, dict[str, Any]], known: dict[str, frozenset[str]]
) -> None:
    """The cost has each label that the reader can group by."""
    variables = {v["name"]: v for v in dashboards["spend"]["templating"]["list"]}
    choices = {option["value"] for option in variables["group"]["options"]}
    # One that is chosen elsewhere; Grafana puts the label's name in.
    assert "$label" in choices
    assert choices - {"$label"} <= known["otel_callbacks_cost_usd_total"]


def test_the_variable_label_offers_what_apps_chose(
    dashboards: dict[str, dict[str, Any]], known: dict[str, frozenset[str]]
) -> None:
    """The variable offers the app's own labels and none of the built-in ones."""
    operations = set(known["otel_callbacks_operations_total"])
    for dashboard in dashboards.values():
        variables = {v["name"]: v for v in dashboard["templating"]["list"]}
        pattern = re.compile(variables["label"]["regex"].strip("/"))
        offered = {name for name in {*operations, "team"} if pattern.match(name)}
        assert offered == {*_CHOSEN, "team"}
        # With none chosen there is a label that every series has, and all its values.
        assert variables["label"]["allValue"] == "job"
        assert variables["label_value"]["allValue"] == ".*"


def test_variables_ask_for_labels_that_exist(
    dashboards: dict[str, dict[str, Any]], known: dict[str, frozenset[str]]
) -> None:
    """Variables query series and labels that exist."""
    pairs = {
        match.groups()
        for dashboard in dashboards.values()
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
        for match in [
            re.fullmatch(
                r"label_values\(([\w:]+)?(?:{.*})?, (\w+)\)", variable["query"]["query"]
            )
        ]
        if match
    }
    who = "instance:otel_callbacks_service:info"
    assert pairs == {
        *((who, name) for name in ("service_name", "service_version", _ENVIRONMENT)),
        *((who, name) for name in ("job", "instance")),
        ("otel_callbacks_operations_total", _PROVIDER),
        ("otel_callbacks_operations_total", _MODEL),
        ("otel_callbacks_operations_total", "gen_ai_operation_name"),
        (None, _AGENT),
    }
    for series, label in pairs - {(None, _AGENT)}:
        assert label in known[series] | _TARGET
