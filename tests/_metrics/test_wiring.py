"""What belongs to an object of somebody else's, whatever kind of object it is."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from wrapt import ObjectProxy

from otel_callbacks._metrics.wiring import ByIdentity


class Plain:
    """An object as most are."""


class Unhashable:
    """Equal with every other, and so without a hash; as a dataclass is."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Slots:
    """An object without weak references."""

    __slots__ = ()


class False_(Plain):  # noqa: N801 -- what it is
    """An object that is not true."""

    def __bool__(self) -> bool:
        return False


KINDS = [Plain, Unhashable, Slots, False_, lambda: ObjectProxy(Plain())]


@pytest.mark.parametrize("make", KINDS)
def test_each_object_has_its_own(make: Any) -> None:
    """Two objects of a kind have two values, and one can be taken away."""
    found: ByIdentity[str] = ByIdentity()
    one, other = make(), make()
    assert found.get(one) is None
    found.put(one, "one")
    found.put(other, "other")
    assert (found.get(one), found.get(other)) == ("one", "other")
    assert found.pop(one) == "one"
    assert found.pop(one) is None
    assert found.get(other) == "other"


@pytest.mark.parametrize("make", [Plain, Unhashable, lambda: ObjectProxy(Plain())])
def test_a_value_goes_with_its_object(make: Any) -> None:
    """Nothing is kept for an object that is gone, where that can be seen."""
    found: ByIdentity[Plain] = ByIdentity()
    owner, value = make(), Plain()
    found.put(owner, value)
    seen = weakref.ref(value)
    del owner, value
    gc.collect()
    assert seen() is None


def test_an_object_that_cannot_say_that_it_is_gone_is_kept() -> None:
    """No other object may come to have its place."""
    found: ByIdentity[str] = ByIdentity()
    for number in range(100):
        found.put(Slots(), str(number))
    assert found.get(Slots()) is None
