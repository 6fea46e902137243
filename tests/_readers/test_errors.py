"""Why a run did not end well."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest
from langgraph.errors import (
    GraphBubbleUp,
    GraphInterrupt,
    GraphRecursionError,
    InvalidUpdateError,
    ParentCommand,
)
from langgraph.types import Command

from otel_callbacks._readers.errors import failure, interruption
from otel_callbacks._records import Failure


@pytest.mark.parametrize(
    "error",
    [
        GraphBubbleUp(),
        GraphInterrupt(),
        ParentCommand(Command(goto="elsewhere")),
        type("OurInterrupt", (GraphInterrupt,), {})(),
    ],
)
def test_control_flow_is_no_failure(error: BaseException) -> None:
    """LangGraph pauses and jumps by raising."""
    assert failure(error) is None


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (GraphRecursionError(), "GraphRecursionError"),
        (InvalidUpdateError(), "InvalidUpdateError"),
        (type("GraphInterrupt", (Exception,), {})(), "GraphInterrupt"),
    ],
)
def test_errors_of_a_graph_are_failures(error: BaseException, error_type: str) -> None:
    """Only LangGraph's own steering is control flow, not a namesake."""
    assert failure(error) == Failure("error", error_type, "other")


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        concurrent.futures.CancelledError(),
        type("Cancelled", (BaseException,), {})(),
    ],
)
def test_a_cancelled_run(error: BaseException) -> None:
    """In asyncio, in threads and in trio."""
    assert failure(error) == Failure("cancelled", "cancelled", "cancelled")


def test_a_greenlet_that_was_killed() -> None:
    """As gevent kills one, and as a subclass of an app's may be named."""
    killed = type("GreenletExit", (BaseException,), {})
    assert failure(killed()) == Failure("cancelled", "cancelled", "cancelled")


def test_an_abandoned_stream() -> None:
    """Python closes the generator of a stream that nobody reads."""
    assert failure(GeneratorExit()) == Failure("abandoned", "abandoned", "abandoned")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("secret prompt"), Failure("error", "ValueError", "other")),
        (TimeoutError(), Failure("error", "TimeoutError", "timeout", was_sent=True)),
        (KeyboardInterrupt(), Failure("error", "KeyboardInterrupt", "cancelled")),
    ],
)
def test_an_error_is_named_by_its_class(
    error: BaseException, expected: Failure
) -> None:
    """Never by its message: that may hold content."""
    assert failure(error) == expected


@pytest.mark.parametrize(
    ("name", "error_type"),
    [("", "_OTHER"), ("Wilted🥀", "Wilted🥀"), ("E" * 5000, "E" * 1024)],
)
def test_an_odd_class_name_can_be_sent(name: str, error_type: str) -> None:
    """It is bounded and never empty."""
    found = failure(type(name, (Exception,), {})())
    assert found == Failure("error", error_type, "other")


def test_who_waits_is_interrupted() -> None:
    """A jump to another graph is no interrupt, and neither is a namesake."""
    waiting = interruption(GraphInterrupt())
    assert waiting is not None
    assert waiting.attributes == {"otel_callbacks.interrupted": True}
    assert not waiting.usage_expected
    assert interruption(ParentCommand(Command(goto="elsewhere"))) is None
    assert interruption(type("GraphInterrupt", (Exception,), {})()) is None
