"""Fixtures for all tests: fresh telemetry, never globals; a real server."""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import HealthCheck, settings
from opentelemetry import trace
from opentelemetry.instrumentation import httpx as instrumentation

from otel_callbacks.testing import Capture, FakeOpenAI, capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# One profile for all: neither a slow machine nor large inputs are a fault, and CI draws
# the same every time.
settings.register_profile(
    "otel-callbacks",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("otel-callbacks")

# A shell lets what it runs in the background ignore Ctrl-C, and so its children.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_SLOW = (
    "tests/chaos/",
    "tests/cli/demo/",
    "tests/conformance/",
    "tests/e2e/",
    "tests/examples/",
    "tests/_export/test_reasons.py",
)
_ATTACKS = (
    "tests/test_limits_hold.py",
    "tests/test_live_work.py",
    "tests/test_money_holds.py",
    "tests/test_nothing_hangs.py",
    "tests/test_spend_truth.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests; refuse names that xdist cannot run."""
    for item in items:
        if item.nodeid.startswith(_SLOW):
            item.add_marker(pytest.mark.slow)
        if item.nodeid.startswith(_ATTACKS):
            item.add_marker(pytest.mark.attack)
    named = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if named:
        message = f"a parameter is named by its address, give it ids=: {named}"
        raise pytest.UsageError(message)


def pytest_collection_finish() -> None:
    """Freeze imported objects, because a fixture collects garbage after each test."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Record skipped tests; CI prints them with the reasons at its end."""
    name = os.environ.get("OTEL_CALLBACKS_LEFT_OUT")
    if not name:
        return
    notes = Path(name)
    with notes.open("a", encoding="utf-8") as file:
        for report in terminalreporter.stats.get("skipped", ()):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            file.write(f"{reason} ({report.nodeid.partition('[')[0]})\n")
    if os.environ.get("OTEL_CALLBACKS_LAST_STAGE"):
        terminalreporter.section("left out, and why")
        for line in sorted(set(notes.read_text(encoding="utf-8").splitlines())):
            terminalreporter.line(line)
        times = notes.with_name(f"{notes.name}.times")
        if times.exists():
            terminalreporter.section("stages before this one")
            terminalreporter.write(times.read_text(encoding="utf-8"))


@pytest.fixture
def telemetry() -> Iterator[Capture]:
    """Return fresh telemetry; afterwards no run is open and no span is current."""
    with capture() as captured:
        yield captured
        gc.collect()
        still_open = captured.value("otel_callbacks_open_runs")
        current = trace.get_current_span().get_span_context()
    assert still_open == 0
    assert not current.is_valid


@pytest.fixture(scope="session")
def running_server() -> Iterator[FakeOpenAI]:
    """Return the fake provider of the whole test run."""
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def server(running_server: FakeOpenAI) -> FakeOpenAI:
    """Return the fake provider, reset for each test."""
    running_server.reset()
    return running_server


@pytest.fixture
def http_spans(telemetry: Capture) -> Iterator[None]:
    """Instrument the HTTP client, as an app does."""
    # OpenAI's client moved from httpx to httpx2 with its version 3.
    name = "HTTPX2ClientInstrumentor" if _uses_httpx2() else "HTTPXClientInstrumentor"
    instrumentor = getattr(instrumentation, name)()
    instrumentor.instrument(tracer_provider=telemetry.tracer_provider)
    yield
    instrumentor.uninstrument()


def _uses_httpx2() -> bool:
    """Return whether OpenAI's client uses httpx2."""
    import openai  # noqa: PLC0415 -- a second of imports

    return int(openai.__version__.split(".")[0]) >= 3


@pytest.fixture
def chat(telemetry: Capture, server: FakeOpenAI) -> Callable[..., Any]:
    """Return a function that makes a ``ChatOpenAI`` for the fake provider."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 -- a second of imports

    def make(**options: Any) -> ChatOpenAI:
        options.setdefault("callbacks", [telemetry.handler])
        options.setdefault("model", "gpt-4o-mini")
        options.setdefault("max_retries", 0)
        return ChatOpenAI(base_url=server.base_url, api_key="sk-test", **options)

    return make


@pytest.fixture
def text(telemetry: Capture, server: FakeOpenAI) -> Callable[..., Any]:
    """Return a function that makes an ``OpenAI`` text model for the fake provider."""
    from langchain_openai import OpenAI  # noqa: PLC0415 -- a second of imports

    def make(**options: Any) -> OpenAI:
        options.setdefault("callbacks", [telemetry.handler])
        options.setdefault("model", "gpt-3.5-turbo-instruct")
        options.setdefault("max_retries", 0)
        return OpenAI(base_url=server.base_url, api_key="sk-test", **options)

    return make


@pytest.fixture(scope="session")
def check_schema() -> Callable[[str, Any], None]:
    """Return a strict check of content against the conventions' schema.

    The schemas let any object with a type pass as a generic part; here a part of a
    type that they know must be what they say of that type.
    """
    folder = Path(__file__).parent / "conventions" / "schemas"

    @functools.cache
    def validators(name: str) -> tuple[Any, dict[str, Any]]:
        file = name.replace(".", "-").replace("_", "-") + ".json"
        schema = json.loads((folder / file).read_text())
        whole = jsonschema.Draft202012Validator(schema)
        defined = schema.get("$defs", {})
        parts = {
            part["properties"]["type"]["const"]: whole.evolve(
                schema={**part, "$defs": defined}
            )
            for part in defined.values()
            if "const" in part.get("properties", {}).get("type", {})
        }
        return whole, parts

    def check(name: str, value: Any) -> None:
        whole, parts = validators(name)
        whole.validate(value)
        for message in value if isinstance(value, list) else []:
            for part in message.get("parts", [message]):
                if part.get("type") in parts:
                    parts[part["type"]].validate(part)

    return check
