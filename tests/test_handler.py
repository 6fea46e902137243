"""The callbacks of the handler."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import logging
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import (
    AsyncCallbackManager,
    BaseCallbackHandler,
    CallbackManager,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from waiting import WAIT_S

from otel_callbacks import OTelCallbackHandler, SettingError, Settings

# A place where a failure can be set that no payload provokes.
from otel_callbacks._spans import current as current_span
from otel_callbacks.testing import FakeChatModel, FakeTextModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.callbacks import CallbackManagerForRetrieverRun

    from otel_callbacks.testing import Capture

OPERATIONS = "otel_callbacks_operations_total"
ERRORS = "otel_callbacks_errors_total"

# Callbacks that a run can make and that say nothing about a span.
IGNORED = {
    "on_agent_action",
    "on_agent_finish",
    "on_custom_event",
    "on_retry",
    "on_text",
}


class Garden(BaseRetriever):
    """A retriever that always finds two documents."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        """Find them."""
        del run_manager
        if query == "weeds":
            message = "no weeds here"
            raise LookupError(message)
        return [Document("roses"), Document("tulips")]


@tool
def florist(flower: str) -> str:
    """Ask the florist."""
    return f"3 {flower}"


@pytest.fixture
def lenient() -> Iterator[Capture]:
    """Fresh telemetry as it is in production: nothing raises."""
    with capture(Settings(strict=False)) as captured:
        yield captured


def config(telemetry: Capture) -> Any:
    """Return a request's config with the handler."""
    return {"callbacks": [telemetry.handler]}


# -- what LangChain asks of a handler ------------------------------------------


def test_every_callback_is_taken_or_ignored_on_purpose() -> None:
    """Every LangChain callback is implemented or ignored on purpose."""
    offered = {name for name in dir(BaseCallbackHandler) if name.startswith("on_")}
    taken = {name for name in vars(OTelCallbackHandler) if name.startswith("on_")}
    assert offered - taken <= IGNORED
    assert not taken & IGNORED


def test_callbacks_take_what_comes_later() -> None:
    """Each callback accepts keywords that LangChain may add one day."""
    for name, callback in vars(OTelCallbackHandler).items():
        if name.startswith("on_"):
            parameters = inspect.signature(callback).parameters.values()
            assert any(one.kind is one.VAR_KEYWORD for one in parameters), name


def test_it_is_called_inline_and_for_all_but_retries_and_custom_events() -> None:
    """The flags are class attributes, which LangChain reads at every event."""
    flags = {
        name: value
        for name, value in vars(OTelCallbackHandler).items()
        if name.startswith("ignore_") or name == "run_inline"
    }
    assert flags == {
        "run_inline": True,
        "ignore_llm": False,
        "ignore_chat_model": False,
        "ignore_chain": False,
        "ignore_agent": False,
        "ignore_retriever": False,
        "ignore_retry": True,
        "ignore_custom_event": True,
    }


def test_arguments_are_keywords() -> None:
    """Providers are keyword-only, so they cannot be swapped."""
    positional: Any = OTelCallbackHandler
    with pytest.raises(TypeError):
        positional(trace.NoOpTracerProvider())


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings the environment's are read, and wrong ones refused."""
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "7")
    handler = OTelCallbackHandler(registry=CollectorRegistry())
    assert handler.settings.label_limit == 7
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "seven")
    with pytest.raises(SettingError, match="OTEL_CALLBACKS_LABEL_LIMIT=seven"):
        OTelCallbackHandler(registry=CollectorRegistry())


@pytest.mark.parametrize("strict", [True, False])
def test_only_strict_lets_langchain_raise(*, strict: bool) -> None:
    """LangChain raises a handler's errors only in strict mode."""
    with capture(Settings(strict=strict)) as telemetry:
        try:
            raise ValueError  # noqa: TRY301 -- LangChain asks while it handles one
        except ValueError:
            assert telemetry.handler.raise_error is strict
        assert telemetry.handler.diagnostics.strict is strict


def test_disabled_sdk_switches_all_off() -> None:
    """With OTEL_SDK_DISABLED there are no spans and no counts."""
    with capture(Settings(sdk_disabled=True)) as telemetry:
        options = config(telemetry)
        FakeChatModel().invoke("?", options)
        FakeTextModel().invoke("?", options)
        Garden().invoke("?", options)
        florist.invoke({"flower": "roses"}, options)
        RunnableLambda(str).invoke("?", options)
        assert telemetry.spans == []
        assert telemetry.value(OPERATIONS) == 0


def test_copies_are_the_same_handler(telemetry: Capture) -> None:
    """Models are copied with their handlers; there is one table of runs."""
    handler = telemetry.handler
    assert copy.copy(handler) is handler
    assert copy.deepcopy(handler) is handler
    model = FakeChatModel(callbacks=[handler])
    model.model_copy(deep=True).invoke("?")
    copy.deepcopy(model).invoke("?")
    assert [span["name"] for span in telemetry.spans] == ["chat fake-model"] * 2


# -- each kind of run ------------------------------------------------------------


def start_and_end(telemetry: Capture) -> dict[str, Callable[[], Any]]:
    """Return a way to make one run of each kind."""
    options = config(telemetry)
    return {
        "chat fake-model": lambda: FakeChatModel().invoke("?", options),
        "text_completion fake-model": lambda: FakeTextModel().invoke("?", options),
        "execute_tool florist": lambda: florist.invoke({"flower": "roses"}, options),
        "retrieval Garden": lambda: Garden().invoke("?", options),
        "wrap": lambda: RunnableLambda(str, name="wrap").invoke("?", options),
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chat fake-model", "CLIENT"),
        ("text_completion fake-model", "CLIENT"),
        ("execute_tool florist", "INTERNAL"),
        ("retrieval Garden", "CLIENT"),
        ("wrap", "INTERNAL"),
    ],
)
def test_each_kind_of_run_is_a_span(telemetry: Capture, name: str, kind: str) -> None:
    """Models, tools, retrievers and chains have one span each."""
    start_and_end(telemetry)[name]()
    (span,) = telemetry.spans
    assert (span["name"], span["kind"], span["status"]) == (name, kind, "UNSET")
    assert telemetry.value(OPERATIONS) == (0 if name == "wrap" else 1)
    assert telemetry.value(ERRORS) == 0


def test_each_kind_of_run_may_fail(telemetry: Capture) -> None:
    """An error of any kind of run is on its span and reaches the app."""

    def fail(_: Any) -> Any:
        raise LookupError

    @tool
    def wilted() -> str:
        """Fail."""
        raise LookupError

    options = config(telemetry)
    calls: list[Callable[[], Any]] = [
        lambda: FakeChatModel(error=LookupError()).invoke("?", options),
        lambda: FakeTextModel(error=LookupError()).invoke("?", options),
        lambda: wilted.invoke({}, options),
        lambda: Garden().invoke("weeds", options),
        lambda: RunnableLambda(fail).invoke("?", options),
    ]
    for call in calls:
        with pytest.raises(LookupError):
            call()
    spans = telemetry.spans
    assert len(spans) == 5
    assert {span["status"] for span in spans} == {"ERROR"}
    assert {span["attributes"]["error.type"] for span in spans} == {"LookupError"}
    assert telemetry.value(OPERATIONS, outcome="error") == 4


async def test_one_class_serves_async_code(telemetry: Capture) -> None:
    """The same handler, called inline, in async code."""
    options = config(telemetry)
    await asyncio.gather(
        FakeChatModel().ainvoke("?", options),
        FakeTextModel().ainvoke("?", options),
        florist.ainvoke({"flower": "roses"}, options),
        Garden().ainvoke("?", options),
        RunnableLambda(str, name="wrap").ainvoke("?", options),
    )
    assert sorted(span["name"] for span in telemetry.spans) == sorted(
        start_and_end(telemetry)
    )


async def test_each_kind_of_run_may_fail_in_async_code(telemetry: Capture) -> None:
    """In async code each error is on one span, and nothing stays open."""

    async def fail(_: Any) -> Any:
        raise LookupError

    @tool
    async def wilted() -> str:
        """Fail."""
        raise LookupError

    options = config(telemetry)
    failures = await asyncio.gather(
        FakeChatModel(error=LookupError()).ainvoke("?", options),
        FakeTextModel(error=LookupError()).ainvoke("?", options),
        wilted.ainvoke({}, options),
        Garden().ainvoke("weeds", options),
        RunnableLambda(fail).ainvoke("?", options),
        return_exceptions=True,
    )
    assert {type(failure) for failure in failures} == {LookupError}
    spans = telemetry.spans
    assert len(spans) == 5
    assert {span["attributes"]["error.type"] for span in spans} == {"LookupError"}
    assert telemetry.value(OPERATIONS, outcome="error") == 4
    assert telemetry.value(ERRORS) == 0


Seen = list[tuple[str, threading.Thread]]


class Looks(FakeChatModel):
    """A model that notes the current span and the thread while it is called."""

    seen: Any = None

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        """Look around."""
        self._look()
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        """Look around."""
        self._look()
        return await super()._agenerate(*args, **kwargs)

    def _look(self) -> None:
        """Note the current span's id and the thread."""
        span_id = trace.get_current_span().get_span_context().span_id
        self.seen.append((f"{span_id:016x}", threading.current_thread()))


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_span_is_current_in_the_callers_own_task(
    telemetry: Capture, way: str
) -> None:
    """Inside a call its span is current, in sync and async code."""
    before = threading.active_count()
    seen: Seen = []
    model = Looks(seen=seen, callbacks=[telemetry.handler])
    if way == "invoke":
        model.invoke("?")
    else:
        await model.ainvoke("?")
    span_id = telemetry.span("chat fake-model")["span_id"]
    assert seen == [(span_id, threading.current_thread())]
    # At most our own, which looks for lost runs.
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize("model", [FakeChatModel, FakeTextModel])
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_stream_is_one_span_with_its_chunks(
    telemetry: Capture, model: type[Any], way: str
) -> None:
    """Chunks of a stream are recorded, whichever callback reports them."""
    streaming = model(chunks=4, callbacks=[telemetry.handler])
    if way == "stream":
        pieces = list(streaming.stream("?"))
    else:
        pieces = [piece async for piece in streaming.astream("?")]
    text = "".join(getattr(piece, "content", piece) for piece in pieces)
    assert text == "Twelve red roses."
    (span,) = telemetry.spans
    assert span["attributes"]["gen_ai.request.stream"] is True
    assert span["attributes"]["otel_callbacks.chunk_count"] >= 4


@pytest.mark.parametrize("how", ["given twice", "two handlers"])
def test_run_that_is_reported_twice_counts_once(telemetry: Capture, how: str) -> None:
    """Handlers on the same provider and registry share one span and one count."""
    handler = telemetry.handler
    second = OTelCallbackHandler(
        tracer_provider=telemetry.tracer_provider,
        registry=telemetry.registry,
        settings=handler.settings,
    )
    usage: Any = {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
    both: list[BaseCallbackHandler] = [
        handler,
        handler if how == "given twice" else second,
    ]
    FakeChatModel(usage=usage, callbacks=both).invoke("?")
    assert telemetry.tree() == "chat fake-model"
    assert telemetry.value(OPERATIONS) == 1
    assert telemetry.value("otel_callbacks_tokens_total") == 5
    assert telemetry.value(ERRORS) == 0


def test_handler_at_construction_and_request(telemetry: Capture) -> None:
    """A handler that is passed at both places makes one span and no failure."""
    FakeChatModel(callbacks=[telemetry.handler]).invoke("?", config(telemetry))
    assert len(telemetry.spans) == 1
    assert telemetry.value(OPERATIONS) == 1
    assert telemetry.value(ERRORS) == 0


def test_handler_is_inherited_by_what_is_called_inside(telemetry: Capture) -> None:
    """A handler that is passed to a chain gets its models and tools as children."""
    model = FakeChatModel()

    def step(flower: str) -> str:
        model.invoke(flower)
        return str(florist.invoke({"flower": flower}))

    RunnableLambda(step, name="step").invoke("roses", config(telemetry))
    assert telemetry.tree().splitlines() == [
        "step",
        "  chat fake-model",
        "  execute_tool florist",
    ]


def test_custom_events_are_ignored(telemetry: Capture) -> None:
    """Custom events change nothing."""

    def step(flower: str) -> str:
        dispatch_custom_event("wilted", {"flower": flower})
        return flower

    RunnableLambda(step, name="step").invoke("roses", config(telemetry))
    assert [(span["name"], span["events"]) for span in telemetry.spans] == [
        ("step", [])
    ]


# -- chunks ----------------------------------------------------------------------


@pytest.mark.parametrize("manager", [CallbackManager, AsyncCallbackManager])
async def test_token_is_taken_by_position_and_by_name(
    telemetry: Capture, manager: Any
) -> None:
    """Sync managers pass it by keyword, async ones by position: both are chunks."""
    run_id = uuid4()
    started: Any = manager.configure([telemetry.handler]).on_chat_model_start(
        {}, [[HumanMessage("?")]], run_id=run_id
    )
    (run,) = await started if inspect.isawaitable(started) else started
    for _ in range(3):
        returned = run.on_llm_new_token("rose")
        if inspect.isawaitable(returned):
            await returned
    ended = run.on_llm_end(None)
    if inspect.isawaitable(ended):
        await ended
    (span,) = telemetry.spans
    assert span["attributes"]["otel_callbacks.chunk_count"] == 3
    assert span["attributes"]["gen_ai.request.stream"] is True
    assert span["attributes"]["gen_ai.response.time_to_first_chunk"] > 0


def test_chunk_of_an_unknown_run_is_nothing(telemetry: Capture) -> None:
    """A chunk of an unknown or ended run is ignored."""
    run_id = uuid4()
    telemetry.handler.on_llm_new_token("rose", run_id=run_id)
    telemetry.handler.on_stream_event({"event": "message-start"}, run_id=run_id)
    telemetry.handler.on_stream_event({"event": "content-block-delta"}, run_id=run_id)
    assert telemetry.spans == []
    assert telemetry.value(ERRORS) == 0


def test_events_that_bring_output_are_chunks(telemetry: Capture) -> None:
    """In events of version 3, deltas are chunks and markers are not."""
    handler, run_id = telemetry.handler, uuid4()
    handler.on_chat_model_start({}, [["?"]], run_id=run_id)
    for event in ("message-start", "content-block-delta", "content-block-delta"):
        handler.on_stream_event({"event": event}, run_id=run_id)
    handler.on_stream_event(None, run_id=run_id)
    handler.on_llm_end(None, run_id=run_id)
    (span,) = telemetry.spans
    assert span["attributes"]["otel_callbacks.chunk_count"] == 2


def fail(*_: object) -> None:
    """Fail."""
    raise AttributeError


def test_chunk_that_fails_does_not_reach_the_app(
    lenient: Capture, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing chunk is one log line and one count, and the stream continues."""
    with (
        caplog.at_level(logging.WARNING, "otel_callbacks"),
        monkeypatch.context() as patch,
    ):
        patch.setattr(current_span, "put_back", fail)
        for run_id in (uuid4(), uuid4(), uuid4()):
            lenient.handler.on_chat_model_start({}, [["?"]], run_id=run_id)
            lenient.handler.on_llm_new_token("rose", run_id=run_id)
    assert lenient.value(ERRORS, where="chunk") == 3
    assert len(caplog.records) == 1


def test_chunk_that_fails_raises_when_strict(
    telemetry: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In strict mode a failing chunk raises once and is not the app's error."""
    run_id = uuid4()
    telemetry.handler.on_chat_model_start({}, [["?"]], run_id=run_id)
    with monkeypatch.context() as patch:
        patch.setattr(current_span, "put_back", fail)
        with pytest.raises(AttributeError):
            telemetry.handler.on_llm_new_token("rose", run_id=run_id)
    telemetry.handler.on_llm_end(None, run_id=run_id)


# -- parents that we were not shown ------------------------------------------------


def test_run_of_a_chain_that_was_not_shown(telemetry: Capture) -> None:
    """The parent is the innermost known run, or else the app's current span."""
    handler = telemetry.handler
    tracer = telemetry.tracer_provider.get_tracer("app")
    outer, inner, alone = uuid4(), uuid4(), uuid4()
    handler.on_chain_start({}, "x", run_id=outer, name="outer")
    handler.on_chat_model_start({}, [["?"]], run_id=inner, parent_run_id=uuid4())
    handler.on_llm_end(None, run_id=inner)
    handler.on_chain_end("y", run_id=outer)
    with tracer.start_as_current_span("app"):
        handler.on_tool_start({"name": "t"}, "x", run_id=alone, parent_run_id=uuid4())
        handler.on_tool_end("y", run_id=alone)
    assert telemetry.tree().splitlines() == [
        "outer",
        "  chat",
        "app",
        "  execute_tool t",
    ]


async def test_run_of_a_chain_that_was_not_shown_after_another(
    telemetry: Capture,
) -> None:
    """An ended run that is still current in a task is not a parent."""
    handler = telemetry.handler
    outer, first, second = uuid4(), uuid4(), uuid4()
    handler.on_chain_start({}, "x", run_id=outer, name="outer")
    handler.on_chat_model_start({}, [["?"]], run_id=first, parent_run_id=outer)

    async def end() -> None:
        handler.on_llm_end(None, run_id=first)

    # As LangChain ends a run in async code: in a task, with a copy of the context.
    await asyncio.create_task(end())
    handler.on_tool_start({"name": "t"}, "x", run_id=second, parent_run_id=uuid4())
    handler.on_tool_end("y", run_id=second)
    handler.on_chain_end("z", run_id=outer)
    assert telemetry.tree().splitlines() == ["outer", "  chat", "  execute_tool t"]


def test_between_the_calls_of_a_batch_no_run_is_current(telemetry: Capture) -> None:
    """Between the calls of a batch the outer span is current."""
    handler = telemetry.handler
    tracer = telemetry.tracer_provider.get_tracer("app")
    ids = [uuid4(), uuid4()]
    with tracer.start_as_current_span("request") as request:
        for run_id in ids:
            handler.on_chat_model_start({}, [[run_id]], run_id=run_id, batch_size=2)
        current = trace.get_current_span()
        assert current is not request
        assert current.get_span_context() == request.get_span_context()
        for run_id in ids:
            handler.on_llm_end(None, run_id=run_id)
        assert trace.get_current_span() is request
    assert telemetry.tree().splitlines() == ["request", "  chat", "  chat"]


# -- the end -------------------------------------------------------------------------


def test_with_closes(telemetry: Capture) -> None:
    """Leaving the block ends open runs, also after an error."""
    run_id = uuid4()
    message = "the app's own"

    def work() -> None:
        with telemetry.handler as handler:
            assert handler is telemetry.handler
            handler.on_chain_start({}, "x", run_id=run_id, name="open")
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=message):
        work()
    (span,) = telemetry.spans
    assert span["attributes"] == {
        "error.type": "abandoned",
        "otel_callbacks.lost_reason": "closed",
        "otel_callbacks.outcome": "abandoned",
    }


def test_shutdown_is_close(telemetry: Capture) -> None:
    """Both names do the same, and a second call does nothing."""
    run_id = uuid4()
    telemetry.handler.on_chain_start({}, "x", run_id=run_id, name="open")
    telemetry.handler.shutdown()
    telemetry.handler.close()
    telemetry.handler.shutdown()
    assert len(telemetry.spans) == 1
    assert telemetry.value("otel_callbacks_runs_lost_total", reason="closed") == 1


# -- other processes ---------------------------------------------------------------


def keep(_: str, value: Any) -> Any:
    """Redact nothing."""
    return value


class Shop(OTelCallbackHandler):
    """A handler of the app's own, which is made in another way."""

    def __init__(self, name: str) -> None:
        super().__init__(registry=CollectorRegistry())
        self.shop = name


def test_pickled_here_it_is_itself_again(telemetry: Capture) -> None:
    """A model that was pickled reports to the same table."""
    again = pickle.loads(pickle.dumps(telemetry.handler))  # noqa: S301 -- our bytes
    assert again is telemetry.handler
    model = FakeChatModel(callbacks=[telemetry.handler])
    copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))  # noqa: S301
    for one in copies:
        one.invoke("?")
    assert len(telemetry.spans) == 2


@pytest.mark.parametrize(
    "redact", [None, keep, lambda _, value: value], ids=["none", "named", "nameless"]
)
def test_pickled_elsewhere_it_is_one_like_it(redact: Any) -> None:
    """Each process has one handler; without its redact hook it captures nothing."""
    settings = Settings(capture_content="SPAN_ONLY", label_limit=7)
    made = OTelCallbackHandler(
        registry=CollectorRegistry(), settings=settings, redact=redact
    )
    data = pickle.dumps(made)
    del made  # as in another process, where it never was
    gc.collect()
    there = pickle.loads(data)  # noqa: S301 -- our own bytes
    assert there is pickle.loads(data)  # noqa: S301
    portable = redact in (None, keep)
    content = "SPAN_ONLY" if portable else "NO_CONTENT"
    assert there.settings == replace(settings, capture_content=content)
    assert there.__reduce__()[1][-1] is (redact if portable else None)


def test_class_of_the_apps_own_is_ours_elsewhere() -> None:
    """A subclass that cannot be rebuilt becomes a plain handler."""
    data = pickle.dumps(Shop("roses"))
    gc.collect()
    assert type(pickle.loads(data)) is OTelCallbackHandler  # noqa: S301


def test_process_pool(telemetry: Capture) -> None:
    """A model with the handler works in a process that was spawned."""
    model = FakeChatModel(callbacks=[telemetry.handler])
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        answers = pool.map(ask, [model] * 2)
        assert list(answers) == ["Twelve red roses."] * 2


def ask(model: FakeChatModel) -> Any:
    """Ask in another process."""
    return model.invoke("?").content


class SlowProvider(TracerProvider):
    """A provider whose flush takes its time, or fails."""

    def __init__(self) -> None:
        super().__init__(shutdown_on_exit=False)
        self.free = threading.Event()
        self.answer = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait, whatever the time is said to be."""
        assert timeout_millis >= 0
        self.free.wait(WAIT_S)
        return self.answer


def test_flush_of_the_apps_own_providers() -> None:
    """`flush` returns the providers' results, and False after its timeout."""
    provider = SlowProvider()
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=CollectorRegistry()
    )
    assert not handler.flush(0.01)
    provider.free.set()
    assert handler.flush(WAIT_S)
    provider.answer = False
    assert not handler.flush(WAIT_S)
    handler.close()


def test_a_notebook_shows_what_it_is_set_to() -> None:
    """A notebook shows destinations and settings, without keys."""
    for settings, shown in (
        (Settings(capture_content="SPAN_ONLY"), "SPAN_ONLY"),
        (Settings(sdk_disabled=True), "OTEL_SDK_DISABLED=true"),
    ):
        handler = OTelCallbackHandler(
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            registry=CollectorRegistry(),
            settings=settings,
        )
        html = handler._repr_html_()
        assert html.startswith("<table><caption>otel_callbacks</caption>")
        assert shown in html
