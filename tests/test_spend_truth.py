"""What is counted is what the provider has counted, to the token and to the cent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import genai_prices
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage

from otel_callbacks.accounting import BudgetExceeded, TrackedUsage, track_usage
from otel_callbacks.testing import FakeChatModel, FakeTextModel, Received, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture, FakeOpenAI

SEED: Final = 20261121
TOKENS: Final = "otel_callbacks_tokens_total"
COST: Final = "otel_callbacks_cost_usd_total"
MODELS: Final = ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18")
UNPRICED: Final = "fake-model"
WITHOUT_SOCKETS: Final = 8_000
OVER_SOCKETS: Final = 2_400
AT_ONCE: Final = 40


class Exchange(NamedTuple):
    """What a fake model said of one call: its model, outcome and tokens."""

    model: str
    outcome: str
    inputs: int = 0
    outputs: int = 0
    cached: int = 0
    reasoning: int = 0


def price_of(model: str, inputs: int, outputs: int, cached: int) -> Decimal:
    """Return what genai-prices says that tokens cost."""
    usage = genai_prices.Usage(
        input_tokens=inputs, output_tokens=outputs, cache_read_tokens=cached
    )
    return genai_prices.calc_price(usage, model, provider_id="openai").total_price


def tokens_by_outcome(calls: list[Exchange]) -> dict[str, tuple[int, int, int]]:
    """Return calls, tokens in and tokens out by outcome."""
    sums: Counter[tuple[str, int]] = Counter()
    for one in calls:
        for place, amount in enumerate((1, one.inputs, one.outputs)):
            sums[one.outcome, place] += amount
    outcomes = {one.outcome for one in calls}
    return {name: tuple(sums[name, at] for at in range(3)) for name in outcomes}  # type: ignore[misc]


def shape(chance: random.Random) -> tuple[Any, tuple[int, int, int, int]]:
    """Return a usage of some shape, and its tokens in, out, cached and reasoning."""
    inputs, outputs = chance.randint(0, 900), chance.randint(0, 400)
    cached, reasoning = chance.randint(0, inputs), chance.randint(0, outputs)
    usage: dict[str, Any] = {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "total_tokens": inputs + outputs,
    }
    kind = chance.randrange(4)
    if kind == 0:
        return None, (0, 0, 0, 0)
    if kind == 1:
        return usage, (inputs, outputs, 0, 0)
    usage["input_token_details"] = {"cache_read": cached}
    if kind == 2:
        return usage, (inputs, outputs, cached, 0)
    usage["output_token_details"] = {"reasoning": reasoning}
    return usage, (inputs, outputs, cached, reasoning)


async def one_call(chance: random.Random, handlers: list[Any], number: int) -> Exchange:
    """Make a call of some kind, and say what its model said."""
    usage, counted = shape(chance)
    name = chance.choice(MODELS)
    options: dict[str, Any] = {
        "model_name": name,
        "provider": "openai",
        "usage": usage,
        "callbacks": handlers,
        "chunks": chance.randint(1, 4),
    }
    if chance.randrange(9) < len(WHOLE):
        await chance.choice(WHOLE)(FakeChatModel(**options))
        return Exchange(name, "ok", *counted)
    other = chance.choice((failed, abandoned, cancelled, cached, texts))
    outcome = await other(options, chance.randint(1, 3), number)
    if other is texts:  # their shape has no details
        return Exchange(UNPRICED, outcome, *counted[:2])
    return Exchange(name, outcome, *(counted if other is cached else ()))


async def invoked(llm: FakeChatModel) -> None:
    """Call a model the plain way."""
    llm.invoke("x")


async def awaited(llm: FakeChatModel) -> None:
    """Call a model in the event loop."""
    await llm.ainvoke("x")


async def streamed(llm: FakeChatModel) -> None:
    """Read a stream to its end."""
    list(llm.stream("x"))


async def streamed_in_the_loop(llm: FakeChatModel) -> None:
    """Read a stream to its end in the event loop."""
    async for _ in llm.astream("x"):
        pass


WHOLE: Final = (invoked, awaited, streamed, streamed_in_the_loop)


async def failed(options: dict[str, Any], _: int, __: int) -> str:
    """Call a model that fails."""
    with pytest.raises(ValueError, match="closed"):
        FakeChatModel(error=ValueError("closed"), **options).invoke("x")
    return "error"


async def abandoned(options: dict[str, Any], _: int, __: int) -> str:
    """Drop a stream after its first piece."""
    stream = FakeChatModel(**{**options, "chunks": 4}).stream("x")
    next(stream)
    del stream
    return "abandoned"


async def cancelled(options: dict[str, Any], _: int, __: int) -> str:
    """Cancel a call that is under way."""
    llm = FakeChatModel(delay=30, **options)
    task = asyncio.ensure_future(llm.ainvoke("x"))
    for _turn in range(2):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return "cancelled"


async def cached(options: dict[str, Any], _: int, number: int) -> str:
    """Call a model twice, the second time answered by a cache."""
    cache = InMemoryCache()
    for _again in range(2):
        FakeChatModel(cache=cache, **options).invoke(f"x{number}")
    return "cached"


async def texts(options: dict[str, Any], count: int, _: int) -> str:
    """Give a text model some prompts at once: one usage for all of them."""
    options = {**options, "model_name": UNPRICED, "provider": "fake"}
    FakeTextModel(**options).generate(["x"] * count)
    return f"ok of {count}"


@pytest.mark.slow
def test_each_token_without_sockets(telemetry: Capture) -> None:
    """Series, account and fake model agree for every kind of call and usage."""
    chance = random.Random(SEED)  # noqa: S311 -- the same calls each time

    async def traffic() -> list[Exchange]:
        handlers = [telemetry.handler]
        return [await one_call(chance, handlers, n) for n in range(WITHOUT_SOCKETS)]

    with track_usage() as usage:
        raw = asyncio.run(traffic())
        assert_all_ended(telemetry)
    exchanges: list[Exchange] = []
    for one in raw:
        if one.outcome.startswith("ok of"):
            more = int(one.outcome[-1]) - 1
            exchanges += [
                one._replace(outcome="ok"),
                *([Exchange(one.model, "ok")] * more),
            ]
        elif one.outcome == "cached":
            exchanges += [one._replace(outcome="ok"), one._replace(outcome="cache_hit")]
        else:
            exchanges.append(one)
    assert_agreement(telemetry, usage, exchanges)
    paid = [one for one in exchanges if one.outcome == "ok"]
    # No input beside output is doubt, and no number to multiply a price with.
    sure = [
        one for one in paid if one.model in MODELS and (one.inputs or not one.outputs)
    ]
    costs = [price_of(one.model, *one[2:5]) for one in sure]
    unpriced = sum(one.inputs + one.outputs for one in paid if one not in sure)
    assert usage.unpriced_tokens == unpriced > 0
    assert usage.cost == sum(costs)
    assert telemetry.value(COST) == pytest.approx(float(sum(costs)), rel=1e-9)
    assert usage.totals.details["cache_read"] == sum(one.cached for one in paid)
    assert usage.totals.details["reasoning"] == sum(one.reasoning for one in paid)
    assert {one.outcome for one in exchanges} == {
        *("ok", "error", "cancelled", "abandoned", "cache_hit")
    }


def assert_all_ended(telemetry: Capture) -> None:
    """End what is known to be lost, as a scrape does."""
    assert telemetry.value("otel_callbacks_open_runs") == 0


def assert_agreement(
    telemetry: Capture, usage: TrackedUsage, exchanges: list[Exchange]
) -> None:
    """Hold the series and the account against what was said, by outcome."""
    for outcome, (calls, inputs, outputs) in tokens_by_outcome(exchanges).items():
        totals = usage.by_outcome[outcome]
        assert totals.calls == calls, outcome
        counted = telemetry.value("otel_callbacks_operations_total", outcome=outcome)
        assert counted == calls, outcome
        if outcome == "cache_hit":
            assert totals.saved_tokens == inputs + outputs
            assert telemetry.value(TOKENS, outcome=outcome) == 0
            continue
        assert (totals.input_tokens, totals.output_tokens) == (inputs, outputs), outcome
        for kind, tokens in (("input", inputs), ("output", outputs)):
            labels = {"outcome": outcome, "gen_ai_token_type": kind}
            assert telemetry.value(TOKENS, **labels) == tokens, labels
    assert usage.call_count == len(exchanges)


def reply_to(received: Received) -> Reply:
    """Answer by what the question says: so many tokens, or a failure."""
    kind, inputs, outputs, cached = received.text.split()[:4]
    if kind == "fail":
        return Reply.failing(400)
    return Reply(usage=Tokens(int(inputs), int(outputs), int(cached)))


@pytest.mark.slow
def test_each_token_over_sockets(
    telemetry: Capture,
    server: FakeOpenAI,
    chat: Callable[..., Any],
    text: Callable[..., Any],
) -> None:
    """With concurrent ``ChatOpenAI`` calls, the provider's totals equal ours."""
    server.when(lambda _: True, reply_to)
    chance = random.Random(SEED)  # noqa: S311 -- the same calls each time
    whole = [chat(model=name) for name in MODELS]
    choices = chat(model=MODELS[0], n=3)
    streams = [chat(model=name, stream_usage=True) for name in MODELS]
    plain = text()
    room = asyncio.Semaphore(AT_ONCE)

    async def call(number: int) -> Decimal:
        inputs, outputs = chance.randint(1, 900), chance.randint(1, 400)
        cached = chance.randint(0, inputs)
        model, how = number % 2, chance.randrange(6)
        question = f"ask {inputs} {outputs} {cached}"
        async with room:
            if how == 0:
                with pytest.raises(Exception, match="400"):
                    await whole[model].ainvoke(f"fail {question[4:]}")
                return Decimal(0)
            if how == 1:
                model = 0
                await choices.agenerate([[HumanMessage(question)]])
            elif how == 2:
                async for _ in streams[model].astream(question):
                    pass
            elif how == 3:
                await plain.ainvoke(question)
                return price_of("gpt-3.5-turbo-instruct", inputs, outputs, 0)
            else:
                await whole[model].ainvoke(question)
        return price_of(MODELS[model], inputs, outputs, cached)

    async def traffic() -> list[Decimal]:
        return await asyncio.gather(*(call(number) for number in range(OVER_SOCKETS)))

    with track_usage() as usage:
        costs = asyncio.run(traffic())
    provider = server.total_usage
    assert usage.call_count == OVER_SOCKETS
    assert (usage.input_tokens, usage.output_tokens) == (
        provider.input,
        provider.output,
    )
    for kind, tokens in (("input", provider.input), ("output", provider.output)):
        assert telemetry.value(TOKENS, gen_ai_token_type=kind, outcome="ok") == tokens
    assert telemetry.value(TOKENS) == provider.total
    assert usage.cost == sum(costs)
    assert {name: one.total_tokens for name, one in usage.by_model.items()} == {
        name: one.total for name, one in server.usage.items()
    }


BUDGET: Final = 2_000
MOST: Final = 50


def budgeted(chat: Callable[..., Any], server: FakeOpenAI) -> Any:
    """Return a model whose answers are as long as they may be."""
    server.when(lambda _: True, Reply(usage=Tokens(5, MOST), delay=0.01))
    return chat(max_tokens=MOST)


def assert_held(usage: TrackedUsage, server: FakeOpenAI, refused: int) -> None:
    """Hold a budget: never beyond it, and not far below."""
    assert server.total_usage.total == usage.total_tokens
    assert BUDGET - 2 * (MOST + 20) < usage.total_tokens <= BUDGET
    assert usage.refused == refused > 0
    assert usage.call_count + refused == 100
    assert len(server.requests) == usage.call_count


def test_concurrent_calls_never_exceed_a_budget(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """A hundred concurrent calls in one event loop stay within the budget."""
    llm = budgeted(chat, server)

    async def traffic() -> list[Any]:
        calls = (llm.ainvoke("Roses?") for _ in range(100))
        return await asyncio.gather(*calls, return_exceptions=True)

    with track_usage(max_tokens=BUDGET) as usage:
        answers = asyncio.run(traffic())
    refused = sum(isinstance(one, BudgetExceeded) for one in answers)
    assert_held(usage, server, refused)


def test_threads_never_exceed_a_budget(
    chat: Callable[..., Any], server: FakeOpenAI
) -> None:
    """A hundred calls from twenty threads stay within the budget."""
    llm = budgeted(chat, server)
    with (
        track_usage(max_tokens=BUDGET) as usage,
        ThreadPoolExecutor(20) as threads,
    ):
        call = usage.bind(llm.invoke)
        answers = [threads.submit(call, "Roses?") for _ in range(100)]
        errors = [answer.exception() for answer in answers]
    refused = sum(isinstance(one, BudgetExceeded) for one in errors)
    assert_held(usage, server, refused)
