"""What is wrong with tracers in the field, and is right here: one test a trouble."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import manager
from langchain_core.language_models import chat_models, llms
from langchain_core.messages import HumanMessage
from langchain_core.runnables import base, config
from opentelemetry import context, trace
from waiting import WAIT_S, time_out

import otel_callbacks
from otel_callbacks import OTelCallbackHandler
from otel_callbacks.settings import Settings
from otel_callbacks.testing import Reply, capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from otel_callbacks.testing import Capture, FakeOpenAI

CHAT = "chat gpt-4o-mini"
TOKENS = "otel_callbacks_tokens_total"
SAVED = "otel_callbacks_tokens_saved_total"
OPERATIONS = "otel_callbacks_operations_total"
# Far more than it takes.

# Where tracers patch LangChain and its surroundings.
PATCHED_ELSEWHERE: tuple[ModuleType, ...] = (
    manager,
    chat_models,
    llms,
    base,
    config,
    asyncio.tasks,
    context,
    trace,
)

# The same in a process that has not imported us yet.
UNTOUCHED = """
import asyncio
from langchain_core import callbacks, language_models, runnables, tools

def functions():
    modules = (callbacks.manager, language_models.chat_models, language_models.llms)
    modules += (runnables.base, runnables.config, tools.base)
    owners = [one for m in modules for one in vars(m).values() if isinstance(one, type)]
    return [dict(vars(one)) for one in (*modules, *owners)]

before = functions()
from otel_callbacks.testing import FakeChatModel, capture

with capture() as telemetry:
    model = FakeChatModel(callbacks=[telemetry.handler])
    model.invoke("?")
    asyncio.run(model.ainvoke("?"))
    list(model.stream("?"))
    assert len(telemetry.spans) == 3
for then, now in zip(before, functions(), strict=True):
    for name, value in then.items():
        if callable(value) or isinstance(value, (classmethod, staticmethod, property)):
            assert now[name] is value, name
"""


def functions() -> dict[str, Any]:
    """Return every function of these modules and of their classes."""
    found: dict[str, Any] = {}
    for module in PATCHED_ELSEWHERE:
        for name, value in vars(module).items():
            found[f"{module.__name__}.{name}"] = value
            if inspect.isclass(value) and value.__module__ == module.__name__:
                for inner, method in vars(value).items():
                    if callable(method):
                        found[f"{module.__name__}.{name}.{inner}"] = method
    return {name: value for name, value in found.items() if callable(value)}


@pytest.mark.usefixtures("http_spans")
async def test_http_spans_nest_in_async_code_and_nothing_is_patched(
    telemetry: Capture, chat: Callable[..., Any]
) -> None:
    """Gathered async calls have their HTTP spans below them, without patches."""
    before = functions()
    OTelCallbackHandler(
        tracer_provider=telemetry.tracer_provider, registry=telemetry.registry
    )
    model = chat()
    await asyncio.gather(
        *(model.agenerate([[HumanMessage(f"{n} roses?")]]) for n in range(10))
    )
    after = functions()
    assert {name for name in before if after.get(name) is not before[name]} == set()
    spans = telemetry.spans
    calls = {span["span_id"] for span in spans if span["name"] == CHAT}
    http = [span["parent_id"] for span in spans if span["name"] == "POST"]
    assert len(calls) == len(http) == 10
    assert set(http) == calls


@pytest.mark.slow
def test_importing_patches_nothing() -> None:
    """LangChain's classes are unchanged after the import and after calls."""
    script = [sys.executable, "-W", "error", "-c", UNTOUCHED]
    subprocess.run(script, check=True, timeout=WAIT_S)  # noqa: S603 -- ours


async def test_calls_that_never_end_are_ended_named_and_counted(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Cancelled, timed out and abandoned calls each have a span and a count."""
    server.script(Reply(fault="hang"), Reply(fault="hang"))
    model = chat()
    await time_out(model.ainvoke("timed out"), lambda: server.requests)
    task = asyncio.create_task(model.ainvoke("cancelled"))
    while len(server.requests) < 2:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    stream = model.stream("abandoned")
    next(stream)
    del stream
    await asyncio.sleep(0)
    gc.collect()
    until = time.monotonic() + WAIT_S
    while len(telemetry.spans) < 3:
        assert time.monotonic() < until, "a run was never ended"
        await asyncio.sleep(0.01)
    outcomes = [span["attributes"]["error.type"] for span in telemetry.spans]
    assert outcomes == ["cancelled", "cancelled", "abandoned"]
    assert telemetry.value(OPERATIONS, outcome="cancelled") == 2
    assert telemetry.value(OPERATIONS, outcome="abandoned") == 1
    assert telemetry.value(OPERATIONS) == 3
    assert telemetry.value("otel_callbacks_open_runs") == 0
    assert telemetry.value("otel_callbacks_operations_in_flight") == 0


def test_table_is_bounded(chat: Callable[..., Any]) -> None:
    """Streams that are held and never read do not exceed the limit of open runs."""
    with capture(Settings(strict=True, run_limit=3)) as telemetry:
        model = chat(callbacks=[telemetry.handler])
        held = [model.stream("?") for _ in range(6)]
        for stream in held:
            next(stream)
        assert telemetry.value("otel_callbacks_open_runs") == 3
        lost = "otel_callbacks_runs_lost_total"
        assert telemetry.value(lost, reason="size_limit") == 3
        assert len(telemetry.spans) == 3


async def test_finished_async_call_is_not_current(
    telemetry: Capture,
    chat: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next span has the right parent, and no detach fails."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = chat()
    with caplog.at_level(logging.DEBUG):
        await model.ainvoke("first")
        assert not trace.get_current_span().get_span_context().is_valid
        await model.ainvoke("second")
        with tracer.start_as_current_span("request"):
            await model.ainvoke("third")
            stream = model.astream("fourth")
            await anext(stream)
            await asyncio.create_task(stream.aclose())
            with tracer.start_as_current_span("after"):
                pass
    assert "Failed to detach context" not in caplog.text
    spans = telemetry.spans
    assert [(span["name"], span["parent"]) for span in spans] == [
        (CHAT, None),
        (CHAT, None),
        ("request", None),
        (CHAT, "request"),
        (CHAT, "request"),
        ("after", "request"),
    ]
    assert len({span["trace_id"] for span in spans}) == 3


def test_tokens_are_counted_once_never_invented_and_saved_by_caches(
    telemetry: Capture,
    server: FakeOpenAI,
    chat: Callable[..., Any],
    text: Callable[..., Any],
) -> None:
    """Several choices, text models, missing usage and cache hits, to the token."""
    chat(n=3).invoke("choices")
    text().generate(["two", "prompts"])
    list(chat(stream_usage=False).stream("missing"))
    cached = chat(cache=InMemoryCache())
    spent_before = server.total_usage.total
    cached.invoke("cached")
    cached.invoke("cached")
    total = server.total_usage
    assert telemetry.value(TOKENS, gen_ai_token_type="input") == total.input
    assert telemetry.value(TOKENS, gen_ai_token_type="output") == total.output
    assert telemetry.value(SAVED) == total.total - spent_before
    assert telemetry.value("otel_callbacks_usage_missing_total") == 1
    assert telemetry.value(OPERATIONS, outcome="ok") == 5
    assert telemetry.value(OPERATIONS, outcome="cache_hit") == 1


def test_modules_are_small() -> None:
    """No module has a thousand lines."""
    package = Path(otel_callbacks.__file__).parent
    lines = {
        str(path.relative_to(package)): len(path.read_text().splitlines())
        for path in package.rglob("*.py")
    }
    assert len(lines) > 50
    assert {name: count for name, count in lines.items() if count > 500} == {}
