"""OpenTelemetry spans and Prometheus series for LangChain apps, by one handler."""

from __future__ import annotations

# First: it logs the reason if an import below fails silently.
from otel_callbacks._instrument import start_check  # noqa: F401

# isort: split
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_callbacks._instrument.embeddings import TracedEmbeddings
    from otel_callbacks._instrument.switch import instrument, uninstrument
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

_HOME: Final = {
    "BudgetExceeded": "accounting",
    "ConfiguredHandler": "configure",
    "OTelCallbackHandler": "handler",
    "SettingError": "_setting_values",
    "Settings": "settings",
    "TracedEmbeddings": "_instrument.embeddings",
    "TrackedUsage": "accounting",
    "configure": "configure",
    "instrument": "_instrument.switch",
    "track_usage": "accounting",
    "uninstrument": "_instrument.switch",
}
"""Each name's module. They take seconds of CPU to import, which not every command of
the command line needs: https://peps.python.org/pep-0562/."""


def __getattr__(name: str) -> Any:
    """Import a public name on first access."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 -- 20 ms

        value: Any = version("otel-callbacks")
    elif name in _HOME:
        value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    else:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    """Return the public names, including those not imported yet."""
    return sorted({*globals(), *__all__, "__version__"})


class _Package(ModuleType):
    """The package, in which the function and the module ``configure`` share a name.

    The import system sets a module as attribute of its package. Here ``configure`` must
    remain the function, whichever was imported first.
    """

    def __setattr__(self, name: str, value: object) -> None:
        """Ignore the module `configure`, and set all other attributes."""
        if name != "configure" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

if os.environ.get("OTEL_CALLBACKS_INSTRUMENT", "").strip():  # pragma: no cover
    # Runs only at import; tests/test_zero_code.py covers it in subprocesses.
    from otel_callbacks._instrument.switch import instrument_if_asked

    instrument_if_asked()
