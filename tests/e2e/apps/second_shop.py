"""A second app beside the demo: agents, failing tools, retrieval, embeddings, labels.

It plays rounds until its input is closed, then says what its fake provider and its own
code recorded, as one line of JSON: what the boards have to show.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.graph import START, StateGraph
from openai import APIStatusError
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from pydantic import SecretStr

from otel_callbacks import TracedEmbeddings, configure
from otel_callbacks.testing import FakeOpenAI, Reply

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun

_PAUSE = 0.1
_PATIENCE = 0.2
_MINI = "gpt-4o-mini"
_UNKNOWN = "own-model-7b"
_CANCELLED = "Take your time."
_REFUSED = "Too many?"


class Shelf(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        """Return it."""
        del run_manager
        return [Document(query)]


@tool
def weigh(flower: str) -> str:
    """Weigh a flower; the scale works every third time."""
    recorded["tools"] += 1
    if recorded["tools"] % 3:
        recorded["failed_tools"] += 1
        raise RuntimeError(flower)
    return "12 g"


recorded: Counter[str] = Counter()
HTTPX2ClientInstrumentor().instrument()
handler = configure(service_name="second-shop")


def _broken(_: object) -> Any:
    """Fail, so that the fallback is used."""
    raise LookupError


def _count(answer: Any) -> None:
    """Count an answer as the bill would."""
    recorded["ok"] += 1
    recorded["input"] += answer.usage_metadata["input_tokens"]
    recorded["output"] += answer.usage_metadata["output_tokens"]


async def _round(provider: FakeOpenAI, number: int) -> None:
    """Make one call of each kind."""
    team = ("roses", "tulips")[number % 2]
    about = {
        "team": team,
        "gen_ai.prompt.name": "greeting",
        "gen_ai.prompt.version": str(number % 2),
    }
    config: Any = {"callbacks": [handler], "metadata": about}

    def llm(model: str = _MINI, **more: Any) -> ChatOpenAI:
        return ChatOpenAI(
            base_url=provider.base_url,
            api_key=SecretStr("no-key"),
            model=model,
            max_retries=0,
            **more,
        )

    _count(await llm().ainvoke(f"Hello {number}", config))
    _count(await llm(_UNKNOWN).ainvoke(f"Hello {number}", config))
    cached = llm(cache=InMemoryCache())
    _count(await cached.ainvoke(f"Again {number}", config))
    await cached.ainvoke(f"Again {number}", config)
    recorded["cache_hit"] += 1
    try:
        await llm().ainvoke(_REFUSED, config)
    except APIStatusError:
        recorded["rate_limited"] += 1
    try:
        await asyncio.wait_for(llm().ainvoke(_CANCELLED, config), _PATIENCE)
    except TimeoutError:
        recorded["cancelled"] += 1
    agent = {"ls_integration": "langchain_create_agent", "lc_agent_name": "weigher"}

    async def work(question: str) -> None:
        _count(await llm().ainvoke(question))
        try:
            await weigh.ainvoke({"flower": "rose"})
        except RuntimeError:
            recorded["handled"] += 1

    named = {**config, "metadata": {**about, **agent}, "run_name": "weigher"}
    await RunnableLambda(work).ainvoke(f"Weigh {number}", named)
    recorded["agents"] += 1
    fallbacks = RunnableLambda(_broken).with_fallbacks([llm()])
    _count(await fallbacks.ainvoke(f"Or else {number}", config))
    graph = StateGraph(dict).add_sequence([("look", lambda _: {"found": number})])
    await graph.add_edge(START, "look").compile(name="look").ainvoke({}, config)
    recorded["workflows"] += 1
    await Shelf().ainvoke(f"Where is {number}?", config)
    recorded["retrievals"] += 1
    embeddings = TracedEmbeddings(
        OpenAIEmbeddings(
            model="text-embedding-3-small",
            base_url=provider.base_url,
            api_key=SecretStr("no-key"),
            check_embedding_ctx_length=False,
        ),
        handler=handler,
    )
    await RunnableLambda(embeddings.aembed_query).ainvoke("rose", config)
    recorded["embeddings"] += 1
    async for _ in llm(stream_usage=True).astream(f"Poem {number}", config):
        pass
    recorded["streams"] += 1
    await asyncio.sleep(_PAUSE)


def main() -> None:
    """Play until the input ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(1), ended.set())).start()
    with FakeOpenAI() as provider:
        provider.when(lambda _: True, lambda _: Reply("Peonies.", delay=0.05))
        provider.when(_REFUSED, Reply.failing(429, delay=0.02))
        provider.when(_CANCELLED, Reply("Late.", delay=5.0))
        number = 0
        while not ended.is_set():
            asyncio.run(_round(provider, number))
            number += 1
            recorded["rounds"] += 1
            if number == 1:
                sys.stdout.write("playing\n")
                sys.stdout.flush()
    sys.stdout.write(json.dumps(recorded) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    handler.close()


if __name__ == "__main__":
    main()
