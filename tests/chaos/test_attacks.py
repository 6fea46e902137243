"""A small part of `make chaos`, in each run of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chaos import attacks

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE: dict[str, Callable[[], str]] = {
    "payloads, capture off": lambda: attacks.fuzz(3_000, content=False, seed=1),
    "payloads, capture on": lambda: attacks.fuzz(1_500, content=True, seed=2),
    "threads": lambda: attacks.threads(800),
    "agenerate": lambda: attacks.agenerate(400),
    "live runs": lambda: attacks.live(200),
    "late ends": lambda: attacks.late(500),
    "forks": lambda: attacks.forks(3),
    "MemoryError": lambda: attacks.cut_short(41, MemoryError, first=3),
    "interrupts": lambda: attacks.cut_short(41, KeyboardInterrupt, first=5),
    "interrupts between lines": lambda: attacks.cut_short(
        101, KeyboardInterrupt, between=True, first=7
    ),
    "memory": lambda: attacks.memory(2_000),
}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("name", SHARE)
def test_an_attack_finds_nothing(name: str) -> None:
    """The attack asserts its promise, and prints it in one line."""
    assert SHARE[name]()


def test_each_attack_has_its_share() -> None:
    """Each attack of `make chaos` also runs here."""
    assert [name for name, _ in attacks.attacks(1.0)] == [*SHARE]
