from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

from otel_callbacks.cli.doctor.instrumentations import look_for_others

if TYPE_CHECKING:
    from otel_callbacks.cli.doctor.probe import Visit

_LANGCHAIN = EntryPoint(
    "langchain",
    "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    "opentelemetry_instrumentor",
)
_OPENAI = EntryPoint(
    "openai",
    "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
    "opentelemetry_instrumentor",
)
_HTTPX = EntryPoint(
    "httpx",
    "opentelemetry.instrumentation.httpx:HTTPXClientInstrumentor",
    "opentelemetry_instrumentor",
)
_OURS = EntryPoint(
    "langchain",
    "otel_callbacks._instrument.switch:Instrumentor",
    "opentelemetry_instrumentor",
)


def test_active_one_is_named(visit: Visit) -> None:
    """Each call would be there twice; the remedy names the variable."""
    look_for_others(
        visit, installed=[_LANGCHAIN, _HTTPX], loaded={_LANGCHAIN.module}, environ={}
    )
    (caution,) = visit.cautions
    assert caution.reason == (
        "two instrumentations active: opentelemetry.instrumentation.langchain beside "
        "ours; each model call is two spans, and its tokens are counted twice"
    )
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in caution.remedy


def test_installed_one_is_a_possibility(visit: Visit) -> None:
    """An app may activate it; the doctor cannot see that from here."""
    look_for_others(visit, installed=[_OPENAI, _OPENAI], loaded=(), environ={})
    (caution,) = visit.cautions
    assert caution.reason.startswith(
        "another instrumentation is installed: opentelemetry.instrumentation.openai; "
    )


def test_tracers_of_other_kinds_are_found(visit: Visit) -> None:
    """By their modules, and LangSmith by its variable."""
    environ = {"LANGSMITH_OTEL_ENABLED": "true"}
    look_for_others(
        visit, installed=[], loaded={"langfuse", "openlit"}, environ=environ
    )
    (caution,) = visit.cautions
    assert "LangSmith (LANGSMITH_OTEL_ENABLED), Langfuse, OpenLIT" in caution.reason


def test_ours_and_those_of_other_libraries_are_no_trouble(visit: Visit) -> None:
    """HTTP spans belong under model calls; our own entry point is us."""
    loaded = {_OURS.module, _HTTPX.module}
    look_for_others(visit, installed=[_OURS, _HTTPX], loaded=loaded, environ={})
    assert visit.cautions == []


def test_this_environment_is_looked_at_by_itself(visit: Visit) -> None:
    """With httpx's instrumentation installed and nothing else of the kind."""
    look_for_others(visit)
    assert visit.cautions == []
