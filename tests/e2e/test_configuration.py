"""The files under ``deploy/``, read by the servers' own checkers."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from binaries import binary
from stack import DEPLOY, PROMETHEUS_FLAGS
from waiting import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

_PROMETHEUS = DEPLOY / "prometheus"
_RULES = sorted(_PROMETHEUS.glob("rules/*.yml"))
_TESTS = sorted(_PROMETHEUS.glob("tests/*.test.yml"))


def _output_of(*command: str | Path) -> str:
    """Run a checker, assert success, and return its output."""
    ended = subprocess.run(  # noqa: S603 -- our own binaries
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def _alerts() -> list[dict[str, Any]]:
    """Return every alert of the rule files."""
    return [
        rule
        for file in _RULES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]


def test_collector_accepts_its_configuration() -> None:
    """``otelcol validate`` reports no error and no warning."""
    output = _output_of(
        binary("otelcol"), "validate", "--config", DEPLOY / "collector/config.yaml"
    )
    assert output == ""


def test_jaeger_accepts_its_configuration() -> None:
    """``jaeger validate`` reports no error."""
    _output_of(binary("jaeger"), "validate", "--config", DEPLOY / "jaeger/config.yaml")


def test_prometheus_accepts_its_configuration() -> None:
    """``promtool check config`` reports no error, including the rules."""
    output = _output_of(
        binary("promtool"), "check", "config", _PROMETHEUS / "prometheus.yml"
    )
    assert f"SUCCESS: {len(_RULES)} rule files found" in output


def test_rules_pass_every_lint() -> None:
    """``promtool check rules`` with all its lints, as errors."""
    _output_of(
        *(binary("promtool"), "check", "rules", "--lint=all", "--lint-fatal"), *_RULES
    )


@pytest.mark.parametrize("file", _TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_stay_silent(file: Path) -> None:
    """``promtool test rules`` agrees with each case."""
    assert "SUCCESS" in _output_of(binary("promtool"), "test", "rules", file)


def test_every_alert_has_a_case_of_each_kind() -> None:
    """Every alert has a case that fires and one that stays silent."""
    kinds: dict[str, set[bool]] = {rule["alert"]: set() for rule in _alerts()}
    for file in _TESTS:
        for case in yaml.safe_load(file.read_text())["tests"]:
            for expected in case["alert_rule_test"]:
                kinds[expected["alertname"]].add(bool(expected["exp_alerts"]))
    assert {name for name, seen in kinds.items() if seen != {True, False}} == set()


def test_every_alert_has_a_remedy() -> None:
    """Every alert has severity, summary, description and a runbook section."""
    runbook = (DEPLOY.parent / "docs/alerts.md").read_text()
    sections = [
        line.removeprefix("## ")
        for line in runbook.splitlines()
        if line.startswith("## ")
    ]
    alerts = _alerts()
    assert sections == [rule["alert"] for rule in alerts]
    for rule in alerts:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        anchor = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{anchor}"


def test_every_setting_of_the_collector_is_documented() -> None:
    """The README beside the configuration lists its variables, each once, no other."""
    variable = re.compile(r"COLLECTOR_[A-Z_]+")
    used = variable.findall((DEPLOY / "collector/config.yaml").read_text())
    rows = (DEPLOY / "collector/README.md").read_text().splitlines()
    listed = [
        name
        for row in rows
        if row.startswith("| `")
        for name in variable.findall(row.split("|")[1])
    ]
    assert sorted(listed) == sorted(set(used))


def test_compose_runs_prometheus_as_these_tests_do() -> None:
    """The flags that exemplars and pushed metrics need are in the compose file too."""
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
    assert set(PROMETHEUS_FLAGS) <= set(compose["services"]["prometheus"]["command"])


def test_links_of_jaeger_lead_to_a_dashboard_that_exists() -> None:
    """Jaeger's links name a provisioned dashboard and variables that it has."""
    board = json.loads((DEPLOY / "grafana/json/llm.json").read_text())
    variables = {f"var-{each['name']}" for each in board["templating"]["list"]}
    ui = json.loads((DEPLOY / "jaeger/ui.json").read_text())
    assert ui["linkPatterns"]
    for link in ui["linkPatterns"]:
        parts = urlsplit(link["url"].replace("#{", "{"))
        assert parts.path == f"/d/{board['uid']}"
        assert set(parse_qs(parts.query)) <= variables | {"from", "to"}
