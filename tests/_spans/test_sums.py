"""Sums over a tree of runs."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from decimal import Context, FloatOperation, Inexact, localcontext
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from otel_callbacks._spans import sums
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks.testing import Capture

AGENT = {"ls_integration": "langchain_create_agent"}
CALLS = "gen_ai_invoke_agent_inference_calls_sum"
TOOL_CALLS = "gen_ai_invoke_agent_tool_calls_sum"
OUTPUT = "gen_ai.usage.output_tokens"
SUMS = ("gen_ai.", "otel_callbacks.")


class Answer(NamedTuple):
    """What a model's call gives back."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    reasons: tuple[str, ...] = ()
    is_cached: bool = False
    cost: float | None = None
    reasoning: int = 0

    def result(self) -> LLMResult:
        """Return it as LangChain does."""
        details = {
            "cached_tokens": self.cache_read,
            "cache_write_tokens": self.cache_write,
        }
        known = {
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
            "cost": self.cost,
        }
        usage = {name: value for name, value in known.items() if value is not None}
        more: dict[str, Any] = {}
        if self.is_cached:
            tokens = self.input_tokens or 0, self.output_tokens or 0
            more["usage_metadata"] = {
                "input_tokens": tokens[0],
                "output_tokens": tokens[1],
                "total_tokens": sum(tokens),
                "total_cost": 0,
            }
        answers: list[Any] = [
            ChatGeneration(
                message=AIMessage("", response_metadata={"finish_reason": one}, **more)
            )
            for one in self.reasons or [None]
        ]
        output = None if self.is_cached else {"token_usage": usage}
        return LLMResult(generations=[answers], llm_output=output)


class Tree:
    """A run, and the runs that end below it."""

    def __init__(
        self, telemetry: Capture, *, agent: str = "", parent: UUID | None = None
    ) -> None:
        self.handler, self.telemetry = telemetry.handler, telemetry
        self.root, self.name = uuid4(), agent or "root"
        self.handler.on_chain_start(
            {},
            {},
            run_id=self.root,
            parent_run_id=parent,
            name=self.name,
            metadata={**AGENT, "lc_agent_name": agent} if agent else {},
        )

    def call(self, answer: Answer | None = None, model: str = "m", **more: Any) -> None:
        """Call a model; it fails without an answer."""
        run_id = uuid4()
        self.handler.on_chat_model_start(
            {},
            [["?"]],
            run_id=run_id,
            parent_run_id=self.root,
            invocation_params={"model": model, **more},
        )
        if answer is None:
            self.handler.on_llm_error(ValueError("no"), run_id=run_id)
        else:
            self.handler.on_llm_end(answer.result(), run_id=run_id)

    def tool(self) -> None:
        """Call a tool."""
        run_id = uuid4()
        self.handler.on_tool_start(
            {"name": "t"}, "x", run_id=run_id, parent_run_id=self.root
        )
        self.handler.on_tool_end("y", run_id=run_id)

    def end(self) -> dict[str, Any]:
        """End the run and return the sums on its span."""
        self.handler.on_chain_end({}, run_id=self.root)
        (span,) = (one for one in self.telemetry.spans if self.name in one["name"])
        sums = {k: v for k, v in span["attributes"].items() if k.startswith(SUMS)}
        for name in ("gen_ai.operation.name", "gen_ai.agent.name"):
            sums.pop(name, None)
        return sums


@pytest.fixture
def tree(telemetry: Capture) -> Tree:
    """Return a chain."""
    return Tree(telemetry)


@pytest.fixture
def agent(telemetry: Capture) -> Iterator[Tree]:
    """Return an agent below a chain, so that the roll-up is not on its span."""
    outer = Tree(telemetry)
    yield Tree(telemetry, agent="florist", parent=outer.root)
    outer.end()


def test_model_calls_and_tokens_are_summed(tree: Tree) -> None:
    """Calls count one each, tokens are added, tools are counted apart."""
    tree.call(Answer(10, 5, cache_read=4))
    tree.call(Answer(1, 2))
    for _ in range(3):
        tree.tool()
    assert tree.end() == {
        "otel_callbacks.calls": 2,
        "otel_callbacks.tool_calls": 3,
        "otel_callbacks.input_tokens": 11,
        "otel_callbacks.output_tokens": 7,
    }


def test_calls_without_tokens_count(tree: Tree) -> None:
    """A call that failed, said no usage or half of it, is a call all the same."""
    tree.call(None)
    tree.call(Answer())
    tree.call(Answer(None, 3))
    assert tree.end() == {
        "otel_callbacks.calls": 3,
        "otel_callbacks.tool_calls": 0,
        "otel_callbacks.input_tokens": 0,
        "otel_callbacks.output_tokens": 3,
    }


def test_cache_hits_spend_no_tokens(tree: Tree) -> None:
    """What LangChain's cache answered is a call, but no tokens."""
    tree.call(Answer(10, 5, is_cached=True))
    assert tree.end() == {
        "otel_callbacks.calls": 1,
        "otel_callbacks.tool_calls": 0,
        "otel_callbacks.input_tokens": 0,
        "otel_callbacks.output_tokens": 0,
    }


def test_chains_and_retrievals_do_not_count(tree: Tree) -> None:
    """Only calls of models and tools are summed."""
    handler, step, retrieval = tree.handler, uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=step, parent_run_id=tree.root, name="step")
    handler.on_chain_end({}, run_id=step)
    handler.on_retriever_start({}, "?", run_id=retrieval, parent_run_id=tree.root)
    handler.on_retriever_end([], run_id=retrieval)
    assert tree.end() == {}


def test_cost_is_summed(tree: Tree) -> None:
    """Only where the price of a call is known; a whole call without one is marked."""
    tree.call(Answer(15_000, 3_000))
    tree.call(Answer(1_500, 500, cost=0.25))
    tree.call(Answer(cost=0.5))
    sums = tree.end()
    assert sums["otel_callbacks.cost_usd"] == 0.75
    assert sums["otel_callbacks.unpriced_tokens"] == 18_000
    assert sums["otel_callbacks.partly_priced"] is True


def test_without_any_price_no_tokens_are_marked(tree: Tree) -> None:
    """A sum that is not there misses nothing; the series has them, and no guess."""
    tree.call(Answer(15_000, None))
    tree.call(Answer(None, 3_000))
    tree.call(Answer(7, 7, is_cached=True))
    assert not {name for name in tree.end() if "pric" in name}
    assert tree.telemetry.value("otel_callbacks_unpriced_tokens_total") == 18_000


def test_a_sum_of_priced_calls_is_not_marked(tree: Tree) -> None:
    """Nothing is missing in it, and a tool has no tokens."""
    tree.call(Answer(1_500, 500, cost=0.25))
    tree.tool()
    sums = tree.end()
    assert sums["otel_callbacks.cost_usd"] == 0.25
    assert not {name for name in sums if "pric" in name}


def test_a_part_of_a_call_without_a_price_marks_the_sum(tree: Tree) -> None:
    """No token of it is one of a model without a price."""
    usage = {"input_tokens": 1_000, "output_tokens": 1_000, "total_tokens": 2_000}
    message: Any = AIMessage("", usage_metadata=usage)
    message.response_metadata["usage"] = {"speed": "fast"}
    result = LLMResult(generations=[[ChatGeneration(message=message)]])
    for _ in range(2):
        run_id = uuid4()
        tree.handler.on_chat_model_start(
            {},
            [["?"]],
            run_id=run_id,
            parent_run_id=tree.root,
            invocation_params={"model": "claude-opus-4-6"},
            metadata={"ls_provider": "anthropic"},
        )
        tree.handler.on_llm_end(result, run_id=run_id)
    sums = tree.end()
    assert sums["otel_callbacks.partly_priced"] is True
    assert "otel_callbacks.unpriced_tokens" not in sums


def test_the_apps_decimal_context_changes_no_sum(tree: Tree) -> None:
    """Neither its precision nor its traps."""
    for _ in range(3):
        tree.call(Answer(cost=107.406666))
    with localcontext(Context(prec=3, traps=[Inexact, FloatOperation])):
        sums = tree.end()
    assert sums["otel_callbacks.cost_usd"] == 322.219998


def test_usage_is_of_the_whole_invocation(agent: Tree) -> None:
    """Tokens are added; the last answer says why it finished."""
    agent.call(Answer(10, 5, 4, 3, reasons=("tool_calls",)))
    agent.tool()
    agent.call(Answer(20, 1, reasons=("stop",)))
    agent.call(None)
    assert agent.end() == {
        "gen_ai.request.model": "m",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.cache_creation.input_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.input_tokens": 30,
        "gen_ai.usage.output_tokens": 6,
    }
    assert agent.telemetry.value(CALLS, gen_ai_agent_name="florist") == 3
    assert agent.telemetry.value(TOOL_CALLS, gen_ai_agent_name="florist") == 1


@pytest.mark.parametrize("calls", [1, 2])
def test_the_details_of_an_agent_are_the_same_for_any_number_of_calls(
    agent: Tree, calls: int
) -> None:
    """Its cached tokens are summed, and no reasoning of a single call is there."""
    for _ in range(calls):
        agent.call(Answer(10, 5, 4, 3, reasoning=2))
    assert agent.end() == {
        "gen_ai.request.model": "m",
        "gen_ai.usage.cache_creation.input_tokens": 3 * calls,
        "gen_ai.usage.cache_read.input_tokens": 4 * calls,
        "gen_ai.usage.input_tokens": 10 * calls,
        "gen_ai.usage.output_tokens": 5 * calls,
    }


@pytest.mark.parametrize("first", ["input", "output"])
def test_tokens_that_one_call_does_not_say_are_those_of_the_other(
    agent: Tree, first: str
) -> None:
    """Whichever of the two it is, and either kind."""
    answers = [Answer(1, None), Answer(None, 2)]
    for answer in answers if first == "input" else reversed(answers):
        agent.call(answer)
    sums = agent.end()
    assert sums["gen_ai.usage.input_tokens"] == 1
    assert sums["gen_ai.usage.output_tokens"] == 2


def test_a_retrieval_of_an_agent_is_no_call(agent: Tree) -> None:
    """It adds nothing to the sums, and no sum a second time."""
    agent.call(Answer(1, 2))
    run_id = uuid4()
    agent.handler.on_retriever_start({}, "?", run_id=run_id, parent_run_id=agent.root)
    agent.handler.on_retriever_end([], run_id=run_id)
    assert agent.end()[OUTPUT] == 2
    assert agent.telemetry.value(CALLS) == 1


def test_the_calls_of_a_graph_below_an_agent_are_the_agents(agent: Tree) -> None:
    """A workflow has no sums of its own."""
    graph = uuid4()
    agent.handler.on_chain_start(
        {},
        {},
        run_id=graph,
        parent_run_id=agent.root,
        name="garden",
        metadata={"ls_integration": "langgraph"},
    )
    outer, agent.root = agent.root, graph
    agent.call(Answer(1, 2))
    agent.handler.on_chain_end({}, run_id=graph)
    agent.root = outer
    assert agent.end()[OUTPUT] == 2
    assert agent.telemetry.value(CALLS) == 1


def test_a_step_of_an_agent_has_no_sums(agent: Tree) -> None:
    """They are on the agent's span alone."""
    agent.call(Answer(1, 2))
    assert Tree(agent.telemetry, parent=agent.root).end() == {}
    run_id = uuid4()
    agent.handler.on_retriever_start({}, "?", run_id=run_id, parent_run_id=agent.root)
    agent.handler.on_retriever_end([], run_id=run_id)
    span = agent.telemetry.span("retrieval")
    assert not [name for name in span["attributes"] if "usage" in name]
    agent.telemetry.clear()
    agent.end()


@pytest.mark.parametrize("models", ["mnn", "nmm"])
def test_only_values_that_all_calls_share_are_set(agent: Tree, models: str) -> None:
    """Of two models neither is the agent's."""
    for model in models:
        agent.call(model=model, temperature=0.7, seed=1, top_p=0.5 + (model == "n") / 4)
    assert agent.end() == {
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.seed": 1,
    }
    labels = {"gen_ai_agent_name": "florist", "gen_ai_request_model": ""}
    assert agent.telemetry.value("gen_ai_invoke_agent_duration_seconds_count", **labels)


@pytest.mark.parametrize("answer", [None, Answer(), Answer(1, 2, is_cached=True)])
def test_nothing_is_invented(agent: Tree, answer: Answer | None) -> None:
    """No usage, no tokens; a cache's answer is not spent."""
    agent.call(answer)
    assert agent.end() == {"gen_ai.request.model": "m"}
    labels = {"gen_ai_agent_name": "florist", "gen_ai_request_model": "m"}
    assert agent.telemetry.value("gen_ai_invoke_agent_duration_seconds_count", **labels)


def test_an_agent_without_calls_has_no_sums(agent: Tree) -> None:
    """Tools alone have no model."""
    agent.tool()
    assert agent.end() == {}
    labels = {"gen_ai_agent_name": "florist", "gen_ai_request_model": ""}
    assert agent.telemetry.value("gen_ai_invoke_agent_duration_seconds_count", **labels)


def test_an_inner_agent_s_calls_are_the_outer_one_s_too(agent: Tree) -> None:
    """An invocation is all that it caused."""
    inner = Tree(agent.telemetry, agent="inner", parent=agent.root)
    inner.call(Answer(1, 2))
    inner.tool()
    inner.end()
    assert agent.end()[OUTPUT] == 2
    for name in ("florist", "inner"):
        assert agent.telemetry.value(CALLS, gen_ai_agent_name=name) == 1
        assert agent.telemetry.value(TOOL_CALLS, gen_ai_agent_name=name) == 1


def test_an_inner_agent_without_calls_adds_nothing(agent: Tree) -> None:
    """It is no call of a model and none of a tool."""
    Tree(agent.telemetry, agent="inner", parent=agent.root).end()
    agent.end()
    assert agent.telemetry.value(CALLS, gen_ai_agent_name="florist") == 0
    assert agent.telemetry.value(TOOL_CALLS, gen_ai_agent_name="florist") == 0


COUNTS = st.none() | st.integers(1, 9)
ANSWERS = st.builds(
    Answer,
    COUNTS,
    COUNTS,
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from([(), ("stop",), ("length",)]),
    st.booleans(),
)
MADE = st.none() | st.tuples(
    st.none() | ANSWERS, st.sampled_from("mn"), st.sampled_from([0.5, 0.7])
)


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(MADE, max_size=80))
def test_many_calls_say_what_a_few_say(
    made: list[tuple[Answer | None, str, float] | None],
) -> None:
    """What is added up on the way is what is added up at the end; None is a tool."""
    with capture() as telemetry:
        outer = Tree(telemetry)
        agent = Tree(telemetry, agent="florist", parent=outer.root)
        for one in made:
            if one is None:
                agent.tool()
            else:
                agent.call(one[0], one[1], temperature=one[2])
        sums = agent.end()
        counted = [telemetry.value(CALLS), telemetry.value(TOOL_CALLS)]
        outer.end()
    calls: Any = [one for one in made if one is not None]
    assert counted == [len(calls), len(made) - len(calls)]
    answers = [answer for answer, _, _ in calls if answer is not None]
    expected: dict[str, Any] = {}
    for place, name in ((1, "model"), (2, "temperature")):
        values = {one[place] for one in calls}
        if len(values) == 1:
            expected[f"gen_ai.request.{name}"] = values.pop()
    if answers and answers[-1].reasons:
        expected["gen_ai.response.finish_reasons"] = answers[-1].reasons
    spent = [one for one in answers if not one.is_cached]
    for place, name in enumerate(("input", "output")):
        known = [one[place] for one in spent if one[place] is not None]
        if known:
            expected[f"gen_ai.usage.{name}_tokens"] = sum(known)
    for place, name in ((2, "cache_read"), (3, "cache_creation")):
        if total := sum(one[place] for one in spent if any(one[:2])):
            expected[f"gen_ai.usage.{name}.input_tokens"] = total
    assert sums == expected


def test_threads_that_add_up_lose_nothing(agent: Tree) -> None:
    """Only one of them puts a sum in the place of entries; all others append."""
    threads, calls = 4, 100
    answer = Answer(1, 2)

    def work() -> None:
        for _ in range(calls):
            agent.call(answer)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert agent.end()[OUTPUT] == 2 * threads * calls
    assert agent.telemetry.value(CALLS) == threads * calls


def test_calls_that_end_while_others_are_added_up_are_not_lost(
    agent: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread waits for the one that adds up; its calls are appended."""
    answer, made = Answer(1, 2), 33
    add = sums._add_in_agent
    threads: list[threading.Thread] = []

    def while_others_end(one: Any, other: Any) -> Any:
        if not threads:
            threads.append(threading.Thread(target=calls))
            threads[0].start()
            threads[0].join()
        return add(one, other)

    def calls() -> None:
        for _ in range(made):
            agent.call(answer)

    monkeypatch.setattr(sums, "_add_in_agent", while_others_end)
    calls()
    assert threads
    assert agent.end()[OUTPUT] == 2 * 2 * made
    assert agent.telemetry.value(CALLS) == 2 * made


@pytest.mark.parametrize("name", ["chain", "agent"])
def test_calls_below_an_open_run_leave_nothing(telemetry: Capture, name: str) -> None:
    """However many end below it, an open agent or chain holds sums and no list."""
    tree = Tree(telemetry, agent="a" if name == "agent" else "")
    model: dict[str, Any] = {}
    numbers = count()

    def call() -> None:
        run_id = uuid4()
        tree.handler.on_chat_model_start(
            model,
            [["?"]],
            run_id=run_id,
            parent_run_id=tree.root,
            invocation_params={"model": "m", "seed": next(numbers)},
        )
        tree.handler.on_llm_end(None, run_id=run_id)
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
    assert grown < 2_000 * 16
    assert tree.end()["otel_callbacks.calls"] == 3_100
