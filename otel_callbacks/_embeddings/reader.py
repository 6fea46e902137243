"""Read the request and the response of an embeddings call.

LangChain has no callback for embeddings and drops their usage. So the request is read
from the embeddings object, and the response from the provider's client.
"""

from __future__ import annotations

import functools
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import var_child_runnable_config

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.provider import provider_name, server_of
from otel_callbacks._readers.values import count, mapping, text
from otel_callbacks._records import Request, Response, Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable

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
        """Read the request."""
        return embeddings_request(self.model)


def embeddings_request(model: object) -> Request:
    """Read the request from an embeddings model, before the call."""
    name = next(filter(None, (text(getattr(model, k, "")) for k in _MODEL_KEYS)), "")
    provider = _provider(type(model))
    arguments: dict[object, object] = {}
    for key in _ADDRESS_KEYS:
        if value := text(getattr(model, key, "")):
            arguments[key] = value
    if base := getattr(
        getattr(getattr(model, "client", None), "_client", None), "base_url", ""
    ):
        arguments["base_url"] = text(str(base))
    address, port = server_of(provider, arguments)
    attributes: dict[str, Any] = {semconv.OPERATION_NAME: semconv.EMBEDDINGS}
    if provider:
        attributes[semconv.PROVIDER_NAME] = provider
    if name:
        attributes[semconv.REQUEST_MODEL] = name
    if address:
        attributes[semconv.SERVER_ADDRESS] = address
        attributes[semconv.SERVER_PORT] = port
    return Request(semconv.EMBEDDINGS, name, provider, name, address, port, attributes)


def embeddings_response(reported: tuple[list[Answer], Any]) -> Response:
    """Read the response."""
    answers, vectors = reported
    attributes: dict[str, Any] = {}
    vector = vectors[0] if vectors and isinstance(vectors[0], list) else vectors
    if isinstance(vector, list) and vector:
        attributes[semconv.EMBEDDINGS_DIMENSION_COUNT] = len(vector)
    if answers:
        wanted = text(answers[0].options.get("encoding_format")) or _DEFAULT_FORMAT
        attributes[semconv.REQUEST_ENCODING_FORMATS] = (wanted,)
    bodies = [_body(answer.response) for answer in answers]
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


_MODULE: Final = "openai.resources.embeddings"
_CLIENT_CLASSES: Final = ("Embeddings", "AsyncEmbeddings")
_METHOD: Final = "create"
_MARK: Final = "_otel_callbacks_original"

answers: Final[ContextVar[list[Answer] | None]] = ContextVar(
    "otel_callbacks_embedding_answers", default=None
)
"""Where the answers of the call at hand are noted; None outside of our spans."""


def wrap_clients() -> None:
    """Wrap the client's method if the client is imported and not yet wrapped."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return
    for name in _CLIENT_CLASSES:
        kind = getattr(module, name, None)
        original = getattr(kind, _METHOD, None)
        if original is not None and not hasattr(original, _MARK):
            setattr(kind, _METHOD, _noting(original))


def unwrap_clients() -> None:
    """Restore the method; a wrapper below somebody else's becomes a no-op."""
    module = sys.modules.get(_MODULE)
    for name in _CLIENT_CLASSES:
        kind = getattr(module, name, None)
        wrapped: Any = vars(kind).get(_METHOD) if kind is not None else None
        original = vars(wrapped).get(_MARK) if wrapped is not None else None
        # functools.wraps copies our mark to an outer wrapper: ours is below it.
        if original is not None and wrapped.__wrapped__ is original:
            setattr(kind, _METHOD, original)


def _noting(original: Any) -> Any:
    """Return a method that records what the original returns."""

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
    response: Awaitable[Any], options: dict[str, Any], noted: list[Answer]
) -> Any:
    """Record a response of an async client."""
    answer = await response
    noted.append(Answer(options, answer))
    return answer
