"""Duplicate reports of an end, and ends without a start."""

from __future__ import annotations

from otel_callbacks._runs.table import DuplicateReports


def test_expected_end_is_a_duplicate_once() -> None:
    """One further report means nothing; one more than that does."""
    duplicates = DuplicateReports()
    duplicates.expect(7, 1)
    assert duplicates.is_expected(7)
    assert not duplicates.is_expected(7)


def test_as_many_duplicates_as_expected() -> None:
    """Three handlers on one model report two ends too many."""
    duplicates = DuplicateReports()
    duplicates.expect(7, 2)
    assert [duplicates.is_expected(7) for _ in range(3)] == [True, True, False]


def test_unexpected_end_is_no_duplicate() -> None:
    """The end of a run that nobody announced is no echo."""
    duplicates = DuplicateReports()
    duplicates.expect(7, 1)
    assert not duplicates.is_expected(8)
    assert duplicates.is_expected(7)


def test_ends_that_never_come_do_not_pile_up() -> None:
    """Of very many expected ends the oldest are forgotten."""
    duplicates = DuplicateReports()
    for key in range(1_001):
        duplicates.expect(key, 1)
    assert not duplicates.is_expected(0)
    assert duplicates.is_expected(1)
    assert duplicates.is_expected(1_000)
    assert len(duplicates._left) == 998
