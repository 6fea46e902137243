"""The address of the server that a model call goes to.

Callbacks do not hold it: the constructor's arguments do, if it was given there; else
the provider's environment variable, which the provider's client reads; else it is
the provider's own host.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from otel_callbacks.payloads import providers
from otel_callbacks.payloads.values import mapping, text

HTTPS_PORT: Final = 443
_PORTS: Final = {"http": 80, "https": HTTPS_PORT, "ws": 80, "wss": HTTPS_PORT}
_LONGEST_URL: Final = 4096

UNKNOWN: Final = ("", 0)
"""No address is known; better than a wrong one."""

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
"""Constructor arguments that hold a server's URL; the first that is set counts."""


_IN_REPR: Final = re.compile(
    rf"\b({'|'.join((*_ARGUMENTS, 'model', 'model_name', 'region_name'))})='([^']*)'"
)
"""Arguments in the ``repr`` of a model that LangChain cannot serialize."""

_LONGEST_REPR: Final = 65536


class _Server(NamedTuple):
    """Where a provider is, if nothing says otherwise."""

    variables: tuple[str, ...] = ()
    host: str = ""
    port: int = HTTPS_PORT


_SERVERS: Final = {
    providers.OPENAI: _Server(("OPENAI_API_BASE", "OPENAI_BASE_URL"), "api.openai.com"),
    providers.AZURE_OPENAI: _Server(("AZURE_OPENAI_ENDPOINT", "OPENAI_API_BASE")),
    providers.AZURE_INFERENCE: _Server(
        ("AZURE_AI_ENDPOINT", "AZURE_INFERENCE_ENDPOINT")
    ),
    providers.ANTHROPIC: _Server(
        ("ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"), "api.anthropic.com"
    ),
    providers.COHERE: _Server(("CO_API_URL",), "api.cohere.com"),
    providers.DEEPSEEK: _Server(("DEEPSEEK_API_BASE",), "api.deepseek.com"),
    providers.GEMINI: _Server(
        ("GOOGLE_GEMINI_BASE_URL",), "generativelanguage.googleapis.com"
    ),
    providers.GROQ: _Server(("GROQ_API_BASE", "GROQ_BASE_URL"), "api.groq.com"),
    providers.MISTRAL: _Server(
        ("MISTRAL_BASE_URL", "MISTRAL_API_BASE"), "api.mistral.ai"
    ),
    providers.MOONSHOT: _Server(("MOONSHOT_API_BASE",), "api.moonshot.ai"),
    providers.PERPLEXITY: _Server((), "api.perplexity.ai"),
    providers.VERTEX: _Server(("GOOGLE_VERTEX_BASE_URL",)),
    providers.WATSONX: _Server(("WATSONX_URL",)),
    providers.XAI: _Server((), "api.x.ai"),
    providers.BEDROCK: _Server(
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL")
    ),
    "dashscope": _Server(
        ("DASHSCOPE_HTTP_BASE_URL", "DASHSCOPE_API_BASE"), "dashscope.aliyuncs.com"
    ),
    "fireworks": _Server(("FIREWORKS_API_BASE",), "api.fireworks.ai"),
    "huggingface": _Server((), "router.huggingface.co"),
    "nvidia": _Server(("NVIDIA_BASE_URL",), "integrate.api.nvidia.com"),
    "ollama": _Server(("OLLAMA_HOST",), "127.0.0.1", 11434),
    "openrouter": _Server(("OPENROUTER_API_BASE",), "openrouter.ai"),
    "together": _Server(("TOGETHER_API_BASE",), "api.together.xyz"),
}
"""``gen_ai.provider.name`` -> variables its client reads, in order; default host."""

_NOWHERE: Final = _Server()


def constructor_arguments(serialized: object) -> dict[object, object]:
    """Find the arguments that a model was made with.

    Args:
        serialized: What LangChain's ``dumpd`` made, or anything. Many providers'
            classes are "not_implemented" there and only have their ``repr``.

    Returns:
        The arguments by name; empty where they are unknown.
    """
    payload = mapping(serialized)
    if isinstance(arguments := payload.get("kwargs"), dict):
        return arguments
    if isinstance(written := payload.get("repr"), str):
        return dict(_IN_REPR.findall(written[:_LONGEST_REPR]))
    return {}


def server_of(provider: str, arguments: dict[object, object]) -> tuple[str, int]:
    """Find the server that a model's calls go to.

    Args:
        provider: ``gen_ai.provider.name``.
        arguments: The model's constructor arguments, as serialized.

    Returns:
        ``server.address`` and ``server.port``; empty and 0 where the address is
        hidden, broken or unknown. User names and passwords of a URL are left out.
    """
    server = _SERVERS.get(provider, _NOWHERE)
    for argument in _ARGUMENTS:
        if value := arguments.get(argument):
            return _split(value, server.port)
    for variable in server.variables:
        if value := os.environ.get(variable):
            return _split(value, server.port)
    if server.host:
        return server.host, server.port
    return _regional(provider, arguments)


def _split(url: object, port: int) -> tuple[str, int]:
    """Take host and port from a URL, with or without a scheme."""
    if not isinstance(url, str) or len(url) > _LONGEST_URL:
        return UNKNOWN
    url = url.strip()
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        host, explicit = parts.hostname, parts.port
    except ValueError:
        return UNKNOWN
    if not host:
        return UNKNOWN
    return text(host), explicit or _PORTS.get(parts.scheme, port)


def _regional(provider: str, arguments: dict[object, object]) -> tuple[str, int]:
    """Build the host of a provider that has one for each region."""
    if provider == providers.BEDROCK:
        region = (
            text(arguments.get("region_name"))
            or text(os.environ.get("AWS_REGION"))
            or text(os.environ.get("AWS_DEFAULT_REGION"))
        )
        if region:
            return f"bedrock-runtime.{region}.amazonaws.com", HTTPS_PORT
    if provider == providers.VERTEX and (location := text(arguments.get("location"))):
        prefix = "" if location == "global" else f"{location}-"
        return f"{prefix}aiplatform.googleapis.com", HTTPS_PORT
    return UNKNOWN
