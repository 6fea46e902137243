from __future__ import annotations

import json
import sys
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from report_servers import answering

from otel_callbacks.cli import main
from otel_callbacks.cli.reconcile import (
    COST,
    INPUT,
    OUTPUT,
    Gap,
    gaps,
    ours,
    theirs,
)
from otel_callbacks.cli.reconcile.exports import Item
from otel_callbacks.cli.report.spending import read_metrics

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "date,model,input_tokens,output_tokens,cost\n"
RIGHT = "2026-11-20,gpt-4o-mini,1200500,100000,0.240075\n2026-11-20,rose-1,70,0,\n"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Return where an export is that agrees with our series."""
    path = tmp_path / "usage.csv"
    path.write_text(HEAD + RIGHT)
    return path


def test_all_agrees(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the token, and the sums of /metrics only."""
    arguments = ["reconcile", str(export), "--metrics", metrics, "--tolerance", "0"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "All 4 numbers agree within 0 %." in text
    assert "/metrics counts since the process started, the export is of" in " ".join(
        text.split()
    )


def test_a_gap_is_named(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By model, with how much it is, and by the exit code."""
    export.write_text(HEAD + RIGHT.replace("100000", "110000"))
    assert main(["reconcile", str(export), "--metrics", metrics]) == 1
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()]
    assert ["output", "tokens", "100,000", "110,000", "-10,000", "-9.09"] in rows
    assert "1 of 4 numbers differ by more than 1 %." in text
    arguments = ["reconcile", str(export), "--metrics", metrics, "--tolerance", "10"]
    assert main(arguments) == 0


def test_what_only_we_have(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that the export lacks is a gap, unless its provider is left out."""
    export.write_text(HEAD + RIGHT.splitlines(keepends=True)[0])
    assert main(["reconcile", str(export), "--metrics", metrics, "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    (gap,) = [row for row in content["rows"] if not row["ok"]]
    assert (gap["model"], gap["ours"], gap["percent"]) == ("rose-1", 70, None)
    assert main(["reconcile", str(export), "--metrics", metrics]) == 1
    assert "not theirs" in capsys.readouterr().out
    arguments = ["reconcile", str(export), "--metrics", metrics]
    assert main([*arguments, "--provider", "openai"]) == 0


def test_openais_costs(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sum for a day, beside the calls to OpenAI only."""
    bucket = {
        "start_time": 1730419200,
        "results": [{"amount": {"value": 0.240075, "currency": "usd"}}],
    }
    export.write_text(json.dumps({"data": [bucket]}))
    assert main(["reconcile", str(export), "--metrics", metrics]) == 0
    assert "all" in capsys.readouterr().out


def test_days_are_asked_of_a_prometheus(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each day of the export by itself, with what is an estimate."""
    export.write_text(
        f"{HEAD}2026-11-19,rose-1,10,,\n2026-11-20,rose-1,30,,\n2026-11-20,rose-2,5,,\n"
    )
    midnights = {"1795219200": "30", "1795132800": "10"}

    def answer(path: str) -> tuple[int, str]:
        asked = parse_qs(urlsplit(path).query)
        query, at = asked["query"][0], asked["time"][0].partition(".")[0]
        found = []
        if "tokens" in query and "(" in query:
            labels = {"gen_ai_request_model": "rose-1", "gen_ai_token_type": "input"}
            value = "1" if query.startswith("resets") else midnights[at]
            found = [{"metric": labels, "value": [0, value]}]
        return 200, json.dumps({"data": {"result": found}})

    with answering(answer) as (url, _):
        assert main(["reconcile", str(export), "--prometheus", url]) == 1
        text = capsys.readouterr().out
        export.write_text(f"{HEAD}2026-11-19,rose-1,10,,\n")
        assert main(["reconcile", str(export), "--prometheus", url, "--json"]) == 0
    rows = [line.split() for line in text.splitlines()]
    one = ["rose-1", "input", "tokens"]
    assert ["2026-11-19", *one, "10", "10", "0", "+0.00"] in rows
    assert ["2026-11-20", *one, "30", "30", "0", "+0.00"] in rows
    assert "2 counters began anew in a day" in text
    assert json.loads(capsys.readouterr().out)["rows"][0]["day"] == "2026-11-19"


def test_without_restarts_nothing_is_an_estimate(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then days are exact."""
    empty = json.dumps({"data": {"result": []}})
    with answering(lambda _: (200, empty)) as (url, _):
        assert main(["reconcile", str(export), "--prometheus", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["remarks"] == ["Days are UTC."]


def test_what_cannot_be_read(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence on the error output, and exit code 2."""
    assert main(["reconcile", "missing.csv", "--metrics", metrics]) == 2
    said = capsys.readouterr().err
    assert said.startswith("otel-callbacks reconcile: missing.csv: No such file")
    assert "date, model, input_tokens" in said
    assert main(["reconcile", str(export), "--metrics", "http://127.0.0.1:9"]) == 2
    assert "does not answer" in capsys.readouterr().err
    assert main(["reconcile", str(export), "--prometheus", "roses"]) == 2
    assert "--prometheus=roses" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["-1", "nan", "inf", "much"])
def test_a_wrong_tolerance(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a part in percent."""
    with pytest.raises(SystemExit) as caught:
        main(["reconcile", "usage.csv", f"--tolerance={wrong}"])
    assert caught.value.code == 2
    assert "--tolerance" in capsys.readouterr().err


def test_it_works_without_rich(
    metrics: str,
    export: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A slim image has no extra."""
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["reconcile", str(export), "--metrics", metrics]) == 0
    assert "All 4 numbers agree" in capsys.readouterr().out


DAY = date(2024, 11, 1)


def test_what_we_counted(metrics: str) -> None:
    """By the model that answered; all outcomes are spent, what is saved is not."""
    counts = ours(read_metrics(metrics).samples, "openai")
    assert {key: round(value, 6) for key, value in counts.items()} == {
        ("gpt-4o-mini-2024-07-18", INPUT): 1_200_500,
        ("gpt-4o-mini-2024-07-18", OUTPUT): 100_000,
        ("gpt-4o-mini-2024-07-18", COST): 0.240075,
    }
    assert ("rose-1", INPUT) in ours(read_metrics(metrics).samples, "")


def test_what_they_counted() -> None:
    """Items of one model are added up; what is not said is not 0."""
    items = Item(DAY, "a", 1, 2), Item(DAY, "a", 3), Item(DAY, "b", cost_usd=0.5)
    assert theirs(items) == {("a", INPUT): 4, ("a", OUTPUT): 2, ("b", COST): 0.5}


def test_gaps_of_each_number() -> None:
    """Only kinds that the export counts; both sides' models."""
    our = {("a", INPUT): 110.0, ("a", COST): 1.0, ("c", INPUT): 5.0}
    their = {("a", INPUT): 100.0, ("b", INPUT): 7.0, ("d", INPUT): 0.0}
    assert gaps(DAY, our, their) == [
        Gap(DAY, "a", INPUT, 110, 100),
        Gap(DAY, "b", INPUT, 0, 7),
        Gap(DAY, "c", INPUT, 5, 0),
    ]


def test_differences() -> None:
    """In their measure; where they have nothing it has none."""
    assert Gap(DAY, "a", INPUT, 110, 100).percent == 10
    assert Gap(DAY, "a", INPUT, 90, 100).difference == -10
    assert Gap(DAY, "a", INPUT, 5, 0).percent == float("inf")
    assert Gap(DAY, "a", INPUT, 0, 0).percent == 0


def names(our: str, their: str) -> set[str]:
    """Return the models that stand in the comparison."""
    found = gaps(
        None,
        {(name, INPUT): 1.0 for name in our.split()},
        {(name, INPUT): 1.0 for name in their.split()},
    )
    return {gap.model for gap in found}


def test_dated_names_are_matched() -> None:
    """A version's date may be missing on one side; two dates are two versions."""
    assert names("gpt-4o-mini", "gpt-4o-mini-2024-07-18") == {"gpt-4o-mini-2024-07-18"}
    assert names("gpt-4o-mini-2024-07-18", "gpt-4o-mini") == {"gpt-4o-mini"}
    assert names("GPT-4o-mini", "gpt-4o-mini") == {"gpt-4o-mini"}
    assert names("claude-3-5-haiku-20241022", "claude-3-5-haiku") == {
        "claude-3-5-haiku"
    }
    both = {"gpt-4o-2024-08-06", "gpt-4o-2024-05-13"}
    assert names("gpt-4o-2024-08-06", "gpt-4o-2024-05-13") == both
    # Which of the two it is nobody knows.
    assert names("gpt-4o", " ".join(both)) == {*both, "gpt-4o"}


def test_an_export_without_models_has_the_total() -> None:
    """OpenAI's costs are one sum for a day, unless they are grouped."""
    our = {("a", COST): 0.25, ("b", COST): 0.5}
    assert gaps(DAY, our, {("", COST): 0.75}) == [Gap(DAY, "", COST, 0.75, 0.75)]
