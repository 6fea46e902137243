"""Our own troubles: logged once, counted always, raised only where asked for."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from otel_callbacks._diagnostics import Counts, Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Keep what our own logger says."""
    with caplog.at_level(logging.DEBUG, "otel_callbacks"):
        yield caplog


def caught(error: Exception) -> Exception:
    """Return an exception that has been raised, so that it has a traceback."""
    try:
        raise error
    except type(error) as seen:
        return seen


def test_trouble_is_counted_always_and_logged_once(
    logged: pytest.LogCaptureFixture,
) -> None:
    """The first failure is one log line with type and place, without its message."""
    diagnostics = Diagnostics()
    for _ in range(3):
        diagnostics.trouble("spans", caught(KeyError("roses")))
    assert diagnostics.counts() == {"spans": 3}
    (record,) = logged.records
    assert record.name == "otel_callbacks"
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    message = record.getMessage()
    assert "spans failed with KeyError at test_diagnostics.py:" in message
    assert "in caught; the app goes on with less telemetry" in message
    assert "otel_callbacks_errors_total{where='spans'}" in message
    assert "roses" not in logged.text


def test_a_logging_handler_that_raises_is_the_apps_matter() -> None:
    """Its exception reaches neither a callback nor the background thread."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.msg)

    logger = logging.getLogger("otel_callbacks")
    logger.addHandler(broken := Broken())
    try:
        diagnostics = Diagnostics()
        diagnostics.trouble("spans", KeyError("roses"))
        diagnostics.oddity("export", "spans are lost.")
    finally:
        logger.removeHandler(broken)
    assert diagnostics.counts() == {"spans": 1, "export": 1}


def test_each_place_and_kind_has_a_line(logged: pytest.LogCaptureFixture) -> None:
    """A new class of error or a new place is logged again."""
    diagnostics = Diagnostics()
    diagnostics.trouble("spans", KeyError("a"))
    diagnostics.trouble("spans", TypeError("b"))
    diagnostics.trouble("prometheus", KeyError("c"))
    diagnostics.trouble("spans", KeyError("d"))
    assert diagnostics.counts() == {"spans": 3, "prometheus": 1}
    assert len(logged.records) == 3


def test_strict_raises_and_counts(logged: pytest.LogCaptureFixture) -> None:
    """In strict mode the original error is raised and counted, not logged."""
    diagnostics = Diagnostics(strict=True)
    error = KeyError("roses")
    with pytest.raises(KeyError) as raised:
        diagnostics.trouble("spans", error)
    assert raised.value is error
    assert diagnostics.counts() == {"spans": 1}
    assert logged.records == []


def test_oddity_is_counted_always_and_logged_once(
    logged: pytest.LogCaptureFixture,
) -> None:
    """An oddity without an exception is logged once, without a traceback."""
    diagnostics = Diagnostics(strict=True)
    diagnostics.oddity("export", "spans are lost.", count=5)
    diagnostics.oddity("export", "spans are lost.")
    assert diagnostics.counts() == {"export": 6}
    (record,) = logged.records
    assert record.getMessage() == "otel_callbacks: spans are lost."
    assert record.levelno == logging.WARNING
    assert record.exc_info is None


def test_said_once_and_not_counted(logged: pytest.LogCaptureFixture) -> None:
    """A hint is logged once per subject and not counted."""
    diagnostics = Diagnostics()
    diagnostics.log_once("settings", "first")
    diagnostics.log_once("settings", "second")
    diagnostics.log_once("usage_missing", "third")
    assert diagnostics.counts() == {}
    assert [record.getMessage() for record in logged.records] == [
        "otel_callbacks: first",
        "otel_callbacks: third",
    ]


def test_kinds_that_are_remembered_are_bounded(
    logged: pytest.LogCaptureFixture,
) -> None:
    """New error classes on each failure fill neither memory nor log."""
    diagnostics = Diagnostics()
    for number in range(1_005):
        diagnostics.trouble("spans", type(f"Error{number}", (Exception,), {})())
    assert diagnostics.counts() == {"spans": 1_005}
    assert len(logged.records) == 1_000


def test_counts_are_a_copy() -> None:
    """Changing the returned counts does not change the originals."""
    diagnostics = Diagnostics()
    diagnostics.oddity("export", "x")
    diagnostics.counts()["export"] = 99
    assert diagnostics.counts() == {"export": 1}


def test_threads_lose_no_count() -> None:
    """Errors in several threads are all counted."""
    diagnostics = Diagnostics()

    def work() -> None:
        for _ in range(500):
            diagnostics.oddity("export", "x")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert diagnostics.counts() == {"export": 2_000}


def test_one_place_does_not_silence_another(
    logged: pytest.LogCaptureFixture,
) -> None:
    """Many failures in one place do not hide the first failure in another."""
    diagnostics = Diagnostics()
    for number in range(1_005):
        diagnostics.log_once("price", "no price", about=f"model {number}")
    diagnostics.log_once("usage_missing", "no usage")
    assert len(logged.records) == 1_001
    assert logged.records[-1].getMessage() == "otel_callbacks: no usage"


def test_threads_lose_no_count_of_counts() -> None:
    """Counts from many threads are complete."""
    counts = Counts()

    def add() -> None:
        for _ in range(1_000):
            counts.add("cost", "raise")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.add("calls", "warn")
    assert counts.read() == {("cost", "raise"): 4_000, ("calls", "warn"): 1}
