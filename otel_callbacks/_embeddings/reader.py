"""What embeddings are asked for, and what came back.

LangChain has no callback for embeddings and throws their usage away, so both are read
from the objects themselves: the model, and the answers of the provider's client.
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
_CLASSES: Final = {
    "AzureOpenAIEmbeddings": "azure",
    "BedrockEmbeddings": "amazon_bedrock",
    "CohereEmbeddings": "cohere",
    "GoogleGenerativeAIEmbeddings": "google_genai",
    "MistralAIEmbeddings": "mistralai",
    "OllamaEmbeddings": "ollama",
    "OpenAIEmbeddings": "openai",
    "VertexAIEmbeddings": "google_vertexai",
    "WatsonxEmbeddings": "ibm",
}
"""A class -> ``ls_provider``, as LangChain's chat models name the same provider."""

# Packages of LangChain's whose name does not say a provider.
_GENERAL: Final = frozenset({"classic", "community", "core", "experimental", "tests"})
_PACKAGE: Final = "langchain_"

_DEEPEST: Final = 8

# What OpenAI's client asks for where its caller says nothing.
_DEFAULT_FORMAT: Final = "base64"


class Answer(NamedTuple):
    """One answer of a provider's client."""

    options: dict[str, Any]
    response: Any


def held(model: object) -> Embeddings | None:
    """Return the embeddings that embeddings hold and ask, as a cache does."""
    value: Any
    for value in list(getattr(model, "__dict__", {}).values()):
        # By its type: an attribute asked for its class may run the app's own code.
        if issubclass(type(value), Embeddings):
            found: Embeddings = value
            return found
    return None


def leaf(model: object) -> object:
    """Return the embeddings that ask a provider, below those that only pass on."""
    for _ in range(_DEEPEST):
        inner = held(model)
        if inner is None:
            break
        model = inner
    return model


class EmbeddingsStart(NamedTuple):
    """What is known of a call of embeddings that starts."""

    model: object
    metadata: Any
    tags: Any

    @classmethod
    def of(cls, model: object) -> EmbeddingsStart:
        """Return it of a model, with what is known of the run whose code calls it."""
        config = mapping(var_child_runnable_config.get())
        return cls(leaf(model), config.get("metadata"), config.get("tags"))

    def read(self) -> Request:
        """Read what the model is."""
        return embeddings_request(self.model)


def embeddings_request(model: object) -> Request:
    """Read what is known of an embedding model before it is called."""
    name = next(filter(None, (text(getattr(model, k, "")) for k in _MODEL_KEYS)), "")
    provider = provider_name(_provider(type(model)), None, "")
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
    """Read what came back."""
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
    """Name the provider of a class, or of one it derives from."""
    for base in kind.__mro__:
        if base.__name__ in _CLASSES:
            return _CLASSES[base.__name__]
    for base in kind.__mro__:
        package = base.__module__.split(".")[0]
        name = package.removeprefix(_PACKAGE)
        if name != package and name not in _GENERAL:
            return name
    return ""


def _body(response: Any) -> dict[object, object]:
    """Return an answer's parts by name."""
    if hasattr(response, "parse"):  # of with_raw_response
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
    """Wrap the client's method, if the client is imported and not wrapped yet."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return
    for name in _CLIENT_CLASSES:
        kind = getattr(module, name, None)
        original = getattr(kind, _METHOD, None)
        if original is not None and not hasattr(original, _MARK):
            setattr(kind, _METHOD, _noting(original))


def unwrap_clients() -> None:
    """Undo it; where somebody else has wrapped it since, ours does nothing by now."""
    module = sys.modules.get(_MODULE)
    for name in _CLIENT_CLASSES:
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
    response: Awaitable[Any], options: dict[str, Any], noted: list[Answer]
) -> Any:
    """Note an answer when it has come."""
    answer = await response
    noted.append(Answer(options, answer))
    return answer
