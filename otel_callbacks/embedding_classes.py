"""All embeddings of a process as spans: only inside `instrument`, undone by its end.

Each class of embeddings has its four methods wrapped when it is made or, if it is
there already, at once.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, Final

from langchain_core.embeddings import Embeddings

from otel_callbacks import hook
from otel_callbacks.embeddings import TracedEmbeddings, acalled, called

_METHODS: Final = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
_wrapped: Final[list[tuple[type, str, Any]]] = []


def wrap_embeddings() -> None:
    """Wrap every class of embeddings, those too that are imported later."""
    for kind in _kinds(Embeddings):
        _wrap(kind)
    made: Any = classmethod(_made)
    Embeddings.__init_subclass__ = made  # type: ignore[method-assign]


def unwrap_embeddings() -> None:
    """Undo it."""
    if "__init_subclass__" in vars(Embeddings):
        del Embeddings.__init_subclass__
    while _wrapped:
        kind, name, original = _wrapped.pop()
        setattr(kind, name, original)


def _made(kind: type, /, **_: Any) -> None:
    """Wrap a class that has just been made."""
    _wrap(kind)


def _kinds(kind: type) -> list[type]:
    """Return all classes that derive from one."""
    here: list[type] = type.__subclasses__(kind)
    return [*here, *(below for one in here for below in _kinds(one))]


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
            handler = hook.instrumenting()
            if handler is None:
                return await original(self, *args, **kwargs)
            return await acalled(handler, self, original, *args, **kwargs)

        return later

    @functools.wraps(original)
    def now(self: Any, *args: Any, **kwargs: Any) -> Any:
        handler = hook.instrumenting()
        if handler is None:
            return original(self, *args, **kwargs)
        return called(handler, self, original, *args, **kwargs)

    return now
