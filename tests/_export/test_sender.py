"""Export in a thread: every loss is counted, and no exit is delayed."""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace.export import SpanExportResult
from otlp_receiver import PATIENCE

# The queue's own contract: what waits, what is dropped, and when it is sent.
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._export.otlp import TRACES, Route
from otel_callbacks._export.providers import SpanQueue
from otel_callbacks._export.sender import QueueSender, Sender

if TYPE_CHECKING:
    from collections.abc import Sequence

TO = Route(TRACES, "grpc", "http://collector:4317", is_own_endpoint=False)
EXPORTER = "opentelemetry.exporter.otlp.common.http"


class Line:
    """A line to a Collector that may be up, down, broken or stuck."""

    def __init__(self, state: str = "up") -> None:
        self.state = state
        self.got: list[Any] = []
        self.busy = threading.Event()
        self.freed = threading.Event()
        self.made = self.shutdowns = 0
        self.is_traced: object = None
        self.error: Exception = RuntimeError("a secret")

    def __call__(self) -> Line:
        """Connect."""
        self.made += 1
        return self

    def export(self, batch: Sequence[Any]) -> SpanExportResult:
        """Send, as far as the line's state allows."""
        self.busy.set()
        key = otel_context._SUPPRESS_INSTRUMENTATION_KEY
        self.is_traced = otel_context.get_value(key)
        if self.state == "stuck":
            self.freed.wait(PATIENCE)
        if self.state == "broken":
            raise self.error
        if self.state in {"down", "stuck"}:
            return SpanExportResult.FAILURE
        self.got.extend(batch)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self.shutdowns += 1
        self.freed.set()


def _sending() -> set[threading.Thread]:
    """Return the threads of senders of spans."""
    return {one for one in threading.enumerate() if one.name.endswith("-traces")}


def sender(
    line: Line, *, size: int = 100, batch: int = 10, interval: float = 60.0
) -> QueueSender:
    """Return a sender through a line."""
    return QueueSender(
        TO,
        Diagnostics(),
        interval=interval,
        size=size,
        batch=batch,
        variable="OTEL_BSP_MAX_QUEUE_SIZE",
        make=line,
    )


def end(one: Sender, patience: float = PATIENCE) -> None:
    """End a sender."""
    one.finish()
    one.join(time.monotonic() + patience)


def wait_for(condition: Any) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return our own log lines."""
    return [one.getMessage() for one in caplog.records if one.name == "otel_callbacks"]


def test_all_is_sent_at_the_end_in_order() -> None:
    """In batches, through one connection, which is given back; a second end is none."""
    line = Line()
    one = sender(line, batch=4)
    for number in range(10):
        one.put(number)
    end(one)
    end(one)
    one.put(10)
    assert line.got == list(range(10))
    assert (line.made, line.shutdowns) == (1, 1)
    assert line.is_traced is True
    assert one.diagnostics.counts() == {}


def test_nothing_to_send_makes_no_connection() -> None:
    """A process without a call leaves no trace of itself."""
    line = Line()
    end(sender(line))
    assert line.made == 0


def test_a_full_batch_is_sent_at_once() -> None:
    """Long before the interval is over."""
    line = Line()
    one = sender(line, batch=3)
    for number in range(3):
        one.put(number)
    wait_for(lambda: len(line.got) == 3)
    end(one)


def test_what_waits_is_sent_at_intervals() -> None:
    """Nobody asks for it."""
    line = Line()
    one = sender(line, interval=0.01)
    one.put("span")
    wait_for(lambda: line.got == ["span"])
    end(one)


def test_a_flush_returns_whether_all_was_accepted() -> None:
    """True where all was accepted, False where anything was lost since the last one."""
    line = Line()
    one = sender(line)

    def flush() -> bool:
        return one.request_flush().result(PATIENCE)

    assert flush()
    one.put(1)
    assert flush()
    assert line.got == [1]
    line.state = "down"
    one.put(2)
    assert not flush()
    line.state = "up"
    assert flush()
    line.state = "down"
    one.put(3)
    end(one)
    assert not flush()
    assert one.diagnostics.counts() == {"export": 2}


def test_a_flush_of_a_stuck_line_is_false_in_time() -> None:
    """What is not known to be accepted is not said to be."""
    line = Line("stuck")
    one = sender(line)
    one.put(1)
    assert not SpanQueue(one).force_flush(50)
    line.freed.set()
    end(one)


@pytest.mark.parametrize("state", ["down", "broken"])
def test_losses_are_counted_and_logged_once(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it fails; an exporter's own words are never repeated."""
    one = sender(Line(state), batch=1)
    for number in range(3):
        one.put(number)
    end(one)
    assert one.diagnostics.counts() == {"export": 3}
    (line,) = lines(caplog)
    assert "spans cannot be sent to http://collector:4317" in line
    assert "secret" not in line


def test_recovery_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """When spans pass again, that is a line of information."""
    caplog.set_level(logging.INFO, "otel_callbacks")
    line = Line("down")
    one = sender(line)
    for state in ("down", "up", "up"):
        line.state = state
        one.put(state)
        one.request_flush().result(PATIENCE)
    end(one)
    logged = lines(caplog)
    assert len(logged) == 2
    assert logged[1] == "otel_callbacks: spans reach http://collector:4317 again."


def test_the_oldest_go_where_the_queue_is_full(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each is counted, and it is said once."""
    line = Line("stuck")
    one = sender(line, size=4, batch=2)
    one.put("a")
    one.put("b")
    assert line.busy.wait(PATIENCE)
    for number in range(7):
        one.put(number)
    assert one.diagnostics.counts() == {"span_queue_full": 3}
    line.state = "up"
    line.freed.set()
    end(one)
    assert line.got == ["a", "b", 3, 4, 5, 6]
    (logged,) = lines(caplog)
    assert "Raise OTEL_BSP_MAX_QUEUE_SIZE" in logged


def test_the_queue_may_be_emptied_meanwhile() -> None:
    """Whoever makes room finds that the thread has done it."""
    one = sender(Line())
    # The thread takes the last one between two steps of `put`.
    one._drop_oldest()
    assert one.diagnostics.counts() == {}
    end(one)


def test_a_hanging_receiver_does_not_hold_the_end_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What could not be sent is counted, and the line says that nothing answers."""
    line = Line("stuck")
    one = sender(line, batch=2)
    one.put(1)
    one.put(2)
    assert line.busy.wait(PATIENCE)
    one.put(3)
    end(one, patience=0.05)
    assert line.shutdowns == 1
    assert one.diagnostics.counts() == {"export": 3}
    assert "the receiver does not answer in time" in lines(caplog)[0]


def test_the_end_is_waited_for_once(caplog: pytest.LogCaptureFixture) -> None:
    """A provider's shutdown asks for it again, of a thread that still hangs."""
    line, others = Line("stuck"), _sending()
    # As HTTP's does.
    line.shutdown = lambda: None  # type: ignore[method-assign]
    one = sender(line, batch=1)
    one.put(1)
    assert line.busy.wait(PATIENCE)
    (thread,) = _sending() - others
    end(one, patience=0.05)
    end(one)
    assert thread.is_alive()
    line.freed.set()
    thread.join(PATIENCE)
    assert len(lines(caplog)) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing listens there"),
        (TimeoutError("timed out: secret"), "the receiver does not answer in time"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "no TLS connection can be made"),
        (OSError("secret"), "no reason is known"),
        (ValueError("connection refused by a secret"), "no reason is known"),
    ],
)
def test_a_raised_connection_error_has_the_reason(
    error: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Older exporters over HTTP log none; another error's text is no sign of it."""
    line = Line("broken")
    line.error = error
    one = sender(line)
    one.put(1)
    end(one)
    assert one.diagnostics.counts() == {"export": 1}
    (logged,) = lines(caplog)
    assert reason in logged
    assert "secret" not in logged


class Retrying(Line):
    """A line whose exporter logs that it tries again, as OpenTelemetry's do."""

    def export(self, batch: Sequence[Any]) -> SpanExportResult:
        """Fail, and say so at once."""
        logging.getLogger(EXPORTER).warning(
            "Transient error %s encountered", "Connection refused"
        )
        return super().export(batch)


def test_a_failure_that_is_noticed_shortens_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fifth of a second more, however much patience there is."""
    line = Retrying("stuck")
    one = sender(line)
    one.put(1)
    end(one, patience=10 * PATIENCE)
    assert line.shutdowns == 1
    assert one.diagnostics.counts() == {"export": 1}
    assert "the connection is refused" in lines(caplog)[0]


class Late(Line):
    """A line whose exporter logs that it is shut down when all others have ended."""

    def __init__(self) -> None:
        super().__init__("stuck")
        self.ended = threading.Event()

    def export(self, batch: Sequence[Any]) -> SpanExportResult:
        """Wait for both ends."""
        result = super().export(batch)
        self.ended.wait(PATIENCE)
        logging.getLogger(EXPORTER).warning("Shutdown in progress, aborting retry.")
        return result


def test_what_an_exporter_logs_after_the_end_is_kept_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its thread may wake late; no filter stays behind then."""
    before = list(logging.getLogger(EXPORTER).filters)
    line, others = Late(), _sending()
    one = sender(line, batch=1)
    one.put(1)
    assert line.busy.wait(PATIENCE)
    (thread,) = _sending() - others
    end(one, patience=0.05)
    line.ended.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert [record.name for record in caplog.records] == ["otel_callbacks"]
    assert logging.getLogger(EXPORTER).filters == before


def test_without_threads_the_end_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that gives no threads loses spans, and knows how many."""

    def fail(_: Any) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", fail)
    one = sender(Line())
    one.put(1)
    end(one)
    assert one.diagnostics.counts() == {"export": 1}


class Failing(Sender):
    """A sender with a bug."""

    def _send(self) -> None:
        raise ValueError


def test_the_thread_survives_a_bug(caplog: pytest.LogCaptureFixture) -> None:
    """It is our own trouble: counted, said once, and a flush is False."""
    one = Failing(TO, Diagnostics(), 60.0, Line())
    for _ in range(2):
        assert not one.request_flush().result(PATIENCE)
    end(one)
    assert one.diagnostics.counts()["export"] >= 2
    assert sum("export failed" in line for line in lines(caplog)) == 1


def test_a_forked_child_sends_what_it_has_itself() -> None:
    """It has a thread and a connection of its own, and none of its parent's spans."""
    line = Line()
    one = sender(line)
    one.put("parent")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:  # pragma: no cover -- measured in the parent only
        one.put("child")
        end(one)
        os._exit(10 * line.made + len(line.got))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 11
    end(one)
    assert line.got == ["parent"]


def test_what_a_child_begins_with() -> None:
    """Nothing."""
    line = Line("stuck")
    one = sender(line)
    one.put(1)
    one.after_fork()
    line.freed.set()
    assert one.request_flush().result(PATIENCE)
    end(one)
    assert line.got == []


def test_a_sender_must_define_how_it_sends() -> None:
    """The base class cannot be used by itself."""
    kind: Any = Sender
    with pytest.raises(TypeError, match="abstract"):
        kind(TO, Diagnostics(), 60.0, Line())
