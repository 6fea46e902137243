from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from loopback_servers import FakeStack, Page, Web, success
from waiting import WAIT_S

from otel_callbacks.cli._http import Address, address
from otel_callbacks.cli.doctor.backends import (
    Evidence,
    Prometheus,
    check_prometheus,
)
from otel_callbacks.cli.doctor.probe import Check, Deadline, Sent, Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_callbacks.cli.doctor.probe import Finding

_TRACE = "1" * 32


@pytest.fixture
def check() -> Check:
    """A hop with little time: some things here never come."""
    return Check(Deadline(0.5))


@pytest.fixture
def sent(check: Check, stack: FakeStack) -> Sent:
    """A trace that the Collector has taken."""
    stack.receiver.traces[_TRACE] = 3
    check.sent = Sent((), _TRACE, time.monotonic(), time.time())
    return check.sent


def _look(
    check: Check, stack: FakeStack, before: float = 3.0, *, app: bool = True
) -> str:
    """Look at Prometheus."""
    metrics: Address | None = address("", f"{stack.metrics.url}/metrics")
    check.name, check.address = "prometheus", address("", stack.prometheus.url)
    return check_prometheus(
        check,
        metrics if app else None,
        before,
        span_metrics=True,
    )


def _client(check: Check, url: str) -> Prometheus:
    """Return a client of the server at an address."""
    check.name, check.address = "prometheus", address("", url)
    return Prometheus(check)


def _target(stack: FakeStack, **changes: str) -> None:
    """Let the app's target be another."""
    targets = [{**stack.target, **changes}]
    stack.prometheus.pages["/api/v1/targets"] = success({"activeTargets": targets})


def _trouble(check: Check) -> Finding:
    """Return the one trouble."""
    (trouble,) = check.troubles
    return trouble


def test_all_is_well(check: Check, stack: FakeStack, sent: Sent) -> None:
    """The app's series, and an exemplar of span metrics that names the trace."""
    del sent
    saw = _look(check, stack)
    assert saw.startswith("12 series of the app, span metrics of the trace after ")
    assert check.troubles == check.cautions == []


def test_without_a_trace_it_answers(check: Check, stack: FakeStack) -> None:
    """There is nothing to wait for."""
    assert _look(check, stack, app=False) == "answers"


@pytest.mark.parametrize(
    ("flags", "reason", "remedy"),
    [
        (
            {"enable-feature": "", "web.enable-otlp-receiver": "true"},
            "no exemplar storage",
            "--enable-feature=exemplar-storage",
        ),
        (
            {"enable-feature": "exemplar-storage", "web.enable-otlp-receiver": "false"},
            "the OTLP receiver is off",
            "--web.enable-otlp-receiver",
        ),
    ],
)
def test_switch_that_is_off_is_named(
    check: Check,
    stack: FakeStack,
    sent: Sent,
    flags: dict[str, str],
    reason: str,
    remedy: str,
) -> None:
    """With the flag to start Prometheus with; counters still show the trace."""
    del sent
    stack.flags = flags
    saw = _look(check, stack, before=1.0)
    assert _trouble(check).reason.startswith(reason)
    assert remedy in _trouble(check).remedy
    assert ("span metrics" in saw) == ("exemplar" in reason)


@pytest.mark.parametrize(
    "flags", [{"enable-feature": "exemplar-storage,otlp-write-receiver"}, None]
)
def test_other_kinds_of_prometheus_are_well(
    check: Check, stack: FakeStack, flags: Mapping[str, str] | None
) -> None:
    """Before version 3 the receiver is one of the features; Mimir has no flags."""
    stack.prometheus.pages["/api/v1/status/flags"] = success(flags)
    _look(check, stack)
    assert check.troubles == []


def test_absent_target_is_named(check: Check, stack: FakeStack) -> None:
    """By the port that no target has; a target without a port has its scheme's."""
    _target(stack, scrapeUrl="https://app/metrics")
    assert _look(check, stack) == "answers"
    assert _trouble(check).reason == (
        f"no target has port {stack.metrics.port}: nobody scrapes the app"
    )
    assert "deploy/prometheus/targets" in _trouble(check).remedy


@pytest.mark.parametrize(
    ("health", "error", "said"),
    [
        ("down", "connection refused", "is down: connection refused"),
        ("unknown", "", "is down: it has not been scraped yet"),
    ],
)
def test_target_that_is_down_is_named(
    check: Check, stack: FakeStack, health: str, error: str, said: str
) -> None:
    """With Prometheus' own reason, and how containers reach this machine."""
    _target(stack, health=health, lastError=error)
    assert _look(check, stack) == "answers"
    assert _trouble(check).reason.endswith(said)
    assert "172.17.0.1" in _trouble(check).remedy


@pytest.mark.parametrize("before", ["down", "unknown", "other unknown", "none"])
def test_what_has_just_started_is_given_a_scrape(stack: FakeStack, before: str) -> None:
    """An app, and a Prometheus that finds its targets one after another."""
    check = Check(Deadline(WAIT_S))
    other = {**stack.target, "scrapeUrl": "http://j:1/m", "health": "unknown"}
    found = {
        "down": [{**stack.target, "health": "down"}],
        "unknown": [{**stack.target, "health": "unknown"}],
        "other unknown": [other],
        "none": [],
    }[before]
    scrapes = [found, found, found, [stack.target, other]]

    def targets(_: dict[str, str]) -> Page:
        return success(
            {"activeTargets": scrapes.pop(0) if len(scrapes) > 1 else scrapes[0]}
        )

    stack.prometheus.pages["/api/v1/targets"] = targets
    assert _look(check, stack) == "12 series of the app"
    assert check.troubles == []


def test_app_that_stays_down_is_not_waited_for(stack: FakeStack) -> None:
    """One more scrape that fails is enough."""
    check = Check(Deadline(60))
    scrapes = ["1", "1", "2"]

    def targets(_: dict[str, str]) -> Page:
        last = scrapes.pop(0) if len(scrapes) > 1 else scrapes[0]
        changes = {"health": "down", "lastError": "refused", "lastScrape": last}
        return success({"activeTargets": [{**stack.target, **changes}]})

    stack.prometheus.pages["/api/v1/targets"] = targets
    _look(check, stack)
    assert _trouble(check).reason.endswith("is down: refused")


def test_missing_series_are_named(check: Check, stack: FakeStack) -> None:
    """The target is up, and has nothing of ours."""
    del stack.series["otel_callbacks|gen_ai"]
    _look(check, stack)
    assert _trouble(check).reason.endswith("is up, but has none of our series")


def test_span_metrics_may_lack_exemplars(
    check: Check, stack: FakeStack, sent: Sent
) -> None:
    """Counters show that they are of the trace; the Collector keeps no exemplars."""
    del sent
    stack.has_exemplars = False
    assert "span metrics" in _look(check, stack, before=0.0)
    assert [one.reason for one in check.cautions] == [
        "the trace has span metrics, but no exemplar names it"
    ]


def test_missing_span_metrics_are_named(
    check: Check, stack: FakeStack, sent: Sent
) -> None:
    """The counters stand where they stood."""
    del sent
    stack.has_exemplars = False
    assert _look(check, stack) == "12 series of the app"
    assert _trouble(check).reason.startswith("no span metrics of the trace ")
    assert "--skip span-metrics" in _trouble(check).remedy


def test_waiting_span_metrics_are_named(
    check: Check, stack: FakeStack, sent: Sent
) -> None:
    """The Collector has them in its queue."""
    del sent
    stack.has_exemplars = False
    stack.series["otelcol_exporter_queue_size"] = 10
    _look(check, stack)
    assert "wait in the Collector's queue" in _trouble(check).reason
    assert "COLLECTOR_PROMETHEUS_URL" in _trouble(check).remedy


def test_targets_page_may_be_missing(check: Check, stack: FakeStack) -> None:
    """As in what only stores series: then there is no target."""
    stack.prometheus.pages["/api/v1/targets"] = Page("no", 404)
    _look(check, stack)
    assert _trouble(check).reason.startswith("no target has port ")


def test_values_are_numbers_or_none(stack: FakeStack, check: Check) -> None:
    """None where an expression gives nothing, and where it is refused."""
    prometheus = _client(check, stack.prometheus.url)
    prometheus.recognise()
    assert prometheus.value("traces_span_metrics_calls_total") == 3.0
    assert prometheus.value("no_such_series") is None
    refused = Page({"status": "error", "error": "parse error"}, 400)
    stack.prometheus.pages["/api/v1/query"] = refused
    assert prometheus.value("sum(") is None


def test_exemplars_give_their_traces(check: Check) -> None:
    """An exemplar without one is kept apart; an answer without data gives none."""
    labels = [{"trace_id": "a"}, {"trace_id": "b"}, {"span": "c"}]
    found = [{"exemplars": [{"labels": each} for each in labels]}]
    with Web({"/api/v1/query_exemplars": success(found)}) as web:
        prometheus = _client(check, web.url)
        assert prometheus.traces_of_exemplars("x", 100.0, 200.0) == {"a", "b", ""}
        assert web.requests[0][0].endswith("?query=x&start=40.000&end=260.000")
        web.pages.clear()
        assert prometheus.traces_of_exemplars("x", 100.0, 200.0) == set()


def test_another_server_is_not_prometheus(check: Check) -> None:
    """Whatever it answers."""
    for page in (Page("<html>"), Page([]), Page({"data": {}}, 404)):
        with Web({"/api/v1/query": page}) as web:
            prometheus = _client(check, web.url)
            with pytest.raises(Trouble, match="is not prometheus"):
                prometheus.recognise()


_DROPPED = "sampled="
_RECEIVED = 'sum({__name__=~"otelcol_processor_tail_sampling_new_trace'


@pytest.fixture
def sent_now() -> Sent:
    """A trace that has been sent now."""
    return Sent((), "1" * 32, time.monotonic(), time.time())


def _evidence(stack: FakeStack, **before: float) -> Evidence:
    """Return evidence that begins with these numbers."""
    stack.series |= {_DROPPED: 0, _RECEIVED: 0, **before}
    return Evidence(address("", stack.prometheus.url), Deadline(5))


def test_all_dropped_is_certain(stack: FakeStack, sent_now: Sent) -> None:
    """As soon as the Collector's series have been read after the trace was sent."""
    evidence = _evidence(stack)
    stack.series |= {_DROPPED: 2, _RECEIVED: 2}
    assert evidence.why_missing(sent_now, at_last=False) is None
    stack.series["timestamp"] = sent_now.wall + 1
    found = evidence.why_missing(sent_now, at_last=False)
    assert found is not None
    assert found.reason.endswith("tail sampling has dropped 2 of 2 traces")
    assert "COLLECTOR_KEEP_PERCENT" in found.remedy


def test_some_dropped_is_likely_at_last(stack: FakeStack, sent_now: Sent) -> None:
    """Others were kept meanwhile: the trace may be on its way until time is up."""
    evidence = _evidence(stack)
    stack.series |= {_DROPPED: 1, _RECEIVED: 4, "timestamp": sent_now.wall + 1}
    assert evidence.why_missing(sent_now, at_last=False) is None
    found = evidence.why_missing(sent_now, at_last=True)
    assert found is not None
    assert "dropped 1 of 4 traces" in found.reason


def test_full_queue_is_likely_at_last(stack: FakeStack, sent_now: Sent) -> None:
    """Nothing was dropped, and something waits."""
    evidence = _evidence(stack)
    stack.series["otelcol_exporter_queue_size"] = 900
    assert evidence.why_missing(sent_now, at_last=False) is None
    found = evidence.why_missing(sent_now, at_last=True)
    assert found is not None
    assert found.reason.startswith("the trace waits in the Collector's queue")
    assert "COLLECTOR_JAEGER_ENDPOINT" in found.remedy


def test_nothing_is_known_without_the_series(stack: FakeStack, sent_now: Sent) -> None:
    """Neither where Prometheus is away, nor where it has none, nor unasked."""
    evidence = _evidence(stack)
    assert evidence.calls == 3
    assert evidence.why_missing(sent_now, at_last=True) is None
    stack.prometheus.stop()
    assert evidence.why_missing(sent_now, at_last=True) is None
    for where in (None, address("", stack.prometheus.url)):
        unknown = Evidence(where, Deadline(1))
        assert unknown.calls == 0
        assert unknown.why_missing(sent_now, at_last=True) is None
