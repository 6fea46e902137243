"""The entry point for ``opentelemetry-instrument``.

https://opentelemetry.io/docs/zero-code/python/
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from otel_callbacks._instrument.switch import instrument, uninstrument
from otel_callbacks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

_logger = logging.getLogger(__name__)

_PROVIDERS: Final = ("tracer_provider", "meter_provider", "logger_provider")
# Read by the distro that sets up the SDK; it has more exporters and protocols than
# `configure`.
_FIELDS: Final = {field.name: field for field in dataclasses.fields(Settings)}
_NOT_OURS: Final = frozenset(
    name
    for name in _FIELDS
    if name.endswith(("_exporter", "protocol")) or name.startswith("prometheus_")
)
_VARIABLES: Final = {
    name: field.metadata["variable"]
    for name, field in _FIELDS.items()
    if name not in _NOT_OURS
}


class OTelCallbacksInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Traces LangChain under ``opentelemetry-instrument python app.py``.

    Spans, series and events go to the global providers. The fields of `Settings` are
    options: OpenTelemetry's declarative file sets them below
    ``instrumentation/development``, ``python``, ``otel_callbacks``.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages, with versions, that must be installed."""
        return ("langchain-core >= 1.0",)

    def _instrument(self, **kwargs: Any) -> None:
        """Instrument with the providers in the options or the global ones."""
        providers = {name: kwargs.pop(name, None) for name in _PROVIDERS}
        if unknown := kwargs.keys() - _VARIABLES.keys():
            _logger.warning(
                "otel_callbacks: %s: unknown options are ignored. Known options are "
                "%s.",
                ", ".join(sorted(unknown)),
                ", ".join(_VARIABLES),
            )
        chosen = {
            _VARIABLES[name]: _as_text(kwargs[name])
            for name in kwargs.keys() & _VARIABLES.keys()
        }
        settings = Settings.from_env({**os.environ, **chosen}, ignoring=_NOT_OURS)
        instrument(
            **providers, settings=dataclasses.replace(settings, metrics_exporter="otlp")
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 -- the base's
        """Stop the instrumentation."""
        uninstrument()


def _as_text(value: Any) -> str:
    """Return a YAML value in the form of an environment variable."""
    if isinstance(value, list | tuple):
        return ",".join(map(_as_text, value))
    return str(value)
