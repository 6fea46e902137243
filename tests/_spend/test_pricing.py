from __future__ import annotations

import logging
import time
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from otel_callbacks import Settings
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._readers.response import model_response
from otel_callbacks._records import Cost, Request, Response, Usage
from otel_callbacks._spend import pricing
from otel_callbacks._spend.pricing import Pricing
from otel_callbacks._spend.rates import CACHE_WRITE_1H, FAST, WEB_SEARCH
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from otel_callbacks.testing import FakeOpenAI

REQUEST = Request("chat", "x", "openai", "gpt-4o-mini", "api.openai.com", 443)
RESPONSE = Response("gpt-4o-mini-2024-07-18", usage=Usage(1_000_000, 0))
NOW = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()) * 10**9
HOUR = 3_600 * 10**9


@pytest.fixture
def diagnostics() -> Diagnostics:
    """Raise what would be a line in the log."""
    return Diagnostics(strict=True)


@pytest.fixture
def known() -> Iterator[None]:
    """Put genai-prices' own prices back."""
    yield
    set_custom_snapshot(None)


def test_known_models_have_their_price(diagnostics: Diagnostics) -> None:
    """By the model that answered."""
    price = Pricing(diagnostics).price
    assert price(REQUEST, RESPONSE, NOW) == Decimal("0.15")
    assert price(REQUEST, RESPONSE, NOW) == Decimal("0.15")


def test_the_requested_model_is_the_fallback(diagnostics: Diagnostics) -> None:
    """Where the one that answered is not known, or not said."""
    price = Pricing(diagnostics).price
    assert price(REQUEST, RESPONSE._replace(model=""), NOW) == Decimal("0.15")
    assert price(REQUEST, RESPONSE._replace(model="rose-1"), NOW) == Decimal("0.15")


def test_the_models_of_several_deployments_are_remembered(
    diagnostics: Diagnostics,
) -> None:
    """Whichever of them has answered last, a stream may not name its model."""
    price = Pricing(diagnostics, is_logged=False).price
    first, second = (REQUEST._replace(model=name) for name in ("roses", "lilies"))
    assert price(first, RESPONSE, NOW) == Decimal("0.15")
    assert price(second, RESPONSE._replace(model="gpt-4o"), NOW) == Decimal("2.5")
    assert price(first, RESPONSE._replace(model=""), NOW) == Decimal("0.15")


def test_embeddings_have_a_price(diagnostics: Diagnostics) -> None:
    """They have no output."""
    request = REQUEST._replace(operation="embeddings", model="text-embedding-3-small")
    response = Response(usage=Usage(1_000_000))
    assert Pricing(diagnostics).price(request, response, NOW) == Decimal("0.02")


def test_the_tier_that_answered_counts(diagnostics: Diagnostics) -> None:
    """Priority costs more."""
    price = Pricing(diagnostics).price
    first = RESPONSE._replace(attributes={"openai.response.service_tier": "priority"})
    assert price(REQUEST, first, NOW) == Decimal("0.25")
    assert price(REQUEST, RESPONSE, NOW) == Decimal("0.15")


def test_the_providers_own_word_comes_first(
    diagnostics: Diagnostics, tmp_path: Path
) -> None:
    """Before the user's price and the known one, and without any."""
    own = tmp_path / "prices.toml"
    own.write_text('[[prices]]\nmodel = "gpt-4o-mini*"\ninput = 3\n')
    price = Pricing(diagnostics, str(own)).price
    assert price(REQUEST, RESPONSE, NOW) == 3
    told = RESPONSE._replace(reported_cost=Decimal("0.5"))
    assert price(REQUEST, told, NOW) == Decimal("0.5")
    assert price(REQUEST, Response(reported_cost=Decimal(0)), NOW) == 0


def test_what_is_no_model_call_has_no_cost(diagnostics: Diagnostics) -> None:
    """An agent's usage is that of the calls below it."""
    agent = REQUEST._replace(operation="invoke_agent")
    told = RESPONSE._replace(reported_cost=Decimal("0.5"))
    assert Pricing(diagnostics).price(agent, told, NOW) is None


@pytest.mark.parametrize("usage", [None, Usage(), Usage(None, None, 5), Usage(None, 5)])
def test_without_usage_the_cost_is_not_known(
    diagnostics: Diagnostics, usage: Usage | None, caplog: pytest.LogCaptureFixture
) -> None:
    """No usage is no price, and no reason to complain about one."""
    response = RESPONSE._replace(usage=usage, model="rose-1")
    request = REQUEST._replace(model="rose-2")
    assert Pricing(diagnostics).price(request, response, NOW) is None
    assert not caplog.records


def test_prices_change_at_midnight_and_in_the_day(diagnostics: Diagnostics) -> None:
    """What is remembered does not outlive a change, in either direction."""
    price = Pricing(diagnostics).price
    o3 = REQUEST._replace(model="o3"), Response(usage=Usage(1_000_000, 0))
    changed = int(datetime(2025, 6, 10, tzinfo=UTC).timestamp()) * 10**9
    assert price(*o3, changed - 1) == 10
    assert price(*o3, changed) == 2
    assert price(*o3, changed - 1) == 10
    deepseek = Request("chat", "x", "deepseek", "deepseek-reasoner")
    day = NOW - 12 * HOUR
    night = price(deepseek, o3[1], day)
    noon = price(deepseek, o3[1], day + 12 * HOUR)
    assert night is not None
    assert noon is not None
    assert night < noon
    assert price(deepseek, o3[1], day + 16 * HOUR + HOUR // 2) == night
    assert price(deepseek, o3[1], day + 16 * HOUR + HOUR // 2 - 1) == noon


def test_a_price_of_the_file_changes_at_midnight(
    diagnostics: Diagnostics, tmp_path: Path
) -> None:
    """Whenever of the day it was used before, in either direction."""
    own = tmp_path / "prices.toml"
    entry = '[[prices]]\nmodel = "gpt-4o-mini*"\n'
    own.write_text(f"{entry}input = 3\n{entry}input = 4\nfrom = 2026-11-22\n")
    price = Pricing(diagnostics, str(own)).price
    midnight = NOW + 12 * HOUR
    for moment in (NOW, midnight + HOUR, NOW, midnight, midnight - 1, NOW + 48 * HOUR):
        assert price(REQUEST, RESPONSE, moment) == (4 if moment >= midnight else 3)


def test_a_price_is_that_of_the_day_however_long_ago_the_last_call_was(
    diagnostics: Diagnostics,
) -> None:
    """Also for another request of the same model."""
    price = Pricing(diagnostics).price
    changed = int(datetime(2025, 6, 10, tzinfo=UTC).timestamp()) * 10**9
    usage = Response(usage=Usage(1_000_000, 0))
    for moment in (changed - 72 * HOUR, changed + 72 * HOUR, changed - 72 * HOUR):
        o3 = REQUEST._replace(model="o3")
        for _ in range(2):
            assert price(o3, usage, moment) == (10 if moment < changed else 2)
            assert price(o3, usage, changed) == 2
            assert price(o3, usage, moment) == (10 if moment < changed else 2)


@pytest.mark.parametrize("models", [("gpt-4o", "gpt-4o-mini"), ("gpt-4o-mini", "o3")])
def test_each_answer_has_the_price_of_its_own_model(
    diagnostics: Diagnostics, models: tuple[str, str]
) -> None:
    """A router answers one request with another model each time."""
    price = Pricing(diagnostics).price
    dollars = {"gpt-4o": Decimal("2.5"), "gpt-4o-mini": Decimal("0.15"), "o3": 2}
    for model in (*models, *models[::-1]):
        cost = price(REQUEST, RESPONSE._replace(model=model), NOW)
        assert cost == dollars[model]


@pytest.mark.recent  # the lowest price list has no fast prices
def test_only_a_fast_call_has_the_price_of_one(diagnostics: Diagnostics) -> None:
    """Neither the next call nor one with other items beside its tokens has it."""
    price = Pricing(diagnostics).price
    request = Request("chat", "x", "anthropic", "claude-opus-4-8")
    plain = Response("claude-opus-4-8", usage=Usage(1_000, 1_000))
    for billed, dollars in (
        ((), "0.03"),
        (((FAST, 1),), "0.06"),
        ((), "0.03"),
        (((WEB_SEARCH, 10),), "0.13"),
        (((CACHE_WRITE_1H, 0),), "0.03"),
        ((), "0.03"),
    ):
        response = plain._replace(billed=billed)
        assert price(request, response, NOW) == Decimal(dollars)


@pytest.mark.usefixtures("known")
def test_newer_prices_are_used_when_they_come(diagnostics: Diagnostics) -> None:
    """An app may run genai-prices' updater."""
    price = Pricing(diagnostics).price
    assert price(REQUEST, RESPONSE, NOW) == Decimal("0.15")
    set_custom_snapshot(DataSnapshot(providers=[], from_auto_update=True))
    assert price(REQUEST, RESPONSE, NOW) is None
    set_custom_snapshot(None)
    assert price(REQUEST, RESPONSE, NOW) == Decimal("0.15")


def test_a_model_without_a_price_is_logged_once(
    caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """By provider, model and server, with what to do."""
    price = Pricing(diagnostics).price
    request = REQUEST._replace(model="rose-1", server_address="llm.example")
    response = RESPONSE._replace(model="")
    assert price(request, response, NOW) is None
    assert price(request, response, NOW) is None
    (line,) = caplog.messages
    for said in ("'rose-1'", "'openai'", "llm.example", "OTEL_CALLBACKS_PRICES"):
        assert said in line
    nowhere = request._replace(server_address="", provider="garden")
    assert price(nowhere, response, NOW) is None
    assert "garden" in caplog.messages[-1]
    assert " at " not in caplog.messages[-1]


def test_the_logged_entry_can_be_put_into_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """As it stands, below others, again and again, whatever a model is called."""
    price = Pricing(diagnostics).price
    models = ["rose-1", "rose-2", 'a "rose"\\2', "rose\n[[prices]]", "🌹-花"]
    requests = [
        REQUEST._replace(model=model, provider=provider, server_address=server)
        for model, provider, server in zip(
            models,
            ("openai", "openai", "garden", "", "garden"),
            ("llm.example", "", "llm.example", "", "::1"),
            strict=True,
        )
    ]
    for request in requests:
        assert price(request, RESPONSE._replace(model=""), NOW) is None
    tables = [
        message.partition("names:\n")[2].replace("0.0", "1.0")
        for message in caplog.messages
    ]
    path = tmp_path / "prices.toml"
    path.write_text(
        '[[prices]]\nmodel = "tulip-*"\ninput = 1\n' + "\n".join(tables), "utf-8"
    )
    price = Pricing(diagnostics, str(path)).price
    for request in requests:
        response = RESPONSE._replace(model="", usage=Usage(1_000_000, 0))
        assert price(request, response, NOW) == 1


def test_a_fake_model_costs_nothing(
    caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """A fake model has no price and needs none."""
    request = REQUEST._replace(provider="fake", model="rose-1")
    assert Pricing(diagnostics).price(request, RESPONSE._replace(model=""), NOW) is None
    assert not caplog.records


def test_lines_are_bounded(
    caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """A thousand models make no thousand lines."""
    price = Pricing(diagnostics).price
    for number in range(1_000):
        request = REQUEST._replace(model=f"rose-{number}")
        price(request, RESPONSE._replace(model=""), NOW)
    assert len(caplog.records) == 50


def test_a_call_without_a_model_has_no_line_for_a_file(
    caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """No entry of a file of prices could name it."""
    request = REQUEST._replace(model="", provider="")
    assert Pricing(diagnostics).price(request, RESPONSE._replace(model=""), NOW) is None
    (record,) = caplog.records
    assert "name no model" in record.getMessage()
    assert "[[prices]]" not in record.getMessage()


def test_it_can_be_silent(
    caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """Without our own series there is nothing to complain about."""
    price = Pricing(diagnostics, is_logged=False).price
    assert (
        price(REQUEST._replace(model=""), Response("rose", usage=Usage(1)), 0) is None
    )
    assert not caplog.records


def test_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch, diagnostics: Diagnostics
) -> None:
    """An app may make up a model's name for each call."""
    monkeypatch.setattr(pricing, "_KEPT_AT_MOST", 10)
    made = Pricing(diagnostics, is_logged=False)
    before = len(get_snapshot()._provider_cache)
    for number in range(100):
        request = REQUEST._replace(model=f"garden-{number}")
        made.price(request, RESPONSE._replace(model=f"rose-{number}"), NOW)
        # Nothing public shows how much is remembered.
        assert len(made._found) <= 10
        assert len(made._answered) <= 10
    assert len(get_snapshot()._provider_cache) <= before + 1


def test_a_trouble_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A list of prices that cannot be read costs the cost, and is counted."""

    def broken(*_: Any) -> None:
        message = "no prices today"
        raise RuntimeError(message)

    monkeypatch.setattr(pricing, "sold", broken)
    diagnostics = Diagnostics()
    price = Pricing(diagnostics).price
    assert price(REQUEST, RESPONSE, NOW) is None
    assert diagnostics.counts() == {"price": 1}
    assert "RuntimeError" in caplog.text
    with pytest.raises(RuntimeError):
        Pricing(Diagnostics(strict=True)).price(REQUEST, RESPONSE, NOW)


def test_a_calls_cost_is_on_its_span(server: FakeOpenAI, tmp_path: Path) -> None:
    """Through the handler, with a server that stands for the provider."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 -- a second of imports

    path = tmp_path / "prices.toml"
    path.write_text('[[servers]]\nserver = "127.0.0.1"\nprovider = "openai"\n')
    settings = Settings(prices=str(path), strict=True)
    with capture(settings=settings) as telemetry:
        model = ChatOpenAI(
            model="gpt-4o-mini",
            base_url=server.base_url,
            api_key="sk-test",
            callbacks=[telemetry.handler],
        )
        model.invoke("roses?")
        span = telemetry.span("chat gpt-4o-mini")
    (tokens,) = server.usage.values()
    expected = Decimal(tokens.input * 15 + tokens.output * 60) / 10**8
    assert span["attributes"]["otel_callbacks.cost_usd"] == float(expected)


def test_log_lines_are_warnings(
    caplog: pytest.LogCaptureFixture, diagnostics: Diagnostics
) -> None:
    """They are seen in an app that has set up no logging."""
    price = Pricing(diagnostics).price
    price(REQUEST._replace(model="rose-1"), Response(usage=Usage(1)), time.time_ns())
    assert [line.levelno for line in caplog.records] == [logging.WARNING]


DETAILS: Any = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100_000}


def bill(
    name: str,
    provider: str,
    usage: Any,
    raw: Any = None,
    content: Any = "Roses",
    **more: Any,
) -> tuple[Cost, Usage | None]:
    """Return what a model's answer cost, read as LangChain hands it over."""
    outputs = more.pop("tool_outputs", None)
    metadata = {"model_name": name, "usage": raw or {}, **more}
    total = usage.setdefault(
        "total_tokens", usage["input_tokens"] + usage["output_tokens"]
    )
    assert total
    message = AIMessage(content, usage_metadata=usage, response_metadata=metadata)
    if outputs is not None:
        message.additional_kwargs["tool_outputs"] = outputs
    result = LLMResult(generations=[[ChatGeneration(message=message)]])
    response = model_response(result)
    request = Request("chat", name, provider, name)
    return Pricing(Diagnostics(strict=True)).cost(
        request, response, NOW
    ), response.usage


@pytest.mark.parametrize(
    ("name", "provider", "usage", "raw", "dollars", "is_partial"),
    [
        (
            *("claude-sonnet-4-5", "anthropic"),
            {
                "input_tokens": 100_000,
                "output_tokens": 0,
                "input_token_details": DETAILS,
            },
            *({}, "0.6", False),
        ),
        (
            *("claude-sonnet-4-5", "anthropic"),
            {"input_tokens": 1_000, "output_tokens": 100},
            {"server_tool_use": {"web_search_requests": 10}},
            *("0.1045", False),
        ),
        pytest.param(
            *("claude-opus-4-8", "anthropic"),
            {"input_tokens": 1_000, "output_tokens": 1_000},
            *({"speed": "fast"}, "0.06", False),
            marks=pytest.mark.recent,  # the lowest price list has no fast prices
        ),
        (
            *("claude-opus-4-6", "anthropic"),
            {"input_tokens": 1_000, "output_tokens": 1_000},
            *({"speed": "fast"}, "0.03", True),
        ),
        *(
            (
                *("claude-opus-4-6", "anthropic"),
                {"input_tokens": 1_000, "output_tokens": 1_000},
                *(raw, "0.03", is_partial),
            )
            for raw, is_partial in (
                ({"inference_geo": "us"}, True),
                ({"inference_geo": "global", "service_tier": "standard"}, False),
                ({"inference_geo": "not_available"}, False),
                ({"service_tier": "priority"}, True),
                ({"inference_geo": ["us"], "service_tier": 7}, False),
            )
        ),
        (
            *("gemini-2.5-flash-image", "gcp.gemini"),
            {
                "input_tokens": 10,
                "output_tokens": 1_290,
                "output_token_details": {"image": 1_290},
            },
            *({}, "0.038703", False),
        ),
        (
            *("grok-3-mini", "x_ai"),
            {
                "input_tokens": 20,
                "output_tokens": 10,
                "total_tokens": 330,
                "output_token_details": {"reasoning": 300},
            },
            *({}, "0.000161", False),
        ),
    ],
)
def test_parts_with_a_price_of_their_own(
    name: str, provider: str, usage: Any, raw: Any, dollars: str, *, is_partial: bool
) -> None:
    """They are priced where their price is known, or the call is partly priced."""
    assert bill(name, provider, usage, raw)[0] == Cost(Decimal(dollars), is_partial)


def test_searches_of_openai_are_in_its_metadata() -> None:
    """One for each call of the search."""
    content = [{"type": "web_search_call"}, {"type": "text", "text": "Roses"}]
    usage = {"input_tokens": 1_000, "output_tokens": 0}
    cost, _ = bill("gpt-4o", "openai", usage, None, content)
    assert cost == Cost(Decimal("0.0125"))


IMAGE: Any = {"type": "image_generation_call", "id": "ig_1"}


def in_shell(kind: str) -> dict[str, Any]:
    """Return a call of OpenAI's shell."""
    return {"type": "shell_call", "environment": {"type": kind}}


def of_claude(name: str) -> dict[str, Any]:
    """Return a call of a tool that Anthropic runs."""
    return {"type": "server_tool_use", "name": name, "id": "1", "input": {}}


SEARCH: Any = {"type": "web_search_call", "status": "completed"}
OF_BLOCKS: Any = [
    {"type": "server_tool_call", "name": "web_search", "id": "1"},
    {"type": "server_tool_call", "name": "file_search", "id": "2"},
    {"type": "server_tool_result", "name": "web_search"},
    {"type": "tool_call", "name": "web_search", "args": {}, "id": "3"},
]


@pytest.mark.parametrize(
    ("name", "provider", "content", "more", "dollars", "is_partial"),
    [
        ("gpt-4.1", "openai", OF_BLOCKS, {}, "0.0145", False),
        ("gpt-4.1", "openai", "x", {"tool_outputs": [SEARCH, SEARCH]}, "0.022", False),
        ("gpt-4.1", "openai", [{"type": "file_search_call"}], {}, "0.0045", False),
        ("gpt-4.1", "openai", [{"type": "code_interpreter_call"}], {}, "0.002", True),
        ("gpt-4.1", "openai", [{"type": "function_call"}, "x"], {}, "0.002", False),
        ("gpt-4.1", "openai", [{"type": "image_generation_call"}], {}, "0.002", True),
        (
            *("gpt-4.1", "openai", [{"type": "image", "id": "ig_1", "base64": "x"}]),
            *({}, "0.002", True),
        ),
        ("gpt-4.1", "openai", [{"type": "image", "base64": "x"}], {}, "0.002", False),
        ("gpt-4.1", "openai", "x", {"tool_outputs": [IMAGE]}, "0.002", True),
        ("gpt-4.1", "openai", [in_shell("container_reference")], {}, "0.002", True),
        ("gpt-4.1", "openai", [in_shell("local")], {}, "0.002", False),
        (
            *("claude-sonnet-4-5", "anthropic", [of_claude("bash_code_execution")]),
            *({}, "0.003", True),
        ),
        (
            *("claude-sonnet-4-5", "anthropic", [of_claude("web_fetch")]),
            *({}, "0.003", False),
        ),
        *(
            ("gemini-2.5-flash", "gcp.gemini", "x", {key: maps}, "0.0003", is_partial)
            for key, maps, is_partial in (
                (
                    "grounding_metadata",
                    {"grounding_chunks": [{"maps": {"t": 1}}]},
                    True,
                ),
                ("groundingMetadata", {"groundingChunks": [{"maps": {"t": 1}}]}, True),
                ("grounding_metadata", {"grounding_chunks": [{"maps": None}]}, False),
            )
        ),
        *(
            ("amazon.nova-pro-v1:0", "aws.bedrock", "x", more, "0.0008", is_partial)
            for more, is_partial in (
                ({"serviceTier": {"type": "priority"}}, True),
                ({"serviceTier": {"type": "default"}}, False),
                ({"performanceConfig": {"latency": "optimized"}}, True),
                ({"performanceConfig": {"latency": "standard"}}, False),
            )
        ),
        ("gpt-4.1", "openai", [{**OF_BLOCKS[0], "name": ["x"]}], {}, "0.002", False),
        (
            *("grok-4", "x_ai", "x"),
            *({"token_usage": {"num_sources_used": 5}}, "0.003", True),
        ),
        (
            *("gemini-2.5-flash", "gcp.gemini", "x"),
            {"grounding_metadata": {"web_search_queries": ["a", "b"]}},
            *("0.0353", False),
        ),
        (
            *("gemini-3-flash-preview", "gcp.gemini", "x"),
            {"groundingMetadata": {"webSearchQueries": ["a", "b"]}},
            *("0.0285", False),
        ),
        (
            *("gemini-2.5-flash", "gcp.gemini", "x"),
            *({"grounding_metadata": {"web_search_queries": []}}, "0.0003", False),
        ),
    ],
)
def test_tools_that_the_provider_runs(
    name: str, provider: str, content: Any, more: Any, dollars: str, *, is_partial: bool
) -> None:
    """Searches cost what the list says; what it does not say is a part unpriced."""
    usage = {"input_tokens": 1_000, "output_tokens": 0}
    cost, _ = bill(name, provider, usage, None, content, **more)
    assert cost == Cost(Decimal(dollars), is_partial)


def test_a_model_that_searches_for_each_answer() -> None:
    """OpenAI says nothing of it in the answer."""
    usage = {"input_tokens": 1_000, "output_tokens": 0}
    cost, _ = bill("gpt-4o-search-preview", "openai", usage)
    assert cost.usd == Decimal("0.0125") or cost.is_partial


def test_a_reported_zero_does_not_beat_a_known_price(diagnostics: Diagnostics) -> None:
    """LiteLLM reports one for what its map lacks; without a known price it stays."""
    price = Pricing(diagnostics).price
    zero = RESPONSE._replace(reported_cost=Decimal(0))
    assert price(REQUEST, zero, NOW) == Decimal("0.15")
    unknown = REQUEST._replace(model="rose-1"), zero._replace(model="rose-1")
    assert price(*unknown, NOW) == 0


@pytest.mark.parametrize("name", ["roses", "bouquet"])
def test_a_deployment_costs_what_its_answers_say_it_is(
    diagnostics: Diagnostics, name: str
) -> None:
    """From the second call on, before its answer has come."""
    price = Pricing(diagnostics).price
    ours = REQUEST._replace(model=name, provider="azure.ai.openai")
    asked = Response(usage=Usage(1_000_000, 0))
    assert price(ours, asked, NOW) is None
    assert price(ours, RESPONSE, NOW) == Decimal("0.15")
    assert price(ours, asked, NOW) == Decimal("0.15")


@pytest.mark.parametrize(
    ("provider", "address", "model"),
    [
        ("openai", "", "gemini/gemini-2.5-flash"),
        ("openai", "proxy.example", "vertex_ai/gemini-2.5-flash"),
        ("openai", "proxy.example", "anthropic/claude-sonnet-4-5"),
        ("openai", "ai-gateway.vercel.sh", "xai/grok-4"),
        ("openai", "models.github.ai", "openai/gpt-4o"),
        ("openai", "proxy.example", "bedrock/anthropic.claude-3-haiku-20240307-v1:0"),
        ("gcp.gemini", "", "models/gemini-2.5-flash"),
        ("gcp.vertex_ai", "", "publishers/google/models/gemini-2.5-flash"),
        ("gcp.vertex_ai", "", "projects/p/locations/eu/models/gemini-2.5-flash"),
        ("google", "generativelanguage.googleapis.com", "gemini/gemini-2.5-flash"),
        ("openai", "x.cloud.databricks.com", "databricks-llama-4-maverick"),
        ("openai", "api.together.ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("openai", "api.cloudflare.com", "@cf/meta/llama-3.1-8b-instruct"),
        ("openai", "router.huggingface.co", "openai/gpt-oss-120b:groq"),
        ("openai", "router.huggingface.co", "meta-llama/Llama-3.3-70B-Instruct:groq"),
        ("openai", "router.huggingface.co", "deepseek-ai/DeepSeek-V3-0324:sambanova"),
    ],
)
def test_names_find_their_price(
    diagnostics: Diagnostics, provider: str, address: str, model: str
) -> None:
    """With the prefix of a proxy, and by hosts that the list knows by a path."""
    request = Request("chat", model, provider, model, address, 443 if address else 0)
    assert Pricing(diagnostics).price(request, Response(usage=Usage(1_000, 10)), NOW)


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("integrate.api.nvidia.com", "meta/llama-3.1-8b-instruct"),
        ("dashscope.aliyuncs.com", "qwen-plus"),
        ("router.huggingface.co", "meta-llama/Llama-3.3-70B-Instruct:nobody"),
    ],
)
def test_a_missing_price_is_logged_with_the_table_to_add(
    diagnostics: Diagnostics, caplog: pytest.LogCaptureFixture, address: str, model: str
) -> None:
    """It is one of the file of prices."""
    request = Request("chat", model, "openai", model, address, 443)
    response = Response(usage=Usage(1_000, 10))
    assert Pricing(diagnostics).price(request, response, NOW) is None
    line = caplog.messages[-1].partition("names:\n")[2]
    (entry,) = tomllib.loads(line)["prices"]
    assert (entry["model"], entry["server"]) == (model, address)
