"""Counts that any thread adds to."""

from __future__ import annotations

import threading

from otel_callbacks._diagnostics import Counts


def test_threads_lose_no_count() -> None:
    """Many threads that count: every one is there."""
    counts = Counts()

    def add() -> None:
        for _ in range(1_000):
            counts.add("cost", "raise")

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts.add("calls", "warn")
    assert counts.read() == {("cost", "raise"): 4_000, ("calls", "warn"): 1}


def test_forked_child_does_not_wait_for_its_parents_lock() -> None:
    """A lock that a thread of the parent holds is not the child's."""
    counts = Counts()
    counts._lock.acquire()
    counts.after_fork()
    counts.add("cost", "warn")
    assert counts.read() == {("cost", "warn"): 1}
