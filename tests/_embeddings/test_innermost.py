"""The innermost open run, found without LangChain's word."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.runnables import RunnableLambda
from opentelemetry import trace

from otel_callbacks._embeddings.wrapper import innermost_run_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture


def test_outside_there_is_none(chat: Callable[..., Any], telemetry: Capture) -> None:
    """Not before a call, not after it, not while a stream is read."""
    assert innermost_run_id() is None
    chat().invoke("Roses?")
    assert innermost_run_id() is None
    for _ in chat().stream("Roses?"):
        assert innermost_run_id() is None
    assert telemetry.spans


def test_after_an_async_call_there_is_none(chat: Callable[..., Any]) -> None:
    """Its stand-in is still in the context then, but answers for nobody."""

    async def main() -> UUID | None:
        await chat().ainvoke("Roses?")
        return innermost_run_id()

    assert asyncio.run(main()) is None


def test_inside_it_is_the_step(chat: Callable[..., Any], telemetry: Capture) -> None:
    """The step, not the call that has ended in it; beyond a span of the app's, too."""
    found: list[UUID | None] = []

    async def step(question: str) -> None:
        found.append(innermost_run_id())
        await chat().ainvoke(question)
        found.append(innermost_run_id())
        with telemetry.tracer_provider.get_tracer("app").start_as_current_span("own"):
            found.append(innermost_run_id())

    config: Any = {"callbacks": [telemetry.handler]}
    asyncio.run(RunnableLambda(step).ainvoke("Roses?", config=config))
    assert len(set(found)) == 1
    assert isinstance(found[0], UUID)
    assert not trace.get_current_span().get_span_context().is_valid
