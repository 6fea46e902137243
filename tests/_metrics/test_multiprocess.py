"""Real worker processes that share prometheus_client's files."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from waiting import WAIT_S

from otel_callbacks import (
    BudgetExceeded,
    OTelCallbackHandler,
    Settings,
    track_usage,
)
from otel_callbacks._diagnostics import Diagnostics
from otel_callbacks._metrics import wiring
from otel_callbacks._metrics.calls import CallQueue
from otel_callbacks._metrics.fold import Fold
from otel_callbacks._metrics.multiprocess import MultiprocessSink, is_multiprocess
from otel_callbacks._metrics.store import LabelLimits
from otel_callbacks._records import Request
from otel_callbacks._spans.current import StandIn
from otel_callbacks._spend.ledger import LedgerSink
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel

usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
extensions = sys.argv[1] == "all"
handler = OTelCallbackHandler(
    tracer_provider=TracerProvider(),
    settings=Settings(strict=True, labels="team", extensions=extensions),
)
config = {"callbacks": [handler], "metadata": {"team": "roses"}}
for _ in range(5):
    list(FakeChatModel(usage=usage).stream("?", config))
FakeChatModel().invoke("?", config)
"""


def work(folder: Path, *, extensions: bool = True) -> dict[str, float]:
    """Let two workers make six calls each, and add up their files."""
    environment = {
        **{name: value for name, value in os.environ.items() if "OTEL" not in name},
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }
    kind = "all" if extensions else "conventions"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, kind], env=environment)  # noqa: S603
        for _ in range(2)
    ]
    assert [worker.wait(WAIT_S) for worker in workers] == [0, 0]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    sums: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
            assert "team" not in sample.labels or sample.labels["team"] == "roses"
    return sums


@pytest.mark.slow
def test_workers_add_up(tmp_path: Path) -> None:
    """Counters, histograms and what is open are sums over both workers."""
    sums = work(tmp_path)
    assert sums["otel_callbacks_operations_total"] == 12
    assert sums["otel_callbacks_tokens_total"] == 100
    assert sums["otel_callbacks_unpriced_tokens_total"] == 100
    assert sums["otel_callbacks_usage_missing_total"] == 2
    assert sums["gen_ai_client_token_usage_sum"] == 100
    assert sums["gen_ai_client_operation_duration_seconds_count"] == 12
    assert sums["gen_ai_client_operation_time_to_first_chunk_seconds_count"] == 10
    assert sums["gen_ai_client_operation_time_per_output_chunk_seconds_count"] > 0
    assert sums["otel_callbacks_open_runs"] == 0
    assert sums["otel_callbacks_operations_in_flight"] == 0


@pytest.mark.slow
def test_conventions_alone(tmp_path: Path) -> None:
    """Without extensions the files hold nothing of ours."""
    sums = work(tmp_path, extensions=False)
    assert sums["gen_ai_client_token_usage_sum"] == 100
    assert not [name for name in sums if name.startswith("otel_callbacks")]


def test_one_process_is_the_usual_way() -> None:
    """Without the folder nothing of this is used."""
    assert not is_multiprocess()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let handlers keep plain objects, as in a worker, but on a registry of ours."""
    monkeypatch.setattr(wiring, "is_multiprocess", lambda: True)


USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


@pytest.mark.usefixtures("plain")
def test_plain_objects_hold_the_same() -> None:
    """Each call is in them at once: tokens, chunks, what is open and what was lost."""
    with capture(Settings(strict=True, labels="team")) as telemetry:
        config = {"callbacks": [telemetry.handler], "metadata": {"team": "roses"}}
        model = FakeChatModel(usage=USAGE, answer="one two three", chunks=3)
        stream = model.stream("?", config)
        next(stream)
        assert telemetry.value("otel_callbacks_open_runs") == 1
        assert telemetry.value("otel_callbacks_operations_in_flight") == 1
        assert len(list(stream)) >= 2
        FakeChatModel().invoke("?", config)
        FakeChatModel().invoke("?", config)
        RunnableLambda(str).invoke("?", config)
        assert telemetry.value("otel_callbacks_open_runs") == 0
        assert telemetry.value("otel_callbacks_tokens_total", team="roses") == 10
        assert telemetry.value("otel_callbacks_usage_missing_total") == 2
        gaps = "gen_ai_client_operation_time_per_output_chunk_seconds_count"
        assert telemetry.value(gaps) == 3
        whole = telemetry.value("gen_ai_client_operation_duration_seconds_sum")
        assert 0 < telemetry.value(gaps.replace("_count", "_sum")) < whole


@pytest.mark.usefixtures("plain")
def test_only_the_conventions_names() -> None:
    """Without extensions no series of ours is made."""
    with capture(Settings(strict=True, extensions=False)) as telemetry:
        FakeChatModel(usage=USAGE).invoke("?", {"callbacks": [telemetry.handler]})
        names = {name for name, _ in telemetry.samples}
        assert "gen_ai_client_token_usage_sum" in names
        assert not [name for name in names if name.startswith("otel_callbacks")]


@pytest.mark.usefixtures("plain")
def test_a_call_without_provider_is_in_flight() -> None:
    """What is in flight has an operation; its provider and model may be unknown."""
    with capture(Settings(strict=True)) as telemetry:
        run_id = uuid4()
        telemetry.handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        assert telemetry.value("otel_callbacks_operations_in_flight") == 1
        telemetry.handler.on_llm_error(ValueError(), run_id=run_id)
        assert telemetry.value("otel_callbacks_operations_in_flight") == 0


@pytest.mark.usefixtures("plain")
def test_two_handlers_share_the_series_of_a_registry() -> None:
    """The second one registers nothing; both count, and a label overflows once."""
    settings = Settings(strict=True, label_limit=1)
    with capture(settings) as telemetry:
        other = OTelCallbackHandler(
            tracer_provider=TracerProvider(),
            registry=telemetry.registry,
            settings=settings,
        )
        for handler, name in ((telemetry.handler, "rose-1"), (other, "rose-2")):
            FakeChatModel(model_name=name, callbacks=[handler]).invoke("?")
        assert telemetry.value("otel_callbacks_operations_total") == 2
        assert telemetry.value("otel_callbacks_labels_overflowed_total") == 1


@pytest.mark.usefixtures("plain")
def test_tokens_that_come_late_are_added() -> None:
    """The run is not open any more, so that is not changed."""
    with capture(Settings(strict=True)) as telemetry:
        run_id = uuid4()
        telemetry.handler.on_chat_model_start({}, [["?"]], run_id=run_id)
        telemetry.handler.close()
        message = AIMessage("roses", usage_metadata=USAGE)
        result = LLMResult(generations=[[ChatGeneration(message=message)]])
        telemetry.handler.on_llm_end(result, run_id=run_id)
        assert telemetry.value("otel_callbacks_tokens_total") == 10
        assert telemetry.value("otel_callbacks_open_runs") == 0


@pytest.mark.usefixtures("plain")
def test_a_call_that_is_refused_is_not_in_flight() -> None:
    """It was open for a moment, before its budget was asked."""
    with capture(Settings(strict=True)) as telemetry, track_usage(max_tokens=3):
        model = FakeChatModel(callbacks=[telemetry.handler])
        for _ in range(3):
            with pytest.raises(BudgetExceeded):
                model.invoke("Which roses?")
        assert telemetry.value("otel_callbacks_operations_in_flight") == 0
        assert telemetry.value("otel_callbacks_open_runs") == 0


@pytest.mark.usefixtures("plain")
def test_a_start_that_is_interrupted_is_not_in_flight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its end comes though its start was withdrawn, and not counted."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for sink in (LedgerSink, MultiprocessSink):
        # Before the handler is made: a table binds the methods of its sinks.
        with monkeypatch.context() as patched:
            patched.setattr(sink, "started", interrupt)
            with capture(Settings(strict=True)) as telemetry:
                with pytest.raises(KeyboardInterrupt):
                    telemetry.handler.on_chat_model_start({}, [["?"]], run_id=uuid4())
                assert telemetry.value("otel_callbacks_operations_in_flight") == 0
                assert telemetry.value("otel_callbacks_open_runs") == 0


def test_forked_child_leaves_its_parents_runs_to_the_parent() -> None:
    """What was open in the parent is not open in the child."""
    calls = CallQueue(Diagnostics())
    registry = CollectorRegistry()
    sink = MultiprocessSink(
        calls, partial(Fold, limits=LabelLimits(5, 10_000)), registry
    )
    # In a child the thread is gone that would have written it; here it has to wait.
    with calls.locked():
        sink.started(StandIn(1, Request("chat", "m"), None))
        sink.after_fork()
    assert registry.get_sample_value("otel_callbacks_open_runs") == 0
