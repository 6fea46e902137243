"""Tells objects that they are in a forked child now.

Locks may have been held by threads that were not copied, and open runs are the parent
process's to end.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forkable(Protocol):
    """Something that must start anew in a forked child."""

    def after_fork(self) -> None:
        """Start anew."""


_forkables: weakref.WeakSet[Forkable] = weakref.WeakSet()


def tell_after_fork(forkable: Forkable) -> None:
    """Call this object's ``after_fork`` in every child forked from now on."""
    _forkables.add(forkable)


def _in_child() -> None:
    """Tell every object that is still there; last those that use others' locks."""
    for forkable in sorted(_forkables, key=_uses_others):
        forkable.after_fork()


def _uses_others(forkable: Forkable) -> bool:
    """Say whether an object reads others when it starts anew."""
    return getattr(forkable, "forks_last", False)


os.register_at_fork(after_in_child=_in_child)
