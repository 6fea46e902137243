"""`track_usage`: the usage and the limits of a block of code."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import json
import multiprocessing
import pickle
import re
import threading
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import RunnableLambda

from otel_callbacks import accounting
from otel_callbacks.accounting import BudgetExceeded, TrackedUsage, track_usage
from otel_callbacks.testing import FakeChatModel, FakeTextModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture

USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
# Prices of a real model, so that money is counted: 2.50 and 10 US dollars a million.
PRICED: Any = {"provider": "openai", "model_name": "gpt-4o-2024-08-06"}
COST = Decimal("0.0000475")


def model(**options: Any) -> FakeChatModel:
    """Return a model that nothing hangs on."""
    return FakeChatModel(usage=USAGE, **options)


def test_calls_without_any_handler_are_seen() -> None:
    """Sums and records include the calls in the block, and no others."""
    model().invoke("before")
    with track_usage() as usage:
        model(**PRICED).invoke("Roses?")
        list(model(**PRICED).stream("Roses?"))
    model().invoke("after")
    assert (usage.call_count, usage.total_tokens) == (2, 20)
    assert (usage.input_tokens, usage.output_tokens) == (14, 6)
    assert usage.cost == 2 * COST
    assert usage.cost_usd == float(2 * COST)
    assert [call.outcome for call in usage.calls] == ["ok", "ok"]
    assert usage.calls[0].trace_id == ""
    assert usage.calls[0].seconds > 0
    assert usage.unpriced_tokens == 0


def test_calls_with_a_handler_are_counted_once(telemetry: Capture) -> None:
    """With a handler, the record has the ids of the call's span."""
    with track_usage() as usage:
        model(callbacks=[telemetry.handler]).invoke("Roses?")
    assert usage.call_count == 1
    assert usage.calls[0].span_id == telemetry.span("chat fake-model")["span_id"]
    assert usage.calls[0].trace_id == telemetry.span("chat fake-model")["trace_id"]


def test_blocks_are_nested() -> None:
    """Calls of an inner block count in the outer block too."""
    with track_usage() as outer:
        model().invoke("a")
        with track_usage() as inner:
            model().invoke("b")
        model().invoke("c")
    assert (outer.call_count, inner.call_count) == (3, 1)


def test_tasks_and_chains_are_in_the_block() -> None:
    """``gather`` and LangChain's threads are in the block; unrelated tasks are not."""

    async def shop(calls: int) -> int:
        async with track_usage() as usage:
            chain: Any = RunnableLambda(lambda _: "Roses?") | model()
            await asyncio.gather(*(chain.ainvoke("x") for _ in range(calls)))
            await asyncio.to_thread(chain.batch, ["x"] * calls)
        return usage.call_count

    async def shops() -> list[int]:
        return await asyncio.gather(*(shop(calls) for calls in (1, 2, 3)))

    assert asyncio.run(shops()) == [2, 4, 6]


def test_plain_threads_are_bound() -> None:
    """With `bind`, a thread with an empty context is on the account."""
    with track_usage() as usage:
        bound = usage.bind(model().invoke)
        for target in (bound, model().invoke):
            thread = threading.Thread(target=target, args=("Roses?",))
            thread.start()
            thread.join()
        bound("twice here is once")
    assert usage.call_count == 2


def test_coroutine_functions_are_bound() -> None:
    """This also holds in another event loop with an empty context."""

    async def call() -> str:
        return str((await model().ainvoke("Roses?")).content)

    with track_usage() as usage:
        bound = usage.bind(call)
        empty = contextvars.Context()
        assert empty.run(asyncio.run, bound()) == "Twelve red roses."
    assert usage.call_count == 1


def test_outcomes_and_savings() -> None:
    """Failed calls count as calls; cache hits count as saved, not as spent."""
    cache = InMemoryCache()
    with track_usage() as usage:
        for _ in range(2):
            model(cache=cache, **PRICED).invoke("Roses?")
        with pytest.raises(ValueError, match="closed"):
            model(error=ValueError("closed")).invoke("Roses?")
    assert {name: one.calls for name, one in usage.by_outcome.items()} == {
        "ok": 1,
        "cache_hit": 1,
        "error": 1,
    }
    assert (usage.saved_tokens, usage.saved_cost_usd) == (10, float(COST))
    assert usage.calls[-1].error_class == "other"
    assert usage.by_model["gpt-4o-2024-08-06"].total_tokens == 10


def test_a_call_beyond_the_limit_is_not_made() -> None:
    """The app gets the exception and can continue with a smaller call."""
    with track_usage(max_calls=1) as usage:
        model().invoke("Roses?")
        with pytest.raises(BudgetExceeded) as refused:
            model(error=AssertionError("was called")).invoke("Roses?")
    assert (refused.value.budget, refused.value.limit) == ("calls", 1)
    assert (usage.call_count, usage.refused) == (1, 1)


def test_a_limit_of_money_holds_back_before_the_call() -> None:
    """The prompt alone may exceed the limit."""
    with track_usage(max_cost_usd=0.000001), pytest.raises(BudgetExceeded) as refused:
        model(**PRICED).invoke("Roses? " * 100)
    assert refused.value.budget == "cost"


class Noticing:
    """A message that notices when its kind is looked up, as an estimate does."""

    times = 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        Noticing.times += 1
        return object


def estimates(telemetry: Capture) -> int:
    """Return how often a call's message is read for an estimate."""
    Noticing.times = 0
    handler, run_id = telemetry.handler, uuid4()
    handler.on_chat_model_start({}, [[Noticing()]], run_id=run_id)
    handler.on_llm_end(None, run_id=run_id)
    return Noticing.times


def test_limits_are_in_use_only_inside(telemetry: Capture) -> None:
    """Outside a block no call computes an estimate."""
    assert estimates(telemetry) == 0
    with track_usage(max_tokens=99):
        assert estimates(telemetry) > 0
    assert estimates(telemetry) == 0


def test_wrong_limits_are_refused() -> None:
    """They are refused when the block is created, not at the first call."""
    with pytest.raises(ValueError, match="max_tokens=-1"):
        track_usage(max_tokens=-1)


def test_a_block_is_entered_once() -> None:
    """A second entry raises; a second exit does nothing."""
    usage = track_usage()
    usage.__exit__(None, None, None)
    with usage:
        pass
    usage.__exit__(None, None, None)
    with pytest.raises(RuntimeError, match="entered before"):
        usage.__enter__()


def test_a_block_may_be_left_in_another_context(telemetry: Capture) -> None:
    """A request scope that is a generator does this; the block is closed."""
    usage = track_usage(max_calls=5)
    context = contextvars.copy_context()
    context.run(usage.__enter__)
    usage.__exit__(None, None, None)
    context.run(model().invoke, "Roses?")
    assert usage.call_count == 0
    assert estimates(telemetry) == 0
    model().invoke("Roses?")
    assert usage.call_count == 0


def test_everything_as_json() -> None:
    """The JSON has all sums, sums by model and by outcome, and each call."""
    with track_usage() as usage:
        model().invoke("Roses?")
    data = json.loads(json.dumps(usage.to_dict()))
    assert (data["calls"], data["total_tokens"], data["refused"]) == (1, 10, 0)
    assert data["unpriced_tokens"] == 10
    assert data["by_model"]["fake-model"]["calls"] == 1
    assert data["by_outcome"]["ok"]["total_tokens"] == 10
    assert data["each_call"][0]["usage"]["output_tokens"] == 3


def test_sums_as_text() -> None:
    """With one model and only successful calls the text is one line."""
    with track_usage() as usage:
        model(**PRICED).invoke("Roses?")
    assert str(usage) == "all: 1 calls, 7 tokens in, 3 out, $0.000048"
    assert repr(usage) == (
        "<TrackedUsage calls=1 input_tokens=7 output_tokens=3 cost_usd=0.000048>"
    )


def test_sums_as_text_with_all() -> None:
    """The text has a line for each model, each other outcome and the refused calls."""
    cache = InMemoryCache()
    with track_usage(max_calls=2) as usage:
        model(**PRICED, cache=cache).invoke("Roses?")
        model(**PRICED, cache=cache).invoke("Roses?")
        FakeTextModel(usage=USAGE).invoke("Roses?")
        with pytest.raises(BudgetExceeded):
            model().invoke("Roses?")
    saved = "10 tokens ($0.000048) saved"
    unpriced = "10 tokens without a price"
    assert str(usage).splitlines() == [
        f"all: 3 calls, 14 tokens in, 6 out, $0.000048 and {unpriced}; {saved}",
        f"  fake-model: 1 calls, 7 tokens in, 3 out, $0.000000 and {unpriced}",
        f"  gpt-4o-2024-08-06: 2 calls, 7 tokens in, 3 out, $0.000048; {saved}",
        f"  cache_hit: 1 calls, 0 tokens in, 0 out, $0.000000; {saved}",
        "  refused: 1 calls beyond the budget",
    ]


@pytest.mark.parametrize("how", [track_usage, lambda: track_usage(max_calls=1)])
def test_reading_never_waits_for_the_end(how: Callable[[], TrackedUsage]) -> None:
    """Sums can be read while the block is open."""
    with how() as usage:
        assert usage.total_tokens == 0
        model().invoke("Roses?")
        assert usage.total_tokens == 10


def test_the_page_shows_what_happens(capsys: pytest.CaptureFixture[str]) -> None:
    """The example without a provider prints the output that the page shows."""
    page = (Path(__file__).parents[1] / "docs" / "accounting.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    example = next(block for block in blocks if "FakeChatModel" in block)
    exec(compile(example, "accounting.md", "exec"), {})  # noqa: S102 -- our own page
    printed = capsys.readouterr().out.strip()
    assert printed == "20 True 2"
    assert f"this prints `{printed}`" in page


def test_a_retry_that_names_its_exceptions_lets_a_refusal_through() -> None:
    """Other exceptions are retried; a refusal reaches the app at once."""
    llm = model().with_retry(retry_if_exception_type=(TimeoutError,))
    with track_usage(max_tokens=1) as usage, pytest.raises(BudgetExceeded):
        llm.invoke("Roses?")
    assert usage.refused == 1


def test_a_fallback_is_checked_by_the_same_budget() -> None:
    """After a refusal the fallback model is called if it fits the budget."""
    free = model()
    with track_usage(max_cost_usd=0.000001) as usage:
        answer = model(**PRICED).with_fallbacks([free]).invoke("Roses? " * 100)
    assert answer.content == "Twelve red roses."
    assert (usage.refused, usage.call_count) == (1, 1)
    assert "fake-model" in usage.by_model


def test_a_notebook_shows_a_table_by_model() -> None:
    """The table has a total, and names from a provider are escaped."""
    with capture() as telemetry, track_usage() as usage:
        FakeChatModel(
            callbacks=[telemetry.handler], model_name="<rose>", answer="Yes."
        ).invoke("Roses?")
    html = usage._repr_html_()
    assert "<td>&lt;rose&gt;</td><td>1</td>" in html
    assert "<td>total</td><td>1</td>" in html


# -- copied and sent ---------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))],  # noqa: S301 -- our own bytes
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_the_same_account(copied: Callable[[Any], Any]) -> None:
    """A graph copies its state; all copies use one account and its limits."""
    with track_usage(max_calls=2) as usage:
        copy_of_it = copied(usage)
        for _ in range(2):
            model().invoke("Roses?")
        with pytest.raises(BudgetExceeded):
            model().invoke("Roses?")
        with pytest.raises(RuntimeError, match="entered before"):
            copy_of_it.__enter__()
    assert copy_of_it is usage
    assert usage.total_tokens == 20


def test_pickled_elsewhere_it_goes_on_from_what_was_spent(
    monkeypatch: pytest.MonkeyPatch, telemetry: Capture
) -> None:
    """Its limits hold in the other process; after the exit its sums can be read."""
    with track_usage(max_calls=2) as usage:
        model().invoke("Roses?")
        data = pickle.dumps(usage)
    left = pickle.dumps(usage)
    # The original lives on, so that its own sums can be compared.
    monkeypatch.setattr(accounting, "_pickled", {})
    there, bound = pickle.loads(data), pickle.loads(data)  # noqa: S301 -- our own bytes
    with there:
        model().invoke("Roses?")
        with pytest.raises(BudgetExceeded):
            model().invoke("Roses?")
    ask = bound.bind(model().invoke)
    ask("Roses?")
    with pytest.raises(BudgetExceeded):
        ask("Roses?")
    for one in (there, bound):
        assert (one.call_count, one.total_tokens, one.refused) == (2, 20, 1)
    read = pickle.loads(left)  # noqa: S301 -- our own bytes
    assert read.to_dict() == usage.to_dict()
    assert usage.call_count == 1
    with pytest.raises(RuntimeError, match="entered before"), read:
        pass
    del there, bound, ask, one
    gc.collect()
    assert estimates(telemetry) == 0


def test_a_process_pool_takes_what_was_spent() -> None:
    """A budget that is sent to a spawned process holds there."""
    with track_usage(max_tokens=35) as usage:
        model().invoke("Roses?")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            assert list(pool.map(_calls_until_refused, [usage] * 2)) == [30, 30]
    assert usage.total_tokens == 10


def _calls_until_refused(usage: TrackedUsage) -> int:
    """Ask in another process until a limit is reached."""
    with usage, contextlib.suppress(BudgetExceeded):
        for _ in range(10):
            FakeChatModel(usage=USAGE).invoke("Roses?", max_tokens=3)
    return usage.total_tokens
