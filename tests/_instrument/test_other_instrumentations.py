"""Other instrumentations that see the same calls are named once."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._instrument.other_instrumentations import tell_of_others

if TYPE_CHECKING:
    from collections.abc import Iterator


class Instrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instruments nothing."""

    __module__ = "elsewhere.instrumentation.openai"

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        """Need nothing."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        """Do nothing."""

    def _uninstrument(self, **kwargs: Any) -> None:
        """Do nothing."""


class OfLangChain(Instrumentor):
    """One below another."""

    __module__ = "elsewhere.instrumentation.langchain"


@pytest.fixture
def _active() -> Iterator[None]:
    """Instrument with both."""
    Instrumentor().instrument()
    OfLangChain._instance = None
    OfLangChain().instrument()
    yield
    Instrumentor().uninstrument()
    OfLangChain().uninstrument()


@pytest.mark.usefixtures("_active")
def test_they_are_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line that says what to do."""
    monkeypatch.setenv("LANGSMITH_OTEL_ENABLED", "true")
    diagnostics = Diagnostics()
    tell_of_others(diagnostics)
    tell_of_others(diagnostics)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        "active beside this one: elsewhere.instrumentation.langchain, "
        "elsewhere.instrumentation.openai, langsmith. "
    ) in record.getMessage()
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in record.getMessage()


def test_silent_ones_are_not_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Installed is not active; without the base class there are none."""
    tell_of_others(Diagnostics())
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.instrumentor")
    tell_of_others(Diagnostics())
    assert not caplog.records


@pytest.mark.parametrize(
    ("said", "named"), [(None, True), ("", True), ("false", False)]
)
def test_anthropics_own_spans(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: str | None,
    named: bool,  # noqa: FBT001 -- a parameter
) -> None:
    """A client that makes spans by itself is named with its switch."""
    monkeypatch.setitem(sys.modules, "anthropic._tracing", sys)
    monkeypatch.delenv("ANTHROPIC_OPEN_TELEMETRY", raising=False)
    if said is not None:
        monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", said)
    tell_of_others(Diagnostics())
    assert ("ANTHROPIC_OPEN_TELEMETRY=false" in caplog.text) is named
