"""What LangChain calls providers, and what the conventions call them."""

from __future__ import annotations

from typing import Final

import pytest

from otel_callbacks._readers import provider as providers
from otel_callbacks._readers.provider import class_name, provider_name

CONVENTION: Final = {
    "anthropic",
    "aws.bedrock",
    "azure.ai.inference",
    "azure.ai.openai",
    "cohere",
    "deepseek",
    "gcp.gemini",
    "gcp.vertex_ai",
    "groq",
    "ibm.watsonx.ai",
    "mistral_ai",
    "moonshot_ai",
    "openai",
    "perplexity",
    "x_ai",
}
"""``gen_ai.provider.name`` of the registry, less the general ``gcp.gen_ai``."""


@pytest.mark.parametrize(
    ("ls_provider", "expected"),
    [
        ("openai", "openai"),
        ("azure", "azure.ai.openai"),
        ("amazon_bedrock", "aws.bedrock"),
        ("google_genai", "gcp.gemini"),
        ("google_vertexai", "gcp.vertex_ai"),
        ("mistralai", "mistral_ai"),
        ("mistral", "mistral_ai"),
        ("xai", "x_ai"),
        ("anthropic", "anthropic"),
        ("cohere", "cohere"),
        ("groq", "groq"),
        ("ollama", "ollama"),
        ("our-own-gateway", "our-own-gateway"),
    ],
)
def test_langchains_name_becomes_the_conventions(
    ls_provider: str, expected: str
) -> None:
    """Names that the conventions do not list pass through."""
    assert provider_name(ls_provider, None, "") == expected


@pytest.mark.parametrize(
    ("kind", "class_", "expected"),
    [
        ("openai", "OpenAI", "openai"),
        ("azure", "", "azure.ai.openai"),
        (None, "ChatAnthropic", "anthropic"),
        ("my-own", "ChatBedrockConverse", "aws.bedrock"),
        ("my-own", "MyChat", ""),
        (["openai"], "", ""),
        (None, "", ""),
    ],
)
def test_without_langchains_name_type_and_class_are_asked(
    kind: object, class_: str, expected: str
) -> None:
    """``generate`` of a text model says no provider; nothing is made up."""
    assert provider_name(None, kind, class_) == expected


@pytest.mark.parametrize("ls_provider", [None, "", 3, True, ["openai"], {"a": 1}])
def test_an_odd_name_is_no_name(ls_provider: object) -> None:
    """Wrong types are as good as nothing."""
    assert provider_name(ls_provider, None, "") == ""


def test_tables_hold_the_conventions_names() -> None:
    """Each provider of the registry that LangChain has can be reached."""
    told = {
        value
        for name, value in vars(providers).items()
        if name.isupper() and isinstance(value, str)
    }
    apis = {providers.CHAT_COMPLETIONS, providers.RESPONSES}
    assert told - apis == CONVENTION


@pytest.mark.parametrize(
    ("serialized", "expected"),
    [
        ({"id": ["langchain", "chat_models", "openai", "ChatOpenAI"]}, "ChatOpenAI"),
        ({"id": ("a", "B")}, "B"),
        ({"id": []}, ""),
        ({"id": [3]}, ""),
        ({"id": "ChatOpenAI"}, ""),
        ({}, ""),
        (None, ""),
        ("x", ""),
    ],
)
def test_class_name_is_the_end_of_the_path(serialized: object, expected: str) -> None:
    """Whatever else stands there is no class."""
    assert class_name(serialized) == expected
