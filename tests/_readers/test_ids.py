"""Whom a run is for: ids in the config, which LangChain no longer puts in metadata."""

from __future__ import annotations

import _thread
import asyncio
import gc
import itertools
import sys
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import CallbackManager
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from waiting import wait_until

from otel_callbacks import Settings

# A bound that only a program with 10,000 callers reaches, and what an older
# langchain-core does, can be seen on no span of this run.
from otel_callbacks._readers import steps
from otel_callbacks.testing import FakeChatModel, FakeTextModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.documents import Document

    from otel_callbacks.testing import Capture

ROSE = {"user_id": "rose", "thread_id": "t-rose"}
LILY = {"user_id": "lily", "thread_id": "t-lily"}
NAMES = ("gen_ai.conversation.id", "session.id", "user.id")
OF_ROSE = {"gen_ai.conversation.id": "t-rose", "user.id": "rose"}
OF_LILY = {"gen_ai.conversation.id": "t-lily", "user.id": "lily"}
USAGE: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}


def _model() -> FakeChatModel:
    """Return a model whose calls are all alike: its request is read once."""
    return FakeChatModel(model_name="m", usage=USAGE)


def _ids(span: Any) -> dict[str, Any]:
    """Return the ids on a span."""
    return {name: value for name, value in span["attributes"].items() if name in NAMES}


def _all(telemetry: Capture) -> dict[str, dict[str, Any]]:
    """Return the ids on each span by its name."""
    return {span["name"]: _ids(span) for span in telemetry.spans}


class _Retriever(BaseRetriever):
    """Finds nothing."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        del query
        return []


@tool
def look(query: str) -> str:
    """Look it up."""
    return query


def _chain(handler: Any) -> Any:
    """Return a chain with a step of each kind."""
    model, text, retriever = _model(), FakeTextModel(model_name="t"), _Retriever()

    def ask(question: Any) -> str:
        look.invoke({"query": "roses"})
        look.run("lilies", callbacks=[handler])
        retriever.invoke("roses")
        text.invoke("roses")
        return str(model.invoke(question).content)

    prompt = ChatPromptTemplate.from_messages([("human", "{q}")])
    return (prompt | RunnableLambda(ask)).with_config(run_name="shop")


def _graph(model: Any) -> Any:
    """Return a graph of one node that asks a model."""

    async def wait(_: Any) -> dict[str, Any]:
        return {"said": (await model.ainvoke("hi")).content}

    graph: Any = StateGraph(dict)
    graph.add_node(
        "ask", RunnableLambda(lambda _: {"said": model.invoke("hi").content}, wait)
    )
    graph.add_edge(START, "ask")
    return graph.compile(name="garden")


def test_each_step_of_a_chain_is_the_users(telemetry: Capture) -> None:
    """Prompt, function, tool, retriever and models, and the chain itself."""
    config = {"callbacks": [telemetry.handler], "configurable": ROSE}
    _chain(telemetry.handler).invoke({"q": "hi"}, config)
    found = _all(telemetry)
    assert len(found) == 7
    assert len(telemetry.spans) == 8
    assert found == dict.fromkeys(found, OF_ROSE)


def _remembers() -> Any:
    """Return a model with a history, whose session is in the config."""
    histories: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in newer versions
        return RunnableWithMessageHistory(
            _model(),
            lambda session_id: histories.setdefault(
                session_id, InMemoryChatMessageHistory()
            ),
        )


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "batch", "abatch"])
@pytest.mark.parametrize(
    "make",
    [
        _model,
        lambda: RunnableLambda(str) | _model(),
        lambda: RunnableParallel(a=_model(), b=RunnableLambda(str) | _model()),
        _remembers,
    ],
    ids=["model", "sequence", "parallel", "history"],
)
def test_whoever_starts_something_is_on_all_of_its_spans(
    telemetry: Capture, make: Callable[[], Any], way: str
) -> None:
    """One call or a batch of two, in sync and async code; a model alone, too."""
    configs: list[Any] = [
        {
            "callbacks": [telemetry.handler],
            "configurable": {"user_id": user, "session_id": f"s-{user}"},
        }
        for user in ("rose", "lily")
    ]
    started = make()
    if way == "batch":
        started.batch(["hi", "ho"], configs)
    elif way == "abatch":
        asyncio.run(started.abatch(["hi", "ho"], configs))
    else:
        for config in configs:
            called = getattr(started, way)("hi", config)
            if way == "ainvoke":
                asyncio.run(called)
    traces: dict[str, list[Any]] = {}
    for span in telemetry.spans:
        traces.setdefault(span["trace_id"], []).append(_ids(span))
    users = []
    for first, *others in traces.values():
        assert others == [first] * len(others)
        assert first["session.id"] == f"s-{first['user.id']}"
        users.append(first["user.id"])
    assert sorted(users) == ["lily", "rose"]


def test_much_code_is_looked_at_anew(
    telemetry: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of code is bounded, and is the same without a place for it."""
    monkeypatch.setattr(steps, "_CODE_AT_MOST", 0)
    monkeypatch.setattr(steps, "_KNOWN_CODE", {})
    monkeypatch.setattr(steps, "_last_found", {})
    config: Any = {"callbacks": [telemetry.handler], "configurable": ROSE}
    _model().invoke("hi", config)
    assert _all(telemetry) == {"chat m": OF_ROSE}


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_graph_with_a_user(telemetry: Capture, way: str) -> None:
    """Graph, node and call have the user, in sync and async code and streams."""
    config = {"callbacks": [telemetry.handler], "configurable": ROSE}
    graph = _graph(_model())

    async def read() -> None:
        async for _ in graph.astream({}, config):
            pass

    if way == "invoke":
        graph.invoke({}, config)
    elif way == "ainvoke":
        asyncio.run(graph.ainvoke({}, config))
    elif way == "stream":
        list(graph.stream({}, config))
    else:
        asyncio.run(read())
    found = _all(telemetry)
    assert {"invoke_workflow garden", "chat m"} < set(found)
    assert found == dict.fromkeys(found, OF_ROSE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("in_async", [False, True])
def test_a_history_names_its_session(telemetry: Capture, *, in_async: bool) -> None:
    """`RunnableWithMessageHistory` is a conversation, and so is what it calls."""
    kept: dict[str, InMemoryChatMessageHistory] = {}
    chain = RunnableWithMessageHistory(
        _model(), lambda name: kept.setdefault(name, InMemoryChatMessageHistory())
    )
    config: Any = {
        "callbacks": [telemetry.handler],
        "configurable": {"session_id": "s-1"},
    }
    if in_async:
        asyncio.run(chain.ainvoke("hi", config))
    else:
        chain.invoke("hi", config)
    found = _all(telemetry)
    expected = {"gen_ai.conversation.id": "s-1", "session.id": "s-1"}
    assert found == dict.fromkeys(found, expected)
    assert "chat m" in found


def test_two_users_at_once_are_never_mixed_up(telemetry: Capture) -> None:
    """One model object, whose request is remembered, in threads and in tasks."""
    graph = _graph(_model())
    barrier = threading.Barrier(2)

    def config(who: Any) -> Any:
        return {"callbacks": [telemetry.handler], "configurable": who}

    def ask(who: Any) -> None:
        barrier.wait(60)
        for _ in range(10):
            graph.invoke({}, config(who))

    async def both() -> None:
        one = (graph.ainvoke({}, config(who)) for who in (ROSE, LILY) * 10)
        await asyncio.gather(*one)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, (ROSE, LILY)))
    asyncio.run(both())
    calls = [_ids(span) for span in telemetry.spans if span["name"] == "chat m"]
    assert len(calls) == 40
    assert calls.count(OF_ROSE) == calls.count(OF_LILY) == 20
    roots = [s for s in telemetry.spans if s["name"] == "invoke_workflow garden"]
    for root in roots:
        below = [s for s in telemetry.spans if s["parent"] == root["name"]]
        assert below
    assert [_ids(r) for r in roots].count(OF_ROSE) == 20


@pytest.mark.parametrize("in_async", [False, True])
def test_a_call_with_a_config_of_its_own_is_that_users(
    telemetry: Capture, *, in_async: bool
) -> None:
    """One step that serves several users is none of theirs, and each call is one's."""
    model, chain = _model(), RunnableLambda(lambda text: text, name="inner")

    def serve(_: Any) -> None:
        for who in (LILY, {"user_id": "iris"}, {}):
            model.invoke("hi", {"configurable": who})
            chain.invoke("hi", {"configurable": who})

    async def wait(_: Any) -> None:
        for who in (LILY, {"user_id": "iris"}, {}):
            await model.ainvoke("hi", {"configurable": who})
            await chain.ainvoke("hi", {"configurable": who})

    step = RunnableLambda(serve, wait, name="serve")
    config: Any = {"callbacks": [telemetry.handler], "configurable": ROSE}
    if in_async:
        asyncio.run(step.ainvoke("x", config))
    else:
        step.invoke("x", config)
    for name in ("chat m", "inner"):
        found = [_ids(span) for span in telemetry.spans if span["name"] == name]
        assert (name, found) == (name, [OF_LILY, {"user.id": "iris"}, {}])
    assert _ids(telemetry.span("serve")) == OF_ROSE


@pytest.mark.parametrize("copies", [False, True])
def test_copies_of_the_outer_ids_are_not_the_calls_own(
    monkeypatch: pytest.MonkeyPatch, *, copies: bool
) -> None:
    """LangChain up to 1.2 copies them into the metadata of all that is called."""
    monkeypatch.setattr(steps, "_COPIES", copies)
    outer: Any = {"user.id": "rose", "session.id": "s"}
    ids = steps.Configured({"user.id": "lily"}, outer, None)
    attributes = {**outer, "session.id": "t", "otel_callbacks.run_name": "n"}
    whose = "lily" if copies else "rose"
    assert ids.added_to(attributes) == {**attributes, "user.id": whose}


def test_a_step_is_not_named_after_those_that_it_serves(telemetry: Capture) -> None:
    """What a step without a user calls for somebody is that call's alone."""
    chain = _chain(telemetry.handler)

    def serve(_: Any) -> None:
        for who in (ROSE, LILY):
            chain.invoke({"q": "hi"}, {"configurable": who})

    step: Any = RunnableLambda(serve, name="serve")
    step.invoke("x", {"callbacks": [telemetry.handler]})
    assert _ids(telemetry.span("serve")) == {}
    shops = [_ids(span) for span in telemetry.spans if span["name"] == "shop"]
    assert shops == [OF_ROSE, OF_LILY]


@pytest.mark.parametrize("key", [1, 2**128 - 1])
def test_only_the_run_whose_code_calls_is_named_with_its_ids(
    telemetry: Capture, key: int
) -> None:
    """A call may be put below a run of somebody else."""
    other = UUID(int=key)
    telemetry.handler.on_chain_start({}, "x", run_id=other, name="other")
    manager = CallbackManager.configure([telemetry.handler])
    manager.parent_run_id = other

    def serve(_: Any) -> None:
        _model().invoke("hi", {"callbacks": manager})

    config: Any = {"callbacks": [telemetry.handler], "configurable": ROSE}
    RunnableLambda(serve, name="serve").invoke("x", config)
    telemetry.handler.on_chain_end("y", run_id=other)
    assert telemetry.span("chat m")["parent"] == "other"
    assert _ids(telemetry.span("other")) == {}
    assert _ids(telemetry.span("serve")) == OF_ROSE


def test_metadata_come_first(telemetry: Capture) -> None:
    """What an app says of a run in so many words is not overwritten."""
    config = {
        "callbacks": [telemetry.handler],
        "configurable": ROSE,
        "metadata": {"user_id": "iris"},
    }
    (ChatPromptTemplate.from_messages([("human", "{q}")]) | _model()).invoke(
        {"q": "hi"}, config
    )
    assert {span["attributes"]["user.id"] for span in telemetry.spans} == {"iris"}


class _Hostile:
    """Fails at whatever it is asked."""

    def __bool__(self) -> bool:
        raise RuntimeError

    __eq__ = __len__ = __str__ = __hash__ = __bool__  # type: ignore[assignment]


@pytest.mark.parametrize(
    "value",
    [
        {"user_id": _Hostile(), "thread_id": ["t"], "session_id": {}},
        {"user_id": None, "thread_id": "", "session_id": b"x"},
        {"other": "x"},
        {},
    ],
    ids=["hostile", "empty", "other", "nothing"],
)
def test_what_is_no_id_is_none(telemetry: Capture, value: Any) -> None:
    """Only text, integers and UUIDs are ids; nothing else costs more than an id."""
    step: Any = RunnableLambda(lambda _: _model().invoke("hi").content, name="step")
    step.invoke("x", {"callbacks": [telemetry.handler], "configurable": value})
    assert _all(telemetry) == {"step": {}, "chat m": {}}


def test_without_extensions_the_conversation_is_left() -> None:
    """The registry of the conventions has no user and no session."""
    with capture(Settings(strict=True, extensions=False)) as telemetry:
        config = {
            "callbacks": [telemetry.handler],
            "configurable": {"session_id": "s", "user_id": "u"},
        }
        _chain(telemetry.handler).invoke({"q": "hi"}, config)
        found = _all(telemetry)
    assert found == {name: {"gen_ai.conversation.id": "s"} for name in found}


def _from_a_thread(step: Callable[[], Any]) -> Any:
    """Run something in a thread that has no context."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(step).result(60)


def test_a_thread_without_a_context_has_no_ids(telemetry: Capture) -> None:
    """A call there is a trace of its own, as any is, and is nobody's."""
    model = _model()
    step: Any = RunnableLambda(
        lambda _: _from_a_thread(
            lambda: model.invoke("hi", {"callbacks": [telemetry.handler]})
        ),
        name="step",
    )
    step.invoke("x", {"callbacks": [telemetry.handler], "configurable": ROSE})
    assert _ids(telemetry.span("chat m")) == {}


def test_a_run_that_no_method_of_langchain_starts(telemetry: Capture) -> None:
    """Another library that calls handlers itself gets the ids of the code around."""
    handler, run_id = telemetry.handler, uuid4()

    def call() -> None:
        handler.on_chain_start({}, {}, run_id=run_id, name="own")
        handler.on_chain_end({}, run_id=run_id)

    step: Any = RunnableLambda(
        lambda _: _from_a_thread(partial(copy_context().run, call)), name="step"
    )
    step.invoke("x", {"callbacks": [handler], "configurable": ROSE})
    assert _all(telemetry) == {"own": OF_ROSE, "step": OF_ROSE}


class _Deeper(FakeChatModel):
    """A model with one more function between its method and the start of its run."""

    def generate_prompt(self, *args: Any, **kwargs: Any) -> Any:
        return super().generate_prompt(*args, **kwargs)


def test_a_config_is_found_from_any_method_in_any_order(telemetry: Capture) -> None:
    """The place of the last config is only a guess: each call has its own ids."""
    model, deeper = _model(), _Deeper(model_name="m", usage=USAGE)
    ways: tuple[Callable[[Any], object], ...] = (
        lambda config: model.invoke("Roses?", config),
        lambda config: deeper.invoke("Roses?", config),
        lambda config: list(model.stream("Roses?", config)),
        lambda config: model.with_config(tags=["shop"]).invoke("Roses?", config),
        lambda config: model.batch(["Roses?"], config),
        lambda config: asyncio.run(model.ainvoke("Roses?", config)),
        lambda config: asyncio.run(deeper.ainvoke("Roses?", config)),
    )
    for way, user in itertools.product(ways * 2, (ROSE, LILY)):
        way({"callbacks": [telemetry.handler], "configurable": user})
    assert [_ids(span) for span in telemetry.spans] == [OF_ROSE, OF_LILY] * 2 * len(
        ways
    )


def test_a_start_at_the_bottom_of_the_stack_has_a_span(telemetry: Capture) -> None:
    """A handler that the app calls itself has few frames above it."""
    run_id, handler = uuid4(), telemetry.handler

    def bottom() -> None:
        sys.settrace(threading.gettrace())  # for the measure of coverage
        handler.on_chain_start({}, {}, run_id=run_id, name="roses")

    _thread.start_new_thread(bottom, ())
    wait_until(lambda: telemetry.value("otel_callbacks_open_runs"))
    handler.on_chain_end({}, run_id=run_id)
    assert [span["name"] for span in telemetry.spans] == ["roses"]


def test_a_search_for_a_config_keeps_no_run_alive(telemetry: Capture) -> None:
    """Without a collection, a run's id is gone with the last frame that knows it."""

    def call() -> weakref.ref[UUID]:
        run_id = uuid4()
        telemetry.handler.on_chain_start({}, {}, run_id=run_id, name="roses")
        telemetry.handler.on_chain_end({}, run_id=run_id)
        return weakref.ref(run_id)

    gc.disable()
    try:
        assert call()() is None
    finally:
        gc.enable()
