"""The scenarios, run once for all tests; the package beside this file is importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

_HERE: Final = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE))

from measure.declared import carried, table  # noqa: E402 -- importable by the above
from measure.floors import FLOORS  # noqa: E402
from measure.registry import registry  # noqa: E402
from measure.session import SCENARIOS, run  # noqa: E402

if TYPE_CHECKING:
    from measure.session import Ran

_RAN: Final = pytest.StashKey[dict[str, "Ran"]]()


@pytest.fixture(scope="session")
def ran(request: pytest.FixtureRequest) -> dict[str, Ran]:
    """Run all scenarios once, with the conventions' names alone."""
    scripts = [(name, _HERE / "scenarios" / f"{name}.py") for name in SCENARIOS]
    ended = run(scripts, OTEL_CALLBACKS_EXTENSIONS="false")
    request.config.stash[_RAN] = ended
    return ended


@pytest.fixture(scope="session")
def ran_with_extensions() -> Ran:
    """Run all scenarios in one app, with what is ours beside."""
    scripts = [("all", _HERE / "measure" / "all_scenarios.py")]
    return run(scripts, OTEL_CALLBACKS_EXTENSIONS="true")["all"]


@pytest.fixture(scope="session")
def ran_latest() -> Ran:
    """Run all scenarios in one app, with the names of later conventions."""
    scripts = [("all", _HERE / "measure" / "all_scenarios.py")]
    return run(scripts, OTEL_CALLBACKS_SEMCONV="latest")["all"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the coverage where these tests were asked for."""
    ended = config.stash.get(_RAN, None)
    if ended is None or not any("conformance" in arg for arg in config.args):
        return
    carried_by = {
        name: carried(registry(), one.received) for name, one in ended.items()
    }
    terminalreporter.write_line("")
    terminalreporter.write_line(table(registry(), carried_by, FLOORS))
