from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from loopback_servers import FakeStack, Page, success

from otel_callbacks.cli.doctor.addresses import Address, address
from otel_callbacks.cli.doctor.probe import Deadline, Sent, Visit
from otel_callbacks.cli.doctor.prometheus import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_callbacks.cli.doctor.findings import Finding

_TRACE = "1" * 32


@pytest.fixture
def visit() -> Visit:
    """A hop with little time: some things here never come."""
    return Visit(Deadline(0.5))


@pytest.fixture
def sent(visit: Visit, stack: FakeStack) -> Sent:
    """A trace that the Collector has taken."""
    stack.receiver.traces[_TRACE] = 3
    visit.sent = Sent((), _TRACE, time.monotonic(), time.time())
    return visit.sent


def _look(
    visit: Visit, stack: FakeStack, before: float = 3.0, *, app: bool = True
) -> str:
    """Look at Prometheus."""
    metrics: Address | None = address("", f"{stack.metrics.url}/metrics")
    return look(
        visit,
        address("", stack.prometheus.url),
        metrics if app else None,
        before,
        span_metrics=True,
    )


def _target(stack: FakeStack, **changes: str) -> None:
    """Let the app's target be another."""
    targets = [{**stack.target, **changes}]
    stack.prometheus.pages["/api/v1/targets"] = success({"activeTargets": targets})


def _trouble(visit: Visit) -> Finding:
    """Return the one trouble."""
    (trouble,) = visit.troubles
    return trouble


def test_all_is_well(visit: Visit, stack: FakeStack, sent: Sent) -> None:
    """The app's series, and an exemplar of span metrics that names the trace."""
    del sent
    saw = _look(visit, stack)
    assert saw.startswith("12 series of the app, span metrics of the trace after ")
    assert visit.troubles == visit.cautions == []


def test_without_a_trace_it_answers(visit: Visit, stack: FakeStack) -> None:
    """There is nothing to wait for."""
    assert _look(visit, stack, app=False) == "answers"


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
    visit: Visit,
    stack: FakeStack,
    sent: Sent,
    flags: dict[str, str],
    reason: str,
    remedy: str,
) -> None:
    """With the flag to start Prometheus with; counters still show the trace."""
    del sent
    stack.flags = flags
    saw = _look(visit, stack, before=1.0)
    assert _trouble(visit).reason.startswith(reason)
    assert remedy in _trouble(visit).remedy
    assert ("span metrics" in saw) == ("exemplar" in reason)


@pytest.mark.parametrize(
    "flags", [{"enable-feature": "exemplar-storage,otlp-write-receiver"}, None]
)
def test_other_kinds_of_prometheus_are_well(
    visit: Visit, stack: FakeStack, flags: Mapping[str, str] | None
) -> None:
    """Before version 3 the receiver is one of the features; Mimir has no flags."""
    stack.prometheus.pages["/api/v1/status/flags"] = success(flags)
    _look(visit, stack)
    assert visit.troubles == []


def test_absent_target_is_named(visit: Visit, stack: FakeStack) -> None:
    """By the port that no target has; a target without a port has its scheme's."""
    _target(stack, scrapeUrl="https://app/metrics")
    assert _look(visit, stack) == "answers"
    assert _trouble(visit).reason == (
        f"no target has port {stack.metrics.port}: nobody scrapes the app"
    )
    assert "deploy/prometheus/targets" in _trouble(visit).remedy


@pytest.mark.parametrize(
    ("health", "error", "said"),
    [
        ("down", "connection refused", "is down: connection refused"),
        ("unknown", "", "is down: it has not been scraped yet"),
    ],
)
def test_target_that_is_down_is_named(
    visit: Visit, stack: FakeStack, health: str, error: str, said: str
) -> None:
    """With Prometheus' own reason, and how containers reach this machine."""
    _target(stack, health=health, lastError=error)
    assert _look(visit, stack) == "answers"
    assert _trouble(visit).reason.endswith(said)
    assert "172.17.0.1" in _trouble(visit).remedy


@pytest.mark.parametrize("before", ["down", "unknown", "other unknown", "none"])
def test_what_has_just_started_is_given_a_scrape(
    visit: Visit, stack: FakeStack, before: str
) -> None:
    """An app, and a Prometheus that finds its targets one after another."""
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
    assert _look(visit, stack) == "12 series of the app"
    assert visit.troubles == []


def test_app_that_stays_down_is_not_waited_for(stack: FakeStack) -> None:
    """One more scrape that fails is enough."""
    visit = Visit(Deadline(60))
    scrapes = ["1", "1", "2"]

    def targets(_: dict[str, str]) -> Page:
        last = scrapes.pop(0) if len(scrapes) > 1 else scrapes[0]
        changes = {"health": "down", "lastError": "refused", "lastScrape": last}
        return success({"activeTargets": [{**stack.target, **changes}]})

    stack.prometheus.pages["/api/v1/targets"] = targets
    _look(visit, stack)
    assert _trouble(visit).reason.endswith("is down: refused")


def test_missing_series_are_named(visit: Visit, stack: FakeStack) -> None:
    """The target is up, and has nothing of ours."""
    del stack.series["otel_callbacks|gen_ai"]
    _look(visit, stack)
    assert _trouble(visit).reason.endswith("is up, and none of our series is there")


def test_span_metrics_may_lack_exemplars(
    visit: Visit, stack: FakeStack, sent: Sent
) -> None:
    """Counters show that they are of the trace; the Collector keeps no exemplars."""
    del sent
    stack.has_exemplars = False
    assert "span metrics" in _look(visit, stack, before=0.0)
    assert [one.reason for one in visit.cautions] == [
        "span metrics of the trace are there, without an exemplar that names it"
    ]


def test_missing_span_metrics_are_named(
    visit: Visit, stack: FakeStack, sent: Sent
) -> None:
    """The counters stand where they stood."""
    del sent
    stack.has_exemplars = False
    assert _look(visit, stack) == "12 series of the app"
    assert _trouble(visit).reason.startswith("no span metrics of the trace ")
    assert "--skip span-metrics" in _trouble(visit).remedy


def test_waiting_span_metrics_are_named(
    visit: Visit, stack: FakeStack, sent: Sent
) -> None:
    """The Collector has them in its queue."""
    del sent
    stack.has_exemplars = False
    stack.series["otelcol_exporter_queue_size"] = 10
    _look(visit, stack)
    assert "wait in the Collector's queue" in _trouble(visit).reason
    assert "COLLECTOR_PROMETHEUS_URL" in _trouble(visit).remedy


def test_targets_page_may_be_missing(visit: Visit, stack: FakeStack) -> None:
    """As in what only stores series: then there is no target."""
    stack.prometheus.pages["/api/v1/targets"] = Page("no", 404)
    _look(visit, stack)
    assert _trouble(visit).reason.startswith("no target has port ")
