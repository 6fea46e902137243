"""What belongs to an object of somebody else's, whatever kind of object it is.

Providers and registries are the app's. They may refuse to be hashed, compare as equal
with others, stand in for another object, or have no weak references.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Value = TypeVar("_Value")


class ByIdentity(Generic[_Value]):
    """A value for each of some objects, gone with its object where that can say so."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Callable[[], Any], _Value]] = {}

    def get(self, owner: object) -> _Value | None:
        """Return an object's value, if it has one."""
        entry = self._entries.get(id(owner))
        return entry[1] if entry is not None and entry[0]() is owner else None

    def put(self, owner: object, value: _Value) -> None:
        """Give an object its value."""
        key = id(owner)
        entries = self._entries
        try:
            ref: Callable[[], Any] = weakref.ref(
                owner, lambda _: entries.pop(key, None)
            )
        except TypeError:
            ref = _Kept(owner)
        entries[key] = (ref, value)

    def pop(self, owner: object) -> _Value | None:
        """Take an object's value away, and return it."""
        value = self.get(owner)
        if value is not None:
            del self._entries[id(owner)]
        return value


class _Kept:
    """In place of a weak reference: an object of which there can be none."""

    __slots__ = ("_owner",)

    def __init__(self, owner: object) -> None:
        self._owner = owner

    def __call__(self) -> object:
        return self._owner
