"""Content, keys and people's names do not pass the Collector; numbers do."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from answers import trace
from opentelemetry.trace import StatusCode
from processes import eventually
from stack import Stack
from telemetry import chat, sending, sending_logs, trace_id

if TYPE_CHECKING:
    from pathlib import Path

    from answers import Span as Stored
    from opentelemetry.trace import Span, Tracer

pytestmark = pytest.mark.e2e

_SECRET = "the bride's address is 4 Rose Lane"
_KEYS = {
    "openai": "sk-proj-abcdefghijklmnopqrstuvwx",
    "anthropic": "sk-ant-api03-abcdefghijklmnopqrst",
    "google": "AIzaSyA1234567890abcdefghijklmnopqrstu",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "bearer": "Bearer abcdefghijklmnop123456",
    "langsmith": "lsv2_pt_abcdefghijklmnopqrstuvwx",
}
_CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text",
    "gen_ai.prompt.variable.name",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content",
    "llm.input_messages.0.message.content",
    "traceloop.entity.input",
    "input.value",
    "output.value",
    "exception.message",
    "http.request.header.cookie",
)


def _plant(tracer: Tracer) -> Span:
    """Send a span with a secret in every place."""
    span = chat(
        tracer,
        **dict.fromkeys(_CONTENT, _SECRET),
        **{f"app.key.{name}": f"calling with {key}" for name, key in _KEYS.items()},
        **{
            "user.id": "rosa",
            "enduser.id": 4711,
            "user.email": "rosa@example.com",
            "gen_ai.prompt.name": "greeting",
            "gen_ai.request.stop_sequences": ["\n", "END"],
            "http.request.header.authorization": "Basic cm9zYQ==",
            "url.full": "https://llm.example/v1?key=s3cr3t-of-the-shop&alt=sse",
        },
    )
    span.add_event("gen_ai.content.prompt", dict.fromkeys(_CONTENT[:6], _SECRET))
    span.add_event(
        "exception",
        {
            "exception.type": "BadRequestError",
            "exception.message": _SECRET,
            "exception.stacktrace": f"Traceback: {_SECRET}",
        },
    )
    span.set_status(StatusCode.ERROR, f"BadRequestError: {_SECRET}")
    span.end()
    return span


def _stored(stack: Stack, service: str) -> Stored:
    """Send the planted span and return it from Jaeger."""
    with sending(stack.address("grpc"), service) as tracer:
        sent = _plant(tracer)
    return eventually(
        lambda: trace(stack.url("jaeger_http"), trace_id(sent)), "the span in Jaeger"
    )[0]


def test_nothing_planted_comes_out(stack: Stack) -> None:
    """Jaeger stores no secret, no key and no name."""
    stored = _stored(stack, "planted")
    everything = repr(stored)
    for secret in (_SECRET, "rosa", "4711", "cm9zYQ", "s3cr3t", *_KEYS.values()):
        assert secret not in everything
    assert not set(_CONTENT) & set(stored.attributes)


def test_what_is_no_content_stays(stack: Stack) -> None:
    """Token counts stay numbers, names stay names, an error keeps its type."""
    stored = _stored(stack, "kept")
    expected = {
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 34,
        "gen_ai.request.model": "gpt-4.1",
        "gen_ai.prompt.name": "greeting",
        "gen_ai.request.stop_sequences": '["\\n","END"]',  # Badger stores lists as text
        "app.key.openai": "calling with ****",
        "url.full": "https://llm.example/v1****&alt=sse",
    }
    assert {name: stored.attributes[name] for name in expected} == expected
    assert (stored.failed, stored.message) == (True, "BadRequestError")
    assert stored.events["exception"] == {"exception.type": "BadRequestError"}


def test_users_are_hashed(stack: Stack) -> None:
    """A user id is hashed to one value, also if it is a number."""
    stored = _stored(stack, "hashed")
    assert stored.attributes["user.id"] == hashlib.sha256(b"rosa").hexdigest()
    assert stored.attributes["enduser.id"] == hashlib.sha256(b"4711").hexdigest()
    assert "user.email" not in stored.attributes


def test_switch_lets_content_pass_but_no_keys(tmp_path: Path) -> None:
    """COLLECTOR_CONTENT=pass lets content through; keys stay masked."""
    stack = Stack(tmp_path, COLLECTOR_CONTENT="pass", COLLECTOR_USER_SALT="salt")
    try:
        stack.jaeger.start()
        stack.collector.start()
        stored = _stored(stack, "open")
    finally:
        stack.stop()
    assert stored.attributes["gen_ai.input.messages"] == _SECRET
    assert stored.events["exception"]["exception.message"] == _SECRET
    assert stored.message == f"BadRequestError: {_SECRET}"
    for key in _KEYS.values():
        assert key not in repr(stored)
    salted = hashlib.sha256(b"saltrosa").hexdigest()
    assert stored.attributes["user.id"] == salted


def test_log_lines_hold_ids_and_no_content(stack: Stack) -> None:
    """Each line has its trace and span ids; GenAI events have no content."""
    with (
        sending(stack.address("grpc"), "logging") as tracer,
        sending_logs(stack.address("grpc"), "logging") as logger,
    ):
        spans = [chat(tracer) for _ in range(3)]
        for span in spans:
            logger(span, "ordered three roses", order="42", key=_KEYS["openai"])
            logger(
                span,
                {"content": _SECRET},
                event="gen_ai.client.inference.operation.details",
                **{"gen_ai.input.messages": _SECRET, "gen_ai.usage.input_tokens": 12},
            )
            span.end()
    file = stack.storage / "logs/otlp.jsonl"

    def records() -> list[dict[str, object]]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert all(len(line["resourceLogs"]) == 1 for line in lines)
        found = [
            record
            for line in lines
            for record in line["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        ]
        assert len(found) == len(lines), "one record a line"
        wanted = {trace_id(span) for span in spans}
        return [record for record in found if record["traceId"] in wanted]

    found = eventually(
        lambda: file.exists() and len(records()) == 6 and records(), "six lines"
    )
    assert found
    assert {(record["traceId"], record["spanId"]) for record in found} == {
        (trace_id(span), format(span.get_span_context().span_id, "016x"))
        for span in spans
    }
    text = file.read_text()
    assert "ordered three roses" in text
    assert "gen_ai.usage.input_tokens" in text
    assert _SECRET not in text
    assert _KEYS["openai"] not in text
