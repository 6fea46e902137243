from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.samples import Sample
from report_servers import answering, serving, spend_of_a_day

from otel_callbacks.cli import main
from otel_callbacks.cli.report.spending import (
    matchers,
    read_metrics,
    selector,
    spend,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def test_spend_by_model_and_outcome(metrics: str) -> None:
    """Each number is counted once; tools are no model calls."""
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
    """Rows are sorted by cost."""
    samples = [
        Sample("otel_callbacks_cost_usd_total", {"gen_ai_request_model": "a"}, 1),
        Sample("otel_callbacks_cost_usd_total", {"gen_ai_response_model": "b"}, 2),
        Sample("otel_callbacks_cost_usd_total", {}, 0.5),
    ]
    assert [key[0] for key in spend(samples)] == ["b", "a", "unknown"]


TOKENS = "otel_callbacks_tokens_total"


def test_an_apps_series() -> None:
    """The series of spending are read, and the start of the process if it is known."""
    registry = spend_of_a_day()
    Gauge("process_start_time_seconds", "x", registry=registry).set(1_763_600_000)
    with serving(registry) as url:
        read = read_metrics(url)
    assert {sample.name for sample in read.samples} >= {TOKENS}
    assert read.since == datetime.fromtimestamp(1_763_600_000, UTC)
    assert read.until is None


def test_an_app_that_has_made_no_call() -> None:
    """Its series exist and are empty: nothing was spent."""
    registry = CollectorRegistry()
    Gauge("otel_callbacks_open_runs", "x", registry=registry)
    with serving(registry) as url:
        assert read_metrics(url).samples == ()


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Return what reads a URL that is refused, and returns the message."""

    def read(url: str) -> str:
        assert main(["report", url]) == 2
        return capsys.readouterr().err.removeprefix("otel-callbacks report: ")

    return read


def test_another_apps_series(refusal: Callable[[str], str]) -> None:
    """The message names the missing series."""
    with serving(CollectorRegistry()) as url:
        assert "none" in refusal(url)


@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (200, "<html>{", "does not answer with series"),
        (404, "", "answers 404: Not Found"),
        (500, "no roses today", "answers 500: no roses today"),
    ],
)
def test_a_response_without_metrics(
    status: int, text: str, why: str, refusal: Callable[[str], str]
) -> None:
    """The message has the address, the response and the remedy."""
    with answering(lambda _: (status, text)) as (url, _):
        message = refusal(url)
    assert why in message
    assert message.startswith(url)
    assert "--prometheus URL" in message


def test_nothing_listens(refusal: Callable[[str], str]) -> None:
    """The message names a refused connection."""
    assert "Connection refused" in refusal("http://127.0.0.1:9/metrics")
    assert "a URL such as" in refusal("metrics")


def test_a_login_is_sent_and_never_shown(refusal: Callable[[str], str]) -> None:
    """A password in the URL is a header."""
    with answering(lambda _: (403, "no")) as (url, requests):
        message = refusal(url.replace("://", "://rose:thorn@"))
        assert requests[0][1] == "Basic cm9zZTp0aG9ybg=="
    assert "thorn" not in message


def test_series_that_match(metrics: str) -> None:
    """Matchers apply to an app's labels and match the whole value."""
    for text, calls in (
        ('team="shop"', 95),
        ('team=~"sho."', 95),
        ('team!~"sh"', 106),
        ("team!='shop', gen_ai_request_model='gpt-4o-mini'", 11),
    ):
        rows = spend(read_metrics(metrics, matchers(text)).samples)
        assert total(rows.values()).calls == calls


def test_quotes_and_backslashes_of_matchers() -> None:
    """They are parsed like PromQL; a round trip changes nothing."""
    for text in (r'a=~"\\d+\"x"', r"a=~'\\d+\"x'", r"""a=~'\\d+"x'"""):
        assert selector(matchers(text)) == r'{a=~"\\d+\"x"}'
    assert selector(matchers(r"a='it\'s'")) == '{a="it\'s"}'
    # As they are copied out of an expression.
    for text in ('{a="x",b=~"y"}', ' { a="x", b=~"y", } ', "a=`x`,b=~`y`"):
        assert selector(matchers(text)) == '{a="x",b=~"y"}'
    assert selector(matchers(r"a=~`\d+`")) == r'{a=~"\\d+"}'
    assert selector(()) == ""


@pytest.mark.parametrize("number", ["nan", "inf"])
def test_a_number_that_is_none(number: str, refusal: Callable[[str], str]) -> None:
    """``nan`` would equal every export."""
    registry = CollectorRegistry()
    Gauge("otel_callbacks_tokens_total", "x", registry=registry).set(float(number))
    with serving(registry) as url:
        assert "not a sum" in refusal(url)
