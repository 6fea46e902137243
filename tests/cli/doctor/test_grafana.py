from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from loopback_servers import FakeStack, Page

from otel_callbacks.cli.doctor.addresses import address
from otel_callbacks.cli.doctor.findings import Trouble
from otel_callbacks.cli.doctor.grafana import SOURCES, look

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Visit


def _look(visit: Visit, stack: FakeStack) -> str:
    """Look at Grafana."""
    return look(visit, address("", stack.grafana.url))


def test_grafana_and_both_sources_are_well(visit: Visit, stack: FakeStack) -> None:
    """Its version, and the uids that the dashboards name."""
    saw = "version 13.2.0, data source prometheus, data source jaeger"
    assert _look(visit, stack) == saw
    assert visit.troubles == visit.cautions == []


def test_visitors_may_not_see_the_version(visit: Visit, stack: FakeStack) -> None:
    """Grafana hides it on request."""
    stack.grafana.pages["/api/health"] = Page({"database": "ok"})
    assert _look(visit, stack).startswith("answers, data source")


@pytest.mark.parametrize("uid", SOURCES)
@pytest.mark.parametrize(
    ("page", "reason", "remedy"),
    [
        (
            Page({"status": "ERROR", "message": "connection refused"}, 400),
            "the data source {} is not well: connection refused",
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
    visit: Visit, stack: FakeStack, uid: str, page: Page, reason: str, remedy: str
) -> None:
    """By its uid, with Grafana's words; the other one is still looked at."""
    stack.grafana.pages[f"/api/datasources/uid/{uid}/health"] = page
    (other,) = set(SOURCES) - {uid}
    assert _look(visit, stack) == f"version 13.2.0, data source {other}"
    (trouble,) = visit.troubles
    assert trouble.reason == reason.format(uid)
    assert remedy in trouble.remedy


def test_sources_behind_a_login_are_cautioned(visit: Visit, stack: FakeStack) -> None:
    """They may be well; a password in the address shows it."""
    stack.grafana.pages["/api/datasources/uid/jaeger/health"] = Page("", 403)
    _look(visit, stack)
    (caution,) = visit.cautions
    assert "the data source jaeger cannot be looked at without a login" in (
        caution.reason
    )
    assert "--grafana http://USER:PASSWORD@HOST" in caution.remedy


def test_broken_database_is_named(visit: Visit, stack: FakeStack) -> None:
    """Grafana answers with it."""
    page = Page({"database": "failing", "version": "13.2.0"}, 503)
    stack.grafana.pages["/api/health"] = page
    _look(visit, stack)
    (trouble,) = visit.troubles
    assert trouble.reason == "its database is not well: failing"


def test_another_server_is_not_grafana(visit: Visit, stack: FakeStack) -> None:
    """One without its health page, or with another one."""
    for page in (Page("ok"), Page({"status": "ok"})):
        stack.grafana.pages["/api/health"] = page
        with pytest.raises(Trouble, match="is not grafana"):
            _look(visit, stack)
