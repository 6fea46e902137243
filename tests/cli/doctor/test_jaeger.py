from __future__ import annotations

import time
from typing import Any

import pytest
from loopback_servers import Page, Pages, Web, success

from otel_callbacks import Settings
from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.chain import run_chain, trace_id
from otel_callbacks.cli.doctor.findings import Finding, Trouble
from otel_callbacks.cli.doctor.jaeger import look
from otel_callbacks.cli.doctor.probe import Deadline, Sent, Visit
from otel_callbacks.cli.doctor.sampling import Evidence

_NEW = "/api/v3/traces/"
_OLD = "/api/traces/"


@pytest.fixture
def sent(visit: Visit) -> Sent:
    """A trace that has been sent."""
    spans = run_chain(visit, "mark", Settings())
    visit.sent = Sent(spans, trace_id(spans), time.monotonic(), time.time())
    return visit.sent


def _look(visit: Visit, pages: Pages) -> str:
    """Look at a Jaeger of these pages, without a Prometheus."""
    pages = {"/api/services": Page({"data": []}), **pages}
    with Web(pages) as web:
        evidence = Evidence(None, visit.deadline)
        return look(visit, address("", web.url), Deadline(0.1), evidence)


def _why(visit: Visit, pages: Pages) -> Finding:
    """Return what is wrong."""
    with pytest.raises(Trouble) as caught:
        _look(visit, pages)
    return caught.value.finding


def _otlp(spans: int) -> Page:
    """Return a trace in OTLP's JSON."""
    scopes: list[Any] = [{"spans": [{}]}] * spans
    return Page({"result": {"resourceSpans": [{"scopeSpans": scopes}]}})


def test_trace_is_found_by_either_api(visit: Visit, sent: Sent) -> None:
    """The API v3, else the one before; a page of the UI is neither."""
    found = "the trace, with its 3 spans"
    assert _look(visit, {f"{_NEW}{sent.trace_id}": _otlp(3)}) == found
    old = Page({"data": [{"spans": [{}, {}, {}]}]})
    ui = Page("<html>Jaeger UI</html>")
    pages: Pages = {f"{_NEW}{sent.trace_id}": ui, f"{_OLD}{sent.trace_id}": old}
    assert _look(visit, pages) == found


def test_trace_may_come_late(visit: Visit, sent: Sent) -> None:
    """Span by span."""
    pages = [Page({"data": None}, 404), _otlp(1), _otlp(3)]

    def next_page(_: dict[str, str]) -> Page:
        return pages.pop(0) if len(pages) > 1 else pages[0]

    assert "3 spans" in _look(visit, {f"{_NEW}{sent.trace_id}": next_page})


def test_missing_trace_has_likely_reasons(visit: Visit, sent: Sent) -> None:
    """When the Collector's series cannot be asked."""
    del sent
    found = _why(visit, {})
    assert found.reason.startswith("the Collector took the trace, and Jaeger does not")
    for cause in ("COLLECTOR_KEEP_PERCENT", "AFTER_ROOT", "cannot reach Jaeger"):
        assert cause in found.remedy


def test_part_of_a_trace_is_not_the_trace(visit: Visit, sent: Sent) -> None:
    """It says how much is there."""
    found = _why(visit, {f"{_NEW}{sent.trace_id}": _otlp(2)})
    assert found.reason == "only 2 of 3 spans of the trace are there"


def test_another_server_is_not_jaeger(visit: Visit) -> None:
    """A page for everything, and another API, are told apart from Jaeger's."""
    assert "is not jaeger" in _why(visit, {"/api/services": Page("<html>")}).reason
    other = {"/api/services": success([]), "/api/v3/services": Page([])}
    other["/api/services"] = Page({"status": "success"})
    assert "is not jaeger" in _why(visit, {**other}).reason


def test_evidence_ends_the_waiting(visit: Visit, sent: Sent) -> None:
    """What the Collector says it did with the trace is the reason."""
    del sent
    numbers = iter([0, 0, 0, *[5] * 100])

    def query(_: dict[str, str]) -> Page:
        value = [0, str(next(numbers) if visit.sent else 0)]
        return success({"result": [{"value": [value[0], f"{value[1]}e12"]}]})

    with (
        Web({"/api/v1/query": query}) as prometheus,
        Web({"/api/services": Page({"data": []})}) as jaeger,
    ):
        evidence = Evidence(address("", prometheus.url), visit.deadline)
        with pytest.raises(Trouble, match="sampled away"):
            look(visit, address("", jaeger.url), Deadline(60), evidence)
