from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import Gauge
from prometheus_of_samples import every, prometheus
from report_servers import serving, spend_of_a_day

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

    from prometheus_of_samples import Samples

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


NOON = datetime(2025, 3, 3, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400
ROSE = {
    "__name__": "otel_callbacks_tokens_total",
    "job": "shop",
    "instance": "a:9464",
    "gen_ai_operation_name": "chat",
    "gen_ai_request_model": "rose-1",
    "gen_ai_token_type": "input",
}


def each_day(*tokens: int, start: float = NOON - DAY_S) -> Samples:
    """Return the samples of a counter that grows by this at noon of each day."""
    end = NOON + DAY_S * len(tokens)
    return every(
        600,
        start,
        end,
        lambda time: sum(tokens[: max(0, int((time - NOON) // DAY_S + 1))]),
    )


def answers(url: str, export: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return the exit code, the rows and the remarks."""
    code = main(["reconcile", str(export), "--prometheus", url, "--json"])
    content = json.loads(capsys.readouterr().out)
    rows = [
        (row["day"][-2:], row["model"], row["ours"], row["theirs"])
        for row in content["rows"]
    ]
    return code, rows, content["remarks"]


def test_days_are_read_from_a_prometheus(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each day by itself, also one that the export lacks."""
    export.write_text(f"{HEAD}2025-03-03,rose-1,10,,\n2025-03-05,rose-1,30,,\n")
    with prometheus([(ROSE, each_day(10, 0, 30))]) as url:
        code, rows, remarks = answers(url, export, capsys)
        assert (code, remarks) == (0, ["Days are UTC."])
        assert rows == [("03", "rose-1", 10, 10), ("05", "rose-1", 30, 30)]
        assert main(["reconcile", str(export), "--prometheus", url]) == 0
        assert "2025-03-05" in capsys.readouterr().out
    with prometheus([(ROSE, each_day(10, 20, 30))]) as url:
        code, rows, _ = answers(url, export, capsys)
        assert code == 1
        assert ("04", "rose-1", 20, 0) in rows


def bucket(day: int, tokens: int | None, **start: object) -> dict[str, object]:
    """Return what an API says of one day of March; nothing was used without tokens."""
    result = {"model": "rose-1", "output_tokens": 0}
    name = "uncached_input_tokens" if "starting_at" in start else "input_tokens"
    results = [] if tokens is None else [result | {name: tokens}]
    return {"results": results} | (
        start or {"start_time": NOON + DAY_S * (day - 3) - 43_200}
    )


def test_days_that_an_export_reports_without_usage(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What we counted on the first or the last day of it is a gap."""
    sheets = [
        json.dumps({"data": [bucket(3, None), bucket(4, 20), bucket(5, None)]}),
        json.dumps(
            {
                "data": [
                    bucket(day, tokens, starting_at=f"2025-03-0{day}T00:00:00Z")
                    for day, tokens in ((3, None), (4, 20), (5, None))
                ]
            }
        ),
        f"{HEAD}2025-03-03,,,,\n2025-03-04,rose-1,20,,\n2025-03-05,rose-1,,,\n",
    ]
    for text in sheets:
        export.write_text(text)
        with prometheus([(ROSE, each_day(10, 20, 30))]) as url:
            code = main(
                ["reconcile", str(export), "--prometheus", url, "--provider", ""]
            )
            output = capsys.readouterr().out
            assert code == 1, output
            assert "2025-03-03" in output
            assert "2025-03-05" in output
        with prometheus([(ROSE, each_day(0, 20, 0))]) as url:
            code = main(
                ["reconcile", str(export), "--prometheus", url, "--provider", ""]
            )
            assert code == 0


def test_a_day_without_restarts_is_exact_and_restarts_are_reported(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All parts of a day are added up."""
    export.write_text(f"{HEAD}2025-03-03,rose-1,17,,\n")
    first = every(600, NOON - DAY_S, NOON, lambda time: 10 * (time > NOON - 600))
    again = every(600, NOON + 600, NOON + DAY_S, lambda _: 7)
    with prometheus([(ROSE, first + again)]) as url:
        code, rows, remarks = answers(url, export, capsys)
    assert (code, rows) == (0, [("03", "rose-1", 17, 17)])
    assert "1 counters began anew in a day" in remarks[1]


def test_what_is_not_proven_does_not_agree(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal sums of a Prometheus that does not know all, or answers in part."""
    export.write_text(f"{HEAD}2025-03-03,rose-1,10,,\n")
    young = [(time, value + 500) for time, value in each_day(10, start=NOON - 7200)]
    for samples, more in ((young, {}), (each_day(10), {"warnings": ["partial"]})):
        with prometheus([(ROSE, samples)], **more) as url:
            assert answers(url, export, capsys)[:2] == (1, [("03", "rose-1", 10, 10)])
            assert main(["reconcile", str(export), "--prometheus", url]) == 1
        text = capsys.readouterr().out
        assert "No gap was found, but our side is not complete" in text
        assert "agree within" not in text


def test_a_day_that_is_not_over(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sides still grow."""
    now = datetime.now(UTC)
    export.write_text(f"{HEAD}{now:%Y-%m-%d},rose-1,0,,\n{now:%Y-%m-%d},rose-2,5,,\n")
    with prometheus([(ROSE, every(60, now.timestamp() - 9_000, NOON, int))]) as url:
        assert main(["reconcile", str(export), "--prometheus", url]) == 2
        assert "has none of our series" in capsys.readouterr().err
    samples = every(60, now.timestamp() - 2 * DAY_S, now.timestamp(), lambda _: 3)
    with prometheus([(ROSE, samples)]) as url:
        code, _, remarks = answers(url, export, capsys)
    assert code == 1
    assert "is not over: both sides still grow" in remarks[1]


def test_embeddings_beside_an_export_of_completions(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the export does not count is no gap."""
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 10,
        "output_tokens": 0,
        "model": "rose-1",
    }
    bucket = {"start_time": NOON - DAY_S / 2, "results": [result]}
    export.write_text(json.dumps({"data": [bucket]}))
    chat = ROSE | {"gen_ai_provider_name": "openai"}
    other = {"gen_ai_operation_name": "embeddings", "gen_ai_request_model": "ada"}
    series = [(chat, each_day(10)), (chat | other, each_day(70))]
    with prometheus(series) as url:
        assert answers(url, export, capsys)[:2] == (0, [("03", "rose-1", 10, 10)])
        result["object"] = "organization.usage.embeddings.result"
        result["model"], result["input_tokens"] = "ada", 70
        export.write_text(json.dumps({"data": [bucket]}))
        assert answers(url, export, capsys)[:2] == (0, [("03", "ada", 70, 70)])


def test_only_series_that_match_are_compared(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``report`` has it."""
    export.write_text(f"{HEAD}2026-11-20,gpt-4o-mini,200500,,0.030075\n")
    arguments = ["reconcile", str(export), "--metrics", metrics]
    assert main([*arguments, "--match", 'team="post"']) == 0
    assert "All 2 numbers agree" in capsys.readouterr().out
    assert main(arguments) == 1


def test_nothing_to_compare_is_no_agreement(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An export of zeros beside an app that has done nothing."""
    export.write_text(f"{HEAD}2026-11-20,rose-1,0,0,0\n")
    arguments = ["reconcile", str(export), "--metrics", metrics]
    assert main([*arguments, "--match", 'team="none"']) == 2
    assert "hold nothing to compare: all is 0" in capsys.readouterr().err


def test_a_process_that_is_younger_than_the_export(
    export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its series hold nothing of that time, whatever they say."""
    registry = spend_of_a_day()
    started = Gauge("process_start_time_seconds", "x", registry=registry)
    with serving(registry) as url:
        started.set(datetime(2026, 11, 21, 1, tzinfo=UTC).timestamp())
        assert main(["reconcile", str(export), "--metrics", url]) == 2
        assert "after the export's last day 2026-11-20" in capsys.readouterr().err
        started.set(datetime(2026, 11, 20, 1, tzinfo=UTC).timestamp())
        assert main(["reconcile", str(export), "--metrics", url]) == 0


def test_what_cannot_be_read(
    metrics: str, export: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence on the error output, and exit code 2."""
    assert main(["reconcile", "missing.csv", "--metrics", metrics]) == 2
    message = capsys.readouterr().err
    assert message.startswith("otel-callbacks reconcile: missing.csv: No such file")
    assert "date, model, input_tokens" in message
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
