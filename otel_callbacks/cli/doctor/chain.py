"""The first hop: a fake chain, with a handler that is set up like an app's."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import RunnableLambda
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from prometheus_client import CollectorRegistry

from otel_callbacks import _semconv as semconv
from otel_callbacks._instrument.other_instrumentations import LANGSMITH, SEEN_BY
from otel_callbacks.cli.doctor.probe import Trouble
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.testing.capturing import spans_as_data
from otel_callbacks.testing.fake_models import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from importlib.metadata import EntryPoint

    from otel_callbacks.cli.doctor.probe import Check
    from otel_callbacks.settings import Settings

SERVICE: Final = "otel-callbacks-doctor"
"""``service.name`` of the fake chain. Always the same, and so is its model's name:
a new one each time would be a new series each time."""

_SAMPLER: Final = "OTEL_TRACES_SAMPLER"
_RATIO: Final = "OTEL_TRACES_SAMPLER_ARG"
_NEVER: Final = frozenset({"always_off", "parentbased_always_off"})
_USAGE: Final = UsageMetadata(input_tokens=3, output_tokens=2, total_tokens=5)


def run_chain(
    check: Check,
    instance: str,
    settings: Settings,
    make_handler: Callable[..., Any] = OTelCallbackHandler,
) -> Sequence[ReadableSpan]:
    """Run the fake chain and return its spans."""
    _check_switches(check, settings, os.environ)
    exporter = InMemorySpanExporter()
    attributes = {"service.name": SERVICE, "service.instance.id": instance}
    provider = TracerProvider(
        # A sampling ratio close to 1 would drop the chain occasionally.
        sampler=ALWAYS_ON,
        resource=Resource.create(attributes),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = make_handler(
        tracer_provider=provider,
        registry=CollectorRegistry(),
        settings=replace(settings, strict=False),
    )
    model = FakeChatModel(
        answer="All is well.",
        usage=_USAGE,
        model_name=SERVICE,
        provider="otel-callbacks",
    )
    chain = RunnableLambda(lambda question: question) | model
    try:
        chain.invoke(
            "Are you there?",
            {"callbacks": [handler], "run_name": "otel-callbacks doctor"},
        )
    finally:
        handler.close()
        provider.shutdown()
    spans = exporter.get_finished_spans()
    if not _is_whole(spans):
        names = ", ".join(span.name for span in spans) or "no spans"
        reason = f"for a chain with a model call, the handler made {names}"
        remedy = (
            "Read the log lines of otel_callbacks above; OTEL_CALLBACKS_STRICT=1 in "
            "a test of the app raises the errors that are only logged here."
        )
        raise Trouble(reason, remedy)
    return spans


def trace_id(spans: Sequence[ReadableSpan]) -> str:
    """Return the trace id of spans in hexadecimal."""
    return str(spans_as_data(spans)[0]["trace_id"])


def _check_switches(
    check: Check, settings: Settings, environ: Mapping[str, str]
) -> None:
    """Report settings that prevent the export of an app's spans."""
    if settings.sdk_disabled:
        reason = "OTEL_SDK_DISABLED=true: telemetry is switched off"
        raise Trouble(reason, "Unset OTEL_SDK_DISABLED.")
    if settings.traces_exporter != "otlp":
        reason = (
            f"OTEL_TRACES_EXPORTER={settings.traces_exporter}: spans are not sent to "
            "a Collector"
        )
        raise Trouble(reason, "Unset OTEL_TRACES_EXPORTER, or set it to otlp.")
    sampler = environ.get(_SAMPLER, "").strip()
    ratio = float(environ.get(_RATIO, "").strip() or 1)
    ratio = ratio if sampler.endswith("traceidratio") else 1.0
    if sampler in _NEVER or ratio == 0:
        reason = f"sampled away: {_SAMPLER}={sampler} sends no trace"
        if ratio == 0:
            reason = f"sampled away: {_SAMPLER}={sampler} with {_RATIO}=0 sends none"
        remedy = f"Unset {_SAMPLER}, and leave sampling to the Collector."
        raise Trouble(reason, remedy)
    if ratio < 1:
        check.caution(
            f"{_SAMPLER}={sampler}: only {ratio:.0%} of traces are sent; the doctor's "
            "own is always sent",
            f"Unset {_SAMPLER} if the Collector samples: it keeps every error.",
        )


def _is_whole(spans: Sequence[ReadableSpan]) -> bool:
    """Return whether the model call is present, below the chain."""
    return any(
        span["attributes"].get(semconv.OPERATION_NAME) in semconv.MODEL_OPERATIONS
        and span["parent"] is not None
        for span in spans_as_data(spans)
    )


_GROUPS: Final = ("opentelemetry_instrumentor", "openinference_instrumentor")
_OURS: Final = "otel_callbacks"
# Module -> its name; these trace as soon as an app has started them.
_TRACERS: Final = {
    "langfuse": "Langfuse",
    "openlit": "OpenLIT",
    "traceloop.sdk": "OpenLLMetry",
}
_TWICE: Final = "each model call makes two spans, and its tokens are counted twice"


def look_for_others(
    check: Check,
    *,
    installed: Iterable[EntryPoint] | None = None,
    loaded: Container[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Report other instrumentations of model calls in this environment."""
    modules = sys.modules if loaded is None else loaded
    variables = os.environ if environ is None else environ
    points = installed
    if points is None:
        points = [point for group in _GROUPS for point in entry_points(group=group)]
    active: list[str] = []
    idle: list[str] = []
    for point in points:
        names = {point.name.replace("-", "_"), *point.module.split(".")}
        if not SEEN_BY.isdisjoint(names) and not point.module.startswith(_OURS):
            (active if point.module in modules else idle).append(point.module)
    active += [name for module, name in _TRACERS.items() if module in modules]
    active += [
        f"LangSmith ({name})"
        for name in LANGSMITH
        if variables.get(name, "").lower() == "true"
    ]
    if active:
        check.caution(
            f"two instrumentations are active: {_joined(active)} beside ours; {_TWICE}",
            "Keep one: uninstall the other, or list it in "
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS.",
        )
    if idle:
        check.caution(
            f"another instrumentation is installed: {_joined(idle)}; if an app "
            f"activates it beside ours, {_TWICE}",
            "Uninstall it, or do not activate it (`opentelemetry-instrument` activates "
            "all but OTEL_PYTHON_DISABLED_INSTRUMENTATIONS).",
        )


def _joined(names: list[str]) -> str:
    """Return sorted unique names as text."""
    return ", ".join(sorted(set(names)))
