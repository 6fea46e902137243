"""The record of one open run, and the weak reference that says it is forgotten."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING
from uuid import UUID

from otel_callbacks._semconv import INVOKE_AGENT, MODEL_OPERATIONS

if TYPE_CHECKING:
    from decimal import Decimal

    from otel_callbacks._records import Content, Outcome, Refusal, Request, Response
    from otel_callbacks.tasks import TaskWatch

    Tally = tuple[int, int, int, int, Decimal | int]
    """What one ended run adds to the sums of those above it: calls, tool calls, tokens
    in and out, US dollars."""

    AgentTally = tuple[int, int, Request | None, Response | None]
    """What one ended run adds to the sums of its agent: calls, tool calls; of a model's
    call what was asked and what came back."""


class RunRef(weakref.ref[UUID]):
    """A weak reference to a run's id that knows its run."""

    __slots__ = ("run",)

    run: Run


class Run:
    """One open run. The sinks' stand-in span derives from it: one object for a run.

    Args:
        key: The run id's integer; the id itself must not be kept alive.
        request: What is known at the start.
        parent: The run it is part of, if that is open.
    """

    __slots__ = (
        "account",
        "children",
        "chunks",
        "content",
        "counted",
        "expected",
        "key",
        "lost",
        "of_agent",
        "open",
        "origin",
        "outcome",
        "parent",
        "parent_known",
        "ref",
        "refusal",
        "reports",
        "request",
        "rollup",
        "start_ns",
        "start_tick",
        "tick",
        "told",
        "watch",
    )

    def __init__(self, key: int, request: Request, parent: Run | None) -> None:
        self.key = key
        self.request = request
        self.parent = parent
        self.open = True
        self.lost: str = ""
        self.outcome: Outcome | None = None
        # Whether the sinks have been told of its start.
        self.told = False
        self.reports = 1
        self.origin: object = None
        self.parent_known = True
        self.counted = True
        # Made at once where children are usual, as two threads may add the first.
        self.children: dict[int, Run] | None = (
            None if request.operation in MODEL_OPERATIONS else {}
        )
        self.chunks: list[int] | None = None
        # What ended below the nearest agent, for its own series.
        self.of_agent: list[AgentTally] | None = (
            []
            if request.operation == INVOKE_AGENT
            else None
            if parent is None
            else parent.of_agent
        )
        # What ended below the outermost run, for the sums on its span.
        self.rollup: list[Tally] = [] if parent is None else parent.rollup
        self.content: Content | None = None
        # Tokens that go in, estimated before the call; only where a budget asks.
        self.expected = 0
        # Whose account this run is on, for the ledger.
        self.account: object = None
        # Why the call must not be made: a budget is spent.
        self.refusal: Refusal | None = None
        self.ref: RunRef | None = None
        self.watch: TaskWatch | None = None
        self.start_ns = time.time_ns()
        # One clock for the run's length and its chunks, which no one can set back;
        # `tick` is the last sign of life, or the moment it was found to be lost.
        self.start_tick = self.tick = time.perf_counter_ns()

    def end_ns(self, tick: int) -> int:
        """Return the Unix time in nanoseconds of a reading of the run's clock."""
        return self.start_ns + tick - self.start_tick

    def sign_of_life(self) -> int:
        """Return the last reading of the clock at which something happened in it."""
        return max(self.tick, self.chunks[-1]) if self.chunks else self.tick
