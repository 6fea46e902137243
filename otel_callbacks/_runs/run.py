"""The record of one open run, and the weak reference to its id."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import hashlib
import time
import weakref
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from otel_callbacks._background import once
from otel_callbacks._records import NO_ATTRIBUTES
from otel_callbacks._semconv import INVOKE_AGENT, MODEL_OPERATIONS

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable
    from decimal import Decimal

    from otel_callbacks._records import (
        Attributes,
        Content,
        End,
        Estimate,
        Outcome,
        Refusal,
        Request,
        Usage,
    )

    Tally = tuple[int, int, int, int, Decimal | int, int, int]
    """What ended runs add to the sums of those above them: calls, tool calls, tokens in
    and out, US dollars, tokens without a price, calls that are partly priced."""
    AgentTally = tuple[
        int,
        int,
        str | None,
        Attributes | None,
        tuple[str, ...] | None,
        Usage | None,
    ]
    """What ended runs add to the sums of their agent: calls, tool calls; of model
    calls the common requested model, the common parameters, the last finish reasons
    and the tokens."""


class TaskWatch:
    """The open runs that were started in one task."""

    __slots__ = ("runs", "task")

    def __init__(
        self, task: asyncio.Task[Any], collected: Callable[[object], object]
    ) -> None:
        self.task = weakref.ref(task, collected)
        self.runs: dict[int, Run] = {}

    def is_running(self) -> bool:
        """Return whether the task still exists and is not done."""
        task = self.task()
        return task is not None and not task.done()


class TaskWatches:
    """One watch for each task that has started a run, until the task is done."""

    __slots__ = ("_cancelled", "_watches")

    def __init__(self, cancelled: Callable[[list[Run]], None]) -> None:
        self._cancelled = weakref.WeakMethod(cancelled)
        self._watches: dict[int, TaskWatch] = {}

    def watch(self, run: Run) -> TaskWatch | None:
        """Watch the current task, if any, for this run."""
        task = asyncio.current_task()
        if task is None:
            return None
        key = id(task)
        watch = self._watches.get(key)
        if watch is None:
            # A task of a closed loop is never done. In one step of C, so that a new
            # task with its id never finds its watch.
            collected = functools.partial(self._watches.pop, key)
            watch = self._watches[key] = TaskWatch(task, collected)
            # An empty context: the current one would keep its spans alive.
            task.add_done_callback(self._done, context=contextvars.Context())
        watch.runs[run.key] = run
        return watch

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Handle the end of a task: its runs are lost if it was cancelled."""
        watch = self._watches.pop(id(task), None)
        if watch is not None and watch.runs and task.cancelled():
            cancelled = self._cancelled()
            if cancelled is not None:
                cancelled(list(watch.runs.values()))


_LONGEST_NUMBER: Final = 40
"""Digits of the largest UUID as a number, and one more."""

_LARGEST: Final = 2**128 - 1

_SPELLINGS_OF_A_UUID: Final = range(32, 46)
"""Characters of a UUID as text: with or without hyphens, braces or ``urn:uuid:``."""


def run_key(run_id: object) -> int:
    """Return the key of a run, an integer, for an id of any type.

    LangChain expects a UUID but accepts any value of a config: text, an integer, the
    classes of other packages. Values for the same UUID have the same key.
    """
    if type(run_id) is UUID:
        return run_id.int
    try:
        number = getattr(run_id, "int", None)
        if type(number) is int and 0 <= number <= _LARGEST:
            return number
        text = str(run_id)
        # Some ids have a different text each time.
        return _key_of_text(text) if text == str(run_id) else id(run_id)
    except Exception:  # noqa: BLE001 -- an id without a text
        return id(run_id)


def _key_of_text(text: str) -> int:
    """Return the key of a text: of a UUID, of an integer or of any other text."""
    if len(text) in _SPELLINGS_OF_A_UUID:
        with contextlib.suppress(ValueError):
            return UUID(text).int
    if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER:
        return int(text)
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=16).digest())


class RunRef(weakref.ref[Any]):
    """A weak reference to a run's id, with its run."""

    __slots__ = ("run",)

    run: Run


class Run:
    """One open run. The stand-in span derives from it: one object for each run."""

    __slots__ = (
        "account",
        "children",
        "chunks",
        "content",
        "counted",
        "ended_as",
        "expected",
        "interrupted_below",
        "is_interrupted",
        "is_started",
        "key",
        "lost",
        "named",
        "of_agent",
        "once",
        "open",
        "origin",
        "outcome",
        "parent_known",
        "parent_run",
        "ref",
        "refusal",
        "reports",
        "request",
        "rollup",
        "sinks_done",
        "start_ns",
        "start_tick",
        "tick",
        "watch",
    )

    def __init__(self, key: int, request: Request, parent: Run | None) -> None:
        self.key = key
        self.request = request
        self.parent_run = parent
        self.open = True
        self.lost: str = ""
        self.outcome: Outcome | None = None
        # Whether its start is complete.
        self.is_started = False
        # Whether its end was interrupted, and its end.
        self.is_interrupted = False
        self.ended_as: End | None = None
        # Whether a run below it waits for input.
        self.interrupted_below = False
        # The number of sinks that have its start, plus the number that have its end.
        self.sinks_done = 0
        # Claimed in the same step that counts its end.
        self.once = once()
        self.reports = 1
        self.origin: object = None
        # User, session and conversation ids that became known after its start.
        self.named: Attributes = NO_ATTRIBUTES
        self.parent_known = True
        self.counted = True
        # Created early if children are likely, as two threads may add the first one.
        self.children: dict[int, Run] | None = (
            None if request.operation in MODEL_OPERATIONS else {}
        )
        self.chunks: array[int] | None = None
        # Entries of the runs below the nearest agent, for the agent's series.
        self.of_agent: list[AgentTally] | None = (
            []
            if request.operation == INVOKE_AGENT
            else None
            if parent is None
            else parent.of_agent
        )
        # Entries of the runs below the outermost run, for the sums on its span.
        self.rollup: list[Tally] = [] if parent is None else parent.rollup
        self.content: Content | None = None
        # The estimated input; only if an account is in use.
        self.expected: Estimate | None = None
        # The accounts of this run, for the ledger.
        self.account: object = None
        # The refusal of a budget: the call must not be made.
        self.refusal: Refusal | None = None
        # The id itself if it has no weak reference.
        self.ref: object = None
        self.watch: TaskWatch | None = None
        self.start_ns = time.time_ns()
        # One monotonic clock for the run's duration and its chunks;
        # `tick` is the time of the last event, or of the detection that it is lost.
        self.start_tick = self.tick = time.perf_counter_ns()

    def end_ns(self, tick: int) -> int:
        """Return the Unix time in nanoseconds of a reading of the run's clock."""
        return self.start_ns + tick - self.start_tick

    def sign_of_life(self) -> int:
        """Return the clock reading of its last event."""
        return max(self.tick, self.chunks[-1]) if self.chunks else self.tick

    def is_in_running_task(self) -> bool:
        """Return whether it was started in a task that is not done."""
        return self.watch is not None and self.watch.is_running()
