"""One handler in a LangChain app: every model call a span and token counters."""

from __future__ import annotations

# First: it says why, where an import below fails and nobody would hear of it.
from otel_callbacks._instrument import start_check  # noqa: F401

# isort: split
from otel_callbacks._embeddings.wrapper import TracedEmbeddings
from otel_callbacks._instrument.switch import (
    instrument,
    instrument_if_asked,
    uninstrument,
)
from otel_callbacks._setting_values import SettingError
from otel_callbacks.accounting import BudgetExceeded, TrackedUsage, track_usage
from otel_callbacks.configure import ConfiguredHandler, configure
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.settings import Settings

__all__ = [
    "BudgetExceeded",
    "ConfiguredHandler",
    "OTelCallbackHandler",
    "SettingError",
    "Settings",
    "TracedEmbeddings",
    "TrackedUsage",
    "configure",
    "instrument",
    "track_usage",
    "uninstrument",
]

instrument_if_asked()
