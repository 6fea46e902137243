"""The entry point of ``opentelemetry-instrument``: no line of the app is changed.

https://opentelemetry.io/docs/zero-code/python/
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from otel_callbacks._instrument.switch import instrument, uninstrument
from otel_callbacks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

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


class OTelCallbacksInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Lets ``opentelemetry-instrument python app.py`` trace LangChain.

    Spans, series and events go to the providers that it has set up.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed, and in which versions."""
        return ("langchain-core >= 1.0",)

    def _instrument(self, **kwargs: Any) -> None:
        """Instrument with the given providers, else with the global ones."""
        settings = Settings.from_env(ignoring=_NOT_OURS)
        instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
            logger_provider=kwargs.get("logger_provider"),
            settings=dataclasses.replace(settings, metrics_exporter="otlp"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 -- the base's
        """Stop it."""
        uninstrument()
