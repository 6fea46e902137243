"""No test of this suite is decided by how fast the machine is."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_TESTS = Path(__file__).resolve().parents[1]
_WAITS = {
    *("run", "check_output", "communicate", "wait", "join", "wait_for", "result"),
    *("urlopen", "HTTPConnection", "HTTPSConnection"),
}
_LEAST_S = 60


def _limits() -> Iterator[tuple[str, float]]:
    """Yield the limit of each call that waits, where it is a plain number."""
    for file in sorted(_TESTS.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = getattr(called, "attr", getattr(called, "id", None))
            if name in _WAITS:
                limits = [k.value for k in node.keywords if k.arg == "timeout"]
                if name in {"wait", "join"}:
                    limits += node.args[:1]
                elif name == "wait_for":
                    limits += node.args[1:2]
                for limit in limits:
                    if isinstance(limit, ast.Constant) and isinstance(
                        limit.value, int | float
                    ):
                        yield f"{file.name}:{node.lineno}", limit.value


def test_no_limit_is_short() -> None:
    """Each wait for a process, a thread or a call has a limit of at least a minute."""
    # Event.wait(0.02) in a loop is how often something is asked.
    short = [(where, limit) for where, limit in _limits() if 1 <= limit < _LEAST_S]
    assert short == []


def test_one_profile_holds_for_every_property() -> None:
    """Hypothesis has no deadline and no health check for slow data."""
    assert settings.default is not None
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check
