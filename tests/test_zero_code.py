"""An unchanged script gives the same spans as one with the handler in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from waiting import WAIT_S

if TYPE_CHECKING:
    from otel_callbacks.testing import FakeOpenAI

SCRIPT = """
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

prompt = ChatPromptTemplate.from_messages([("human", "What goes with {flower}?")])
llm = ChatOpenAI(model="gpt-4o-mini", temperature=0.5, max_retries=0)
chain = prompt | llm
for flower in ("roses", "lilies"):
    chain.invoke({"flower": flower}, config)
for _ in llm.stream("Tulips?", stream_usage=True, config=config):
    pass
"""
# What opentelemetry-instrument does for an app, but with the spans on the screen.
SHOWN = """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
provider = trace.get_tracer_provider()
if not isinstance(provider, TracerProvider):
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
exporter = InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(exporter))
"""
EXPLICIT = """
from otel_callbacks import OTelCallbackHandler
config = {"callbacks": [OTelCallbackHandler()]}
"""
PRINT = """
TIMES = ("gen_ai.response.time_to_first_chunk", "otel_callbacks.chunks_per_second",
         "otel_callbacks.longest_chunk_gap", "gen_ai.response.id")
spans = [span for span in exporter.get_finished_spans()
         if span.instrumentation_scope.name == "otel_callbacks"]
names = {span.context.span_id: span.name for span in spans}
print("SPANS", json.dumps([
    (span.name, span.kind.name, span.parent and names.get(span.parent.span_id),
     {k: v for k, v in span.attributes.items() if k not in TIMES})
    for span in spans
]))
"""


def spans(server: FakeOpenAI, script: str, *command: str) -> str:
    """Run a script and return what it says of its spans."""
    environment = {
        **{key: value for key, value in os.environ.items() if "OTEL" not in key},
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": server.base_url,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "httpx,logging,threading,asyncio",
    }
    ran = subprocess.run(  # noqa: S603 -- a script of ours
        [*command, sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    server.reset()
    return next(line for line in ran.stdout.splitlines() if line.startswith("SPANS"))


@pytest.mark.slow
@pytest.mark.recent
def test_an_unchanged_script_gives_the_same_spans(server: FakeOpenAI) -> None:
    """``opentelemetry-instrument`` gives the same names, kinds and parents."""
    program = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    unchanged = SHOWN + "config = {}\n" + SCRIPT + PRINT
    with_handler = SHOWN + EXPLICIT + SCRIPT + PRINT
    without_code = spans(server, unchanged, program)
    assert without_code.count("chat gpt-4o-mini") >= 3
    assert without_code == spans(server, with_handler)
