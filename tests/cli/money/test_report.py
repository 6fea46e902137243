from __future__ import annotations

import importlib.util
import json

import pytest
from report_servers import answering

from otel_callbacks.cli import main
from otel_callbacks.cli.report import command as report


def test_the_table_is_printed(metrics: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The address may be given."""
    assert main(["report", metrics, "--by", "team"]) == 0
    assert "gpt-4o-mini" in capsys.readouterr().out


def test_json_and_csv(metrics: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For scripts and sheets."""
    assert main(["report", metrics, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["calls"] == 106
    assert main(["report", metrics, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("model,outcome,calls,input_tokens")


def test_a_prometheus_is_asked_for_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The last day, where nothing else is said."""
    empty = json.dumps({"data": {"result": []}})
    with answering(lambda _: (200, empty)) as (url, asked):
        assert main(["report", "--prometheus", url]) == 0
        assert "%5B86400s%5D" in asked[0][0]
        assert main(["report", "--prometheus", url, "--since", "7d"]) == 0
        assert "%5B604800s%5D" in asked[-1][0]
    assert "No model calls were counted." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["http://127.0.0.1:9/metrics"], "does not answer"),
        (["roses"], "URL=roses: allowed is a URL"),
        (["--since", "7d"], "--since and --until need --prometheus"),
        (["http://a/metrics", "--prometheus", "http://b"], "not both"),
        (
            ["--prometheus", "http://b", "--since", "1d", "--until", "2d"],
            "is not before --until",
        ),
    ],
)
def test_what_cannot_be_read(
    capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    """One sentence on the error output, and exit code 2."""
    assert main(["report", *arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("otel-callbacks report: ")
    assert why in said.err
    assert said.err.count("\n") == 1


def test_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    """A label's name is one, and a time too."""
    for wrong in (["--by", "team,"], ["--since", "soon"]):
        with pytest.raises(SystemExit) as caught:
            main(["report", *wrong])
        assert caught.value.code == 2
        assert wrong[1] in capsys.readouterr().err


def test_without_rich_there_is_csv(
    metrics: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What prints tables is an extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["report", metrics]) == 2
    assert "otel-callbacks[demo]" in capsys.readouterr().err
    assert main(["report", metrics, "--csv"]) == 0


def test_the_default_address_is_the_one_that_configure_serves() -> None:
    """Without an argument the app on this machine is read."""
    assert report.METRICS_URL == "http://127.0.0.1:9464/metrics"
