"""Each label has so many values and no more."""

from __future__ import annotations

from otel_callbacks._metrics.series import OPERATION_DURATION
from otel_callbacks._metrics.store import LabelLimits

NAMES = ("gen_ai_request_model", "error_type")


def test_values_below_the_limit_stay() -> None:
    """Up to the limit every value is kept, and nothing is counted."""
    limits = LabelLimits(2, 10_000)
    assert limits.bound(NAMES, ("a", "x")) == (("a", "x"), ())
    assert limits.bound(NAMES, ("b", "y")) == (("b", "y"), ())
    assert limits.overflowed == {}


def test_values_beyond_the_limit_become_other() -> None:
    """Beyond it a value is ``other``, an error type ``_OTHER``, and each is counted."""
    limits = LabelLimits(1, 10_000)
    limits.bound(NAMES, ("a", "x"))
    assert limits.bound(NAMES, ("b", "y")) == (("other", "_OTHER"), NAMES)
    assert limits.bound(NAMES, ("c", "x")) == (("other", "x"), NAMES[:1])
    assert limits.overflowed == {"gen_ai_request_model": 2, "error_type": 1}


def test_known_values_stay_beyond_the_limit() -> None:
    """A value that came in time keeps its name for good."""
    limits = LabelLimits(1, 10_000)
    limits.bound(NAMES, ("a", "x"))
    limits.bound(NAMES, ("b", "y"))
    assert limits.bound(NAMES, ("a", "x")) == (("a", "x"), ())


def test_empty_values_take_no_place() -> None:
    """An empty value is no label: it counts towards no limit."""
    limits = LabelLimits(1, 10_000)
    assert limits.bound(NAMES, ("", "")) == (("", ""), ())
    assert limits.bound(NAMES, ("a", "x")) == (("a", "x"), ())
    assert limits.bound(NAMES, ("", "")) == (("", ""), ())
    assert limits.overflowed == {}


def test_labels_have_limits_of_their_own() -> None:
    """That one label is full takes nothing from another."""
    limits = LabelLimits(1, 10_000)
    limits.bound(NAMES[:1], ("a",))
    assert limits.bound(NAMES[1:], ("x",)) == (("x",), ())


def test_a_series_without_room_keeps_what_has_few_values() -> None:
    """Open labels become ``other``; an empty one stays; the series is counted."""
    limits = LabelLimits(1, 10_000)
    labels = ("chat", "openai", "gpt", "", "host", "443", "ValueError")
    assert limits.beyond(OPERATION_DURATION, labels) == (
        *("chat", "other", "other", "", "other", "other", "_OTHER"),
    )
    assert limits.overflowed == {OPERATION_DURATION.name: 1}
