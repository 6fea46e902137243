"""The alerts of the tiers fire when they should, and lead to a page that helps."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from binaries import BuildError, binary
from manifests import ROOT

_RULES = ROOT / "rules/tiers.yml"
_CASES = ROOT / "rules/tests/tiers.test.yml"


def _alerts() -> list[dict[str, str]]:
    groups = yaml.safe_load(_RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_each_alert_has_a_section_and_two_cases() -> None:
    """One that fires and one that stays silent."""
    page = (ROOT.parents[1] / "docs/scale.md").read_text()
    cases = [each["name"] for each in yaml.safe_load(_CASES.read_text())["tests"]]
    for alert in _alerts():
        name = alert["alert"]
        assert f"\n### {name}\n" in page
        assert alert["annotations"]["runbook_url"] == f"docs/scale.md#{name.lower()}"  # type: ignore[index]
        assert any(re.match(rf"{name} fires - ", case) for case in cases)
        assert any(re.match(rf"{name} stays silent - ", case) for case in cases)


@pytest.mark.kubernetes
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "--lint=all", "--lint-fatal", str(_RULES)),
        ("test", "rules", str(_CASES)),
    ],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    """With the rules, and with every case."""
    try:
        promtool = binary("promtool")
    except BuildError as error:
        pytest.skip(str(error))
    ended = subprocess.run(  # noqa: S603 -- our own binary
        [str(promtool), *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
