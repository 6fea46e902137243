"""Tells a second report of one end from an end that nobody started.

Two handlers of ours on one model report each start and each end twice. The table
counts the reports of a start; when the run has ended, as many ends less one may still
come, and mean nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

# Ends that never come (a handler was removed in between) must not pile up.
_AT_MOST: Final = 1_000


class Echoes:
    """How many further ends may come for runs that have ended."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left: OrderedDict[int, int] = OrderedDict()

    def expect(self, key: int, count: int) -> None:
        """Expect further reports of a run's end.

        Args:
            key: The run's key.
            count: How many.
        """
        self._left[key] = count
        if len(self._left) > _AT_MOST:
            self._left.popitem(last=False)

    def hear(self, key: int) -> bool:
        """Say whether this end was expected, and count it off.

        Args:
            key: The run's key.
        """
        left = self._left.pop(key, 0)
        if left > 1:
            self._left[key] = left - 1
        return left > 0
