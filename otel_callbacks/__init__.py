"""One handler in a LangChain app: every model call a span and token counters."""

from __future__ import annotations

# First: it says why, where an import below fails and nobody would hear of it.
from otel_callbacks._instrument import start_check  # noqa: F401

# isort: split
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from otel_callbacks._embeddings.wrapper import TracedEmbeddings
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
    "TracedEmbeddings": "_embeddings.wrapper",
    "TrackedUsage": "accounting",
    "configure": "configure",
    "instrument": "_instrument.switch",
    "track_usage": "accounting",
    "uninstrument": "_instrument.switch",
}
"""Each name's module. They take seconds of CPU to import, which not every command of
the command line needs: https://peps.python.org/pep-0562/."""


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
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
    """Return the public names, also those that nobody has asked for yet."""
    return sorted({*globals(), *__all__, "__version__"})


class _Package(ModuleType):
    """The package: its function ``configure`` and that function's module share a name.

    The import system puts a module into its package. Here it must not: whoever asks for
    ``configure`` wants the function, whichever was imported first.
    """

    def __setattr__(self, name: str, value: object) -> None:
        """Keep the function in its place."""
        if name != "configure" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

if os.environ.get("OTEL_CALLBACKS_INSTRUMENT", "").strip():  # pragma: no cover
    # Only at an import: tests/test_zero_code.py has processes of its own for it.
    from otel_callbacks._instrument.switch import instrument_if_asked

    instrument_if_asked()
