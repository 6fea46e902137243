"""The entry point of opentelemetry-instrument."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider

from otel_callbacks._instrument import hook
from otel_callbacks._instrument.instrumentor import OTelCallbacksInstrumentor

if TYPE_CHECKING:
    import pytest


def test_it_is_found_by_its_entry_point() -> None:
    """opentelemetry-instrument looks for the group and calls what it finds."""
    (found,) = entry_points(group="opentelemetry_instrumentor", name="otel_callbacks")
    assert found.load() is OTelCallbacksInstrumentor
    assert OTelCallbacksInstrumentor().instrumentation_dependencies() == (
        "langchain-core >= 1.0",
    )


def test_variables_of_the_distribution_are_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It knows more exporters than `configure`; series are pushed to its provider."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")
    monkeypatch.setenv("OTEL_CALLBACKS_LABEL_LIMIT", "7")
    instrumentor = OTelCallbacksInstrumentor()
    instrumentor.instrument(
        tracer_provider=TracerProvider(shutdown_on_exit=False), skip_dep_check=True
    )
    try:
        handler = hook.instrumenting()
        assert handler is not None
        assert handler.settings.metrics_exporter == "otlp"
        assert handler.settings.label_limit == 7
    finally:
        instrumentor.uninstrument()
    assert hook.instrumenting() is None
