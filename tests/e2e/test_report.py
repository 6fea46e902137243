"""The commands of money on a real Prometheus that reads a real app."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from processes import eventually
from prometheus_client import CollectorRegistry, Counter, start_http_server
from waiting import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

    from stack import Stack

pytestmark = pytest.mark.e2e

_LABELS = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
_MINI = ("chat", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18")


class _App:
    """An app that serves series of spend; each one begins at 0."""

    def __init__(self, port: int) -> None:
        registry = CollectorRegistry()
        self.tokens = Counter(
            "otel_callbacks_tokens",
            "x",
            (*_LABELS, "gen_ai_token_type", "outcome"),
            registry=registry,
        )
        self.cost = Counter(
            "otel_callbacks_cost_usd", "x", (*_LABELS, "outcome"), registry=registry
        )
        self._server, self._thread = start_http_server(port, "127.0.0.1", registry)

    def spend(self, tokens: int, dollars: float) -> None:
        """Count one call."""
        self.tokens.labels(*_MINI, "input", "ok").inc(tokens)
        self.cost.labels(*_MINI, "ok").inc(dollars)

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _run(*arguments: str) -> tuple[int, Any]:
    """Run a command; return its exit code and what it printed."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [sys.executable, "-m", "otel_callbacks.cli", *arguments, "--json"],
        env={name: text for name, text in os.environ.items() if name[:5] != "OTEL_"},
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=False,
    )
    if done.returncode == 2:  # it cannot be read
        return done.returncode, {"total": {"input_tokens": done.stderr}}
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def _total(url: str) -> Any:
    """Return the sum of the last ten minutes; of an empty Prometheus why not."""
    code, content = _run("report", "--prometheus", url, "--since", "10m")
    assert code == 0 or "none of our series" in str(content)
    return content["total"]


def test_spend_and_gaps_of_a_real_prometheus(own_stack: Stack, tmp_path: Path) -> None:
    """To the token and the cent: a young counter, and one that began anew."""
    own_stack.prometheus.start()
    url = own_stack.url("prometheus")
    app = _App(own_stack.app_port)
    try:
        app.spend(1_000, 0.25)
        eventually(lambda: _total(url)["input_tokens"] == 1_000, "the first call")
        app.spend(500, 0.5)
        eventually(lambda: _total(url)["input_tokens"] == 1_500, "the second call")
        assert _total(url)["cost_usd"] == 0.75
        export = tmp_path / "usage.csv"
        head = "date,model,input_tokens,cost"
        export.write_text(f"{head}\n{datetime.now(UTC):%Y-%m-%d},gpt-4o-mini,1500,0.75")
        code, content = _run("reconcile", str(export), "--prometheus", url)
        assert code == 0, content
        # The export leaves out the version's date, our series have it.
        assert {row["model"] for row in content["rows"]} == {"gpt-4o-mini"}
        assert [row["difference"] for row in content["rows"]] == [0, 0]
    finally:
        app.stop()
    app = _App(own_stack.app_port)
    try:
        app.spend(100, 0.125)

        eventually(lambda: _total(url)["input_tokens"] == 1_600, "the restart")
        _, content = _run("report", "--prometheus", url, "--since", "10m")
        assert content["total"]["cost_usd"] == 0.875
        assert "2 counters began anew" in str(content)
    finally:
        app.stop()
