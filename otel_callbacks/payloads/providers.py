"""Providers: what LangChain calls them, and what the conventions call them.

Names: https://github.com/open-telemetry/semantic-conventions-genai
(``gen_ai.provider.name``). A provider that the conventions do not list keeps
LangChain's name for it.
"""

from __future__ import annotations

from typing import Final

from otel_callbacks.payloads.values import mapping, text

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
    """Name the class of a serialized model, chain, tool or retriever.

    Args:
        serialized: What LangChain's ``dumpd`` made, or anything.

    Returns:
        The last part of the class path, or empty.
    """
    path = mapping(serialized).get("id")
    return text(path[-1]) if isinstance(path, (list, tuple)) and path else ""


def provider_name(ls_provider: object, model_type: object, class_: str) -> str:
    """Name the provider of a model call.

    ``generate`` of a text model puts no ``ls_provider`` into the metadata, so the
    model's type and its class are asked then; both only where they are certain.

    Args:
        ls_provider: ``ls_provider`` of the run's metadata.
        model_type: ``_type`` of the invocation parameters.
        class_: The model's class.

    Returns:
        ``gen_ai.provider.name``, or empty where nothing tells it.
    """
    if name := text(ls_provider):
        return _NAMES.get(name, name)
    return _TYPES.get(text(model_type)) or _CLASSES.get(class_, "")
