"""The handler that LangChain adds by itself where no handler of ours was given.

LangChain asks registered hooks whenever it makes a callback manager
(``register_configure_hook``). There is one hook: it answers with the handler of
`instrument`, else with one that keeps accounts where `track_usage` is active, else
with none. LangChain adds it where no handler of this class is there yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from langchain_core.tracers.context import register_configure_hook

from otel_callbacks._instrument.other_instrumentations import (
    suppress_others,
    tell_of_others,
)
from otel_callbacks._instrument.stream_ids import unwrap_streams, wrap_streams
from otel_callbacks._pipeline import ledger_only
from otel_callbacks._runs.lifecycle import Lifecycle
from otel_callbacks._spend import accounts
from otel_callbacks.handler import OTelCallbackHandler
from otel_callbacks.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


class _LedgerHandler(OTelCallbackHandler):
    """Keeps accounts and does nothing else: no spans, no series."""

    def __init__(self) -> None:  # the parent's would make spans and series
        self.settings = Settings.from_env()
        built = ledger_only(self.settings)
        self.diagnostics = built.diagnostics
        self._runs = Lifecycle(built)
        self._find = built.table.find


class _Hook:
    """What LangChain asks; it has the one method of a context variable that is used.

    A real one would not be seen by threads that begin with an empty context.
    """

    def __init__(self) -> None:
        self.instrumenting: OTelCallbackHandler | None = None
        self.is_registered = False
        self.is_told = False
        self.ledger: _LedgerHandler | None = None

    def get(self) -> OTelCallbackHandler | None:
        """Return the handler to add, if any."""
        if self.instrumenting is not None:
            # What the app has imported since then can be wrapped by now.
            wrap_streams()
            if not self.is_told:
                self.is_told = True
                tell_of_others(self.instrumenting.diagnostics)
            return self.instrumenting
        return self.ledger if accounts.current.get() else None


_hook: Final = _Hook()


def keep_accounts() -> None:
    """Let LangChain add a handler where `track_usage` is active."""
    if _hook.ledger is None:
        _hook.ledger = _LedgerHandler()
    _register()


def _register() -> None:
    """Let LangChain ask the hook, from the first time on that somebody needs it."""
    if not _hook.is_registered:
        _hook.is_registered = True
        ask: Callable[..., Any] = register_configure_hook
        ask(_hook, inheritable=True, handle_class=OTelCallbackHandler)


def instrument_with(handler: OTelCallbackHandler | None) -> None:
    """Let LangChain add a handler everywhere, or stop that."""
    _register()
    _hook.instrumenting = handler
    suppress_others(on=handler is not None)
    if handler is None:
        unwrap_streams()
        _hook.is_told = False


def instrumenting() -> OTelCallbackHandler | None:
    """Return the handler that LangChain adds everywhere, if any."""
    return _hook.instrumenting
