"""The entry point of opentelemetry-instrument."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)
from opentelemetry.sdk.trace import TracerProvider

from otel_callbacks import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks import OTelCallbackHandler

    Instrumenting = Callable[[], OTelCallbackHandler | None]


@pytest.fixture
def instrumentor() -> Any:
    """Return what opentelemetry-instrument makes of our entry point."""
    (found,) = entry_points(group="opentelemetry_instrumentor", name="otel_callbacks")
    return found.load()()


def test_it_is_found_by_its_entry_point(instrumentor: Any) -> None:
    """opentelemetry-instrument looks for the group and calls what it finds."""
    assert isinstance(instrumentor, BaseInstrumentor)
    assert instrumentor.instrumentation_dependencies() == ("langchain-core >= 1.0",)


def test_variables_of_the_distribution_are_not_ours(
    monkeypatch: pytest.MonkeyPatch, instrumentor: Any, instrumenting: Instrumenting
) -> None:
    """It knows more exporters than `configure`; series are pushed to its provider."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "7")
    instrumentor.instrument(
        tracer_provider=TracerProvider(shutdown_on_exit=False), skip_dep_check=True
    )
    try:
        handler = instrumenting()
        assert handler is not None
        assert handler.settings.metrics_exporter == "otlp"
        assert handler.settings.label_limit == 7
    finally:
        instrumentor.uninstrument()
    assert instrumenting() is None


def test_options_of_the_declarative_file_are_settings(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    instrumentor: Any,
    instrumenting: Instrumenting,
) -> None:
    """The file comes before the environment; what is no option is named, once."""
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "7")
    instrumentor.instrument(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        skip_dep_check=True,
        # As the package opentelemetry-configuration gives what stands there.
        label_limit=9,
        extensions=False,
        labels=["team:20", "feature"],
        capture_content="SPAN_ONLY",
        capture_contents="SPAN_ONLY",
        traces_exporter="console",
    )
    try:
        handler = instrumenting()
        assert handler is not None
        settings = handler.settings
        assert (settings.label_limit, settings.extensions) == (9, False)
        assert settings.labels == "team:20,feature"
        assert settings.capture_content == "SPAN_ONLY"
        assert settings.traces_exporter == "otlp"
    finally:
        instrumentor.uninstrument()
    (line,) = [line for line in caplog.messages if line.startswith("otel_callbacks")]
    assert line.startswith("otel_callbacks: capture_contents, traces_exporter: unknown")


def test_a_wrong_option_is_refused_by_name(
    instrumentor: Any, instrumenting: Instrumenting
) -> None:
    """With what is allowed."""
    with pytest.raises(SettingError, match="OTEL_CALLBACKS_LABEL_LIMIT=many: must be"):
        instrumentor.instrument(skip_dep_check=True, label_limit="many")
    assert instrumenting() is None
