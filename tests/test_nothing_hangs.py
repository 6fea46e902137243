"""What a finalizer, a signal handler or a forked child reaches never waits."""

from __future__ import annotations

import gc
import logging
import logging.handlers
import os
import queue
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from lines import on_top
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from waiting import WAIT_S, wait_until

import otel_callbacks
from otel_callbacks import track_usage

# Stands for a thousand calls, after which a queue is written.
from otel_callbacks._metrics.calls import CallQueue
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture


def in_time(work: Callable[[], object]) -> None:
    """Do work in a thread that the tests need not wait for if it hangs."""
    failed: list[BaseException] = []

    def target() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 -- shown by the test
            failed.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(WAIT_S)
    assert not thread.is_alive(), "it hangs"
    if failed:
        raise failed[0]


@contextmanager
def collector_after(allocations: int) -> Iterator[None]:
    """Collect garbage when so many objects have been made, and not before."""
    before = gc.get_threshold()
    gc.set_threshold(allocations, 1, 1)
    gc.enable()
    try:
        yield
    finally:
        gc.set_threshold(*before)


def lose_a_stream(model: FakeChatModel) -> None:
    """Begin a stream and lose it in a cycle, so that only the collector closes it."""
    gc.disable()
    stream = model.stream("Which?")
    next(stream)
    cycle: list[object] = [stream]
    cycle.append(cycle)


@pytest.mark.parametrize("limits", [{}, {"max_tokens": 10**9}, {"max_calls": 10**6}])
def test_the_collector_closes_streams_while_an_account_is_used(
    telemetry: Capture, limits: dict[str, int]
) -> None:
    """A stream can be lost during a read, a settlement or a check of an account."""
    model = FakeChatModel(callbacks=[telemetry.handler])
    read = [
        lambda usage: usage.total_tokens,
        lambda usage: usage.to_dict(),
        str,
        lambda _: model.invoke("Roses?"),
    ]

    def work() -> None:
        with track_usage(**limits) as usage:
            for turn in range(400):
                lose_a_stream(model)
                with collector_after(turn // len(read)):
                    read[turn % len(read)](usage)  # type: ignore[operator]
            gc.collect()
        assert usage.call_count == len(usage.calls) == 500

    in_time(work)


_LOST_IN_A_CALL = """
import gc
import subprocess
import sys
from dataclasses import replace

from otel_callbacks import Settings
from otel_callbacks.testing import FakeChatModel, capture

settings = replace(Settings(), **dict.fromkeys(sys.argv[1:], True))
with capture(settings) as telemetry:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    model = FakeChatModel(usage=usage, callbacks=[telemetry.handler])
    for turn in range(1, 1_001):
        gc.disable()
        stream = model.stream("Which?")
        next(stream)
        cycle = [stream]
        cycle.append(cycle)
        del stream, cycle
        gc.set_threshold(turn % 130 + 1, 1, 1)
        gc.enable()
        model.invoke("Roses?")
        gc.set_threshold(700, 10, 10)
    gc.collect()
    print(len(telemetry.spans))
"""


@pytest.mark.parametrize("switches", [[], ["sdk_spans"], ["strict"]])
def test_the_collector_closes_streams_anywhere_in_a_call(switches: list[str]) -> None:
    """This includes the moment when a context variable is set (a crash up to 3.11)."""
    done = subprocess.run(  # noqa: S603 -- ours
        [sys.executable, "-c", _LOST_IN_A_CALL, *switches],
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stdout) == (0, "2000\n"), done.stderr


def test_the_collector_never_calls_a_provider(telemetry: Capture) -> None:
    """The interrupted code may hold the provider's locks."""
    collecting: list[int] = []
    heard: list[bool] = []

    def note(phase: str, _: object) -> None:
        collecting[:] = [threading.get_ident()] if phase == "start" else []

    class Listening(SpanProcessor):
        """Notes whether the collector has called when a span ends."""

        def on_end(self, span: ReadableSpan) -> None:
            """Note it."""
            assert span.name == "chat fake-model"
            heard.append(threading.get_ident() in collecting)

        def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002
            """Hold nothing back; the lowest SDK's own says None, that is, it failed."""
            return True

    telemetry.tracer_provider.add_span_processor(Listening())
    model = FakeChatModel(callbacks=[telemetry.handler])
    gc.callbacks.append(note)
    try:
        with track_usage() as usage:
            for calls in range(1, 4):
                lose_a_stream(model)
                gc.collect()
                assert usage.call_count == calls
        assert telemetry.handler.flush()
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert heard == [False] * 3


@pytest.mark.parametrize("limits", [{}, {"max_calls": 10**6}])
def test_a_signal_handler_calls_a_model_on_top_of_a_call(
    telemetry: Capture, limits: dict[str, int]
) -> None:
    """Whichever line it interrupts, both calls end and are counted."""
    model = FakeChatModel(callbacks=[telemetry.handler])

    def call() -> None:
        model.invoke("Roses?")

    def work() -> None:
        with track_usage(**limits) as usage:
            line = 0
            while on_top(line := line + 1, call, call):
                assert usage.call_count == 2 * line
        assert line > 100
        assert usage.call_count == 2 * line - 1
        assert len(telemetry.spans) == usage.call_count

    in_time(work)


def test_a_signal_handler_calls_a_model_on_top_of_a_read(telemetry: Capture) -> None:
    """Usage of the signal handler's call is on the account."""
    model = FakeChatModel(callbacks=[telemetry.handler])

    def work() -> None:
        with track_usage(max_calls=10**6) as usage:
            seen: list[int] = []

            def call() -> None:
                model.invoke("Roses?")
                seen.append(usage.call_count)

            while on_top(len(seen) + 1, call, lambda: usage.total_tokens):
                pass
        assert len(seen) > 20
        assert seen == list(range(1, len(seen) + 1))

    in_time(work)


def test_a_child_that_is_forked_on_top_of_a_scrape_counts(telemetry: Capture) -> None:
    """The lock of the series is held then, and nobody in the child releases it."""
    model = FakeChatModel(callbacks=[telemetry.handler])
    operations = "otel_callbacks_operations_total"
    counted: list[int] = []

    def fork() -> None:
        with warnings.catch_warnings():
            # From Python 3.12 on it warns where threads run.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:  # pragma: no cover -- measured in the parent only
            sys.settrace(None)
            signal.alarm(60)
            model.invoke("Roses?")
            os._exit(int(telemetry.value(operations)))
        counted.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    store = str(Path(otel_callbacks.__file__).with_name("_metrics") / "store.py")
    assert on_top(1, fork, lambda: telemetry.value(operations), within=store)
    assert counted == [1]


@pytest.mark.parametrize("action", ["close", "flush", "scrape"])
def test_a_signal_handler_ends_on_top_of_a_scrape(
    telemetry: Capture, action: str
) -> None:
    """It holds the lock of the series, and goes on when the handler returns."""
    model = FakeChatModel(callbacks=[telemetry.handler])
    queues = [one for one in gc.get_objects() if type(one) is CallQueue]
    done: list[int] = []

    def scrape() -> None:
        telemetry.value("otel_callbacks_open_runs")

    def signalled() -> None:
        for one in queues:
            one.write_soon()  # as after a thousand calls
        model.invoke("Roses?")
        scrape() if action == "scrape" else getattr(telemetry.handler, action)()
        done.append(1)

    def work() -> None:
        line = 1
        while on_top(line, signalled, scrape):
            line += 23

    in_time(work)
    assert len(done) > 20
    assert telemetry.value("otel_callbacks_operations_total") == len(done)


def test_a_line_of_the_log_where_its_lock_is_held(telemetry: Capture) -> None:
    """A run may end while the app's log handler holds its lock."""

    class Lines(queue.SimpleQueue[logging.LogRecord]):
        """Keeps lines, as a `QueueHandler` wants it, and collects garbage meanwhile."""

        lock = threading.Lock()  # as `queue.Queue` has one
        holder = 0

        def put_nowait(self, item: logging.LogRecord) -> None:
            """Keep a line."""
            if self.holder == threading.get_ident():
                message = "a line is logged where the lock is held"
                raise AssertionError(message)
            with self.lock:
                self.holder = threading.get_ident()
                gc.collect()
                self.put(item)
                self.holder = 0

    def stream() -> Iterator[None]:
        try:
            yield
        finally:
            for _ in range(2):  # of a run that had not begun here
                telemetry.handler.on_llm_end(None, run_id=uuid4())

    lines = Lines()
    handler = logging.handlers.QueueHandler(lines)
    held: list[Any] = []

    def note(record: logging.LogRecord) -> None:  # noqa: ARG001 -- as it is called
        held.append(sys.exception())

    handler.handleError = note  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        left = stream()
        next(left)
        circle: list[Any] = [left]
        circle.append(circle)
        del left, circle
        logging.getLogger("app").warning("roses")
        wait_until(lambda: held or lines.qsize() == 2)
    finally:
        root.removeHandler(handler)
    assert held == []
    assert "had not started" in [lines.get().getMessage() for _ in range(2)][1]
