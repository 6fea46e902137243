"""Other instrumentations that see the same calls are named once."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled

from otel_callbacks import uninstrument
from otel_callbacks.testing import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_callbacks.testing import Capture, FakeOpenAI

FLAG = "suppress_language_model_instrumentation"
"""What OpenLLMetry's instrumentations read."""


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
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, start: Any
) -> None:
    """In one line that says what to do."""
    monkeypatch.setenv("LANGSMITH_OTEL_ENABLED", "true")
    start()
    for _ in range(2):
        RunnableLambda(str).invoke("Roses?")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        "also trace model calls: elsewhere.instrumentation.langchain, "
        "elsewhere.instrumentation.openai, langsmith. "
    ) in record.getMessage()
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in record.getMessage()


def test_silent_ones_are_not_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, start: Any
) -> None:
    """Installed is not active; without the base class there are none."""
    start()
    RunnableLambda(str).invoke("Roses?")
    uninstrument()
    monkeypatch.delitem(sys.modules, "opentelemetry.instrumentation.instrumentor")
    start()
    RunnableLambda(str).invoke("Roses?")
    assert not caplog.records


@pytest.mark.parametrize(
    ("variable", "named"), [(None, True), ("", True), ("false", False)]
)
def test_anthropics_own_spans(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: str | None,
    named: bool,  # noqa: FBT001 -- a parameter
    start: Any,
) -> None:
    """A client that makes spans by itself is named with its switch."""
    monkeypatch.setitem(sys.modules, "anthropic._tracing", sys)
    monkeypatch.delenv("ANTHROPIC_OPEN_TELEMETRY", raising=False)
    if variable is not None:
        monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY", variable)
    start()
    RunnableLambda(str).invoke("Roses?")
    assert ("ANTHROPIC_OPEN_TELEMETRY=false" in caplog.text) is named


INFERENCE = "opentelemetry.genai.client.inference.context"
EMBEDDING = "opentelemetry.genai.client.embedding.context"


class InferenceData:
    """Stands for the class of the same name in OpenTelemetry's package."""


@pytest.fixture
def _silencing(monkeypatch: pytest.MonkeyPatch, start: Any) -> None:
    """Silence others in one test, with OpenTelemetry's package there in part."""
    module = ModuleType("opentelemetry.util.genai.invocation")
    vars(module)["InferenceData"] = InferenceData
    monkeypatch.setitem(sys.modules, module.__name__, module)
    start()


class Looking(FakeChatModel):
    """Notes what another instrumentation would find in the context."""

    seen: list[Any] = []  # noqa: RUF012 -- a field of a pydantic model

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self.seen.append(found())
        return super()._generate(*args, **kwargs)


def found() -> tuple[bool, bool, bool]:
    """Return whether those who ask are silenced, and whether HTTP spans are not."""
    return (
        bool(otel_context.get_value(FLAG)),
        isinstance(otel_context.get_value(INFERENCE), InferenceData),
        is_http_instrumentation_enabled(),
    )


@pytest.mark.usefixtures("_silencing")
def test_within_a_call_and_not_after_it(telemetry: Capture) -> None:
    """A call, each of a batch; not the step around them, not what comes after."""
    model = Looking(callbacks=[telemetry.handler])
    model.invoke("Roses?")
    model.generate([[HumanMessage("Roses?")], [HumanMessage("Tulips?")]])
    around = RunnableLambda(lambda _: found()).invoke(
        "Roses?", config={"callbacks": [telemetry.handler]}
    )
    assert model.seen == [(True, True, True)] * 3
    assert around == found() == (False, False, True)


@pytest.mark.usefixtures("_silencing")
async def test_what_an_async_call_leaves_behind_is_inert(
    chat: Callable[..., Any], telemetry: Capture
) -> None:
    """Its context stays, but a call that the app makes itself is seen by others."""
    await chat().ainvoke("Roses?")
    left = otel_context.get_value(INFERENCE)
    assert left is not None
    assert found() == (False, False, True)
    assert otel_context.get_value(EMBEDDING) is None
    assert telemetry.spans


@pytest.mark.usefixtures("_silencing")
def test_reports_of_a_suppressed_instrumentation_are_used(telemetry: Capture) -> None:
    """OpenTelemetry's instrumentations pass on their data, and read what to capture."""

    class Telling(FakeChatModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            data: Any = otel_context.get_value(INFERENCE)
            data.merge(InferenceData(), overwrite=True)
            assert not data.capture_content
            assert not data.upload_completion
            return super()._generate(*args, **kwargs)

    Telling(callbacks=[telemetry.handler]).invoke("Roses?")
    assert telemetry.span("chat fake-model")["status"] == "UNSET"


@pytest.mark.usefixtures("http_spans")
def test_http_spans_nest_all_the_same(
    chat: Callable[..., Any], telemetry: Capture, server: FakeOpenAI, start: Any
) -> None:
    """Silenced are spans of models, not those of the HTTP client."""
    start()
    chat().invoke("Roses?")
    uninstrument()
    assert telemetry.tree() == "chat gpt-4o-mini\n  POST"
    assert len(server.requests) == 1


@pytest.mark.usefixtures("_silencing")
def test_without_instrumentation_nothing_is_suppressed(telemetry: Capture) -> None:
    """Whoever passes the handler chooses the other instrumentations."""
    uninstrument()
    model = Looking(callbacks=[telemetry.handler])
    model.invoke("Roses?")
    assert model.seen == [(False, False, True)]
