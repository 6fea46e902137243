"""What a provider's client answers to embeddings: LangChain throws the usage away.

OpenAI's client has one method that asks for embeddings; it is wrapped so that the
answers of a call within our span are noted. Outside of one it does what it did.
"""

from __future__ import annotations

import functools
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._embeddings.reader import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable

_MODULE: Final = "openai.resources.embeddings"
_CLASSES: Final = ("Embeddings", "AsyncEmbeddings")
_METHOD: Final = "create"
_MARK: Final = "_otel_callbacks_original"

answers: Final[ContextVar[list[Answer] | None]] = ContextVar(
    "otel_callbacks_embedding_answers", default=None
)
"""Where the answers of the call at hand are noted; None outside of our spans."""


def wrap_clients() -> None:
    """Wrap the client's method, if the client is imported and not wrapped yet."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return
    for name in _CLASSES:
        kind = getattr(module, name, None)
        original = getattr(kind, _METHOD, None)
        if original is not None and not hasattr(original, _MARK):
            setattr(kind, _METHOD, _noting(original))


def unwrap_clients() -> None:
    """Undo it; where somebody else has wrapped it since, ours does nothing by now."""
    module = sys.modules.get(_MODULE)
    for name in _CLASSES:
        kind = getattr(module, name, None)
        wrapped: Any = vars(kind).get(_METHOD) if kind is not None else None
        original = vars(wrapped).get(_MARK) if wrapped is not None else None
        # Who wraps with functools.wraps copies our mark: then ours is further in.
        if original is not None and wrapped.__wrapped__ is original:
            setattr(kind, _METHOD, original)


def _noting(original: Any) -> Any:
    """Return the method that notes what another one answers."""

    @functools.wraps(original)
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = original(self, *args, **kwargs)
        noted = answers.get()
        if noted is None:
            return response
        if hasattr(response, "__await__"):
            return _later(response, kwargs, noted)
        noted.append(Answer(kwargs, response))
        return response

    setattr(create, _MARK, original)
    return create


async def _later(
    response: Awaitable[Any], asked: dict[str, Any], noted: list[Answer]
) -> Any:
    """Note an answer when it has come."""
    answer = await response
    noted.append(Answer(asked, answer))
    return answer
