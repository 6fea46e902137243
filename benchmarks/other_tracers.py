"""The other installed LangChain tracers, for comparison in the benchmark.

Each is set up by its documentation, with a provider that drops its spans, so that no
exporter is measured. `make bench-others` creates an environment with these tracers.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class Nowhere(SpanExporter):
    """An exporter that drops its spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        """Drop the spans."""
        return SpanExportResult.SUCCESS


def _provider() -> TracerProvider:
    """Return a provider whose spans are recorded and dropped."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    return provider


def _openinference() -> Any:
    """Return OpenInference's tracer."""
    tracers = import_module("openinference.instrumentation.langchain._tracer")
    base = import_module("openinference.instrumentation")
    tracer = base.OITracer(_provider().get_tracer("bench"), config=base.TraceConfig())
    return tracers.OpenInferenceTracer(tracer, False)  # noqa: FBT003 -- its signature


def _openllmetry() -> Any:
    """Return OpenLLMetry's handler, with its two histograms."""
    callbacks = import_module(
        "opentelemetry.instrumentation.langchain.callback_handler"
    )
    meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
    return callbacks.TraceloopCallbackHandler(
        _provider().get_tracer("bench"),
        meter.create_histogram("gen_ai.client.operation.duration", "s"),
        meter.create_histogram("gen_ai.client.token.usage", "token"),
    )


def _langfuse() -> Any:
    """Return Langfuse's handler."""
    client = import_module("langfuse")
    client.Langfuse(
        public_key="pk-lf-bench",
        secret_key="sk-lf-bench",  # noqa: S106 -- nothing is sent
        base_url="http://127.0.0.1:9",
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        span_exporter=Nowhere(),
    )
    return import_module("langfuse.langchain").CallbackHandler(public_key="pk-lf-bench")


def _official() -> Any:
    """Return OpenTelemetry's own handler, with its two histograms."""
    package = "opentelemetry.instrumentation.genai.langchain"
    telemetry = import_module("opentelemetry.util.genai.handler").TelemetryHandler(
        tracer_provider=_provider(),
        meter_provider=MeterProvider([InMemoryMetricReader()]),
    )
    handlers = import_module(f"{package}.callback_handler")
    return handlers.OpenTelemetryLangChainCallbackHandler(telemetry)


_TRACERS: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "OpenInference": (
        "openinference.instrumentation.langchain",
        "openinference-instrumentation-langchain",
        _openinference,
    ),
    "OpenLLMetry": (
        "opentelemetry.instrumentation.langchain",
        "opentelemetry-instrumentation-langchain",
        _openllmetry,
    ),
    "OpenTelemetry": (
        "opentelemetry.instrumentation.genai.langchain",
        "opentelemetry-instrumentation-genai-langchain",
        _official,
    ),
    "Langfuse": ("langfuse", "langfuse", _langfuse),
}


def _is_installed(module: str) -> bool:
    """Return whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its package is absent, too
        return False


def others() -> dict[str, Any]:
    """Return the handlers of the other tracers, by name and version."""
    return {
        f"{name} {version(package)}": make()
        for name, (module, package, make) in _TRACERS.items()
        if _is_installed(module)
    }
