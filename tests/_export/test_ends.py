"""The export at each kind of exit of a process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest
from waiting import WAIT_S

# Signals, workers and finalizers of a process are played here in one process;
# tests/hosts and tests/test_configure.py end real ones.
from otel_callbacks._export.ends import LastCalls

if TYPE_CHECKING:
    from collections.abc import Iterator


class Process:
    """What happened."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.last_calls = LastCalls(
            lambda: self.did.append("end"), lambda: self.did.append("flush")
        )


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """Return a process that signals do not end, with SIGTERM at its default."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    made = Process()

    def kill(pid: int, number: int) -> None:
        handler = signal.getsignal(number)
        made.did.append(f"{pid == os.getpid()} {number} {handler is signal.SIG_DFL}")

    monkeypatch.setattr(os, "kill", kill)
    yield made
    made.last_calls.forget()
    signal.signal(signal.SIGTERM, before)


def test_sigterm_sends_and_then_ends_as_before(process: Process) -> None:
    """The process ends by the signal, so its parent sees no difference."""
    process.last_calls.watch()
    signal.raise_signal(signal.SIGTERM)
    assert process.did == ["end", f"True {int(signal.SIGTERM)} True"]


def test_process_1_of_a_container_works_on(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel does not end it by this signal, so what waits is sent, no more."""
    process.last_calls.watch()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert process.did == ["flush", "flush"]


def test_a_handler_of_the_app_is_kept(process: Process) -> None:
    """Who takes the signal ends the process in a way of its own."""
    mine: Any = lambda *_: process.did.append("mine")  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    process.last_calls.watch()
    signal.raise_signal(signal.SIGTERM)
    process.last_calls.forget()
    assert signal.getsignal(signal.SIGTERM) is mine
    assert process.did == ["mine"]


def test_nothing_stays_behind(process: Process) -> None:
    """The signal is at its default again; forgotten twice is forgotten."""
    process.last_calls.watch()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    process.last_calls.forget()
    process.last_calls.forget()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_in_another_thread_signals_are_left_alone(process: Process) -> None:
    """Python allows handlers to be set in the main thread only."""

    def work() -> None:
        process.last_calls.watch()
        process.last_calls.forget()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(WAIT_S)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


class Forker(types.ModuleType):
    """What `multiprocessing.util` and its like have."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.after: list[Any] = []
        self.at_end: list[Any] = []

    def register_after_fork(self, about: Any, call: Any) -> None:
        """Call this in a child."""
        self.after.append(lambda: call(about))

    def Finalize(self, about: Any, call: Any, *, exitpriority: int) -> None:  # noqa: N802
        """Call this at the child's end."""
        assert about is None
        assert exitpriority >= 0
        self.at_end.append(call)


def test_a_child_that_ends_by_itself_sends(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`multiprocessing` forgets its parent's finalizers in a child, so it is asked."""
    forker = Forker("multiprocessing.util")
    monkeypatch.setitem(sys.modules, "multiprocessing.util", forker)
    monkeypatch.delitem(sys.modules, "billiard.util", raising=False)
    monkeypatch.delitem(sys.modules, "celery.signals", raising=False)
    process.last_calls.in_child()
    assert forker.after == []  # nothing to send: nobody watches
    process.last_calls.watch()
    process.last_calls.in_child()
    for call in forker.after:
        call()
    for call in forker.at_end:
        call()
    assert process.did == ["end"]


@pytest.mark.parametrize("name", ["multiprocessing", "billiard"])
def test_a_child_that_sets_up_by_itself_sends(
    process: Process, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It ends without `atexit`, also where nothing was there before the fork."""
    forker = Forker(f"{name}.util")
    parent = types.SimpleNamespace(_parent_pid=None)
    own = types.SimpleNamespace(_parent_pid=1)
    for known in ("multiprocessing", "billiard"):
        processes: Any = types.SimpleNamespace(current_process=lambda: parent)
        monkeypatch.setitem(sys.modules, f"{known}.process", processes)
    child: Any = types.SimpleNamespace(current_process=lambda: own)
    monkeypatch.setitem(sys.modules, f"{name}.process", child)
    monkeypatch.setitem(sys.modules, f"{name}.util", forker)
    process.last_calls.watch()
    for call in forker.at_end:
        call()
    assert process.did == ["end"]


def test_a_celery_worker_sends(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own signal says that the process ends; without it there is none to ask."""
    ends: list[Any] = []

    def connect(call: Any, *, weak: bool) -> None:
        assert not weak
        ends.append(call)

    shutdown = types.SimpleNamespace(connect=connect)
    signals: Any = types.SimpleNamespace(worker_process_shutdown=shutdown)
    monkeypatch.setitem(sys.modules, "celery.signals", signals)
    monkeypatch.delitem(sys.modules, "multiprocessing.util", raising=False)
    monkeypatch.delitem(sys.modules, "billiard.util", raising=False)
    process.last_calls.watch()
    process.last_calls.in_child()
    for call in ends:
        call(pid=1, exitcode=0)
    # Set up in the worker, or before it was forked.
    assert process.did == ["end", "end"]
