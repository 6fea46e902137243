"""The handler that LangChain adds by itself while `track_usage` is active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks.manager import CallbackManager

from otel_callbacks._instrument import hook
from otel_callbacks.accounting import track_usage
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


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
        FakeChatModel(usage=USAGE).invoke("Roses?")
        list(FakeChatModel(usage=USAGE).stream("Roses?"))
    assert usage.total_tokens == 20
    assert telemetry.spans == []
    assert telemetry.value("otel_callbacks_operations_total") == 0


def test_a_handler_for_all_comes_first(telemetry: Capture) -> None:
    """Where everything is instrumented, that handler keeps the accounts."""
    hook.instrument_with(telemetry.handler)
    try:
        assert hook.instrumenting() is telemetry.handler
        with track_usage() as usage:
            assert ours() == [telemetry.handler]
            FakeChatModel(usage=USAGE).invoke("Roses?")
    finally:
        hook.instrument_with(None)
    assert usage.calls[0].span_id == telemetry.span("chat fake-model")["span_id"]
    assert hook.instrumenting() is None
    assert ours() == []
