"""The files of the stack, read once, for tests that need no server."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import promql_parser
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from board_panels import panels_of

_ROOT = Path(__file__).parents[2]

# What Grafana and Jaeger put in place of their variables, in a form that parses.
_VARIABLES = {
    "$__rate_interval": "5m",
    "$__range": "1h",
    "$__tags": 'gen_ai_request_model="m"',
    "$pace": "1h",
    "$budget": "100",
    "$group": "gen_ai_request_model",
    "$label=": "job=",
}


class Selector(NamedTuple):
    """A series as an expression selects it, and every label asked of it."""

    name: str
    labels: frozenset[str]


class Expression(NamedTuple):
    """One PromQL expression, with the place it stands in."""

    where: str
    text: str

    def parsed(self) -> promql_parser.Expr:
        """Parse it, Grafana's variables replaced."""
        text = self.text
        for variable, value in _VARIABLES.items():
            text = text.replace(variable, value)
        return promql_parser.parse(text)

    def selectors(self) -> list[Selector]:
        """Return the series it reads, names by pattern written out."""
        return list(_selectors(self.parsed(), frozenset()))


def _selectors(node: Any, grouped: frozenset[str]) -> list[Selector]:
    """Walk a parsed expression down to its selectors.

    Labels that an aggregation keeps are asked of every series below it.
    """
    if isinstance(node, promql_parser.VectorSelector):
        matchers = {m.name: m.value for m in node.matchers.matchers}
        names = [node.name] if node.name else _spelled_out(matchers.pop("__name__"))
        labels = frozenset(matchers) | grouped
        return [Selector(name, labels) for name in names]
    if isinstance(node, promql_parser.MatrixSelector):
        return _selectors(node.vector_selector, grouped)
    if isinstance(node, promql_parser.AggregateExpr):
        modifier = node.modifier
        is_by = modifier and modifier.type == promql_parser.AggModifierType.By
        kept = frozenset(modifier.labels if modifier and is_by else ())
        return _selectors(node.expr, grouped | kept)
    if isinstance(node, promql_parser.BinaryExpr):
        return _of_both_sides(node, grouped)
    if isinstance(node, promql_parser.Call):
        if node.func.name == "label_replace":
            grouped -= {node.args[1].val}
        return [found for part in node.args for found in _selectors(part, grouped)]
    inner = getattr(node, "expr", None)
    return [] if inner is None else _selectors(inner, grouped)


def _of_both_sides(node: Any, grouped: frozenset[str]) -> list[Selector]:
    """Walk down both sides of an operator.

    What ``group_left`` names comes from the right side alone.
    """
    modifier = node.modifier
    brought = frozenset(modifier.group_labels or () if modifier else ())
    matched = frozenset(
        modifier.matching.labels if modifier and modifier.matching else ()
    )
    is_many = (
        modifier and modifier.card == promql_parser.VectorMatchCardinality.ManyToOne
    )
    right = matched | brought if is_many else grouped
    return _selectors(node.lhs, grouped - brought) + _selectors(node.rhs, right)


def _spelled_out(pattern: str) -> list[str]:
    """Write out the names that a pattern with alternatives stands for."""
    group = re.search(r"\(([^()]*)\)", pattern)
    if group is None:
        return pattern.split("|")
    return [
        name
        for choice in group[1].split("|")
        for name in _spelled_out(
            pattern[: group.start()] + choice + pattern[group.end() :]
        )
    ]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the repository's folder."""
    return _ROOT


@pytest.fixture(scope="session")
def compose(root: Path) -> dict[str, Any]:
    """Return the compose file."""
    loaded: dict[str, Any] = yaml.safe_load((root / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def settings(root: Path) -> dict[str, str]:
    """Return what .env sets."""
    lines = (root / ".env").read_text().splitlines()
    return dict(
        line.split("=", 1) for line in lines if line and not line.startswith("#")
    )


@pytest.fixture(scope="session")
def dashboards(root: Path) -> dict[str, dict[str, Any]]:
    """Return the dashboards by the name of their file."""
    folder = root / "deploy" / "grafana" / "json"
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.fixture(scope="session")
def rules(root: Path) -> list[dict[str, Any]]:
    """Return Prometheus' alert and recording rules."""
    return [
        rule
        for path in sorted((root / "deploy" / "prometheus" / "rules").glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


@pytest.fixture(scope="session")
def data_sources(root: Path) -> dict[str, dict[str, Any]]:
    """Return the provisioned data sources by their uid."""
    folder = root / "deploy" / "grafana" / "provisioning" / "datasources"
    loaded = yaml.safe_load((folder / "datasources.yaml").read_text())
    return {source["uid"]: source for source in loaded["datasources"]}


@pytest.fixture(scope="session")
def panel_expressions(dashboards: dict[str, dict[str, Any]]) -> list[Expression]:
    """Return the expressions of all panels and marks of the dashboards."""
    found = [
        Expression(f"{name}: {panel['title']}", target["expr"])
        for name, dashboard in dashboards.items()
        for panel in panels_of(dashboard)
        for target in panel.get("targets", ())
        if "expr" in target
    ]
    marks = [
        Expression(f"{name}: {mark['name']}", mark["expr"])
        for name, dashboard in dashboards.items()
        for mark in dashboard["annotations"]["list"]
    ]
    return found + marks


@pytest.fixture(scope="session")
def other_expressions(
    rules: list[dict[str, Any]], data_sources: dict[str, dict[str, Any]]
) -> list[Expression]:
    """Return the expressions of the rules and of the links from spans to metrics."""
    links = data_sources["jaeger"]["jsonData"]["tracesToMetrics"]["queries"]
    return [
        Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules
    ] + [
        Expression(f"link {link['name']}", link["query"].replace("$$", "$"))
        for link in links
    ]
