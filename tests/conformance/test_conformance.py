"""Unchanged apps under ``opentelemetry-instrument`` keep to the conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from measure.checker import findings, stricter_findings, wrong_buckets
from measure.declared import carried, table
from measure.floors import CHAT, EVENT, FLOORS
from measure.page import PAGE
from measure.registry import later_registry, registry
from measure.session import SCENARIOS

if TYPE_CHECKING:
    from measure.session import Ran

# The first test waits for all scenarios.
pytestmark = [pytest.mark.timeout(600), pytest.mark.recent]

OURS: Final = "otel_callbacks"
FEWEST_OF_AN_EVENT: Final = 15


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_app_runs_without_a_log_line(ran: dict[str, Ran], scenario: str) -> None:
    """The app ends well; no warning and no log line of ours is in its way."""
    assert ran[scenario].status == 0, ran[scenario].errors
    assert not ran[scenario].errors


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_found(ran: dict[str, Ran], scenario: str) -> None:
    """No rule of the runner is broken, and the stricter look finds nothing."""
    received = ran[scenario].received
    found = findings(registry(), received)
    stricter = stricter_findings(registry(), received)
    buckets = wrong_buckets(registry(), received)
    assert list(received.each_span())
    assert not found
    assert not stricter
    assert not buckets


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_as_many_declared_attributes_as_required(
    ran: dict[str, Ran], scenario: str
) -> None:
    """Each signal carries at least the declared attributes that its floor says."""
    found = carried(registry(), ran[scenario].received)
    short = {
        signal: (sorted(found.get(signal, ())), floor)
        for signal, floor in FLOORS[scenario].items()
        if len(found.get(signal, ())) < floor
    }
    assert not short


@pytest.mark.parametrize(
    "scenario", [name for name in SCENARIOS if CHAT in FLOORS[name]]
)
def test_each_model_call_has_its_event(ran: dict[str, Ran], scenario: str) -> None:
    """As many events as chats, each with no fewer attributes than its span."""
    received = ran[scenario].received
    chats = [span for span in received.each_span() if span.name.startswith("chat ")]
    events = [one for one in received.each_record() if one.event_name == EVENT]
    assert len(events) == len(chats)
    assert all(len(one.attributes) >= FEWEST_OF_AN_EVENT for one in events)
    assert {one.trace_id for one in events} == {span.trace_id for span in chats}


def test_every_scenario_has_floors() -> None:
    """What is run is held to something; model calls have an event and metrics."""
    assert set(FLOORS) == set(SCENARIOS)
    assert all(EVENT in floors for floors in FLOORS.values() if CHAT in floors)


def test_names_of_ours_have_our_prefix(ran_with_extensions: Ran) -> None:
    """With extensions, what the conventions lack starts with our name everywhere."""
    assert ran_with_extensions.status == 0, ran_with_extensions.errors
    found = findings(registry(), ran_with_extensions.received)
    assert {one.rule for one in found} == {"missing_attribute", "missing_metric"}
    names = {one.detail for one in found}
    assert any(name.startswith(f"{OURS}.") for name in names)
    assert not [name for name in names if not name.startswith(f"{OURS}.")]


def test_nothing_is_found_with_latest_names(ran_latest: Ran) -> None:
    """Against the later names no rule is broken; the older ones lack the metric."""
    assert ran_latest.status == 0, ran_latest.errors
    received = ran_latest.received
    assert list(received.each_span())
    assert not findings(later_registry(), received)
    assert not stricter_findings(later_registry(), received)
    assert not wrong_buckets(later_registry(), received)
    (unknown,) = findings(registry(), received)
    assert unknown.rule == "missing_metric"
    assert unknown.detail == "gen_ai.invoke_workflow.duration"


def test_the_page_shows_what_was_measured(ran: dict[str, Ran]) -> None:
    """The table in the documents is the one that the scenarios give now."""
    carried_by = {name: carried(registry(), one.received) for name, one in ran.items()}
    assert table(registry(), carried_by, FLOORS) in PAGE.read_text(encoding="utf-8")
