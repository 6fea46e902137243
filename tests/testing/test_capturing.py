from __future__ import annotations

import pytest
from opentelemetry import trace

from otel_callbacks import Settings
from otel_callbacks.testing import FakeChatModel, capture, spans_as_data, tree_of

_USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


def test_a_call_is_captured_as_a_span_and_as_samples() -> None:
    """The example of the docstring works."""
    with capture() as telemetry:
        FakeChatModel(usage=_USAGE, callbacks=[telemetry.handler]).invoke("Roses?")
        span = telemetry.span("chat fake-model")
        tokens = telemetry.value("otel_callbacks_tokens_total", outcome="ok")
        labels = {"gen_ai_token_type": "input"}
        inputs = telemetry.value("otel_callbacks_tokens_total", **labels)
        names = {name for name, _ in telemetry.samples}
    assert (span["kind"], span["status"], span["parent"]) == ("CLIENT", "UNSET", None)
    assert span["attributes"]["gen_ai.usage.output_tokens"] == 3
    assert span["end_ns"] >= span["start_ns"]
    assert (tokens, inputs) == (10, 7)
    assert "gen_ai_client_token_usage_count" in names


def test_spans_come_in_the_order_of_their_starts_with_their_parents() -> None:
    """The tree includes the app's own spans."""
    with capture() as telemetry:
        tracer = telemetry.tracer_provider.get_tracer("flower-shop")
        with tracer.start_as_current_span("request") as root:
            root.add_event("opened", {"door": "front"})
            FakeChatModel(callbacks=[telemetry.handler]).invoke("x")
        link = trace.Link(root.get_span_context())
        tracer.start_span("after", links=[link]).end()
        spans = telemetry.spans
        tree = telemetry.tree()
    assert [(span["name"], span["parent"]) for span in spans] == [
        ("request", None),
        ("chat fake-model", "request"),
        ("after", None),
    ]
    assert tree == "request\n  chat fake-model\nafter"
    assert spans[0]["events"] == [{"name": "opened", "attributes": {"door": "front"}}]
    assert spans[2]["links"] == [
        {"trace_id": spans[0]["trace_id"], "span_id": spans[0]["span_id"]}
    ]


def test_a_span_that_is_not_alone_is_not_found() -> None:
    """The message lists the spans."""
    with capture() as telemetry:
        llm = FakeChatModel(callbacks=[telemetry.handler])
        llm.batch(["x", "y"])
        with pytest.raises(LookupError, match=r"2 spans are named 'chat fake-model'"):
            telemetry.span("chat fake-model")
        telemetry.clear()
        with pytest.raises(LookupError, match="0 spans"):
            telemetry.span("chat fake-model")
        assert telemetry.value("otel_callbacks_operations_total") == 2


def test_captures_are_independent() -> None:
    """Each block has its own provider, exporter and registry."""
    with capture() as first, capture(Settings(extensions=False)) as second:
        FakeChatModel(callbacks=[second.handler]).invoke("x")
        assert first.spans == []
        assert len(second.spans) == 1
        assert not any(name.startswith("otel_") for name, _ in second.samples)
        assert first.handler.settings.strict
    assert not trace.get_current_span().get_span_context().is_valid


def test_spans_without_their_parents_are_roots() -> None:
    """An incomplete trace is shown."""
    with capture() as telemetry:
        tracer = telemetry.tracer_provider.get_tracer("flower-shop")
        with tracer.start_as_current_span("request"):
            tracer.start_span("inner").end()
        spans = telemetry.spans
    assert tree_of(spans[1:]) == "inner"
    assert spans_as_data([]) == []
