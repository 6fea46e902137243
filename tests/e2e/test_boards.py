"""Every panel of every board, queried in a real run and compared with the facts.

The demo is scraped and a second app pushes, so each board has two services. With
BOARDS=FOLDER a sheet of all panels is drawn from the answers.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from answers import get, samples
from boards import Board
from processes import eventually
from sheet import draw
from stack import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boards import Answer
    from stack import Stack

pytestmark = pytest.mark.e2e

_NAMES: Final = ("llm", "agents", "spend", "health")
_PLAYS_SECONDS: Final = 60.0
_ENDS_WITHIN: Final = 60
_SECOND: Final = "second-shop"
_OF_SPEED: Final = {
    *("TelemetryTargetDown", "TelemetryTargetAbsent"),
    *("LLMLatencyHigh", "LLMFirstChunkSlow"),
}
"""Alerts that may be pending on a busy machine, where all takes longer."""
_DEMO: Final = ("-m", "otel_callbacks.cli", "demo", "--rounds", "0", "--keep-serving")

# What no part of the run does: these panels say so.
_RIGHTLY_EMPTY: Final = {
    "spend: Calls beyond a budget",
    # No call here has a part without a price, such as a search of the provider's.
    "spend: Calls that are partly priced",
    "health: Errors inside",
    "health: Labels overflowed",
    "health: Errors inside by place",
    "health: Overflow by label",
    "health: Refused",
    "health: Failed to send",
    "health: Alerts that fire",
    # No provider says the tokens of what was given up, so "Given up, cost unknown" has
    # the calls.
    "spend: Spent on answers nobody got",
    "spend: Spent on answers nobody got, by model and outcome",
    "spend: Tokens nobody got",
    "spend: Share nobody got",
    # Two seconds are long for a fake provider; a busy machine reaches them.
    "llm: Slow traces of $trace_service",
}


@dataclass(frozen=True, slots=True)
class Run:
    """The state after the run.

    Args:
        stack: The servers.
        since: Unix seconds of its start.
        began: Unix seconds from which on all was there.
        recorded: What the second app recorded.
    """

    stack: Stack
    since: float
    began: float
    recorded: dict[str, float]

    def board(self, name: str, **chosen: str) -> Board:
        """Return a board over the time of the run."""
        prometheus = self.stack.url("prometheus")
        jaeger = self.stack.url("jaeger_http")
        return Board(name, prometheus, jaeger, self.since, **chosen)


def _environment(stack: Stack, **more: str) -> dict[str, str]:
    """Return the environment of an app."""
    return {
        **{key: value for key, value in os.environ.items() if "OTEL" not in key},
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        **more,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The demo and a second app beside it, for a minute."""
    from stack import Stack  # noqa: PLC0415 -- a folder of its own

    stack = Stack(tmp_path_factory.mktemp("boards"))
    demo = second = None
    try:
        stack.start()
        since = time.time()
        demo = subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, *_DEMO],
            env=_environment(
                stack,
                OTEL_SERVICE_NAME="flower-shop",
                OTEL_RESOURCE_ATTRIBUTES="service.version=demo,"
                "deployment.environment.name=demo",
                OTEL_CALLBACKS_LABELS="chain,gen_ai.agent.name",
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        second = subprocess.Popen(  # noqa: S603 -- our own app
            [sys.executable, HERE / "apps/second_shop.py"],
            env=_environment(
                stack,
                OTEL_METRICS_EXPORTER="otlp",
                # The demo has the names of the conventions' release.
                OTEL_CALLBACKS_SEMCONV="latest",
                OTEL_RESOURCE_ATTRIBUTES="service.version=2,"
                "deployment.environment.name=test",
                OTEL_CALLBACKS_LABELS="team,chain,gen_ai.agent.name,"
                "gen_ai.prompt.name,gen_ai.prompt.version",
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert second.stdin is not None
        assert second.stdout is not None
        assert second.stdout.readline() == "playing\n"
        is_read = 'up{job="app"} == 1'
        eventually(lambda: samples(stack.url("prometheus"), is_read), is_read)
        # The rules of that moment are evaluated a second later.
        began = time.time() + 3
        time.sleep(_PLAYS_SECONDS)
        second.stdin.write("x")
        second.stdin.flush()
        recorded = json.loads(second.stdout.readline())
        _settled(stack, recorded)
        yield Run(stack, since, began, recorded)
        second.stdin.close()
        assert second.wait(_ENDS_WITHIN) == 0
    finally:
        for process in (demo, second):
            if process is not None:
                process.kill()
                process.wait(_ENDS_WITHIN)
        if second is not None and second.stdin and second.stdout:
            second.stdin.close()
            second.stdout.close()
        stack.stop()


def _settled(stack: Stack, recorded: dict[str, float]) -> None:
    """Wait until the last call has arrived: in Prometheus, in spans, in Jaeger."""
    url = stack.url("prometheus")
    retrievals = recorded["retrievals"]
    query = (
        f'sum(traces_span_metrics_calls_total{{service_name="{_SECOND}", '
        'gen_ai_operation_name="retrieval"})'
    )
    counted = (
        f'sum(otel_callbacks_operations_total{{job="{_SECOND}", '
        'gen_ai_operation_name="retrieval"})'
    )
    for expression in (query, counted):
        eventually(
            functools.partial(_with_value, url, expression, retrievals), expression, 90
        )
    recorded_rule = f'instance:otel_callbacks_service:info{{service_name="{_SECOND}"}}'
    eventually(lambda: samples(url, recorded_rule), recorded_rule)


def _with_value(url: str, query: str, value: float) -> list[dict[str, Any]]:
    """Return the samples of a query that have this value."""
    return [one for one in samples(url, query) if one["value"] == value]


@pytest.fixture(scope="module")
def answers(run: Run) -> dict[str, Answer]:
    """Return every panel's answer, of all services together."""
    found = {
        f"{name}: {title}": answer
        for name in _NAMES
        for title, answer in run.board(name).answers().items()
    }
    if folder := os.environ.get("BOARDS"):
        draw(found, Path(folder))
    return found


def test_no_query_is_refused(answers: dict[str, Answer]) -> None:
    """Prometheus and Jaeger understand every one of them."""
    assert {w: a.trouble for w, a in answers.items() if a.trouble} == {}


def test_every_panel_has_data_or_is_rightly_empty(answers: dict[str, Answer]) -> None:
    """What the run does is on a panel; what it does not do is named here."""
    empty = {where for where, answer in answers.items() if answer.is_empty}
    assert empty - _RIGHTLY_EMPTY == set()


def test_variables_know_both_services(run: Run) -> None:
    """One that is scraped under another name and one that pushes: one identity."""
    for name in _NAMES:
        board = run.board(name)
        assert board.options["service"] == ["flower-shop", _SECOND]
        assert board.options["environment"] == ["demo", "test"]
        assert board.options["version"] == ["2", "demo"]
        assert board.options["job"] == ["app", _SECOND]
        assert board.options["label"] == [
            *("chain", "gen_ai_agent_name", "gen_ai_prompt_name"),
            *("gen_ai_prompt_version", "team"),
        ]


@pytest.mark.parametrize("service", ["flower-shop", _SECOND])
def test_a_chosen_service_is_all_that_is_shown(run: Run, service: str) -> None:
    """Series, spans and traces are of one service, on all boards."""
    other = {"flower-shop": _SECOND, _SECOND: "flower-shop"}[service]
    for name in ("llm", "agents", "spend"):
        board = run.board(name, service=service)
        assert board.options["trace_service"] == [service]
        everything = {t: a for t, a in board.answers().items() if not a.is_empty}
        assert len(everything) > 10
        models = board.options["model"]
        assert ("own-model-7b" in models) == (service == _SECOND)
        shown = repr([answer.series for answer in everything.values()])
        assert other not in shown


def _about(expected: float, surplus: float = 0.2) -> Any:
    """Return what ``increase`` may make of a number: it extrapolates to the edges."""
    return pytest.approx(expected * (1 + surplus / 2), rel=surplus / 2 + 0.01, abs=1)


def test_numbers_are_what_the_provider_recorded(run: Run) -> None:
    """Calls, tokens, outcomes, failures by class: of the second app."""
    real = run.recorded
    llm = run.board("llm", service=_SECOND).answers()
    given_up = real["cancelled"]
    calls = (
        real["ok"]
        + real["streams"]
        + real["embeddings"]
        + real["cache_hit"]
        + real["rate_limited"]
        + given_up
    )
    assert llm["Calls"].value == _about(calls)
    assert llm["Failed"].value == pytest.approx(real["rate_limited"] / calls, abs=0.02)
    assert llm["Given up"].value == pytest.approx(given_up / calls, abs=0.02)
    succeeded = (calls - real["rate_limited"] - given_up) / calls
    assert llm["Succeeded"].value == pytest.approx(succeeded, abs=0.02)
    by_exception = llm["Failed calls by exception"].column(0, "error_type")
    assert list(by_exception) == ["OpenAIRateLimitError"]
    assert by_exception["OpenAIRateLimitError"] == _about(real["rate_limited"])
    assert llm["Tokens"].value >= 0.99 * (real["input"] + real["output"])
    cached = real["cache_hit"] / calls
    assert llm["From LangChain's cache"].value == pytest.approx(cached, abs=0.02)
    # 50 ms are the provider's. The p95 of all lies among those of the models, by the
    # width of a bucket, however busy the machine is.
    slowest = max(llm["Models"].column(6, "gen_ai_request_model").values())
    assert 0.05 < llm["Latency, p95"].value <= 1.5 * slowest


def test_agents_and_tools_are_what_happened(run: Run) -> None:
    """Agent runs, tool calls, their failures and the cost of agents are right."""
    real = run.recorded
    agents = run.board("agents", service=_SECOND).answers()
    assert agents["Agents invoked"].value == _about(real["agents"])
    assert agents["Tool calls"].value == _about(real["tools"])
    workflows = agents["Workflows"]
    assert workflows.column(0, "gen_ai_workflow_name") == {
        "look": _about(real["workflows"])
    }
    everyones = run.board("agents").answers()["Workflows"]
    assert len(everyones.column(0, "gen_ai_workflow_name")) > 1
    failed = real["failed_tools"] / real["tools"]
    assert agents["Failed tool calls"].value == pytest.approx(failed, abs=0.05)
    assert agents["Retrievals"].value == _about(real["retrievals"])
    spent = agents["Cost and tokens by agent"]
    assert list(spent.column(0, "gen_ai_agent_name")) == ["weigher"]
    assert spent.column(2, "gen_ai_agent_name")["weigher"] == _about(real["agents"])


def test_spend_shows_what_it_lacks(run: Run) -> None:
    """Spend by team, prompt and agent shows unpriced tokens and unknown calls."""
    real = run.recorded
    spend = run.board("spend", service=_SECOND).answers()
    assert spend["Tokens without a price"].value > 0
    prompts = spend["Prompts"].column(0, "gen_ai_prompt_version")
    assert set(prompts) == {"0", "1"}
    assert spend["Given up, cost unknown"].value == _about(real["cancelled"])
    by_team = run.board("spend", service=_SECOND, group="team").answers()
    assert set(by_team["Spent by $group"].column(0, "team")) == {"roses", "tulips"}
    spent_by = {
        team: run.board("spend", service=_SECOND, label="team", label_value=team)
        .answers()["Spent"]
        .value
        for team in ("roses", "tulips")
    }
    assert sum(spent_by.values()) == pytest.approx(spend["Spent"].value, rel=0.05)
    assert min(spent_by.values()) > 0.3 * spend["Spent"].value
    hourly = spend["Per hour"].value
    spent = spend["Spent"].value
    # A minute's spend is not an hour's: the pace is that of the time there is.
    assert hourly > 10 * spent


def test_the_collector_is_not_added_to_jaeger(
    run: Run, answers: dict[str, Answer]
) -> None:
    """Both have series of the same names; the board counts only the Collector's."""
    accepted = answers["health: Accepted"]
    assert 'job=~"otel-collector"' in accepted.queries[0]
    url = run.stack.url("prometheus")
    both = samples(url, "count by (job) (otelcol_receiver_accepted_spans_total)")
    assert {one["labels"]["job"] for one in both} >= {"otel-collector"}


def test_links_lead_to_what_exists(run: Run) -> None:
    """Links use existing board ids and services that Jaeger has."""
    jaeger = run.stack.url("jaeger_http")
    services = set(get(f"{jaeger}/api/services")["data"])
    uids = {run.board(name).json["uid"] for name in _NAMES}
    page = json.loads((HERE.parents[1] / "deploy/jaeger/ui.json").read_text())
    for entry in (*page["menu"], *page["linkPatterns"]):
        for uid in re.findall(r"/d/([\w-]+)", entry["url"]):
            assert uid in uids
        for service in parse_qs(urlsplit(entry["url"]).query).get("service", ()):
            assert service in services
    for service in ("flower-shop", _SECOND):
        for name in ("llm", "agents"):
            for url in run.board(name, service=service).links():
                assert "$" not in re.sub(r"\$\{__\w+[.\w]*\}", "", url), url
                chosen = parse_qs(urlsplit(url).query).get("service", [service])
                assert chosen == [service]


def test_no_alert_fires_that_nothing_means(run: Run) -> None:
    """The demo causes no pending alert; the second app fails on purpose."""
    url = run.stack.url("prometheus")
    window = f"[{int(time.time() - run.began)}s]"
    seen = [one["labels"] for one in samples(url, f"count_over_time(ALERTS{window})")]
    names = {
        labels["alertname"]
        for labels in seen
        if labels["alertstate"] == "firing" or labels["alertname"] not in _OF_SPEED
    }
    # The second app: one call in nine is refused, its model has no price, its tool
    # fails two times in three. The demo: one of its prompts is too long.
    assert names <= {
        "LLMErrorRatio",
        "LLMTokensUnpriced",
        "LLMToolErrors",
        "LLMRequestsRefused",
        "LLMSpendOverBudget",
    }
    of_demo = samples(url, f'count_over_time(ALERTS{{job="app"}}{window})')
    late = [one for one in of_demo if one["labels"]["alertname"] not in _OF_SPEED]
    assert late == []
