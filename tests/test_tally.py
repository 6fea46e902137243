"""Sums that many add to and nobody waits for."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from otel_callbacks import _tally
from otel_callbacks._tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def added(total: int, entries: Sequence[int]) -> int:
    """Add numbers up."""
    return total + sum(entries)


def test_sums_are_of_all_that_was_added() -> None:
    """A read between does not change the next one."""
    tally = Tally(0, added)
    assert tally.read() == 0
    tally.add(3)
    tally.add(3)
    assert tally.read() == 6
    assert tally.read() == 6
    tally.add(1)
    assert tally.read() == 7


def test_what_nobody_reads_does_not_grow() -> None:
    """The log is folded every so many entries."""
    tally = Tally(0, added)
    for _ in range(10 * _tally.FOLD_AT + 5):
        tally.add(1)
    assert len(tally._log) == 5
    assert tally.read() == 10 * _tally.FOLD_AT + 5


def test_threads_lose_nothing() -> None:
    """Whoever adds and whoever folds at the same moment."""
    tally = Tally(0, added)
    seen: list[int] = []

    def work() -> None:
        for _ in range(2_000):
            tally.add(1)
            seen.append(tally.read())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.read() == 8_000
    assert max(seen) == 8_000


def reading_inside(depth: int) -> Tally[int, int]:
    """Return a tally that is added to and read while it folds, as by a finalizer."""
    left = [depth]

    def fold(total: int, entries: Sequence[int]) -> int:
        if left[0]:
            left[0] -= 1
            tally.add(100)
            inside.append(tally.read())
        return added(total, entries)

    inside: list[int] = []
    tally = Tally(0, fold)
    return tally


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_it_may_be_read_while_it_folds(depth: int) -> None:
    """What interrupts a fold sees all, and costs nothing of it."""
    tally = reading_inside(depth)
    tally.add(1)
    tally.read()
    assert tally.read() == 1 + 100 * depth
    assert not tally._log


class Stop(BaseException):
    """An interrupt."""


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_interrupt_counts_nothing_twice(at: int) -> None:
    """Folded entries that are still in the log are passed over."""
    tally = Tally(0, added)
    for number in (1, 10, 100):
        tally.add(number)

    class Interrupted(type(tally._log)):  # type: ignore[misc]
        left = at

        def popleft(self) -> object:
            if not self.left:
                raise Stop
            self.left -= 1
            return super().popleft()

    tally._log = Interrupted(tally._log)
    with pytest.raises(Stop):
        tally.read()
    tally._log = type(tally._log).__base__(tally._log)  # type: ignore[misc]
    tally.add(1_000)
    assert tally.read() == 1_111
    assert not tally._log


def test_a_read_looks_again_where_another_has_folded() -> None:
    """The sums and the log that it works with belong together."""
    tally = Tally(0, added)
    tally.add(1)

    class Overtaken(type(tally._log)):  # type: ignore[misc]
        def copy(self) -> object:
            if overtake:
                overtake.pop()()
            return super().copy()

    def fold() -> None:
        tally._folded = (1, tally._log.popleft())
        tally.add(10)

    overtake: list[Callable[[], None]] = [fold]
    tally._log = Overtaken(tally._log)
    assert tally.read() == 11


def test_a_forked_child_folds() -> None:
    """A thread that is not there may have held the lock."""
    tally = Tally(0, added)
    tally.add(1)
    assert tally._lock.acquire(blocking=False)
    assert tally.read() == 1
    assert tally._log
    tally.after_fork()
    assert tally.read() == 1
    assert not tally._log
