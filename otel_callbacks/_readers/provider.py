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
    for key in _ONLY_RESPONSES:
        if key in params:
            return True
    tools = params.get("tools")
    return isinstance(tools, list) and any(
        isinstance(tool, dict) and text(tool.get("type", "function")) != "function"
        for tool in tools
    )


OPENAI: Final = "openai"
ANTHROPIC: Final = "anthropic"
AZURE_OPENAI: Final = "azure.ai.openai"
AZURE_INFERENCE: Final = "azure.ai.inference"
BEDROCK: Final = "aws.bedrock"
COHERE: Final = "cohere"
DEEPSEEK: Final = "deepseek"
GEMINI: Final = "gcp.gemini"
GROQ: Final = "groq"
MISTRAL: Final = "mistral_ai"
MOONSHOT: Final = "moonshot_ai"
PERPLEXITY: Final = "perplexity"
VERTEX: Final = "gcp.vertex_ai"
WATSONX: Final = "ibm.watsonx.ai"
XAI: Final = "x_ai"

OPENAI_PROVIDERS: Final = frozenset({OPENAI, AZURE_OPENAI})
"""Providers whose spans carry ``openai.*`` attributes."""

_NAMES: Final = {
    "amazon_bedrock": BEDROCK,
    "anthropic_bedrock": BEDROCK,
    "aws": BEDROCK,
    "azure": AZURE_OPENAI,
    "azure_ai": AZURE_INFERENCE,
    "azure_openai": AZURE_OPENAI,
    "azureaichatcompletionsmodel": AZURE_INFERENCE,
    "azureaiopenaiapichatmodel": AZURE_INFERENCE,
    "bedrock": BEDROCK,
    "bedrock_converse": BEDROCK,
    "bedrockconverse": BEDROCK,
    "google_anthropic_vertex": VERTEX,
    "google_genai": GEMINI,
    "google_vertexai": VERTEX,
    "googlegenerativeai": GEMINI,
    "ibm": WATSONX,
    "mistral": MISTRAL,
    "mistralai": MISTRAL,
    "moonshot": MOONSHOT,
    "vertexai": VERTEX,
    "watsonx": WATSONX,
    "xai": XAI,
}
"""``ls_provider`` in a run's metadata -> ``gen_ai.provider.name``."""

_TYPES: Final = {
    "amazon_bedrock": BEDROCK,
    "amazon_bedrock_chat": BEDROCK,
    "amazon_bedrock_converse_chat": BEDROCK,
    "anthropic-chat": ANTHROPIC,
    "anthropic-llm": ANTHROPIC,
    "azure": AZURE_OPENAI,
    "azure-openai-chat": AZURE_OPENAI,
    "chat-deepseek": DEEPSEEK,
    "chat-google-generative-ai": GEMINI,
    "chat-ollama": "ollama",
    "cohere": COHERE,
    "cohere-chat": COHERE,
    "fireworks-chat": "fireworks",
    "google_gemini": GEMINI,
    "groq-chat": GROQ,
    "IBM watsonx.ai": WATSONX,
    "mistralai-chat": MISTRAL,
    "moonshot-chat": MOONSHOT,
    "ollama-llm": "ollama",
    "openai": OPENAI,
    "openai-chat": OPENAI,
    "perplexitychat": PERPLEXITY,
    "tongyi": "dashscope",
    "vertexai": VERTEX,
    "xai-chat": XAI,
}
"""``_type`` in the invocation parameters -> ``gen_ai.provider.name``."""

_CLASSES: Final = {
    "AzureChatOpenAI": AZURE_OPENAI,
    "AzureOpenAI": AZURE_OPENAI,
    "BedrockLLM": BEDROCK,
    "ChatAnthropic": ANTHROPIC,
    "ChatBedrock": BEDROCK,
    "ChatBedrockConverse": BEDROCK,
    "ChatCohere": COHERE,
    "ChatDeepSeek": DEEPSEEK,
    "ChatFireworks": "fireworks",
    "ChatGoogleGenerativeAI": GEMINI,
    "ChatGroq": GROQ,
    "ChatMistralAI": MISTRAL,
    "ChatOllama": "ollama",
    "ChatOpenAI": OPENAI,
    "ChatPerplexity": PERPLEXITY,
    "ChatTongyi": "dashscope",
    "ChatVertexAI": VERTEX,
    "ChatWatsonx": WATSONX,
    "ChatXAI": XAI,
    "GoogleGenerativeAI": GEMINI,
    "OllamaLLM": "ollama",
    "OpenAI": OPENAI,
    "Tongyi": "dashscope",
    "VertexAI": VERTEX,
    "WatsonxLLM": WATSONX,
}
"""A model's class -> ``gen_ai.provider.name``."""


def class_name(serialized: object) -> str:
    """Return the class name of a serialized model, chain, tool or retriever."""
    path = mapping(serialized).get("id")
    return text(path[-1]) if isinstance(path, (list, tuple)) and path else ""


def provider_name(ls_provider: object, model_type: object, class_: str) -> str:
    """Return the provider of a model call.

    ``generate`` of a text model puts no ``ls_provider`` into the metadata. Then the
    model's type or class decides, if it belongs to one provider.
    """
    if name := text(ls_provider):
        return _NAMES.get(name, name)
    return _TYPES.get(text(model_type)) or _CLASSES.get(class_, "")


HTTPS_PORT: Final = 443
_PORTS: Final = {"http": 80, "https": HTTPS_PORT, "ws": 80, "wss": HTTPS_PORT}
_LONGEST_URL: Final = 4096

UNKNOWN: Final = ("", 0)
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
    port: int = HTTPS_PORT


_SERVERS: Final = {
    OPENAI: _Server(("OPENAI_API_BASE", "OPENAI_BASE_URL"), "api.openai.com"),
    AZURE_OPENAI: _Server(("AZURE_OPENAI_ENDPOINT", "OPENAI_API_BASE")),
    AZURE_INFERENCE: _Server(("AZURE_AI_ENDPOINT", "AZURE_INFERENCE_ENDPOINT")),
    ANTHROPIC: _Server(
        ("ANTHROPIC_API_URL", "ANTHROPIC_BASE_URL"), "api.anthropic.com"
    ),
    COHERE: _Server(("CO_API_URL",), "api.cohere.com"),
    DEEPSEEK: _Server(("DEEPSEEK_API_BASE",), "api.deepseek.com"),
    GEMINI: _Server(("GOOGLE_GEMINI_BASE_URL",), "generativelanguage.googleapis.com"),
    GROQ: _Server(("GROQ_API_BASE", "GROQ_BASE_URL"), "api.groq.com"),
    MISTRAL: _Server(("MISTRAL_BASE_URL", "MISTRAL_API_BASE"), "api.mistral.ai"),
    MOONSHOT: _Server(("MOONSHOT_API_BASE",), "api.moonshot.ai"),
    PERPLEXITY: _Server((), "api.perplexity.ai"),
    VERTEX: _Server(("GOOGLE_VERTEX_BASE_URL",)),
    WATSONX: _Server(("WATSONX_URL",)),
    XAI: _Server((), "api.x.ai"),
    BEDROCK: _Server(("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL")),
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
"""``gen_ai.provider.name`` -> its client's variables, in order, and default host."""

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
    """Return host and port of a provider with regional hosts."""
    if provider == BEDROCK:
        region = (
            text(arguments.get("region_name"))
            or text(os.environ.get("AWS_REGION"))
            or text(os.environ.get("AWS_DEFAULT_REGION"))
        )
        if region:
            return f"bedrock-runtime.{region}.amazonaws.com", HTTPS_PORT
    if provider == VERTEX and (location := text(arguments.get("location"))):
        prefix = "" if location == "global" else f"{location}-"
        return f"{prefix}aiplatform.googleapis.com", HTTPS_PORT
    return UNKNOWN
