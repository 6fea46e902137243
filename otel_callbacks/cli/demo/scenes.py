"""The demo's scenes, and what its fake provider answers to them."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core import messages as chat
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import ToolException, tool
from openai import APIStatusError

from otel_callbacks._data import data_beside
from otel_callbacks.testing import FakeOpenAI, Reply, Tokens, ToolCall, answer_to
from otel_callbacks.testing.replies import Answer, count_tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_openai import ChatOpenAI

    from otel_callbacks.cli.picture.sums import Sums
    from otel_callbacks.testing import Received

_TEXTS: Final = data_beside(__file__, "answers")
INSTRUCTIONS: Final[str] = _TEXTS.pop("instructions")
"""The system message of each call."""
TOO_LONG: Final[list[str]] = _TEXTS.pop("too_long")
"""Beginnings of prompts that are too long."""
ANSWERS: Final[dict[str, dict[str, str]]] = _TEXTS
"""Kind of question -> answers by question."""
_ANSWER_TO: Final = {
    question: answer for group in ANSWERS.values() for question, answer in group.items()
}

# Model -> shortest and longest time to the first byte, in seconds.
_SECONDS: Final = {
    "gpt-4o-mini": (0.25, 0.6),
    "gpt-5-mini": (0.7, 1.2),
    "qwen-plus": (0.35, 0.8),
}
_USUAL_SECONDS: Final = (0.3, 0.7)
_REASONING: Final = {"gpt-5-mini": (16, 64)}
_RETRY_SECONDS: Final = 0.25
_PRICES: Final = {"玫瑰": 29, "rose": 29, "tulip": 19, "lily": 24}
# OpenAI's clients send the number of retries in this header.
_ATTEMPT: Final = "x-stainless-retry-count"


def teach(provider: FakeOpenAI, seed: int) -> None:
    """Register the demo's replies; the same seed gives the same replies."""
    usual = partial(_usual, seed=seed)

    def busy(received: Received) -> Reply:
        if received.headers.get(_ATTEMPT, "0") == "0":
            return Reply.failing(429, retry_after=_RETRY_SECONDS, delay=0.1)
        return usual(received)

    def calling(received: Received, *tools: str) -> Reply:
        if received.after_tool:
            return usual(received)
        calls = tuple(ToolCall(name, {"flower": received.text}) for name in tools)
        return Reply(tool_calls=calls, delay=_seconds(received, seed))

    def never(received: Received) -> Reply:
        return Reply(delay=30.0, text=_ANSWER_TO[received.text])

    too_long = Reply.failing(
        400,
        code="context_length_exceeded",
        message="The prompt is longer than the model's context.",
        delay=0.15,
    )
    provider.when(lambda _: True, usual)
    provider.when(
        lambda received: "tools" in received.json,
        lambda received: calling(received, "price_of"),
    )
    answers: tuple[tuple[Iterable[str], Answer], ...] = (
        (ANSWERS["busy"], busy),
        (ANSWERS["impatient"], never),
        (ANSWERS["orders"], lambda received: calling(received, "price_of", "in_stock")),
        (TOO_LONG, too_long),
    )
    for questions, answer in answers:
        for question in questions:
            provider.when(question, answer)


def _usual(received: Received, seed: int) -> Reply:
    """Answer a question after the model's usual delay."""
    chance = _chance(received, seed)
    text = _ANSWER_TO.get(received.text) or answer_to(received.text)
    reasoning = 0
    if received.model in _REASONING:
        reasoning = chance.randint(*_REASONING[received.model])
    return Reply(
        text,
        usage=Tokens(
            received.prompt_tokens, count_tokens(text) + reasoning, reasoning=reasoning
        ),
        delay=_seconds(received, seed),
        chunk_delay=chance.uniform(0.02, 0.06),
    )


def _seconds(received: Received, seed: int) -> float:
    """Return a model's time to the first byte, in seconds."""
    shortest, longest = _SECONDS.get(received.model, _USUAL_SECONDS)
    return _chance(received, seed).uniform(shortest, longest)


def _chance(received: Received, seed: int) -> random.Random:
    """Return a generator seeded by seed, model and question, whatever their order."""
    return random.Random(f"{seed}/{received.model}/{received.text}")  # noqa: S311


_CUSTOMERS: Final = 3
_PATIENCE_SECONDS: Final = 0.6


class Exchange(NamedTuple):
    """A question and its result."""

    question: str
    answer: str


class Shop(NamedTuple):
    """The models, callbacks and sums that scenes share."""

    model: Callable[..., ChatOpenAI]
    models: tuple[str, ...]
    callbacks: list[Any]
    till: Sums
    chance: random.Random

    def question(self, kind: str) -> str:
        """Return a question of a kind."""
        return self.chance.choice([*ANSWERS[kind]])


class Scene(NamedTuple):
    """One kind of call."""

    name: str
    title: str
    play: Callable[[Shop], Awaitable[list[Exchange]]]
    real: bool


@tool
def price_of(flower: str) -> str:
    """Look up what a bunch of flowers costs, in euros."""
    known = (price for name, price in _PRICES.items() if name in flower.lower())
    return f"{next(known, 22)} EUR"


async def three_customers(shop: Shop) -> list[Exchange]:
    """Answer three customers at once."""
    questions = shop.chance.sample([*ANSWERS["asked"]], _CUSTOMERS)
    models = [shop.models[place % len(shop.models)] for place in range(_CUSTOMERS)]

    async def serve(model: str, question: str) -> Exchange:
        result = await shop.model(model).agenerate([_messages(question)])
        message: Any = result.generations[0][0].message  # type: ignore[union-attr]
        return _sold(shop, model, question, message)

    orders = zip(models, questions, strict=True)
    return list(await asyncio.gather(*(serve(*one) for one in orders)))


async def stream(shop: Shop) -> list[Exchange]:
    """Stream an answer."""
    model, question = shop.models[0], shop.question("poems")
    whole = chat.AIMessageChunk(content="")
    llm = shop.model(model, stream_usage=True)
    async for chunk in llm.astream(_messages(question)):
        whole = whole + chunk
    return [_sold(shop, model, question, whole)]


async def tool_call(shop: Shop) -> list[Exchange]:
    """Let the model call a tool for the price."""
    model, question = shop.models[0], shop.question("prices")
    llm = shop.model(model).bind_tools([price_of])
    messages = _messages(question)
    called = await llm.ainvoke(messages)
    exchange = _sold(shop, model, question, called)
    if not called.tool_calls:
        return [exchange]
    prices = [
        await price_of.ainvoke(call, config={"callbacks": shop.callbacks})
        for call in called.tool_calls
    ]
    answer = await llm.ainvoke([*messages, called, *_results(prices)])
    return [
        Exchange(question, f"price_of() returns {prices[0].text}"),
        _sold(shop, model, question, answer),
    ]


@tool
def in_stock(flower: str) -> str:
    """Return whether a flower is in stock."""
    if "black orchid" in flower.lower():
        message = "no such flower"
        raise ToolException(message)
    return "yes"


in_stock.handle_tool_error = True
_TOOLS: Final = {one.name: one for one in (price_of, in_stock)}


async def agent(shop: Shop) -> list[Exchange]:
    """Let an agent take an order: it calls tools until it can answer."""
    model, question = shop.models[0], shop.question("orders")
    llm = shop.model(model).bind_tools(list(_TOOLS.values()))
    exchanges = []

    async def work(order: str) -> str:
        messages = _messages(order)
        while True:
            answer = await llm.ainvoke(messages)
            sold = _sold(shop, model, order, answer)
            if not answer.tool_calls:
                exchanges.append(sold)
                return answer.text
            names = ", ".join(call["name"] for call in answer.tool_calls)
            exchanges.append(Exchange(order, f"the agent calls {names}"))
            called = [_TOOLS[call["name"]].ainvoke(call) for call in answer.tool_calls]
            messages += [answer, *_results(await asyncio.gather(*called))]

    # The metadata of langchain's create_agent.
    config: Any = {
        "callbacks": shop.callbacks,
        "run_name": "florist",
        "metadata": {
            "ls_integration": "langchain_create_agent",
            "lc_agent_name": "florist",
        },
    }
    await RunnableLambda(work).ainvoke(question, config)
    return exchanges


class Leaflets(BaseRetriever):
    """A retriever over the shop's leaflets."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        """Return the leaflet for a question."""
        del run_manager
        return [Document(ANSWERS["care"].get(query, "Fresh water every day."))]


async def retrieval(shop: Shop) -> list[Exchange]:
    """Answer from retrieved documents."""
    model, question = shop.models[0], shop.question("care")
    exchanges = []

    async def ask(found: dict[str, Any]) -> str:
        messages = [chat.SystemMessage(found["leaflets"][0].page_content)]
        answer = await shop.model(model).ainvoke([*messages, *_messages(question)[1:]])
        exchanges.append(_sold(shop, model, question, answer))
        return answer.text

    steps = RunnableParallel(leaflets=Leaflets()) | RunnableLambda(ask)
    config: Any = {"callbacks": shop.callbacks, "run_name": "care-guide"}
    await steps.ainvoke(question, config)
    return exchanges


async def retry(shop: Shop) -> list[Exchange]:
    """Retry after a 429."""
    model, question = shop.models[0], shop.question("busy")
    llm = shop.model(model, max_retries=2)
    return [_sold(shop, model, question, await llm.ainvoke(_messages(question)))]


async def cancelled(shop: Shop) -> list[Exchange]:
    """Cancel a call that takes too long."""
    model, question = shop.models[-1], shop.question("impatient")
    call = shop.model(model).ainvoke(_messages(question))
    try:
        answer = await asyncio.wait_for(call, _PATIENCE_SECONDS)
    except TimeoutError:
        shop.till.add(model, "cancelled", calls=1)
        return [Exchange(question, f"the customer left after {_PATIENCE_SECONDS} s")]
    return [_sold(shop, model, question, answer)]


async def cache_hit(shop: Shop) -> list[Exchange]:
    """Ask the same question twice, with LangChain's own cache."""
    model, question = shop.models[0], shop.question("repeated")
    llm = shop.model(model, cache=InMemoryCache())
    first = await llm.ainvoke(_messages(question))
    again = await llm.ainvoke(_messages(question))
    return [
        _sold(shop, model, question, first),
        _sold(shop, model, question, again, "cache_hit"),
    ]


async def failing(shop: Shop) -> list[Exchange]:
    """Send a prompt that is too long."""
    model, start = shop.models[0], shop.chance.choice(TOO_LONG)
    question = f"{start} …"
    try:
        answer = await shop.model(model).ainvoke(_messages(f"{start} {'Rosa ' * 400}"))
    except APIStatusError as error:
        shop.till.add(model, "error", calls=1)
        return [Exchange(question, f"{error.status_code} {error.code}")]
    return [_sold(shop, model, question, answer)]


SCENES: Final = (
    Scene("three-customers", "three customers at once", three_customers, real=True),
    Scene("poem", "a streamed answer", stream, real=True),
    Scene("price-check", "the model calls a tool", tool_call, real=True),
    Scene("rush-hour", "429, then a retry", retry, real=False),
    Scene("hung-up", "a customer gives up waiting", cancelled, real=False),
    Scene("asked-twice", "the same question twice", cache_hit, real=True),
    Scene("too-long", "a prompt over the limit", failing, real=False),
    Scene("order", "an agent takes an order", agent, real=True),
    Scene("care", "an answer from documents", retrieval, real=True),
)
"""All scenes, in the order of the show."""

MODELS: Final = ("gpt-4o-mini", "gpt-5-mini", "qwen-plus")
"""The models requested from the fake """


def _messages(question: str) -> list[chat.BaseMessage]:
    """Return the messages for a question."""
    return [chat.SystemMessage(INSTRUCTIONS), chat.HumanMessage(question)]


def _results(results: list[Any]) -> list[chat.ToolMessage]:
    """Return the tool messages among some results."""
    return [one for one in results if isinstance(one, chat.ToolMessage)]


def _sold(
    shop: Shop, model: str, question: str, message: chat.AIMessage, outcome: str = "ok"
) -> Exchange:
    """Add a result to the sums, and return the exchange."""
    usage: Any = message.usage_metadata or {}
    used, made = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    shop.till.add(model, outcome, calls=1, input=used, output=made)
    return Exchange(question, message.text)
