"""Runs the scenarios as apps of their own and takes what they export."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from measure.received import Received, Receiver
from otel_callbacks.testing import FakeOpenAI, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_callbacks.testing import Received as Asked

SCENARIOS: Final = (
    "workflow",
    "invoke_agent",
    "automatic_tool_calling",
    "inference",
    "streaming",
    "tool_calling",
    "structured_output",
    "multimodal",
    "embeddings",
    "graph",
)
"""The runner's nine, those of agents and workflows first; then one of ours."""

FOLDER: Final = Path(__file__).parents[1] / "scenarios"

_AT_ONCE: Final = 3
_SECONDS: Final = 600  # one takes four on an idle machine
_OWN: Final = "otel_callbacks."
_GROUP: Final = "opentelemetry_instrumentor"


class Ran(NamedTuple):
    """One app that has ended.

    Args:
        status: Its exit status.
        errors: What it wrote to standard error, warnings and log lines too.
        received: What it has exported.
    """

    status: int
    errors: str
    received: Received


def answers(provider: FakeOpenAI) -> None:
    """Tell the provider what the scenarios ask.

    Args:
        provider: Answers all of them, however many ask at once.
    """
    for question, call in (
        ("price of an iris", ToolCall("price_of", {"flower": "iris"})),
        ("count the peonies", ToolCall("stock_of", {"flower": "peonies"})),
    ):
        provider.when(question, _calling_once(call))
    provider.when("bouquet into JSON", Reply('{"flower": "lily", "stems": 5}'))


def run(
    scripts: Iterable[tuple[str, Path]],
    python: Path | None = None,
    **environment: str,
) -> dict[str, Ran]:
    """Run scripts that know nothing of us under ``opentelemetry-instrument``.

    Args:
        scripts: Name and path of each, a few of them at once.
        python: The interpreter of another environment than this one.
        environment: Further variables.

    Returns:
        What each did and exported, by its name.
    """
    with (
        FakeOpenAI() as provider,
        Receiver() as receiver,
        ThreadPoolExecutor(_AT_ONCE) as threads,
    ):
        answers(provider)
        ends = {
            name: threads.submit(
                _run_one,
                python or Path(sys.executable),
                path,
                _environment(name, provider, receiver) | environment,
            )
            for name, path in scripts
        }
        done = {name: end.result() for name, end in ends.items()}
        return {
            name: Ran(end.returncode, end.stderr, receiver.received(name))
            for name, end in done.items()
        }


def _calling_once(call: ToolCall) -> Callable[[Asked], Reply]:
    """Return an answer that asks for a tool, and the usual one after its result."""
    return lambda request: Reply() if request.after_tool else Reply(tool_calls=(call,))


def _run_one(
    python: Path, path: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run one script to its end."""
    command = python.with_name("opentelemetry-instrument")
    return subprocess.run(  # noqa: S603 -- our own script
        [command, python, path],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )


def _environment(name: str, provider: FakeOpenAI, receiver: Receiver) -> dict[str, str]:
    """Return the variables of an app: where to send, whom to ask, content on."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OTEL_", "OPENAI_", "LANGCHAIN_", "LANGSMITH_", "COV_"))
    }
    return {
        **kept,
        "OPENAI_BASE_URL": provider.base_url,
        "OPENAI_API_KEY": "sk-none",
        "OTEL_SERVICE_NAME": name,
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
        # What others instrument in this environment is not ours to answer for.
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(
            point.name
            for point in entry_points(group=_GROUP)
            if not point.value.startswith(_OWN)
        ),
        "OTEL_CALLBACKS_EXTENSIONS": "false",
        "OTEL_CALLBACKS_STRICT": "true",
    }
