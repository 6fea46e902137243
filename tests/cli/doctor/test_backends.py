from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from loopback_servers import FakeStack, Page, Pages, Web, closed_port, success
from prometheus_client import CollectorRegistry, Counter
from waiting import WAIT_S

from otel_callbacks import Settings
from otel_callbacks.cli._http import address
from otel_callbacks.cli.doctor.backends import (
    SOURCES,
    Evidence,
    check_grafana,
    check_jaeger,
    check_metrics,
)
from otel_callbacks.cli.doctor.chain import run_chain, trace_id
from otel_callbacks.cli.doctor.probe import Check, Deadline, Finding, Sent, Trouble
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from otel_callbacks.cli.doctor.probe import Check

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
        check.name, check.address = "jaeger", address("", web.url)
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
        evidence = Evidence(address("", prometheus.url), check.deadline)
        check.address = address("", jaeger.url)
        with pytest.raises(Trouble, match="sampled away"):
            check_jaeger(check, Deadline(60), evidence)


def _grafana_look(check: Check, stack: FakeStack) -> str:
    """Check Grafana."""
    check.name, check.address = "grafana", address("", stack.grafana.url)
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
    check.name, check.address = "metrics", address("", url)
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
