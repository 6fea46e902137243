"""Panels and rules evaluated on known series.

promtool evaluates the very expressions of the dashboards, with Grafana's variables put
in, over series that no app has to run for: processes with two kinds of histograms, two
releases of the conventions, two teams.
"""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from binaries import binary
from boards import panels_of
from stack import DEPLOY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.e2e

_ALL: Final = {
    "__rate_interval": "5m",
    "__range": "10m",
    "pace": "10m",
    "budget": "100",
    "label": "job",
    "operation": "chat|text_completion|generate_content|embeddings",
    "group": "gen_ai_request_model",
}
_CHAT: Final = (
    'gen_ai_operation_name="chat", gen_ai_provider_name="openai", '
    'gen_ai_request_model="m"'
)


def _asked(board: str, title: str, **chosen: str) -> list[str]:
    """Return a panel's expressions, with all values of other variables."""
    found = json.loads((DEPLOY / f"grafana/json/{board}.json").read_text())
    values = _ALL | chosen
    (panel,) = (p for p in panels_of(found) if p["title"] == title)
    return [
        re.sub(
            r"\$(\w+)", lambda name: values.get(name[1], ".*"), target["expr"]
        ).replace("[30d]", "[10m]")
        for target in panel["targets"]
    ]


def _series(name: str, *labels: str, **more: str) -> str:
    """Write a series' name and labels."""
    of_more = (f'{key}="{value}"' for key, value in more.items())
    return f"{name}{{{', '.join((*labels, *of_more))}}}"


def _holds(
    folder: Path, series: Mapping[str, str], *expected: tuple[str, float | None]
) -> None:
    """Check with promtool the value of each expression after 20 minutes.

    Args:
        folder: Where its file goes.
        series: Each series and its values, a minute apart.
        expected: Expressions and the one number of each, none if it gives nothing.
    """
    file = folder / "boards.test.yml"
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in series.items()],
        "promql_expr_test": [
            {
                "expr": expression,
                "eval_time": "20m",
                "exp_samples": (
                    [] if value is None else [{"labels": "{}", "value": value}]
                ),
            }
            for expression, value in expected
        ],
    }
    rules = str(DEPLOY / "prometheus/rules/recording.yml")
    document = {
        "rule_files": [rules],
        "evaluation_interval": "1m",
        "fuzzy_compare": True,
        "tests": [test],
    }
    file.write_text(yaml.safe_dump(document))
    command = [str(binary("promtool")), "test", "rules", str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own binary
    assert run.returncode == 0, run.stdout + run.stderr


def _native(count: int) -> str:
    """Write a native histogram that grows by so many observations a minute."""
    one = f"{{{{schema:0 sum:{count} count:{count} buckets:[{count}]}}}}"
    return f"{{{{schema:0 sum:0 count:0 buckets:[0]}}}}+{one}x30"


@pytest.mark.parametrize(
    ("board", "title", "name", "labels"),
    [
        (
            *("agents", "Agents invoked", "gen_ai_invoke_agent_duration_seconds"),
            'gen_ai_agent_name="weigher"',
        ),
        (
            *("agents", "Tool calls", "gen_ai_execute_tool_duration_seconds"),
            'gen_ai_tool_name="weigh"',
        ),
        (
            *("agents", "Retrievals", "gen_ai_client_operation_duration_seconds"),
            'gen_ai_operation_name="retrieval"',
        ),
    ],
)
def test_processes_with_both_kinds_of_histograms_are_added(
    tmp_path: Path, board: str, title: str, name: str, labels: str
) -> None:
    """Classic buckets of one process and native ones of another are added."""
    series = {
        _series(f"{name}_count", labels, job="a", instance="a1"): "0+3x30",
        _series(name, labels, job="b", instance="b1"): _native(4),
        # Prometheus may keep both kinds of one process: that is one process.
        _series(f"{name}_count", labels, job="c", instance="c1"): "0+5x30",
        _series(name, labels, job="c", instance="c1"): _native(5),
    }
    (expression,) = _asked(board, title)
    (of_one,) = _asked(board, title, job="b")
    _holds(tmp_path, series, (expression, 120), (of_one, 40))


def test_both_releases_of_the_conventions_are_added(tmp_path: Path) -> None:
    """A process that restarts with the newest names loses no workflow run."""
    of = 'job="a", instance="a1", gen_ai_workflow_name="graph"'
    series = {
        f"gen_ai_workflow_duration_seconds_count{{{of}}}": "0+2x15 _x15",
        f"gen_ai_invoke_workflow_duration_seconds_count{{{of}}}": "_x15 0+2x15",
    }
    runs, *_ = _asked("agents", "Workflows")
    # Of ten minutes five are the old name's and five the new one's.
    _holds(tmp_path, series, (f"sum({runs}) > bool 17", 1))


def test_a_chosen_label_narrows_what_has_it(tmp_path: Path) -> None:
    """With a chosen team, panels show its cost, tokens and calls only."""
    of = f'{_CHAT}, job="a", instance="a1"'
    roses, tulips = f'{of}, team="roses"', f'{of}, team="tulips"'
    series = {
        _series("otel_callbacks_cost_usd_total", roses, outcome="ok"): "0+1x30",
        _series("otel_callbacks_cost_usd_total", tulips, outcome="ok"): "0+2x30",
        _series("otel_callbacks_tokens_total", roses, outcome="ok"): "0+100x30",
        _series("otel_callbacks_tokens_total", tulips, outcome="ok"): "0+200x30",
        _series("otel_callbacks_operations_total", roses, outcome="ok"): "0+3x30",
        _series("otel_callbacks_operations_total", tulips, outcome="ok"): "0+6x30",
        _series("otel_callbacks_operations_total", roses, outcome="error"): "0+1x30",
        _series("otel_callbacks_operations_in_flight", of): "7x30",
        _series("otel_callbacks_open_runs", job="a", instance="a1"): "7x30",
        _series("gen_ai_client_operation_duration_seconds_count", of): "0+9x30",
        _series(
            "gen_ai_client_operation_duration_seconds_bucket", of, le="1"
        ): "0+9x30",
        _series(
            "gen_ai_client_operation_duration_seconds_bucket", of, le="+Inf"
        ): "0+9x30",
        # What has no team and would be a false zero: it stays.
        _series("otel_callbacks_unpriced_tokens_total", of.split(", ", 1)[1]): "0+5x30",
    }
    team = {"label": "team", "label_value": "roses"}
    expected = []
    for board, title, of_all, of_team in (
        ("spend", "Spent", 30.0, 10.0),
        ("spend", "Cost per call", 3 / 10, 1 / 4),
        # A month of the pace of three dollars, and of one, a minute.
        ("spend", "Month at this pace", 3 * 43200.0, 1 * 43200.0),
        ("spend", "Tokens without a price", 50.0, 50.0),
        ("llm", "Calls", 100.0, 40.0),
        ("llm", "Failed", 0.1, 0.25),
        ("llm", "Tokens", 3000.0, 1000.0),
        ("llm", "Latency, p95", 0.95, None),
        ("llm", "In flight", 7.0, None),
    ):
        (everything,) = _asked(board, title)
        (narrowed,) = _asked(board, title, **team)
        expected += [(everything, of_all), (narrowed, of_team)]
    # Recorded over five minutes; here each minute, so five times as much.
    (thirty,) = _asked("spend", "Spent in 30 days")
    (of_roses,) = _asked("spend", "Spent in 30 days", **team)
    expected.append((f"({thirty}) / ({of_roses})", 3.0))
    _holds(tmp_path, series, *expected)


def test_http_requests_are_not_held_against_one_model(tmp_path: Path) -> None:
    """HTTP spans have no model, so with a chosen model there is no ratio."""
    of = 'service_name="a", span_kind="SPAN_KIND_CLIENT"'
    name = "traces_span_metrics_calls_total"
    series = {
        _series(name, of, span_name="POST"): "0+12x30",
        _series(name, of, _CHAT, span_name="chat m"): "0+8x30",
        _series(name, of, _CHAT.replace('"m"', '"n"'), span_name="chat n"): "0+4x30",
    }
    title = "HTTP requests for each model call"
    (all_models,) = _asked("llm", title)
    (one_model,) = _asked("llm", title, model="n")
    _holds(tmp_path, series, (all_models, 1.0), (one_model, None))


@pytest.mark.parametrize(
    ("reported", "wasted", "share"),
    [
        # Nobody knows what a cancelled call cost: no share, not 0 %.
        ("0+8x30", "0x30", None),
        # Its provider said the tokens of each: 0 is 0.
        ("0+9x30", "0x30", 0.0),
        ("0+8x30", "0+1x30", 0.1),
    ],
)
def test_what_nobody_got_is_not_zero_where_it_is_unknown(
    tmp_path: Path, reported: str, wasted: str, share: float | None
) -> None:
    """With eight calls and one cancelled per minute, unknown cost is not shown as 0."""
    of = f'{_CHAT}, job="a", instance="a1"'
    series = {
        _series("otel_callbacks_operations_total", of, outcome="ok"): "0+8x30",
        _series("otel_callbacks_operations_total", of, outcome="cancelled"): "0+1x30",
        _series("otel_callbacks_cost_usd_total", of, outcome="ok"): "0+9x30",
        _series("otel_callbacks_cost_usd_total", of, outcome="cancelled"): wasted,
        _series(
            "gen_ai_client_token_usage_count", of, gen_ai_token_type="input"
        ): reported,
    }
    if wasted == "0x30":
        del series[_series("otel_callbacks_cost_usd_total", of, outcome="cancelled")]
    (expression,) = _asked("spend", "Share nobody got")
    _holds(tmp_path, series, (expression, share))


@pytest.mark.parametrize("slow", ["buckets", "native"])
def test_latency_of_both_kinds_is_the_slower_one(tmp_path: Path, slow: str) -> None:
    """The alert's rule sees slow calls in either kind of histogram."""
    name = "gen_ai_client_operation_duration_seconds"
    is_native = slow == "native"
    offset = 6 if is_native else 0
    one = f"{{{{schema:0 sum:1 count:1 offset:{offset} buckets:[1]}}}}"
    zero = f"{{{{schema:0 sum:0 count:0 offset:{offset} buckets:[0]}}}}"
    of_a, of_b = (f'{_CHAT}, job="{job}", instance="{job}1"' for job in "ab")
    series = {
        _series(f"{name}_bucket", of_a, le="1"): "0+1x30" if is_native else "0x30",
        _series(f"{name}_bucket", of_a, le="64"): "0+1x30",
        _series(f"{name}_bucket", of_a, le="+Inf"): "0+1x30",
        _series(name, of_b): f"{zero}+{one}x30",
    }
    rule = f"provider_model:{name}:p95_5m"
    _holds(tmp_path, series, (f"sum({rule} > bool 30)", 1.0))
