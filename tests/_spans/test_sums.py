"""Sums over a tree of runs."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from decimal import Context, Decimal, FloatOperation, Inexact, localcontext
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_callbacks._records import OK, End, Request, Response, Usage
from otel_callbacks._runs.run import Run
from otel_callbacks._spans import sums as agent_sums
from otel_callbacks._spans import sums as rollup

if TYPE_CHECKING:
    from otel_callbacks._runs.run import AgentTally, Tally
    from otel_callbacks.testing import Capture


def _end(response: Response | None) -> End:
    """Return the end of a run that gave this back."""
    return End(OK, 0, response)


def test_model_calls_and_tokens_are_summed() -> None:
    """Calls count one each, tokens are added, tools are counted apart."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(Response(usage=Usage(10, 5, cache_read=4))))
    rollup.note(entries, "text_completion", _end(Response(usage=Usage(1, 2))))
    rollup.note(entries, "execute_tool", _end(None))
    assert rollup.attributes(entries) == {
        "otel_callbacks.calls": 2,
        "otel_callbacks.tool_calls": 1,
        "otel_callbacks.input_tokens": 11,
        "otel_callbacks.output_tokens": 7,
    }


def test_calls_without_tokens_count() -> None:
    """A call that failed, said no usage or half of it, is a call all the same."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(None))
    rollup.note(entries, "chat", _end(Response()))
    rollup.note(entries, "chat", _end(Response(usage=Usage(None, 3))))
    assert entries == [
        (1, 0, 0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0, 0, 0),
        (1, 0, 0, 3, 0, 3, 0),
    ]


def test_cache_hits_spend_no_tokens() -> None:
    """What LangChain's cache answered is a call, but no tokens."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(Response(usage=Usage(10, 5), cache_hit=True)))
    assert entries == [(1, 0, 0, 0, 0, 0, 0)]


def test_chains_and_retrievals_do_not_count() -> None:
    """Only calls of models and tools are summed."""
    entries: list[Tally] = []
    rollup.note(entries, "", _end(None))
    rollup.note(entries, "retrieval", _end(Response()))
    assert entries == []


def test_cost_is_summed() -> None:
    """Only where the price of a call is known."""
    entries: list[Tally] = []
    rollup.note(entries, "chat", _end(Response())._replace(cost=Decimal("0.25")))
    rollup.note(entries, "chat", _end(Response())._replace(cost=Decimal("0.5")))
    rollup.note(entries, "chat", _end(Response()))
    assert rollup.attributes(entries)["otel_callbacks.cost_usd"] == 0.75


def test_a_sum_is_marked_if_a_part_has_no_price() -> None:
    """Whole calls by their tokens, and parts of calls; not where all has none."""
    priced = _end(Response(usage=Usage(1_500, 500)))._replace(cost=Decimal("0.0125"))
    unpriced = _end(Response(usage=Usage(15_000, 3_000)))
    entries: list[Tally] = []
    rollup.note(entries, "chat", unpriced)
    assert "otel_callbacks.unpriced_tokens" not in rollup.attributes(entries)
    rollup.note(entries, "chat", priced)
    sums = rollup.attributes(entries)
    assert sums["otel_callbacks.cost_usd"] == 0.0125
    assert sums["otel_callbacks.unpriced_tokens"] == 18_000
    assert sums["otel_callbacks.partly_priced"] is True
    entries = []
    rollup.note(entries, "chat", priced)
    assert "otel_callbacks.partly_priced" not in rollup.attributes(entries)
    rollup.note(entries, "chat", priced._replace(is_partly_priced=True))
    sums = rollup.attributes(entries)
    assert sums["otel_callbacks.partly_priced"] is True
    assert "otel_callbacks.unpriced_tokens" not in sums


def test_the_apps_decimal_context_changes_no_sum() -> None:
    """Neither its precision nor its traps."""
    entries: list[Tally] = []
    for _ in range(3):
        cost = Decimal("107.406666")
        rollup.note(entries, "chat", _end(Response())._replace(cost=cost))
    with localcontext(Context(prec=3, traps=[Inexact, FloatOperation])):
        sums = rollup.attributes(entries)
    assert sums["otel_callbacks.cost_usd"] == 322.219998


def test_calls_of_an_agent_are_counted_by_kind() -> None:
    """An agent's series want its model calls and its tool calls, and no tokens."""
    entries: list[Tally] = []
    assert rollup.counts(entries) == (0, 0)
    rollup.note(entries, "chat", _end(Response(usage=Usage(10, 5))))
    rollup.note(entries, "chat", _end(None))
    rollup.note(entries, "execute_tool", _end(None))
    assert rollup.counts(entries) == (2, 1)


def asked(model: str = "m", **more: Any) -> Request:
    """Return the request of a model's call."""
    attributes = {"gen_ai.request.model": model, **more}
    return Request("chat", model, model=model, attributes=attributes)


def noted(*calls: tuple[Request, Response | None]) -> list[AgentTally]:
    """Return what these ended runs add."""
    entries: list[AgentTally] = []
    for request, response in calls:
        agent_sums.note_in_agent(entries, Run(1, request, None), End(OK, 0, response))
    return entries


def test_usage_is_of_the_whole_invocation() -> None:
    """Tokens are added; the last answer says why it finished."""
    first = Response(finish_reasons=("tool_calls",), usage=Usage(10, 5, 4, 3))
    last = Response(finish_reasons=("stop",), usage=Usage(20, 1))
    entries = noted((asked(), first), (Request("execute_tool", "t"), None))
    entries += noted((asked(), last), (asked(), None), (Request("", "step"), None))
    assert agent_sums.agent_attributes(entries) == {
        "gen_ai.request.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 6,
    }
    assert rollup.counts(entries) == (3, 1)


def test_tokens_that_one_call_does_not_say_are_those_of_the_other() -> None:
    """Whichever of the two it is, and either kind."""
    half = (asked(), Response(usage=Usage(None, 2)))
    whole = (asked(), Response(usage=Usage(1, None)))
    for calls in ((half, whole), (whole, half)):
        said = agent_sums.agent_attributes(noted(*calls))
        assert said["gen_ai.usage.input_tokens"] == 1
        assert said["gen_ai.usage.output_tokens"] == 2


def test_only_values_that_all_calls_share_are_set() -> None:
    """Of two models neither is the agent's."""
    warm: dict[str, Any] = {"gen_ai.request.temperature": 0.7, "gen_ai.request.seed": 1}
    entries = noted((asked(**warm), None), (asked("n", **warm), None))
    assert agent_sums.agent_attributes(entries) == warm
    assert agent_sums.agent_model(entries) == ""
    assert agent_sums.agent_model(entries[:1]) == "m"


@pytest.mark.parametrize(
    "response",
    [
        None,
        Response(),
        Response(usage=Usage()),
        Response(usage=Usage(1, 2), cache_hit=True),
    ],
)
def test_nothing_is_invented(response: Response | None) -> None:
    """No usage, no tokens; a cache's answer is not spent."""
    entries = noted((asked(), response))
    assert agent_sums.agent_attributes(entries) == {"gen_ai.request.model": "m"}


def test_an_agent_without_calls_has_no_sums() -> None:
    """Tools alone have no model."""
    entries = noted((Request("execute_tool", "t"), None))
    assert agent_sums.agent_attributes(entries) == {}
    assert agent_sums.agent_model(entries) == ""


def test_an_inner_agent_s_calls_are_the_outer_one_s_too() -> None:
    """An invocation is all that it caused."""
    inner = Run(1, Request("invoke_agent", "inner"), None)
    assert inner.of_agent is not None
    inner.of_agent.extend(noted((asked(), Response(usage=Usage(1, 2)))))
    entries: list[AgentTally] = []
    agent_sums.note_in_agent(entries, inner, End(OK, 0))
    assert rollup.counts(entries) == (1, 0)
    assert agent_sums.agent_attributes(entries)["gen_ai.usage.output_tokens"] == 2


USAGES = st.none() | st.builds(
    Usage,
    st.none() | st.integers(0, 9),
    st.none() | st.integers(0, 9),
    st.integers(0, 2),
    st.integers(0, 2),
)
REASONS = st.sampled_from([(), ("stop",), ("length",)])
ANSWERS = st.none() | st.builds(
    Response, finish_reasons=REASONS, usage=USAGES, cache_hit=st.booleans()
)
WARMTHS = st.sampled_from([0.5, 0.7])
ASKED = st.builds(
    lambda model, warmth: asked(model, **{"gen_ai.request.temperature": warmth}),
    st.sampled_from("mn"),
    WARMTHS,
) | st.just(Request("execute_tool", "t"))


@pytest.mark.slow
@given(st.lists(st.tuples(ASKED, ANSWERS), max_size=80))
def test_many_entries_say_what_a_few_say(
    calls: list[tuple[Request, Response | None]],
) -> None:
    """What is added up on the way is what is added up at the end."""
    entries = noted(*calls)
    assert len(entries) <= 33
    models = [one for one in calls if one[0].operation == "chat"]
    assert rollup.counts(entries) == (len(models), len(calls) - len(models))
    names = {request.model for request, _ in models}
    assert agent_sums.agent_model(entries) == (names.pop() if len(names) == 1 else "")
    answers = [answer for _, answer in models if answer is not None]
    spent = [one.usage for one in answers if one.usage and not one.cache_hit]
    expected: dict[str, Any] = {}
    for name in ("gen_ai.request.model", "gen_ai.request.temperature"):
        values = {request.attributes[name] for request, _ in models}
        if len(values) == 1:
            expected[name] = values.pop()
    if answers and answers[-1].finish_reasons:
        expected["gen_ai.response.finish_reasons"] = answers[-1].finish_reasons
    for place, name in enumerate(("input", "output")):
        known = [one[place] for one in spent if one[place] is not None]
        if known:
            expected[f"gen_ai.usage.{name}_tokens"] = sum(int(n or 0) for n in known)
    for place, name in ((2, "cache_read"), (3, "cache_creation")):
        if total := sum(one[place] or 0 for one in spent):
            expected[f"gen_ai.usage.{name}.input_tokens"] = total
    assert agent_sums.agent_attributes(entries) == expected


def test_threads_that_add_up_lose_nothing() -> None:
    """Only one of them puts a sum in the place of entries; all others append."""
    entries: list[AgentTally] = []
    call = Run(1, asked(), None), End(OK, 0, Response(usage=Usage(1, 2)))
    threads, calls = 4, 3_000

    def work() -> None:
        for _ in range(calls):
            agent_sums.note_in_agent(entries, *call)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert rollup.counts(entries) == (threads * calls, 0)
    said = agent_sums.agent_attributes(entries)
    assert said["gen_ai.usage.output_tokens"] == 2 * threads * calls


def test_entries_that_another_thread_adds_up_are_left_to_it() -> None:
    """Nobody waits for it; the list is longer for a moment."""
    entries = noted((asked(), None))
    # Another thread is in the middle of one function, which calls nothing foreign.
    agent_sums._being_added[id(entries)] = object()
    call = Run(1, asked(), None), End(OK, 0)
    for _ in range(50):
        agent_sums.note_in_agent(entries, *call)
    assert len(entries) == 51
    del agent_sums._being_added[id(entries)]
    agent_sums.note_in_agent(entries, *call)
    assert len(entries) == 1
    assert rollup.counts(entries) == (52, 0)


@pytest.mark.parametrize("name", ["chain", "agent"])
def test_calls_below_an_open_run_leave_nothing(telemetry: Capture, name: str) -> None:
    """However many end below it, an open agent or chain holds sums and no list."""
    handler, root, numbers = telemetry.handler, uuid4(), count()
    model: dict[str, Any] = {}
    metadata = {"lc_agent_name": "a", "ls_integration": "langchain_create_agent"}
    handler.on_chain_start(
        {}, {}, run_id=root, name="a", metadata=metadata if name == "agent" else {}
    )

    def call() -> None:
        run_id = uuid4()
        handler.on_chat_model_start(
            model,
            [["?"]],
            run_id=run_id,
            parent_run_id=root,
            invocation_params={"model": "m", "seed": next(numbers)},
        )
        handler.on_llm_end(None, run_id=run_id)
        # What is kept elsewhere, until it is read, is not the question.
        telemetry.clear()

    for _ in range(1_100):
        call()
    telemetry.value("otel_callbacks_open_runs")
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(2_000):
            call()
        telemetry.value("otel_callbacks_open_runs")
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    handler.on_chain_end({}, run_id=root)
    assert grown < 2_000 * 16
    assert telemetry.spans[0]["attributes"]["otel_callbacks.calls"] == 3_100
