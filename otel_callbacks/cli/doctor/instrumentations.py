"""Whether something else traces the same calls, so that each is there twice."""

from __future__ import annotations

import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from importlib.metadata import EntryPoint

    from otel_callbacks.cli.doctor.probe import Visit

_GROUPS: Final = ("opentelemetry_instrumentor", "openinference_instrumentor")
_OURS: Final = "otel_callbacks"
# Names of entry points that trace LangChain, or the clients that it calls models by:
# https://opentelemetry.io/ecosystem/registry/?language=python
_SAME_CALLS: Final = frozenset(
    {
        "anthropic",
        "bedrock",
        "cohere",
        "google-genai",
        "google_generativeai",
        "groq",
        "langchain",
        "langgraph",
        "litellm",
        "mistralai",
        "ollama",
        "openai",
        "openai_v2",
        "vertexai",
    }
)
# Module -> what it is; these trace as soon as an app has started them.
_TRACERS: Final = {
    "langfuse": "Langfuse",
    "openlit": "OpenLIT",
    "traceloop.sdk": "OpenLLMetry",
}
_LANGSMITH: Final = ("LANGSMITH_OTEL_ENABLED", "LANGCHAIN_OTEL_ENABLED")
_TWICE: Final = "each model call is two spans, and its tokens are counted twice"


def look_for_others(
    visit: Visit,
    *,
    installed: Iterable[EntryPoint] | None = None,
    loaded: Container[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Note what else traces model calls, here or in an app with these packages.

    Args:
        visit: The hop.
        installed: Entry points of instrumentations; those of this environment when
            None.
        loaded: Names of modules that are loaded; this process's when None.
        environ: The environment; the process's own when None.
    """
    modules = sys.modules if loaded is None else loaded
    variables = os.environ if environ is None else environ
    points = _installed() if installed is None else installed
    active: list[str] = []
    idle: list[str] = []
    for point in points:
        if point.name in _SAME_CALLS and not point.module.startswith(_OURS):
            (active if point.module in modules else idle).append(point.module)
    active += [name for module, name in _TRACERS.items() if module in modules]
    active += [
        f"LangSmith ({name})"
        for name in _LANGSMITH
        if variables.get(name, "").lower() == "true"
    ]
    if active:
        visit.caution(
            f"two instrumentations active: {_joined(active)} beside ours; {_TWICE}",
            "Keep one: uninstall the other, or name it in "
            "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS.",
        )
    if idle:
        visit.caution(
            f"another instrumentation is installed: {_joined(idle)}; where an app "
            f"activates it beside ours, {_TWICE}",
            "Uninstall it, or do not activate it (`opentelemetry-instrument` activates "
            "all but OTEL_PYTHON_DISABLED_INSTRUMENTATIONS).",
        )


def _installed() -> list[EntryPoint]:
    """Return the instrumentations of this environment."""
    return [point for group in _GROUPS for point in entry_points(group=group)]


def _joined(names: list[str]) -> str:
    """Return names, each once, in a fixed order."""
    return ", ".join(sorted(set(names)))
