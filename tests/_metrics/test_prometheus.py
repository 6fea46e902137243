"""What a scrape shows: every label, exemplars, calls in flight, our own troubles."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.errors import GraphInterrupt
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client import (
    CollectorRegistry,
    disable_created_metrics,
    enable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import (
    generate_latest as generate_openmetrics,
)
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from waiting import WAIT_S, wait_until

from otel_callbacks import OTelCallbackHandler
from otel_callbacks._background import background, once
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._metrics.calls import CallQueue
from otel_callbacks._metrics.fold import Fold
from otel_callbacks._metrics.prometheus import PrometheusSink, SeriesCollector
from otel_callbacks._metrics.store import LabelLimits
from otel_callbacks._records import End, Request, Response, Usage
from otel_callbacks._runs.lost import REASONS
from otel_callbacks._spans.current import StandIn
from otel_callbacks.settings import Settings
from otel_callbacks.testing import FakeChatModel, Reply, Tokens, capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Capture, FakeOpenAI

OPERATIONS = "otel_callbacks_operations_total"
IN_FLIGHT = "otel_callbacks_operations_in_flight"
OVERFLOWED = "otel_callbacks_labels_overflowed_total"
USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def labels_of(telemetry: Capture, name: str) -> list[dict[str, str]]:
    """Return the labels of every sample of a name."""
    return [dict(labels) for one, labels in telemetry.samples if one == name]


def base(server: FakeOpenAI, **more: str) -> dict[str, str]:
    """Return the labels that every series of a chat call has."""
    return {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "openai",
        "gen_ai_request_model": "gpt-4o-mini",
        "gen_ai_response_model": "gpt-4o-mini-2024-07-18",
        "server_address": "127.0.0.1",
        "server_port": str(server.port),
        **more,
    }


def queue(
    registry: CollectorRegistry | None = None, *, strict: bool = False, limit: int = 100
) -> CallQueue:
    """Return a queue of calls that a registry shows."""
    calls = CallQueue(Diagnostics(strict=strict))
    made = SeriesCollector(calls, partial(Fold, limits=LabelLimits(limit, 10_000)))
    if registry is not None:
        registry.register(made)
    return calls


def run_of(operation: str = "chat", **fields: Any) -> StandIn:
    """Return a run of a model named m."""
    request = Request(operation, "m", "openai", "m", "host", 443, **fields)
    return StandIn(uuid4().int, request, None)


def ended(run: StandIn, response: Response | None = None, **fields: Any) -> End:
    """Return how a run ended well after a second."""
    run.once = once()  # as if it were another one
    return End("ok", run.start_ns + 10**9, response, **fields)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """Return the sum of a registry's samples of a name with these labels."""
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_overflow_in_flight_does_not_count(telemetry: Capture) -> None:
    """Scraping while a call of one model too many is open counts nothing."""
    del telemetry
    with capture(Settings(strict=True, label_limit=1)) as captured:
        params = [{"model": "one"}, {"model": "two"}]
        ids = [uuid4(), uuid4()]
        for run_id, asked in zip(ids, params, strict=True):
            captured.handler.on_chat_model_start(
                {}, [["?"]], run_id=run_id, invocation_params=asked
            )
        overflowed = "otel_callbacks_labels_overflowed_total"
        assert [captured.value(overflowed) for _ in range(3)] == [0, 0, 0]
        in_flight = "otel_callbacks_operations_in_flight"
        assert captured.value(in_flight, gen_ai_request_model="other") == 1
        for run_id in ids:
            captured.handler.on_llm_end(None, run_id=run_id)


def test_every_label_of_a_stream(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A streamed call is in every series of model calls, each with all its labels."""
    server.script(Reply(usage=Tokens(9, 4, cached=2)))
    list(chat(stream_usage=True).stream("Roses?"))
    both = [
        base(server, gen_ai_token_type=token_type) for token_type in ("input", "output")
    ]
    assert labels_of(telemetry, "gen_ai_client_token_usage_count") == both
    assert labels_of(telemetry, "gen_ai_client_operation_duration_seconds_count") == [
        base(server, error_type="")
    ]
    for name in ("time_to_first_chunk", "time_per_output_chunk"):
        series = f"gen_ai_client_operation_{name}_seconds_count"
        assert labels_of(telemetry, series) == [base(server)]
        assert telemetry.value(series) >= 1
    assert labels_of(telemetry, "otel_callbacks_tokens_total") == [
        {**labels, "outcome": "ok"} for labels in both
    ]
    assert labels_of(telemetry, "otel_callbacks_token_details_total") == [
        base(server, detail="cache_read", outcome="ok")
    ]
    assert labels_of(telemetry, OPERATIONS) == [
        base(server, outcome="ok", error_class="")
    ]


@pytest.mark.recent
def test_every_label_of_an_error(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """A refused call has its type and its class, and no model that answered."""
    server.script(Reply.failing(429))
    with pytest.raises(Exception, match="429"):
        chat().invoke("Roses?")
    labels = base(server, gen_ai_response_model="")
    assert labels_of(telemetry, "gen_ai_client_operation_duration_seconds_count") == [
        {**labels, "error_type": "OpenAIRateLimitError"}
    ]
    assert labels_of(telemetry, OPERATIONS) == [
        {**labels, "outcome": "error", "error_class": "rate_limited"}
    ]


def test_every_label_of_a_tool(telemetry: Capture) -> None:
    """A tool is known by its name, its type and the agent that called it."""

    @tool
    def florist() -> str:
        """Ask the florist."""
        return "roses"

    florist.invoke(
        {},
        {
            "callbacks": [telemetry.handler],
            "metadata": {"lc_agent_name": "shop"},
        },
    )
    assert labels_of(telemetry, "gen_ai_execute_tool_duration_seconds_count") == [
        {
            "gen_ai_tool_name": "florist",
            "gen_ai_tool_type": "function",
            "gen_ai_agent_name": "shop",
            "error_type": "",
        }
    ]
    assert telemetry.value("gen_ai_client_operation_duration_seconds_count") == 0
    assert telemetry.value(OPERATIONS, gen_ai_operation_name="execute_tool") == 1


@pytest.mark.parametrize(
    ("models", "label"),
    [(("m", "m"), "m"), (("m", "n"), ""), (("", ""), "")],
    ids=["one-model", "two-models", "unknown-model"],
)
def test_every_label_of_an_agent(
    telemetry: Capture, models: tuple[str, ...], label: str
) -> None:
    """An agent is known by its name and its only model; its calls are counted."""
    agent, step = uuid4(), uuid4()
    handler = telemetry.handler
    about = {"ls_integration": "langchain_create_agent", "lc_agent_name": "florist"}
    handler.on_chain_start({}, "x", run_id=agent, name="florist", metadata=about)
    handler.on_chain_start(
        {}, "x", run_id=step, parent_run_id=agent, name="step", tags=["graph:step:1"]
    )
    for name in models:
        model = uuid4()
        handler.on_chat_model_start(
            {},
            [["?"]],
            run_id=model,
            parent_run_id=step,
            metadata={"ls_model_name": name},
        )
        handler.on_llm_error(ValueError("no"), run_id=model)
    handler.on_chain_end("y", run_id=step)
    handler.on_chain_end("y", run_id=agent)
    agent_labels = {"gen_ai_agent_name": "florist"}
    assert labels_of(telemetry, "gen_ai_invoke_agent_duration_seconds_count") == [
        {**agent_labels, "gen_ai_request_model": label, "error_type": ""}
    ]
    calls = "gen_ai_invoke_agent_inference_calls_sum"
    assert labels_of(telemetry, calls) == [agent_labels]
    assert telemetry.value(calls) == 2
    assert telemetry.value("gen_ai_invoke_agent_tool_calls_sum") == 0
    assert telemetry.value("gen_ai_invoke_agent_tool_calls_count") == 1


def test_retrieval_is_counted_and_a_chain_is_not(telemetry: Capture) -> None:
    """A retrieval is an operation without tokens; an inner chain is none."""

    class Catalogue(BaseRetriever):
        """A retriever that finds two flowers."""

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return [Document(query), Document("tulip")]

    config: Any = {"callbacks": [telemetry.handler]}
    Catalogue().invoke("rose", config)
    RunnableLambda(str, name="step").invoke("x", config)
    assert telemetry.value(OPERATIONS) == 1
    assert telemetry.value(OPERATIONS, gen_ai_operation_name="retrieval") == 1
    assert telemetry.value("otel_callbacks_usage_missing_total") == 0
    assert telemetry.value("otel_callbacks_tokens_total") == 0
    source = {"gen_ai_data_source_id": "Catalogue"}
    assert telemetry.value("otel_callbacks_documents_total", **source) == 2


def test_documents_are_counted_by_source(telemetry: Capture) -> None:
    """Nothing found is 0; a failure, or an answer that is no list, is nothing."""
    handler = telemetry.handler
    for name, found in (("empty", []), ("odd", "text"), ("full", [1, 2, 3])):
        run_id = uuid4()
        handler.on_retriever_start({}, "?", run_id=run_id, name=name)
        handler.on_retriever_end(found, run_id=run_id)
    run_id = uuid4()
    handler.on_retriever_start({}, "?", run_id=run_id, name="broken")
    handler.on_retriever_error(ValueError(), run_id=run_id)
    documents = {
        labels["gen_ai_data_source_id"]: telemetry.value(
            "otel_callbacks_documents_total", **labels
        )
        for labels in labels_of(telemetry, "otel_callbacks_documents_total")
    }
    assert documents == {"empty": 0, "full": 3}


def exemplars(registry: CollectorRegistry) -> dict[str, list[dict[str, str]]]:
    """Return the exemplars' labels of an OpenMetrics scrape by the sample's name."""
    found: dict[str, list[dict[str, str]]] = {}
    text = generate_openmetrics(registry).decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.exemplar is not None:
                found.setdefault(sample.name, []).append(sample.exemplar.labels)
    return found


def test_exemplars_point_to_the_span(telemetry: Capture) -> None:
    """On an OpenMetrics scrape counters and buckets carry the span's ids."""
    list(FakeChatModel(callbacks=[telemetry.handler], usage=USAGE).stream("?"))
    span = telemetry.span("chat fake-model")
    ids = {"trace_id": span["trace_id"], "span_id": span["span_id"]}
    found = exemplars(telemetry.registry)
    assert found.keys() >= {
        "gen_ai_client_token_usage_bucket",
        "gen_ai_client_operation_duration_seconds_bucket",
        "gen_ai_client_operation_time_to_first_chunk_seconds_bucket",
        "gen_ai_client_operation_time_per_output_chunk_seconds_bucket",
        "otel_callbacks_tokens_total",
        "otel_callbacks_unpriced_tokens_total",
        OPERATIONS,
    }
    assert all(one == ids for some in found.values() for one in some)


def test_steps_of_an_agent_are_not_counted_as_agents(telemetry: Capture) -> None:
    """Only the agent's own end tells its calls; a retriever below it its documents."""

    @tool
    def florist() -> str:
        """Ask the florist."""
        return "roses"

    class Catalogue(BaseRetriever):
        """A retriever that finds two flowers."""

        def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
            return [Document(query), Document("tulip")]

    def work(question: str) -> str:
        florist.invoke({})
        Catalogue().invoke(question)
        return FakeChatModel(usage=USAGE).invoke(question).text

    about = {"ls_integration": "langchain_create_agent", "lc_agent_name": "shop"}
    config: Any = {"callbacks": [telemetry.handler], "metadata": about}
    RunnableLambda(work, name="shop").invoke("?", config)
    for series, amount in {"inference_calls": 1, "tool_calls": 1}.items():
        name = f"gen_ai_invoke_agent_{series}"
        assert telemetry.value(f"{name}_count") == 1
        assert telemetry.value(f"{name}_sum") == amount
    assert telemetry.value("otel_callbacks_documents_total") == 2


def test_durations_are_those_of_the_spans(telemetry: Capture) -> None:
    """A model, a tool and a workflow take as long in the series as in their spans."""

    @tool
    def florist() -> str:
        """Ask the florist."""
        return "roses"

    def work(question: str) -> object:
        return florist.invoke({}) and FakeChatModel(delay=0.01).invoke(question)

    shop = RunnableLambda(work, name="shop") | RunnableLambda(str)
    shop.with_config(run_name="shop").invoke("?", {"callbacks": [telemetry.handler]})
    lengths = {
        one["name"]: (one["end_ns"] - one["start_ns"]) / 1e9 for one in telemetry.spans
    }
    durations = {
        "chat fake-model": "gen_ai_client_operation_duration_seconds_sum",
        "execute_tool florist": "gen_ai_execute_tool_duration_seconds_sum",
        "invoke_workflow shop": "gen_ai_workflow_duration_seconds_sum",
    }
    found = {span: telemetry.value(series) for span, series in durations.items()}
    assert found == pytest.approx({span: lengths[span] for span in durations})
    assert found["chat fake-model"] >= 0.01


def test_one_model_below_two_chains() -> None:
    """A call is counted for the chain that it is called in, not for the last one."""
    with capture(Settings(strict=True, labels="chain")) as telemetry:
        model = FakeChatModel(usage=USAGE)
        for name in ("roses", "tulips", "roses"):
            chain = RunnableLambda(model.invoke) | RunnableLambda(str)
            config: Any = {"callbacks": [telemetry.handler], "run_name": name}
            chain.invoke("?", config)
        counted = {
            name: telemetry.value(OPERATIONS, chain=name, gen_ai_operation_name="chat")
            for name in ("roses", "tulips")
        }
    assert counted == {"roses": 2, "tulips": 1}


def test_a_chain_is_a_label_of_what_is_below_it() -> None:
    """A call without a chain has an empty label; a tool's series have no such label."""

    @tool
    def water() -> str:
        """Water the flowers."""
        return FakeChatModel(usage=USAGE).invoke("?").text

    with capture(Settings(strict=True, labels="chain")) as telemetry:
        config: Any = {"callbacks": [telemetry.handler], "run_name": "roses"}
        (RunnableLambda(lambda _: {}) | water).invoke("?", config)
        FakeChatModel(usage=USAGE, callbacks=[telemetry.handler]).invoke("?")
        counted = {
            name: telemetry.value(OPERATIONS, chain=name, gen_ai_operation_name="chat")
            for name in ("", "roses")
        }
        tools = telemetry.value(OPERATIONS, gen_ai_operation_name="execute_tool")
    assert counted == {"": 1, "roses": 1}
    assert tools == 1


@pytest.mark.parametrize("births", [True, False])
def test_created_times_are_prometheus_clients_choice(
    telemetry: Capture,
    births: bool,  # noqa: FBT001 -- a parameter of the test
) -> None:
    """All counters and histograms have ``_created``, or none has, as its users say."""
    FakeChatModel(callbacks=[telemetry.handler], usage=USAGE).invoke("?")
    run_id = uuid4()
    for _ in range(2):  # the first one is lost
        telemetry.handler.on_chain_start({}, "?", run_id=run_id)
    telemetry.handler.on_chain_end("!", run_id=run_id)
    if not births:
        disable_created_metrics()
    try:
        families = list(telemetry.registry.collect())
    finally:
        enable_created_metrics()
    created = {
        family.name: any(one.name.endswith("_created") for one in family.samples)
        for family in families
        if family.samples and family.type != "gauge"
    }
    assert created == dict.fromkeys(created, births)
    assert created.keys() >= {"otel_callbacks_tokens", "otel_callbacks_runs_lost"}


def test_a_cost_has_an_exemplar_and_a_created_time(telemetry: Capture) -> None:
    """The cost of a call points to its span, as its tokens do."""
    began = time.time()
    model = FakeChatModel(usage=USAGE, model_name="gpt-4o-mini", provider="openai")
    model.invoke("?", {"callbacks": [telemetry.handler]})
    samples = {
        sample.name: sample
        for family in telemetry.registry.collect()
        for sample in family.samples
    }
    cost = samples["otel_callbacks_cost_usd_total"]
    assert cost.exemplar is not None
    span = telemetry.span("chat gpt-4o-mini")
    assert cost.exemplar.labels["span_id"] == span["span_id"]
    assert cost.exemplar.value == cost.value > 0
    created = samples["otel_callbacks_cost_usd_created"].value
    assert began - 0.2 < created < time.time()


def test_calls_of_one_model_are_counted_apart(telemetry: Capture) -> None:
    """Their answers may name other models, and one may come from a cache."""
    serialized: dict[str, Any] = {}  # the same object: such calls share a request

    def call(model: str, **usage: Any) -> None:
        run_id, params = uuid4(), {"model": "m"}
        telemetry.handler.on_chat_model_start(
            serialized, [["?"]], run_id=run_id, invocation_params=params
        )
        message: Any = AIMessage("!", response_metadata={"model_name": model})
        message.usage_metadata = {**USAGE, **usage}
        answer = LLMResult(generations=[[ChatGeneration(message=message)]])
        telemetry.handler.on_llm_end(answer, run_id=run_id)

    for model in "bbacb":
        call(model)
    call("b", total_cost=0)
    assert {
        (model, outcome): telemetry.value(
            OPERATIONS, gen_ai_response_model=model, outcome=outcome
        )
        for model in "abc"
        for outcome in ("ok", "cache_hit")
    } == {
        ("a", "ok"): 1,
        ("a", "cache_hit"): 0,
        ("b", "ok"): 3,
        ("b", "cache_hit"): 1,
        ("c", "ok"): 1,
        ("c", "cache_hit"): 0,
    }


def test_a_call_after_a_failed_one_is_counted_as_ok(telemetry: Capture) -> None:
    """Neither has a model of its response."""
    serialized: dict[str, Any] = {}  # the same object: such calls share a request
    for failure in (TimeoutError(), None):
        run_id, params = uuid4(), {"model": "m"}
        telemetry.handler.on_chat_model_start(
            serialized, [["?"]], run_id=run_id, invocation_params=params
        )
        if failure is None:
            answer = LLMResult(generations=[[]])
            telemetry.handler.on_llm_end(answer, run_id=run_id)
        else:
            telemetry.handler.on_llm_error(failure, run_id=run_id)
    for outcome in ("ok", "error"):
        assert telemetry.value(OPERATIONS, outcome=outcome) == 1


def test_tokens_that_come_after_the_end_are_added(telemetry: Capture) -> None:
    """They are of a call that is counted already."""
    run_id, handler = uuid4(), telemetry.handler
    handler.on_chat_model_start({}, [["?"]], run_id=run_id)
    handler.close()
    message = AIMessage("roses", usage_metadata=USAGE)
    answer = LLMResult(generations=[[ChatGeneration(message=message)]])
    handler.on_llm_end(answer, run_id=run_id)
    assert telemetry.value(OPERATIONS) == 1
    assert telemetry.value("otel_callbacks_tokens_total") == 10


def test_a_failed_call_does_not_lack_usage(telemetry: Capture) -> None:
    """LangChain hands over what a failed call has answered so far, without usage."""
    run_id, handler = uuid4(), telemetry.handler
    handler.on_chat_model_start({}, [[]], run_id=run_id)
    answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("ro"))]])
    handler.on_llm_error(ValueError(), run_id=run_id, response=answer)
    assert telemetry.value(OPERATIONS, outcome="error") == 1
    assert telemetry.value("otel_callbacks_usage_missing_total") == 0


def test_an_interrupted_call_does_not_lack_usage(telemetry: Capture) -> None:
    """A graph's interrupt inside a model's call is no end without an answer."""
    run_id, handler = uuid4(), telemetry.handler
    handler.on_chat_model_start({}, [[]], run_id=run_id)
    handler.on_llm_error(GraphInterrupt(), run_id=run_id)
    assert telemetry.value(OPERATIONS, outcome="ok") == 1
    assert telemetry.value("otel_callbacks_usage_missing_total") == 0


def test_plain_scrape_has_no_exemplars(telemetry: Capture) -> None:
    """Prometheus' older text format knows none."""
    FakeChatModel(callbacks=[telemetry.handler], usage=USAGE).invoke("?")
    text = generate_latest(telemetry.registry).decode()
    assert OPERATIONS in text
    assert "trace_id" not in text


def test_calls_that_are_not_sampled_count() -> None:
    """With the sampler off there is no span and no exemplar, but every number."""
    registry = CollectorRegistry()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    handler = OTelCallbackHandler(
        tracer_provider=provider, registry=registry, settings=Settings(strict=True)
    )
    list(FakeChatModel(callbacks=[handler], usage=USAGE).stream("?"))
    assert value(registry, OPERATIONS, outcome="ok") == 1
    assert value(registry, "otel_callbacks_tokens_total") == 10
    assert value(registry, "gen_ai_client_operation_duration_seconds_count") == 1
    assert exemplars(registry) == {}


def test_in_flight_during_a_call(telemetry: Capture) -> None:
    """While a call is made it is in flight, below a chain that is only a run."""
    seen: list[tuple[float, float, list[dict[str, str]]]] = []

    class Looks(FakeChatModel):
        """A model that looks at the series while it is called."""

        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(
                (
                    telemetry.value(IN_FLIGHT),
                    telemetry.value("otel_callbacks_open_runs"),
                    labels_of(telemetry, IN_FLIGHT),
                )
            )
            return super()._generate(*args, **kwargs)

    model = Looks(usage=USAGE)
    RunnableLambda(model.invoke, name="step").invoke(
        "?", config={"callbacks": [telemetry.handler]}
    )
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "fake",
        "gen_ai_request_model": "fake-model",
    }
    assert seen == [(1, 2, [labels])]
    # Afterwards none, not absent: else a mean over time is of busy times alone.
    assert labels_of(telemetry, IN_FLIGHT) == [labels]
    assert telemetry.value(IN_FLIGHT, **labels) == 0


def test_restricted_registry_shows_the_requested_series(telemetry: Capture) -> None:
    """``name[]`` of a scrape finds our families by their samples' names."""
    FakeChatModel(callbacks=[telemetry.handler], usage=USAGE).invoke("?")
    restricted = telemetry.registry.restricted_registry(
        ["otel_callbacks_tokens_total", "gen_ai_client_token_usage_sum"]
    )
    names = {one.name for family in restricted.collect() for one in family.samples}
    assert names == {"otel_callbacks_tokens_total", "gen_ai_client_token_usage_sum"}


def test_thousand_calls_are_folded_without_a_scrape() -> None:
    """What waits to be folded never grows beyond a thousand calls."""
    registry = CollectorRegistry()
    made = queue(registry)
    sink = PrometheusSink(made, Diagnostics())
    run = run_of()
    folded: list[bool] = []
    made.writers.append(lambda: folded.append(True))
    for _ in range(999):
        sink.ended(run, ended(run, Response("m", usage=Usage(1, 1))))
    background.drain()
    assert not folded
    sink.ended(run, ended(run, Response("m", usage=Usage(1, 1))))
    wait_until(lambda: folded)
    assert value(registry, OPERATIONS) == 1_000
    assert value(registry, "otel_callbacks_tokens_total") == 2_000


def test_call_never_waits_for_a_scrape() -> None:
    """While somebody else folds, a finished call is kept for later."""
    registry = CollectorRegistry()
    made = queue(registry)
    sink = PrometheusSink(made, Diagnostics())
    run = run_of()
    folded: list[bool] = []
    made.writers.append(lambda: folded.append(True))
    with made.locked():
        for _ in range(1_001):
            sink.ended(run, ended(run))
        assert not folded
    assert value(registry, OPERATIONS) == 1_001


def test_scrape_in_the_middle_of_a_scrape_leaves_the_calls_to_it() -> None:
    """As a signal handler does; the outer one may be reading what a fold changes."""
    registry = CollectorRegistry()
    made = queue(registry)
    run = run_of()
    folded: list[bool] = []
    made.writers.append(lambda: folded.append(True))
    with made.locked():
        PrometheusSink(made, Diagnostics()).ended(run, ended(run))
        assert value(registry, OPERATIONS) == 0
        made.work(None)
        assert not folded
    wait_until(lambda: folded)
    assert value(registry, OPERATIONS) == 1


def test_forked_child_does_not_wait_for_its_parents_lock() -> None:
    """A lock that a thread of the parent holds is not the child's."""
    registry = CollectorRegistry()
    made = queue(registry)
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with made.locked():
            held.set()
            release.wait(WAIT_S)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert held.wait(WAIT_S)
    made.after_fork()
    with made.locked() as is_first:
        assert is_first
    assert value(registry, "otel_callbacks_open_runs") == 0
    release.set()
    holder.join(WAIT_S)


def test_fold_that_fails_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A call that cannot be folded costs itself; the scrape shows the rest."""
    registry = CollectorRegistry()
    made = queue(registry)
    sink = PrometheusSink(made, Diagnostics())
    run = run_of()
    broken: Any = None
    made.append(broken, once())
    sink.ended(run, ended(run))
    made.append(broken, once())
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        assert value(registry, OPERATIONS) == 1
    assert value(registry, "otel_callbacks_errors_total", where="fold") == 2
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is None


def test_fold_that_fails_raises_when_strict() -> None:
    """In tests it is raised, and the next scrape goes on."""
    registry = CollectorRegistry()
    made = queue(registry, strict=True)
    broken: Any = None
    made.append(broken, once())
    with pytest.raises(TypeError):
        made.settle()
    assert value(registry, "otel_callbacks_errors_total", where="fold") == 1


def test_labels_are_bounded() -> None:
    """Beyond the limit a model is ``other``, an error ``_OTHER``, and it is counted."""
    with capture(Settings(strict=True, label_limit=1)) as telemetry:
        config: Any = {"callbacks": [telemetry.handler]}
        FakeChatModel(model_name="a").invoke("?", config)
        for _ in range(2):
            FakeChatModel(model_name="b").invoke("?", config)
        for error in (ValueError("no"), KeyError("no")):
            with pytest.raises(type(error)):
                FakeChatModel(model_name="a", error=error).invoke("?", config)
        assert telemetry.value(OPERATIONS, gen_ai_request_model="a") == 3
        assert telemetry.value(OPERATIONS, gen_ai_request_model="other") == 2
        duration = "gen_ai_client_operation_duration_seconds_count"
        assert telemetry.value(duration, error_type="ValueError") == 1
        assert telemetry.value(duration, error_type="_OTHER") == 1
        assert telemetry.value(OVERFLOWED, label="gen_ai_request_model") == 2
        assert telemetry.value(OVERFLOWED, label="error_type") == 1
        assert telemetry.value(OVERFLOWED) == 3


def test_labels_in_flight_are_bounded() -> None:
    """Calls in flight of models beyond the limit are one sum."""
    with capture(Settings(strict=True, label_limit=1)) as telemetry:
        ids = [uuid4() for _ in range(3)]
        for number, run_id in enumerate(ids):
            telemetry.handler.on_chat_model_start(
                {},
                [[str(number)]],
                run_id=run_id,
                metadata={"ls_model_name": f"m{number}", "ls_provider": "fake"},
            )
        assert telemetry.value(IN_FLIGHT, gen_ai_request_model="m0") == 1
        assert telemetry.value(IN_FLIGHT, gen_ai_request_model="other") == 2


def test_lost_runs_are_shown_by_reason(telemetry: Capture) -> None:
    """What the handler gave up is in the scrape."""
    run_id = uuid4()
    telemetry.handler.on_chain_start({}, "x", run_id=run_id, name="step")
    telemetry.handler.close()
    assert telemetry.value("otel_callbacks_runs_lost_total", reason="closed") == 1
    assert telemetry.value("otel_callbacks_runs_lost_total") == 1


def test_missing_usage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Each call without usage is counted, the first one is logged."""
    registry = CollectorRegistry()
    sink = PrometheusSink(queue(registry), Diagnostics())
    nameless = StandIn(1, Request("chat", ""), None)
    with caplog.at_level(logging.WARNING, "otel_callbacks"):
        for usage in (None, Usage(None, 5)):  # of an answer without its prompt
            sink.ended(nameless, ended(nameless, Response(usage=usage)))
    assert value(registry, "otel_callbacks_usage_missing_total") == 2
    assert len(caplog.records) == 1
    message = caplog.records[0].getMessage()
    assert "a provider returned no token usage" in message
    assert "stream_usage=True" in message


def test_usage_is_expected_where_it_can_be() -> None:
    """Not in a batch's later runs, not late, not of tools and retrievals."""
    registry = CollectorRegistry()
    sink = PrometheusSink(queue(registry), Diagnostics())
    unexpected = Response("m", usage_expected=False)
    later = run_of("text_completion", batch_size=2)
    sink.ended(later, ended(later, unexpected))
    late = run_of()
    sink.ended(late, ended(late, Response("m"), late=True))
    found = run_of("retrieval")
    sink.ended(found, ended(found, Response()))
    silent = run_of()
    sink.ended(silent, ended(silent, None))
    assert value(registry, "otel_callbacks_usage_missing_total") == 0
    alone = run_of("text_completion")
    sink.ended(alone, ended(alone, unexpected))
    assert value(registry, "otel_callbacks_usage_missing_total") == 1


def test_run_that_another_counts_is_left_alone() -> None:
    """Neither a chain nor a run that another handler counts is counted."""
    registry = CollectorRegistry()
    sink = PrometheusSink(queue(registry), Diagnostics())
    chain = StandIn(1, Request("", "step"), None)
    sink.started(chain)
    sink.ended(chain, ended(chain))
    other = run_of()
    other.counted = False
    sink.ended(other, ended(other))
    assert value(registry, OPERATIONS) == 0


def test_threads_lose_no_call() -> None:
    """Many threads that end calls while others scrape: every call is counted."""
    registry = CollectorRegistry()
    sink = PrometheusSink(queue(registry), Diagnostics(strict=True))

    def calls() -> None:
        run = run_of()
        for _ in range(2_500):
            sink.ended(run, ended(run, Response("m", usage=Usage(1, 0))))

    threads = [threading.Thread(target=calls) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        value(registry, OPERATIONS)
    for thread in threads:
        thread.join()
    assert value(registry, OPERATIONS) == 10_000
    assert value(registry, "otel_callbacks_tokens_total") == 10_000


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_of_lost_runs_starts_at_zero(reason: str) -> None:
    """Rates begin at zero."""
    registry = CollectorRegistry()
    kept = queue(registry)
    labels = {"reason": reason}
    assert registry.get_sample_value("otel_callbacks_runs_lost_total", labels) == 0
    del kept
