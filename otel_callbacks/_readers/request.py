"""Read the requests of chat models and text models."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.provider import (
    OPENAI_PROVIDERS,
    RESPONSES,
    api_of,
    asks_for_responses,
    class_name,
    constructor_arguments,
    provider_name,
    server_of,
)
from otel_callbacks._readers.values import (
    count,
    identifier,
    integer,
    items,
    mapping,
    number,
    strings,
    text,
)
from otel_callbacks._records import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks._records import AttributeValue

_CONVERSATION_KEYS: Final = ("conversation_id", "thread_id", "session_id")
"""The first that is set is the conversation id; LangGraph uses ``thread_id``."""

_IDS: Final = (("session_id", semconv.SESSION_ID), ("user_id", semconv.USER_ID))

_ID_KEYS: Final = frozenset((*_CONVERSATION_KEYS, "user_id"))
_RUN_KEYS: Final = _ID_KEYS | {"langgraph_node", "langgraph_step"}
"""Metadata keys that `add_metadata` reads: they differ from run to run."""

_OWN_TAGS: Final = ("seq:step:", "graph:step:", "map:key:", "langsmith:")
"""Prefixes of LangChain's own tags, redundant with the span tree."""


def ids_of(about: dict[object, object]) -> dict[str, AttributeValue]:
    """Return the ids of conversation, session and user in the metadata."""
    found: dict[str, AttributeValue] = {}
    if about.keys().isdisjoint(_ID_KEYS):
        return found
    _add_conversation(found, about)
    for key, attribute in _IDS:
        if key in about and (value := identifier(about[key])):
            found[attribute] = value
    return found


def add_metadata(
    attributes: dict[str, AttributeValue],
    metadata: object,
    tags: object,
) -> None:
    """Add the attributes of a run's metadata and tags."""
    if about := mapping(metadata):
        attributes.update(ids_of(about))
        if node := identifier(about.get("langgraph_node")):
            attributes[semconv.LANGGRAPH_NODE] = node
        step = about.get("langgraph_step")
        if step is not None and (step := integer(step)) is not None:
            attributes[semconv.LANGGRAPH_STEP] = step
    if tags is None or (type(tags) is list and all(map(_is_own_tag, tags))):
        return  # as at the nodes of a graph
    own = [tag for tag in strings(tags) or () if not _is_own_tag(tag)]
    if own:
        attributes[semconv.RUN_TAGS] = tuple(own)


def _is_own_tag(tag: object) -> bool:
    """Return whether a tag is LangChain's own."""
    return type(tag) is str and tag.startswith(_OWN_TAGS)


def _add_conversation(
    attributes: dict[str, AttributeValue], metadata: dict[object, object]
) -> None:
    """Add the conversation id, if there is one."""
    for key in _CONVERSATION_KEYS:
        if key in metadata and (conversation := identifier(metadata[key])):
            attributes[semconv.CONVERSATION_ID] = conversation
            return


_JSON: Final = "json"
_TEXT: Final = "text"
_MIME_TYPES: Final = {"application/json": _JSON, "text/plain": _TEXT}


def _name(value: object) -> str | None:
    """Read a string that is not empty."""
    return text(value) or None


def _choices(value: object) -> int | None:
    """Read the number of choices; the conventions leave 1 out."""
    choices = count(value)
    return choices if choices != 1 else None


def _effort(value: object) -> str | None:
    """Read the reasoning level of ``{"effort": ...}``."""
    return text(mapping(value).get("effort")) or None


def _format(value: object) -> str | None:
    """Read the output type of a response format.

    OpenAI's formats are ``{"type": ...}``, Ollama's a string or a JSON schema;
    LangChain passes a Pydantic class as it is.
    """
    if isinstance(value, dict):
        return _TEXT if text(value.get("type")) == _TEXT else _JSON
    if isinstance(value, type):
        return _JSON
    return _JSON if isinstance(value, str) and value.startswith(_JSON) else None


def _text_format(value: object) -> str | None:
    """Read the format in the ``text`` parameter of OpenAI's Responses API."""
    return _format(mapping(value).get("format"))


def _mime_type(value: object) -> str | None:
    """Read the output type of a MIME type."""
    return _MIME_TYPES.get(text(value))


def _service_tier(value: object) -> str | None:
    """Read the service tier; the conventions leave ``auto`` out."""
    tier = text(value)
    return tier if tier and tier != "auto" else None


_Row: TypeAlias = "tuple[str, Callable[[object], AttributeValue | None] | None]"

_NESTED: Final[_Row] = ("", None)
"""The row of a dictionary with further parameters."""

_PARAMETERS: Final[dict[object, _Row]] = {
    "additional_model_request_fields": _NESTED,
    "candidate_count": (semconv.REQUEST_CHOICE_COUNT, _choices),
    "extra_body": _NESTED,
    "format": (semconv.OUTPUT_TYPE, _format),
    "frequency_penalty": (semconv.REQUEST_FREQUENCY_PENALTY, number),
    "frequencyPenalty": (semconv.REQUEST_FREQUENCY_PENALTY, number),
    "generation_config": _NESTED,
    "inferenceConfig": _NESTED,
    "max_completion_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "max_new_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "max_output_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "max_tokens": (semconv.REQUEST_MAX_TOKENS, count),
    "maxTokens": (semconv.REQUEST_MAX_TOKENS, count),
    "model_kwargs": _NESTED,
    "n": (semconv.REQUEST_CHOICE_COUNT, _choices),
    "num_predict": (semconv.REQUEST_MAX_TOKENS, count),
    "presence_penalty": (semconv.REQUEST_PRESENCE_PENALTY, number),
    "presencePenalty": (semconv.REQUEST_PRESENCE_PENALTY, number),
    "previous_response_id": (semconv.REQUEST_PREVIOUS_RESPONSE_ID, _name),
    "random_seed": (semconv.REQUEST_SEED, integer),
    "reasoning": (semconv.REQUEST_REASONING_LEVEL, _effort),
    "reasoning_effort": (semconv.REQUEST_REASONING_LEVEL, _name),
    "response_format": (semconv.OUTPUT_TYPE, _format),
    "response_mime_type": (semconv.OUTPUT_TYPE, _mime_type),
    "seed": (semconv.REQUEST_SEED, integer),
    "service_tier": (semconv.OPENAI_REQUEST_SERVICE_TIER, _service_tier),
    "stop": (semconv.REQUEST_STOP_SEQUENCES, strings),
    "stop_sequences": (semconv.REQUEST_STOP_SEQUENCES, strings),
    "stopSequences": (semconv.REQUEST_STOP_SEQUENCES, strings),
    "temperature": (semconv.REQUEST_TEMPERATURE, number),
    "text": (semconv.OUTPUT_TYPE, _text_format),
    "thinking_level": (semconv.REQUEST_REASONING_LEVEL, _name),
    "top_k": (semconv.REQUEST_TOP_K, integer),
    "top_p": (semconv.REQUEST_TOP_P, number),
    "topP": (semconv.REQUEST_TOP_P, number),
}
"""A parameter's name -> the attribute, and the reader of its value."""


def add_parameters(
    attributes: dict[str, AttributeValue], params: dict[object, object]
) -> None:
    """Add the attributes of a model call's parameters."""
    for key, value in params.items():
        if value is None or (row := _PARAMETERS.get(key)) is None:
            continue
        attribute, read = row
        if read is None:
            _add_nested(attributes, mapping(value))
        elif (found := read(value)) is not None:
            attributes[attribute] = found


def _add_nested(
    attributes: dict[str, AttributeValue], params: dict[object, object]
) -> None:
    """Add the attributes of a nested dictionary; outer parameters win."""
    for key, value in params.items():
        attribute, read = _PARAMETERS.get(key, _NESTED)
        if (
            read is not None
            and attribute not in attributes
            and (found := read(value)) is not None
        ):
            attributes[attribute] = found


_MOST_MODELS: Final = 128
"""Cached model objects; each keeps its serialized form alive."""

_MODEL_KEYS: Final = ("model", "deployment_name", "model_name", "model_id")
"""``deployment_name`` before ``model_name``, which AzureOpenAI makes up."""

_CONSTRUCTOR_MODEL_KEYS: Final = (*_MODEL_KEYS, "azure_deployment", "repo_id")

_FALLBACKS: Final = (
    (semconv.REQUEST_TEMPERATURE, "ls_temperature", number),
    (semconv.REQUEST_MAX_TOKENS, "ls_max_tokens", count),
    (semconv.REQUEST_STOP_SEQUENCES, "ls_stop", strings),
)
"""Attributes to read from LangChain's metadata if the parameters lack them."""


class _Model(NamedTuple):
    """The part of a request that is the same for all calls of a model object."""

    serialized: object
    """Kept alive, so that no other object can get its id."""
    operation: str
    ls_provider: str
    provider: str
    address: str
    port: int
    name: str
    chooses_api: bool
    stop: tuple[str, ...] | None
    """The constructor's stop sequences, which Anthropic's package passes to no call."""
    attributes: dict[str, AttributeValue]


_models: dict[int, _Model] = {}

_last: dict[int, tuple[object, tuple[object, ...], Request]] = {}
"""A model object's id -> the object, the inputs of its last call, the request read."""
_METADATA_KEYS: Final = (
    "ls_provider",
    "ls_model_name",
    "ls_temperature",
    "ls_max_tokens",
    "ls_stop",
)
"""Metadata keys that are read besides those of `add_metadata`."""
# By their ids: a class's metaclass may forbid hashing or comparing.
_CONSTANTS: Final = frozenset(map(id, (int, float, bool, type(None))))
_PLAIN: Final = _CONSTANTS | {id(str)}
_LONG: Final = 1024
_DEEPEST: Final = 2
_MOST_ITEMS: Final = 256


class ModelStart(NamedTuple):
    """The callback's arguments at the start of a model call."""

    operation: str
    serialized: dict[str, Any] | None
    invocation_params: dict[str, Any] | None
    options: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    batch_size: int
    name: str | None

    def read(self) -> Request:
        """Read the model's request."""
        return model_request(*self)


def model_request(
    operation: str,
    serialized: object,
    invocation_params: object,
    options: object,
    metadata: object,
    tags: object,
    batch_size: object,
    name: object,
) -> Request:
    """Read the request of a model call, or reuse the last one for equal inputs."""
    params, about = mapping(invocation_params), mapping(metadata)
    stop = options.get("stop") if type(options) is dict else options
    inputs = (params, [operation, stop, batch_size, *map(about.get, _METADATA_KEYS)])
    last = _last.get(id(serialized))
    if (
        last is not None
        and last[0] is serialized
        and (
            _PLAIN.issuperset(map(id, map(type, chain(params.values(), inputs[1]))))
            or _is_plain(inputs, _DEEPEST + 2)
        )
        and last[1] == inputs
    ):
        request = last[2]
    else:
        request = _read_request(
            operation, serialized, params, options, about, batch_size
        )
        if serialized is not None:
            _remember(serialized, inputs, request)
    if (
        name is None
        and (tags is None or (type(tags) is list and not tags))
        and about.keys().isdisjoint(_RUN_KEYS)
    ):
        return request
    attributes = {**request.attributes}
    add_metadata(attributes, about, tags)
    if name is not None and (run_name := text(name)):
        attributes[semconv.RUN_NAME] = run_name
    return request._replace(attributes=attributes)


def _remember(serialized: object, inputs: tuple[object, ...], request: Request) -> None:
    """Keep a request for the next call, if its inputs are plain and small."""
    try:
        kept = tuple(_copy(value, _DEEPEST) for value in inputs)
    except _NotPlainError:
        return
    if len(_last) >= _MOST_MODELS:
        _last.clear()
    _last[id(serialized)] = (serialized, kept, request)


def _is_plain(value: object, depth: int) -> bool:
    """Return whether a value consists of JSON's own classes and is safe to compare."""
    kind = type(value)
    if id(kind) in _PLAIN or not depth:
        return id(kind) in _PLAIN
    inner: Any = value
    if kind is dict:
        inner = inner.values()
    elif kind is not list and kind is not tuple:
        return False
    return len(inner) <= _MOST_ITEMS and all(
        _is_plain(item, depth - 1) for item in inner
    )


class _NotPlainError(Exception):
    """A payload holds mutable objects or large values."""


def _copy(value: object, depth: int) -> object:
    """Copy a plain value, so that a later change in place is detected."""
    kind = type(value)
    if id(kind) in _CONSTANTS or (kind is str and len(str(value)) <= _LONG):
        return value
    if depth and kind is dict and len(pairs := mapping(value)) <= _MOST_ITEMS:
        return {key: _copy(item, depth - 1) for key, item in pairs.items()}
    if depth and kind is list and len(within := items(value)) <= _MOST_ITEMS:
        return [_copy(item, depth - 1) for item in within]
    raise _NotPlainError


def _read_request(
    operation: str,
    serialized: object,
    params: dict[object, object],
    options: object,
    about: dict[object, object],
    batch_size: object,
) -> Request:
    """Read the request of a model call, without what differs from run to run."""
    model = _model_object(operation, serialized, about.get("ls_provider"), params)
    attributes = model.attributes.copy()
    if name := _model_name(params, about) or model.name:
        attributes[semconv.REQUEST_MODEL] = name
    add_parameters(attributes, params)
    if model.chooses_api and asks_for_responses(params):
        attributes[semconv.OPENAI_API_TYPE] = RESPONSES
    if (
        semconv.OPENAI_REQUEST_SERVICE_TIER in attributes
        and model.provider not in OPENAI_PROVIDERS
    ):
        del attributes[semconv.OPENAI_REQUEST_SERVICE_TIER]
    _add_missing(attributes, about, options)
    if model.stop and semconv.REQUEST_STOP_SEQUENCES not in attributes:
        attributes[semconv.REQUEST_STOP_SEQUENCES] = model.stop
    return Request(
        operation,
        name,
        model.provider,
        name,
        model.address,
        model.port,
        attributes,
        max(integer(batch_size) or 1, 1),
    )


def _model_name(params: dict[object, object], about: dict[object, object]) -> str:
    """Return the model's name from the parameters, else from LangChain's metadata."""
    for key in _MODEL_KEYS:
        if key in params and (name := text(params[key])):
            return name
    return text(about.get("ls_model_name"))


def _add_missing(
    attributes: dict[str, AttributeValue],
    about: dict[object, object],
    options: object,
) -> None:
    """Add attributes that the parameters lack, from the metadata and the options."""
    for attribute, key, read in _FALLBACKS:
        if (
            attribute not in attributes
            and (value := about.get(key)) is not None
            and (found := read(value)) is not None
        ):
            attributes[attribute] = found
    if (
        semconv.REQUEST_STOP_SEQUENCES not in attributes
        and (stop := mapping(options).get("stop")) is not None
        and (sequences := strings(stop)) is not None
    ):
        attributes[semconv.REQUEST_STOP_SEQUENCES] = sequences


def _model_object(
    operation: str,
    serialized: object,
    ls_provider: object,
    params: dict[object, object],
) -> _Model:
    """Return the cached part of a model object's requests, or read it once."""
    named = text(ls_provider)
    model = _models.get(id(serialized))
    if (
        model is not None
        and model.serialized is serialized
        and model.ls_provider == named
        and model.operation == operation
    ):
        return model
    model = _read_model(operation, serialized, named, params)
    if serialized is not None:
        if len(_models) >= _MOST_MODELS:
            _models.clear()
        _models[id(serialized)] = model
    return model


def _read_model(
    operation: str,
    serialized: object,
    ls_provider: str,
    params: dict[object, object],
) -> _Model:
    """Read the part of a request that is the same for all calls of a model object."""
    arguments = constructor_arguments(serialized)
    kind = params.get("_type")
    provider = provider_name(ls_provider, kind, class_name(serialized))
    address, port = server_of(provider, arguments or params)
    api = api_of(kind, arguments)
    attributes: dict[str, AttributeValue] = {semconv.OPERATION_NAME: operation}
    if provider:
        attributes[semconv.PROVIDER_NAME] = provider
    if address:
        attributes[semconv.SERVER_ADDRESS] = address
        attributes[semconv.SERVER_PORT] = port
    if api.type:
        attributes[semconv.OPENAI_API_TYPE] = api.type
    return _Model(
        serialized,
        operation,
        ls_provider,
        provider,
        address,
        port,
        next(
            filter(None, (text(arguments.get(k)) for k in _CONSTRUCTOR_MODEL_KEYS)), ""
        ),
        api.chosen_by_call,
        strings(arguments.get("stop_sequences")) or strings(arguments.get("stop")),
        attributes,
    )
