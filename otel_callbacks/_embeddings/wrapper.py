"""Spans and counters for embeddings, for which LangChain has no callback.

https://github.com/open-telemetry/semantic-conventions-genai, span ``embeddings``.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from uuid import UUID, uuid4

from langchain_core.embeddings import Embeddings
from opentelemetry import context as otel_context

from otel_callbacks import _semconv as semconv
from otel_callbacks._embeddings.reader import (
    EmbeddingsStart,
    answers,
    embeddings_response,
    held,
    unwrap_clients,
    wrap_clients,
)
from otel_callbacks._records import Request
from otel_callbacks._spans.current import RUN_KEY, RUNS, STAND_INS, step_aside
from otel_callbacks.handler import OTelCallbackHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otel_callbacks._embeddings.reader import Answer


def innermost_run_id() -> UUID | None:
    """Return the id of the innermost open run of this context, if any."""
    run: Any = otel_context.get_value(RUN_KEY)
    if type(run) in STAND_INS and not run.open:
        # A model run that ended in another task is still in this context.
        step_aside(run)
        run = run.outer
    if type(run) in RUNS and run.open:
        return UUID(int=run.key)
    return None


class Everywhere:
    """The handler of `instrument` while it is active."""

    handler: OTelCallbackHandler | None = None


_T = TypeVar("_T")

_UNREAD: Final = Request(semconv.EMBEDDINGS, "")


class TracedEmbeddings(Embeddings):
    """Embeddings whose calls are traced and counted.

    Use it wherever the inner embeddings can be used. All other attributes are those of
    the inner embeddings.

    Args:
        inner: The embeddings that are called.
        handler: The handler that makes the spans. By default the one of `instrument`,
            else a new one on the global providers.

    Example:
        >>> embeddings = TracedEmbeddings(OpenAIEmbeddings())
    """

    def __init__(
        self, inner: Embeddings, *, handler: OTelCallbackHandler | None = None
    ) -> None:
        self.inner = inner
        self._handler = handler or Everywhere.handler or OTelCallbackHandler()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts."""
        function = self.inner.embed_documents
        return called(self._handler, self.inner, function, texts)

    def embed_query(self, text: str) -> list[float]:
        """Embed one text."""
        return called(self._handler, self.inner, self.inner.embed_query, text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts."""
        function = self.inner.aembed_documents
        return await acalled(self._handler, self.inner, function, texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed one text."""
        return await acalled(self._handler, self.inner, self.inner.aembed_query, text)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)


def called(
    handler: OTelCallbackHandler,
    model: Any,
    function: Callable[..., _T],
    *args: Any,
    **kwargs: Any,
) -> _T:
    """Call embeddings in a span."""
    # One call of the app is one span: embed_query may call embed_documents.
    if answers.get() is not None:
        return function(*args, **kwargs)
    with _Call(handler, model, args) as call:
        call.vectors = vectors = function(*args, **kwargs)
    return vectors


async def acalled(
    handler: OTelCallbackHandler,
    model: Any,
    function: Callable[..., Awaitable[_T]],
    *args: Any,
    **kwargs: Any,
) -> _T:
    """Call async embeddings in a span."""
    if answers.get() is not None:
        return await function(*args, **kwargs)
    with _Call(handler, model, args) as call:
        call.vectors = vectors = await function(*args, **kwargs)
    return vectors


class _Call:
    """One call: a run of the handler, and the responses of the provider's client."""

    def __init__(
        self, handler: OTelCallbackHandler, model: Any, args: tuple[Any, ...]
    ) -> None:
        wrap_clients()
        self._runs = handler._runs  # noqa: SLF001 -- as its callbacks do
        self._id = uuid4()
        self._answers: list[Answer] = []
        self.vectors: Any = None
        texts = args[0] if args else None
        start = EmbeddingsStart.of(model)
        self._runs.start(start, _UNREAD, self._id, innermost_run_id(), texts)
        self._before = answers.set(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        answers.reset(self._before)
        if error is None:
            result = (self._answers, self.vectors)
            self._runs.end(self._id, embeddings_response, result)
        else:
            self._runs.fail(self._id, error)


_METHODS: Final = ("embed_documents", "embed_query", "aembed_documents", "aembed_query")
_MADE: Final = "__init_subclass__"
_wrapped: Final[list[tuple[type, str, Any]]] = []


def wrap_embeddings(handler: OTelCallbackHandler) -> None:
    """Wrap each embeddings class, including those imported later."""
    Everywhere.handler = handler
    for kind in subclasses(Embeddings):
        _wrap(kind)
    setattr(Embeddings, _MADE, classmethod(_made))


def unwrap_embeddings() -> None:
    """Restore the classes; a wrapper below somebody else's becomes a no-op."""
    Everywhere.handler = None
    if _MADE in vars(Embeddings):
        delattr(Embeddings, _MADE)
    while _wrapped:
        kind, name, original = _wrapped.pop()
        if getattr(vars(kind).get(name), "__wrapped__", None) is original:
            setattr(kind, name, original)
    unwrap_clients()


def _made(kind: type, /, **options: Any) -> None:
    """Wrap a new subclass after `__init_subclass__` of its other bases."""
    super(Embeddings, kind).__init_subclass__(**options)  # type: ignore[misc]
    _wrap(kind)


def subclasses(kind: type) -> set[type]:
    """Return all subclasses, at any depth."""
    here: list[type] = type.__subclasses__(kind)
    return {*here, *(below for one in here for below in subclasses(one))}


def _wrap(kind: type) -> None:
    """Wrap the methods that a class defines itself."""
    if issubclass(kind, TracedEmbeddings):
        return
    for name in _METHODS:
        original = vars(kind).get(name)
        if inspect.isfunction(original):
            _wrapped.append((kind, name, original))
            setattr(kind, name, _within_span(original))


def _within_span(original: Any) -> Any:
    """Return a method that calls the original in a span."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def later(self: Any, *args: Any, **kwargs: Any) -> Any:
            handler = Everywhere.handler
            # Wrappers such as a cache do not call a provider themselves.
            if handler is None or held(self) is not None:
                return await original(self, *args, **kwargs)
            bound = functools.partial(original, self)
            return await acalled(handler, self, bound, *args, **kwargs)

        return later

    @functools.wraps(original)
    def now(self: Any, *args: Any, **kwargs: Any) -> Any:
        handler = Everywhere.handler
        if handler is None or held(self) is not None:
            return original(self, *args, **kwargs)
        return called(handler, self, functools.partial(original, self), *args, **kwargs)

    return now
