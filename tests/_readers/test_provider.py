"""LangChain's provider names, the conventions' names, and server addresses."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import otel_callbacks
from otel_callbacks.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_openai import ChatOpenAI
    from reporting import Reporter

    from otel_callbacks.testing import Capture, FakeOpenAI

    Attributes = Callable[..., dict[str, Any]]

PROVIDERS: Final = tomllib.loads(
    (Path(otel_callbacks.__file__).parent / "_readers" / "provider.toml").read_text(
        "utf-8"
    )
)


@pytest.fixture
def provider_of(request_of: Attributes) -> Callable[..., str]:
    """Return what reports a call, and returns the provider on its span."""

    def report(ls_provider: object, kind: object = None, class_: str = "") -> str:
        attributes = request_of(
            {"_type": kind},
            metadata={"ls_provider": ls_provider},
            serialized={"id": ["langchain", class_]},
        )
        return str(attributes.get("gen_ai.provider.name", ""))

    return report


@pytest.fixture
def server_of(request_of: Attributes) -> Callable[..., tuple[str, int]]:
    """Return what reports a provider's call, and returns the server on its span."""

    def report(provider: str, arguments: object) -> tuple[str, int]:
        attributes = request_of(
            metadata={"ls_provider": provider},
            serialized={"type": "constructor", "kwargs": arguments},
        )
        address = attributes.get("server.address", "")
        return address, attributes.get("server.port", 0)

    return report


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
    ls_provider: str, expected: str, provider_of: Any
) -> None:
    """Names that the conventions do not list pass through."""
    assert provider_of(ls_provider) == expected


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
def test_type_and_class_decide_without_ls_provider(
    kind: object, class_: str, expected: str, provider_of: Any
) -> None:
    """``generate`` of a text model passes no provider; nothing is made up."""
    assert provider_of(None, kind, class_) == expected


@pytest.mark.parametrize("ls_provider", [None, "", 3, True, ["openai"], {"a": 1}])
def test_an_odd_name_is_no_name(ls_provider: object, provider_of: Any) -> None:
    """Wrong types count as no name."""
    assert provider_of(ls_provider) == ""


def test_tables_hold_the_conventions_names() -> None:
    """Each provider of the registry that LangChain has is in the table."""
    assert PROVIDERS.keys() >= CONVENTION


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
def test_class_name_is_the_end_of_the_path(
    serialized: object, expected: str, reporter: Reporter
) -> None:
    """Any other value is no class."""
    span = reporter.retrieval(serialized=serialized)
    assert span["name"] == f"retrieval {expected}".strip()


CHAT = "chat_completions"
RESPONSES = "responses"


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("openai-chat", {"model_name": "gpt-4o-mini"}, (CHAT, True)),
        ("azure-openai-chat", {"deployment_name": "shop"}, (CHAT, True)),
        ("openai-chat", {"use_responses_api": True}, (RESPONSES, False)),
        (
            "openai-chat",
            {"use_responses_api": False, "reasoning": {"effort": "low"}},
            (CHAT, False),
        ),
        ("openai-chat", {"reasoning": {"effort": "low"}}, (RESPONSES, False)),
        ("openai-chat", {"output_version": "responses/v1"}, (RESPONSES, False)),
        ("openai-chat", {"use_previous_response_id": True}, (RESPONSES, False)),
        ("openai-chat", {"model_name": "gpt-5-pro"}, ("", True)),
        ("openai-chat", {"model_name": "gpt-5-codex"}, ("", True)),
        ("openai-chat", {"model_name": 3}, ("", True)),
        ("openai-chat", {}, ("", True)),
        ("openai", {"model_name": "gpt-3.5-turbo-instruct"}, ("", False)),
        ("anthropic-chat", {"model_name": "x"}, ("", False)),
        (None, {}, ("", False)),
        (["openai-chat"], {}, ("", False)),
    ],
)
def test_constructor_arguments_select_api(
    kind: object,
    arguments: dict[object, object],
    expected: tuple[str, bool],
    request_of: Attributes,
) -> None:
    """If it depends on langchain-openai's version, the API is empty."""
    api, chosen_by_call = expected
    for params, found in (
        ({"_type": kind}, api),
        ({"_type": kind, "truncation": "auto"}, RESPONSES if chosen_by_call else api),
    ):
        attributes = request_of(params, serialized={"kwargs": arguments})
        assert attributes.get("openai.api.type", "") == found


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"model": "gpt-4o-mini"}, False),
        ({"text": {"verbosity": "low"}}, True),
        ({"previous_response_id": "resp_1"}, True),
        ({"tools": [{"type": "function", "function": {"name": "water"}}]}, False),
        ({"tools": [{"type": "web_search"}]}, True),
        ({"tools": [{"name": "water"}, "x", None]}, False),
        ({"tools": "web_search"}, False),
    ],
)
def test_parameters_of_call_can_require_responses(
    params: dict[str, object], *, expected: bool, request_of: Attributes
) -> None:
    """OpenAI's own tools and some parameters exist in that API only."""
    attributes = request_of(
        {"_type": "openai-chat", **params},
        serialized={"kwargs": {"model_name": "gpt-4o-mini"}},
    )
    assert (attributes["openai.api.type"] == RESPONSES) is expected


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({}, {}),
        ({"use_responses_api": True}, {}),
        ({"use_responses_api": False}, {"user": "rosa"}),
        ({"reasoning": {"effort": "low"}}, {}),
        ({"truncation": "auto"}, {}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"output_version": "responses/v1"}, {}),
        ({}, {"tools": [{"type": "web_search"}]}),
        ({}, {"text": {"verbosity": "low"}}),
        ({}, {"temperature": 0.5}),
    ],
)
def test_api_matches_langchain_openai(
    options: dict[str, Any],
    call: dict[str, Any],
    chat: Callable[..., ChatOpenAI],
    server: FakeOpenAI,
    telemetry: Capture,
) -> None:
    """The span names the API that langchain-openai calls."""
    server.script(Reply("Tulips."))
    chat(**options).invoke("Roses?", **call)
    (asked,) = server.requests
    called = RESPONSES if asked.path.endswith("/responses") else CHAT
    assert telemetry.spans[0]["attributes"]["openai.api.type"] == called


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's own variables."""
    for facts in PROVIDERS.values():
        for variable in facts.get("variables", ()):
            monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("openai", ("api.openai.com", 443)),
        ("anthropic", ("api.anthropic.com", 443)),
        ("gcp.gemini", ("generativelanguage.googleapis.com", 443)),
        ("mistral_ai", ("api.mistral.ai", 443)),
        ("ollama", ("127.0.0.1", 11434)),
        ("dashscope", ("dashscope.aliyuncs.com", 443)),
        ("azure.ai.openai", ("", 0)),
        ("gcp.vertex_ai", ("", 0)),
        ("aws.bedrock", ("", 0)),
        ("our-own-gateway", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_the_default_is_the_providers_own_host(
    provider: str, expected: tuple[str, int], server_of: Any
) -> None:
    """A provider with several hosts has no default."""
    assert server_of(provider, {}) == expected


@pytest.mark.parametrize(
    ("provider", "arguments", "expected"),
    [
        (
            "openai",
            {"openai_api_base": "https://dashscope.aliyuncs.com/compatible-mode/v1"},
            ("dashscope.aliyuncs.com", 443),
        ),
        ("openai", {"base_url": "http://127.0.0.1:8000/v1"}, ("127.0.0.1", 8000)),
        (
            "azure.ai.openai",
            {"azure_endpoint": "https://shop.openai.azure.com/"},
            ("shop.openai.azure.com", 443),
        ),
        ("anthropic", {"anthropic_api_url": "http://proxy/v1"}, ("proxy", 80)),
        ("ollama", {"base_url": "http://gpu:11434"}, ("gpu", 11434)),
        ("aws.bedrock", {"endpoint_url": "https://vpce.aws"}, ("vpce.aws", 443)),
        (
            "aws.bedrock",
            {"region_name": "eu-west-1"},
            ("bedrock-runtime.eu-west-1.amazonaws.com", 443),
        ),
        (
            "gcp.vertex_ai",
            {"location": "europe-west4"},
            ("europe-west4-aiplatform.googleapis.com", 443),
        ),
        ("gcp.vertex_ai", {"location": "global"}, ("aiplatform.googleapis.com", 443)),
        ("openai", {"base_url": None, "openai_api_base": ""}, ("api.openai.com", 443)),
    ],
)
def test_the_constructors_argument_comes_first(
    provider: str,
    arguments: dict[object, object],
    expected: tuple[str, int],
    server_of: Any,
) -> None:
    """An argument that is not set does not count."""
    assert server_of(provider, arguments) == expected


@pytest.mark.parametrize(
    ("provider", "variable", "value", "expected"),
    [
        ("openai", "OPENAI_BASE_URL", "http://vllm:8000/v1", ("vllm", 8000)),
        ("openai", "OPENAI_API_BASE", "https://qwen.example/v1", ("qwen.example", 443)),
        (
            "azure.ai.openai",
            "AZURE_OPENAI_ENDPOINT",
            "https://a.azure",
            ("a.azure", 443),
        ),
        (
            "anthropic",
            "ANTHROPIC_BASE_URL",
            "https://claude.here",
            ("claude.here", 443),
        ),
        ("ollama", "OLLAMA_HOST", "gpu", ("gpu", 11434)),
        ("ollama", "OLLAMA_HOST", "0.0.0.0:9999", ("0.0.0.0", 9999)),  # noqa: S104 -- as users set it
        (
            "aws.bedrock",
            "AWS_REGION",
            "us-east-1",
            ("bedrock-runtime.us-east-1.amazonaws.com", 443),
        ),
        (
            "aws.bedrock",
            "AWS_DEFAULT_REGION",
            "us-east-2",
            ("bedrock-runtime.us-east-2.amazonaws.com", 443),
        ),
    ],
)
def test_the_providers_variable_comes_next(
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    variable: str,
    value: str,
    expected: tuple[str, int],
    server_of: Any,
) -> None:
    """Callbacks do not contain it, but the provider's client reads it."""
    monkeypatch.setenv(variable, value)
    assert server_of(provider, {}) == expected


def test_langchains_variable_wins_over_the_clients(
    monkeypatch: pytest.MonkeyPatch, server_of: Any
) -> None:
    """langchain-openai reads OPENAI_API_BASE, and its client the other."""
    monkeypatch.setenv("OPENAI_API_BASE", "http://first/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://second/v1")
    assert server_of("openai", {}) == ("first", 80)


def test_a_variable_of_another_provider_does_not_count(
    monkeypatch: pytest.MonkeyPatch, server_of: Any
) -> None:
    """OPENAI_BASE_URL does not apply to Anthropic."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://vllm:8000/v1")
    assert server_of("anthropic", {}) == ("api.anthropic.com", 443)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:secret@gateway.example:8443/v1", ("gateway.example", 8443)),
        ("user:secret@gateway.example/v1", ("gateway.example", 443)),
        ("http://[::1]:8000/v1", ("::1", 8000)),
        ("https://[2001:db8::1]/v1", ("2001:db8::1", 443)),
        ("localhost:11434", ("localhost", 11434)),
        ("  https://API.Example.com  ", ("api.example.com", 443)),
        ("http://host:0/v1", ("host", 80)),
        ("http://花店.example/v1", ("花店.example", 80)),
    ],
)
def test_host_and_port_of_a_url(
    url: str, expected: tuple[str, int], server_of: Any
) -> None:
    """User names and passwords are left out."""
    assert server_of("openai", {"base_url": url}) == expected


@pytest.mark.parametrize(
    "value",
    [
        "http://host:99999/v1",
        "http://host:port/v1",
        "http://[::1/v1",
        "http://",
        "https:///v1",
        ":11434",
        "unix:///var/run/x.sock",
        "x" * 10_000_000,
        ["http://host"],
        {"lc": 1, "type": "secret", "id": ["OPENAI_API_BASE"]},
        SecretStr("http://host"),
        8000,
        True,
    ],
)
def test_an_address_that_cannot_be_read_is_unknown(
    value: object, server_of: Any
) -> None:
    """An address is set, so the default host would be wrong."""
    assert server_of("openai", {"base_url": value}) == ("", 0)


def test_a_lone_surrogate_in_a_host_is_replaced(server_of: Any) -> None:
    """Otherwise the exporter would lose its batch."""
    assert server_of("openai", {"base_url": "http://a\ud800/"})[0].encode()


@pytest.mark.parametrize(
    ("serialized", "expected"),
    [
        (
            {"type": "constructor", "kwargs": {"base_url": "http://u"}},
            {"server.address": "u", "server.port": 80},
        ),
        (
            {
                "lc": 1,
                "type": "not_implemented",
                "id": ["langchain_ollama", "chat_models", "ChatOllama"],
                "repr": "ChatOllama(model='qwen3', base_url='http://gpu:11434')",
            },
            {
                "gen_ai.provider.name": "ollama",
                "gen_ai.request.model": "qwen3",
                "server.address": "gpu",
                "server.port": 11434,
            },
        ),
        ({"type": "not_implemented", "id": ["x"]}, {}),
        ({"kwargs": ["x"]}, {}),
        ({"repr": 3}, {}),
        (None, {}),
        ("ChatOpenAI", {}),
    ],
)
def test_arguments_come_from_the_serialized_model(
    serialized: object, expected: dict[str, object], request_of: Attributes
) -> None:
    """A class that LangChain cannot serialize still has its repr."""
    attributes = request_of(serialized=serialized)
    del attributes["gen_ai.operation.name"]
    assert attributes == expected


def _urls() -> Iterator[st.SearchStrategy[str]]:
    """List possible pieces of a URL."""
    yield st.text()
    yield st.from_regex(r"[a-z]{0,5}:?/{0,3}[^/]*@?\[?[0-9a-f:.]*\]?:[0-9a-z]*/?")


def test_any_url_gives_an_address(server_of: Any) -> None:
    """Host and port are both known or both unknown, and can be sent."""

    @given(
        st.one_of(*_urls()), st.sampled_from(["openai", "ollama", "aws.bedrock", "x"])
    )
    def report(url: str, provider: str) -> None:
        address, port = server_of(provider, {"base_url": url})
        assert address.encode() or address == ""
        assert 0 <= port <= 65535
        assert bool(address) == bool(port)

    report()
