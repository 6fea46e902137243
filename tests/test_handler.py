"""Every callback of LangChain, sync and async, and what a handler is beside that."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from opentelemetry import trace
from prometheus_client import CollectorRegistry

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel, FakeTextModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.runnables import Runnable

    from otel_callbacks.testing import Capture

OPERATIONS = "otel_callbacks_operations_total"
# What a run can do without being a span or a series.
NOT_OURS = {"on_agent_action", "on_agent_finish", "on_custom_event", "on_retry"}
NOT_OURS |= {"on_text"}


class Shelf(BaseRetriever):
    """A retriever that finds one flower, or breaks."""

    broken: bool = False

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        """Find a flower."""
        del run_manager
        return self._found(query)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        """Find a flower in the caller's task."""
        del run_manager
        return self._found(query)

    def _found(self, query: str) -> list[Document]:
        """Return what is there."""
        if self.broken:
            message = "the shelf is empty"
            raise LookupError(message)
        return [Document(page_content=query), Document(page_content=query)]


def _step(flower: str) -> str:
    """Do one step of a chain."""
    if flower == "weeds":
        message = "no weeds"
        raise LookupError(message)
    return flower


async def _astep(flower: str) -> str:
    """Do one step of a chain in async code."""
    return _step(flower)


def made(kind: str, *, broken: bool) -> tuple[Runnable[Any, Any], Any]:
    """Return something of a kind to run, and its input."""
    error = LookupError("sold out") if broken else None
    flower = "weeds" if broken else "roses"
    if kind == "chat":
        return FakeChatModel(error=error), flower
    if kind == "text":
        return FakeTextModel(error=error), flower
    if kind == "retriever":
        return Shelf(broken=broken), flower
    if kind == "chain":
        return RunnableLambda(_step, _astep, name="step"), flower
    tool = StructuredTool.from_function(_step, _astep, name="bind")
    return tool, {"flower": flower}


# kind -> span's name, span's kind, operation
KINDS = {
    "chat": ("chat fake-model", "CLIENT", "chat"),
    "text": ("text_completion fake-model", "CLIENT", "text_completion"),
    "retriever": ("retrieval Shelf", "CLIENT", "retrieval"),
    "chain": ("step", "INTERNAL", None),
    "tool": ("execute_tool bind", "INTERNAL", "execute_tool"),
}


@pytest.mark.parametrize("broken", [False, True], ids=["ends", "fails"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("kind", KINDS)
async def test_start_and_end_of_every_kind(
    telemetry: Capture, kind: str, way: str, *, broken: bool
) -> None:
    """Each kind of run is one span that ends as the run did, sync and async."""
    name, span_kind, operation = KINDS[kind]
    runnable, given = made(kind, broken=broken)
    config: Any = {"callbacks": [telemetry.handler]}
    failed = None
    try:
        if way == "invoke":
            runnable.invoke(given, config)
        else:
            await runnable.ainvoke(given, config)
    except LookupError as error:
        failed = error
    assert (failed is not None) is broken
    (span,) = telemetry.spans
    assert (span["name"], span["kind"]) == (name, span_kind)
    assert span["attributes"].get("gen_ai.operation.name") == operation
    assert span["status"] == ("ERROR" if broken else "UNSET")
    expected = "LookupError" if broken else None
    assert span["attributes"].get("error.type") == expected
    outcome = "error" if broken else "ok"
    assert telemetry.value(OPERATIONS, outcome=outcome) == (operation is not None)


def test_documents_are_counted(telemetry: Capture) -> None:
    """A retriever's end says how many documents it found, and not what they say."""
    Shelf().invoke("peonies", {"callbacks": [telemetry.handler]})
    attributes = telemetry.span("retrieval Shelf")["attributes"]
    assert attributes["otel_callbacks.document_count"] == 2
    assert "peonies" not in str(attributes)


@pytest.mark.parametrize("model", [FakeChatModel, FakeTextModel])
@pytest.mark.parametrize("way", ["stream", "astream"])
async def test_chunks_of_a_stream(
    telemetry: Capture, model: type[Any], way: str
) -> None:
    """Each chunk of a stream is noted, whoever reports it and however."""
    made = model(chunks=4, callbacks=[telemetry.handler])
    if way == "stream":
        pieces = list(made.stream("Roses?"))
    else:
        pieces = [piece async for piece in made.astream("Roses?")]
    # LangChain may close a stream with an empty piece of its own.
    text = [getattr(one, "content", one) for one in pieces]
    assert "".join(text) == "Twelve red roses."
    (span,) = telemetry.spans
    assert span["attributes"]["otel_callbacks.chunk_count"] >= 4
    assert span["attributes"]["gen_ai.request.stream"] is True


def test_protocol_events_are_chunks_where_they_bring_output(
    telemetry: Capture,
) -> None:
    """Of the third version's events those with output count, the others do not."""
    handler, run_id = telemetry.handler, uuid4()
    handler.on_chat_model_start({}, [["?"]], run_id=run_id)
    odd: Any = ("content-block-delta", None)
    for event in (
        {"event": "message-start"},
        {"event": "content-block-delta", "delta": {"type": "text-delta"}},
        {"event": "content-block-delta", "delta": {"type": "text-delta"}},
        {"event": "message-finish"},
        odd,
    ):
        handler.on_stream_event(event, run_id=run_id, tags=[], unknown=1)
    handler.on_llm_end(None, run_id=run_id)
    attributes = telemetry.span("chat")["attributes"]
    assert attributes["otel_callbacks.chunk_count"] == 2
    assert attributes["gen_ai.request.stream"] is True


def test_chunk_of_a_run_that_is_not_open_is_nothing(telemetry: Capture) -> None:
    """A late chunk starts nothing and is no trouble."""
    telemetry.handler.on_llm_new_token("x", run_id=uuid4())
    assert telemetry.spans == []
    assert telemetry.value("otel_callbacks_errors_total") == 0


def test_every_callback_is_ours_or_left_out_on_purpose() -> None:
    """A callback that a new LangChain brings is noticed here."""
    theirs = {name for name in dir(BaseCallbackHandler) if name.startswith("on_")}
    ours = {name for name in vars(OTelCallbackHandler) if name.startswith("on_")}
    assert theirs - ours == NOT_OURS
    # The oldest LangChain that is allowed has no such event yet.
    assert ours - theirs <= {"on_stream_event"}


def test_token_is_passed_by_its_name() -> None:
    """Sync managers pass the token by keyword, async ones by position."""
    parameters = list(
        inspect.signature(OTelCallbackHandler.on_llm_new_token).parameters.values()
    )
    assert parameters[1].name == "token"
    assert parameters[1].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD


def test_what_is_not_a_run_is_ignored(telemetry: Capture) -> None:
    """Custom events make neither spans nor troubles."""

    def step(flower: str) -> str:
        """Say something on the way."""
        dispatch_custom_event("watered", {"flower": flower})
        return flower

    config: Any = {"callbacks": [telemetry.handler]}
    RunnableLambda(step).invoke("roses", config)
    assert [span["name"] for span in telemetry.spans] == ["step"]
    assert telemetry.span("step")["events"] == []


CALLS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "on_llm_start": ("on_llm_end", ({}, ["?"])),
    "on_chat_model_start": ("on_llm_end", ({}, [["?"]])),
    "on_chain_start": ("on_chain_end", ({}, "?")),
    "on_tool_start": ("on_tool_end", ({}, "?")),
    "on_retriever_start": ("on_retriever_end", ({}, "?")),
}


@pytest.mark.parametrize("failing", [False, True], ids=["end", "error"])
@pytest.mark.parametrize("start", CALLS)
def test_arguments_of_the_future_are_ignored(
    telemetry: Capture, start: str, *, failing: bool
) -> None:
    """An argument that a later LangChain adds breaks nothing."""
    end, args = CALLS[start]
    handler, run_id = telemetry.handler, uuid4()
    getattr(handler, start)(*args, run_id=run_id, of_the_future=object())
    if failing:
        end = end.replace("_end", "_error")
        getattr(handler, end)(ValueError(), run_id=run_id, of_the_future=1)
    else:
        getattr(handler, end)(None, run_id=run_id, of_the_future=1)
    (span,) = telemetry.spans
    assert span["status"] == ("ERROR" if failing else "UNSET")


class Looks(FakeChatModel):
    """A model that looks around while it is called."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        """Note the current span and the thread."""
        SEEN.append((trace.get_current_span(), threading.current_thread()))
        return super()._generate(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        """Note the current span and the thread."""
        SEEN.append((trace.get_current_span(), threading.current_thread()))
        return await super()._agenerate(*args, **kwargs)


SEEN: list[tuple[trace.Span, threading.Thread]] = []


@pytest.fixture
def seen() -> Iterator[list[tuple[trace.Span, threading.Thread]]]:
    """Return what models have seen, nothing at first."""
    SEEN.clear()
    yield SEEN
    SEEN.clear()


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_called_in_the_callers_own_task(
    telemetry: Capture, seen: list[tuple[trace.Span, threading.Thread]], way: str
) -> None:
    """The span is current inside the call, in async code too, without a thread."""
    assert OTelCallbackHandler.run_inline is True
    before = threading.active_count()
    model = Looks(callbacks=[telemetry.handler])
    ids = []
    if way == "invoke":
        model.invoke("?")
    else:
        task = asyncio.create_task(model.ainvoke("?"))
        await task
    ((current, thread),) = seen
    ids.append(f"{current.get_span_context().span_id:016x}")
    assert thread is threading.current_thread()
    # At most our own, which looks for lost runs; no thread pool for callbacks.
    assert threading.active_count() <= before + 1
    (span,) = telemetry.spans
    # What was current steps aside when its run ends; the two were one span.
    assert span["name"] == "chat fake-model"
    assert ids != [span["span_id"]]


async def test_current_inside_is_the_runs_own_span(telemetry: Capture) -> None:
    """A span that a model's code opens is a child of the call."""
    tracer = telemetry.tracer_provider.get_tracer("app")

    class Asks(FakeChatModel):
        """A model with a span of its own."""

        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            """Open a span."""
            with tracer.start_as_current_span("POST"):
                return await super()._agenerate(*args, **kwargs)

    await asyncio.gather(
        *(Asks(callbacks=[telemetry.handler]).ainvoke("?") for _ in range(3))
    )
    calls = {s["span_id"] for s in telemetry.spans if s["name"] != "POST"}
    asked = {s["parent_id"] for s in telemetry.spans if s["name"] == "POST"}
    assert len(calls) == 3
    assert asked == calls


@pytest.mark.parametrize(
    "where", ["model", "request", "both", "twice", "two handlers"]
)
def test_given_anywhere_is_one_span(telemetry: Capture, where: str) -> None:
    """At the model, at the request, at both: one span, counted once."""
    handler = telemetry.handler
    second = OTelCallbackHandler(
        tracer_provider=telemetry.tracer_provider,
        registry=telemetry.registry,
        settings=handler.settings,
    )
    on_model: dict[str, list[Any]] = {
        "model": [handler],
        "request": [],
        "both": [handler],
        "twice": [handler, handler],
        "two handlers": [handler],
    }
    on_request: dict[str, list[Any]] = {
        "model": [],
        "request": [handler],
        "both": [handler],
        "twice": [],
        "two handlers": [second],
    }
    usage: Any = {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
    model = FakeChatModel(usage=usage, callbacks=on_model[where])
    model.invoke("?", {"callbacks": on_request[where]})
    assert telemetry.tree() == "chat fake-model"
    assert telemetry.value(OPERATIONS) == 1
    assert telemetry.value("otel_callbacks_tokens_total") == 5
    assert telemetry.value("otel_callbacks_errors_total") == 0


def test_children_inherit(telemetry: Capture) -> None:
    """What is called inside a chain that has the handler is below it."""
    model = FakeChatModel()
    chain = RunnableLambda(lambda x: model.invoke(x), name="shop")
    chain.invoke("?", {"callbacks": [telemetry.handler]})
    assert telemetry.tree() == "shop\n  chat fake-model"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_are_the_handler(
    telemetry: Capture, copied: Callable[[Any], Any]
) -> None:
    """A model that is copied keeps its handler: there is one table of runs."""
    assert copied(telemetry.handler) is telemetry.handler
    model = copied(FakeChatModel(callbacks=[telemetry.handler]))
    assert model.callbacks == [telemetry.handler]
    model.invoke("?")
    assert telemetry.value(OPERATIONS, outcome="ok") == 1


@pytest.mark.parametrize("way", ["close", "shutdown"])
def test_close_ends_what_is_open(telemetry: Capture, way: str) -> None:
    """``close`` and ``shutdown`` end the open runs, twice as well as once."""
    run_id = uuid4()
    telemetry.handler.on_tool_start({"name": "bind"}, "x", run_id=run_id)
    assert telemetry.value("otel_callbacks_open_runs") == 1
    getattr(telemetry.handler, way)()
    getattr(telemetry.handler, way)()
    span = telemetry.span("execute_tool bind")
    assert span["attributes"]["error.type"] == "abandoned"
    assert telemetry.value("otel_callbacks_runs_lost_total", reason="closed") == 1
    assert telemetry.value("otel_callbacks_open_runs") == 0


def test_context_manager_closes(telemetry: Capture) -> None:
    """Leaving the block ends what is open, and lets an error through."""
    run_id, message = uuid4(), "wilted"
    with pytest.raises(LookupError, match=message), telemetry.handler as handler:
        assert handler is telemetry.handler
        handler.on_chain_start({}, "x", run_id=run_id, name="left open")
        raise LookupError(message)
    assert telemetry.span("left open")["attributes"]["error.type"] == "abandoned"


def test_disabled_makes_nothing() -> None:
    """``OTEL_SDK_DISABLED`` has LangChain pass the handler over."""
    with capture(Settings(sdk_disabled=True, strict=True)) as telemetry:
        config: Any = {"callbacks": [telemetry.handler]}
        for kind in KINDS:
            runnable, given = made(kind, broken=False)
            runnable.invoke(given, config)
        assert telemetry.spans == []
        assert telemetry.value(OPERATIONS) == 0


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler without settings reads the process's variables."""
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "7")
    monkeypatch.setenv("OTEL_CALLBACKS_STRICT", "1")
    with OTelCallbackHandler(registry=CollectorRegistry()) as handler:
        assert handler.settings.label_limit == 7
        assert handler.raise_error is True
    with OTelCallbackHandler(
        registry=CollectorRegistry(), settings=Settings()
    ) as handler:
        assert handler.raise_error is False


def test_arguments_are_keywords() -> None:
    """Providers cannot be mixed up by their place."""
    handler: Any = OTelCallbackHandler
    with pytest.raises(TypeError, match="positional"):
        handler(None)
