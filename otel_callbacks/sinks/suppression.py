"""Keeps other instrumentations quiet within our model calls: one span, one count.

Some instrumentations of providers' clients ask the context whether somebody outside
traces the call already. It is answered for LangChain's model calls and embeddings
inside `instrument`. Spans of the HTTP client are not silenced: they nest.

Keys: OpenLLMetry's package ``opentelemetry-semantic-conventions-ai`` and
OpenTelemetry's ``opentelemetry-util-genai``, as of their versions 0.5.1 and 1.3b0.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context

from otel_callbacks import _semconv as semconv
from otel_callbacks._spans import current as current_span

if TYPE_CHECKING:
    from otel_callbacks._spans.current import Shared, StandIn

FLAG: Final = "suppress_language_model_instrumentation"
"""Asked for by OpenLLMetry's: anything true silences them."""

_UTIL: Final = "opentelemetry.util.genai.invocation"
_DATA: Final = {
    "opentelemetry.genai.client.inference.context": "InferenceData",
    "opentelemetry.genai.client.embedding.context": "EmbeddingData",
}
"""Asked for by OpenTelemetry's: an object of this class there silences them."""

_CALLS: Final = semconv.MODEL_OPERATIONS | {semconv.EMBEDDINGS}


def suppress_others(*, on: bool) -> None:
    """Keep other instrumentations quiet from now on, or no longer.

    Args:
        on: Whether to.
    """
    current_span.decorate = _silent if on else None


class _WhileOpen:
    """True, and of a class, as long as a run is open.

    What is attached for an async run stays attached after its end: there it must
    silence nothing any more.
    """

    capture_content = upload_completion = False

    def __init__(self, run: StandIn | Shared, kind: type | None = None) -> None:
        self._run = run
        self._kind = kind

    def __bool__(self) -> bool:
        return self._run.open

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # what isinstance asks
        return self._kind if self._kind and self._run.open else _WhileOpen

    def merge(self, _data: object, *, overwrite: bool = True) -> None:
        """Take what the silenced one has learned; we know it from LangChain."""


def _silent(run: StandIn | Shared, context: Context) -> Context:
    """Return the context of a model's run with others silenced in it."""
    # Runs that share a stand-in are always a model's.
    request = getattr(run, "request", None)
    if request is not None and request.operation not in _CALLS:
        return context
    keys: dict[str, Any] = {FLAG: _WhileOpen(run)}
    module = sys.modules.get(_UTIL)
    for key, name in _DATA.items() if module else ():
        if kind := getattr(module, name, None):
            keys[key] = _WhileOpen(run, kind)
    return Context({**context, **keys})
