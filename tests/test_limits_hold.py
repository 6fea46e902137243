"""A limit holds: for all that goes in, for what is not known, and without telemetry."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import decimal
import inspect
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from otel_callbacks import OTelCallbackHandler, Settings, TracedEmbeddings
from otel_callbacks.accounting import BudgetExceeded, track_usage
from otel_callbacks.testing import FakeChatModel, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from otel_callbacks.testing import Capture, FakeOpenAI

LONG_S: Final = 60.0
DESCRIPTION: Final = "Finds the flowers that are in season, and what they cost. " * 8


class Order(BaseModel):
    """An order of flowers, as the shop's own system keeps it, with all its parts."""

    number: int
    customer: str
    flowers: list[str]
    prices: list[float]


def tools(count: int) -> list[dict[str, Any]]:
    """Return tools of some length."""
    nothing = {"type": "object", "properties": {}}
    return [
        {"name": f"find_{n}", "description": DESCRIPTION, "parameters": nothing}
        for n in range(count)
    ]


async def at_once(count: int, call: Callable[[], Any]) -> list[Any]:
    """Make calls at the same time."""
    return await asyncio.gather(*(call() for _ in range(count)), return_exceptions=True)


def until_refused(call: Callable[[], Any]) -> None:
    """Make calls until one is refused."""
    for _ in range(60):
        try:
            call()
        except BudgetExceeded:
            return
    pytest.fail("no call was refused")


def refusals(answers: list[Any]) -> int:
    """Count the calls that were refused."""
    return sum(isinstance(one, BudgetExceeded) for one in answers)


HISTORY: Final = [
    HumanMessage("Roses?"),
    AIMessage(
        "",
        tool_calls=[
            {"name": "find", "args": {"query": DESCRIPTION * 4}, "id": str(n)}
            for n in range(6)
        ],
    ),
    *(ToolMessage("none", tool_call_id=str(n)) for n in range(6)),
]
PICTURES: Final = [
    HumanMessage(
        [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}] * 10  # type: ignore[list-item]
    )
]


# The lowest langchain-openai dumps an answer with an object of the app in it.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", ["tools", "history", "schema", "pictures"])
def test_all_that_goes_in_is_reserved(
    chat: Callable[..., Any], server: FakeOpenAI, kind: str
) -> None:
    """A hundred calls reserve tools, earlier tool calls, schemas and images."""
    llm = chat(max_tokens=10)
    prompt: Any = "Roses?"
    tokens = 1_500
    if kind == "tools":
        llm = llm.bind_tools(tools(20))
    elif kind == "history":
        prompt = HISTORY
    elif kind == "schema":
        llm = llm.with_structured_output(Order, include_raw=True, method="json_schema")
        tokens = 90
    else:
        prompt, tokens = PICTURES, 8_500
    reply = '{"number": 1, "customer": "x", "flowers": [], "prices": []}'
    server.when(lambda _: True, Reply(reply, usage=Tokens(tokens, 10), delay=0.01))
    limit = tokens * 7
    with track_usage(max_tokens=limit) as usage:
        answers = asyncio.run(at_once(100, lambda: llm.ainvoke(prompt)))
    assert usage.total_tokens == server.total_usage.total <= limit
    assert refusals(answers) == usage.refused >= 93


@pytest.mark.parametrize(("n", "best_of"), [(1, 4), (2, 5), (3, 3)])
def test_answers_that_are_not_given_back_are_reserved(
    text: Callable[..., Any], server: FakeOpenAI, n: int, best_of: int
) -> None:
    """A text model bills each answer of ``best_of``."""
    server.when(lambda _: True, Reply(usage=Tokens(4, 30 * best_of), delay=0.01))
    llm = text(max_tokens=30, n=n, best_of=best_of)
    limit = (4 + 30 * best_of) * 4
    with track_usage(max_tokens=limit) as usage:
        answers = asyncio.run(at_once(100, lambda: llm.ainvoke("Roses are")))
    assert 0 < usage.total_tokens == server.total_usage.total <= limit
    assert refusals(answers) == usage.refused >= 96


@pytest.mark.parametrize(
    ("known", "question"),
    [
        ("international cooperation ", "a b c d "),
        ("internationalization ", "rose tulip "),
        ("花店早上", "🌹🌷💐"),
        ("цветочный ", "ወደ ቤት "),
        pytest.param("roses " * 3, "roses " * 3_000, marks=pytest.mark.slow),
    ],
)
def test_what_was_learned_is_not_taken_for_another_kind(
    chat: Callable[..., Any], server: FakeOpenAI, known: str, question: str
) -> None:
    """A ratio learned from one kind of text is not applied to another kind."""
    server.when(lambda _: True, lambda got: Reply(usage=Tokens(size(got.text), 10)))
    llm = chat(max_tokens=10)
    with track_usage():
        for _ in range(4):
            llm.invoke(known * 60)
    limit = (size(question * 60) + 10) * 5 + 9
    with track_usage(max_tokens=limit) as usage:
        answers = asyncio.run(at_once(20, lambda: llm.ainvoke(question * 60)))
    assert 0 < usage.total_tokens <= limit
    assert refusals(answers) == usage.refused >= 15


def size(text: str) -> int:
    """Count a token for each word of ASCII, and one for each other character."""
    words = [word for word in text.split() if word.isascii()]
    return len(words) + sum(letter > "\x7f" for letter in text)


def test_embeddings_are_reserved(telemetry: Capture, server: FakeOpenAI) -> None:
    """Embeddings are reserved by their texts."""
    inner = OpenAIEmbeddings(
        model="text-embedding-3-small",
        base_url=server.base_url,
        api_key="x",  # type: ignore[arg-type]
        check_embedding_ctx_length=False,
    )
    embeddings = TracedEmbeddings(inner, handler=telemetry.handler)
    texts = [DESCRIPTION * 2]
    with track_usage(max_tokens=2_000) as usage:
        answers = asyncio.run(at_once(100, lambda: embeddings.aembed_documents(texts)))
    assert refusals(answers) == usage.refused > 80
    assert 0 < server.total_usage.total <= 2_000


def test_what_was_learned_is_not_absurdly_high(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """After some calls of one kind, a budget can be used almost completely."""
    server.when(lambda _: True, Reply(usage=Tokens(400, 10)))
    llm = chat(max_tokens=10).bind_tools(tools(20))
    limit = 20 * 410
    with track_usage(max_tokens=limit) as usage:
        until_refused(lambda: llm.invoke("Roses?"))
    assert limit - 3 * 410 < usage.total_tokens <= limit


@pytest.mark.parametrize("warm", [True, False])
def test_a_call_without_a_limit_takes_the_last_answers_as_its_measure(
    chat: Callable[..., Any], server: FakeOpenAI, *, warm: bool
) -> None:
    """Without a limit, recent answers are the measure; first calls reserve all."""
    server.when(lambda _: True, Reply(usage=Tokens(6, 1_000), delay=0.01))
    llm = chat()
    if warm:
        with track_usage():
            llm.invoke("Roses?")
    spent = server.total_usage.total
    with track_usage(max_tokens=5_000) as usage:
        answers = asyncio.run(at_once(50, lambda: llm.ainvoke("Roses?")))
    assert usage.total_tokens == server.total_usage.total - spent
    assert (4_000 if warm else 1_000) < usage.total_tokens <= 5_000
    assert refusals(answers) == usage.refused > 40


def test_unknown_is_not_zero(chat: Callable[..., Any], server: FakeOpenAI) -> None:
    """Streams without usage count with the tokens that were sent and received."""
    server.when(lambda _: True, Reply("Roses are red", send_usage=False))
    llm = chat(stream_usage=False)
    with track_usage() as usage:
        for _ in range(50):
            list(llm.stream("Roses?"))
    assert (usage.call_count, usage.unknown_calls) == (50, 50)
    assert usage.total_tokens == 0
    assert usage.assumed_tokens >= 50 * 5
    assert "; 50 calls reported no usage, at least" in str(usage)
    assert usage.to_dict()["unknown_calls"] == 50
    with track_usage(max_tokens=100) as usage:
        until_refused(lambda: list(llm.stream("Roses?")))
    assert 50 < usage.assumed_tokens <= 100


WORDS: Final = "rose " * 100


async def timed_out(llm: Any) -> None:
    """Give a call up."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(llm.ainvoke(WORDS), 0.05)


def test_timed_out_calls_are_spent(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """Thirty timed-out calls of a hundred words stay within a thousand tokens."""
    server.when(lambda _: True, Reply(delay=LONG_S))
    llm = chat(max_tokens=1)
    with track_usage(max_tokens=1_000) as usage:

        async def traffic() -> None:
            for _ in range(30):
                await timed_out(llm)

        with pytest.raises(BudgetExceeded):
            asyncio.run(traffic())
    assert 500 < usage.assumed_tokens <= 1_000
    assert usage.unknown_calls < 10


@pytest.mark.parametrize("status", [429, 500, 400, 401])
def test_a_refusal_of_the_provider_is_no_spend(
    chat: Callable[..., Any], server: FakeOpenAI, status: int
) -> None:
    """A refused request spends nothing, and its reservation is released."""
    server.when(lambda _: True, Reply.failing(status))
    llm = chat(max_tokens=50)
    with track_usage(max_tokens=100) as usage:
        for _ in range(10):
            with pytest.raises(Exception, match=str(status)):
                llm.invoke("Roses?")
    assert (usage.assumed_tokens, usage.unknown_calls, usage.refused) == (0, 0, 0)


def test_an_answer_that_nobody_can_read_was_paid_for(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """An unreadable answer counts with assumed tokens."""
    server.when(lambda _: True, Reply("Roses", fault="broken_json"))
    with track_usage() as usage, pytest.raises(ValueError, match="Unterminated"):
        chat().invoke(WORDS)
    assert usage.unknown_calls == 1
    assert 100 < usage.assumed_tokens < 250


@pytest.mark.parametrize(("fault", "sent"), [("drop", True), ("", False)])
def test_a_broken_connection(
    chat: Callable[..., Any], server: FakeOpenAI, fault: Any, *, sent: bool
) -> None:
    """A sent request counts; a request that found no server does not."""
    server.when(lambda _: True, Reply(fault=fault))
    llm = chat(max_tokens=50)
    if not sent:
        llm = ChatOpenAI(base_url="http://127.0.0.1:9", api_key="x", max_retries=0)  # type: ignore[arg-type]
    with track_usage() as usage, pytest.raises(Exception, match="Connection error"):
        llm.invoke("Roses?")
    assert usage.unknown_calls == sent
    assert (usage.assumed_tokens > 0) is sent


async def with_timeout(llm: Any) -> None:
    """Give a call up within its own task."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await llm.ainvoke("hang")


async def with_wait_for(llm: Any) -> None:
    """Give a call up as most do."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(llm.ainvoke("hang"), 0.05)


async def with_timeout_of_a_chain(llm: Any) -> None:
    """Give a chain up, whose steps are tasks of their own."""
    chain = (lambda question: question) | llm
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await chain.ainvoke("hang")


async def with_break(llm: Any) -> None:
    """Leave a stream."""
    async for _ in llm.astream("long"):
        break


# httpx's own generators may be closed while they run, after a break.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "give_up", [with_timeout, with_wait_for, with_timeout_of_a_chain, with_break]
)
def test_no_call_is_refused_for_one_that_is_over(
    chat: Callable[..., Any], server: FakeOpenAI, give_up: Callable[[Any], Any]
) -> None:
    """The next call in the same task is checked after finished calls are recognized."""
    server.when(lambda r: "hang" in r.text, Reply(delay=LONG_S))
    server.when(lambda r: "long" in r.text, Reply("rose " * 40, usage=Tokens(5, 40)))
    server.when(lambda r: "Roses" in r.text, Reply(usage=Tokens(5, 10)))
    llm = chat(max_tokens=60)

    async def traffic() -> None:
        for _ in range(10):
            with track_usage(max_tokens=100) as usage:
                await give_up(llm)
                await llm.ainvoke("Roses?")
            assert usage.refused == 0

    asyncio.run(traffic())


def test_a_stream_that_goes_on_keeps_what_it_reserved(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """A held stream may still answer, so the next call is refused."""
    server.when(lambda _: True, Reply("rose " * 40, usage=Tokens(5, 40)))
    llm = chat(max_tokens=60, stream_usage=True)

    async def traffic() -> None:
        stream = llm.astream("Roses?")
        await anext(stream)
        with pytest.raises(BudgetExceeded):
            await llm.ainvoke("Roses?")
        async for _ in stream:
            pass

    with track_usage(max_tokens=100) as usage:
        asyncio.run(traffic())
    assert (usage.total_tokens, usage.refused) == (45, 1)


@pytest.mark.parametrize("steps", ["stream", "transform", "a chain"])
def test_a_plain_stream_in_a_task_keeps_what_it_reserved(
    chat: Callable[..., Any], server: FakeOpenAI, steps: str
) -> None:
    """A held stream of sync code goes on although its task makes another call."""
    server.when(lambda _: True, Reply("rose " * 40, usage=Tokens(5, 40)))
    llm = chat(max_tokens=60, stream_usage=True)

    async def traffic() -> None:
        if steps == "stream":
            stream = llm.stream("Roses?")
        elif steps == "transform":
            stream = llm.transform(iter(["Roses?"]))
        else:
            stream = (RunnableLambda(str) | llm).stream("Roses?")
        next(stream)
        with pytest.raises(BudgetExceeded):
            llm.invoke("Roses?")
        list(stream)

    with track_usage(max_tokens=100) as usage:
        asyncio.run(traffic())
    assert (usage.total_tokens, usage.refused) == (45, 1)


def test_a_batch_that_is_refused_leaves_nothing_reserved_or_spent(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """LangChain makes no call of a refused batch, and nothing stays reserved."""
    server.when(lambda _: True, Reply(usage=Tokens(5, 10)))
    llm = chat(max_tokens=60)
    question = [HumanMessage("Roses?")]
    with track_usage(max_tokens=100) as usage:
        for _ in range(3):
            with pytest.raises(BudgetExceeded):
                llm.generate([question, question])
        llm.invoke("Roses?")
        with pytest.raises(BudgetExceeded):
            asyncio.run(llm.agenerate([question, question]))
        llm.invoke("Roses?")
    assert usage.total_tokens == 30
    assert usage.assumed_tokens == 0


def test_a_refusal_is_not_retried_by_langgraph(chat: Callable[..., Any]) -> None:
    """LangGraph's default retry policy does not retry a refusal."""
    from langgraph.graph import START, StateGraph  # noqa: PLC0415
    from langgraph.types import RetryPolicy  # noqa: PLC0415

    llm = chat(max_tokens=60)
    graph = StateGraph(dict)
    graph.add_node("ask", lambda _: llm.invoke("x"), retry_policy=RetryPolicy())
    graph.add_edge(START, "ask")
    with track_usage(max_tokens=10) as usage, pytest.raises(BudgetExceeded):
        graph.compile().invoke({})
    assert usage.refused == 1


def test_with_retry_makes_no_call_of_a_refusal(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """`with_retry` retries every exception, but no refused call is made."""
    llm = chat(max_tokens=60)
    every = llm.with_retry(wait_exponential_jitter=False)
    named = llm.with_retry(retry_if_exception_type=(ConnectionError,))
    for model, refused in ((every, 3), (named, 1)):
        with track_usage(max_tokens=10) as usage, pytest.raises(BudgetExceeded):
            model.invoke("x")
        assert usage.refused == refused
    assert server.requests == []


@pytest.mark.recent
def test_retry_middleware_of_agents_makes_no_call_of_a_refusal(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """The middleware returns a message unless it names the exceptions to retry."""
    from langchain.agents import create_agent  # noqa: PLC0415
    from langchain.agents.middleware import (  # noqa: PLC0415
        ModelFallbackMiddleware,
        ModelRetryMiddleware,
    )

    llm = chat(max_tokens=60)

    def ask(middleware: Any) -> Any:
        agent = create_agent(llm, tools=[], middleware=[middleware])
        return agent.invoke({"messages": [("user", "x")]})["messages"][-1].text

    with track_usage(max_tokens=10) as usage:
        answer = ask(ModelRetryMiddleware(initial_delay=0))
    assert answer.startswith("Model call failed after 3 attempts with BudgetExceeded")
    assert usage.refused == 3
    for middleware, refused in (
        (ModelRetryMiddleware(retry_on=(ConnectionError,)), 1),
        (ModelRetryMiddleware(initial_delay=0, on_failure="error"), 3),
        (ModelFallbackMiddleware(llm), 2),
    ):
        with track_usage(max_tokens=10) as usage, pytest.raises(BudgetExceeded):
            ask(middleware)
        assert usage.refused == refused
    assert server.requests == []


def test_a_refusal_does_not_look_like_a_call(
    chat: Callable[..., Any], telemetry: Capture
) -> None:
    """A refused call has the limit on its span and is in no sum."""
    ask: Any = RunnableLambda(
        lambda _: [chat().invoke("x"), chat(max_tokens=60).invoke("x")]
    )
    with pytest.raises(BudgetExceeded), track_usage(max_calls=1):
        ask.invoke("", config={"callbacks": [telemetry.handler]})
    root, made, refused = sorted(telemetry.spans, key=lambda span: span["start_ns"])
    assert (made["kind"], refused["kind"]) == ("CLIENT", "INTERNAL")
    assert refused["attributes"]["error.type"] == "BudgetExceeded"
    ours = {
        name.removeprefix("otel_callbacks."): value
        for name, value in refused["attributes"].items()
        if "budget" in name
    }
    assert ours == {
        "budget": "calls",
        "budget_limit": 1.0,
        "budget_spent": 1.0,
        "budget_reserved": 0.0,
        "budget_asked": 1.0,
    }
    assert root["attributes"]["otel_callbacks.calls"] == 1


@pytest.mark.parametrize("method", ["rrrtl", "rtrtl", "rrtrl"])
def test_answers_of_a_cache_are_no_calls(telemetry: Capture, method: str) -> None:
    """Cache hits do not count towards a limit of calls."""
    cached: Any = FakeChatModel(cache=InMemoryCache(), callbacks=[telemetry.handler])
    with track_usage(max_calls=3) as usage:
        for question in method:
            cached.invoke(question)
        with pytest.raises(BudgetExceeded, match="3 of 3 calls spent"):
            cached.invoke("another")
    assert (usage.call_count, usage.refused) == (5, 1)


@pytest.mark.parametrize("most", [1, 5, 20])
def test_what_is_assumed_is_at_most_what_was_allowed(
    chat: Callable[..., Any], server: FakeOpenAI, most: int
) -> None:
    """Assumed tokens do not exceed the requested maximum."""
    server.when(lambda _: True, Reply("Roses are red. " * most, send_usage=False))
    with track_usage(max_tokens=1_000) as usage:
        chat().invoke("Roses?")
        allowed = usage.assumed_tokens
        chat(max_tokens=most).invoke("Roses?")
    prompt = usage.assumed_tokens - allowed - most
    assert 0 < prompt < allowed


class Fast(FakeChatModel):
    """A model that is served fast, which the list has no price for."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._generate(*args, **kwargs)
        message = result.generations[0].message
        message.response_metadata["usage"] = {"speed": "fast"}
        return result


def test_partly_priced_is_visible_everywhere(telemetry: Capture) -> None:
    """A partly known price shows on the span, its root, the series and the account."""
    usage_of_each: Any = {
        "input_tokens": 1_000,
        "output_tokens": 1_000,
        "total_tokens": 2_000,
    }
    about = {"usage": usage_of_each, "provider": "anthropic"}
    fast = Fast(**about, model_name="claude-opus-4-6")
    unpriced = FakeChatModel(**about, model_name="rose-1")
    ask: Any = RunnableLambda(lambda _: [fast.invoke("x"), unpriced.invoke("x")])
    with track_usage() as usage:
        ask.invoke("", config={"callbacks": [telemetry.handler]})
    found = sorted(telemetry.spans, key=lambda span: span["start_ns"])
    root, one, other = (span["attributes"] for span in found)
    marks = "otel_callbacks.cost_usd", "otel_callbacks.partly_priced"
    assert [one[name] for name in marks] == [0.03, True]
    assert not set(marks) & set(other)
    assert [root[name] for name in marks] == [0.03, True]
    assert root["otel_callbacks.unpriced_tokens"] == 2_000
    labels = {
        "gen_ai_provider_name": "anthropic",
        "gen_ai_request_model": "claude-opus-4-6",
    }
    name = "otel_callbacks_partly_priced_operations_total"
    assert telemetry.registry.get_sample_value(name, labels) == 1
    assert usage.partly_priced_calls == 1
    assert [call.is_partly_priced for call in usage.calls] == [True, False]
    unknown = "2,000 tokens without a price and a part of 1 calls without a price"
    assert f"$0.030000 and {unknown}" in str(usage)


def test_a_switch_of_telemetry_is_no_switch_of_limits(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``OTEL_SDK_DISABLED=true`` accounts and budgets still work."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    server.when(lambda _: True, Reply(usage=Tokens(5, 10)))
    handler = OTelCallbackHandler(settings=Settings.from_env())
    for callbacks in ([handler], []):
        llm = ChatOpenAI(  # type: ignore[call-arg]
            base_url=server.base_url,
            api_key="x",  # type: ignore[arg-type]
            max_tokens=10,
            callbacks=callbacks,
        )
        with track_usage(max_calls=2) as usage:
            until_refused(lambda llm=llm: llm.invoke("Roses?"))  # type: ignore[misc]
        assert (usage.total_tokens, usage.call_count, usage.refused) == (30, 2, 1)
    inner = OpenAIEmbeddings(
        base_url=server.base_url,
        api_key="x",  # type: ignore[arg-type]
        check_embedding_ctx_length=False,
    )
    with track_usage() as usage:
        TracedEmbeddings(inner, handler=handler).embed_query("Roses?")
    assert usage.call_count == 1


@pytest.mark.parametrize(
    "context",
    [
        decimal.Context(prec=3),
        decimal.Context(
            traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation]
        ),
    ],
)
def test_the_apps_decimal_context_changes_no_sum(
    telemetry: Capture, context: decimal.Context
) -> None:
    """Sums do not depend on the app's decimal context."""
    llm = FakeChatModel(
        usage={
            "input_tokens": 123_457,
            "output_tokens": 76_543,
            "total_tokens": 200_000,
        },
        provider="openai",
        model_name="gpt-4o",
        callbacks=[telemetry.handler],
    )
    with decimal.localcontext(context), track_usage(max_cost_usd=1_000) as usage:
        for _ in range(300):
            llm.invoke("Roses?")
    each = Decimal(123457) * Decimal("2.5") / 10**6 + Decimal("0.76543")
    assert usage.cost == each * 300
    assert telemetry.value("otel_callbacks_cost_usd_total") == pytest.approx(
        float(each * 300)
    )


def test_bind_sees_what_runs_later(server: FakeOpenAI) -> None:
    """`bind` covers streams, generators, async generators and returned coroutines."""
    server.when(lambda _: True, Reply(usage=Tokens(5, 10)))
    llm = ChatOpenAI(base_url=server.base_url, api_key="x", max_retries=0)  # type: ignore[arg-type]

    def questions() -> Iterator[Any]:
        got = yield llm.invoke("Roses?")
        yield got

    async def answers() -> AsyncIterator[Any]:
        yield await llm.ainvoke("Roses?")
        yield await llm.ainvoke("Roses?")

    async def later() -> None:
        async for _ in stream("Roses?"):
            pass
        both = generator()
        await anext(both)
        await both.asend(None)  # type: ignore[attr-defined]
        await both.aclose()  # type: ignore[attr-defined]
        await coroutine()
        await function("Roses?")

    usage = track_usage()
    with usage:
        stream, generator = usage.bind(llm.astream), usage.bind(answers)
        coroutine = usage.bind(lambda: llm.ainvoke("Roses?"))
        function, plain = usage.bind(llm.ainvoke), usage.bind(lambda: 7)
        empty = contextvars.Context()
        list(empty.run(usage.bind(llm.stream), "Roses?"))
        assert usage.call_count == 1
        bound: Any = empty.run(usage.bind(questions))
        empty.run(next, bound)
        assert empty.run(bound.send, 7) == 7
        assert bound.gi_frame is not None
        bound.close()
        assert usage.call_count == 2
        empty.run(asyncio.run, later())
        assert usage.call_count == 7
        assert plain() == 7


def test_a_bound_function_stays_of_its_kind() -> None:
    """Frameworks detect the kind of the bound function and can send into it."""

    def echo(value: Any) -> Generator[Any, Any, Any]:
        for _ in range(2):
            value = yield value
        return value

    def one(value: int) -> int:
        return value

    class Shop:
        two: Any = track_usage()(staticmethod(one))
        three: Any = track_usage()(classmethod(lambda _, value: one(value)))

    steps = track_usage().bind(echo)
    assert inspect.isgeneratorfunction(steps)
    stream: Any = steps(1)
    assert [next(stream), stream.send(2)] == [1, 2]
    with pytest.raises(StopIteration) as stopped:
        stream.send(3)
    assert stopped.value.value == 3
    assert (Shop.two(2), Shop().two(2), Shop.three(3), Shop().three(3)) == (2, 2, 3, 3)


def test_a_bound_async_generator_is_one() -> None:
    """A bound async generator supports send, throw and close."""
    log: list[Any] = []

    async def echo(value: Any) -> AsyncIterator[Any]:
        while True:
            try:
                value = yield value
            except KeyError:
                return
            except ValueError:
                value = 0
            finally:
                log.append(value)

    bound = track_usage().bind(echo)

    async def send_and_throw() -> None:
        stream: Any = bound(1)
        assert [await anext(stream), await stream.asend(2)] == [1, 2]
        assert await stream.athrow(ValueError) == 0
        with pytest.raises(StopAsyncIteration):
            await stream.athrow(KeyError)
        stream = bound(3)
        assert await anext(stream) == 3
        await stream.aclose()

    assert inspect.isasyncgenfunction(bound)
    asyncio.run(send_and_throw())
    assert log == [2, 0, 0, 3]


def test_a_decorated_function_is_on_one_account(server: FakeOpenAI) -> None:
    """All calls of a decorated function share one account and its limit."""
    server.when(lambda _: True, Reply(usage=Tokens(5, 10)))
    llm = ChatOpenAI(base_url=server.base_url, api_key="x", max_retries=0)  # type: ignore[arg-type]
    usage = track_usage(max_calls=3)

    @usage
    def ask(question: str) -> Any:
        return llm.invoke(question)

    @usage
    async def aask(question: str) -> Any:
        return await llm.ainvoke(question)

    ask("Roses?")
    ask("Tulips?")
    asyncio.run(aask("Lilies?"))
    assert inspect.iscoroutinefunction(aask)
    with pytest.raises(BudgetExceeded):
        ask("Daisies?")
    assert (usage.call_count, usage.refused) == (3, 1)
