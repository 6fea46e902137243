from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from otel_callbacks import Settings
from otel_callbacks.cli.doctor import chain as doctor_chain
from otel_callbacks.cli.doctor.chain import (
    SERVICE,
    look_for_others,
    run_chain,
    trace_id,
)
from otel_callbacks.cli.doctor.probe import Trouble
from otel_callbacks.testing import spans_as_data, tree_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.cli.doctor.probe import Check


class _Deaf(BaseCallbackHandler):
    """A handler that makes nothing."""

    def close(self) -> None:
        """End nothing."""


def test_chain_has_its_marks(check: Check) -> None:
    """Service and instance are known beforehand; the model call is below the chain."""
    spans = run_chain(check, "mark", Settings())
    data = spans_as_data(spans)
    assert tree_of(data).splitlines()[0].endswith("otel-callbacks doctor")
    assert {span["trace_id"] for span in data} == {trace_id(spans)}
    assert f"chat {SERVICE}" in {span["name"] for span in data}
    for span in spans:
        attributes = span.resource.attributes
        assert attributes["service.name"] == SERVICE
        assert attributes["service.instance.id"] == "mark"
    assert check.cautions == []


def test_handler_that_makes_no_spans_is_the_broken_hop(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it did make."""

    def deaf(**_: Any) -> _Deaf:
        return _Deaf()

    monkeypatch.setattr(doctor_chain, "OTelCallbackHandler", deaf)
    with pytest.raises(Trouble) as caught:
        run_chain(check, "mark", Settings())
    assert caught.value.finding.reason == (
        "for a chain with a model call, the handler made no spans"
    )
    assert "OTEL_CALLBACKS_STRICT=1" in caught.value.finding.remedy


@pytest.mark.parametrize(
    ("settings", "environ", "reason"),
    [
        (Settings(sdk_disabled=True), {}, "OTEL_SDK_DISABLED=true"),
        (Settings(traces_exporter="console"), {}, "OTEL_TRACES_EXPORTER=console"),
        (
            Settings(),
            {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
            "sampled away: OTEL_TRACES_SAMPLER=parentbased_always_off sends no trace",
        ),
        (
            Settings(),
            {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
            (
                "sampled away: OTEL_TRACES_SAMPLER=traceidratio with "
                "OTEL_TRACES_SAMPLER_ARG=0 sends none"
            ),
        ),
    ],
)
def test_switches_are_named(
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    environ: dict[str, str],
    reason: str,
) -> None:
    """Each that keeps an app's spans from being sent, with the way back."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Trouble) as caught:
        run_chain(check, "mark", settings)
    assert caught.value.finding.reason.startswith(reason)
    assert caught.value.finding.remedy.startswith("Unset OTEL_")


def test_share_of_traces_is_a_caution(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor's own trace is sent all the same."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.1")
    assert len(run_chain(check, "mark", Settings())) == 3
    (caution,) = check.cautions
    assert caution.reason == (
        "OTEL_TRACES_SAMPLER=parentbased_traceidratio: only 10% of traces are sent; "
        "the doctor's own is always sent"
    )


@pytest.mark.parametrize(
    ("sampler", "argument"), [("always_on", "0"), ("traceidratio", "")]
)
def test_samplers_that_keep_all_are_well(
    check: Check, monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str
) -> None:
    """An argument counts only for the samplers that take one; none means all."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    assert len(run_chain(check, "mark", Settings())) == 3
    assert check.cautions == []


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


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return what puts entry points and loaded modules in place of the real ones."""

    def change(installed: list[EntryPoint], *loaded: str) -> None:
        def points(group: str) -> list[EntryPoint]:
            return [point for point in installed if point.group == group]

        monkeypatch.setattr(doctor_chain, "entry_points", points)
        for name in loaded:
            monkeypatch.setitem(sys.modules, name, ModuleType(name))

    return change


def test_active_one_is_named(check: Check, environment: Callable[..., None]) -> None:
    """Each call would be there twice; the remedy names the variable."""
    environment([_LANGCHAIN, _HTTPX], _LANGCHAIN.module)
    look_for_others(check)
    (caution,) = check.cautions
    assert caution.reason == (
        "two instrumentations are active: opentelemetry.instrumentation.langchain "
        "beside ours; each model call makes two spans, and its tokens are counted twice"
    )
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in caution.remedy


def test_installed_one_is_a_possibility(
    check: Check, environment: Callable[..., None]
) -> None:
    """An app may activate it; the doctor cannot see that from here."""
    environment([_OPENAI, _OPENAI])
    look_for_others(check)
    (caution,) = check.cautions
    assert caution.reason.startswith(
        "another instrumentation is installed: opentelemetry.instrumentation.openai; "
    )


def test_tracers_of_other_kinds_are_found(
    check: Check,
    environment: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By their modules, and LangSmith by its variable."""
    monkeypatch.setenv("LANGSMITH_OTEL_ENABLED", "true")
    environment([], "langfuse", "openlit")
    look_for_others(check)
    (caution,) = check.cautions
    assert "LangSmith (LANGSMITH_OTEL_ENABLED), Langfuse, OpenLIT" in caution.reason


def test_ours_and_those_of_other_libraries_are_no_trouble(
    check: Check, environment: Callable[..., None]
) -> None:
    """HTTP spans belong under model calls; our own entry point is us."""
    environment([_OURS, _HTTPX], _OURS.module, _HTTPX.module)
    look_for_others(check)
    assert check.cautions == []


def test_this_environment_is_looked_at_by_itself(check: Check) -> None:
    """With httpx's instrumentation installed and nothing else of the kind."""
    look_for_others(check)
    assert check.cautions == []
