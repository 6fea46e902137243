"""Finished calls become counters and histograms."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from otel_callbacks._metrics import fold as fold_module
from otel_callbacks._metrics.fold import Fold
from otel_callbacks._metrics.store import LabelLimits, metric_of, own_states
from otel_callbacks._records import Usage

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from otel_callbacks.testing import Capture

MILLISECOND = 1_000_000
INPUT = {"gen_ai_token_type": "input"}
OUTPUT = {"gen_ai_token_type": "output"}
BASE = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "m",
    "gen_ai_response_model": "m-1",
    "server_address": "host",
    "server_port": "443",
}


def kind(**changes: Any) -> tuple[Any, ...]:
    """Return the kind of a call that went well, with changes."""
    fields = {
        "operation": "chat",
        "provider": "openai",
        "model": "m",
        "response_model": "m-1",
        "address": "host",
        "port": 443,
        "outcome": "ok",
        "error_type": "",
        "error_class": "",
        "tool": None,
        "labels": (),
    }
    assert changes.keys() <= fields.keys()
    return tuple({**fields, **changes}.values())


def call(
    of: tuple[Any, ...] | None = None,
    usage: Usage | None = None,
    *,
    missing: bool = False,
    chunks: tuple[int, ...] = (),
    late: bool = False,
    calls: tuple[int, int] | None = None,
    cost: Decimal | None = None,
    more: bool = False,
) -> Any:
    """Return a call of 30 milliseconds."""
    duration = 30 * MILLISECOND
    counted = of or kind(), usage, missing, duration, 0, chunks, None, late
    return (*counted, calls, cost, more)


def new_fold(
    limit: int = 10, names: tuple[str, ...] = (), *, extensions: bool = True
) -> Fold:
    """Return a fold with nothing in it."""
    return Fold(own_states, LabelLimits(limit, 10_000), names, extensions=extensions)


def families(fold: Fold) -> list[Metric]:
    """Return the families of a fold as they are written out."""
    return [
        metric_of(family.series, family.states, births=False)
        for family in fold.families
    ]


def value(fold: Fold, name: str, **labels: str) -> float:
    """Return the sum of the samples of a name with these labels."""
    wanted = labels.items()
    return sum(
        sample.value
        for family in families(fold)
        for sample in family.samples
        if sample.name == name and wanted <= sample.labels.items()
    )


def label_sets(fold: Fold, name: str) -> list[dict[str, str]]:
    """Return the labels of all samples of a name."""
    return [
        sample.labels
        for family in families(fold)
        for sample in family.samples
        if sample.name == name
    ]


def test_call_is_counted_with_every_label() -> None:
    """One call is one operation and one duration, under all labels."""
    fold = new_fold()
    fold.add(call())
    fold.add(call())
    assert label_sets(fold, "otel_callbacks_operations_total") == [
        {**BASE, "outcome": "ok", "error_class": ""}
    ]
    assert value(fold, "otel_callbacks_operations_total") == 2
    duration = "gen_ai_client_operation_duration_seconds"
    assert label_sets(fold, f"{duration}_sum") == [{**BASE, "error_type": ""}]
    assert value(fold, f"{duration}_count") == 2
    assert value(fold, f"{duration}_sum") == pytest.approx(0.06)


def test_error_has_its_type_and_class() -> None:
    """A failure is told by its type on the duration, by its class on the count."""
    fold = new_fold()
    failed = kind(
        outcome="error",
        error_type="RateLimitError",
        error_class="rate_limited",
        response_model="",
        port=0,
    )
    fold.add(call(failed))
    labels = {**BASE, "gen_ai_response_model": "", "server_port": ""}
    assert label_sets(fold, "otel_callbacks_operations_total") == [
        {**labels, "outcome": "error", "error_class": "rate_limited"}
    ]
    assert label_sets(fold, "gen_ai_client_operation_duration_seconds_sum") == [
        {**labels, "error_type": "RateLimitError"}
    ]


def test_tokens_are_counted_and_observed() -> None:
    """Both totals go to the counter and the histogram, details to their own."""
    fold = new_fold()
    fold.add(call(usage=Usage(100, 20, 40, 0, 5, 0, 1)))
    for token_type, tokens in (("input", 100), ("output", 20)):
        labels = {**BASE, "gen_ai_token_type": token_type}
        name = "otel_callbacks_tokens_total"
        assert value(fold, name, **labels, outcome="ok") == tokens
        assert value(fold, "gen_ai_client_token_usage_sum", **labels) == tokens
        assert value(fold, "gen_ai_client_token_usage_count", **labels) == 1
    details = "otel_callbacks_token_details_total"
    assert {
        labels["detail"]: value(fold, details, detail=labels["detail"], outcome="ok")
        for labels in label_sets(fold, details)
    } == {"cache_read": 40, "reasoning": 5, "audio_output": 1}


def test_every_detail_has_its_name() -> None:
    """The five details are those of the usage, in its order."""
    fold = new_fold()
    fold.add(call(usage=Usage(10, 10, 1, 2, 3, 4, 5)))
    details = "otel_callbacks_token_details_total"
    assert {
        labels["detail"]: value(fold, details, detail=labels["detail"])
        for labels in label_sets(fold, details)
    } == {
        "cache_read": 1,
        "cache_write": 2,
        "reasoning": 3,
        "audio_input": 4,
        "audio_output": 5,
    }


def test_half_a_usage_counts_as_what_it_is() -> None:
    """A total that the provider did not say is not a zero."""
    fold = new_fold()
    fold.add(call(usage=Usage(None, 7)))
    name = "gen_ai_client_token_usage_count"
    assert value(fold, name, **INPUT) == 0
    assert value(fold, name, **OUTPUT) == 1
    assert value(fold, "otel_callbacks_tokens_total") == 7


def test_cache_hit_saves() -> None:
    """What LangChain's cache answered is saved: not spent, not observed, no detail."""
    fold = new_fold()
    fold.add(call(kind(outcome="cache_hit"), Usage(10, 5, cache_read=3)))
    saved = "otel_callbacks_tokens_saved_total"
    assert value(fold, saved, **INPUT, reason="cache_hit") == 10
    assert value(fold, saved, **OUTPUT, reason="cache_hit") == 5
    assert value(fold, "otel_callbacks_tokens_total") == 0
    assert value(fold, "gen_ai_client_token_usage_count") == 0
    assert value(fold, "otel_callbacks_token_details_total") == 0
    assert value(fold, "otel_callbacks_operations_total", outcome="cache_hit") == 1


def test_missing_usage_is_counted() -> None:
    """Only calls that should have said their tokens are missing them."""
    fold = new_fold()
    fold.add(call(missing=True))
    fold.add(call())
    assert fold.usage_missing == 1


def test_late_tokens_are_no_second_call() -> None:
    """Of a call that has been counted as lost, only the tokens are new."""
    fold = new_fold()
    fold.add(call(kind(outcome="abandoned"), Usage(3, 4), late=True))
    assert value(fold, "otel_callbacks_tokens_total", outcome="abandoned") == 7
    assert value(fold, "otel_callbacks_operations_total") == 0
    assert value(fold, "gen_ai_client_operation_duration_seconds_count") == 0


def test_stream_has_first_chunk_and_gaps() -> None:
    """A stream of three chunks has one time to the first and two in between."""
    fold = new_fold()
    fold.add(call(chunks=(5 * MILLISECOND, 20 * MILLISECOND, 26 * MILLISECOND)))
    first = "gen_ai_client_operation_time_to_first_chunk_seconds"
    gaps = "gen_ai_client_operation_time_per_output_chunk_seconds"
    assert label_sets(fold, f"{first}_sum") == [BASE]
    assert label_sets(fold, f"{gaps}_sum") == [BASE]
    assert value(fold, f"{first}_count") == 1
    assert value(fold, f"{first}_sum") == pytest.approx(0.005)
    assert value(fold, f"{gaps}_count") == 2
    assert value(fold, f"{gaps}_sum") == pytest.approx(0.021)


def test_stream_of_one_chunk_has_no_gap() -> None:
    """Between one chunk and nothing there is no time."""
    fold = new_fold()
    fold.add(call(chunks=(5 * MILLISECOND,)))
    gaps = "gen_ai_client_operation_time_per_output_chunk_seconds_count"
    assert value(fold, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == 1
    assert value(fold, gaps) == 0


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_series_of_a_stream_are_what_its_span_says(
    telemetry: Capture, chunks: int
) -> None:
    """The time to the first chunk, and each time from one to the next."""
    run_id = uuid4()
    handler = telemetry.handler
    handler.on_chat_model_start({}, [["?"]], run_id=run_id)
    for _ in range(chunks):
        handler.on_llm_new_token("x", run_id=run_id)
    handler.on_llm_end(LLMResult(generations=[]), run_id=run_id)
    (span,) = telemetry.spans
    first = span["attributes"]["gen_ai.response.time_to_first_chunk"]
    name = "gen_ai_client_operation_time_to_first_chunk_seconds"
    assert telemetry.value(f"{name}_sum") == pytest.approx(first)
    gaps = "gen_ai_client_operation_time_per_output_chunk_seconds_count"
    assert telemetry.value(gaps) == chunks - 1


@pytest.mark.parametrize("cost", [None, 0.5])
def test_an_abandoned_call_is_spent(telemetry: Capture, cost: float | None) -> None:
    """Its cost, or its tokens without a price, whatever became of the answer."""
    run_id = uuid4()
    known: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 3, "cost": cost}
    answer: Any = ChatGeneration(message=AIMessage(""))
    telemetry.handler.on_chat_model_start(
        {}, [["?"]], run_id=run_id, invocation_params={"model": "rose-1"}
    )
    result = LLMResult(generations=[[answer]], llm_output={"token_usage": known})
    telemetry.handler.on_llm_error(GeneratorExit(), run_id=run_id, response=result)
    assert telemetry.value("otel_callbacks_tokens_total", outcome="abandoned") == 10
    spent = telemetry.value("otel_callbacks_cost_usd_total", outcome="abandoned")
    assert spent == (cost or 0)
    unpriced = telemetry.value("otel_callbacks_unpriced_tokens_total")
    assert unpriced == (10 if cost is None else 0)


def test_tool_has_a_duration_of_its_own() -> None:
    """A tool's time is under the tool's labels and not among the model calls."""
    fold = new_fold()
    tool = kind(operation="execute_tool", tool=("florist", "function", "shop"))
    fold.add(call(tool))
    assert label_sets(fold, "gen_ai_execute_tool_duration_seconds_sum") == [
        {
            "gen_ai_tool_name": "florist",
            "gen_ai_tool_type": "function",
            "gen_ai_agent_name": "shop",
            "error_type": "",
        }
    ]
    assert value(fold, "gen_ai_client_operation_duration_seconds_count") == 0
    assert value(fold, "otel_callbacks_operations_total") == 1


def test_agent_has_series_of_its_own() -> None:
    """An agent's time and calls are under its name, and not among the model calls."""
    fold = new_fold()
    agent = kind(operation="invoke_agent", tool=("florist", "m"))
    fold.add(call(agent, calls=(3, 2)))
    fold.add(call(agent, calls=(1, 0)))
    duration = "gen_ai_invoke_agent_duration_seconds"
    assert label_sets(fold, f"{duration}_sum") == [
        {
            "gen_ai_agent_name": "florist",
            "gen_ai_request_model": "m",
            "error_type": "",
        }
    ]
    assert value(fold, f"{duration}_count") == 2
    for name, total in (("inference_calls", 4), ("tool_calls", 2)):
        series = f"gen_ai_invoke_agent_{name}"
        assert label_sets(fold, f"{series}_sum") == [{"gen_ai_agent_name": "florist"}]
        assert value(fold, f"{series}_sum") == total
        assert value(fold, f"{series}_count") == 2
    assert value(fold, "gen_ai_client_operation_duration_seconds_count") == 0


def test_workflow_has_a_duration_of_its_own() -> None:
    """A workflow's time is under its name."""
    fold = new_fold()
    fold.add(call(kind(operation="invoke_workflow", tool=("shop",))))
    assert label_sets(fold, "gen_ai_workflow_duration_seconds_sum") == [
        {"gen_ai_workflow_name": "shop", "error_type": ""}
    ]
    assert value(fold, "gen_ai_client_operation_duration_seconds_count") == 0


def test_overflow_of_agents_counts_once_a_call() -> None:
    """An agent beyond the limit is counted as one value for each of its calls."""
    fold = new_fold(1)
    limits = fold.limits
    for name in ("florist", "baker", "baker"):
        agent = kind(operation="invoke_agent", tool=(name, "m"))
        fold.add(call(agent, calls=(1, 0)))
    assert (
        value(
            fold, "gen_ai_invoke_agent_inference_calls_count", gen_ai_agent_name="other"
        )
        == 2
    )
    assert limits.overflowed == {"gen_ai_agent_name": 2}


def test_conventions_alone() -> None:
    """Without extensions only the conventions' families are there, and they count."""
    fold = new_fold(extensions=False)
    fold.add(call(usage=Usage(1, 2)))
    assert all(family.name.startswith("gen_ai_") for family in families(fold))
    assert value(fold, "gen_ai_client_token_usage_sum") == 3


def test_overflow_counts_every_call() -> None:
    """A call beyond a limit goes to ``other``, and each such call is counted."""
    fold = new_fold(1)
    limits = fold.limits
    fold.add(call())
    flood = kind(
        operation="execute_tool",
        model="n",
        error_type="E",
        outcome="error",
        tool=("a", "function", ""),
    )
    for _ in range(3):
        fold.add(call(flood))
    more = kind(operation="execute_tool", error_type="F", tool=("b", "function", ""))
    fold.add(call(more))
    assert limits.overflowed == {
        "gen_ai_operation_name": 4,
        "gen_ai_request_model": 3,
        "gen_ai_tool_name": 1,
        "error_type": 1,
    }
    assert (
        value(fold, "otel_callbacks_operations_total", gen_ai_request_model="other")
        == 3
    )
    assert (
        value(
            fold,
            "gen_ai_execute_tool_duration_seconds_count",
            gen_ai_tool_name="other",
            error_type="_OTHER",
        )
        == 1
    )


def test_kinds_at_hand_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many kinds they are found again, and nothing is lost."""
    monkeypatch.setattr(fold_module, "_KEPT_AT_MOST", 2)
    fold = new_fold(100)
    for _ in range(2):
        for number in range(5):
            fold.add(call(kind(model=f"m{number}")))
    # Nothing public shows how much is at hand.
    assert len(fold._kinds) <= 2
    assert value(fold, "otel_callbacks_operations_total") == 10
    assert (
        value(fold, "otel_callbacks_operations_total", gen_ai_request_model="m0") == 2
    )


def test_embeddings_have_no_output() -> None:
    """There is one type of token, and no series of zeros for the other."""
    fold = new_fold()
    fold.add(call(kind(operation="embeddings"), Usage(9)))
    (labels,) = label_sets(fold, "otel_callbacks_tokens_total")
    assert labels["gen_ai_token_type"] == "input"
    assert value(fold, "otel_callbacks_tokens_total") == 9


def test_labels_that_could_not_be_read_are_empty() -> None:
    """A handler with other settings says fewer of them, or none."""
    fold = new_fold(names=("team",))
    fold.add(call(kind(labels=())))
    fold.add(call(kind(labels=("roses",))))
    sets = label_sets(fold, "otel_callbacks_operations_total")
    assert [labels["team"] for labels in sets] == ["", "roses"]


def test_tokens_without_a_price_are_counted_by_model() -> None:
    """Nothing is said of their cost; what a cache answered was not spent at all."""
    fold = new_fold()
    fold.add(call(usage=Usage(1, 4)))
    fold.add(call(kind(response_model="n"), Usage(2, None)))
    fold.add(call(kind(outcome="cache_hit"), Usage(5, 6)))
    unpriced = "otel_callbacks_unpriced_tokens_total"
    assert value(fold, unpriced, gen_ai_request_model="m") == 7
    assert len(label_sets(fold, unpriced)) == 1
    assert label_sets(fold, "otel_callbacks_cost_usd_total") == []
    assert label_sets(fold, "otel_callbacks_cost_saved_usd_total") == []


def test_calls_that_cost_more_than_is_known_are_counted_by_model() -> None:
    """Their cost counts as far as it is known."""
    fold = new_fold()
    for response in "mn":
        other = kind(response_model=response)
        fold.add(call(other, Usage(1, 4), cost=Decimal("0.5"), more=True))
    fold.add(call(usage=Usage(1, 4), cost=Decimal("0.5")))
    partly = "otel_callbacks_partly_priced_operations_total"
    assert value(fold, partly, gen_ai_request_model="m") == 2
    assert len(label_sets(fold, partly)) == 1


def test_money_is_added_up_exactly() -> None:
    """A thousand times a tenth of a cent is a dollar, spent and saved apart."""
    fold = new_fold()
    for _ in range(1_000):
        fold.add(call(usage=Usage(1, 1), cost=Decimal("0.001")))
        fold.add(call(kind(outcome="cache_hit"), Usage(1, 1), cost=Decimal("0.001")))
    assert value(fold, "otel_callbacks_cost_usd_total", outcome="ok") == 1
    assert value(fold, "otel_callbacks_cost_saved_usd_total") == 1
