"""What MLflow's and Phoenix's own APIs show of our spans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from florist import ANSWER, QUESTION
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from waiting import wait_until

if TYPE_CHECKING:
    from conftest import Server

TREE = [
    ("invoke_agent florist", None),
    ("chat gpt-4o-mini", "invoke_agent florist"),
    ("execute_tool price_of", "invoke_agent florist"),
    ("chat gpt-4o-mini", "invoke_agent florist"),
]
CAPTURED = pytest.mark.parametrize("content", [True, False])


def _tree(spans: list[dict[str, Any]], span_id: str) -> list[tuple[str, str | None]]:
    """Return each span's name with its parent's."""
    names = {_at(one, span_id): one["name"] for one in spans}
    parent = "parent_span_id" if span_id == "span_id" else "parent_id"
    return [(one["name"], names.get(one[parent])) for one in spans]


def _at(span: dict[str, Any], path: str) -> Any:
    """Return what is at a path of names."""
    found: Any = span
    for name in path.split("."):
        found = found[name]
    return found


@CAPTURED
def test_mlflow(mlflow: Server, content: bool) -> None:  # noqa: FBT001
    """Tree, kinds, tokens, cost and session; what was said, where it is captured."""
    made = mlflow.ask("/api/2.0/mlflow/experiments/create", {"name": f"e{content}"})
    experiment = made["experiment_id"]
    used = mlflow.sends("ID", experiment, content=content)
    place = {
        "type": "MLFLOW_EXPERIMENT",
        "mlflow_experiment": {"experiment_id": experiment},
    }
    (info,) = mlflow.ask("/api/3.0/mlflow/traces/search", {"locations": [place]})[
        "traces"
    ]
    assert info["state"] == "OK"
    metadata = info["trace_metadata"]
    assert metadata["mlflow.trace.session"] == "thread-7"
    assert json.loads(metadata["mlflow.trace.tokenUsage"]) == {
        "input_tokens": used.input,
        "output_tokens": used.output,
        "total_tokens": used.input + used.output,
    }
    cost = json.loads(metadata["mlflow.trace.cost"])["total_cost"]
    assert cost == pytest.approx((used.input * 0.15 + used.output * 0.6) / 1e6)
    path = f"/ajax-api/2.0/mlflow/get-trace-artifact?request_id={info['trace_id']}"
    spans = mlflow.ask(path)["spans"]
    assert sorted(_tree(spans, "span_id"), key=str) == sorted(TREE, key=str)
    read = [
        {name: json.loads(value) for name, value in one["attributes"].items()}
        for one in spans
    ]
    assert sorted(one["mlflow.spanType"] for one in read) == [
        "AGENT",
        "CHAT_MODEL",
        "CHAT_MODEL",
        "TOOL",
    ]
    inputs = [one.get("mlflow.spanInputs") for one in read]
    if content:
        assert QUESTION in info["request_preview"]
        assert "29 EUR" in info["response_preview"]
        assert all(inputs)
        assert {"flower": "rose"} in inputs
    else:
        assert not any(inputs)
        assert QUESTION not in json.dumps([info, spans])


_ASKED = """{ projects { edges { node {
  name traceCount tokenCountPrompt tokenCountTotal costSummary { total { cost } }
  spans(first: 9) { edges { node {
    name spanKind cumulativeTokenCountTotal input { value } output { value }
  } } }
} } } }"""


def _project(phoenix: Server, name: str) -> dict[str, Any]:
    """Return what Phoenix shows of a project, once it has taken in its spans."""
    found: dict[str, Any] = {}

    def is_there() -> bool:
        edges = phoenix.ask("/graphql", {"query": _ASKED})["data"]["projects"]["edges"]
        projects = {one["node"]["name"]: one["node"] for one in edges}
        found.update(projects.get(name, {}))
        return bool(found.get("spans", {}).get("edges"))

    wait_until(is_there)
    return found


@CAPTURED
def test_phoenix(phoenix: Server, content: bool) -> None:  # noqa: FBT001
    """Tree, kinds, tokens and cost, each once; what was said, where it is captured."""
    used = phoenix.sends("PROJECT", f"p{content}", content=content)
    wait_until(lambda: len(_project(phoenix, f"p{content}")["spans"]["edges"]) == 4)
    shown = _project(phoenix, f"p{content}")
    assert (shown["traceCount"], shown["tokenCountPrompt"]) == (1, used.input)
    assert shown["tokenCountTotal"] == used.input + used.output
    kinds = {
        (one["node"]["name"], one["node"]["spanKind"])
        for one in shown["spans"]["edges"]
    }
    assert kinds == {
        ("invoke_agent florist", "agent"),
        ("chat gpt-4o-mini", "llm"),
        ("execute_tool price_of", "tool"),
    }
    spans = phoenix.ask(f"/v1/projects/p{content}/spans")["data"]
    assert sorted(_tree(spans, "context.span_id"), key=str) == sorted(TREE, key=str)
    agent = next(one for one in spans if one["name"] == "invoke_agent florist")
    read = agent["attributes"]
    assert (read["llm.token_count.prompt"], read["llm.token_count.completion"]) == used
    assert read["session.id"] == "thread-7"
    message = "llm.{}_messages.{}.message.content"
    if content:
        assert read[message.format("input", 1)] == QUESTION
        assert read[message.format("output", 0)] == ANSWER
    else:
        assert QUESTION not in json.dumps(spans)
    # What it does not read: docs/backends.md has the Collector's transform for it.
    root = next(
        one["node"]
        for one in shown["spans"]["edges"]
        if one["node"]["spanKind"] == "agent"
    )
    assert (root["input"], root["output"]) == (None, None)


def test_phoenix_with_the_transform_of_the_page(phoenix: Server) -> None:
    """With what the Collector adds there, the list of traces shows what was said."""
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(
        f"{phoenix.url}/v1/traces", headers={"x-project-name": "transformed"}
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    expected = json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": QUESTION}]}]
    )
    with provider.get_tracer("t").start_as_current_span("invoke_agent florist") as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.input.messages": expected,
                "input.value": expected,
                "input.mime_type": "application/json",
            }
        )
    provider.shutdown()
    (edge,) = _project(phoenix, "transformed")["spans"]["edges"]
    assert edge["node"]["input"] == {"value": expected}
