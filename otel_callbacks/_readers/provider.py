"""Map LangChain's provider names to the conventions', and to server addresses.

Names: https://github.com/open-telemetry/semantic-conventions-genai
(``gen_ai.provider.name``). A provider that the conventions do not list keeps
LangChain's name for it.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from otel_callbacks._data import by_item, data_beside
from otel_callbacks._readers.values import has_value, mapping, text

CHAT_COMPLETIONS: Final = "chat_completions"
RESPONSES: Final = "responses"

_OPENAI_TYPES: Final = frozenset({"openai-chat", "azure-openai-chat"})
"""``_type`` of the models that choose between the two APIs."""

_ONLY_RESPONSES: Final = (
    "context_management",
    "include",
    "previous_response_id",
    "reasoning",
    "text",
    "truncation",
)
"""Parameters that only the Responses API has."""

_UNSURE: Final = re.compile(r"codex|-pro|-sol|^gpt-6", re.IGNORECASE)
"""Models for which the choice depends on langchain-openai's version."""


class Api(NamedTuple):
    """Which API a model object uses."""

    type: str
    """``openai.api.type``, or empty where it is not certain."""
    chosen_by_call: bool
    """Whether the parameters of a call can still select the Responses API."""


_NONE: Final = Api("", chosen_by_call=False)


def api_of(kind: object, arguments: dict[object, object]) -> Api:
    """Return the API that a model's constructor arguments select."""
    if not isinstance(kind, str) or kind not in _OPENAI_TYPES:
        return _NONE
    if isinstance(chosen := arguments.get("use_responses_api"), bool):
        return Api(RESPONSES if chosen else CHAT_COMPLETIONS, chosen_by_call=False)
    if (
        text(arguments.get("output_version")) == "responses/v1"
        or has_value(arguments.get("use_previous_response_id"))
        or any(arguments.get(key) is not None for key in _ONLY_RESPONSES)
    ):
        return Api(RESPONSES, chosen_by_call=False)
    model = text(arguments.get("model_name")) or text(arguments.get("deployment_name"))
    if not model or _UNSURE.search(model[:256]):
        return Api("", chosen_by_call=True)
    return Api(CHAT_COMPLETIONS, chosen_by_call=True)


def asks_for_responses(params: dict[object, object]) -> bool:
    """Return whether a call's parameters require the Responses API."""
    if any(key in params for key in _ONLY_RESPONSES):
        return True
    tools = params.get("tools")
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and text(tool.get("type", "function")) != "function"
        for tool in tools
    )


OPENAI_PROVIDERS: Final = frozenset({"openai", "azure.ai.openai"})
"""Providers whose spans carry ``openai.*`` attributes."""

_BEDROCK: Final = "aws.bedrock"
_VERTEX: Final = "gcp.vertex_ai"

_PROVIDERS: Final = data_beside(__file__)


def _by(key: str) -> dict[str, str]:
    """Return the provider for each value that a key has in ``provider.toml``."""
    return by_item({name: facts.get(key, ()) for name, facts in _PROVIDERS.items()})


_NAMES: Final = _by("names")
_TYPES: Final = _by("types")
_CLASSES: Final = _by("classes")


def class_name(serialized: object) -> str:
    """Return the class name of a serialized model, chain, tool or retriever."""
    path = mapping(serialized).get("id")
    return text(path[-1]) if isinstance(path, (list, tuple)) and path else ""


def provider_name(ls_provider: object, model_type: object, class_: str) -> str:
    """Return the provider of a model call, without ``ls_provider`` by type or class."""
    if name := text(ls_provider):
        return _NAMES.get(name, name)
    return _TYPES.get(text(model_type)) or _CLASSES.get(class_, "")


_HTTPS_PORT: Final = 443
_PORTS: Final = {"http": 80, "https": _HTTPS_PORT, "ws": 80, "wss": _HTTPS_PORT}
_LONGEST_URL: Final = 4096

_UNKNOWN: Final = ("", 0)
"""No known address, which is better than a wrong one."""

_ARGUMENTS: Final = (
    "azure_endpoint",
    "openai_api_base",
    "base_url",
    "anthropic_api_url",
    "groq_api_base",
    "xai_api_base",
    "fireworks_api_base",
    "mistral_api_base",
    "api_base",
    "endpoint_url",
    "endpoint",
    "url",
    "server_url",
    "inference_server_url",
    "api_url",
)
"""Constructor arguments that hold a server's URL; the first that is set wins."""


_IN_REPR: Final = re.compile(
    rf"\b({'|'.join((*_ARGUMENTS, 'model', 'model_name', 'region_name'))})='([^']*)'"
)
"""Arguments in the ``repr`` of a model that LangChain cannot serialize."""

_LONGEST_REPR: Final = 65536


class _Server(NamedTuple):
    """A provider's default server, and the variables that override it."""

    variables: tuple[str, ...] = ()
    host: str = ""
    port: int = _HTTPS_PORT


_SERVERS: Final = {
    name: _Server(
        tuple(facts.get("variables", ())),
        facts.get("host", ""),
        facts.get("port", _HTTPS_PORT),
    )
    for name, facts in _PROVIDERS.items()
}
_NO_SERVER: Final = _Server()


def constructor_arguments(serialized: object) -> dict[object, object]:
    """Return the constructor arguments of a serialized model."""
    payload = mapping(serialized)
    if isinstance(arguments := payload.get("kwargs"), dict):
        return arguments
    if isinstance(written := payload.get("repr"), str):
        return dict(_IN_REPR.findall(written[:_LONGEST_REPR]))
    return {}


def server_of(provider: str, arguments: dict[object, object]) -> tuple[str, int]:
    """Return host and port of the server that a model calls."""
    server = _SERVERS.get(provider, _NO_SERVER)
    for argument in _ARGUMENTS:
        if has_value(value := arguments.get(argument)):
            return _split(value, server.port)
    for variable in server.variables:
        if value := os.environ.get(variable):
            return _split(value, server.port)
    if server.host:
        return server.host, server.port
    return _regional(provider, arguments)


def _split(url: object, port: int) -> tuple[str, int]:
    """Return host and port of a URL, with or without a scheme."""
    if not isinstance(url, str) or len(url) > _LONGEST_URL:
        return _UNKNOWN
    url = url.strip()
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, explicit = parts.hostname, parts.port
    except ValueError:
        return _UNKNOWN
    if not host:
        return _UNKNOWN
    return text(host), explicit or _PORTS.get(parts.scheme, port)


def _regional(provider: str, arguments: dict[object, object]) -> tuple[str, int]:
    """Return host and port of a provider with regional hosts."""
    if provider == _BEDROCK:
        region = (
            text(arguments.get("region_name"))
            or text(os.environ.get("AWS_REGION"))
            or text(os.environ.get("AWS_DEFAULT_REGION"))
        )
        if region:
            return f"bedrock-runtime.{region}.amazonaws.com", _HTTPS_PORT
    if provider == _VERTEX and (location := text(arguments.get("location"))):
        prefix = "" if location == "global" else f"{location}-"
        return f"{prefix}aiplatform.googleapis.com", _HTTPS_PORT
    return _UNKNOWN
