"""The life of a run as a handler sees it; what cannot be read costs an attribute."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from otel_callbacks import OTelCallbackHandler, track_usage
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._readers.estimate import prompt_estimate
from otel_callbacks._readers.response import model_response
from otel_callbacks._records import End, Failure, Request, Response, Usage
from otel_callbacks._runs import lifecycle as lifecycle_module
from otel_callbacks._runs.lifecycle import Lifecycle, Pipeline
from otel_callbacks._runs.table import RunTable
from otel_callbacks._spend.accounts import use_account
from otel_callbacks._spend.budgets import BudgetExceeded
from otel_callbacks.settings import Settings
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks._runs.run import Run

LIMITS: Any = {"time_limit": 3600, "size_limit": 20_000}
READ = Request("chat", "gpt-4o-mini")
UNREAD = Request("chat", "")
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


class Recorder:
    """A sink that keeps what it is told."""

    name = "recorder"
    is_foreign = False

    def __init__(self) -> None:
        self.starts: list[Run] = []
        self.ends: list[End] = []

    def started(self, run: Run) -> None:
        """Keep a start."""
        self.starts.append(run)

    def ended(self, run: Run, end: End) -> None:
        """Keep an end."""
        assert run.key
        self.ends.append(end)


class Given(NamedTuple):
    """What a callback is given; it is read by a function of the test."""

    reader: Callable[[], Request] = lambda: READ
    metadata: None = None
    tags: None = None

    def read(self) -> Request:
        """Read it."""
        return self.reader()


class Life:
    """A lifecycle on a real table, and what its sink has got."""

    def __init__(self, *, strict: bool = False) -> None:
        self.diagnostics = Diagnostics(strict=strict)
        self.sink = Recorder()
        self.table = RunTable((self.sink,), self.diagnostics, **LIMITS)
        self.stepped_out: list[Run] = []
        settings = Settings(strict=strict)
        built = Pipeline(
            self.table, self.diagnostics, self.stepped_out.append, settings
        )
        self.runs = Lifecycle(built)

    def start(
        self,
        run_id: UUID,
        reader: Callable[[], Request] = lambda: READ,
        parent: UUID | None = None,
        payload: object = None,
    ) -> Run:
        """Start a run."""
        self.runs.start(Given(reader), UNREAD, run_id, parent, payload)
        return self.sink.starts[-1]


@pytest.fixture
def life() -> Iterator[Life]:
    """Return a lifecycle that logs its troubles; afterwards no run is open."""
    life = Life()
    yield life
    life.runs.close()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Keep what our own logger says."""
    with caplog.at_level(logging.DEBUG, "otel_callbacks"):
        yield caplog


def unreadable(*_: Any) -> Any:
    """Fail as a reader of a broken payload does."""
    message = "cannot be read"
    raise ValueError(message)


def test_a_config_that_cannot_be_read_costs_no_span(
    monkeypatch: pytest.MonkeyPatch, life: Life, logged: pytest.LogCaptureFixture
) -> None:
    """The run starts without its ids; one line says it."""
    monkeypatch.setattr(lifecycle_module, "configured", unreadable)
    run = life.start(uuid4())
    assert run.request is READ
    assert life.diagnostics.counts() == {"request": 1}
    assert len(logged.records) == 1


class UnreadableResult(ToolMessage):
    """A tool's message that does not say how it went."""

    def __getattribute__(self, name: str) -> Any:
        if name == "status":
            message = f"{name} cannot be read"
            raise ValueError(message)
        return super().__getattribute__(name)


class Unreadable:
    """A payload that raises whatever is looked at."""

    def __getattribute__(self, name: str) -> Any:
        message = f"{name} cannot be read"
        raise ValueError(message)


def answer() -> LLMResult:
    """Return what a chat model gives back."""
    message = AIMessage("Roses.", usage_metadata=USAGE)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def test_start_and_end(life: Life) -> None:
    """A run starts with what its reader read, and ends with the response."""
    run_id = uuid4()
    run = life.start(run_id)
    assert run.request is READ
    life.runs.end(run_id, model_response, answer())
    (end,) = life.sink.ends
    assert (end.outcome, end.failure) == ("ok", None)
    assert end.response is not None
    assert end.response.usage == Usage(3, 4)
    assert life.diagnostics.counts() == {}


@pytest.mark.parametrize("inputs", [[], (), "", 7, ["?"], {"a": "?"}], ids=repr)
def test_a_call_whose_input_is_no_list_of_prompts(inputs: Any) -> None:
    """Whatever a caller passes: the call is one span, and nothing raises."""
    with capture(Settings(strict=True)) as telemetry:
        run_id = uuid4()
        for _ in range(2):  # by two handlers
            telemetry.handler.on_chat_model_start({}, inputs, run_id=run_id)
        for _ in range(2):
            telemetry.handler.on_llm_end(answer(), run_id=run_id)
        assert [span["name"] for span in telemetry.spans] == ["chat"]


def test_a_call_has_the_first_of_several_inputs() -> None:
    """LangChain reports each prompt of a batch as a call of its own."""
    with capture(Settings(strict=True, capture_content="SPAN_ONLY")) as telemetry:
        inputs: Any = [[HumanMessage("roses")], [HumanMessage("lilies")]]
        run_id = uuid4()
        telemetry.handler.on_chat_model_start({}, inputs, run_id=run_id)
        telemetry.handler.on_llm_end(answer(), run_id=run_id)
        (span,) = telemetry.spans
        captured = span["attributes"]["gen_ai.input.messages"]
        assert "roses" in captured
        assert "lilies" not in captured


@pytest.mark.parametrize("known", [{}, {"prompt_tokens": 5}], ids=["none", "input"])
@pytest.mark.parametrize("failed", [False, True])
def test_an_answer_without_usage_is_estimated_for_the_accounts(
    known: dict[str, int], *, failed: bool
) -> None:
    """By its text, whether the call ends well or not."""
    answered = LLMResult(
        generations=[[ChatGeneration(message=AIMessage("rose " * 99))]],
        llm_output={"token_usage": known},
    )
    with capture(Settings()) as telemetry, track_usage() as usage:
        handler, run_id = telemetry.handler, uuid4()
        handler.on_chat_model_start({}, [[HumanMessage("?")]], run_id=run_id)
        if failed:
            handler.on_llm_error(GeneratorExit(), run_id=run_id, response=answered)
        else:
            handler.on_llm_end(answered, run_id=run_id)
        assert usage.assumed_tokens > 90
        assert usage.input_tokens == known.get("prompt_tokens", 0)


def test_content_that_cannot_be_redacted_is_counted(
    logged: pytest.LogCaptureFixture,
) -> None:
    """Of inputs and outputs alike, and logged once."""
    settings = Settings(capture_content="SPAN_ONLY", strict=False)
    with capture(settings) as telemetry:
        handler = OTelCallbackHandler(
            tracer_provider=telemetry.tracer_provider,
            registry=telemetry.registry,
            settings=settings,
            redact=unreadable,
        )
        run_id = uuid4()
        handler.on_chat_model_start({}, [[HumanMessage("?")]], run_id=run_id)
        errors = "otel_callbacks_errors_total"
        assert telemetry.value(errors, where="redact") == 1
        handler.on_llm_end(answer(), run_id=run_id)
        assert telemetry.value(errors, where="redact") == 2
    assert logged.text.count("redact failed") == 1


def test_end_without_a_reader(life: Life) -> None:
    """A chain's end has no response."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.end(run_id)
    (end,) = life.sink.ends
    assert end == End("ok", end.end_ns)


def test_cache_hit_is_an_outcome(life: Life) -> None:
    """What a cache answered ended as a hit."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.end(run_id, lambda _: Response(cache_hit=True), "answer")
    assert [end.outcome for end in life.sink.ends] == ["cache_hit"]


def test_first_chunk_is_noted_and_lets_go(life: Life) -> None:
    """The first chunk's time is kept, and the current span is put back."""
    run_id = uuid4()
    run = life.start(run_id)
    before = time.perf_counter_ns()
    life.runs.chunk(run_id)
    assert run.chunks is not None
    assert before <= run.chunks[0] <= time.perf_counter_ns()
    assert life.stepped_out == [run]


def test_request_that_cannot_be_read(
    life: Life, logged: pytest.LogCaptureFixture
) -> None:
    """The run starts all the same, as what little is known of it."""
    for _ in range(2):
        run_id = uuid4()
        assert life.start(run_id, unreadable).request is UNREAD
        life.runs.end(run_id)
    assert [end.outcome for end in life.sink.ends] == ["ok", "ok"]
    assert life.diagnostics.counts() == {"request": 2}
    assert len(logged.records) == 1


def test_response_that_cannot_be_read(
    life: Life, logged: pytest.LogCaptureFixture
) -> None:
    """The run ends well, with a response of which nothing is known."""
    for _ in range(2):
        run_id = uuid4()
        life.start(run_id)
        life.runs.end(run_id, unreadable, "answer")
    assert [(end.outcome, end.response) for end in life.sink.ends] == [
        ("ok", Response())
    ] * 2
    assert life.diagnostics.counts() == {"response": 2}
    assert len(logged.records) == 1


def test_tool_output_that_cannot_be_read(
    life: Life, logged: pytest.LogCaptureFixture
) -> None:
    """A tool whose output cannot be looked at ended well."""
    for _ in range(2):
        run_id = uuid4()
        life.start(run_id)
        life.runs.end_tool(run_id, UnreadableResult(content="?", tool_call_id="1"))
    assert [(end.outcome, end.failure) for end in life.sink.ends] == [("ok", None)] * 2
    assert life.diagnostics.counts() == {"tool_output": 2}
    assert len(logged.records) == 1


def test_error_that_cannot_be_read(
    life: Life, logged: pytest.LogCaptureFixture
) -> None:
    """An exception that cannot be looked at is a failure of the other kind."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.fail(run_id, Raising())
    (end,) = life.sink.ends
    assert end.outcome == "error"
    assert end.failure == Failure("error", "_OTHER", "other")
    assert life.diagnostics.counts() == {"response": 1}
    assert len(logged.records) == 1


class _Meta(type):
    """A metaclass whose classes have no name that can be read."""

    def __getattribute__(cls, name: str) -> Any:
        if name in {"__name__", "__mro__", "__module__"}:
            unreadable()
        return super().__getattribute__(name)


class Raising(Exception, metaclass=_Meta):  # noqa: N818
    """An exception whose class cannot be read."""


def test_failure_keeps_what_was_spent(life: Life) -> None:
    """Tokens of an answer that came before the error are in the end."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.fail(run_id, ValueError("no"), answer())
    (end,) = life.sink.ends
    assert end.failure == Failure("error", "ValueError", end.failure.error_class)  # type: ignore[union-attr]
    assert end.response is not None
    assert end.response.usage == Usage(3, 4)


def test_partial_answer_that_cannot_be_read(
    life: Life, logged: pytest.LogCaptureFixture
) -> None:
    """The failure is told, though what came before it cannot be read."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.fail(run_id, ValueError("no"), Unreadable())
    (end,) = life.sink.ends
    assert (end.outcome, end.response) == ("error", Response())
    assert end.failure is not None
    assert end.failure.error_type == "ValueError"
    assert life.diagnostics.counts() == {"response": 1}
    assert len(logged.records) == 1


def test_control_flow_is_no_failure(life: Life) -> None:
    """An exception that LangGraph steers with ends a run well."""
    from langgraph.errors import GraphInterrupt  # noqa: PLC0415 -- a slow import

    run_id = uuid4()
    life.start(run_id)
    life.runs.fail(run_id, GraphInterrupt())
    assert [(end.outcome, end.failure) for end in life.sink.ends] == [("ok", None)]


def test_cancellation_is_no_error(life: Life) -> None:
    """A cancelled run is cancelled, an abandoned stream abandoned."""
    for error in (asyncio.CancelledError(), GeneratorExit()):
        run_id = uuid4()
        life.start(run_id)
        life.runs.fail(run_id, error)
    assert [end.outcome for end in life.sink.ends] == ["cancelled", "abandoned"]


def test_tool_that_failed_and_handled_it(life: Life) -> None:
    """A tool's error message is a failure of the tool."""
    run_id = uuid4()
    life.start(run_id)
    message = ToolMessage("no roses", tool_call_id="1", status="error")
    life.runs.end_tool(run_id, message)
    assert [end.failure for end in life.sink.ends] == [
        Failure("error", "tool_error", "other")
    ]


@pytest.mark.parametrize("way", ["end", "fail", "tool"])
def test_end_that_nobody_started(
    life: Life, logged: pytest.LogCaptureFixture, way: str
) -> None:
    """An end without a start reads nothing, tells nothing, and is counted."""
    ends: dict[str, Callable[[UUID], None]] = {
        "end": lambda run_id: life.runs.end(run_id, unreadable, "answer"),
        "fail": lambda run_id: life.runs.fail(run_id, ValueError(), Unreadable()),
        "tool": lambda run_id: life.runs.end_tool(
            run_id, UnreadableResult(content="?", tool_call_id="1")
        ),
    }
    ends[way](uuid4())
    ends[way](uuid4())
    assert life.sink.ends == []
    assert life.diagnostics.counts() == {"end_without_start": 2}
    assert len(logged.records) == 1


@pytest.mark.parametrize("way", ["end", "fail"])
def test_end_of_a_lost_run_brings_its_tokens(life: Life, way: str) -> None:
    """A run that was given up and ends after all has its tokens counted."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.close()
    for _ in range(2):
        if way == "end":
            life.runs.end(run_id, model_response, answer())
        else:
            life.runs.fail(run_id, ValueError(), answer())
    first, late = life.sink.ends
    assert (first.outcome, first.late) == ("abandoned", False)
    assert (late.outcome, late.late) == ("abandoned", True)
    assert late.response is not None
    assert late.response.usage == Usage(3, 4)
    assert life.diagnostics.counts() == {}


@pytest.mark.parametrize("way", ["end", "fail"])
def test_end_of_a_lost_run_that_cannot_be_read(
    life: Life, logged: pytest.LogCaptureFixture, way: str
) -> None:
    """A late end that cannot be read is told as empty, and counted as a trouble."""
    run_id = uuid4()
    life.start(run_id)
    life.runs.close()
    if way == "end":
        life.runs.end(run_id, unreadable, "answer")
    else:
        life.runs.fail(run_id, ValueError(), Unreadable())
    assert life.sink.ends[1].response == Response()
    assert life.diagnostics.counts() == {"response": 1}
    assert len(logged.records) == 1


def test_second_report_starts_nothing(life: Life) -> None:
    """The same start, reported by a second handler, makes no second run."""
    run_id, payload = uuid4(), object()
    life.start(run_id, payload=payload)
    life.start(run_id, payload=payload)
    assert len(life.sink.starts) == 1
    life.runs.end(run_id)
    life.runs.end(run_id)
    assert len(life.sink.ends) == 1
    assert life.diagnostics.counts() == {}


def test_parent_is_the_one_that_is_named(life: Life) -> None:
    """A start that names its parent is part of that."""
    outer, inner = uuid4(), uuid4()
    parent = life.start(outer)
    assert life.start(inner, parent=outer).parent_run is parent


def test_parent_comes_from_the_code_that_calls(life: Life) -> None:
    """A start that LangChain gives no parent is part of the step that calls it."""
    from langchain_core.callbacks import CallbackManager  # noqa: PLC0415
    from langchain_core.runnables.config import (  # noqa: PLC0415
        var_child_runnable_config,
    )

    outer, inner = uuid4(), uuid4()
    parent = life.start(outer)
    manager = CallbackManager([], parent_run_id=outer)
    token = var_child_runnable_config.set({"callbacks": manager})
    try:
        child = life.start(inner)
    finally:
        var_child_runnable_config.reset(token)
    assert child.parent_run is parent


@pytest.mark.parametrize("way", ["start", "end", "fail", "tool"])
def test_table_that_fails(
    life: Life,
    logged: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    """What even the table cannot take never reaches the app."""

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(RunTable, "is_duplicate", fail)
    monkeypatch.setattr(RunTable, "take", fail)
    run_id = uuid4()
    calls: dict[str, Callable[[], None]] = {
        "start": lambda: life.runs.start(Given(), UNREAD, run_id, None, 1),
        "end": lambda: life.runs.end(run_id, model_response, answer()),
        "fail": lambda: life.runs.fail(run_id, ValueError()),
        "tool": lambda: life.runs.end_tool(run_id, "roses"),
    }
    calls[way]()
    calls[way]()
    where = "start" if way == "start" else "end"
    assert life.diagnostics.counts() == {where: 2}
    assert len(logged.records) == 1
    assert life.sink.ends == []


@pytest.mark.parametrize("way", ["start", "end", "fail", "tool"])
def test_strict_raises(way: str) -> None:
    """In strict mode troubles are raised: once each, and the run has ended."""
    life = Life(strict=True)
    run_id = uuid4()
    if way == "start":
        with pytest.raises(ValueError, match="cannot be read"):
            life.start(run_id, unreadable)
        assert len(life.sink.starts) == 1
        life.runs.end(run_id)
        assert life.diagnostics.counts() == {"request": 1}
        return
    life.start(run_id)
    ends: dict[str, Callable[[], None]] = {
        "end": lambda: life.runs.end(run_id, unreadable, "answer"),
        "fail": lambda: life.runs.fail(run_id, ValueError(), Unreadable()),
        "tool": lambda: life.runs.end_tool(
            run_id, UnreadableResult(content="?", tool_call_id="1")
        ),
    }
    with pytest.raises(ValueError, match="cannot be read"):
        ends[way]()
    assert len(life.sink.ends) == 1
    assert sum(life.diagnostics.counts().values()) == 1


def test_close_ends_what_is_open(life: Life) -> None:
    """Closing ends the open runs; a second time there is nothing to do."""
    ids = [uuid4(), uuid4()]
    for run_id in ids:
        life.start(run_id)
    life.runs.close()
    life.runs.close()
    assert [end.outcome for end in life.sink.ends] == ["abandoned", "abandoned"]
    assert len(life.table) == 0
    gc.collect()
    assert life.diagnostics.counts() == {}


class Refusing:
    """A sink that refuses each model call, and keeps what was expected."""

    name = "refusing"
    is_foreign = False

    def __init__(self) -> None:
        self.expected: list[int | None] = []

    def started(self, run: Run) -> None:
        """Refuse."""
        self.expected.append(run.expected and run.expected.tokens)
        run.refusal = BudgetExceeded("calls", 1, 1, 0, 1)

    def ended(self, run: Run, end: End) -> None:
        """Need nothing."""


def test_refused_run_ends_and_raises_in_the_app() -> None:
    """The refusal goes into the app after the run has ended as failed."""
    sinks = Recorder(), Refusing()
    table = RunTable(sinks, Diagnostics(strict=True), **LIMITS)
    settings = Settings(strict=True)
    runs = Lifecycle(
        Pipeline(table, Diagnostics(strict=True), lambda _: None, settings)
    )
    use_account(1)
    try:
        with pytest.raises(BudgetExceeded):
            runs.start(Given(), UNREAD, uuid4(), None, "Two red roses")
    finally:
        use_account(-1)
    assert len(table) == 0
    assert sinks[0].ends[0].outcome == "error"
    assert sinks[1].expected == [prompt_estimate("Two red roses").tokens]


def test_nothing_is_estimated_without_a_budget() -> None:
    """Who has no limit does not pay for one."""
    refusing = Refusing()
    diagnostics = Diagnostics(strict=True)
    table = RunTable((refusing,), diagnostics, **LIMITS)
    built = Pipeline(table, diagnostics, lambda _: None, Settings(strict=True))
    runs = Lifecycle(built)
    with pytest.raises(BudgetExceeded):
        runs.start(Given(), UNREAD, uuid4(), None, "Two red roses")
    assert refusing.expected == [None]


def test_chunk_of_a_run_that_another_thread_ends_leaves_nothing(life: Life) -> None:
    """A run that ends while its first chunk is recorded is not kept as a stream."""
    run_id = uuid4()
    run = life.start(run_id)
    life.runs.end(run_id)
    life.table.stream(run)
    assert life.table.ticks == {}


def test_chunk_is_found_by_any_id_of_the_run(life: Life) -> None:
    """A chunk of an id that is no UUID is recorded, and each table forgets its end."""
    run_id = uuid4()
    run = life.start(run_id)
    for _ in range(3):
        life.runs.chunk(str(run_id))
    assert len(run.chunks or ()) == 3
    assert [*life.table.ticks] == [run_id.int]
    life.runs.end(run_id)
    assert life.table.ticks == {}
