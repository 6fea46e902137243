from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from loopback_servers import FakeStack, Page, Web, success

from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.findings import Trouble
from otel_callbacks.cli.doctor.prometheus import Prometheus, calls_of_the_doctor

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Visit


def test_values_are_numbers_or_none(stack: FakeStack, visit: Visit) -> None:
    """None where an expression gives nothing, and where it is refused."""
    prometheus = Prometheus(address("", stack.prometheus.url), visit)
    prometheus.recognise()
    assert calls_of_the_doctor(prometheus) == 3.0
    assert prometheus.value("no_such_series") is None
    refused = Page({"status": "error", "error": "parse error"}, 400)
    stack.prometheus.pages["/api/v1/query"] = refused
    assert prometheus.value("sum(") is None
    assert calls_of_the_doctor(prometheus) == 0.0


def test_exemplars_give_their_traces(visit: Visit) -> None:
    """An exemplar without one is kept apart; an answer without data gives none."""
    labels = [{"trace_id": "a"}, {"trace_id": "b"}, {"span": "c"}]
    found = [{"exemplars": [{"labels": each} for each in labels]}]
    with Web({"/api/v1/query_exemplars": success(found)}) as web:
        prometheus = Prometheus(address("", web.url), visit)
        assert prometheus.traces_of_exemplars("x", 100.0, 200.0) == {"a", "b", ""}
        assert web.requests[0][0].endswith("?query=x&start=40.000&end=260.000")
        web.pages.clear()
        assert prometheus.traces_of_exemplars("x", 100.0, 200.0) == set()


def test_another_server_is_not_prometheus(visit: Visit) -> None:
    """Whatever it answers."""
    for page in (Page("<html>"), Page([]), Page({"data": {}}, 404)):
        with Web({"/api/v1/query": page}) as web:
            prometheus = Prometheus(address("", web.url), visit)
            with pytest.raises(Trouble, match="is not prometheus"):
                prometheus.recognise()
