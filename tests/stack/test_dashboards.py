"""The dashboards are what their code says, and every panel keeps our rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from board_panels import panels_of
from documented_series import ALL_SERIES

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Expression

_UIDS: Final = {
    "llm": "otel-callbacks-llm",
    "agents": "otel-callbacks-agents",
    "spend": "otel-callbacks-spend",
    "health": "otel-callbacks-health",
}
_COUNTERS: Final = re.compile(r"[a-z]\w*_(?:total|count|sum|bucket)\b(?!\()")
# A window is a step of the graph, the range of the dashboard, or a choice of the
# reader; a fixed one is empty when the scrape interval is longer.
_WINDOWS: Final = {
    "$__rate_interval",
    "$__range",
    "$__range:",
    "$pace",
    "$pace:1m",
    # Of recorded sums alone.
    "30d",
}


@pytest.fixture
def panels(dashboards: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the panels of all dashboards by dashboard and title."""
    return {
        f"{name}: {panel['title']}": panel
        for name, dashboard in dashboards.items()
        for panel in panels_of(dashboard)
    }


def test_the_committed_json_equals_the_generated_one(root: Path) -> None:
    """The committed JSON equals what the code writes."""
    build = root / "deploy" / "grafana" / "build.py"
    check = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, str(build), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (check.returncode, check.stdout) == (0, "")


def test_the_dashboards_have_their_fixed_ids(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """Links and bookmarks name these ids."""
    assert {name: board["uid"] for name, board in dashboards.items()} == _UIDS


def test_panels_have_ids_and_places_of_their_own(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """No two panels of a dashboard share an id or a cell of the grid."""
    for dashboard in dashboards.values():
        rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
        ids = [panel["id"] for panel in rows + panels_of(dashboard)]
        assert len(ids) == len(set(ids))
        closed = [(row.get("panels") or []) for row in rows]
        for panels in (dashboard["panels"], *closed):
            _share_no_cell(panels)


def _share_no_cell(panels: list[dict[str, Any]]) -> None:
    """Assert that no two panels overlap, and that each is within the grid."""
    if panels:
        cells = [
            (x, y)
            for place in (panel["gridPos"] for panel in panels)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24


def test_every_panel_explains_itself(panels: dict[str, dict[str, Any]]) -> None:
    """Each has a description, and a text where there is no data."""
    silent = [
        where
        for where, panel in panels.items()
        if not panel.get("description")
        or (
            panel["type"] != "text"
            and not panel["fieldConfig"]["defaults"].get("noValue")
        )
    ]
    assert silent == []


def test_titles_are_unique_within_a_dashboard(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """A title identifies a panel within its dashboard."""
    for dashboard in dashboards.values():
        titles = [panel["title"] for panel in panels_of(dashboard)]
        assert titles
        assert sorted(titles) == sorted(set(titles))


def test_numbers_and_graphs_have_a_unit(panels: dict[str, dict[str, Any]]) -> None:
    """Each number and graph has a unit."""
    bare = [
        where
        for where, panel in panels.items()
        if panel["type"] in {"stat", "timeseries", "bargauge"}
        and not panel["fieldConfig"]["defaults"].get("unit")
    ]
    assert bare == []


def test_expressions_parse(
    panel_expressions: list[Expression], other_expressions: list[Expression]
) -> None:
    """All expressions are valid PromQL; Grafana shows an invalid one as "no data"."""
    parsed = [one.parsed() for one in (*panel_expressions, *other_expressions)]
    assert len(parsed) > 150


def test_no_counter_is_read_raw(panel_expressions: list[Expression]) -> None:
    """Counters are read with a function that handles restarts."""
    raw = [
        expression.where
        for expression in panel_expressions
        for found in _COUNTERS.finditer(expression.text)
        if not re.search(
            r"(?:rate|increase)\((?:{__name__=~\")?$", expression.text[: found.start()]
        )
    ]
    assert raw == []


def test_windows_follow_the_dashboard(panel_expressions: list[Expression]) -> None:
    """No expression has a fixed window."""
    windows = {
        window
        for expression in panel_expressions
        for window in re.findall(r"\[([^\]]+)\]", expression.text)
    }
    assert windows <= _WINDOWS


def test_numbers_of_the_time_range_ask_once(
    panels: dict[str, dict[str, Any]],
) -> None:
    """Sums over the range are instant queries, and series by steps are not.

    The ten lines of a graph are chosen once, at the end of the range.
    """
    wrong = [
        where
        for where, panel in panels.items()
        for target in panel.get("targets", ())
        if ("$__rate_interval" if target.get("instant") else "[$__range")
        in target.get("expr", "").replace("[$__range] @ end()", "")
    ]
    assert wrong == []


def test_ratios_survive_a_model_that_always_fails(
    panel_expressions: list[Expression],
) -> None:
    """In a ratio, a missing subset counts as 0."""
    subset = re.compile(r'(?:outcome|error_type|status_code)!?=~?"[^"]*"')
    divided = [
        expression
        for expression in panel_expressions
        if " / " in expression.text and subset.search(expression.text)
    ]
    assert len(divided) >= 6
    assert [e.where for e in divided if "* 0" not in e.text] == []


def test_latency_has_exemplars(panels: dict[str, dict[str, Any]]) -> None:
    """Every graph and distribution of seconds has exemplars."""
    blind = [
        where
        for where, panel in panels.items()
        if panel["type"] in {"timeseries", "heatmap"}
        and any("_seconds_bucket" in t["expr"] for t in panel.get("targets", ()))
        and not any(t.get("exemplar") for t in panel.get("targets", ()))
    ]
    assert blind == []


def test_every_query_uses_the_chosen_data_source(
    panels: dict[str, dict[str, Any]],
) -> None:
    """Panels use the data source variables, so dashboards work on any Grafana."""
    used = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for panel in panels.values()
        for target in panel.get("targets", ())
    }
    assert used == {("prometheus", "${datasource}"), ("jaeger", "${jaeger}")}


def test_every_dashboard_has_the_shared_variables(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """Links between dashboards keep the shared variables."""
    shared = [
        *("datasource", "jaeger"),
        *("service", "environment", "version", "instance", "job"),
        *("provider", "model", "operation", "label", "label_value"),
        *("trace_service", "jaeger_url"),
    ]
    for dashboard in dashboards.values():
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        assert names[: len(shared)] == shared


def test_the_services_of_traces_are_the_chosen_ones(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """The list of services of traces depends on the chosen service of metrics."""
    for dashboard in dashboards.values():
        variables = {v["name"]: v for v in dashboard["templating"]["list"]}
        for name in ("environment", "version", "instance", "job", "trace_service"):
            assert 'service_name=~"$service"' in variables[name]["query"]["query"]
        assert variables["job"]["hide"] == 2
        searched = {
            target["service"]
            for panel in panels_of(dashboard)
            for target in panel.get("targets", ())
            if "service" in target
        }
        assert searched <= {"$trace_service"}


def test_every_panel_follows_the_variables(
    panels: dict[str, dict[str, Any]],
) -> None:
    """Panels show only the chosen services, except those of the Collector."""
    chosen = re.compile(
        r'instance=~"\$instance"|service_name=~"\$service"|job=~"\$(collector|job)"'
    )
    ignorant = {
        where
        for where, panel in panels.items()
        for target in panel.get("targets", ())
        if not chosen.search(target.get("expr", 'job=~"$job"'))
    }
    assert ignorant == {
        "spend: Month at this pace, over time",  # the line of the budget
        "health: Targets that answer",
        "health: Duration of scrapes",
        "health: Samples of a scrape",
        "health: Alerts that fire",
    }


# Label of a series -> the variable that chooses its values.
_CHOSEN_BY: Final = {
    "gen_ai_provider_name": "$provider",
    "gen_ai_request_model": "$model",
    "gen_ai_agent_name": "$agent",
}
# Of agents: the model is that of their calls, empty where these disagree.
_OF_NO_CALL: Final = re.compile(
    r'gen_ai_operation_name=~?"(?:retrieval|execute_tool)"|gen_ai_invoke_agent_'
)


def test_no_panel_ignores_a_variable(dashboards: dict[str, dict[str, Any]]) -> None:
    """A visible variable filters every panel whose series have its label."""
    ignored = set()
    for name, dashboard in dashboards.items():
        shown = {
            f"${v['name']}"
            for v in dashboard["templating"]["list"]
            if not v.get("hide")
        }
        for panel in panels_of(dashboard):
            for target in panel.get("targets", ()):
                text = target.get("expr", "")
                labels = {
                    label
                    for series in ALL_SERIES
                    if re.search(rf"\b{series.name}(?:_bucket|_sum|_count)?\b", text)
                    for label in series.labels
                }
                ignored |= {
                    (f"{name}: {panel['title']}", variable)
                    for label, variable in _CHOSEN_BY.items()
                    if label in labels and variable in shown and variable not in text
                    if variable == "$agent" or not _OF_NO_CALL.search(text)
                }
    assert ignored == set()
    hidden = {
        (name, v["name"])
        for name, dashboard in dashboards.items()
        for v in dashboard["templating"]["list"]
        if v.get("hide") and v["name"] != "job"
    }
    assert hidden == {
        (board, variable)
        for board in ("agents", "health")
        for variable in ("provider", "model", "operation", "label", "label_value")
    }


# What an expression measures, by the first of these that is in it.
_MEASURES: Final = (
    ("dollars", re.compile(r"_usd_total|\$budget")),
    ("milliseconds", re.compile(r"_milliseconds")),
    ("tokens", re.compile(r"_tokens?_|token_usage")),
    ("seconds", re.compile(r"_seconds(?:_bucket|_sum)|histogram_quantile")),
    ("things", re.compile(r"")),
)


def _scale(expression: str) -> tuple[str, bool]:
    """Return what an expression measures, and whether it is a minute's worth."""
    kind = next(name for name, pattern in _MEASURES if pattern.search(expression))
    return kind, expression.startswith("60 * ")


def test_a_graph_has_one_scale(panels: dict[str, dict[str, Any]]) -> None:
    """One graph has one unit on its axis."""
    graphs = {w: p for w, p in panels.items() if p["type"] == "timeseries"}
    assert len(graphs) > 40
    mixed = [
        where
        for where, panel in graphs.items()
        if len({_scale(target["expr"]) for target in panel["targets"]}) > 1
        # A second axis, or another unit for one line.
        or any(
            change["id"] in {"unit", "custom.axisPlacement"}
            for override in panel["fieldConfig"]["overrides"]
            for change in override["properties"]
        )
    ]
    assert mixed == []
    assert _scale("60 * sum(rate(x_total[1m]))") != _scale("sum(rate(x_total[1m]))")
    assert _scale("sum(x_cost_usd_total)") != _scale("sum(x_tokens_total)")


# A word of a title -> what one of the panel's expressions must have.
_TITLES: Final = (
    (r"\bp95\b", r"histogram_quantile\(0\.95"),
    (r"^Distribution", r"by \(le\)"),
    (
        r"^Failed (?!to send)|^Failed$",
        r'outcome="error"|error_type|CODE_ERROR|error=true',
    ),
    (r"\b[Cc]ost\b(?!.*unknown)|^Spent", r"cost_usd"),
    (r"^Saved", r"_saved"),
    (r"[Tt]okens?\b", r"token"),
    (r"[Pp]er hour", r"3600"),
    (r"^In flight|^Most in flight", r"operations_in_flight"),
    (r"\bby (?:request )?model\b", r"by \([^)]*gen_ai_request_model"),
    (r"\bby outcome\b", r"by \([^)]*(?:outcome|error_type)"),
    (r"\bby agent\b", r"by \([^)]*gen_ai_agent_name"),
    (r"\bby exception\b", r"by \([^)]*error_type"),
    (r"\bby class\b", r"by \([^)]*error_class"),
    (r"\bby source\b", r"by \([^)]*gen_ai_data_source_id"),
    (r"\bby operation\b", r"by \([^)]*gen_ai_operation_name"),
    (r"\bby type\b", r"by \([^)]*gen_ai_token_type"),
    (r"\bby \$group", r"by \(\$group"),
    (r"^Retrieval|retrieval$|retrievals$", r'"retrieval"'),
    (r"\b[Tt]ools?\b(?! and)", r"execute_tool|tool_calls"),
)


def test_titles_match_their_expressions(panels: dict[str, dict[str, Any]]) -> None:
    """Titles match their expressions: quantile, money and grouping."""
    held = set()
    wrong = []
    for where, panel in panels.items():
        expressions = " ".join(
            str(target.get("expr", target.get("tags", "")))
            for target in panel.get("targets", ())
        )
        for title, expression in _TITLES if panel["type"] != "text" else ():
            if re.search(title, panel["title"]):
                held.add(title)
                if not re.search(expression, expressions):
                    wrong.append((where, expression))
    assert wrong == []
    assert held == {title for title, _ in _TITLES}


def test_lines_have_names(panels: dict[str, dict[str, Any]]) -> None:
    """Legends are set unless the reader chooses the label."""
    nameless = [
        where
        for where, panel in panels.items()
        if panel["type"] == "timeseries"
        for target in panel["targets"]
        if target["legendFormat"] == "__auto" and "$group" not in target["expr"]
    ]
    assert nameless == []


def test_the_first_screen_answers(dashboards: dict[str, dict[str, Any]]) -> None:
    """Failures are at the top, and details are collapsed."""
    rows = {
        name: [(p["title"], p.get("collapsed", False)) for p in board["panels"]]
        for name, board in dashboards.items()
        for board in [
            {"panels": [p for p in board["panels"] if p["type"] == "row"]},
        ]
    }
    assert rows["llm"][:2] == [("Headline", False), ("Outcomes and errors", False)]
    closed = {title for title, is_closed in rows["llm"] if is_closed}
    assert closed >= {"Tokens", "Traces of $trace_service"}
    assert all(
        titles[-1] == ("When a board is empty", True) for titles in rows.values()
    )
    open_queries = sum(
        len(panel.get("targets", ())) for panel in dashboards["llm"]["panels"]
    )
    assert open_queries < 45


def test_variables_in_expressions_exist(
    dashboards: dict[str, dict[str, Any]],
) -> None:
    """Every variable in an expression exists in its dashboard."""
    builtin = {"__rate_interval", "__range", "1"}
    for dashboard in dashboards.values():
        declared = {v["name"] for v in dashboard["templating"]["list"]} | builtin
        used = {
            name
            for panel in panels_of(dashboard)
            for target in panel.get("targets", ())
            for text in target.values()
            if isinstance(text, str)
            for name in re.findall(r"\$(\w+)", text)
        }
        assert used <= declared


def test_traces_open_in_jaeger(panels: dict[str, dict[str, Any]]) -> None:
    """The lists of slow and failed traces link to Jaeger's own pages."""
    lists = [
        p for p in panels.values() if p.get("datasource", {}).get("type") == "jaeger"
    ]
    assert len(lists) == 4
    for panel in lists:
        assert panel["targets"][0]["queryType"] == "search"
        (override,) = panel["fieldConfig"]["overrides"]
        (links,) = override["properties"]
        assert links["value"][0]["url"] == "${jaeger_url}/trace/${__value.raw}"


def test_jaeger_links_to_dashboards_that_exist(
    root: Path, dashboards: dict[str, dict[str, Any]]
) -> None:
    """Links in Jaeger's UI use existing dashboard ids and variables."""
    text = (root / "deploy" / "jaeger" / "ui.json").read_text()
    assert set(re.findall(r"/d/([\w-]+)", text)) <= set(_UIDS.values())
    variables = {v["name"] for v in dashboards["llm"]["templating"]["list"]}
    assert set(re.findall(r"[?&]var-(\w+)=", text)) <= variables


# What the page can fill:
# https://github.com/jaegertracing/jaeger-ui, src/model/link-patterns.ts
_OF_A_TRACE: Final = {"traceID", "traceName", "duration", "startTime", "endTime"}
_FORMATS: Final = {"epoch_micros_to_date_iso", "pad_start", "add"}


def _cannot_be_filled(pattern: dict[str, str]) -> list[str]:
    """Return the parameters of a link pattern that Jaeger's page cannot fill."""
    names = re.findall(r"#{([^{}]*)}", pattern["url"] + pattern["text"])
    wrong = []
    for name in names:
        field, *formats = (part.strip() for part in name.split("|"))
        if pattern["type"] == "traces":
            known = {form.split()[0] for form in formats} <= _FORMATS
            # Two formats of one field overwrite each other.
            once = len({n for n in names if n.split("|")[0].strip() == field}) == 1
            if field not in _OF_A_TRACE or not known or not once:
                wrong.append(name)
        elif formats or (
            field.removeprefix("trace.") not in _OF_A_TRACE
            if field.startswith("trace.")
            else field != pattern["key"]
        ):
            # The name is taken as it stands, pipes too; a span that has this
            # attribute need not have another, and then has no link.
            wrong.append(name)
    return wrong


def test_jaeger_can_fill_its_links(root: Path) -> None:
    """Every parameter of a link is available for that kind of link."""
    page = json.loads((root / "deploy" / "jaeger" / "ui.json").read_text())
    assert [_cannot_be_filled(one) for one in page["linkPatterns"]] == [[], [], []]
    broken = {
        "type": "tags",
        "key": "gen_ai.request.model",
        "url": "#{trace.startTime | add 1}#{gen_ai.request.model}#{trace.nothing}",
        "text": "#{gen_ai.provider.name}",
    }
    assert _cannot_be_filled(broken) == [
        "trace.startTime | add 1",
        "trace.nothing",
        "gen_ai.provider.name",
    ]


def test_jaegers_menu_opens_the_monitor_on_model_calls(root: Path) -> None:
    """The menu selects CLIENT spans; the tab shows SERVER spans by default."""
    page = json.loads((root / "deploy" / "jaeger" / "ui.json").read_text())
    urls = [urlsplit(entry["url"]) for entry in page["menu"]]
    (monitor,) = (url for url in urls if url.path == "/monitor")
    assert parse_qs(monitor.query) == {
        "spanKind": ["client"],
        "service": ["flower-shop"],
    }


def test_the_data_sources_know_each_other(
    data_sources: dict[str, dict[str, Any]],
) -> None:
    """Exemplars link to Jaeger, and spans to Prometheus, by fixed ids."""
    assert set(data_sources) == {"prometheus", "jaeger"}
    exemplars = data_sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert {link["name"] for link in exemplars} == {"trace_id"}
    assert [link.get("datasourceUid") for link in exemplars] == [None, "jaeger"]
    assert exemplars[0]["url"] == "$JAEGER_URL/trace/$${__value.raw}"
    back = data_sources["jaeger"]["jsonData"]["tracesToMetrics"]
    assert back["datasourceUid"] == "prometheus"


def test_a_table_of_the_busiest_has_no_row_without_its_count(
    panels: dict[str, dict[str, Any]],
) -> None:
    """Further columns have no rows beyond those of the first."""
    cut = 0
    tables = (one for one in panels.values() if one["type"] == "table")
    for panel in tables:
        expressions = [target.get("expr", "") for target in panel["targets"]]
        if len(expressions) == 1 or not expressions[0].startswith("topk("):
            continue
        (title,) = (
            change["options"]["renameByName"]["Value #A"]
            for change in panel["transformations"]
            if change["id"] == "organize"
        )
        kept = [
            one["options"]["filters"][0]["fieldName"]
            for one in panel["transformations"]
            if one["id"] == "filterByValue"
        ]
        # What has no known cost is no row less on the board of money.
        assert kept == ([] if title == "Spent" else [title]), panel["title"]
        cut += bool(kept)
    assert cut >= 4
