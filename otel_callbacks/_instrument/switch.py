"""Every LangChain run of a process a span and counters, without a change in the app.

LangChain itself adds the handler, by the hook that it offers for that. Wrapped are only
embeddings, which have no callback, and the method that drops a stream's response id.
https://reference.langchain.com/python/langchain_core/tracers/
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from otel_callbacks._background import tell_after_fork
from otel_callbacks._embeddings.wrapper import unwrap_embeddings, wrap_embeddings
from otel_callbacks._instrument import hook
from otel_callbacks._setting_values import YES_OR_NO, flag, read_setting
from otel_callbacks.handler import OTelCallbackHandler

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from otel_callbacks._content.capture import Redact
    from otel_callbacks.settings import Settings

VARIABLE: Final = "OTEL_CALLBACKS_INSTRUMENT"


class _Switching:
    """Whoever switches holds its lock."""

    lock = threading.RLock()

    def after_fork(self) -> None:
        """Take a new lock; a thread that is not here may hold the old one."""
        self.lock = threading.RLock()


_switching: Final = _Switching()
tell_after_fork(_switching)


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    registry: CollectorRegistry | None = None,
    settings: Settings | None = None,
    redact: Redact | None = None,
) -> OTelCallbackHandler:
    """Trace and count all LangChain runs of this process from now on.

    Where a handler of ours is given explicitly, too, on the same providers and
    registry, a run is still one span and is counted once. A second call changes
    nothing.

    Args:
        tracer_provider: Makes the spans; the global one by default.
        meter_provider: Takes pushed series; the global one by default.
        logger_provider: Takes events; the global one by default.
        registry: Shows the series; prometheus_client's own by default.
        settings: The settings; from the environment by default.
        redact: Given an attribute's name and value, returns the value to send.

    Returns:
        The handler that LangChain adds.

    Raises:
        SettingError: A setting has a value that is not allowed.
    """
    with _switching.lock:
        known = hook.instrumenting()
        if known is not None:
            return known
        handler = OTelCallbackHandler(
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            registry=registry,
            settings=settings,
            redact=redact,
        )
        hook.instrument_with(handler)
        wrap_embeddings(handler)
        return handler


def uninstrument() -> None:
    """Stop what `instrument` has begun; open runs are ended as abandoned."""
    with _switching.lock:
        handler = hook.instrumenting()
        hook.instrument_with(None)
        unwrap_embeddings()
    if handler is not None:
        handler.close()


def instrument_if_asked() -> None:
    """Instrument where ``OTEL_CALLBACKS_INSTRUMENT`` says so."""
    text = os.environ.get(VARIABLE, "").strip()
    spec = {"parser": flag, "allowed": YES_OR_NO}
    if text and read_setting(VARIABLE, text, spec):
        instrument()
