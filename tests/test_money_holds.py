"""Whatever an app does: what is spent is what the provider says, and within a limit."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from chaos.attacks import is_all_free
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from waiting import WAIT_S

from otel_callbacks import TracedEmbeddings
from otel_callbacks.accounting import BudgetExceeded, track_usage
from otel_callbacks.testing import Capture, Received, Reply, Tokens, capture

if TYPE_CHECKING:
    from otel_callbacks.testing import FakeOpenAI

TOKENS: Final = "otel_callbacks_tokens_total"
COST: Final = "otel_callbacks_cost_usd_total"
OPERATIONS: Final = "otel_callbacks_operations_total"
PICTURE: Final = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
TOOL: Final = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object", "properties": {}}},
}


class Order(BaseModel):
    """An order of flowers."""

    flowers: list[str]


class Step(NamedTuple):
    """One thing that an app does: what, with how many words, for how long an answer."""

    kind: str
    words: int
    answer: int


KINDS: Final = (
    *("invoke", "ainvoke", "batch", "stream", "astream", "cached", "retried"),
    *("failed", "cancelled", "timed_out", "unpriced", "silent"),
    *("tools", "schema", "image", "embeddings"),
)
STEPS: Final = st.lists(
    st.builds(Step, st.sampled_from(KINDS), st.integers(1, 40), st.integers(1, 60)),
    min_size=1,
    max_size=8,
)


class App:
    """An app with a budget, and the provider that it asks.

    Args:
        server: The provider.
        handler: Of the telemetry.
    """

    def __init__(self, server: FakeOpenAI, handler: Any) -> None:
        self.server = server
        self.config: Any = {"callbacks": [handler]}
        self.handler = handler
        # What the provider reported to the app, and what it did not report.
        self.reported: list[Tokens] = []
        self.refused = 0
        self._retries = 0
        server.when(lambda _: True, self._reply)

    def _reply(self, received: Received) -> Reply:
        """Answer as the question says, as a provider that counts words."""
        words = (received.text or " ".join(received.prompts)).split()
        kind, _, answer = words[:3]
        if kind == "failed":
            return Reply.failing(500)
        self._retries += kind == "retried"
        if kind == "retried" and self._retries % 2:
            return Reply.failing(500)
        if kind in {"cancelled", "timed_out"}:
            return Reply(delay=WAIT_S)
        usage = Tokens(len(words), int(answer))
        if kind == "embeddings":
            usage = Tokens(len(words), 0)
        if kind == "silent":
            return Reply(usage=usage, send_usage=False)
        self.reported.append(usage)
        if kind == "schema":
            return Reply('{"flowers": []}', usage=usage)
        return Reply(usage=usage)

    async def run(self, steps: list[Step], models: dict[str, Any]) -> None:
        """Do all at once."""
        await asyncio.gather(*(self._step(step, models) for step in steps))

    async def _step(self, step: Step, models: dict[str, Any]) -> None:
        """Do one thing, and note where it is refused."""
        question = f"{step.kind} {step.words} {step.answer} " + "rose " * step.words
        llm = models["rose-1" if step.kind == "unpriced" else "gpt-4o-mini"]
        bound = llm.bind(max_tokens=step.answer)
        do = getattr(self, f"_{step.kind}", self._ainvoke)
        try:
            await do(bound, question, models)
        except BudgetExceeded:
            self.refused += 1

    async def _ainvoke(self, llm: Any, question: str, _: Any) -> None:
        await llm.ainvoke(question, config=self.config)

    async def _invoke(self, llm: Any, question: str, _: Any) -> None:
        await asyncio.to_thread(llm.invoke, question, config=self.config)

    async def _batch(self, llm: Any, question: str, _: Any) -> None:
        answers = await llm.abatch(
            [question, question], config=self.config, return_exceptions=True
        )
        self.refused += sum(isinstance(one, BudgetExceeded) for one in answers)

    async def _stream(self, llm: Any, question: str, _: Any) -> None:
        def read() -> None:
            for _ in llm.stream(question, config=self.config, stream_usage=True):
                pass

        await asyncio.to_thread(read)

    async def _astream(self, llm: Any, question: str, _: Any) -> None:
        async for _chunk in llm.astream(
            question, config=self.config, stream_usage=True
        ):
            pass

    async def _cached(self, _: Any, question: str, models: Any) -> None:
        for _again in range(2):
            await models["cached"].ainvoke(question, config=self.config)

    async def _retried(self, llm: Any, question: str, _: Any) -> None:
        again = llm.with_retry(
            stop_after_attempt=9,
            wait_exponential_jitter=False,
            retry_if_exception_type=(OSError, *_failures_of_openai()),
        )
        await again.ainvoke(question, config=self.config)

    async def _failed(self, llm: Any, question: str, _: Any) -> None:
        with pytest.raises(_failures_of_openai()):
            await llm.ainvoke(question, config=self.config)

    async def _cancelled(self, llm: Any, question: str, _: Any) -> None:
        before = self.requested("cancelled")
        task = asyncio.ensure_future(llm.ainvoke(question, config=self.config))
        while not task.done() and self.requested("cancelled") == before:
            await asyncio.sleep(0.005)
        task.cancel()
        ended: tuple[Any, ...] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(ended[0], BudgetExceeded):
            raise ended[0]

    async def _timed_out(self, llm: Any, question: str, _: Any) -> None:
        with pytest.raises(_failures_of_openai()):
            await llm.ainvoke(question, config=self.config, timeout=0.05)

    async def _tools(self, llm: Any, question: str, _: Any) -> None:
        await llm.ainvoke(question, config=self.config, tools=[TOOL] * 3)

    async def _schema(self, _: Any, question: str, models: Any) -> None:
        llm = models["gpt-4o-mini"].with_structured_output(Order)
        await llm.ainvoke(question, config=self.config)

    async def _image(self, llm: Any, question: str, _: Any) -> None:
        parts: Any = [{"type": "text", "text": question}, PICTURE]
        await llm.ainvoke([HumanMessage(parts)], config=self.config)

    async def _embeddings(self, _: Any, question: str, models: Any) -> None:
        traced = TracedEmbeddings(models["embeddings"], handler=self.handler)
        await traced.aembed_query(question)

    def requested(self, kind: str) -> int:
        """Count the requests of a kind."""
        return sum(one.text.startswith(kind) for one in self.server.requests)


def _failures_of_openai() -> tuple[type[Exception], ...]:
    """Return what a call of OpenAI's client raises."""
    import openai  # noqa: PLC0415 -- a second of imports

    return (openai.APIError,)


@pytest.fixture(scope="module")
def models(running_server: FakeOpenAI) -> dict[str, Any]:
    """Return the models of the app; a client costs 50 ms."""
    options: Any = {
        "base_url": running_server.base_url,
        "api_key": "sk-test",
        "max_retries": 0,
    }
    return {
        "gpt-4o-mini": ChatOpenAI(model="gpt-4o-mini", **options),
        "rose-1": ChatOpenAI(model="rose-1", **options),
        "cached": ChatOpenAI(model="gpt-4o-mini", cache=InMemoryCache(), **options),
        "embeddings": OpenAIEmbeddings(
            model="text-embedding-3-small", check_embedding_ctx_length=False, **options
        ),
    }


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS, limit=st.integers(100, 4_000))
@pytest.mark.filterwarnings("ignore::ResourceWarning")
# The lowest langchain-openai dumps an answer with an object of the app in it.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_what_is_spent_is_known_and_within_the_limit(
    server: FakeOpenAI, models: dict[str, Any], steps: list[Step], limit: int
) -> None:
    """Accounts, counters and spans equal the provider's usage, within the limit."""
    server.reset()
    with capture() as telemetry:
        app = App(server, telemetry.handler)
        with track_usage(max_tokens=limit) as usage:
            asyncio.run(app.run(steps, models))
            assert telemetry.value("otel_callbacks_open_runs") == 0
        assert usage.total_tokens + usage.assumed_tokens <= limit
        assert usage.refused == app.refused
        assert is_all_free(usage)
        reported = (
            sum(one.input for one in app.reported),
            sum(one.output for one in app.reported),
        )
        assert (usage.input_tokens, usage.output_tokens) == reported
        assert_counters(telemetry, usage, reported)
        assert_spans(telemetry, usage, reported)
    # Each call that was made, and none that was refused.
    saved = usage.by_outcome.get("cache_hit")
    made = usage.call_count - (saved.calls if saved else 0)
    assert len(server.requests) <= made
    unsaid = {"cancelled", "timed_out", "silent"}
    assert usage.unknown_calls <= sum(step.kind in unsaid for step in steps)
    if not unsaid & {step.kind for step in steps}:
        assert len(server.requests) == made


def assert_counters(telemetry: Capture, usage: Any, reported: tuple[int, int]) -> None:
    """Hold the series against the calls that were made."""
    for kind, tokens in zip(("input", "output"), reported, strict=True):
        assert telemetry.value(TOKENS, gen_ai_token_type=kind) == tokens
    assert telemetry.value(COST) == pytest.approx(usage.cost_usd, rel=1e-9)
    assert telemetry.value("otel_callbacks_budget_exceeded_total") == usage.refused
    for outcome, totals in usage.by_outcome.items():
        counted = sum(
            telemetry.value(OPERATIONS, outcome=outcome, gen_ai_operation_name=name)
            for name in ("chat", "embeddings")
        )
        assert counted == totals.calls
    unpriced = telemetry.value("otel_callbacks_unpriced_tokens_total")
    assert unpriced == usage.unpriced_tokens


def assert_spans(telemetry: Capture, usage: Any, reported: tuple[int, int]) -> None:
    """Hold the spans against the calls that were made."""
    sums: Counter[str] = Counter()
    for span in telemetry.spans:
        if span["kind"] == "CLIENT":
            sums.update(
                {
                    name: value
                    for name, value in span["attributes"].items()
                    if name in _SUMMED
                }
            )
    assert (sums[_SUMMED[0]], sums[_SUMMED[1]]) == reported
    assert sums[_SUMMED[2]] == pytest.approx(usage.cost_usd, rel=1e-9)
    refused = [span for span in telemetry.spans if "otel_callbacks.budget" in str(span)]
    assert len(refused) == usage.refused


_SUMMED: Final = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "otel_callbacks.cost_usd",
)
