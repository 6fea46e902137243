from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import CollectorRegistry, Gauge
from report_servers import answering, serving, spend_of_a_day

from otel_callbacks._setting_values import SettingError
from otel_callbacks.cli.report.spending import (
    Sample,
    SourceError,
    read_metrics,
    read_prometheus,
    spend,
    total,
)


def test_spend_by_model_and_outcome(metrics: str) -> None:
    """Each number stands once; tools are no model calls."""
    rows = spend(read_metrics(metrics).samples)
    assert list(rows) == [
        ("gpt-4o-mini", "cache_hit"),
        ("gpt-4o-mini", "cancelled"),
        ("gpt-4o-mini", "ok"),
        ("rose-1", "ok"),
        ("rose-1", "unpriced"),
    ]
    assert rows["gpt-4o-mini", "ok"].numbers() == {
        "calls": 100,
        "input_tokens": 1_200_000,
        "output_tokens": 100_000,
        "cost_usd": 0.24,
        "saved_tokens": 0,
        "saved_usd": 0,
        "unpriced_tokens": 0,
    }
    assert rows["gpt-4o-mini", "cache_hit"].saved_tokens == 30
    assert rows["rose-1", "unpriced"].unpriced_tokens == 70


def test_spend_by_label(metrics: str) -> None:
    """Further labels divide the rows, and the sum stays the same."""
    samples = read_metrics(metrics).samples
    rows = spend(samples, ("team",))
    assert rows["gpt-4o-mini", "ok", "shop"].calls == 90
    assert rows["gpt-4o-mini", "ok", "post"].calls == 10
    assert total(rows.values()) == total(spend(samples).values())


def test_the_dearest_model_is_first() -> None:
    """Whoever pays looks at the first lines."""
    samples = [
        Sample("otel_callbacks_cost_usd_total", {"gen_ai_request_model": "a"}, 1),
        Sample("otel_callbacks_cost_usd_total", {"gen_ai_response_model": "b"}, 2),
        Sample("otel_callbacks_cost_usd_total", {}, 0.5),
    ]
    assert [key[0] for key in spend(samples)] == ["b", "a", "unknown"]


SINCE = datetime(2026, 11, 20, tzinfo=UTC)
UNTIL = datetime(2026, 11, 21, tzinfo=UTC)
TOKENS = "otel_callbacks_tokens_total"


def test_an_apps_series() -> None:
    """Those of spend, and since when the process counts, if it says so."""
    registry = spend_of_a_day()
    Gauge("process_start_time_seconds", "x", registry=registry).set(1_763_600_000)
    with serving(registry) as url:
        read = read_metrics(url)
    assert {sample.series for sample in read.samples} >= {TOKENS}
    assert read.since == datetime.fromtimestamp(1_763_600_000, UTC)
    assert read.until is None


def test_an_app_that_has_made_no_call() -> None:
    """Its series are there, and empty: nothing was spent."""
    registry = CollectorRegistry()
    Gauge("otel_callbacks_open_runs", "x", registry=registry)
    with serving(registry) as url:
        assert read_metrics(url).samples == ()


def test_another_apps_series() -> None:
    """It is said that none of them is ours."""
    with serving(CollectorRegistry()) as url, pytest.raises(SourceError, match="none"):
        read_metrics(url)


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (200, "<html>{", "does not answer with series"),
        (404, "", "answers 404: Not Found"),
        (500, "no roses today", "answers 500: no roses today"),
    ],
)
def test_what_is_no_metrics(status: int, text: str, why: str) -> None:
    """Where it was tried, what came, and what to do."""
    with (
        answering(lambda _: (status, text)) as (url, _),
        pytest.raises(SourceError, match=why) as caught,
    ):
        read_metrics(url)
    assert str(caught.value).startswith(url)
    assert "--prometheus URL" in str(caught.value)


def test_nothing_listens() -> None:
    """A refused connection is said as such."""
    with pytest.raises(SourceError, match="Connection refused"):
        read_metrics("http://127.0.0.1:9/metrics")
    with pytest.raises(SettingError, match="a URL such as"):
        read_metrics("metrics")


def test_a_login_is_sent_and_never_shown() -> None:
    """A password in the URL is a header."""
    with answering(lambda _: (403, "no")) as (url, asked):
        with pytest.raises(SourceError) as caught:
            read_metrics(url.replace("://", "://rose:thorn@"))
        assert asked[0][1] == "Basic cm9zZTp0aG9ybg=="
    assert "thorn" not in str(caught.value)


def prometheus(answers: dict[str, list[tuple[str, float]]]) -> Any:
    """Answer queries by their first word: last, first, resets, increase."""

    def answer(path: str) -> tuple[int, str]:
        asked = parse_qs(urlsplit(path).query)
        query, at = asked["query"][0], float(asked["time"][0])
        kind = query.partition("(")[0] if "(" in query else "first"
        assert at == (SINCE if kind == "first" else UNTIL).timestamp()
        if "[" in query:
            assert "[86400s]" in query
        found = answers.get(kind, []) if TOKENS in query else []
        result = [
            {"metric": {"__name__": TOKENS, "model": model}, "value": [at, str(value)]}
            for model, value in found
        ]
        return 200, json.dumps({"status": "success", "data": {"result": result}})

    return answering(answer)


def test_what_series_grew_by() -> None:
    """Old ones by their difference, young ones by all, restarted ones by increase."""
    answers = {
        "last_over_time": [("old", 30.0), ("young", 7.0), ("new", 5.0), ("gone", 2.0)],
        "first": [("old", 10.0), ("new", 90.0), ("gone", 9.0)],
        "resets": [("old", 0.0), ("young", 0.0), ("new", 1.0), ("gone", 2.0)],
        "increase": [("old", 19.5), ("new", 14.2)],
    }
    with prometheus(answers) as (url, _):
        read = read_prometheus(url, SINCE, UNTIL)
    grown = {sample.labels["model"]: sample.value for sample in read.samples}
    assert grown == {"old": 20.0, "young": 7.0, "new": 14.2, "gone": 2.0}
    assert read[1:] == (SINCE, UNTIL, 2)


def test_without_restarts_nothing_is_estimated() -> None:
    """Prometheus is not even asked for its estimate."""
    with prometheus({"last_over_time": [("a", 3.0)]}) as (url, asked):
        read = read_prometheus(url, SINCE, UNTIL, [TOKENS])
        assert not [path for path, _ in asked if "increase" in path]
    assert read.samples[0].value == 3
    assert read.restarts == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"data": {"result": [1]}}', '{"data": null}']
)
def test_what_is_no_prometheus(text: str) -> None:
    """Another server behind the address."""
    with (
        answering(lambda _: (200, text)) as (url, _),
        pytest.raises(SourceError, match="does not answer as a Prometheus does"),
    ):
        read_prometheus(url, SINCE, UNTIL)
