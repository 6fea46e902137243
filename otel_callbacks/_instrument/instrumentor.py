"""The entry point of ``opentelemetry-instrument``: no line of the app is changed.

https://opentelemetry.io/docs/zero-code/python/
"""

from __future__ import annotations

import dataclasses
import logging
import os
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from otel_callbacks._instrument.switch import instrument, uninstrument
from otel_callbacks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

_logger = logging.getLogger(__name__)

_PROVIDERS: Final = ("tracer_provider", "meter_provider", "logger_provider")
# Read by whoever has set up the SDK, who knows more exporters and protocols than
# `configure` does.
_NOT_OURS: Final = frozenset(
    {
        "traces_exporter",
        "metrics_exporter",
        "logs_exporter",
        "protocol",
        "traces_protocol",
        "metrics_protocol",
        "logs_protocol",
        "prometheus_host",
        "prometheus_port",
    }
)


_VARIABLES: Final = {
    field.name: field.metadata["variable"]
    for field in dataclasses.fields(Settings)
    if field.name not in _NOT_OURS
}


class OTelCallbacksInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Lets ``opentelemetry-instrument python app.py`` trace LangChain.

    Spans, series and events go to the providers that it has set up. Fields of
    `Settings` are options: OpenTelemetry's declarative file gives them below
    ``instrumentation/development``, ``python``, ``otel_callbacks``.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed, and in which versions."""
        return ("langchain-core >= 1.0",)

    def _instrument(self, **kwargs: Any) -> None:
        """Instrument with the given providers, else with the global ones."""
        providers = {name: kwargs.pop(name, None) for name in _PROVIDERS}
        if unknown := kwargs.keys() - _VARIABLES.keys():
            _logger.warning(
                "otel_callbacks: %s: unknown options are ignored. Known options are "
                "%s.",
                ", ".join(sorted(unknown)),
                ", ".join(_VARIABLES),
            )
        given = {
            _VARIABLES[name]: _as_text(kwargs[name])
            for name in kwargs.keys() & _VARIABLES.keys()
        }
        settings = Settings.from_env({**os.environ, **given}, ignoring=_NOT_OURS)
        instrument(
            **providers,
            settings=dataclasses.replace(settings, metrics_exporter="otlp"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 -- the base's
        """Stop it."""
        uninstrument()


def _as_text(value: Any) -> str:
    """Return a value of a YAML file as a variable has it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_as_text, value))
    return str(value)
