"""Each label has so many values and no more."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from reporting import Reporter

from otel_callbacks import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Limited = Callable[..., Reporter]

DURATION = "gen_ai_client_operation_duration_seconds"
OVERFLOWED = "otel_callbacks_labels_overflowed_total"


@pytest.fixture
def limited() -> Iterator[Limited]:
    """Return what makes a reporter of calls whose labels have limits."""
    with ExitStack() as stack:

        def make(**limits: int) -> Reporter:
            settings = Settings(strict=True, **limits)
            return stack.enter_context(Reporter(settings))

        yield make


def fail(reporter: Reporter, model: str, error: str = "") -> None:
    """Report a call of a model, which fails if the error has a name."""
    raised = type(error, (Exception,), {})() if error else None
    reporter.call([], error=raised, params={"model": model})


def labels(reporter: Reporter) -> dict[tuple[str, str], float]:
    """Return the number of calls by model and type of error."""
    return {
        (named["gen_ai_request_model"], named["error_type"]): value
        for (name, pairs), value in reporter.telemetry.samples.items()
        if name == f"{DURATION}_count" and (named := dict(pairs))
    }


def overflowed(reporter: Reporter) -> dict[str, float]:
    """Return how often a value had no place, by label or series."""
    return {
        dict(pairs)["label"]: value
        for (name, pairs), value in reporter.telemetry.samples.items()
        if name == OVERFLOWED
    }


def test_values_below_the_limit_stay(limited: Limited) -> None:
    """Up to the limit every value is kept, and nothing is counted."""
    reporter = limited(label_limit=2)
    fail(reporter, "a", "XError")
    fail(reporter, "b", "YError")
    assert labels(reporter) == {("a", "XError"): 1, ("b", "YError"): 1}
    assert overflowed(reporter) == {}


def test_values_beyond_the_limit_become_other(limited: Limited) -> None:
    """Beyond it a value is ``other``, an error type ``_OTHER``, and each is counted."""
    reporter = limited(label_limit=1)
    fail(reporter, "a", "XError")
    fail(reporter, "b", "YError")
    fail(reporter, "c", "XError")
    assert labels(reporter) == {
        ("a", "XError"): 1,
        ("other", "_OTHER"): 1,
        ("other", "XError"): 1,
    }
    assert overflowed(reporter) == {"gen_ai_request_model": 2, "error_type": 1}


def test_known_values_stay_beyond_the_limit(limited: Limited) -> None:
    """A value that came in time keeps its name for good."""
    reporter = limited(label_limit=1)
    for model, error in (("a", "XError"), ("b", "YError"), ("a", "XError")):
        fail(reporter, model, error)
    assert labels(reporter) == {("a", "XError"): 2, ("other", "_OTHER"): 1}


def test_empty_values_take_no_place(limited: Limited) -> None:
    """An empty value is no label: it counts towards no limit."""
    reporter = limited(label_limit=1)
    for model, error in (("", ""), ("a", "XError"), ("", "")):
        fail(reporter, model, error)
    assert labels(reporter) == {("", ""): 2, ("a", "XError"): 1}
    assert overflowed(reporter) == {}


def test_labels_have_limits_of_their_own(limited: Limited) -> None:
    """That one label is full takes nothing from another."""
    reporter = limited(label_limit=1)
    fail(reporter, "a")
    fail(reporter, "b", "XError")
    assert labels(reporter) == {("a", ""): 1, ("other", "XError"): 1}


def test_a_series_without_room_keeps_what_has_few_values(limited: Limited) -> None:
    """Open labels become ``other``; an empty one stays; the series is counted."""
    reporter = limited(series_limit=1)
    for model in ("a", "b"):
        reporter.call(
            [],
            error=ValueError(),
            params={"model": model},
            metadata={"ls_provider": "openai"},
        )
    (beyond,) = [
        dict(pairs)
        for (name, pairs), value in reporter.telemetry.samples.items()
        if name == f"{DURATION}_count" and dict(pairs)["gen_ai_request_model"] != "a"
    ]
    assert beyond == {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "other",
        "gen_ai_request_model": "other",
        "gen_ai_response_model": "",
        "server_address": "other",
        "server_port": "other",
        "error_type": "_OTHER",
    }
    assert overflowed(reporter)[DURATION] == 1
