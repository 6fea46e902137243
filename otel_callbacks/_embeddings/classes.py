"""All embeddings of a process as spans: only inside `instrument`, undone by its end.

Each class of embeddings has its own ones of the four methods wrapped, when it is made
or, if it is there already, at once.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final

from langchain_core.embeddings import Embeddings

from otel_callbacks._embeddings.answers import unwrap_clients
from otel_callbacks._embeddings.reader import held
from otel_callbacks._embeddings.wrapper import (
    Everywhere,
    TracedEmbeddings,
    acalled,
    called,
)

if TYPE_CHECKING:
    from otel_callbacks.handler import OTelCallbackHandler

_METHODS: Final = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
_MADE: Final = "__init_subclass__"
_wrapped: Final[list[tuple[type, str, Any]]] = []


def wrap_embeddings(handler: OTelCallbackHandler) -> None:
    """Wrap every class of embeddings, those too that are imported later."""
    Everywhere.handler = handler
    for kind in _kinds(Embeddings):
        _wrap(kind)
    setattr(Embeddings, _MADE, classmethod(_made))


def unwrap_embeddings() -> None:
    """Undo it; what somebody else has wrapped since stays, and does nothing."""
    Everywhere.handler = None
    if _MADE in vars(Embeddings):
        delattr(Embeddings, _MADE)
    while _wrapped:
        kind, name, original = _wrapped.pop()
        if getattr(vars(kind).get(name), "__wrapped__", None) is original:
            setattr(kind, name, original)
    unwrap_clients()


def _made(kind: type, /, **options: Any) -> None:
    """Wrap a class that has just been made, after what its other bases do to it."""
    super(Embeddings, kind).__init_subclass__(**options)  # type: ignore[misc]
    _wrap(kind)


def _kinds(kind: type) -> set[type]:
    """Return all classes that derive from one."""
    here: list[type] = type.__subclasses__(kind)
    return {*here, *(below for one in here for below in _kinds(one))}


def _wrap(kind: type) -> None:
    """Wrap the methods that a class itself has."""
    if issubclass(kind, TracedEmbeddings):
        return
    for name in _METHODS:
        original = vars(kind).get(name)
        if inspect.isfunction(original):
            _wrapped.append((kind, name, original))
            setattr(kind, name, _within_span(original))


def _within_span(original: Any) -> Any:
    """Return a method that makes a span around another one."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def later(self: Any, *args: Any, **kwargs: Any) -> Any:
            handler = Everywhere.handler
            # Those that hold others, as a cache does, ask nobody themselves.
            if handler is None or held(self) is not None:
                return await original(self, *args, **kwargs)
            return await acalled(handler, self, original, *args, **kwargs)

        return later

    @functools.wraps(original)
    def now(self: Any, *args: Any, **kwargs: Any) -> Any:
        handler = Everywhere.handler
        if handler is None or held(self) is not None:
            return original(self, *args, **kwargs)
        return called(handler, self, original, *args, **kwargs)

    return now
