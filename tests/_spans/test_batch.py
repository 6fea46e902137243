"""Which run of a batch is being called, and where an async one waits."""

from __future__ import annotations

import asyncio
import contextvars
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage
from opentelemetry import trace

from otel_callbacks._records import Request
from otel_callbacks._spans import batch
from otel_callbacks._spans.current import StandIn
from otel_callbacks.testing import FakeChatModel, FakeTextModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture

RUN = StandIn(7, Request("chat", "m"), None)
MANAGER = SimpleNamespace(run_id=SimpleNamespace(int=7))
START = "AsyncCallbackManager.on_llm_start"
mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="")


def called_in(function: str, module: str, variable: str, value: object) -> object:
    """Ask which run is called from a function of this name in this module."""
    names: dict[str, Any] = {"__name__": module, "ask": batch.run_being_called}
    source = f"def {function}({variable}, runs):\n    return ask(runs)\n"
    exec(compile(source, module, "exec"), names)  # noqa: S102 -- only so can a frame be made
    return names[function](value, {7: RUN})


@pytest.mark.parametrize(
    ("function", "variable", "value"),
    [
        ("_generate_with_cache", "run_manager", MANAGER),
        ("_agenerate_with_cache", "run_manager", MANAGER),
        ("_generate_helper", "run_managers", [MANAGER, None]),
        ("_agenerate_helper", "run_managers", [MANAGER]),
    ],
)
def test_run_is_found_up_the_stack(function: str, variable: str, value: object) -> None:
    """Each of LangChain's generate steps holds its run's manager."""
    module = "langchain_core.language_models.some"
    assert called_in(function, module, variable, value) is RUN


def test_run_of_another_batch_is_not_found() -> None:
    """What is being called need not be one of these runs."""
    other = SimpleNamespace(run_id=SimpleNamespace(int=8))
    module = "langchain_core.language_models.some"
    assert called_in("_generate_with_cache", module, "run_manager", other) is None


def test_function_of_the_same_name_is_passed_over() -> None:
    """An app's own function may have such a name."""
    assert called_in("_generate_with_cache", "app", "run_manager", MANAGER) is None


@pytest.mark.parametrize("value", [None, [], SimpleNamespace(run_id=None)])
def test_changed_privates_find_nothing(value: object) -> None:
    """Where LangChain's variables are not as known, less is nested."""
    module = "langchain_core.language_models.some"
    assert called_in("_generate_with_cache", module, "run_manager", value) is None


def test_off_the_stack_nothing_is_called() -> None:
    """Outside a generate step there is no run."""
    assert batch.run_being_called({7: RUN}) is None


def test_search_up_the_stack_ends() -> None:
    """From very deep it is given up, as it costs time."""

    def deep(depth: int) -> object:
        return deep(depth - 1) if depth else batch.run_being_called({7: RUN})

    module = "langchain_core.language_models.some"
    names: dict[str, Any] = {"__name__": module, "deep": deep}
    source = "def _generate_with_cache(run_manager, depth):\n    return deep(depth)\n"
    exec(compile(source, module, "exec"), names)  # noqa: S102 -- only so can a frame be made
    assert names["_generate_with_cache"](MANAGER, 10) is RUN
    assert names["_generate_with_cache"](MANAGER, 250) is None


class AsksChat(FakeChatModel):
    """A chat model whose calls open a span of the app's own."""

    tracer: Any = None

    def _result(self) -> Any:
        with self.tracer.start_as_current_span("inside"):
            return super()._result()


class AsksText(FakeTextModel):
    """A text model whose calls open a span of the app's own."""

    tracer: Any = None

    def _result(self, prompts: list[str]) -> Any:
        with self.tracer.start_as_current_span("inside"):
            return super()._result(prompts)


def test_langchain_is_as_it_is_read(telemetry: Capture) -> None:
    """In a real batch each call is below its own run; a text batch's, the first."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    chat = AsksChat(callbacks=[telemetry.handler], tracer=tracer)
    chat.generate([[HumanMessage("a")], [HumanMessage("b")]])
    parents = [s["parent_id"] for s in telemetry.spans if s["name"] == "inside"]
    runs = [s["span_id"] for s in telemetry.spans if s["name"] == "chat fake-model"]
    assert parents == runs
    telemetry.clear()
    AsksText(callbacks=[telemetry.handler], tracer=tracer).generate(["a", "b"])
    assert telemetry.span("inside")["parent"] == "text_completion"


async def test_waiting_task_of_langchain_is_found(telemetry: Capture) -> None:
    """An async text call is below its run, though that starts in a task of its own."""
    tracer = telemetry.tracer_provider.get_tracer("app")
    model = AsksText(callbacks=[telemetry.handler], tracer=tracer)
    await model.agenerate(["a"])
    assert telemetry.span("inside")["parent"] == "text_completion"
    await asyncio.gather(*(model.agenerate([text]) for text in "abc"))
    runs = [s["span_id"] for s in telemetry.spans if s["name"].startswith("text_")]
    inside = [s["parent_id"] for s in telemetry.spans if s["name"] == "inside"]
    assert sorted(runs) == sorted(inside)
    assert not trace.get_current_span().get_span_context().is_valid


async def start_in_gather() -> contextvars.Context | None:
    """Ask for the waiting context from a task that looks like LangChain's."""
    return batch.waiting_context()


start_in_gather.__qualname__ = START


async def test_context_of_gathers_waiter() -> None:
    """It is the context of the task that waits for ``gather``, not the child's."""
    mark.set("the waiter's")
    (found,) = await asyncio.gather(start_in_gather())
    assert found is not None
    assert found[mark] == "the waiter's"


def test_no_loop_no_context() -> None:
    """Outside a loop nobody waits."""
    assert batch.waiting_context() is None


async def test_no_task_no_context() -> None:
    """In a loop's callback nobody waits."""
    done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(
        lambda: done.set_result(batch.waiting_context())
    )
    assert await done is None


async def test_other_tasks_have_no_waiting_context() -> None:
    """Any other task's current context is the right one."""

    async def other() -> object:
        return batch.waiting_context()

    assert await other() is None
    assert await asyncio.gather(other()) == [None]  # type: ignore[comparison-overlap]


async def test_task_that_nobody_waits_for() -> None:
    """A start in a task without a waiter has no other context."""
    task = asyncio.create_task(start_in_gather())
    while not task.done():
        await asyncio.sleep(0)
    assert task.result() is None


def _plain() -> Callable[[object], None]:
    """Return a callback that closes over nothing."""
    return lambda _: None


def _closed() -> Callable[[object], None]:
    """Return a callback that closes over something, but no future."""
    name = "rose"
    return lambda _: mark.set(name) and None


def _of_nobody() -> Callable[[object], None]:
    """Return a callback that closes over a future that nobody waits for."""
    outer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return lambda _: outer.cancel() and None  # type: ignore[return-value]


@pytest.mark.parametrize("make", [_plain, _closed, _of_nobody, lambda: print])
async def test_other_callbacks_have_no_context(
    make: Callable[[], Callable[[object], None]],
) -> None:
    """Where the task's callbacks are not gather's, less is nested."""
    task = asyncio.create_task(start_in_gather())
    task.add_done_callback(make())
    while not task.done():
        await asyncio.sleep(0)
    assert task.result() is None
