"""Find and suppress other instrumentations that trace the same calls."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context

from otel_callbacks import _semconv as semconv
from otel_callbacks._data import data_beside
from otel_callbacks._instrument.embeddings import subclasses
from otel_callbacks._spans import current as current_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._diagnostics import Diagnostics
    from otel_callbacks._spans.current import Shared, StandIn

FLAG: Final = "suppress_language_model_instrumentation"
"""Read by OpenLLMetry's: anything true switches them off."""

_DATA: Final = {
    "opentelemetry.genai.client.inference.context": "InferenceData",
    "opentelemetry.genai.client.embedding.context": "EmbeddingData",
}
"""Read by OpenTelemetry's: an object of this class there switches them off."""


def suppress_others(*, on: bool) -> None:
    """Start or stop suppressing other instrumentations."""
    current_span.decorate = _suppressed if on else None


class _WhileOpen:
    """A value that is true, and an instance of a class, while a run is open.

    The context of an async run stays attached after its end, and must suppress nothing.
    """

    capture_content = upload_completion = False

    def __init__(self, run: StandIn | Shared, kind: type | None = None) -> None:
        self._run = run
        self._kind = kind

    def __bool__(self) -> bool:
        return self._run.open

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # read by isinstance
        return self._kind if self._kind and self._run.open else _WhileOpen

    def merge(self, _data: object, *, overwrite: bool = True) -> None:
        """Ignore the attributes of a suppressed span: LangChain hands them to us."""


def _suppressed(run: StandIn | Shared, context: Context) -> Context:
    """Return the context of a model run, with other instrumentations suppressed."""
    # Only model runs share a stand-in.
    request = getattr(run, "request", None)
    if request is not None and request.operation not in semconv.BILLED_OPERATIONS:
        return context
    keys: dict[str, Any] = {FLAG: _WhileOpen(run)}
    module = sys.modules.get("opentelemetry.util.genai.invocation")
    for key, name in _DATA.items() if module else ():
        if kind := getattr(module, name, None):
            keys[key] = _WhileOpen(run, kind)
    return Context({**context, **keys})


SEEN_BY: Final = frozenset(data_beside(__file__)["instruments"])
"""Parts of module names of instrumentations of model calls."""

LANGSMITH: Final = ("LANGSMITH_OTEL_ENABLED", "LANGCHAIN_OTEL_ENABLED")
"""What langsmith's client reads to send LangChain's runs as spans."""

_ANTHROPIC: Final = "ANTHROPIC_OPEN_TELEMETRY"
_ANTHROPIC_SPANS: Final = "anthropic._tracing"
"""The module of Anthropic's client that makes spans, since its version 2."""

_LINE: Final = (
    "other instrumentations also trace model calls: %s. Some of them stay silent "
    "inside LangChain's model calls; the others make a second span and count the "
    "tokens again. Switch them off: where opentelemetry-instrument loads them, name "
    "them in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."
)


def warn_of_others(diagnostics: Diagnostics) -> None:
    """Log once which other instrumentations are active, if any."""
    names = set(_instrumentors())
    if any(os.environ.get(name, "").lower() == "true" for name in LANGSMITH):
        names.add("langsmith")
    is_off = os.environ.get(_ANTHROPIC, "").lower() == "false"
    if _ANTHROPIC_SPANS in sys.modules and not is_off:
        names.add(f"anthropic ({_ANTHROPIC}=false switches it off)")
    if names:
        diagnostics.log_once("other_instrumentations", _LINE % ", ".join(sorted(names)))


def _instrumentors() -> Iterator[str]:
    """Yield the active instrumentors of model calls."""
    module = sys.modules.get("opentelemetry.instrumentation.instrumentor")
    base = getattr(module, "BaseInstrumentor", None)
    for kind in subclasses(base) if base is not None else ():
        parts = kind.__module__.split(".")
        if parts[0] == "otel_callbacks" or SEEN_BY.isdisjoint(parts):
            continue
        # Instrumentors are singletons; calling the class would create one.
        active = vars(kind).get("_instance")
        if getattr(active, "is_instrumented_by_opentelemetry", False):
            yield kind.__module__
