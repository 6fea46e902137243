"""A second report of one end, told from an end that nobody started."""

from __future__ import annotations

from otel_callbacks._runs.table import Echoes


def test_expected_end_is_heard_once() -> None:
    """One further report means nothing; one more than that does."""
    echoes = Echoes()
    echoes.expect(7, 1)
    assert echoes.hear(7)
    assert not echoes.hear(7)


def test_as_many_ends_are_heard_as_were_expected() -> None:
    """Three handlers on one model report two ends too many."""
    echoes = Echoes()
    echoes.expect(7, 2)
    assert [echoes.hear(7) for _ in range(3)] == [True, True, False]


def test_unexpected_end_is_not_heard() -> None:
    """The end of a run that nobody announced is no echo."""
    echoes = Echoes()
    echoes.expect(7, 1)
    assert not echoes.hear(8)
    assert echoes.hear(7)


def test_ends_that_never_come_do_not_pile_up() -> None:
    """Of very many expected ends the oldest are forgotten."""
    echoes = Echoes()
    for key in range(1_001):
        echoes.expect(key, 1)
    assert not echoes.hear(0)
    assert echoes.hear(1)
    assert echoes.hear(1_000)
    assert len(echoes._left) == 998
