from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from loopback_servers import Page, Web, closed_port
from prometheus_client import CollectorRegistry, Counter, start_http_server

from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.findings import Finding, Trouble
from otel_callbacks.cli.doctor.metrics import look
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Visit


def _look(visit: Visit, port: int) -> str:
    """Look at an app's series."""
    return look(visit, address("", f"http://127.0.0.1:{port}/metrics"))


def _why(visit: Visit, port: int) -> Finding:
    """Return what is wrong."""
    with pytest.raises(Trouble) as caught:
        _look(visit, port)
    return caught.value.finding


def test_app_with_a_call_is_well(visit: Visit) -> None:
    """Its series and its exemplars are there, as prometheus_client serves them."""
    with capture() as telemetry:
        FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
        server, thread = start_http_server(0, "127.0.0.1", telemetry.registry)
        saw = _look(visit, server.server_port)
        server.shutdown()
        server.server_close()
        thread.join()
    assert not saw.startswith("0 of our series")
    assert not saw.endswith(" 0 exemplars")
    assert visit.cautions == []


def test_app_before_its_first_call_is_cautioned(visit: Visit) -> None:
    """There are series, but no exemplar yet."""
    with capture() as telemetry:
        server, thread = start_http_server(0, "127.0.0.1", telemetry.registry)
        assert _look(visit, server.server_port).endswith(" 0 exemplars")
        server.shutdown()
        server.server_close()
        thread.join()
    (caution,) = visit.cautions
    assert caution.reason.startswith("no exemplars")
    assert "multiprocess" in caution.remedy


def test_another_app_is_named(visit: Visit) -> None:
    """It has series, and none of ours."""
    registry = CollectorRegistry()
    Counter("flowers", "Sold.", registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    found = _why(visit, server.server_port)
    server.shutdown()
    server.server_close()
    thread.join()
    assert found.reason == "it answers, and has none of our series"
    assert "registry=" in found.remedy


def test_old_text_format_is_cautioned(visit: Visit) -> None:
    """It cannot carry exemplars."""
    page = Page("# TYPE otel_callbacks_open_runs gauge\n")
    with Web({"/metrics": page}) as web:
        assert _look(visit, web.port) == "1 of our series, 0 exemplars"
    assert [one.reason for one in visit.cautions] == [
        "it answers in the old text format, which has no exemplars"
    ]


def test_app_that_is_away_is_named(visit: Visit) -> None:
    """With what serves the series; a page that is missing is another matter."""
    found = _why(visit, closed_port())
    assert found.reason.startswith("connection refused")
    assert found.remedy.startswith("Start the app: configure() serves it")
    with Web() as web:
        assert "is not metrics (HTTP 404)" in _why(visit, web.port).reason
    with Web(tls=True) as web:
        assert _why(visit, web.port).reason.startswith("TLS mismatch")
