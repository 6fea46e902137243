"""Tracing that LangChain itself switches on, and off again."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks.manager import CallbackManager
from langchain_core.runnables import RunnableLambda
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from waiting import WAIT_S

import otel_callbacks
from otel_callbacks import (
    OTelCallbackHandler,
    SettingError,
    Settings,
    instrument,
    track_usage,
    uninstrument,
)
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture

    Start = Callable[[], OTelCallbackHandler]

USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
SETTINGS = Settings(strict=True)


class Shop:
    """Providers of a test's own, and what arrived there."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.registry = CollectorRegistry()

    def start(self) -> OTelCallbackHandler:
        """Instrument."""
        return instrument(
            tracer_provider=self.provider, registry=self.registry, settings=SETTINGS
        )

    @property
    def names(self) -> list[str]:
        """The names of the spans."""
        return [span.name for span in self.exporter.get_finished_spans()]

    @property
    def tokens(self) -> float:
        """The tokens of the counters."""
        samples = [sample for one in self.registry.collect() for sample in one.samples]
        wanted = "otel_callbacks_tokens_total"
        return sum(sample.value for sample in samples if sample.name == wanted)


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Providers of its own; afterwards nothing is instrumented."""
    yield Shop()
    uninstrument()


def test_everything_is_seen_and_then_nothing(shop: Shop) -> None:
    """A chain and its model are spans, until that is undone; twice is once."""
    handler = shop.start()
    assert shop.start() is handler
    (RunnableLambda(str) | FakeChatModel(usage=USAGE)).invoke("?")
    assert shop.names == ["str", "chat fake-model", "RunnableSequence"]
    assert shop.tokens == 7
    uninstrument()
    uninstrument()
    FakeChatModel(usage=USAGE).invoke("?")
    assert len(shop.names) == 3
    assert ours() == []


def test_explicit_handlers_count_once(shop: Shop) -> None:
    """On the same providers a run that two report is one span."""
    shop.start()
    own = OTelCallbackHandler(
        tracer_provider=shop.provider, registry=shop.registry, settings=SETTINGS
    )
    model = FakeChatModel(usage=USAGE, callbacks=[own])
    (RunnableLambda(str) | model).invoke("?", {"callbacks": [own]})
    (RunnableLambda(str) | model).invoke("?")
    assert shop.names.count("chat fake-model") == 2
    assert shop.tokens == 14


def test_accounts_are_kept_beside_it(shop: Shop) -> None:
    """`track_usage` needs no handler of its own then, and knows the span."""
    shop.start()
    with track_usage() as usage:
        FakeChatModel(usage=USAGE).invoke("?")
    (call,) = usage.calls
    (span,) = shop.exporter.get_finished_spans()
    assert span.context is not None
    assert call.span_id == f"{span.context.span_id:016x}"
    assert (usage.total_tokens, shop.tokens) == (7, 7)


def test_threads_that_begin_with_nothing_are_seen(shop: Shop) -> None:
    """It does not hang on a context variable."""
    shop.start()
    thread = threading.Thread(target=FakeChatModel(usage=USAGE).invoke, args=("?",))
    thread.start()
    thread.join(WAIT_S)
    assert shop.names == ["chat fake-model"]


@pytest.mark.parametrize(("text", "on"), [("true", True), ("0", False), (" ", False)])
def test_the_environment_may_ask(
    monkeypatch: pytest.MonkeyPatch, text: str, *, on: bool
) -> None:
    """A variable does it when the package is imported."""
    monkeypatch.setenv("OTEL_CALLBACKS_INSTRUMENT", text)
    try:
        importlib.reload(otel_callbacks)
        assert bool(ours()) is on
    finally:
        uninstrument()


def test_a_wrong_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, as every setting is."""
    monkeypatch.setenv("OTEL_CALLBACKS_INSTRUMENT", "perhaps")
    with pytest.raises(SettingError, match="OTEL_CALLBACKS_INSTRUMENT=perhaps"):
        importlib.reload(otel_callbacks)


@pytest.mark.slow
def test_the_import_alone_is_enough() -> None:
    """With the variable set, whoever imports the package has instrumented."""
    program = (
        "import otel_callbacks\n"
        "from langchain_core.callbacks.manager import CallbackManager\n"
        "print(CallbackManager.configure().handlers)"
    )
    ran = subprocess.run(  # noqa: S603 -- our own package
        [sys.executable, "-c", program],
        env={**os.environ, "OTEL_CALLBACKS_INSTRUMENT": "true"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=True,
    )
    assert "OTelCallbackHandler" in ran.stdout


HOOK_USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def ours(**options: Any) -> list[OTelCallbackHandler]:
    """Return our handlers of a manager that LangChain configures now."""
    manager = CallbackManager.configure(**options)
    return [one for one in manager.handlers if isinstance(one, OTelCallbackHandler)]


def test_nothing_is_added_outside() -> None:
    """Once a block has been left, calls pay for nothing."""
    with track_usage():
        assert len(ours()) == 1
    assert ours() == []


def test_one_handler_for_all_blocks() -> None:
    """It is made once and added once, however deep the blocks are nested."""
    with track_usage():
        first = ours()
        with track_usage():
            assert ours() == first
    assert len(first) == 1


def test_a_handler_of_the_app_is_enough(telemetry: Capture) -> None:
    """It keeps the accounts itself, so none is added."""
    with track_usage():
        assert ours(inheritable_callbacks=[telemetry.handler]) == [telemetry.handler]


def test_the_added_handler_makes_no_series_and_no_spans(telemetry: Capture) -> None:
    """Who only counts does not instrument."""
    with track_usage() as usage:
        FakeChatModel(usage=HOOK_USAGE).invoke("Roses?")
        list(FakeChatModel(usage=HOOK_USAGE).stream("Roses?"))
    assert usage.total_tokens == 20
    assert telemetry.spans == []
    assert telemetry.value("otel_callbacks_operations_total") == 0


def test_a_handler_for_all_comes_first(telemetry: Capture, start: Start) -> None:
    """Where everything is instrumented, that handler keeps the accounts."""
    handler = start()
    assert ours() == [handler]
    with track_usage() as usage:
        assert ours() == [handler]
        FakeChatModel(usage=HOOK_USAGE).invoke("Roses?")
    uninstrument()
    assert usage.calls[0].span_id == telemetry.span("chat fake-model")["span_id"]
    assert ours() == []
