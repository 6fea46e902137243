"""The first hop: a fake chain, with a handler that is set up like an app's."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

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
from otel_callbacks.cli.doctor.probe import Check, Trouble, finding
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.testing.capturing import spans_as_data
from otel_callbacks.testing.fake_models import FakeChatModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_callbacks.settings import Settings

SERVICE: Final = "otel-callbacks-doctor"
"""``service.name`` of the fake chain. Always the same, and so is its model's name:
a new one each time would be a new series each time."""


def run_chain(
    check: Check, instance: str, settings: Settings
) -> Sequence[ReadableSpan]:
    """Run the fake chain and return its spans."""
    _check_switches(check, settings)
    exporter = InMemorySpanExporter()
    attributes = {"service.name": SERVICE, "service.instance.id": instance}
    provider = TracerProvider(
        # A sampling ratio close to 1 would drop the chain occasionally.
        sampler=ALWAYS_ON,
        resource=Resource.create(attributes),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    handler = OTelCallbackHandler(
        tracer_provider=provider,
        registry=CollectorRegistry(),
        settings=replace(settings, strict=False),
    )
    model = FakeChatModel(
        answer="All is well.",
        usage=UsageMetadata(input_tokens=3, output_tokens=2, total_tokens=5),
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
        raise Trouble(finding("no_spans", names=names))
    return spans


def trace_id(spans: Sequence[ReadableSpan]) -> str:
    """Return the trace id of spans in hexadecimal."""
    return str(spans_as_data(spans)[0]["trace_id"])


def _check_switches(check: Check, settings: Settings) -> None:
    """Report settings that prevent the export of an app's spans."""
    if settings.sdk_disabled:
        raise Trouble(finding("sdk_disabled"))
    if settings.traces_exporter != "otlp":
        raise Trouble(finding("not_exported", exporter=settings.traces_exporter))
    sampler = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    ratio = float(os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip() or 1)
    ratio = ratio if sampler.endswith("traceidratio") else 1.0
    if ratio == 0:
        raise Trouble(finding("sampler_zero", sampler=sampler))
    if sampler in {"always_off", "parentbased_always_off"}:
        raise Trouble(finding("sampler_off", sampler=sampler))
    if ratio < 1:
        check.caution(finding("sampler_ratio", sampler=sampler, ratio=ratio))


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


def look_for_others(check: Check) -> None:
    """Report other instrumentations of model calls in this environment."""
    active: list[str] = []
    idle: list[str] = []
    for point in (one for group in _GROUPS for one in entry_points(group=group)):
        names = {point.name.replace("-", "_"), *point.module.split(".")}
        if not SEEN_BY.isdisjoint(names) and not point.module.startswith(_OURS):
            (active if point.module in sys.modules else idle).append(point.module)
    active += [name for module, name in _TRACERS.items() if module in sys.modules]
    active += [
        f"LangSmith ({name})"
        for name in LANGSMITH
        if os.environ.get(name, "").lower() == "true"
    ]
    for name, found in (("two_active", active), ("two_installed", idle)):
        if found:
            check.caution(finding(name, names=", ".join(sorted(set(found)))))
