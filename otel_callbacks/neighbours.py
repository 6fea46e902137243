"""Other instrumentations that are active beside ours and see the same calls."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks._diagnostics import Health

_BASE: Final = ("opentelemetry.instrumentation.instrumentor", "BaseInstrumentor")
_OURS: Final = "otel_callbacks"

_SEEN_BY: Final = frozenset(
    {
        "anthropic",
        "bedrock",
        "botocore",
        "cohere",
        "google_genai",
        "google_generativeai",
        "groq",
        "langchain",
        "langgraph",
        "litellm",
        "mistralai",
        "ollama",
        "openai",
        "openai_v2",
        "together",
        "vertexai",
        "watsonx",
    }
)
"""The part of a module's name that says what an instrumentation instruments."""

_LANGSMITH: Final = ("LANGSMITH_OTEL_ENABLED", "LANGCHAIN_OTEL_ENABLED")
"""What langsmith's client reads to send LangChain's runs as spans."""

_LINE: Final = (
    "other instrumentations of model calls are active beside this one: %s. Those that "
    "ask are kept quiet within LangChain's model calls; others make spans, and count "
    "tokens, of their own. Switch them off: where opentelemetry-instrument loads them, "
    "name them in OTEL_PYTHON_DISABLED_INSTRUMENTATIONS."
)


def tell_of_others(health: Health) -> None:
    """Log once which others are active, if any are.

    Args:
        health: Logs the line.
    """
    names = sorted({*_instrumentors(), *_langsmith()})
    if names:
        health.say_once("neighbours", _LINE % ", ".join(names))


def _instrumentors() -> Iterator[str]:
    """Yield the packages that instrument model calls by now."""
    module, name = _BASE
    base = getattr(sys.modules.get(module), name, None)
    for kind in _kinds(base) if base is not None else ():
        parts = kind.__module__.split(".")
        if parts[0] == _OURS or _SEEN_BY.isdisjoint(parts):
            continue
        # Each is a single object; calling the class would make it.
        active = vars(kind).get("_instance")
        if getattr(active, "is_instrumented_by_opentelemetry", False):
            yield kind.__module__


def _kinds(kind: Any) -> Iterator[Any]:
    """Yield all classes that derive from one."""
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def _langsmith() -> Iterator[str]:
    """Yield LangSmith where it makes spans of LangChain's runs."""
    if any(os.environ.get(name, "").lower() == "true" for name in _LANGSMITH):
        yield "langsmith"
