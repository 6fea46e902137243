"""What goes wrong in the field with such tracers, row by row, and not here."""

from __future__ import annotations

import ast
import asyncio
import gc
import inspect
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import langchain_core
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.runnables import Runnable, RunnableLambda, RunnableSequence
from langchain_core.tools import BaseTool
from opentelemetry import trace

import otel_callbacks
from otel_callbacks.settings import Settings
from otel_callbacks.testing import Reply, Tokens, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture, FakeOpenAI

CHAT = "chat gpt-4o-mini"
LIBRARY = Path(langchain_core.__file__).parent
# Whose methods tracers wrap to have their spans current.
PATCHED_ELSEWHERE: tuple[type, ...] = (
    AsyncCallbackManager,
    BaseChatModel,
    BaseLLM,
    BaseTool,
    CallbackManager,
    Runnable,
    RunnableLambda,
    RunnableSequence,
)
# Far more than it takes, far less than the time limit of an hour.
PATIENCE = 10.0


def functions_of(owner: type) -> Iterator[Any]:
    """Yield the functions that a class itself defines."""
    for value in vars(owner).values():
        plain = getattr(value, "__func__", value)
        if inspect.isfunction(plain):
            yield plain


def spans_below(telemetry: Capture, name: str) -> list[str | None]:
    """Return the parents' ids of the HTTP spans, sorted."""
    return sorted(
        str(span["parent_id"]) for span in telemetry.spans if span["name"] == name
    )


@pytest.mark.usefixtures("http_spans")
async def test_http_nests_in_async_code_and_nothing_is_patched(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """HTTP spans are the model calls' children, by callbacks alone."""
    before = {
        owner: [id(function) for function in functions_of(owner)]
        for owner in PATCHED_ELSEWHERE
    }
    model = chat()
    await asyncio.gather(*(model.agenerate([[("human", "?")]]) for _ in range(3)))
    calls = sorted(s["span_id"] for s in telemetry.spans if s["name"] == CHAT)
    assert len(calls) == 3
    assert spans_below(telemetry, "POST") == calls
    for owner in PATCHED_ELSEWHERE:
        assert [id(function) for function in functions_of(owner)] == before[owner]
        for function in functions_of(owner):
            # Not `__module__`, which a wrapper copies.
            code = inspect.unwrap(function, stop=lambda _: True).__code__
            ours = Path(otel_callbacks.__file__).parent
            assert not Path(code.co_filename).is_relative_to(ours)
    generate = Path(BaseChatModel.generate.__code__.co_filename)
    assert generate.is_relative_to(LIBRARY)


async def test_cancelled_calls_end(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A cancelled and a timed-out call are ended, named and counted."""
    server.script(Reply(fault="hang"), Reply(fault="hang"))
    model = chat()
    task = asyncio.create_task(model.ainvoke("?"))
    while not server.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(model.ainvoke("?"), 0.2)
    until = time.monotonic() + PATIENCE
    while len(telemetry.spans) < 2:
        assert time.monotonic() < until, sys.version
        gc.collect()
        await asyncio.sleep(0.01)
    attributes = [span["attributes"] for span in telemetry.spans]
    assert [one["error.type"] for one in attributes] == ["cancelled", "cancelled"]
    assert [one["otel_callbacks.outcome"] for one in attributes] == ["cancelled"] * 2
    operations = "otel_callbacks_operations_total"
    assert telemetry.value(operations, outcome="cancelled") == 2
    assert telemetry.value("otel_callbacks_runs_lost_total") == 2
    assert telemetry.value("otel_callbacks_operations_in_flight") == 0


def test_abandoned_calls_end(telemetry: Capture, chat: Callable[..., Any]) -> None:
    """A stream that is left after one piece is ended, named and counted."""
    stream = chat().stream("?")
    next(stream)
    del stream
    gc.collect()
    attributes = telemetry.span(CHAT)["attributes"]
    assert attributes["error.type"] == "abandoned"
    assert attributes["otel_callbacks.outcome"] == "abandoned"
    operations = "otel_callbacks_operations_total"
    assert telemetry.value(operations, outcome="abandoned") == 1


def test_table_is_bounded(chat: Callable[..., Any]) -> None:
    """However many streams are held and never read, few runs stay open."""
    with capture(Settings(strict=True, run_limit=3)) as telemetry:
        model = chat(callbacks=[telemetry.handler])
        held = [model.stream("?") for _ in range(6)]
        for stream in held:
            next(stream)
        assert telemetry.value("otel_callbacks_open_runs") == 3
        reason = {"reason": "size_limit"}
        assert telemetry.value("otel_callbacks_runs_lost_total", **reason) == 3
        assert len(telemetry.spans) == 3


async def test_finished_async_span_is_not_current(
    telemetry: Capture,
    chat: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a call the caller's own span is current, and nothing is logged."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()
    await model.ainvoke("?")
    assert not trace.get_current_span().get_span_context().is_valid
    with tracer.start_as_current_span("next"):
        pass
    assert telemetry.span("next")["parent_id"] is None
    with tracer.start_as_current_span("request") as request:
        await model.ainvoke("?")
        async for _ in model.astream("?"):
            pass
        inside = trace.get_current_span().get_span_context()
        assert inside.span_id == request.get_span_context().span_id
        with tracer.start_as_current_span("after"):
            pass
    assert telemetry.span("after")["parent"] == "request"
    parents = [s["parent"] for s in telemetry.spans if s["name"] == CHAT]
    assert parents == [None, "request", "request"]
    assert "detach" not in caplog.text


def test_several_choices_are_counted_once(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Three choices carry three copies of one usage: it is counted once."""
    server.script(Reply(usage=Tokens(11, 7)))
    chat(n=3).generate([[("human", "?")]])
    tokens = "otel_callbacks_tokens_total"
    assert telemetry.value(tokens, gen_ai_token_type="input") == 11
    assert telemetry.value(tokens, gen_ai_token_type="output") == 7


def test_tokens_of_text_models_are_not_lost(
    telemetry: Capture, server: FakeOpenAI, text: Callable[..., Any]
) -> None:
    """A text model's one total for all its prompts is counted, once."""
    text().generate(["Roses?", "Tulips?"])
    total = server.total_usage
    tokens = "otel_callbacks_tokens_total"
    assert total.input > 0
    assert telemetry.value(tokens, gen_ai_token_type="input") == total.input
    assert telemetry.value(tokens, gen_ai_token_type="output") == total.output
    assert telemetry.value("otel_callbacks_usage_missing_total") == 0


def test_missing_tokens_are_not_invented(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Where a provider says no usage there is none, and that is counted."""
    server.script(Reply(send_usage=False))
    chat().invoke("?")
    assert telemetry.value("otel_callbacks_tokens_total") == 0
    assert telemetry.value("otel_callbacks_usage_missing_total") == 1
    attributes = telemetry.span(CHAT)["attributes"]
    assert not [name for name in attributes if name.startswith("gen_ai.usage.")]


def test_cache_hits_are_savings(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """What LangChain's cache answers is saved and not spent."""
    model = chat(cache=InMemoryCache())
    model.invoke("?")
    model.invoke("?")
    total = server.total_usage.total
    assert len(server.requests) == 1
    assert telemetry.value("otel_callbacks_tokens_total") == total
    assert telemetry.value("otel_callbacks_tokens_saved_total") == total
    operations = "otel_callbacks_operations_total"
    assert telemetry.value(operations, outcome="cache_hit") == 1


def test_modules_are_small() -> None:
    """No file does it all: modules are short, and so are their functions."""
    package = Path(otel_callbacks.__file__).parent
    sizes = sorted(
        len(path.read_text().splitlines()) for path in package.rglob("*.py")
    )
    assert sizes[-1] <= 300
    assert sizes[len(sizes) // 2] <= 150
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 80, (path.name, node.name, length)
