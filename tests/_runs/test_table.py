"""The table of open runs: parents, chunks and ends, bounded in number and time.

Each test calls a handler as LangChain does, and looks at its spans, series and log.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from lines import PACKAGE, interrupted_at, overtaken_at
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanProcessor,
    TracerProvider,
)
from prometheus_client import CollectorRegistry
from waiting import WAIT_S, wait_until

from otel_callbacks import OTelCallbackHandler, track_usage
from otel_callbacks._background import background
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._records import Request
from otel_callbacks._runs.table import RunTable
from otel_callbacks._spend.ledger import LedgerSink
from otel_callbacks.settings import Settings
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.context import Context

    from otel_callbacks.testing import Capture

ERRORS = "otel_callbacks_errors_total"
LOST = "otel_callbacks_runs_lost_total"
OPEN = "otel_callbacks_open_runs"
OPERATIONS = "otel_callbacks_operations_total"
TOKENS = "otel_callbacks_tokens_total"
RUNS = f"{PACKAGE}/_runs"
USAGE: Any = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class Hooked(SpanProcessor):
    """A processor of the app's: it calls what a test gives it, and keeps the ends."""

    def __init__(self) -> None:
        self.at_start: Callable[[Span], object] | None = None
        self.at_end: Callable[[ReadableSpan], object] | None = None
        self.ended: list[str] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 -- the SDK's
        """Call the hook."""
        if self.at_start is not None:
            self.at_start(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the name, and call the hook."""
        self.ended.append(span.name)
        if self.at_end is not None:
            self.at_end(span)


class Runs:
    """Runs of a handler that is lenient, as in production."""

    def __init__(self, telemetry: Capture) -> None:
        self.telemetry = telemetry
        self.handler: Any = telemetry.handler
        self.hooked = Hooked()
        telemetry.tracer_provider.add_span_processor(self.hooked)
        # As callers do: a payload at the address of a freed one would be the same one.
        self.payloads: list[Any] = []

    def step(
        self, name: str = "step", parent: Any = None, run_id: Any = None
    ) -> UUID | Any:
        """Start a chain, and return its id."""
        run_id = uuid4() if run_id is None else run_id
        self.payloads.append([name])
        self.handler.on_chain_start(
            {}, self.payloads[-1], run_id=run_id, parent_run_id=parent, name=name
        )
        return run_id

    def call(self, parent: Any = None) -> UUID:
        """Start a call of a chat model, and return its id."""
        run_id = uuid4()
        self.payloads.append([["?"]])
        self.handler.on_chat_model_start(
            {}, self.payloads[-1], run_id=run_id, parent_run_id=parent
        )
        return run_id

    def end(self, run_id: Any) -> None:
        """End a chain."""
        self.handler.on_chain_end("y", run_id=run_id)

    def answer(self, run_id: Any) -> None:
        """End a call with its tokens."""
        message = AIMessage("roses", usage_metadata=USAGE)
        result = LLMResult(generations=[[ChatGeneration(message=message)]])
        self.handler.on_llm_end(result, run_id=run_id)

    def ends(self) -> list[tuple[str, str, str]]:
        """Return name, error type and reason of the loss of each span, by start."""
        wanted = ("error.type", "otel_callbacks.lost_reason")
        return [
            (span["name"], *(span["attributes"].get(key, "") for key in wanted))
            for span in self.telemetry.spans
        ]

    def value(self, name: str, **labels: str) -> float:
        """Return a series' value."""
        return self.telemetry.value(name, **labels)


@contextlib.contextmanager
def with_settings(**chosen: Any) -> Iterator[Runs]:
    """Return runs under settings; at the end none is open."""
    with capture(Settings(**chosen)) as telemetry:
        yield Runs(telemetry)
        telemetry.handler.close()
        assert telemetry.value(OPEN) == 0


@pytest.fixture
def runs() -> Iterator[Runs]:
    """Return runs under the default settings."""
    with with_settings() as made:
        yield made


def at_once(error: type[BaseException]) -> Callable[..., None]:
    """Return a hook that fails the first time."""
    left = [error]

    def fail(*_: object) -> None:
        if left:
            raise left.pop()

    return fail


def test_a_run_is_a_span_with_its_times_and_its_parent(runs: Runs) -> None:
    """The series shows how many are open; what has ended leaves nothing behind."""
    before = time.time_ns()
    root = runs.step("root")
    child = runs.call(root)
    assert runs.value(OPEN) == 2
    runs.answer(child)
    assert runs.value(OPEN) == 1
    runs.end(root)
    assert runs.value(OPEN) == 0
    assert runs.telemetry.tree() == "root\n  chat"
    outer, inner = runs.telemetry.spans
    times = (before, outer["start_ns"], inner["start_ns"], inner["end_ns"])
    assert list(times) == sorted(times)
    assert inner["end_ns"] <= outer["end_ns"] <= time.time_ns()
    assert "otel_callbacks.interrupted" not in outer["attributes"]
    del root, child
    gc.collect()
    assert runs.value(LOST) == runs.value(ERRORS) == 0


def test_runs_without_a_parent_are_roots(runs: Runs) -> None:
    """As two requests that one thread handles in turns."""
    first, second = runs.step("first"), runs.step("second")
    runs.end(first)
    runs.end(second)
    assert runs.telemetry.tree() == "first\nsecond"


def test_a_run_whose_id_is_gone_ends(runs: Runs) -> None:
    """Only a weak reference to the id is kept."""
    runs.step()
    gc.collect()
    assert runs.ends() == [("step", "abandoned", "forgotten")]
    assert runs.value(LOST, reason="forgotten") == 1


def test_a_processor_that_fails_costs_its_spans(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    """One log line for each kind, with the type and never the text; all counted."""

    def fail(_: object) -> None:
        message = "roses"
        raise ValueError(message)

    def fail_otherwise(_: object) -> None:
        message = "roses"
        raise TypeError(message)

    runs.hooked.at_start, runs.hooked.at_end = fail, fail_otherwise
    for _ in range(3):
        runs.answer(runs.call())
    assert runs.value(TOKENS) == 15
    assert runs.value(OPEN) == 0
    assert runs.value(ERRORS, where="spans") == runs.value(ERRORS) >= 3
    assert 1 <= len(caplog.records) <= 2
    assert "roses" not in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_an_account_without_memory_costs_no_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a second try in the thread the end goes on without it."""
    tries: list[object] = []

    def fail(*_: object) -> None:
        tries.append(None)
        raise MemoryError

    monkeypatch.setattr(LedgerSink, "ended", fail)
    with with_settings() as runs:
        runs.answer(runs.call())
        assert runs.ends() == [("chat", "", "")]
        runs.handler.close()
        assert len(tries) == 2
        assert runs.value(ERRORS, where="ledger") == 1
        assert runs.value(OPERATIONS, outcome="ok") == runs.value(OPERATIONS) == 1


def test_a_processor_that_fails_raises_when_strict() -> None:
    """The run has left the table all the same."""
    with with_settings(strict=True) as runs:
        run_id = runs.step()
        runs.hooked.at_end = at_once(TypeError)
        with pytest.raises(TypeError):
            runs.end(run_id)
        assert runs.value(OPEN) == 0


def test_ends_beyond_the_reported_starts_are_counted(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    """Two reports of a start bring two ends; a third end is one without a start."""
    payload, run_id = ["?"], uuid4()
    for _ in range(2):
        runs.handler.on_chain_start({}, payload, run_id=run_id, name="step")
    runs.end(run_id)
    runs.end(run_id)
    assert runs.value(ERRORS) == 0
    runs.end(run_id)
    runs.end(run_id)
    assert runs.value(ERRORS, where="end_without_start") == runs.value(ERRORS) == 2
    assert len(caplog.records) == 1
    assert "must be given before the run starts" in caplog.text
    assert runs.ends() == [("step", "", "")]


@pytest.mark.parametrize("reports", [1, 2, 3])
def test_each_report_of_a_start_brings_one_end(runs: Runs, reports: int) -> None:
    """As of several handlers on one model."""
    payload, run_id = ["?"], uuid4()
    for _ in range(reports):
        runs.handler.on_chain_start({}, payload, run_id=run_id, name="step")
    for _ in range(reports):
        runs.end(run_id)
    assert runs.value(ERRORS) == 0
    runs.end(run_id)
    assert runs.value(ERRORS, where="end_without_start") == 1


def test_ends_that_never_come_do_not_pile_up(runs: Runs) -> None:
    """Of very many expected ends the oldest are forgotten."""
    ids = []
    for _ in range(1_001):
        run_id = runs.step()
        runs.handler.on_chain_start(
            {}, runs.payloads[-1], run_id=run_id, name="the same"
        )
        runs.end(run_id)
        ids.append(run_id)
    for count, run_id in ((0, ids[1]), (0, ids[-1]), (1, ids[0])):
        runs.end(run_id)
        assert runs.value(ERRORS, where="end_without_start") == count


@pytest.mark.parametrize("others", ["once", "twice", "not at all"])
def test_an_expected_end_is_remembered_whatever_else_ends(
    runs: Runs, others: str
) -> None:
    """Only ends that are still expected take the place of the oldest one."""
    run_id = runs.step()
    runs.handler.on_chain_start({}, runs.payloads[-1], run_id=run_id, name="step")
    runs.end(run_id)
    for _ in range(1_000):
        other = uuid4() if others == "not at all" else runs.step()
        if others == "twice":
            runs.handler.on_chain_start({}, runs.payloads[-1], run_id=other)
            runs.end(other)
        runs.end(other)
    last = runs.step()
    runs.handler.on_chain_start({}, runs.payloads[-1], run_id=last, name="step")
    runs.end(last)
    before = runs.value(ERRORS)
    assert before == (1_000 if others == "not at all" else 0)
    runs.end(run_id)
    assert runs.value(ERRORS) == before


def test_a_start_with_the_id_of_an_open_run_replaces_it(
    runs: Runs, caplog: pytest.LogCaptureFixture
) -> None:
    """Another payload under the same id is another run: the first one is lost."""
    run_id = uuid4()
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        for name in ("one", "two", "three"):
            runs.step(name, run_id=run_id)
    assert runs.value(OPEN) == 1
    assert runs.value(ERRORS, where="duplicate_start") == runs.value(ERRORS) == 2
    assert len(caplog.records) == 1
    runs.end(run_id)
    assert runs.ends() == [
        ("one", "abandoned", "replaced"),
        ("two", "abandoned", "replaced"),
        ("three", "", ""),
    ]
    assert runs.value(LOST, reason="replaced") == 2


async def test_two_reports_of_a_start_in_one_task_are_one_run(runs: Runs) -> None:
    """As of two handlers on an async model."""
    run_id = runs.step()
    runs.handler.on_chain_start({}, runs.payloads[-1], run_id=run_id, name="step")
    assert runs.value(OPEN) == 1
    runs.end(run_id)
    runs.end(run_id)
    assert runs.ends() == [("step", "", "")]
    assert runs.value(ERRORS) == 0


async def test_a_thread_may_use_the_id_of_a_run_in_a_task(runs: Runs) -> None:
    """Both stay open, as each may go on."""
    run_id = runs.step("in the task")
    await asyncio.to_thread(runs.step, "in a thread", run_id=run_id)
    assert runs.value(OPEN) == 2
    runs.end(run_id)
    runs.end(run_id)
    assert sorted(runs.ends()) == [("in a thread", "", ""), ("in the task", "", "")]
    assert runs.value(ERRORS) == 0


@pytest.mark.parametrize("first", [0, 1], ids=["up", "down"])
def test_the_same_id_with_another_input_is_another_run(runs: Runs, first: int) -> None:
    """Wherever in memory the input is."""
    inputs: list[Any] = sorted(([], []), key=id)
    run_id = uuid4()
    for one in (inputs[first], inputs[1 - first]):
        runs.handler.on_chain_start({}, one, run_id=run_id, name="step")
    runs.end(run_id)
    assert runs.ends() == [("step", "abandoned", "replaced"), ("step", "", "")]


def test_late_tokens_of_a_lost_run_are_counted_once() -> None:
    """A lost run that is reported after all gives its tokens, and is no trouble."""
    with with_settings(run_limit=1) as runs:
        first, _second = runs.call(), runs.call()
        assert runs.ends() == [("chat", "abandoned", "size_limit")]
        assert runs.value(TOKENS) == 0
        runs.answer(first)
        assert runs.value(TOKENS) == 5
        runs.answer(first)
        assert runs.value(TOKENS) == 5
        assert runs.value(OPERATIONS) == 1
        runs.answer(uuid4())
        assert runs.value(TOKENS) == 5
        assert runs.value(ERRORS, where="end_without_start") == 1


def test_a_lost_run_is_forgotten_with_its_id() -> None:
    """A later end with an equal id is one without a start."""
    with with_settings(run_limit=1) as runs:
        ids = [runs.call() for _ in range(3)]
        same = UUID(int=ids[0].int)
        del ids[0]
        runs.answer(same)
        assert runs.value(TOKENS) == 0
        assert runs.value(ERRORS, where="end_without_start") == 1
        runs.answer(ids[0])
        assert runs.value(TOKENS) == 5


def test_a_late_end_during_the_loss_counts_once() -> None:
    """The end may be reported while the processors hear that the run is lost."""
    with with_settings(run_limit=1) as runs, track_usage() as usage:
        first = runs.call()

        def report(_: object) -> None:
            runs.hooked.at_end = None
            runs.answer(first)

        runs.hooked.at_end = report
        _second = runs.call()
        assert runs.value(TOKENS) == usage.total_tokens == 5
        assert runs.value(OPERATIONS) == 1


@pytest.mark.parametrize("place", ["_metrics/calls.py", "_spend/ledger.py"])
def test_a_late_end_that_fails_in_one_place_counts_in_the_other(place: str) -> None:
    """Tokens of a lost run reach every sink that works."""
    line, reached = 0, True
    while reached:
        with with_settings(run_limit=1) as runs, track_usage() as usage:
            first, _second = runs.call(), runs.call()
            reached = interrupted_at(
                line := line + 1,
                ValueError(),
                functools.partial(runs.answer, first),
                f"{PACKAGE}/{place}",
            )
            if place == "_spend/ledger.py":
                assert runs.value(TOKENS) == 5
            else:
                assert usage.total_tokens == 5
    assert line > 2


class BlockingLogs:
    """A logger provider whose first event waits until it is released."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.at_first: Callable[[], object] = lambda: None
        self.reached, self.release = threading.Event(), threading.Event()

    def get_logger(self, *_: object, **__: object) -> Any:
        """Return the logger."""
        return self

    def emit(self, event: object) -> None:
        """Keep the event, and wait."""
        self.events.append(event)
        if len(self.events) == 1:
            self.at_first()
            self.reached.set()
            assert self.release.wait(WAIT_S)


class InterruptedId:
    """An id of the app's that is interrupted when it is read first."""

    key = UUID(int=7)
    is_read = False

    @property
    def int(self) -> object:
        """Be interrupted once."""
        if self.is_read:
            return self.key.int
        self.is_read = True
        raise KeyboardInterrupt


@pytest.mark.parametrize("finisher", ["", "close", "thread"])
def test_an_end_that_goes_on_in_another_thread_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch, finisher: str
) -> None:
    """Unless it takes long: then it was cut short, and the other sinks get it."""
    logs, hooked, registry = BlockingLogs(), Hooked(), CollectorRegistry()
    spans = TracerProvider(shutdown_on_exit=False)
    spans.add_span_processor(hooked)
    handler = OTelCallbackHandler(
        tracer_provider=spans,
        logger_provider=logs,  # type: ignore[arg-type]
        registry=registry,
        settings=Settings(
            capture_content="EVENT_ONLY",
            run_time_limit=0.2 if finisher == "thread" else 3600.0,
        ),
    )
    run_id = InterruptedId.key
    handler.on_chat_model_start({}, [["?"]], run_id=run_id)
    ending = threading.Thread(
        target=handler.on_llm_end,
        args=(None,),
        kwargs={"run_id": run_id},
        daemon=True,
    )
    ending.start()
    assert logs.reached.wait(WAIT_S)
    with pytest.raises(KeyboardInterrupt):
        handler.on_chain_end(None, run_id=InterruptedId())  # type: ignore[arg-type]
    if finisher:
        real = time.perf_counter_ns
        monkeypatch.setattr(time, "perf_counter_ns", lambda: real() + 60 * 10**9)
    if finisher == "thread":
        wait_until(lambda: hooked.ended)
    handler.close()
    assert (len(logs.events), hooked.ended) == ((2, ["chat"]) if finisher else (1, []))
    logs.release.set()
    ending.join(WAIT_S)
    handler.close()
    assert hooked.ended == ["chat"]
    found = [s for family in registry.collect() for s in family.samples]
    assert sum(one.value for one in found if one.name == OPERATIONS) == 1


def test_no_other_thread_repeats_an_end() -> None:
    """Neither an interrupt there nor ``close`` takes what this thread is still at."""
    logs, registry = BlockingLogs(), CollectorRegistry()
    logs.release.set()
    handler: Any = OTelCallbackHandler(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        logger_provider=logs,  # type: ignore[arg-type]
        registry=registry,
        settings=Settings(capture_content="EVENT_ONLY"),
    )

    def interrupt() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            handler.on_chain_end(None, run_id=InterruptedId())
        handler.close()

    def disturb() -> None:
        worker = threading.Thread(target=interrupt)
        worker.start()
        worker.join(WAIT_S)

    logs.at_first = disturb
    handler.on_chat_model_start({}, [["?"]], run_id=InterruptedId.key)
    handler.on_llm_end(None, run_id=InterruptedId.key)
    assert len(logs.events) == 1
    assert registry.get_sample_value(OPEN) == 0


def test_an_event_is_emitted_once_though_its_span_is_tried_again() -> None:
    """A processor may be without memory at first."""
    logs, hooked = BlockingLogs(), Hooked()
    logs.release.set()
    hooked.at_end = at_once(MemoryError)
    spans = TracerProvider(shutdown_on_exit=False)
    spans.add_span_processor(hooked)
    handler: Any = OTelCallbackHandler(
        tracer_provider=spans,
        logger_provider=logs,  # type: ignore[arg-type]
        registry=CollectorRegistry(),
        settings=Settings(capture_content="EVENT_ONLY"),
    )
    handler.on_chat_model_start({}, [["?"]], run_id=InterruptedId.key)
    handler.on_llm_end(None, run_id=InterruptedId.key)
    handler.close()
    assert hooked.ended == ["chat"]
    assert len(logs.events) == 1


@pytest.mark.parametrize("other", ["end", "close"])
def test_two_threads_end_a_run_once(runs: Runs, other: str) -> None:
    """Whichever line of the end one of them is at when the other one comes."""
    line, reached = 0, True
    while reached:
        run_id = runs.step()
        act = runs.handler.close if other == "close" else lambda: runs.end(run_id)  # noqa: B023 -- called at once
        reached = overtaken_at(line := line + 1, act, lambda: runs.end(run_id))  # noqa: B023
    assert line > 20
    assert runs.value(OPEN) == 0
    assert len(runs.hooked.ended) == len(runs.telemetry.spans) == line
    if other == "end":
        assert {error for _, error, _ in runs.ends()} == {""}
        # One of two, but for the last round, which no other thread has overtaken.
        assert runs.value(ERRORS, where="end_without_start") == line - 1


def test_a_run_that_ends_while_close_ends_others_ends_once(runs: Runs) -> None:
    """A processor that hears of one may end the next one."""
    _first, second = runs.step("first"), runs.step("second")

    def end_the_other(_: object) -> None:
        runs.hooked.at_end = None
        runs.end(second)

    runs.hooked.at_end = end_the_other
    runs.handler.close()
    assert runs.ends() == [("first", "abandoned", "closed"), ("second", "", "")]
    assert runs.value(LOST) == 1


def test_the_oldest_run_gives_way_to_the_newest() -> None:
    """Beyond the size limit the oldest run is ended as abandoned."""
    with with_settings(run_limit=2) as runs:
        _kept = [runs.step(f"run {number}") for number in range(4)]
        assert runs.value(OPEN) == 2
        assert runs.ends() == [
            ("run 0", "abandoned", "size_limit"),
            ("run 1", "abandoned", "size_limit"),
        ]


def test_a_run_whose_children_have_ended_gives_way() -> None:
    """Only runs with open children are kept longer than younger ones."""
    with with_settings(run_limit=2) as runs:
        root = runs.step("root")
        for _ in range(3):
            runs.answer(runs.call(root))
        _kept = [runs.step(f"run {number}") for number in range(2)]
        assert [one for one in runs.ends() if one[2]] == [
            ("root", "abandoned", "size_limit")
        ]


def test_a_run_is_not_given_up_while_it_starts() -> None:
    """Another one that starts meanwhile, in a full table, leaves it alone."""
    with with_settings(run_limit=1) as runs:
        ids: list[Any] = []

        def crowd(_: object) -> None:
            runs.hooked.at_start = None
            ids.append(runs.step("second"))

        runs.hooked.at_start = crowd
        ids.append(runs.step("first"))
        runs.handler.close()
        assert sorted(runs.ends()) == [
            ("first", "abandoned", "closed"),
            ("second", "abandoned", "closed"),
        ]


def test_a_run_that_is_lost_while_it_starts_ends_after_its_start(runs: Runs) -> None:
    """The thread that starts it ends it, once all sinks know of the start."""
    run_id = uuid4()

    def replace(_: object) -> None:
        runs.hooked.at_start = None
        runs.step("second", run_id=run_id)
        assert runs.hooked.ended == []
        assert runs.value(OPEN) == 2

    runs.hooked.at_start = replace
    runs.step("first", run_id=run_id)
    assert runs.hooked.ended == ["first"]
    assert runs.value(LOST, reason="replaced") == runs.value(LOST) == 1
    assert runs.value(ERRORS, where="duplicate_start") == 1
    runs.end(run_id)
    assert sorted(runs.ends()) == [
        ("first", "abandoned", "replaced"),
        ("second", "", ""),
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError])
def test_an_end_that_is_interrupted_is_finished(
    runs: Runs, error: type[BaseException]
) -> None:
    """The thread comes next: the processors hear of it once, the series count once."""
    run_id = runs.call()
    runs.hooked.at_end = at_once(error)
    with contextlib.suppress(KeyboardInterrupt):
        runs.answer(run_id)
    assert runs.value(OPERATIONS, outcome="ok") == runs.value(OPERATIONS) == 1
    assert runs.value(TOKENS) == 5
    assert [span["name"] for span in runs.telemetry.spans] == ["chat"]
    runs.answer(run_id)
    assert runs.value(TOKENS) == 5


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RecursionError])
def test_an_end_that_is_interrupted_at_any_line_counts_once(
    runs: Runs, error: type[BaseException]
) -> None:
    """It is one span and one operation; its tokens count if the answer was read."""
    line, reached = 0, True
    while reached:
        run_id = runs.call()
        reached = interrupted_at(
            line := line + 1, error(), functools.partial(runs.answer, run_id)
        )
        background.drain()
        if len(runs.hooked.ended) < line:  # it was interrupted before it began
            runs.answer(run_id)
            background.drain()  # a collection that was interrupted seems to go on
        assert len(runs.hooked.ended) == line
    assert runs.value(OPEN) == 0
    assert runs.value(OPERATIONS) == line
    ended = runs.value(OPERATIONS, outcome="ok")
    assert runs.value(TOKENS) == 5 * ended
    assert ended > line * 0.5


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_start_that_is_interrupted_is_withdrawn(
    runs: Runs, error: type[BaseException]
) -> None:
    """The app never gets to the call: the run ends as lost, and is not counted."""
    runs.hooked.at_start = at_once(error)
    with pytest.raises(error):
        runs.call()
    assert runs.value(OPEN) == 0
    assert runs.value(OPERATIONS) == 0
    assert runs.value("otel_callbacks_operations_in_flight") == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_run_below_a_call_is_interrupted_at_any_line(runs: Runs) -> None:
    """A call that had no run below it keeps none that did not begin."""
    line, reached = 0, True
    while reached:
        call = runs.call()
        reached = interrupted_at(
            line := line + 1,
            KeyboardInterrupt(),
            lambda: runs.end(runs.step("below", call)),  # noqa: B023 -- called at once
            RUNS,
        )
        runs.answer(call)
    assert line > 50
    assert runs.value(OPEN) == 0
    ended = len(runs.hooked.ended)
    runs.handler.close()
    assert len(runs.hooked.ended) == ended
    assert runs.value(OPERATIONS, outcome="ok") == line


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_start_without_memory_has_its_span(
    runs: Runs, error: type[BaseException]
) -> None:
    """The run stays open, and its end makes up for what its start could not do."""
    runs.hooked.at_start = at_once(error)
    run_id = runs.call()
    assert runs.value(OPEN) == 1
    runs.answer(run_id)
    assert runs.value(OPERATIONS, outcome="ok") == runs.value(OPERATIONS) == 1
    assert "chat" in [span["name"] for span in runs.telemetry.spans]


def test_a_start_without_memory_whose_id_is_gone_is_lost(runs: Runs) -> None:
    """It ends at once, as any other run."""
    runs.hooked.at_start = at_once(MemoryError)
    runs.step()
    gc.collect()
    assert runs.value(LOST, reason="forgotten") == 1
    assert runs.value(OPEN) == 0


def test_a_start_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that blocks for ever holds no run open for ever."""
    with with_settings(run_time_limit=0.2) as runs:
        reached, release = threading.Event(), threading.Event()

        def block(_: object) -> None:
            runs.hooked.at_start = None
            reached.set()
            assert release.wait(WAIT_S)

        runs.hooked.at_start = block
        starting = threading.Thread(target=runs.step, daemon=True)
        starting.start()
        assert reached.wait(WAIT_S)
        real = time.perf_counter_ns
        monkeypatch.setattr(time, "perf_counter_ns", lambda: real() + 60 * 10**9)
        try:
            wait_until(lambda: runs.value(OPEN) == 0)
        finally:
            release.set()
            starting.join(WAIT_S)
        assert runs.value(LOST, reason="time_limit") == runs.value(LOST) == 1


class Clock:
    """The clock of runs, which stands still until it is set forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.perf_counter_ns()
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now)

    def let_checks_pass(self, runs: Runs) -> None:
        """Wait for three checks, a second of the clock apart.

        Each time the limit of a new run has passed, so that the check ends it.
        """
        probes = []
        for _ in range(3):
            ended = len(runs.hooked.ended)
            probes.append(runs.step("probe"))
            self.now += 10**9
            wait_until(lambda: len(runs.hooked.ended) > ended)  # noqa: B023 -- called at once


def test_a_start_may_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run ends after it, though the time limit has passed."""
    clock = Clock(monkeypatch)
    with with_settings(run_time_limit=0.2) as runs:

        def wait(_: object) -> None:
            runs.hooked.at_start = None
            clock.let_checks_pass(runs)

        runs.hooked.at_start = wait
        _kept = runs.step("slow")
        assert runs.hooked.ended == ["probe", "probe", "probe", "slow"]
        assert runs.value(LOST, reason="time_limit") == 4


def test_an_end_may_take_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No check repeats what its thread is still at."""
    clock, logs = Clock(monkeypatch), BlockingLogs()
    logs.release.set()
    with with_settings(run_time_limit=0.2) as runs:
        handler: Any = OTelCallbackHandler(
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            logger_provider=logs,  # type: ignore[arg-type]
            registry=CollectorRegistry(),
            settings=Settings(capture_content="EVENT_ONLY", run_time_limit=0.2),
        )
        logs.at_first = functools.partial(clock.let_checks_pass, runs)
        run_id = uuid4()
        handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        handler.on_llm_end(None, run_id=run_id)
        handler.close()
    assert len(logs.events) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loss_that_is_interrupted_at_any_line_is_found_later(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks end what was marked as lost and not put into the queue."""
    line, reached, clock = 0, True, Clock(monkeypatch)
    while reached:
        ids = [runs.step()]
        reached = interrupted_at(
            line := line + 1, KeyboardInterrupt(), ids.clear, f"{RUNS}/lost.py"
        )
    unmarked = 5  # as many lines come before the mark
    with with_settings(run_time_limit=0.2) as frequent:  # with them, all are checked
        _kept = frequent.step()
        clock.now += 60 * 10**9
        wait_until(lambda: runs.value(OPEN) <= unmarked)
    assert runs.value(LOST, reason="forgotten") == line - unmarked > 1


def test_a_run_ends_though_the_handler_closes_in_its_start(runs: Runs) -> None:
    """As in a signal handler at the end of the process."""
    still_open: list[float] = []

    def close(_: object) -> None:
        runs.hooked.at_start = None
        runs.handler.close()
        still_open.append(runs.value(OPEN))

    runs.hooked.at_start = close
    run_id = runs.step()
    assert still_open == [0]
    assert runs.value(LOST, reason="closed") == 1
    runs.end(run_id)


def test_of_ids_that_are_no_objects_of_their_own_a_few_are_remembered() -> None:
    """The id itself is kept, as another object could have its address."""
    with with_settings(run_limit=1) as runs:
        for number in range(1_003):
            runs.step(run_id=f"id {number}")
        assert runs.value(LOST, reason="size_limit") == 1_002
        for number, unknown in ((0, 1), (1, 2), (2, 2), (1_001, 2)):
            runs.end(f"id {number}")
            assert runs.value(ERRORS, where="end_without_start") == unknown


@pytest.mark.parametrize("others", ["start", "end"])
def test_a_table_that_changes_while_room_is_made(others: str) -> None:
    """Whichever line of a start another thread overtakes, each run is one span."""
    with with_settings(run_limit=2) as runs:
        line, reached, kept = 0, True, [runs.step(), runs.step()]

        def act() -> None:
            if others == "end":
                runs.end(kept[-1])
            kept.append(runs.step())

        while reached:
            reached = overtaken_at(
                line := line + 1, act, lambda: kept.append(runs.step()), RUNS
            )
        assert line > 50
        assert runs.value(ERRORS) == 0
        runs.handler.close()
        assert len(runs.telemetry.spans) == len(kept) == 2 * line + 1


def test_threads_at_the_size_limit_lose_no_span() -> None:
    """Each start is a span that ends, however many threads crowd the table."""
    threads, starts = 6, 300
    before = sys.getswitchinterval()
    with capture(Settings(strict=False, run_limit=5)) as telemetry:
        handler = telemetry.handler
        ids = [[uuid4() for _ in range(starts)] for _ in range(threads)]

        def work(own: list[UUID]) -> None:
            for number, run_id in enumerate(own):
                handler.on_chain_start({}, object(), run_id=run_id, name="x")
                if number % 3 == 0:
                    handler.on_chain_end("y", run_id=run_id)

        workers = [threading.Thread(target=work, args=(own,)) for own in ids]
        sys.setswitchinterval(1e-6)
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        finally:
            sys.setswitchinterval(before)
        handler.close()
        assert len(telemetry.spans) == threads * starts
        assert telemetry.value(OPEN) == 0
        assert telemetry.value(ERRORS, where="start") == 0


def test_a_run_without_a_sign_of_life_is_given_up() -> None:
    """Its end is the moment at which that was found out, and not later."""
    with with_settings(run_time_limit=0.1) as runs:
        _kept = runs.step()
        wait_until(runs.ends)
        seen = time.time_ns()
        assert runs.ends() == [("step", "abandoned", "time_limit")]
        (span,) = runs.telemetry.spans
        assert span["start_ns"] + 100_000_000 <= span["end_ns"] <= seen


@pytest.mark.parametrize("ended_by", [None, GeneratorExit, asyncio.CancelledError])
def test_descendants_end_before_their_ancestor(
    runs: Runs, ended_by: type[BaseException] | None
) -> None:
    """What is open below a run that ends is told first, deepest first."""
    ids: list[Any] = [None]
    for depth in range(3):
        ids.append(runs.step(f"depth {depth}", ids[-1]))
    if ended_by is None:
        runs.end(ids[1])
    else:
        runs.handler.on_chain_error(ended_by(), run_id=ids[1])
    below = "cancelled" if ended_by is asyncio.CancelledError else "abandoned"
    assert runs.hooked.ended == ["depth 2", "depth 1", "depth 0"]
    assert runs.ends()[1:] == [
        ("depth 1", below, "parent_ended"),
        ("depth 2", below, "parent_ended"),
    ]


def test_late_tokens_reach_the_series_though_the_accounts_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As above, where coverage sees it."""
    with with_settings(run_limit=1) as runs:
        first, _second = runs.call(), runs.call()
        with monkeypatch.context() as patch:
            patch.setattr(LedgerSink, "ended", at_once(ValueError))
            runs.answer(first)
        assert runs.value(TOKENS) == 5
        assert runs.value(ERRORS, where="ledger") == runs.value(ERRORS) == 1


def test_a_forked_child_drops_its_parents_runs() -> None:
    """Both reports of an end may come in the child, and mean nothing there.

    A real child is not measured, so this test calls what runs in a child after a fork.
    """
    diagnostics = Diagnostics(strict=True)
    table = RunTable((), diagnostics, time_limit=60, size_limit=10)
    run_id = uuid4()
    run = table.start(run_id, None, Request("", "step"), 7)
    assert table.is_duplicate(run_id, 7)
    table.after_fork()
    assert len(table) == 0
    assert run.ref is None
    assert table.take(run_id) is None
    assert table.take(run_id) is None
    table.complete(run)
    assert not run.outcome
    assert diagnostics.counts() == {}


# -- any order of calls ------------------------------------------------------------

# What may happen to one of three runs of a kind, in any order.
EVENTS = ("start", "again", "other", "chunk", "event", "end", "error", "lose", "scrape")
KINDS = ("chain", "chat", "llm", "tool", "retriever")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(EVENTS),
        st.sampled_from(KINDS),
        st.integers(0, 2),
        st.none() | st.integers(0, 2),
    ),
    max_size=40,
)


class Play:
    """Plays steps on a handler, and keeps how many spans there must be."""

    def __init__(self, telemetry: Capture) -> None:
        self.handler: Any = telemetry.handler
        self.telemetry = telemetry
        self.ids: dict[int, UUID] = {}
        self.payloads: dict[int, Any] = {}
        # As callers do: a payload at the address of a freed one would be the same one.
        self.kept: list[Any] = []
        self.starts = self.repeated = 0

    def step(self, event: str, kind: str, slot: int, parent: int | None) -> None:
        """Do one step to the run in a slot."""
        if event == "start":  # its id is its own; the one before loses its id
            self.ids[slot] = uuid4()
        run_id = self.ids.get(slot) or self.ids.setdefault(slot, uuid4())
        if event in {"start", "again", "other"}:
            above = None if parent is None else self.ids.get(parent)
            self.start(event, kind, slot, above)
        elif event == "chunk":
            self.handler.on_llm_new_token("rose", run_id=run_id)
        elif event == "event":
            delta = {"event": "content-block-delta"}
            self.handler.on_stream_event(delta, run_id=run_id)
        elif event == "end":
            getattr(self.handler, f"on_{_stem(kind)}_end")(None, run_id=run_id)
        elif event == "error":
            error = getattr(self.handler, f"on_{_stem(kind)}_error")
            error(ValueError("no roses"), run_id=run_id)
        elif event == "lose":
            self.payloads.pop(slot, None)
            del self.ids[slot], run_id
        else:
            self.telemetry.value(OPEN)

    def start(self, event: str, kind: str, slot: int, parent: UUID | None) -> None:
        """Start a run: a new one, the same once more, or another of its id."""
        if event == "again" and slot in self.payloads:
            # The same start, or a new one if the run has ended.
            self.repeated += 1
        else:
            self.payloads[slot] = [object()]
            self.kept.append(self.payloads[slot])
            self.starts += 1
        payload = self.payloads[slot]
        wrapped = [payload] if kind in {"chat", "llm"} else payload
        start = {"chat": "on_chat_model_start", "llm": "on_llm_start"}.get(
            kind, f"on_{kind}_start"
        )
        getattr(self.handler, start)(
            {}, wrapped, run_id=self.ids[slot], parent_run_id=parent, name="run"
        )


def _stem(kind: str) -> str:
    """Return the word of a kind's end and error callbacks."""
    return "llm" if kind == "chat" else kind


@pytest.mark.slow
@settings(max_examples=150)
@given(STEPS)
def test_any_order_of_calls_gives_one_span_for_each_start(
    steps: list[tuple[str, str, int, int | None]],
) -> None:
    """Whatever comes in whatever order: no exception, a span for each start, ended."""
    with capture(Settings(strict=False)) as telemetry:
        begun: list[str] = []
        hooked = Hooked()
        hooked.at_start = lambda span: begun.append(span.name)
        telemetry.tracer_provider.add_span_processor(hooked)
        play = Play(telemetry)
        for step in steps:
            play.step(*step)
        telemetry.handler.close()
        spans = telemetry.spans
        assert play.starts <= len(spans) <= play.starts + play.repeated
        assert len(begun) == len(hooked.ended) == len(spans)
        assert all(span["end_ns"] >= span["start_ns"] for span in spans)
        assert len({span["span_id"] for span in spans}) == len(spans)
        assert telemetry.value(OPEN) == 0
        assert telemetry.value("otel_callbacks_operations_in_flight") == 0
        operations = telemetry.value(OPERATIONS)
        named = [s for s in spans if "gen_ai.operation.name" in s["attributes"]]
        assert operations == len(named)
        allowed = {"duplicate_start", "end_without_start"}
        assert set(telemetry.handler.diagnostics.counts()) <= allowed


@pytest.mark.parametrize("ended_by", ["end", "close"])
async def test_a_run_in_a_running_task_is_not_the_last_one_below(
    runs: Runs, ended_by: str
) -> None:
    """It outlives its parent, but not the handler; those beside it end before."""
    root = runs.step("root")
    release = asyncio.Event()

    async def work() -> None:
        run_id = runs.step("works", root)
        await release.wait()
        runs.end(run_id)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    _kept = runs.step("same task", root)
    if ended_by == "end":
        runs.end(root)
        assert runs.hooked.ended == ["same task", "root"]
    else:
        runs.handler.close()
        assert sorted(runs.hooked.ended[:-1]) == ["same task", "works"]
    release.set()
    await task
    assert sorted(runs.hooked.ended) == ["root", "same task", "works"]
    assert runs.value(ERRORS) == 0


async def test_runs_in_running_tasks_do_not_cost_a_check_each() -> None:
    """A table full of them is checked when it has grown by a sixteenth."""
    with with_settings(run_limit=240) as runs:
        kept = [runs.step() for _ in range(241)]
        others: list[Any] = []
        for count, still_open, lost in ((16, 257, 0), (1, 242, 16), (17, 242, 33)):
            for _ in range(count):  # in a thread, where no task runs
                await asyncio.to_thread(lambda: others.append(runs.step()))
            assert (runs.value(OPEN), runs.value(LOST)) == (still_open, lost)
        assert {one["attributes"]["error.type"] for one in runs.telemetry.spans} == {
            "abandoned"
        }
        for run_id in kept:
            runs.end(run_id)
        assert runs.value(ERRORS) == 0


def test_room_that_an_app_makes_meanwhile_is_enough() -> None:
    """A processor that hears of one lost run may end another one."""
    with with_settings(run_limit=32) as runs:
        kept = [runs.step(f"run {number}") for number in range(32)]

        def end_the_next(_: object) -> None:
            runs.hooked.at_end = None
            runs.end(kept[1])

        runs.hooked.at_end = end_the_next
        kept.append(runs.step())
        assert runs.ends() == [("run 0", "abandoned", "size_limit"), ("run 1", "", "")]
        kept += [runs.step(), runs.step()]
        assert runs.value(OPEN) == 32
