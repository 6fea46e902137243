"""An app as its developer writes it: ``configure()``, real ChatOpenAI, asyncio.

It calls a fake provider, says what it did as one line of JSON, and keeps serving
``/metrics`` until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration
from langchain_openai import ChatOpenAI
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from pydantic import SecretStr

from otel_callbacks import configure
from otel_callbacks.testing import FakeOpenAI, Reply

if TYPE_CHECKING:
    from langchain_core.outputs import LLMResult

_QUESTIONS = ("哪种花适合婚礼", "Which flowers last longest?", "送给妈妈什么花好")
_ROUNDS = 4
_BETWEEN = 1.5  # more than a scrape, so that rates have something to see


def _count(results: list[LLMResult], tokens: Counter[str]) -> None:
    """Add up the usage that the results carry, as a bill would."""
    for result in results:
        generation = result.generations[0][0]
        assert isinstance(generation, ChatGeneration)
        assert isinstance(generation.message, AIMessage)
        usage = generation.message.usage_metadata
        assert usage is not None
        tokens["input"] += usage["input_tokens"]
        tokens["output"] += usage["output_tokens"]


async def _work(base_url: str, handler: Any) -> dict[str, Any]:
    """Ask three questions at once, round after round; then stream, then fail."""
    tracer = trace.get_tracer("flower_shop")
    llm = ChatOpenAI(
        base_url=base_url,
        api_key=SecretStr("sk-flower-shop-0123456789abcdef"),
        model="gpt-4.1-mini",
        stream_usage=True,
        max_retries=0,
        callbacks=[handler],
    )
    tokens: Counter[str] = Counter()
    traces = []
    for _ in range(_ROUNDS):
        with tracer.start_as_current_span("bouquet") as span:
            calls = (llm.agenerate([[HumanMessage(each)]]) for each in _QUESTIONS)
            _count(await asyncio.gather(*calls), tokens)
        traces.append(format(span.get_span_context().trace_id, "032x"))
        await asyncio.sleep(_BETWEEN)
    async for chunk in llm.astream("stream me a poem on peonies"):
        if chunk.usage_metadata:
            tokens["input"] += chunk.usage_metadata["input_tokens"]
            tokens["output"] += chunk.usage_metadata["output_tokens"]
    with tracer.start_as_current_span("refused") as span:
        try:
            await llm.ainvoke("please fail")
        except Exception as error:  # noqa: BLE001 -- its type is what is reported
            failure = type(error).__name__
    return {
        "tokens": tokens,
        "calls": _ROUNDS * len(_QUESTIONS) + 1,
        "traces": traces,
        "failed_trace": format(span.get_span_context().trace_id, "032x"),
        "failure": failure,
    }


def main() -> None:
    """Run, report, and serve until told to stop."""
    HTTPX2ClientInstrumentor().instrument()
    handler = configure(service_name="flower-shop-e2e")
    with FakeOpenAI() as provider:
        provider.when("please fail", Reply.failing(429, delay=0.05))
        for question in _QUESTIONS:
            provider.when(question, Reply(f"Peonies. ({question})", delay=0.4))
        did = asyncio.run(_work(provider.base_url, handler))
        sys.stdout.write(json.dumps(did) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    handler.close()


if __name__ == "__main__":
    main()
