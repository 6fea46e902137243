"""The counters against what the provider says it has counted, to the token."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from pydantic import BaseModel

from otel_callbacks.testing import Reply, Tokens, ToolCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otel_callbacks.testing import Capture, FakeOpenAI

TOKENS = "otel_callbacks_tokens_total"
SAVED = "otel_callbacks_tokens_saved_total"
MISSING = "otel_callbacks_usage_missing_total"
OPERATIONS = "otel_callbacks_operations_total"
OBSERVED = "gen_ai_client_token_usage_sum"


class Bouquet(BaseModel):
    """What a structured answer must look like."""

    flower: str
    count: int


def counted(telemetry: Capture, name: str = TOKENS, **labels: str) -> tuple[int, int]:
    """Return the input and output tokens that a series shows."""
    first, second = (
        telemetry.value(name, gen_ai_token_type=token_type, **labels)
        for token_type in ("input", "output")
    )
    return int(first), int(second)


def assert_to_the_token(
    telemetry: Capture, server: FakeOpenAI, calls: int, outcome: str = "ok"
) -> None:
    """Assert that all the provider's tokens are counted, once, and nothing else."""
    total = server.total_usage
    assert total.input > 0
    assert total.output > 0
    assert counted(telemetry) == (total.input, total.output)
    assert counted(telemetry, outcome=outcome) == (total.input, total.output)
    assert counted(telemetry, OBSERVED) == (total.input, total.output)
    assert counted(telemetry, SAVED) == (0, 0)
    assert telemetry.value(OPERATIONS) == calls
    assert telemetry.value(OPERATIONS, outcome=outcome) == calls
    assert telemetry.value(MISSING) == 0
    spans = [span["attributes"] for span in telemetry.spans]
    assert sum(one.get("gen_ai.usage.input_tokens", 0) for one in spans) == total.input
    assert (
        sum(one.get("gen_ai.usage.output_tokens", 0) for one in spans) == total.output
    )


async def _astream(model: Any) -> None:
    async for _ in model.astream("Roses?"):
        pass


async def _gather(model: Any) -> None:
    await asyncio.gather(
        *(model.agenerate([[HumanMessage(f"{n} roses?")]]) for n in range(20))
    )


SYNC: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "invoke": (1, lambda model: model.invoke("Roses?")),
    "batch": (3, lambda model: model.batch(["a", "b b", "c c c"])),
    "stream": (1, lambda model: list(model.stream("Roses?"))),
    "generate": (
        2,
        lambda model: model.generate([[HumanMessage("a")], [HumanMessage("b b")]]),
    ),
}
ASYNC: dict[str, tuple[int, Callable[[Any], Awaitable[Any]]]] = {
    "ainvoke": (1, lambda model: model.ainvoke("Roses?")),
    "abatch": (3, lambda model: model.abatch(["a", "b b", "c c c"])),
    "astream": (1, _astream),
    "gathered agenerate": (20, _gather),
}


@pytest.mark.parametrize("way", SYNC)
def test_sync_chat(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], way: str
) -> None:
    """Each sync way of calling a chat model counts what the provider counted."""
    calls, call = SYNC[way]
    call(chat(stream_usage=True))
    assert_to_the_token(telemetry, server, calls)


@pytest.mark.parametrize("way", ASYNC)
async def test_async_chat(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], way: str
) -> None:
    """Each async way of calling a chat model counts what the provider counted."""
    calls, call = ASYNC[way]
    await call(chat(stream_usage=True))
    assert_to_the_token(telemetry, server, calls)


def test_several_choices_share_one_usage(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Each of three choices carries a copy of one usage, which counts once."""
    chat(n=3).invoke("Roses?")
    assert_to_the_token(telemetry, server, 1)


def test_text_model(
    telemetry: Capture, server: FakeOpenAI, text: Callable[..., Any]
) -> None:
    """The tokens of a text model count."""
    text().invoke("Roses?")
    assert_to_the_token(telemetry, server, 1)


@pytest.mark.parametrize("prompts", [2, 25], ids=["one request", "two requests"])
def test_several_prompts_share_one_total(
    telemetry: Capture, server: FakeOpenAI, text: Callable[..., Any], prompts: int
) -> None:
    """A text model reports one total for all prompts, which counts once."""
    text().generate([f"{number} roses?" for number in range(prompts)])
    assert_to_the_token(telemetry, server, prompts)


async def test_several_prompts_in_async_code(
    telemetry: Capture, server: FakeOpenAI, text: Callable[..., Any]
) -> None:
    """The same in async code."""
    await text().agenerate(["a", "b b", "c c c"])
    assert_to_the_token(telemetry, server, 3)


def test_tools(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Both calls around a tool count, and the tool has no tokens of its own."""

    @tool
    def florist(flower: str) -> str:
        """Ask the florist."""
        return f"3 {flower}"

    server.script(Reply(tool_calls=(ToolCall("florist", {"flower": "roses"}),)))
    model = chat().bind_tools([florist])

    def step(question: str) -> Any:
        request = model.invoke(question)
        answer = florist.invoke(request.tool_calls[0])
        return model.invoke([HumanMessage(question), request, answer])

    RunnableLambda(step, name="step").invoke(
        "Roses?", config={"callbacks": [telemetry.handler]}
    )
    total = server.total_usage
    assert counted(telemetry) == (total.input, total.output)
    assert counted(telemetry, gen_ai_operation_name="chat") == counted(telemetry)
    assert telemetry.value(OPERATIONS, gen_ai_operation_name="chat") == 2
    assert telemetry.value(OPERATIONS, gen_ai_operation_name="execute_tool") == 1
    root = telemetry.span("step")["attributes"]
    assert root["otel_callbacks.input_tokens"] == total.input
    assert root["otel_callbacks.output_tokens"] == total.output


def test_details_are_parts_of_the_totals(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Cached, reasoning and audio tokens are parts and never added to the totals."""
    server.script(Reply(usage=Tokens(100, 50, cached=60, reasoning=30, audio_input=7)))
    chat().invoke("Roses?")
    assert_to_the_token(telemetry, server, 1)
    details = "otel_callbacks_token_details_total"
    assert telemetry.value(details, detail="cache_read", outcome="ok") == 60
    assert telemetry.value(details, detail="reasoning", outcome="ok") == 30
    assert telemetry.value(details, detail="audio_input", outcome="ok") == 7
    assert telemetry.value(details) == 97


def test_handler_on_model_and_request_counts_once(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A handler given at both places reports a run once."""
    chat().invoke("Roses?", config={"callbacks": [telemetry.handler]})
    assert_to_the_token(telemetry, server, 1)


def test_stream_without_usage_is_missing(
    telemetry: Capture,
    server: FakeOpenAI,
    chat: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two streams without usage are counted, and one log line names the setting."""
    model = chat(stream_usage=False)
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        list(model.stream("Roses?"))
        list(model.stream("Roses?"))
    assert len(server.requests) == 2
    assert counted(telemetry) == (0, 0)
    assert telemetry.value("gen_ai_client_token_usage_count") == 0
    assert telemetry.value(MISSING) == 2
    assert telemetry.value(OPERATIONS, outcome="ok") == 2
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert "stream_usage=True" in message
    assert "'gpt-4o-mini'" in message
    assert "openai" in message
    for span in telemetry.spans:
        assert not any(key.startswith("gen_ai.usage.") for key in span["attributes"])


def test_provider_that_reports_no_usage(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A whole answer without usage counts as missing usage."""
    server.script(Reply(send_usage=False))
    chat().invoke("Roses?")
    assert counted(telemetry) == (0, 0)
    assert telemetry.value(MISSING) == 1


def test_cache_hit_is_saved(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A cache hit saves as many tokens as the first call spent."""
    model = chat(cache=InMemoryCache())
    for _ in range(3):
        model.invoke("Roses?")
    total = server.total_usage
    assert len(server.requests) == 1
    assert counted(telemetry) == (total.input, total.output)
    assert counted(telemetry, OBSERVED) == (total.input, total.output)
    assert counted(telemetry, SAVED, reason="cache_hit") == (
        2 * total.input,
        2 * total.output,
    )
    assert telemetry.value(OPERATIONS, outcome="ok") == 1
    assert telemetry.value(OPERATIONS, outcome="cache_hit") == 2
    assert telemetry.value(MISSING) == 0


def test_error_before_an_answer_costs_nothing(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A refused request has no tokens, and none are missing."""
    server.script(Reply.failing(429))
    with pytest.raises(Exception, match="429"):
        chat().invoke("Roses?")
    assert counted(telemetry) == (0, 0)
    assert telemetry.value(MISSING) == 0
    assert telemetry.value(OPERATIONS, outcome="error") == 1


def test_failed_structured_output_was_paid(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """Tokens of an answer that does not fit its schema count as error."""
    server.script(Reply("no bouquet"))
    model = chat().with_structured_output(Bouquet, method="json_schema")
    with pytest.raises(Exception, match="Bouquet"):
        model.invoke("Roses?")
    assert_to_the_token(telemetry, server, 1, "error")


async def test_failed_structured_output_was_paid_in_async_code(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """The same in async code."""
    server.script(Reply("no bouquet"))
    model = chat().with_structured_output(Bouquet, method="json_schema")
    with pytest.raises(Exception, match="Bouquet"):
        await model.ainvoke("Roses?")
    assert_to_the_token(telemetry, server, 1, "error")


def test_stream_that_breaks_off(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A stream that breaks before its usage arrives is an error without usage."""
    server.script(Reply(fault="drop", after_chunks=3))
    with pytest.raises(Exception):  # noqa: B017, PT011 -- the client's own
        list(chat(stream_usage=True).stream("Roses?"))
    assert counted(telemetry) == (0, 0)
    assert telemetry.value(MISSING) == 0
    assert telemetry.value(OPERATIONS, outcome="error") == 1
