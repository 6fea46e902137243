from __future__ import annotations

import csv
import io
import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_of_samples import every, prometheus

from otel_callbacks.cli import main, report
from otel_callbacks.cli import report as report_print
from otel_callbacks.cli.report.spending import Read, read_metrics, spend

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_table_is_printed(metrics: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The URL may be an argument."""
    assert main(["report", metrics, "--by", "team"]) == 0
    assert "gpt-4o-mini" in capsys.readouterr().out


def test_json_and_csv(metrics: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Both formats are for programs."""
    assert main(["report", metrics, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["calls"] == 106
    assert main(["report", metrics, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("model,outcome,calls,input_tokens")


def test_a_prometheus_is_queried_for_a_period(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The default is the last day."""
    now = datetime.now(UTC).timestamp()
    labels = {"__name__": "otel_callbacks_operations_total", "job": "shop"}
    for days, more in ((1, []), (7, ["--since", "7d"])):
        samples = every(3600, now - (days + 1) * 86_400, now, lambda time: time)
        with prometheus([(labels, samples)]) as url:
            assert main(["report", "--prometheus", url, "--json", *more]) == 0
        calls = json.loads(capsys.readouterr().out)["total"]["calls"]
        assert abs(calls - days * 86_400) <= 3600


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["http://127.0.0.1:9/metrics"], "does not answer"),
        (["roses"], "URL=roses: must be a URL"),
        (["--since", "7d"], "--since and --until need --prometheus"),
        (["http://a/metrics", "--prometheus", "http://b"], "not both"),
        (
            ["--prometheus", "http://b", "--since", "1d", "--until", "2d"],
            "is not before --until",
        ),
    ],
)
def test_unreadable_sources(
    capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    """There is one sentence on standard error, and exit code 2."""
    assert main(["report", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("otel-callbacks report: ")
    assert why in printed.err
    assert printed.err.count("\n") == 1


def test_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    """Invalid labels and times are refused."""
    for wrong in (["--by", "team,"], ["--since", "soon"]):
        with pytest.raises(SystemExit) as caught:
            main(["report", *wrong])
        assert caught.value.code == 2
        assert wrong[1] in capsys.readouterr().err


def test_it_works_without_rich(
    metrics: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command needs no extra."""
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["report", metrics]) == 0
    assert "gpt-4o-mini" in capsys.readouterr().out


def test_the_default_address_is_the_one_that_configure_serves() -> None:
    """The default is the app on this machine."""
    assert report.METRICS_URL == "http://127.0.0.1:9464/metrics"


DAY = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs the command, and returns what it prints."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["report", *arguments]) == code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (0.0000045, "0.000005"), (12.5, "12.500000"), (1234.567, "1,234.57")],
)
def test_dollars(amount: float, text: str) -> None:
    """Small amounts have more digits."""
    assert report_print.dollars(amount) == text


def test_the_table(metrics: str, printed: Callable[..., str]) -> None:
    """It has a row for each outcome, a total and remarks."""
    lines = printed(metrics).splitlines()
    cells = [line.split() for line in lines]
    assert ["ok", "100", "1,200,000", "100,000", "0.240000"] in cells
    assert ["rose-1", "ok", "2", "70", "no", "price"] in cells
    total = ["total", "106", "1,200,570", "100,000", "0.240075", "30", "0.000005"]
    assert total in cells
    assert "/metrics counts since the process started." in lines
    assert any("70 tokens have no price" in line and "rose-1" in line for line in lines)
    assert all(len(line) <= 100 for line in lines)


def test_the_table_with_labels(metrics: str, printed: Callable[..., str]) -> None:
    """Each label is a column."""
    text = printed(metrics, "--by", "team")
    assert ["ok", "post", "10", "200,000", "0.030000"] in [
        line.split() for line in text.splitlines()
    ]


def test_nothing_was_spent(serve: Any, printed: Callable[..., str]) -> None:
    """A sentence replaces an empty table."""
    registry = CollectorRegistry()
    Gauge("otel_callbacks_open_runs", "x", registry=registry)
    started = Gauge("process_start_time_seconds", "x", registry=registry)
    started.set(DAY.timestamp())
    with serve(registry) as url:
        text = printed(url)
    assert "No model calls were counted." in text
    since = "/metrics counts since the process started (2026-11-20 00:00:00 UTC)."
    assert since in text


def test_remarks_name_times_and_restarts(printed: Callable[..., str]) -> None:
    """Remarks name the period and the restarts."""
    start, noon, end = (DAY.timestamp() + 3600 * hour for hour in (0, 12, 24))
    labels = {"__name__": "otel_callbacks_tokens_total", "job": "shop"}
    samples = every(
        60, start - 3600, end + 3600, lambda time: time - (noon if time > noon else 0)
    )
    days = ("--since", "2026-11-20", "--until", "2026-11-21")
    with prometheus([(labels, samples)]) as url:
        text = printed("--prometheus", url, *days)
    assert "From 2026-11-20 00:00:00 to 2026-11-21 00:00:00 UTC." in text
    assert "1 counters began anew" in text
    assert report_print.remarks({}, Read((), None, DAY)) == []


def test_csv_can_be_added_up(metrics: str) -> None:
    """It has no total, which a sheet would count again."""
    rows = spend(read_metrics(metrics).samples, ("team",))
    read = list(csv.DictReader(io.StringIO(report_print.as_csv(rows, ("team",)))))
    assert len(read) == len(rows)
    assert sum(int(row["input_tokens"]) for row in read) == 1_200_570
    assert {row["team"] for row in read} == {"shop", "post", ""}


def test_json_has_all(metrics: str) -> None:
    """It has rows, total, times and remarks."""
    read = read_metrics(metrics)._replace(since=DAY, until=DAY)
    content = report_print.as_data(spend(read.samples), (), read)
    assert content["total"]["cost_usd"] == 0.240075
    assert content["since"] == content["until"] == "2026-11-20T00:00:00+00:00"
    assert content["rows"][0]["model"] == "gpt-4o-mini"
    assert len(content["remarks"]) == 2
    content = report_print.as_data({}, (), Read(()))
    assert content["since"] is None
