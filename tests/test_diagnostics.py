"""Our own troubles: logged once, counted always, raised only in strict mode."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from reporting import Reporter

from otel_callbacks import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Keep what our own logger writes."""
    with caplog.at_level(logging.DEBUG, "otel_callbacks"):
        yield caplog


@pytest.fixture
def reporter() -> Iterator[Reporter]:
    """Return a reporter whose handler raises nothing."""
    with Reporter(Settings(strict=False)) as made:
        yield made


class Failing:
    """An answer that raises when it is read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    @property
    def generations(self) -> Any:
        """Raise."""
        raise self.error


def answer(model: str, usage: Any = None) -> LLMResult:
    """Return an answer of a model."""
    metadata = {"model_name": model}
    message = AIMessage("x", response_metadata=metadata, usage_metadata=usage)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


USAGE = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}


def lines(logged: pytest.LogCaptureFixture, about: str) -> list[str]:
    """Return the lines about something."""
    return [line for line in logged.messages if about in line]


def test_trouble_is_counted_always_and_logged_once(
    logged: pytest.LogCaptureFixture, reporter: Reporter
) -> None:
    """The first failure is one log line with type and place, without its message."""
    for _ in range(3):
        reporter.call([], Failing(KeyError("roses")))
    assert reporter.errors == {"response": 3}
    (record,) = [one for one in logged.records if "response failed" in one.getMessage()]
    assert record.name == "otel_callbacks"
    assert record.levelno == logging.WARNING
    assert record.exc_info is None
    message = record.getMessage()
    assert "response failed with KeyError at response.py:" in message
    assert "test_diagnostics.py:" in message
    assert "in generations; the app goes on with less telemetry" in message
    assert "otel_callbacks_errors_total{where='response'}" in message
    assert "roses" not in logged.text


def test_a_logging_handler_that_raises_is_the_apps_matter(reporter: Reporter) -> None:
    """Its exception reaches neither a callback nor the background thread."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.msg)

    logger = logging.getLogger("otel_callbacks")
    logger.addHandler(broken := Broken())
    try:
        span = reporter.call([], Failing(KeyError("roses")))
    finally:
        logger.removeHandler(broken)
    assert span["status"] == "UNSET"
    assert reporter.errors == {"response": 1}


def test_each_place_and_kind_has_a_line(logged: pytest.LogCaptureFixture) -> None:
    """A new class of error or a new place is logged again."""

    def redact(*_: object) -> Any:
        message = "tulips"
        raise KeyError(message)

    settings = Settings(strict=False, capture_content="SPAN_ONLY")
    with Reporter(settings, redact) as reporter:
        for error in (KeyError("a"), TypeError("b"), KeyError("d")):
            reporter.call(["Roses?"], Failing(error))
        assert reporter.errors == {"response": 3, "redact": 3, "content": 3}
    assert len(lines(logged, "response failed with KeyError")) == 1
    assert len(lines(logged, "response failed with TypeError")) == 1
    assert len(lines(logged, "redact failed with")) == 1
    assert len(lines(logged, "content failed with")) == 1
    assert "tulips" not in logged.text


def test_strict_raises_and_counts(logged: pytest.LogCaptureFixture) -> None:
    """In strict mode the original error is raised and counted, not logged."""
    error = KeyError("roses")
    with Reporter(Settings(strict=True)) as reporter:
        with pytest.raises(KeyError) as raised:
            reporter.call([], Failing(error))
        assert raised.value is error
        assert reporter.errors == {"response": 1}
    assert lines(logged, "failed with") == []


def test_a_hint_is_logged_once_for_each_subject(
    logged: pytest.LogCaptureFixture, reporter: Reporter
) -> None:
    """It is not counted as a failure."""
    for model in ("rose-1", "rose-1", "rose-2"):
        reporter.call([], answer(model, USAGE))
    for _ in range(2):
        reporter.call([], answer("rose-1"))
    assert reporter.errors == {}
    assert len(lines(logged, "no price is known for model 'rose-1'")) == 1
    assert len(lines(logged, "no price is known for model 'rose-2'")) == 1
    assert len(lines(logged, "returned no token usage")) == 1


def test_kinds_that_are_remembered_are_bounded(
    logged: pytest.LogCaptureFixture, reporter: Reporter
) -> None:
    """New error classes on each failure fill neither memory nor log."""
    for number in range(1_005):
        error = type(f"Error{number}", (Exception,), {})()
        reporter.call([], Failing(error))
    assert reporter.errors == {"response": 1_005}
    assert len(lines(logged, "response failed with Error")) == 1_000


def test_threads_lose_no_count(reporter: Reporter) -> None:
    """Errors in several threads are all counted."""
    handler = reporter.handler

    def work() -> None:
        for _ in range(100):
            run_id = uuid4()
            handler.on_chat_model_start(None, [[]], run_id=run_id)
            handler.on_llm_end(Failing(KeyError()), run_id=run_id)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reporter.errors == {"response": 400}


def test_one_place_does_not_silence_another(
    logged: pytest.LogCaptureFixture, reporter: Reporter
) -> None:
    """Many failures in one place do not hide the first hint about another."""
    for number in range(1_005):
        error = type(f"Error{number}", (Exception,), {})()
        reporter.tool(type("Command", (), {"update": property(failing(error))})())
    reporter.call([], answer("rose-1"))
    assert reporter.errors == {"tool_output": 1_005}
    assert len(lines(logged, "returned no token usage")) == 1


def failing(error: Exception) -> Any:
    """Return what raises an error for any argument."""

    def fail(_: object) -> Any:
        raise error

    return fail
