"""Scripts are run as apps of their own, with what they need and nothing of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from measure.session import FOLDER, SCENARIOS, answers, run

from otel_callbacks.testing import FakeOpenAI

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


def test_every_scenario_is_a_script_without_our_names() -> None:
    """No scenario imports or names this library or OpenTelemetry."""
    assert {path.stem for path in FOLDER.glob("*.py")} == set(SCENARIOS)
    for path in FOLDER.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "otel" not in text.lower(), path
        assert "opentelemetry" not in text.lower(), path


def test_a_tool_is_requested_once() -> None:
    """After a tool's result the provider answers, so an agent comes to its end."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 -- a second of imports

    question = ("human", "Tell me the price of an iris.")
    with FakeOpenAI() as provider:
        answers(provider)
        model = ChatOpenAI(model="m", base_url=provider.base_url, api_key="sk-none")
        first = model.invoke([question])
        call = first.tool_calls[0]
        result = {"role": "tool", "content": "1 euro", "tool_call_id": call["id"]}
        second = model.invoke([question, first, result])
    assert call["name"] == "price_of"
    assert second.text
    assert not second.tool_calls


def test_scripts_have_what_they_need(tmp_path: Path) -> None:
    """A script finds the provider and the receiver, and what it does is told."""
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from opentelemetry import trace\n"
        "trace.get_tracer('t').start_span(os.environ['EXTRA']).end()\n"
        "sys.stderr.write(os.environ['OPENAI_BASE_URL'])\n"
        "sys.exit(3)\n",
        encoding="utf-8",
    )
    ran = run([("mine", script)], EXTRA="my span")["mine"]
    assert ran.status == 3
    assert ran.errors.startswith("http://127.0.0.1:")
    assert [span.name for span in ran.received.each_span()] == ["my span"]
