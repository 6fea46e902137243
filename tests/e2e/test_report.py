"""The report and reconcile commands on a real Prometheus with a real app."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from binaries import binary
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
    """An app that serves the series of spend, each from 0."""

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


def _total(url: str, since: str) -> Any:
    """Return the sum since a time, or the reason of a refusal."""
    code, content = _run("report", "--prometheus", url, "--since", since)
    assert code == 0 or "none of our series" in str(content)
    return content["total"]


def test_spend_and_gaps_of_a_real_prometheus(own_stack: Stack, tmp_path: Path) -> None:
    """Sums of a new and of a reset counter are exact."""
    # Before it there is nothing, and nobody knows what was spent.
    since = datetime.now(UTC).isoformat()
    own_stack.prometheus.start()
    url = own_stack.url("prometheus")
    app = _App(own_stack.app_port)
    try:
        app.spend(1_000, 0.25)
        eventually(
            lambda: _total(url, since)["input_tokens"] == 1_000, "the first call"
        )
        app.spend(500, 0.5)
        eventually(
            lambda: _total(url, since)["input_tokens"] == 1_500, "the second call"
        )
        assert _total(url, since)["cost_usd"] == 0.75
        # Of the hours before it, the same sum is not proven.
        code, content = _run("report", "--prometheus", url, "--since", "3h")
        assert (code, content["total"]["input_tokens"]) == (1, 1_500)
        assert "Nothing was read from" in str(content["remarks"])
        export = tmp_path / "usage.csv"
        head = "date,model,input_tokens,cost"
        export.write_text(f"{head}\n{datetime.now(UTC):%Y-%m-%d},gpt-4o-mini,1500,0.75")
        code, content = _run("reconcile", str(export), "--prometheus", url)
        # Nothing was read of the hours of today before: no agreement is proven.
        assert (code, content["proven"]) == (1, False)
        # The export leaves out the version's date, our series have it.
        assert {row["model"] for row in content["rows"]} == {"gpt-4o-mini"}
        assert [row["difference"] for row in content["rows"]] == [0, 0]
    finally:
        app.stop()
    app = _App(own_stack.app_port)
    try:
        app.spend(100, 0.125)

        eventually(lambda: _total(url, since)["input_tokens"] == 1_600, "the restart")
        code, content = _run("report", "--prometheus", url, "--since", since)
        assert code == 0
        assert content["total"]["cost_usd"] == 0.875
        assert "2 counters began anew" in str(content)
    finally:
        app.stop()


DAY = 86_400
HOUR = 3_600
_TOKENS = "otel_callbacks_tokens_total"
_STARTED = "process_start_time_seconds"
_SHOP = {"job": "shop", "instance": "a:1"}
_CALL = {"gen_ai_operation_name": "chat", "gen_ai_token_type": "input"}

_Samples = list[tuple[float, float]]
_Series = dict[tuple[str, str], _Samples]
"""By name and further labels, as OpenMetrics writes them."""


def _labels(**more: str) -> str:
    """Write the labels of the app's series."""
    return ",".join(f'{name}="{text}"' for name, text in (_SHOP | more).items())


def _every(seconds: float, start: float, end: float, value: float) -> _Samples:
    """Return samples of one value, in hours of a day."""
    count = round((end - start) * HOUR / seconds)
    return [(start * HOUR + seconds * n, value) for n in range(count)]


_ALWAYS = (-2.0, 25.0)
_UP: _Series = {("up", _labels()): _every(60, *_ALWAYS, 1)}
_CALLS = (_TOKENS, _labels(**_CALL))
_PROCESS = (_STARTED, _labels())
_GROWN = [*_every(60, -2, 12, 3_000_000), *_every(60, 12, 25, 3_100_000)]
# The start of a process, in seconds of its day.
_OLD = _every(60, *_ALWAYS, -9 * HOUR)
_HISTORIES: list[tuple[str, _Series, int, object]] = [
    ("an old app", _UP | {_CALLS: _GROWN, _PROCESS: _OLD}, 0, 100_000),
    (
        "read every ten minutes",
        {_CALLS: _GROWN[::10], _PROCESS: _OLD[::10], ("up", _labels()): _OLD[::10]},
        0,
        100_000,
    ),
    (
        "a gap, an app that goes on",
        _UP | {_CALLS: _GROWN[:500] + _GROWN[1000:], _PROCESS: _OLD},
        0,
        100_000,
    ),
    (
        "a gap, an app that began anew",
        {
            _CALLS: [*_every(60, -2, 6, 1_000), *_every(60, 12, 25, 200)],
            ("up", _labels()): [*_every(60, -2, 6, 1), *_every(60, 12, 25, 1)],
        },
        1,
        200,
    ),
    (
        "a Prometheus that is younger",
        {_CALLS: _GROWN[480:], _PROCESS: _OLD[480:], ("up", _labels()): _OLD[480:]},
        1,
        100_000,
    ),
    (
        "equal values after a restart",
        _UP
        | {
            _CALLS: [*_every(60, -2, 0, 0), *_every(60, 0.5, 25, 500)],
            _PROCESS: [*_every(60, -2, 9, -9 * HOUR), *_every(60, 9, 25, 9 * HOUR - 5)],
        },
        0,
        1_000,
    ),
    (
        "a counter that is new, and begins anew",
        _UP
        | {
            (_TOKENS, _labels(**_CALL, team="a")): _every(60, *_ALWAYS, 0),
            _CALLS: [*_every(60, 1, 9, 500_000), *_every(60, 9, 25, 200_000)],
        },
        0,
        700_000,
    ),
    (
        "in two ways",
        _UP
        | {_CALLS: _GROWN, (_TOKENS, _labels(**_CALL | {"instance": "5d"})): _GROWN},
        2,
        "reach http",
    ),
    (
        "two replicas",
        _UP | {(_TOKENS, _labels(**_CALL, replica=one)): _GROWN for one in "ab"},
        2,
        "as replica 'a' and as replica 'b'",
    ),
    ("nothing of ours", _UP, 2, "has none of our series"),
]


def _written(days: list[float]) -> str:
    """Write all histories, each of its own day, as OpenMetrics does."""
    lines: dict[str, list[str]] = {}
    for day, (_, series, *_) in zip(days, _HISTORIES, strict=True):
        for (name, labels), samples in series.items():
            is_start = name == _STARTED
            lines.setdefault(name, []).extend(
                f"{name}{{{labels}}} {value + day * is_start} {time + day:.0f}"
                for time, value in samples
            )
    text = "".join(
        f"# TYPE {name.removesuffix('_total')} "
        f"{'counter' if name == _TOKENS else 'gauge'}\n" + "\n".join(own) + "\n"
        for name, own in lines.items()
    )
    return f"{text}# EOF\n"


def test_histories_that_mislead(own_stack: Stack) -> None:
    """The sum of each day is right, or reported as not proven."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today.timestamp() - DAY * 2 * (len(_HISTORIES) + 1)
    days = [first + DAY * 2 * n for n in range(len(_HISTORIES))]
    file = own_stack.folder / "histories.txt"
    file.write_text(_written(days))
    subprocess.run(  # noqa: S603 -- a server of our own
        [
            *(binary("promtool"), "tsdb", "create-blocks-from", "openmetrics"),
            *("--quiet", "--max-block-duration=60d", file, own_stack.folder / "tsdb"),
        ],
        check=True,
    )
    own_stack.prometheus.start()
    url = own_stack.url("prometheus")
    for day, (what, _, code, wanted) in zip(days, _HISTORIES, strict=True):
        since, until = (
            datetime.fromtimestamp(time, UTC).isoformat() for time in (day, day + DAY)
        )
        found = _run("report", "--prometheus", url, "--since", since, "--until", until)
        tokens = found[1]["total"]["input_tokens"]
        assert found[0] == code, (what, found)
        assert str(wanted) in tokens if code == 2 else tokens == wanted, (what, found)
