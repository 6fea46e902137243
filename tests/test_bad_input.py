"""Bad input: no exception into the app, no lost span, one line, one count."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import numpy as np
import pytest
import wrapt
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    LLMResult,
)
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

import otel_callbacks
from otel_callbacks.accounting import BudgetExceeded, track_usage
from otel_callbacks.settings import Settings
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
LENIENT = Settings(strict=False)


@pytest.fixture
def lenient() -> Iterator[Capture]:
    """Fresh telemetry as it is in production: nothing raises."""
    with capture(LENIENT) as captured:
        yield captured


class Raises:
    """A payload that raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return object
        message = f"{name} cannot be read"
        raise RuntimeError(message)

    def __eq__(self, other: object) -> bool:
        message = "cannot be compared"
        raise RuntimeError(message)

    __hash__ = None  # type: ignore[assignment]


class Liar:
    """A value that raises where it is asked for its class, as lazy ones do."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        message = "not set up"
        raise RuntimeError(message)


class Broken(dict[str, Any]):
    """A mapping, as LangChain hands over, that raises when it is read."""

    def _raise(self, *_: Any) -> Any:
        """Raise."""
        message = "cannot be read"
        raise RuntimeError(message)

    get = __getitem__ = __iter__ = items = values = keys = _raise


class Speechless(Exception):  # noqa: N818
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        message = "no words"
        raise RuntimeError(message)

    __repr__ = __str__


def answer(usage: Any = None, metadata: Any = None) -> LLMResult:
    """Return what a chat model gave back."""
    message = AIMessage.model_construct(
        content="hi", usage_metadata=usage, response_metadata=metadata or {}
    )
    generation = ChatGeneration.model_construct(
        text="hi", message=message, generation_info=None
    )
    return LLMResult.model_construct(generations=[[generation]], llm_output=None)


def assert_one_trouble(
    telemetry: Capture, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    """Assert one count at a place, and one line that names it."""
    assert telemetry.value("otel_callbacks_errors_total", where=where) == 1
    assert telemetry.value("otel_callbacks_errors_total") == 1
    lines = [one for one in caplog.records if one.levelno >= logging.WARNING]
    lines = [one for one in lines if "no token usage" not in one.getMessage()]
    assert len(lines) == 1


STARTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no serialized": {"metadata": {"ls_provider": "openai"}},
    "no model": {"invocation_params": {"model": None, "model_name": None}},
    "wrong types": {
        "invocation_params": {"temperature": "hot", "max_tokens": -1, "stop": 5},
        "metadata": ["x"],
        "tags": 7,
        "options": "y",
        "batch_size": None,
    },
    "surrogates": {
        "invocation_params": {"model": "\ud800\udfff\ud800"},
        "name": "\ud900",
    },
    "unknown arguments": {"something": object(), "new": 1},
}


@pytest.mark.parametrize("start", STARTS)
def test_odd_start_is_a_span(
    lenient: Capture, caplog: pytest.LogCaptureFixture, start: str
) -> None:
    """A call has a span even if LangChain passes missing or wrong values."""
    run_id = uuid4()
    messages: Any = [["no message", HumanMessage("x"), 5]]
    lenient.handler.on_chat_model_start(None, messages, run_id=run_id, **STARTS[start])
    lenient.handler.on_llm_end(answer(), run_id=run_id)
    (span,) = lenient.spans
    assert span["name"].startswith("chat")
    assert span["status"] == "UNSET"
    span["name"].encode()
    assert "failed" not in caplog.text
    assert lenient.value("otel_callbacks_errors_total") == 0


def test_start_that_cannot_be_read(
    lenient: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """A payload that raises when read costs attributes, not the span."""
    run_id = uuid4()
    lenient.handler.on_chat_model_start(
        {}, [["x"]], run_id=run_id, invocation_params={"model": Raises()}
    )
    lenient.handler.on_llm_end(answer(), run_id=run_id)
    assert [span["status"] for span in lenient.spans] == ["UNSET"]
    assert lenient.value("otel_callbacks_operations_total", outcome="ok") == 1
    assert "cannot be read" not in str(lenient.spans)
    del caplog


@pytest.mark.parametrize(
    "argument", ["serialized", "invocation_params", "metadata", "options"]
)
def test_mapping_of_a_class_of_its_own(lenient: Capture, argument: str) -> None:
    """Its content is read without calling its overridden methods."""
    for _ in range(2):
        run_id = uuid4()
        arguments: dict[str, Any] = {"serialized": {}, argument: Broken(model="x")}
        lenient.handler.on_chat_model_start(
            messages=[["x"]], run_id=run_id, **arguments
        )
        lenient.handler.on_llm_end(answer(), run_id=run_id)
    assert [span["status"] for span in lenient.spans] == ["UNSET"] * 2
    assert lenient.value("otel_callbacks_operations_total", outcome="ok") == 2
    assert lenient.value("otel_callbacks_errors_total") == 0


@pytest.mark.parametrize("kind", ["chain", "tool", "retriever"])
def test_step_with_odd_metadata(lenient: Capture, kind: str) -> None:
    """Chains, tools and retrievers have spans even if their metadata raises."""
    run_id = uuid4()
    start = getattr(lenient.handler, f"on_{kind}_start")
    start(None, "x", run_id=run_id, metadata=Broken(user_id=Raises()), tags=Liar())
    getattr(lenient.handler, f"on_{kind}_end")(None, run_id=run_id)
    assert [span["status"] for span in lenient.spans] == ["UNSET"]
    assert lenient.value("otel_callbacks_errors_total") == 0


@pytest.mark.parametrize("error", [Speechless(), ValueError("\ud800"), None, "boom"])
def test_error_that_is_odd(lenient: Capture, error: Any) -> None:
    """An error without a message, with a broken one, or of a wrong type ends a run."""
    run_id = uuid4()
    lenient.handler.on_chat_model_start({}, [["x"]], run_id=run_id)
    lenient.handler.on_llm_error(error, run_id=run_id)
    (span,) = lenient.spans
    assert span["status"] == "ERROR"
    names = {"Speechless", "ValueError", "_OTHER"}
    assert span["attributes"]["error.type"] in names
    assert lenient.value("otel_callbacks_operations_total", outcome="error") == 1


@pytest.mark.parametrize("response", [None, 5, "x", [], {}, {"generations": None}])
def test_response_of_an_unknown_kind(lenient: Capture, response: Any) -> None:
    """A response that is no model result ends the run as ok, without tokens."""
    run_id = uuid4()
    lenient.handler.on_chat_model_start({}, [["x"]], run_id=run_id)
    lenient.handler.on_llm_end(response, run_id=run_id)
    assert [span["status"] for span in lenient.spans] == ["UNSET"]
    assert lenient.value("otel_callbacks_tokens_total") == 0
    assert lenient.value("otel_callbacks_errors_total") == 0


@pytest.mark.parametrize("what", ["answer", "error"])
def test_end_that_cannot_be_read(
    lenient: Capture, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    """A response that raises when it is read still ends its run."""
    run_id = uuid4()
    lenient.handler.on_chat_model_start({}, [["x"]], run_id=run_id)
    if what == "answer":
        lenient.handler.on_llm_end(Raises(), run_id=run_id)
    else:
        lenient.handler.on_llm_error(ValueError(), run_id=run_id, response=Raises())
    assert len(lenient.spans) == 1
    assert lenient.value("otel_callbacks_operations_total") == 1
    assert_one_trouble(lenient, caplog, "response")


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": "12", "output_tokens": 3},
        {"input_tokens": None, "output_tokens": True},
        {"input_tokens": -4, "output_tokens": float("nan")},
        {"input_tokens": 10**30, "output_tokens": [1]},
        "twelve",
        [12],
    ],
)
def test_wrong_usage_invents_nothing(lenient: Capture, usage: Any) -> None:
    """Invalid numbers are left out, and the call is still counted."""
    run_id = uuid4()
    lenient.handler.on_chat_model_start({}, [["x"]], run_id=run_id)
    lenient.handler.on_llm_end(answer(usage), run_id=run_id)
    assert lenient.value("otel_callbacks_tokens_total") in {0, 3}
    assert lenient.value("otel_callbacks_operations_total", outcome="ok") == 1


def test_end_without_start(lenient: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """An end without a start is logged once and counted."""
    lenient.handler.on_llm_end(answer(), run_id=uuid4())
    assert lenient.spans == []
    assert_one_trouble(lenient, caplog, "end_without_start")
    lenient.handler.on_chain_end("x", run_id=uuid4())
    assert lenient.value("otel_callbacks_errors_total") == 2
    assert caplog.text.count("ended that had not started") == 1


def test_two_ends(lenient: Capture, caplog: pytest.LogCaptureFixture) -> None:
    """The second end of a run changes nothing and is counted."""
    run_id = uuid4()
    lenient.handler.on_tool_start({"name": "t"}, "x", run_id=run_id)
    lenient.handler.on_tool_end("y", run_id=run_id)
    lenient.handler.on_tool_error(ValueError(), run_id=run_id)
    assert [span["status"] for span in lenient.spans] == ["UNSET"]
    assert_one_trouble(lenient, caplog, "end_without_start")


def test_two_starts_with_one_id(
    lenient: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """Both runs have spans: the first ends as abandoned, the second normally."""
    run_id = uuid4()
    first, second = [["a"]], [["b"]]  # both alive: a payload is told by its identity
    lenient.handler.on_chat_model_start({}, first, run_id=run_id)
    lenient.handler.on_chat_model_start({}, second, run_id=run_id)
    lenient.handler.on_llm_end(answer(), run_id=run_id)
    assert [span["status"] for span in lenient.spans] == ["ERROR", "UNSET"]
    assert lenient.value("otel_callbacks_runs_lost_total", reason="replaced") == 1
    assert lenient.value("otel_callbacks_operations_total") == 2
    assert_one_trouble(lenient, caplog, "duplicate_start")


def test_end_with_an_unknown_id(
    lenient: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    """An unknown id of any type only causes a log line."""
    odd: Any = "not a uuid"
    lenient.handler.on_llm_new_token("x", run_id=odd)
    lenient.handler.on_tool_end("x", run_id=odd)
    lenient.handler.on_chain_error(ValueError(), run_id=odd)
    troubles = lenient.value("otel_callbacks_errors_total", where="end_without_start")
    assert troubles == lenient.value("otel_callbacks_errors_total") == 2
    assert len(caplog.records) == 1


def test_prompt_of_ten_megabytes(lenient: Capture) -> None:
    """A huge prompt is not copied and not kept in any signal."""
    FakeChatModel(callbacks=[lenient.handler]).invoke("rose " * 2_000_000)
    assert "rose rose" not in str(lenient.spans)
    assert lenient.value("otel_callbacks_operations_total", outcome="ok") == 1


IDS = [UUID(int=number) for number in range(1, 4)]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["chat", "text", "chain", "tool", "chunk", "end", "error", "tool_end"]
            ),
            st.sampled_from(IDS),
            st.sampled_from([None, *IDS]),
        ),
        max_size=30,
    )
)
def test_no_order_of_events_is_too_odd(events: list[tuple[str, UUID, Any]]) -> None:
    """Any sequence of callbacks gives one span per start and an empty table."""
    with capture(LENIENT) as telemetry:
        handler = telemetry.handler
        starts = 0
        kept = []  # payloads with an identity of their own
        for event, run_id, parent_id in events:
            ids: Any = {"run_id": run_id, "parent_run_id": parent_id}
            kept.append([object()])
            if event in {"chat", "text", "chain", "tool"}:
                starts += 1
            if event == "chat":
                handler.on_chat_model_start({}, kept[-1], **ids)
            elif event == "text":
                handler.on_llm_start({}, kept[-1], **ids)
            elif event == "chain":
                handler.on_chain_start({}, kept[-1], **ids)
            elif event == "tool":
                handler.on_tool_start({}, kept[-1], **ids)
            elif event == "chunk":
                handler.on_llm_new_token("x", run_id=run_id)
            elif event == "end":
                handler.on_llm_end(answer(), run_id=run_id)
            elif event == "tool_end":
                handler.on_tool_end("x", run_id=run_id)
            else:
                handler.on_llm_error(ValueError(), run_id=run_id)
        handler.close()
        assert len(telemetry.spans) == starts
        assert telemetry.value("otel_callbacks_open_runs") == 0


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.sampled_from([None, 0, 1, 2, 3]),
            st.sampled_from(["ends", "fails", "streams", "is left open"]),
            st.integers(1, 3),
        ),
        max_size=5,
        unique_by=lambda run: run[0],
    )
)
def test_any_number_of_handlers_reports_one_run(
    runs: list[tuple[int, int | None, str, int]],
) -> None:
    """A run that is reported several times has one span and one count."""
    ids = [uuid4() for _ in range(5)]
    with capture(LENIENT) as telemetry:
        handler = telemetry.handler
        payloads = [[object()] for _ in runs]
        for (number, parent, _, times), payload in zip(runs, payloads, strict=True):
            parent_id = None if parent is None else ids[parent]
            for _ in range(times):
                handler.on_chat_model_start(
                    {}, [payload], run_id=ids[number], parent_run_id=parent_id
                )
        for number, _, how, times in reversed(runs):
            for _ in range(times):
                if how == "streams":
                    handler.on_llm_new_token("x", run_id=ids[number])
                if how == "fails":
                    handler.on_llm_error(ValueError(), run_id=ids[number])
                elif how != "is left open":
                    handler.on_llm_end(answer(), run_id=ids[number])
        handler.close()
        assert len(telemetry.spans) == len(runs)
        assert telemetry.value("otel_callbacks_operations_total") == len(runs)
        assert telemetry.value("otel_callbacks_errors_total") == 0
        assert telemetry.value("otel_callbacks_open_runs") == 0


class RustUUID:
    """As other uuid packages have it: a number, and no weak references."""

    __slots__ = ("int",)

    def __init__(self) -> None:
        self.int = uuid4().int


RUN_IDS: list[Callable[[], Any]] = [
    lambda: "order-7",
    lambda: f"{uuid4()}",
    lambda: 7,
    RustUUID,
    lambda: b"seven",
    lambda: ("order", 7),
]


@pytest.mark.parametrize("make", RUN_IDS)
def test_any_run_id_has_its_run_in_its_tree(
    telemetry: Capture, make: Callable[[], Any]
) -> None:
    """Children are below their run, whatever the type of its id."""
    chain = RunnableLambda(lambda x: x) | FakeChatModel(usage=USAGE)
    for _ in range(2):
        telemetry.clear()
        chain.invoke("Roses?", {"callbacks": [telemetry.handler], "run_id": make()})
        assert telemetry.tree() == (
            "RunnableSequence\n  RunnableLambda\n  chat fake-model"
        )
    assert telemetry.value("otel_callbacks_tokens_total") == 20
    assert telemetry.value("otel_callbacks_open_runs") == 0


@pytest.mark.parametrize("make", RUN_IDS)
def test_any_run_id_counts_towards_a_budget(
    telemetry: Capture, make: Callable[[], Any]
) -> None:
    """A limit holds whatever the type of the run id."""
    model = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
    with track_usage(max_tokens=15) as usage:
        # LangChain makes the call and only then finds that an id is no UUID's.
        with contextlib.suppress(ValidationError):
            model.invoke("Roses?", {"run_id": make()})
        with pytest.raises(BudgetExceeded):
            model.invoke("Roses?", {"run_id": make()})
    assert usage.total_tokens == 10


@pytest.mark.parametrize("make", RUN_IDS)
async def test_any_run_id_is_cancelled_and_streamed(
    telemetry: Capture, make: Callable[[], Any]
) -> None:
    """If an id has no weak references, its task shows the cancellation."""
    model = FakeChatModel(delay=60, callbacks=[telemetry.handler])
    task = asyncio.ensure_future(model.ainvoke("Roses?", {"run_id": make()}))
    while not telemetry.value("otel_callbacks_open_runs"):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task
    while telemetry.value("otel_callbacks_open_runs"):
        await asyncio.sleep(0)
    assert telemetry.span("chat fake-model")["attributes"]["error.type"] == "cancelled"
    streaming = FakeChatModel(usage=USAGE, callbacks=[telemetry.handler])
    telemetry.clear()
    async for _ in streaming.astream("Roses?", {"run_id": make()}):
        pass
    attributes = telemetry.span("chat fake-model")["attributes"]
    assert attributes["otel_callbacks.chunk_count"] >= 3
    assert attributes["gen_ai.usage.input_tokens"] == 7


# -- nothing foreign is compared before its type is known ---------------------------

READING = [
    *Path(otel_callbacks.__file__).parent.glob("_readers/*.py"),
    *Path(otel_callbacks.__file__).parent.glob("_content/*.py"),
]
# Tables of ours are written in capitals; the environment's values are text.
OURS = re.compile(r"^_?[A-Z][A-Z_]*$")
FOREIGN = ("object", "Any")


def asked_of(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a piece of code compares, measures, hashes or asks for its truth."""
    match node:
        case ast.Compare():
            operands = [node.left, *node.comparators]
            for operator, left, right in zip(
                node.ops, operands, operands[1:], strict=False
            ):
                if not isinstance(operator, ast.Is | ast.IsNot):
                    yield left
                    yield right
        case ast.If() | ast.IfExp() | ast.While():
            yield node.test
        case ast.BoolOp():
            yield from node.values
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.comprehension():
            yield from node.ifs
        case ast.Call(func=ast.Name(id="len" | "hash" | "bool" | "sorted" | "set")):
            yield from node.args


def is_foreign(node: ast.expr, unknown: set[str]) -> bool:
    """Say whether an expression is a value as somebody else has made it."""
    match node:
        case ast.NamedExpr():
            return is_foreign(node.value, unknown)
        case ast.Call(func=ast.Attribute(attr="get" | "pop", value=receiver)):
            name = ast.unparse(receiver)
            return not OURS.match(name) and name != "os.environ"
        case ast.Call(func=ast.Name(id="getattr")):
            return True
        case ast.Name():
            return node.id in unknown
    return False


def unknown_names(function: ast.FunctionDef) -> set[str]:
    """Return the arguments of any type whose class the function does not ask for."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    foreign = {
        one.arg
        for one in arguments
        if one.annotation is not None and ast.unparse(one.annotation) in FOREIGN
    }
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "type"), args=[first, *_]):
                foreign.discard(ast.unparse(first))
    return foreign


@pytest.mark.parametrize("path", READING, ids=lambda path: path.stem)
def test_nothing_foreign_is_compared_before_its_type_is_known(path: Path) -> None:
    """Arrays and tables raise when compared or tested for truth."""
    found = [
        f"{path.name}:{asked.lineno} {ast.unparse(asked)}"
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        for asked in asked_of(node)
        if is_foreign(asked, unknown_names(function))
    ]
    assert found == []


class Table:
    """As a data frame: no truth, no length, no hash, equal to itself item by item."""

    def _raise(self, *_: Any) -> Any:
        """Raise."""
        message = "the truth value of a table is ambiguous"
        raise ValueError(message)

    def __eq__(self, other: object) -> Any:
        return Table()

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__  # type: ignore[assignment]
    __bool__ = __len__ = __contains__ = __iter__ = _raise
    __hash__ = None  # type: ignore[assignment]


TABLES: list[Any] = [
    lambda: np.arange(4),
    lambda: np.array([[1.0, np.nan]]),
    lambda: np.array(["a", "b"]),
    Table,
]
CONTENT = Settings(strict=True, capture_content="SPAN_ONLY")


@pytest.mark.parametrize("make", TABLES)
def test_table_anywhere_costs_a_model_call_nothing(make: Any) -> None:
    """Model, provider, tokens and price are read, whatever else a payload holds."""
    keys = ["session_id", "user_id", "thread_id", "langgraph_step", "ls_stop", "team"]
    with capture(replace(CONTENT, labels="team")) as telemetry:
        for _ in range(3):
            run_id = uuid4()
            serialized = {"kwargs": {"model_name": make(), "base_url": make()}}
            telemetry.handler.on_chat_model_start(
                serialized,
                [[HumanMessage("Roses?", additional_kwargs={"tool_calls": make()})]],
                run_id=run_id,
                metadata={"ls_provider": "openai", **{key: make() for key in keys}},
                tags=make(),
                invocation_params={
                    "model": "gpt-4o-mini",
                    "temperature": make(),
                    "response_format": {"type": make()},
                    "tools": [{"type": make(), "function": make()}],
                    "text": make(),
                },
                options={"stop": make()},
            )
            about = {
                **dict.fromkeys(
                    (
                        "id",
                        "status",
                        "object",
                        "body",
                        "service_tier",
                        "model_provider",
                        "finish_reason",
                        "cost",
                        "usage",
                    ),
                    make(),
                ),
                "model_name": "gpt-4o-mini-2024-07-18",
            }
            message = AIMessage(
                "Twelve.", usage_metadata=USAGE, response_metadata=about
            )
            generation = ChatGeneration(message=message, generation_info={"x": make()})
            telemetry.handler.on_llm_end(
                LLMResult(generations=[[generation]], llm_output={"cost": make()}),
                run_id=run_id,
            )
    for span in telemetry.spans:
        assert span["name"] == "chat gpt-4o-mini"
        attributes = span["attributes"]
        assert attributes["gen_ai.provider.name"] == "openai"
        assert attributes["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18"
        assert attributes["gen_ai.usage.input_tokens"] == 7
        assert attributes["otel_callbacks.cost_usd"] > 0


@pytest.mark.parametrize("make", TABLES)
def test_table_anywhere_costs_a_step_nothing(make: Any) -> None:
    """Chains, tools and retrievers with tables as input and output have spans."""
    with capture(CONTENT) as telemetry:
        handler = telemetry.handler
        for inputs, outputs in [
            (make(), make()),
            ({"input": make()}, {"output": make()}),
            ([make()], (make(), make())),
        ]:
            chain, step, retrieval = uuid4(), uuid4(), uuid4()
            handler.on_chain_start(
                None,
                inputs,
                run_id=chain,
                name="shop",
                metadata={"ls_integration": make(), "thread_id": make()},
                run_type=None,
            )
            handler.on_tool_start(
                {"name": "water", "description": make()},
                "",
                run_id=step,
                parent_run_id=chain,
                inputs={"flower": make()},
                tool_call_id=make(),
            )
            handler.on_tool_end(outputs, run_id=step)
            handler.on_retriever_start({}, make(), run_id=retrieval)
            handler.on_retriever_end(outputs, run_id=retrieval)
            handler.on_chain_end(outputs, run_id=chain)
        assert telemetry.value("otel_callbacks_errors_total") == 0
    assert len(telemetry.spans) == 9
    assert {span["status"] for span in telemetry.spans} == {"UNSET"}


class BadText(str):
    """A text whose methods raise."""

    __slots__ = ()

    def _raise(self, *_: Any) -> Any:
        """Raise."""
        message = "cannot be read"
        raise RuntimeError(message)

    __eq__ = __len__ = __str__ = __iter__ = __getitem__ = lower = startswith = _raise
    __hash__ = str.__hash__


class BadList(list[Any]):
    """A list whose methods raise."""

    __len__ = __iter__ = __getitem__ = __bool__ = BadText._raise


class BadTuple(tuple[Any, ...]):
    """A tuple whose methods raise."""

    __slots__ = ()
    __len__ = __iter__ = __getitem__ = __bool__ = BadText._raise


ODD: dict[str, Callable[[], Any]] = {
    "no class": Liar,
    "proxy of a text": lambda: wrapt.ObjectProxy("roses"),
    "proxy of a dictionary": lambda: wrapt.ObjectProxy({"type": "roses"}),
    "proxy of a list": lambda: wrapt.ObjectProxy(["roses"]),
    "text": lambda: BadText("roses"),
    "list": lambda: BadList(["roses"]),
    "tuple": lambda: BadTuple(("roses",)),
    "dictionary": lambda: Broken(type="roses"),
    "long number": lambda: 10**6_000,
}


def _circle() -> list[Any]:
    """Return a list that holds itself, often."""
    circle: list[Any] = []
    circle.extend([circle, {"a": circle}] * 40)
    return circle


ODD["circle"] = _circle


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_odd_value_costs_no_other_one(lenient: Capture, make: Any) -> None:
    """Model, provider, tokens and price are read, whichever other value raises."""
    keys = ["user_id", "ls_stop", "langgraph_step", "team", "ls_max_tokens"]
    request_keys = [
        "stop",
        "tools",
        "response_format",
        "reasoning",
        "model_kwargs",
        "text",
    ]
    response_keys = [
        "id",
        "status",
        "finish_reason",
        "usage",
        "body",
        "cost",
        "choices",
    ]
    places = [
        *keys,
        *request_keys,
        *response_keys,
        "tags",
        "name",
        "options",
        "serialized",
    ]
    for place in places:
        run_id = uuid4()
        lenient.handler.on_chat_model_start(
            {"name": "x", "kwargs": {"stop": make()} if place == "serialized" else {}},
            [[HumanMessage("Roses?")]],
            run_id=run_id,
            metadata={
                "ls_provider": "openai",
                **({place: make()} if place in keys else {}),
            },
            tags=make() if place == "tags" else None,
            name=make() if place == "name" else None,
            options={"stop": make()} if place == "options" else None,
            invocation_params={
                "model": "gpt-4o-mini",
                **({place: make()} if place in request_keys else {}),
            },
        )
        about: dict[str, Any] = {"model_name": "gpt-4o-mini-2024-07-18"}
        if place in response_keys:
            about[place] = make()
        cost = {"total_cost": make()} if place == "cost" else {}
        lenient.handler.on_llm_end(answer({**USAGE, **cost}, about), run_id=run_id)
    assert len(lenient.spans) == len(places)
    for place, span in zip(places, lenient.spans, strict=True):
        attributes = span["attributes"]
        assert span["name"] == "chat gpt-4o-mini", place
        assert attributes["gen_ai.provider.name"] == "openai", place
        assert attributes["gen_ai.response.model"] == "gpt-4o-mini-2024-07-18", place
        assert attributes["gen_ai.usage.input_tokens"] == 7, place
        assert attributes["otel_callbacks.cost_usd"] > 0, place


def test_odd_value_in_the_answer_of_a_stream(lenient: Capture) -> None:
    """A value that a stream repeats in its chunks is read once."""
    run_id = uuid4()
    lenient.handler.on_chat_model_start({}, [["x"]], run_id=run_id)
    message = AIMessageChunk.model_construct(
        content=Liar(), usage_metadata=USAGE, response_metadata={"model_name": "aBcaBc"}
    )
    chunk = ChatGenerationChunk.model_construct(
        text="hi", message=message, generation_info={"finish_reason": "stop"}
    )
    texts = Generation.model_construct(text="hi", generation_info=None)
    result = LLMResult.model_construct(generations=[[chunk, texts]], llm_output=None)
    lenient.handler.on_llm_end(result, run_id=run_id)
    (span,) = lenient.spans
    assert span["attributes"]["gen_ai.response.model"] == "aBc"
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 3
    assert lenient.value("otel_callbacks_errors_total", where="response") == 1


ODD_IDS: list[Any] = [
    lambda: wrapt.ObjectProxy.__new__(wrapt.ObjectProxy),
    Liar,
    object,
]


@pytest.mark.parametrize("make", ODD_IDS)
def test_budget_holds_whatever_the_run_id_is(lenient: Capture, make: Any) -> None:
    """An unreadable run id does not bypass a limit."""
    handler = lenient.handler
    with track_usage(max_calls=2) as usage:
        for _ in range(2):
            run_id = make()
            handler.on_chat_model_start({}, [["x"]], run_id=run_id)
            handler.on_llm_end(answer(USAGE), run_id=run_id)
        with pytest.raises(BudgetExceeded):
            handler.on_chat_model_start({}, [["x"]], run_id=make())
    assert usage.total_tokens == 20
    assert len(lenient.spans) == 3
