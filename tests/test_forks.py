"""Objects are told that they are in a forked child."""

from __future__ import annotations

import gc
import os
import warnings
import weakref
from typing import Any

import pytest

from otel_callbacks import _forks as forks
from otel_callbacks._instrument.switch import _Switching
from otel_callbacks._pipeline import _Building


class Told:
    """Counts how often it was told."""

    def __init__(self) -> None:
        self.times = 0

    def after_fork(self) -> None:
        """Count."""
        self.times += 1


def test_child_is_told_and_parent_is_not() -> None:
    """In a forked child each object starts anew, in the parent nothing changes."""
    told = Told()
    forks.tell_after_fork(told)
    with warnings.catch_warnings():
        # From Python 3.12 on it warns where threads run, as a session's servers do.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        os._exit(10 + told.times)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 11
    assert told.times == 0


def test_every_object_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All objects are told, each once, however often it was registered."""
    monkeypatch.setattr(forks, "_forkables", weakref.WeakSet())
    first, second = Told(), Told()
    for one in (first, second, first):
        forks.tell_after_fork(one)
    forks._in_child()
    assert (first.times, second.times) == (1, 1)


def test_objects_are_held_weakly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that nobody uses goes away, and is not told."""
    known: weakref.WeakSet[forks.Forkable] = weakref.WeakSet()
    monkeypatch.setattr(forks, "_forkables", known)
    told = Told()
    forks.tell_after_fork(told)
    assert len(known) == 1
    del told
    gc.collect()
    assert len(known) == 0
    forks._in_child()


@pytest.mark.parametrize("kind", [_Building, _Switching])
def test_locks_of_a_child_are_its_own(kind: Any) -> None:
    """Another thread of the parent may have held the lock while it forked."""
    holder = kind()
    before = holder.lock
    before.acquire()
    holder.after_fork()
    assert holder.lock is not before
    assert holder.lock.acquire(blocking=False)
