from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from loopback_servers import FakeStack, Page, Pages, Web, at, closed_port, success
from prometheus_client import CollectorRegistry, Counter
from waiting import WAIT_S

from otel_callbacks import Settings
from otel_callbacks.cli.doctor.backends import (
    SOURCES,
    Evidence,
    check_grafana,
    check_jaeger,
    check_metrics,
    check_prometheus,
    traces_of_exemplars,
    value,
)
from otel_callbacks.cli.doctor.chain import run_chain, trace_id
from otel_callbacks.cli.doctor.probe import Check, Deadline, Finding, Sent, Trouble
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    Serve = Callable[[CollectorRegistry], AbstractContextManager[str]]

_NEW = "/api/v3/traces/"
_OLD = "/api/traces/"


@pytest.fixture
def sent(check: Check) -> Sent:
    """A sent trace."""
    spans = run_chain(check, "mark", Settings())
    check.sent = Sent(spans, trace_id(spans), time.monotonic(), time.time())
    return check.sent


def _look(check: Check, pages: Pages, seconds: float = 0.1) -> str:
    """Check a Jaeger with these pages, without a Prometheus."""
    pages = {"/api/services": Page({"data": []}), **pages}
    with Web(pages) as web:
        check.name, check.address = "jaeger", at(web.url)
        evidence = Evidence(None, check.deadline)
        return check_jaeger(check, Deadline(seconds), evidence)


def _why(check: Check, pages: Pages) -> Finding:
    """Return the trouble."""
    with pytest.raises(Trouble) as caught:
        _look(check, pages)
    return caught.value.finding


def _otlp(spans: int) -> Page:
    """Return a trace in OTLP JSON."""
    scopes: list[Any] = [{"spans": [{}]}] * spans
    return Page({"result": {"resourceSpans": [{"scopeSpans": scopes}]}})


def test_trace_is_found_by_either_api(check: Check, sent: Sent) -> None:
    """The API v3, else the one before; a page of the UI is neither."""
    found = "the trace, with its 3 spans"
    assert _look(check, {f"{_NEW}{sent.trace_id}": _otlp(3)}) == found
    old = Page({"data": [{"spans": [{}, {}, {}]}]})
    ui = Page("<html>Jaeger UI</html>")
    pages: Pages = {f"{_NEW}{sent.trace_id}": ui, f"{_OLD}{sent.trace_id}": old}
    assert _look(check, pages) == found


def test_trace_may_come_late(check: Check, sent: Sent) -> None:
    """Spans may arrive one by one."""
    pages = [Page({"data": None}, 404), _otlp(1), _otlp(3)]

    def next_page(_: dict[str, str]) -> Page:
        return pages.pop(0) if len(pages) > 1 else pages[0]

    found = _look(check, {f"{_NEW}{sent.trace_id}": next_page}, WAIT_S)
    assert "3 spans" in found


def test_missing_trace_has_likely_reasons(check: Check, sent: Sent) -> None:
    """The Collector's series are unavailable."""
    del sent
    found = _why(check, {})
    assert found.reason.startswith("the Collector accepted the trace, but ")
    for cause in ("COLLECTOR_KEEP_PERCENT", "AFTER_ROOT", "cannot reach Jaeger"):
        assert cause in found.remedy


def test_part_of_a_trace_is_not_the_trace(check: Check, sent: Sent) -> None:
    """The trouble has the number of spans."""
    found = _why(check, {f"{_NEW}{sent.trace_id}": _otlp(2)})
    assert found.reason == "only 2 of 3 spans of the trace have arrived"


def test_another_server_is_not_jaeger(check: Check) -> None:
    """A page for everything, and another API, are told apart from Jaeger's."""
    assert "is not jaeger" in _why(check, {"/api/services": Page("<html>")}).reason
    other = {"/api/services": success([]), "/api/v3/services": Page([])}
    other["/api/services"] = Page({"status": "success"})
    assert "is not jaeger" in _why(check, {**other}).reason


def test_evidence_ends_the_waiting(check: Check, sent: Sent) -> None:
    """The Collector's counters give the reason."""
    del sent
    numbers = iter([0, 0, 0, *[5] * 100])

    def query(_: dict[str, str]) -> Page:
        value = [0, str(next(numbers) if check.sent else 0)]
        return success({"result": [{"value": [value[0], f"{value[1]}e12"]}]})

    with (
        Web({"/api/v1/query": query}) as prometheus,
        Web({"/api/services": Page({"data": []})}) as jaeger,
    ):
        evidence = Evidence(at(prometheus.url), check.deadline)
        check.address = at(jaeger.url)
        with pytest.raises(Trouble, match="sampled away"):
            check_jaeger(check, Deadline(60), evidence)


def _grafana_look(check: Check, stack: FakeStack) -> str:
    """Check Grafana."""
    check.name, check.address = "grafana", at(stack.grafana.url)
    return check_grafana(check)


def test_grafana_and_both_sources_are_well(check: Check, stack: FakeStack) -> None:
    """Its version, and the uids that the dashboards name."""
    saw = "version 13.2.0, data source prometheus, data source jaeger"
    assert _grafana_look(check, stack) == saw
    assert check.troubles == check.cautions == []


def test_visitors_may_not_see_the_version(check: Check, stack: FakeStack) -> None:
    """Grafana hides it on request."""
    stack.grafana.pages["/api/health"] = Page({"database": "ok"})
    assert _grafana_look(check, stack).startswith("answers, data source")


@pytest.mark.parametrize("uid", SOURCES)
@pytest.mark.parametrize(
    ("page", "reason", "remedy"),
    [
        (
            Page({"status": "ERROR", "message": "connection refused"}, 400),
            "the data source {} is unhealthy: connection refused",
            "inside Grafana's network",
        ),
        (
            Page({"message": "Data source not found"}, 404),
            "there is no data source with the uid {} (HTTP 404 Data source not found)",
            "deploy/grafana/provisioning",
        ),
        (
            Page("oops", 500),
            "there is no data source with the uid {} (HTTP 500)",
            "plugins",
        ),
    ],
)
def test_source_that_is_not_well_is_named(
    check: Check, stack: FakeStack, uid: str, page: Page, reason: str, remedy: str
) -> None:
    """The trouble has its uid and Grafana's message; the other one is still checked."""
    stack.grafana.pages[f"/api/datasources/uid/{uid}/health"] = page
    (other,) = set(SOURCES) - {uid}
    assert _grafana_look(check, stack) == f"version 13.2.0, data source {other}"
    (trouble,) = check.troubles
    assert trouble.reason == reason.format(uid)
    assert remedy in trouble.remedy


def test_sources_behind_a_login_are_cautioned(check: Check, stack: FakeStack) -> None:
    """They may be well; a password in the address shows it."""
    stack.grafana.pages["/api/datasources/uid/jaeger/health"] = Page("", 403)
    _grafana_look(check, stack)
    (caution,) = check.cautions
    assert "the data source jaeger cannot be checked without a login" in (
        caution.reason
    )
    assert "--grafana http://USER:PASSWORD@HOST" in caution.remedy


def test_broken_database_is_named(check: Check, stack: FakeStack) -> None:
    """Grafana answers with it."""
    page = Page({"database": "failing", "version": "13.2.0"}, 503)
    stack.grafana.pages["/api/health"] = page
    _grafana_look(check, stack)
    (trouble,) = check.troubles
    assert trouble.reason == "its database is unhealthy: failing"


def test_another_server_is_not_grafana(check: Check, stack: FakeStack) -> None:
    """One without its health page, or with another one."""
    for page in (Page("ok"), Page({"status": "ok"})):
        stack.grafana.pages["/api/health"] = page
        with pytest.raises(Trouble, match="is not grafana"):
            _grafana_look(check, stack)


def _metrics_look(check: Check, url: str) -> str:
    """Check the series at an address."""
    check.name, check.address = "metrics", at(url)
    return check_metrics(check)


def _metrics_why(check: Check, url: str) -> Finding:
    """Return the trouble."""
    with pytest.raises(Trouble) as caught:
        _metrics_look(check, url)
    return caught.value.finding


def test_app_with_a_call_is_well(check: Check, serve: Serve) -> None:
    """Its series and its exemplars are there, as prometheus_client serves them."""
    with capture() as telemetry:
        FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
        with serve(telemetry.registry) as url:
            saw = _metrics_look(check, url)
    assert not saw.startswith("0 of our series")
    assert not saw.endswith(" 0 exemplars")
    assert check.cautions == []


def test_app_before_its_first_call_is_cautioned(check: Check, serve: Serve) -> None:
    """There are series, but no exemplar yet."""
    with capture() as telemetry, serve(telemetry.registry) as url:
        assert _metrics_look(check, url).endswith(" 0 exemplars")
    (caution,) = check.cautions
    assert caution.reason.startswith("no exemplars")
    assert "multiprocess" in caution.remedy


def test_another_app_is_named(check: Check, serve: Serve) -> None:
    """It has series, but none of this library."""
    registry = CollectorRegistry()
    Counter("flowers", "Sold.", registry=registry)
    with serve(registry) as url:
        found = _metrics_why(check, url)
    assert found.reason == "it responds, but has none of our series"
    assert "registry=" in found.remedy


def test_old_text_format_is_cautioned(check: Check) -> None:
    """It cannot carry exemplars."""
    page = Page("# TYPE otel_callbacks_open_runs gauge\n")
    with Web({"/metrics": page}) as web:
        assert (
            _metrics_look(check, f"{web.url}/metrics") == "1 of our series, 0 exemplars"
        )
    assert [one.reason for one in check.cautions] == [
        "it responds in the old text format, which has no exemplars"
    ]


def test_app_that_is_away_is_named(check: Check) -> None:
    """With what serves the series; a page that is missing is another matter."""
    found = _metrics_why(check, f"http://127.0.0.1:{closed_port()}/metrics")
    assert found.reason.startswith("connection refused")
    assert found.remedy.startswith("Start the app: configure() serves them")
    with Web() as web:
        assert "is not metrics (HTTP 404)" in _metrics_why(check, web.url).reason
    with Web(tls=True) as web:
        assert _metrics_why(check, web.url.replace("https", "http")).reason.startswith(
            "TLS mismatch"
        )


_TRACE = "1" * 32


@pytest.fixture
def hurried() -> Check:
    """A hop with little time: some things here never come."""
    return Check(Deadline(0.5))


@pytest.fixture
def accepted(hurried: Check, stack: FakeStack) -> Sent:
    """A trace that the Collector has taken."""
    stack.receiver.traces[_TRACE] = 3
    hurried.sent = Sent((), _TRACE, time.monotonic(), time.time())
    return hurried.sent


def _prometheus_look(
    hurried: Check, stack: FakeStack, before: float = 3.0, *, app: bool = True
) -> str:
    """Look at Prometheus."""
    metrics = at(f"{stack.metrics.url}/metrics")
    hurried.name, hurried.address = "prometheus", at(stack.prometheus.url)
    return check_prometheus(
        hurried,
        metrics if app else None,
        before,
        span_metrics=True,
    )


def _client(hurried: Check, url: str) -> Check:
    """Return a check of the server at an address."""
    hurried.name, hurried.address = "prometheus", at(url)
    return hurried


def _target(stack: FakeStack, **changes: str) -> None:
    """Let the app's target be another."""
    targets = [{**stack.target, **changes}]
    stack.prometheus.pages["/api/v1/targets"] = success({"activeTargets": targets})


def _trouble(hurried: Check) -> Finding:
    """Return the one trouble."""
    (trouble,) = hurried.troubles
    return trouble


def test_all_is_well(hurried: Check, stack: FakeStack, accepted: Sent) -> None:
    """The app's series, and an exemplar of span metrics that names the trace."""
    del accepted
    saw = _prometheus_look(hurried, stack)
    assert saw.startswith("12 series of the app, span metrics of the trace after ")
    assert hurried.troubles == hurried.cautions == []


def test_without_a_trace_it_answers(hurried: Check, stack: FakeStack) -> None:
    """There is nothing to wait for."""
    assert _prometheus_look(hurried, stack, app=False) == "answers"


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
    hurried: Check,
    stack: FakeStack,
    accepted: Sent,
    flags: dict[str, str],
    reason: str,
    remedy: str,
) -> None:
    """With the flag to start Prometheus with; counters still show the trace."""
    del accepted
    stack.flags = flags
    saw = _prometheus_look(hurried, stack, before=1.0)
    assert _trouble(hurried).reason.startswith(reason)
    assert remedy in _trouble(hurried).remedy
    assert ("span metrics" in saw) == ("exemplar" in reason)


@pytest.mark.parametrize(
    "flags", [{"enable-feature": "exemplar-storage,otlp-write-receiver"}, None]
)
def test_other_kinds_of_prometheus_are_well(
    hurried: Check, stack: FakeStack, flags: Mapping[str, str] | None
) -> None:
    """Before version 3 the receiver is one of the features; Mimir has no flags."""
    stack.prometheus.pages["/api/v1/status/flags"] = success(flags)
    _prometheus_look(hurried, stack)
    assert hurried.troubles == []


def test_absent_target_is_named(hurried: Check, stack: FakeStack) -> None:
    """By the port that no target has; a target without a port has its scheme's."""
    _target(stack, scrapeUrl="https://app/metrics")
    assert _prometheus_look(hurried, stack) == "answers"
    assert _trouble(hurried).reason == (
        f"no target has port {stack.metrics.port}: nobody scrapes the app"
    )
    assert "deploy/prometheus/targets" in _trouble(hurried).remedy


@pytest.mark.parametrize(
    ("health", "error", "said"),
    [
        ("down", "connection refused", "is down: connection refused"),
        ("unknown", "", "is down: it has not been scraped yet"),
    ],
)
def test_target_that_is_down_is_named(
    hurried: Check, stack: FakeStack, health: str, error: str, said: str
) -> None:
    """With Prometheus' own reason, and how containers reach this machine."""
    _target(stack, health=health, lastError=error)
    assert _prometheus_look(hurried, stack) == "answers"
    assert _trouble(hurried).reason.endswith(said)
    assert "172.17.0.1" in _trouble(hurried).remedy


@pytest.mark.parametrize("before", ["down", "unknown", "other unknown", "none"])
def test_what_has_just_started_is_given_a_scrape(stack: FakeStack, before: str) -> None:
    """An app, and a Prometheus that finds its targets one after another."""
    hurried = Check(Deadline(WAIT_S))
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
    assert _prometheus_look(hurried, stack) == "12 series of the app"
    assert hurried.troubles == []


def test_app_that_stays_down_is_not_waited_for(stack: FakeStack) -> None:
    """One more scrape that fails is enough."""
    hurried = Check(Deadline(60))
    scrapes = ["1", "1", "2"]

    def targets(_: dict[str, str]) -> Page:
        last = scrapes.pop(0) if len(scrapes) > 1 else scrapes[0]
        changes = {"health": "down", "lastError": "refused", "lastScrape": last}
        return success({"activeTargets": [{**stack.target, **changes}]})

    stack.prometheus.pages["/api/v1/targets"] = targets
    _prometheus_look(hurried, stack)
    assert _trouble(hurried).reason.endswith("is down: refused")


def test_missing_series_are_named(hurried: Check, stack: FakeStack) -> None:
    """The target is up, and has nothing of ours."""
    del stack.series["otel_callbacks|gen_ai"]
    _prometheus_look(hurried, stack)
    assert _trouble(hurried).reason.endswith("is up, but has none of our series")


def test_span_metrics_may_lack_exemplars(
    hurried: Check, stack: FakeStack, accepted: Sent
) -> None:
    """Counters show that they are of the trace; the Collector keeps no exemplars."""
    del accepted
    stack.has_exemplars = False
    assert "span metrics" in _prometheus_look(hurried, stack, before=0.0)
    assert [one.reason for one in hurried.cautions] == [
        "the trace has span metrics, but no exemplar names it"
    ]


def test_missing_span_metrics_are_named(
    hurried: Check, stack: FakeStack, accepted: Sent
) -> None:
    """The counters stand where they stood."""
    del accepted
    stack.has_exemplars = False
    assert _prometheus_look(hurried, stack) == "12 series of the app"
    assert _trouble(hurried).reason.startswith("no span metrics of the trace ")
    assert "--skip span-metrics" in _trouble(hurried).remedy


def test_waiting_span_metrics_are_named(
    hurried: Check, stack: FakeStack, accepted: Sent
) -> None:
    """The Collector has them in its queue."""
    del accepted
    stack.has_exemplars = False
    stack.series["otelcol_exporter_queue_size"] = 10
    _prometheus_look(hurried, stack)
    assert "wait in the Collector's queue" in _trouble(hurried).reason
    assert "COLLECTOR_PROMETHEUS_URL" in _trouble(hurried).remedy


def test_targets_page_may_be_missing(hurried: Check, stack: FakeStack) -> None:
    """As in what only stores series: then there is no target."""
    stack.prometheus.pages["/api/v1/targets"] = Page("no", 404)
    _prometheus_look(hurried, stack)
    assert _trouble(hurried).reason.startswith("no target has port ")


def test_values_are_numbers_or_none(stack: FakeStack, hurried: Check) -> None:
    """None where an expression gives nothing, and where it is refused."""
    prometheus = _client(hurried, stack.prometheus.url)
    assert value(prometheus, "traces_span_metrics_calls_total") == 3.0
    assert value(prometheus, "no_such_series") is None
    refused = Page({"status": "error", "error": "parse error"}, 400)
    stack.prometheus.pages["/api/v1/query"] = refused
    assert value(prometheus, "sum(") is None


def test_exemplars_give_their_traces(hurried: Check) -> None:
    """An exemplar without one is kept apart; an answer without data gives none."""
    labels = [{"trace_id": "a"}, {"trace_id": "b"}, {"span": "c"}]
    found = [{"exemplars": [{"labels": each} for each in labels]}]
    with Web({"/api/v1/query_exemplars": success(found)}) as web:
        prometheus = _client(hurried, web.url)
        assert traces_of_exemplars(prometheus, "x", 100.0, 200.0) == {"a", "b", ""}
        assert web.requests[0][0].endswith("?query=x&start=40.000&end=260.000")
        web.pages.clear()
        assert traces_of_exemplars(prometheus, "x", 100.0, 200.0) == set()


def test_another_server_is_not_prometheus(hurried: Check) -> None:
    """Whatever it answers."""
    for page in (Page("<html>"), Page([]), Page({"data": {}}, 404)):
        with Web({"/api/v1/query": page}) as web:
            prometheus = _client(hurried, web.url)
            with pytest.raises(Trouble, match="is not prometheus"):
                check_prometheus(prometheus, None, 0.0, span_metrics=False)


_DROPPED = "sampled="
_RECEIVED = 'sum({__name__=~"otelcol_processor_tail_sampling_new_trace'


@pytest.fixture
def sent_now() -> Sent:
    """A trace that has been sent now."""
    return Sent((), "1" * 32, time.monotonic(), time.time())


def _evidence(stack: FakeStack, **before: float) -> Evidence:
    """Return evidence that begins with these numbers."""
    stack.series |= {_DROPPED: 0, _RECEIVED: 0, **before}
    return Evidence(at(stack.prometheus.url), Deadline(5))


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
    for where in (None, at(stack.prometheus.url)):
        unknown = Evidence(where, Deadline(1))
        assert unknown.calls == 0
        assert unknown.why_missing(sent_now, at_last=True) is None
