"""Spans and counters for embeddings, for which LangChain has no callback.

LangChain also drops their usage. So the request is read from the embeddings object, and
the response from the provider's client.
https://github.com/open-telemetry/semantic-conventions-genai, span ``embeddings``.
"""

from __future__ import annotations

import functools
import inspect
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from uuid import UUID, uuid4

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import var_child_runnable_config
from opentelemetry import context as otel_context

from otel_callbacks import _semconv as semconv
from otel_callbacks._instrument.methods import Method
from otel_callbacks._readers.provider import provider_name, server_of
from otel_callbacks._readers.values import count, mapping, text
from otel_callbacks._records import Request, Response, Usage
from otel_callbacks._spans.current import RUN_KEY, RUNS, STAND_INS, step_aside
from otel_callbacks.handler import OTelCallbackHandler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_MODEL_KEYS: Final = ("model", "model_name", "model_id", "deployment")
_ADDRESS_KEYS: Final = (
    "openai_api_base",
    "azure_endpoint",
    "base_url",
    "endpoint_url",
    "region_name",
    "location",
)
# LangChain packages whose names are not provider names.
_GENERAL: Final = frozenset({"classic", "community", "core", "experimental", "tests"})

_DEEPEST: Final = 8

# The default of OpenAI's client.
_DEFAULT_FORMAT: Final = "base64"


class Answer(NamedTuple):
    """One response of a provider's client."""

    options: dict[str, Any]
    response: Any


def held(model: object) -> Embeddings | None:
    """Return the embeddings that a wrapper, such as a cache, holds."""
    value: Any
    for value in list(getattr(model, "__dict__", {}).values()):
        # By its type: reading `__class__` of an attribute may run the app's code.
        if issubclass(type(value), Embeddings):
            found: Embeddings = value
            return found
    return None


def leaf(model: object) -> object:
    """Return the embeddings below all wrappers, which call the provider."""
    for _ in range(_DEEPEST):
        inner = held(model)
        if inner is None:
            break
        model = inner
    return model


class EmbeddingsStart(NamedTuple):
    """The start of an embeddings call."""

    model: object
    metadata: Any
    tags: Any

    @classmethod
    def of(cls, model: object) -> EmbeddingsStart:
        """Return the start for a model, with the metadata of the run that calls it."""
        config = mapping(var_child_runnable_config.get())
        return cls(leaf(model), config.get("metadata"), config.get("tags"))

    def read(self) -> Request:
        """Read the request from the embeddings, before the call."""
        model: Any = self.model
        names = (text(getattr(model, key, "")) for key in _MODEL_KEYS)
        name = next(filter(None, names), "")
        provider = _provider(type(model))
        arguments: dict[object, object] = {
            key: text(getattr(model, key, "")) for key in _ADDRESS_KEYS
        }
        client = getattr(getattr(model, "client", None), "_client", None)
        if base := getattr(client, "base_url", ""):
            arguments["base_url"] = text(str(base))
        address, port = server_of(provider, arguments)
        attributes: dict[str, Any] = {
            semconv.OPERATION_NAME: semconv.EMBEDDINGS,
            semconv.PROVIDER_NAME: provider,
            semconv.REQUEST_MODEL: name,
            semconv.SERVER_ADDRESS: address,
            semconv.SERVER_PORT: port,
        }
        attributes = {key: value for key, value in attributes.items() if value}
        return Request(
            semconv.EMBEDDINGS, name, provider, name, address, port, attributes
        )


def embeddings_response(reported: tuple[list[Answer], Any]) -> Response:
    """Read the response."""
    noted, vectors = reported
    attributes: dict[str, Any] = {}
    vector = vectors[0] if vectors and isinstance(vectors[0], list) else vectors
    if isinstance(vector, list) and vector:
        attributes[semconv.EMBEDDINGS_DIMENSION_COUNT] = len(vector)
    if noted:
        wanted = text(noted[0].options.get("encoding_format")) or _DEFAULT_FORMAT
        attributes[semconv.REQUEST_ENCODING_FORMATS] = (wanted,)
    bodies = [_body(answer.response) for answer in noted]
    counts = [count(mapping(body.get("usage")).get("prompt_tokens")) for body in bodies]
    tokens = [number for number in counts if number is not None]
    model = next(filter(None, (text(body.get("model")) for body in bodies)), "")
    usage = Usage(sum(tokens)) if tokens else None
    return Response(model, usage=usage, attributes=attributes)


def _provider(kind: type) -> str:
    """Return the provider's name for a class or one of its bases."""
    for base in kind.__mro__:
        if known := provider_name("", "", base.__name__):
            return known
    for base in kind.__mro__:
        package = base.__module__.split(".")[0]
        name = package.removeprefix("langchain_")
        if name != package and name not in _GENERAL:
            return provider_name(name, "", "")
    return ""


def _body(response: Any) -> dict[object, object]:
    """Return the fields of a response."""
    if hasattr(response, "parse"):  # with_raw_response
        response = response.parse()
    if isinstance(response, dict):
        return response
    usage = getattr(response, "usage", None)
    reported = {"prompt_tokens": getattr(usage, "prompt_tokens", None)}
    return {"model": getattr(response, "model", ""), "usage": reported}


answers: Final[ContextVar[list[Answer] | None]] = ContextVar(
    "otel_callbacks_embedding_answers", default=None
)
"""Where the answers of the call at hand are noted; None outside of our spans."""


def _noting(original: Any) -> Any:
    """Return a method that records what the original returns."""

    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        response = original(self, *args, **kwargs)
        noted = answers.get()
        if noted is None:
            return response
        if hasattr(response, "__await__"):
            return _later(response, kwargs, noted)
        noted.append(Answer(kwargs, response))
        return response

    return create


async def _later(
    response: Awaitable[Any], options: dict[str, Any], noted: list[Answer]
) -> Any:
    """Record a response of an async client."""
    answer = await response
    noted.append(Answer(options, answer))
    return answer


CLIENTS: Final = (
    Method("openai.resources.embeddings", "Embeddings", "create", _noting),
    Method("openai.resources.embeddings", "AsyncEmbeddings", "create", _noting),
)


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
        return called(self._handler, self.inner, self.inner.embed_documents, texts)

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
    handler: OTelCallbackHandler | None,
    model: Any,
    function: Callable[..., _T],
    *args: Any,
    **kwargs: Any,
) -> _T:
    """Call embeddings in a span."""
    with _traced(handler, model, args) as vectors:
        vectors.append(found := function(*args, **kwargs))
    return found


async def acalled(
    handler: OTelCallbackHandler | None,
    model: Any,
    function: Callable[..., Awaitable[_T]],
    *args: Any,
    **kwargs: Any,
) -> _T:
    """Call async embeddings in a span."""
    with _traced(handler, model, args) as vectors:
        vectors.append(found := await function(*args, **kwargs))
    return found


@contextmanager
def _traced(
    handler: OTelCallbackHandler | None, model: Any, args: tuple[Any, ...]
) -> Iterator[list[Any]]:
    """Make a span of a call; yield a list that takes the vectors."""
    vectors: list[Any] = []
    # One call of the app is one span: embed_query may call embed_documents.
    if handler is None or answers.get() is not None:
        yield vectors
        return
    for method in CLIENTS:
        method.wrap()
    runs, run_id = handler._runs, uuid4()  # noqa: SLF001 -- as its callbacks do
    texts = args[0] if args else None
    runs.start(EmbeddingsStart.of(model), _UNREAD, run_id, innermost_run_id(), texts)
    noted: list[Answer] = []
    before = answers.set(noted)
    try:
        yield vectors
    except BaseException as error:
        answers.reset(before)
        runs.fail(run_id, error)
        raise
    answers.reset(before)
    runs.end(run_id, embeddings_response, (noted, vectors[0]))


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
    for method in CLIENTS:
        method.unwrap()


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
        if inspect.isfunction(original := vars(kind).get(name)):
            _wrapped.append((kind, name, original))
            setattr(kind, name, _within_span(original))


def _within_span(original: Any) -> Any:
    """Return a method that calls the original in a span."""
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def later(self: Any, *args: Any, **kwargs: Any) -> Any:
            bound = functools.partial(original, self)
            return await acalled(_handler_of(self), self, bound, *args, **kwargs)

        return later

    @functools.wraps(original)
    def now(self: Any, *args: Any, **kwargs: Any) -> Any:
        bound = functools.partial(original, self)
        return called(_handler_of(self), self, bound, *args, **kwargs)

    return now


def _handler_of(model: object) -> OTelCallbackHandler | None:
    """Return the handler; None for a wrapper such as a cache, which calls no server."""
    return Everywhere.handler if held(model) is None else None
