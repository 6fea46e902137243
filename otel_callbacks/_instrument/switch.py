"""Trace every LangChain run of a process without a change to the app.

LangChain adds the handler: each callback manager reads the registered hooks
(``register_configure_hook``) and adds their handlers, unless it has one of that class.
This module registers one hook. It returns the handler of `instrument`, else a handler
that keeps accounts if `track_usage` is active, else None. Only embeddings, which have
no callback, and the methods that drop a stream's response id are wrapped.
https://reference.langchain.com/python/langchain_core/tracers/
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from langchain_core.tracers.context import register_configure_hook

from otel_callbacks._background import ForkSafeLock
from otel_callbacks._instrument.embeddings import unwrap_embeddings, wrap_embeddings
from otel_callbacks._instrument.methods import STREAMS
from otel_callbacks._instrument.other_instrumentations import (
    suppress_others,
    warn_of_others,
)
from otel_callbacks._pipeline import ledger_only
from otel_callbacks._runs.lifecycle import Lifecycle
from otel_callbacks._setting_values import FLAG
from otel_callbacks._spend import accounts
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from otel_callbacks._content.capture import Redact

VARIABLE: Final = "OTEL_CALLBACKS_INSTRUMENT"


# Held while instrumentation is switched on or off.
_switching: Final = ForkSafeLock()


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    registry: CollectorRegistry | None = None,
    settings: Settings | None = None,
    redact: Redact | None = None,
) -> OTelCallbackHandler:
    """Trace and count all LangChain runs of this process.

    A run that also has an explicit handler on the same providers and registry is still
    one span and is counted once. A second call changes nothing.

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
        if (known := instrumenting()) is not None:
            return known
        handler = OTelCallbackHandler(
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            registry=registry,
            settings=settings,
            redact=redact,
        )
        instrument_with(handler)
        wrap_embeddings(handler)
        return handler


def uninstrument() -> None:
    """Stop the tracing of `instrument`. Open runs end as abandoned."""
    with _switching.lock:
        handler = instrumenting()
        instrument_with(None)
        unwrap_embeddings()
    if handler is not None:
        handler.close()


def instrument_if_asked() -> None:
    """Instrument if ``OTEL_CALLBACKS_INSTRUMENT`` is true."""
    if (text := os.environ.get(VARIABLE, "").strip()) and FLAG.read(VARIABLE, text):
        instrument()


class _LedgerHandler(OTelCallbackHandler):
    """A handler that keeps accounts, without spans or series."""

    def __init__(self) -> None:  # the base class would make spans and series
        self.settings = Settings.from_env()
        built = ledger_only(self.settings)
        self.diagnostics = built.diagnostics
        self._runs = Lifecycle(built)
        self._ticks = built.table.ticks


class _Hook:
    """Acts as a context variable for LangChain, with one value in all threads."""

    def __init__(self) -> None:
        self.instrumenting: OTelCallbackHandler | None = None
        self.is_registered = False
        self.is_warned = False
        self.ledger: _LedgerHandler | None = None

    def get(self) -> OTelCallbackHandler | None:
        """Return the handler that LangChain adds, if any."""
        if self.instrumenting is not None:
            # The app may have imported more packages since then.
            for method in STREAMS:
                method.wrap()
            if not self.is_warned:
                self.is_warned = True
                warn_of_others(self.instrumenting.diagnostics)
            return self.instrumenting
        return self.ledger if accounts.current.get() else None


_hook: Final = _Hook()


def keep_accounts() -> None:
    """Let LangChain add a handler while `track_usage` is active."""
    if _hook.ledger is None:
        _hook.ledger = _LedgerHandler()
    _register()


def _register() -> None:
    """Register the hook with LangChain when it is first needed."""
    if not _hook.is_registered:
        _hook.is_registered = True
        ask: Callable[..., Any] = register_configure_hook
        ask(_hook, inheritable=True, handle_class=OTelCallbackHandler)


def instrument_with(handler: OTelCallbackHandler | None) -> None:
    """Set the handler that LangChain adds everywhere, or None."""
    _register()
    _hook.instrumenting = handler
    suppress_others(on=handler is not None)
    if handler is None:
        for method in STREAMS:
            method.unwrap()
        _hook.is_warned = False


def instrumenting() -> OTelCallbackHandler | None:
    """Return the handler that LangChain adds everywhere, if any."""
    return _hook.instrumenting
