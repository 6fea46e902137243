"""What the real packages of five providers hand over, from their wire formats on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_mistralai import ChatMistralAI
from langchain_ollama import ChatOllama
from wire import Wire

from otel_callbacks import instrument, uninstrument
from otel_callbacks.settings import Settings
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
MODELS: dict[str, Callable[..., Any]] = {
    "anthropic": lambda url, **more: ChatAnthropic(
        model="claude-sonnet-4-5", base_url=url, api_key="x", max_retries=0, **more
    ),
    "mistral_ai": lambda url, **more: ChatMistralAI(
        model="mistral-small-latest",
        endpoint=f"{url}/v1",
        api_key="x",
        max_retries=1,
        **more,
    ),
    "ollama": lambda url, **more: ChatOllama(model="llama3.2", base_url=url, **more),
    "gcp.gemini": lambda url, **more: ChatGoogleGenerativeAI(
        model="gemini-2.5-flash",
        google_api_key="x",
        base_url=url,
        max_retries=1,
        **more,
    ),
    "aws.bedrock": lambda url, **more: ChatBedrockConverse(
        model=CLAUDE, endpoint_url=url, region_name="us-east-1", **more
    ),
}
REASONS = {"anthropic": "end_turn", "aws.bedrock": "end_turn", "gcp.gemini": "STOP"}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AWS's client sign its requests."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Return the server."""
    with Wire() as running:
        yield running


def attributes_of(wire: Wire, name: str, call: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the attributes of a call's one span."""
    with capture(Settings()) as telemetry:
        call(MODELS[name](wire.url, callbacks=[telemetry.handler]))
    (span,) = telemetry.spans
    found: dict[str, Any] = span["attributes"]
    return found


def assert_whole(attributes: dict[str, Any], wire: Wire, name: str) -> None:
    """Assert that a call has its provider, address, tokens and finish reason."""
    assert attributes["gen_ai.provider.name"] == name
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] == wire.port
    assert attributes["gen_ai.usage.input_tokens"] == 150
    assert attributes["gen_ai.usage.output_tokens"] == 7
    reasons = (REASONS.get(name, "stop"),)
    assert attributes["gen_ai.response.finish_reasons"] == reasons


@pytest.mark.parametrize("name", MODELS)
def test_answer(wire: Wire, name: str) -> None:
    """An answer has all that the provider has said."""
    attributes = attributes_of(wire, name, lambda model: model.invoke("Roses?"))
    assert_whole(attributes, wire, name)
    assert name == "ollama" or attributes["otel_callbacks.cost_usd"] > 0


@pytest.mark.parametrize("name", [name for name in MODELS if name != "anthropic"])
def test_stream(wire: Wire, name: str) -> None:
    """A stream has the same."""
    attributes = attributes_of(wire, name, lambda model: list(model.stream("Roses?")))
    assert_whole(attributes, wire, name)


def test_anthropic_stream_whose_input_goes_by(wire: Wire) -> None:
    """The handler alone says that the input is not known, and names no price."""
    with capture(Settings()) as telemetry:
        model = MODELS["anthropic"](wire.url, callbacks=[telemetry.handler])
        list(model.stream("Roses?"))
        assert telemetry.value("otel_callbacks_usage_missing_total") == 1
    (span,) = telemetry.spans
    assert "gen_ai.usage.input_tokens" not in span["attributes"]
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 7
    assert "otel_callbacks.cost_usd" not in span["attributes"]


def test_anthropic_stream_within_instrument(wire: Wire) -> None:
    """There a stream has the tokens, the id and the price of an answer."""
    with capture(Settings()) as telemetry:
        instrument(
            tracer_provider=telemetry.tracer_provider,
            registry=telemetry.registry,
            settings=Settings(),
        )
        try:
            list(MODELS["anthropic"](wire.url).stream("Roses?"))
        finally:
            uninstrument()
    (span,) = telemetry.spans
    attributes = span["attributes"]
    assert_whole(attributes, wire, "anthropic")
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 50
    assert attributes["gen_ai.response.id"] == "msg_1"
    assert attributes["otel_callbacks.cost_usd"] > 0


@tool
def look(query: str) -> str:
    """Look it up."""
    return query


CALLED = {"anthropic": "tool_use", "aws.bedrock": "tool_use", "gcp.gemini": "STOP"}


@pytest.mark.parametrize("name", MODELS)
def test_a_tool_is_called(wire: Wire, name: str) -> None:
    """The tool that the model asks for is in its answer, with its arguments."""
    with capture(Settings(capture_content="SPAN_ONLY")) as telemetry:
        model = MODELS[name](wire.url, callbacks=[telemetry.handler])
        answer = model.bind_tools([look]).invoke("Roses?")
    assert [call["name"] for call in answer.tool_calls] == ["look"]
    (span,) = telemetry.spans
    attributes = span["attributes"]
    (message,) = json.loads(attributes["gen_ai.output.messages"])
    (call,) = [part for part in message["parts"] if part["type"] == "tool_call"]
    assert (call["name"], call["arguments"]) == ("look", {"query": "roses"})
    (defined,) = json.loads(attributes["gen_ai.tool.definitions"])
    assert defined["name"] == "look"
    reason = CALLED.get(name, "stop" if name == "ollama" else "tool_calls")
    assert attributes["gen_ai.response.finish_reasons"] == (reason,)
    assert attributes["gen_ai.usage.input_tokens"] == 150


def test_the_stop_of_anthropics_constructor(wire: Wire) -> None:
    """It is in every request, and a call's own replaces it."""
    with capture(Settings()) as telemetry:
        model = MODELS["anthropic"](
            wire.url, callbacks=[telemetry.handler], stop=["END"]
        )
        model.invoke("Roses?")
        model.invoke("Roses?", stop=["now"])
    found = [
        span["attributes"]["gen_ai.request.stop_sequences"] for span in telemetry.spans
    ]
    assert found == [("END",), ("now",)]


@pytest.mark.parametrize("name", MODELS)
def test_refusal(wire: Wire, name: str) -> None:
    """What the provider refuses is named by its class."""
    wire.fail_with(429)
    with capture(Settings()) as telemetry:
        model = MODELS[name](wire.url, callbacks=[telemetry.handler])
        with pytest.raises(Exception, match=r"."):
            model.invoke("Roses?")
    (span,) = telemetry.spans
    assert span["status"] == "ERROR"
    assert span["attributes"]["otel_callbacks.error_class"] == "rate_limited"
