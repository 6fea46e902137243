"""The record of one open run: what it knows from the start, and its clock."""

from __future__ import annotations

import gc
import time
from uuid import UUID, uuid4

import pytest

from otel_callbacks._records import Request
from otel_callbacks._runs.run import Run, RunRef, run_key

CHAT = Request("chat", "gpt-4o-mini")
CHAIN = Request("", "step")
AGENT = Request("invoke_agent", "florist")


def test_new_run_is_open_and_empty() -> None:
    """A run starts open, reported once, with nothing below it and no chunks."""
    run = Run(7, CHAT, None)
    assert (run.key, run.request, run.parent_run) == (7, CHAT, None)
    assert (run.open, run.counted, run.parent_known) == (True, True, True)
    assert (run.lost, run.outcome, run.reports) == ("", None, 1)
    assert (run.children, run.chunks, run.ref, run.watch) == (None, None, None, None)


def test_run_holds_nothing_beside_its_slots() -> None:
    """Ten thousand open runs are small: a run has no dictionary."""
    assert not hasattr(Run(1, CHAT, None), "__dict__")


def test_sums_are_those_of_the_outermost_run() -> None:
    """All runs of one tree add to one list, those of another tree to another."""
    root = Run(1, CHAIN, None)
    leaf = Run(3, CHAT, Run(2, CHAIN, root))
    assert leaf.rollup is root.rollup
    assert Run(4, CHAIN, None).rollup is not root.rollup


def test_sums_of_an_agent_are_those_of_the_nearest() -> None:
    """What an agent's runs add goes to the nearest agent above them, if any."""
    root = Run(1, CHAIN, None)
    outer = Run(2, AGENT, root)
    inner = Run(3, AGENT, Run(4, CHAIN, outer))
    assert root.of_agent is None
    assert Run(5, CHAT, root).of_agent is None
    assert outer.of_agent == []
    assert inner.of_agent is not outer.of_agent
    assert Run(6, CHAT, outer).of_agent is outer.of_agent
    assert Run(7, CHAT, inner).of_agent is inner.of_agent


def test_end_is_counted_on_the_clock_that_nobody_sets_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run's length comes from the steady clock, whatever happens to the wall's."""
    run = Run(1, CHAT, None)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert run.end_ns(run.start_tick) == run.start_ns
    assert run.end_ns(run.start_tick + 5_000) == run.start_ns + 5_000


def test_last_sign_of_life_is_the_later_one() -> None:
    """A chunk is a sign of life, and so is what happens below a run."""
    run = Run(1, CHAT, None)
    assert run.sign_of_life() == run.start_tick
    run.chunks = [run.start_tick + 1, run.start_tick + 2]  # type: ignore[assignment]
    assert run.sign_of_life() == run.start_tick + 2
    run.tick = run.start_tick + 3
    assert run.sign_of_life() == run.start_tick + 3


def test_reference_identifies_the_forgotten_run() -> None:
    """When the id is gone, the callback is given the reference and so its run."""
    forgotten: list[Run] = []

    def tell(ref: object) -> None:
        assert isinstance(ref, RunRef)
        forgotten.append(ref.run)

    run_id = uuid4()
    run = Run(run_id.int, CHAT, None)
    run.ref = RunRef(run_id, tell)
    run.ref.run = run
    assert run.ref() == UUID(int=run.key)
    assert forgotten == []
    del run_id
    gc.collect()
    assert forgotten == [run]
    assert run.ref() is None


A_UUID = UUID("0192f0c4-8f2a-7cc1-9b5e-0123456789ab")


class OtherUUID:
    """A UUID of another package, as the Rust ones are: no weak references to it."""

    __slots__ = ("int",)

    def __init__(self, number: int) -> None:
        self.int = number


class UUIDOfADriver(UUID):
    """A UUID of another class, as database drivers give."""


class Texted:
    """An id that is known by its text alone."""

    __slots__ = ()

    def __str__(self) -> str:
        return str(A_UUID)


class Unreadable:
    """An id whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "same",
    [
        A_UUID,
        str(A_UUID),
        str(A_UUID).upper(),
        A_UUID.hex,
        A_UUID.urn,
        f"{{{A_UUID}}}",
        A_UUID.int,
        str(A_UUID.int),
        OtherUUID(A_UUID.int),
        UUIDOfADriver(A_UUID.hex),
        Texted(),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_spelling_of_a_uuid_is_one_key(same: object) -> None:
    """A child may know its parent by another kind of the same id."""
    assert run_key(same) == A_UUID.int


@pytest.mark.parametrize("number", [0, 2**128 - 1])
def test_the_smallest_and_the_largest_uuid(number: int) -> None:
    """As a UUID, as another package's, and as a number."""
    assert run_key(UUID(int=number)) == run_key(OtherUUID(number)) == number
    assert run_key(number) == number


@pytest.mark.parametrize(
    "other",
    ["request-7", "", "7" * 50, "z" * 36, "\ud800", "\u0663", b"7", -7, 7.5, ("a", 7)],
    ids=repr,
)
def test_any_other_id_has_a_key_of_its_own(other: object) -> None:
    """The same again for the same text, another one for another."""
    assert run_key(other) == run_key(other)
    assert run_key(other) != run_key(f"{other}!")


@pytest.mark.parametrize("digits", [40, 10_000])
def test_a_number_longer_than_any_uuid_is_a_text(digits: int) -> None:
    """Two equal texts are one id, whatever Python makes of so long a number."""
    one, same = ("7" * digits for _ in range(2))
    assert one is not same
    assert run_key(one) == run_key(same) < 2**128


class Guarded:
    """An id that raises at whatever is asked of it, as a proxy without its object."""

    def __getattr__(self, name: str) -> object:
        message = f"no object to ask for its {name}"
        raise RuntimeError(message)

    __str__ = __repr__ = __hash__ = __eq__ = __getattr__  # type: ignore[assignment]


class Changing:
    """An id whose text is another one each time."""

    def __str__(self) -> str:
        return str(uuid4())


class Huge:
    """An id whose number is no UUID's, and whose text is not its own."""

    int = 2**128

    def __str__(self) -> str:
        return str(uuid4())


class Negative(Huge):
    """As the other one, below the smallest UUID."""

    int = -1


@pytest.mark.parametrize("kind", [Unreadable, Guarded, Changing, Huge, Negative])
def test_an_id_without_text_is_known_by_its_identity(kind: type) -> None:
    """It is found as long as it is the same object."""
    unreadable, another = kind(), kind()
    assert run_key(unreadable) == run_key(unreadable) != run_key(another)
