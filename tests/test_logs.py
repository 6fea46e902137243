"""Log lines with the ids of their span: callbacks of all kinds, loguru."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from opentelemetry import trace
from waiting import WAIT_S

from otel_callbacks.logs import RunSpans, loguru_patcher
from otel_callbacks.testing import FakeChatModel, FakeTextModel

if TYPE_CHECKING:
    from uuid import UUID

    from langchain_core.documents import Document

    from otel_callbacks.testing import Capture

# What an app has around the page's recipes.
_BEFORE = """
from otel_callbacks import Settings, configure
from otel_callbacks.testing import FakeChatModel

handler = configure(settings=Settings(traces_exporter="none", prometheus_port=0))
"""
_AFTER = """
class Teller(BaseCallbackHandler):
    def on_chat_model_start(self, *args, **kwargs):
        global ids
        logger.info("told")
        from opentelemetry import trace
        context = trace.get_current_span().get_span_context()
        ids = f"{context.trace_id:032x} {context.span_id:016x}"

config["callbacks"].append(Teller())
FakeChatModel().invoke("Roses?", config)
listener.stop()
logger.remove()
print(ids)
"""
_USAGE = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}


def _current() -> tuple[str, str]:
    """Return the current ids as in loguru's records."""
    record: dict[str, Any] = {"extra": {}}
    loguru_patcher(record)
    return record["extra"]["trace_id"], record["extra"]["span_id"]


class _Mine(BaseCallbackHandler):
    """Records the current span in each callback."""

    def __init__(self, spans: RunSpans) -> None:
        self._spans = spans
        self.seen: list[tuple[str, tuple[str, str]]] = []

    def _see(self, what: str, run_id: UUID) -> None:
        with self._spans.of(run_id):
            self.seen.append((what, _current()))

    def on_llm_new_token(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self._see("token", run_id)

    def on_llm_end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self._see("end", run_id)

    on_tool_end = on_chain_end = on_retriever_end = on_llm_end

    def on_llm_error(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self._see("error", run_id)


class _Shelf(BaseRetriever):
    """A retriever without documents."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        del query
        return []


@tool
def _price(flower: str) -> str:
    """Return a price."""
    return flower


def _ids(telemetry: Capture) -> list[tuple[str, str]]:
    """Return the ids of the finished spans."""
    return [(span["trace_id"], span["span_id"]) for span in telemetry.spans]


def test_lines_at_tokens_and_ends_have_ids_of_run(telemetry: Capture) -> None:
    """Log lines at tokens and ends have the run's ids, without an outer span."""
    mine = _Mine(spans := RunSpans())
    config: Any = {"callbacks": [telemetry.handler, spans, mine]}
    list(FakeChatModel(usage=_USAGE).stream("?", config))
    (ids,) = _ids(telemetry)
    assert {what for what, _ in mine.seen} == {"token", "end"}
    assert {seen for _, seen in mine.seen} == {ids}
    assert _current() == ("", "")


async def test_async_streams_stay_apart(telemetry: Capture) -> None:
    """Log lines of two concurrent streams have the ids of their own run."""
    seen = []

    async def ask() -> None:
        mine = _Mine(spans := RunSpans())
        config: Any = {"callbacks": [telemetry.handler, spans, mine]}
        async for _ in FakeChatModel(usage=_USAGE, delay=0.01).astream("?", config):
            pass
        seen.append({ids for _, ids in mine.seen})

    await asyncio.gather(ask(), ask())
    assert sorted(map(sorted, seen)) == sorted([one] for one in _ids(telemetry))


def test_runs_of_batch_have_their_own_ids(telemetry: Capture) -> None:
    """Runs that start together, before the first call, have different ids."""
    mine = _Mine(spans := RunSpans())
    questions = [[HumanMessage("Roses?")], [HumanMessage("Tulips?")]]
    llm = FakeChatModel(usage=_USAGE)
    llm.generate(questions, callbacks=[telemetry.handler, spans, mine])
    assert sorted(ids for _, ids in mine.seen) == sorted(_ids(telemetry))


def test_every_kind_of_run_has_its_span(telemetry: Capture) -> None:
    """Spans of text models, chains, tools and retrievers are kept too."""
    for run in (
        FakeTextModel(usage=_USAGE),
        RunnableLambda(lambda value: value),
        _price,
        _Shelf(),
    ):
        telemetry.clear()
        mine = _Mine(spans := RunSpans())
        run.invoke("rose", {"callbacks": [telemetry.handler, spans, mine]})  # type: ignore[attr-defined]
        assert [ids for _, ids in mine.seen] == _ids(telemetry)


def test_line_at_failure_has_ids_of_run(telemetry: Capture) -> None:
    """A line about a failed call has that call's ids, inside a span of the app."""
    mine = _Mine(spans := RunSpans())
    llm = FakeChatModel(error=ValueError("no"))
    with telemetry.tracer_provider.get_tracer("app").start_as_current_span("order"):
        outside = _current()
        try:
            llm.invoke("?", {"callbacks": [telemetry.handler, spans, mine]})
        except ValueError:
            assert _current() == outside
    call = telemetry.span("chat fake-model")
    assert mine.seen == [("error", (call["trace_id"], call["span_id"]))]


def test_unknown_run_changes_nothing(telemetry: Capture) -> None:
    """For an unknown run the current span stays as it is."""
    spans = RunSpans()
    with telemetry.tracer_provider.get_tracer("app").start_as_current_span("order"):
        before = trace.get_current_span()
        with spans.of(uuid4()):
            assert trace.get_current_span() is before


def test_runs_without_a_span_are_not_kept() -> None:
    """Without the handler there is no span to keep."""
    spans = RunSpans()
    FakeChatModel(usage=_USAGE).invoke("?", {"callbacks": [spans]})
    assert not spans._spans


def test_spans_are_released_with_run_ids(telemetry: Capture) -> None:
    """The kept spans do not grow with the calls."""
    spans = RunSpans()
    llm = FakeChatModel(usage=_USAGE)
    for _ in range(20):
        llm.invoke("?", {"callbacks": [telemetry.handler, spans]})
    gc.collect()
    assert not spans._spans


@pytest.mark.slow
@pytest.mark.recent
def test_recipes_of_the_page_work(tmp_path: Path) -> None:
    """The page's recipes run unchanged and give both lines the ids of one span."""
    page = (Path(__file__).parents[1] / "docs/logs.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"```python\n(.*?)```", page.partition("## Over OTLP")[0], re.DOTALL
    )
    assert len(blocks) == 3
    script = "\n".join((_BEFORE, *blocks, _AFTER))
    done = subprocess.run(  # noqa: S603 -- our own page
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    trace_id, span_id = done.stdout.splitlines()[-1].split()
    lines = (tmp_path / "shop.log").read_text().splitlines()
    joined = [line for line in lines if f"{trace_id} {span_id}" in line]
    assert sorted(line.rpartition(" ")[2] for line in joined) == ["answered", "told"]


@pytest.mark.parametrize("run_id", ["order-7", 7, ("order", 7)], ids=repr)
def test_any_run_id_has_its_span(telemetry: Capture, run_id: Any) -> None:
    """Ids that are not UUIDs are kept up to a limit."""
    spans = RunSpans()
    handlers = [telemetry.handler, spans]
    step = RunnableLambda(lambda x: x)
    step.invoke("?", {"callbacks": handlers, "run_id": run_id})
    (span,) = telemetry.spans
    with spans.of(run_id):
        assert _current() == (span["trace_id"], span["span_id"])
    for number in range(1_000):
        step.invoke("?", {"callbacks": handlers, "run_id": f"id {number}"})
    with spans.of(run_id):
        assert _current() == ("", "")
