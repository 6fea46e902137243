"""Each rule of the runner, with a message that breaks it and one that does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from measure import crafted
from measure.checker import findings, stricter_findings, wrong_buckets
from measure.registry import registry
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Gauge,
    Metric,
    NumberDataPoint,
    Sum,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

if TYPE_CHECKING:
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.id": "1",
    "gen_ai.response.model": "m-1",
    "gen_ai.usage.input_tokens": 1,
    "gen_ai.usage.output_tokens": 1,
    "server.address": "localhost",
}
TOKENS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.token.type": "input",
}
EVENT = "gen_ai.client.inference.operation.details"
USAGE = "gen_ai.client.token.usage"
MESSAGES = [{"role": "user", "parts": [{"type": "text", "content": "Hi."}]}]
ANSWERS = [{**MESSAGES[0], "finish_reason": "stop"}]
FAILED = Status.STATUS_CODE_ERROR


def rules_of(
    *parts: Span | Metric | LogRecord, resource: dict[str, Any] | None = None
) -> list[tuple[str, str]]:
    """Return the rules that these messages break, and what breaks them."""
    found = findings(registry(), crafted.received(*parts, resource=resource))
    return [(finding.rule, finding.detail) for finding in found]


def chat(**changed: Any) -> Span:
    """Make the span of a chat that breaks no rule, with attributes changed."""
    more = {name.replace("__", "."): value for name, value in changed.items()}
    return crafted.span("chat m", {**CHAT, **more})


def with_attribute(name: str, value: Any) -> Span:
    """Make the span of a chat that carries one attribute more."""
    return crafted.span("chat m", {**CHAT, name: value})


def without(name: str) -> Span:
    """Make the span of a chat that lacks an attribute."""
    kept = {key: value for key, value in CHAT.items() if key != name}
    return crafted.span("chat m", kept)


def test_a_right_span_metric_event_and_resource_pass() -> None:
    """What keeps to the conventions has no finding."""
    assert not rules_of(
        chat(),
        crafted.histogram(USAGE, "{token}", TOKENS),
        crafted.record(EVENT, {**CHAT}),
        crafted.record("", {}),
        resource={"service.name": "shop", "telemetry.sdk.name": "opentelemetry"},
    )


@pytest.mark.parametrize(
    "name", ["session.id", "user.id", "code.function.name", "gen_ai.system"]
)
def test_unknown_attributes_of_spans_are_found(name: str) -> None:
    """An attribute that the registry lacks is found, well known elsewhere or not."""
    assert rules_of(with_attribute(name, "x")) == [("missing_attribute", name)]


@pytest.mark.parametrize("name", ["cloud.region", "gen_ai.prompt.variable.flower"])
def test_attributes_that_are_ignored_or_of_a_template_pass(name: str) -> None:
    """Names that are not looked at, and those of a template, are no finding."""
    assert not rules_of(with_attribute(name, "x"))


def test_a_template_has_a_type_too() -> None:
    """The value of a template's instance has the template's type."""
    found = rules_of(with_attribute("gen_ai.prompt.variable.flower", 1))
    assert [rule for rule, _ in found] == ["type_mismatch"]


def test_unknown_attributes_of_span_events_are_found() -> None:
    """A span's event is looked at as the span is."""
    wrong = crafted.span("chat m", CHAT, event={"exception.escaped": "False"})
    right = crafted.span("chat m", CHAT, event={"exception.type": "ValueError"})
    assert rules_of(wrong) == [("missing_attribute", "exception.escaped")]
    assert not rules_of(right)


def test_unknown_attributes_of_points_logs_and_resources_are_found() -> None:
    """Points, records without a name and resources are looked at as spans are."""
    wrong = ("missing_attribute", "team")
    more = {**TOKENS, "team": "x"}
    assert rules_of(crafted.histogram(USAGE, "{token}", more)) == [wrong]
    assert rules_of(crafted.record("", {"team": "x"})) == [wrong]
    assert rules_of(crafted.record(EVENT, {**CHAT, "team": "x"})) == [wrong]
    assert rules_of(resource={"team": "x"}) == [wrong]
    assert not rules_of(resource={"service.instance.id": "x"})


def test_unknown_metrics_are_found() -> None:
    """A metric that the registry lacks is found, and its points are looked at."""
    found = rules_of(crafted.histogram("otel_callbacks.tokens", "1", {"team": "x"}))
    assert found == [
        ("missing_attribute", "team"),
        ("missing_metric", "otel_callbacks.tokens"),
    ]


def test_unknown_events_are_found() -> None:
    """A record whose event the registry lacks is found."""
    assert rules_of(crafted.record("shop.sold", {})) == [("missing_event", "shop.sold")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gen_ai.request.seed", 1.5),
        ("gen_ai.request.seed", "1"),
        ("gen_ai.request.temperature", "hot"),
        ("gen_ai.request.stream", 1),
        ("gen_ai.response.finish_reasons", "stop"),
        ("gen_ai.response.finish_reasons", [1]),
        ("gen_ai.provider.name", True),
        ("gen_ai.agent.name", 1),
    ],
)
def test_values_of_a_wrong_type_are_found(name: str, value: Any) -> None:
    """A value that does not have the attribute's type is found."""
    assert [rule for rule, _ in rules_of(with_attribute(name, value))] == [
        "type_mismatch"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gen_ai.request.temperature", 1),
        ("gen_ai.request.temperature", 0.5),
        ("gen_ai.provider.name", 7),
        ("gen_ai.provider.name", "a provider of its own"),
        ("gen_ai.response.finish_reasons", []),
        ("gen_ai.tool.call.result", {"anything": ["goes"]}),
        ("gen_ai.tool.call.result", 1.5),
    ],
)
def test_values_that_fit_pass(name: str, value: Any) -> None:
    """An int passes for a double, text and int for an enum, all for any."""
    assert not rules_of(with_attribute(name, value))


def test_types_hold_for_points_too() -> None:
    """A point's attribute of a wrong type is found."""
    found = rules_of(
        crafted.histogram(USAGE, "{token}", {**TOKENS, "server.port": "80"})
    )
    assert [rule for rule, _ in found] == ["type_mismatch"]


def test_wrong_units_are_found() -> None:
    """The unit of a known metric must be the one it is declared with."""
    assert rules_of(crafted.histogram(USAGE, "1", TOKENS)) == [
        ("unit_mismatch", "'1', not '{token}'")
    ]


@pytest.mark.parametrize(
    ("data", "instrument"),
    [
        ({"sum": Sum(data_points=[NumberDataPoint()])}, "counter"),
        ({"gauge": Gauge(data_points=[NumberDataPoint()])}, "gauge"),
        ({}, "none"),
    ],
)
def test_wrong_instruments_are_found(data: dict[str, Any], instrument: str) -> None:
    """A known metric must come from the instrument it is declared with."""
    name = "gen_ai.invoke_agent.tool_calls"
    metric = Metric(name=name, unit="{tool_call}", **data)
    detail = f"{instrument}, not histogram"
    assert rules_of(metric) == [("unexpected_instrument", detail)]


def test_missing_required_attributes_of_points_and_events_are_found() -> None:
    """A known metric's point and a known event carry what is required."""
    name = "gen_ai.operation.name"
    fewer = {key: value for key, value in TOKENS.items() if key != name}
    lacking = [("required_attribute_not_present", name)]
    assert rules_of(crafted.histogram(USAGE, "{token}", fewer)) == lacking
    record = crafted.record(EVENT, {"gen_ai.provider.name": "openai"})
    assert rules_of(record) == lacking


def test_a_span_may_lack_what_is_required_but_not_expected() -> None:
    """Of a span only what the policies expect is asked for."""
    plan = crafted.span("fetch_response", {"gen_ai.operation.name": "fetch_response"})
    assert not rules_of(plan)


def test_deprecated_names_are_found() -> None:
    """Attributes, metrics and events that are marked as deprecated are found."""
    marked = registry()._replace(
        deprecated=frozenset({"gen_ai.response.id", USAGE, EVENT})
    )
    parts = (
        chat(),
        crafted.histogram(USAGE, "{token}", TOKENS),
        crafted.record(EVENT, {"gen_ai.operation.name": "chat", **TOKENS}),
    )
    found = findings(marked, crafted.received(*parts))
    names = [one.detail for one in found if one.rule == "deprecated"]
    assert sorted(names) == sorted(["gen_ai.response.id", USAGE, EVENT])
    assert not [rule for rule, _ in rules_of(*parts) if rule == "deprecated"]


@pytest.mark.parametrize(
    ("name", "right"), [("chat", False), ("chat m", True), ("ChatOpenAI", False)]
)
def test_span_names_are_operation_and_key(name: str, right: bool) -> None:  # noqa: FBT001 -- a test's argument
    """A span whose key attribute is set is named after it."""
    found = rules_of(crafted.span(name, CHAT))
    assert found == (
        [] if right else [("genai_span_name_format", "should be 'chat m'")]
    )


def test_span_names_without_a_key_are_the_operation() -> None:
    """A span without its key attribute has the operation's name alone."""
    attributes = {"gen_ai.operation.name": "invoke_workflow"}
    internal = Span.SPAN_KIND_INTERNAL
    assert not rules_of(crafted.span("invoke_workflow", attributes, kind=internal))
    assert rules_of(crafted.span("invoke_workflow x", attributes, kind=internal)) == [
        ("genai_span_name_format", "should be 'invoke_workflow'")
    ]


@pytest.mark.parametrize(
    ("operation", "kind", "names"),
    [
        (operation, one.kind, one.attributes)
        for one in registry().expected
        for operation in sorted(one.operations)
    ],
)
def test_expected_attributes_are_required(
    operation: str, kind: str, names: tuple[str, ...]
) -> None:
    """Each attribute that is expected of an operation is missed where it is not."""
    kinds = {"client": Span.SPAN_KIND_CLIENT, "internal": Span.SPAN_KIND_INTERNAL}
    bare = crafted.span(
        operation,
        {"gen_ai.operation.name": operation},
        kind=kinds.get(kind, Span.SPAN_KIND_CLIENT),
    )
    assert {
        detail
        for rule, detail in rules_of(bare)
        if rule == "genai_expected_attribute_missing"
    } == set(names) - {"gen_ai.operation.name"}


def test_expectations_of_one_kind_do_not_hold_for_another() -> None:
    """An agent of this process needs no server, one elsewhere does."""
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 1,
        "gen_ai.usage.output_tokens": 1,
    }
    inside = crafted.span("invoke_agent", attributes, kind=Span.SPAN_KIND_INTERNAL)
    outside = crafted.span("invoke_agent", attributes, kind=Span.SPAN_KIND_CLIENT)
    assert not rules_of(inside)
    assert [detail for _, detail in rules_of(outside)] == [
        "gen_ai.provider.name",
        "server.address",
    ]


def test_a_failed_span_is_expected_to_carry_the_same() -> None:
    """A chat that failed before its response lacks five attributes."""
    carried = {
        name: value
        for name, value in CHAT.items()
        if not name.startswith(("gen_ai.response", "gen_ai.usage"))
    }
    failed = crafted.span("chat m", {**carried, "error.type": "X"}, status=FAILED)
    found = [rule for rule, _ in rules_of(failed)]
    assert found == ["genai_expected_attribute_missing"] * 5


def test_unknown_operations_are_found() -> None:
    """An operation outside of the enum is found."""
    unknown = crafted.span("sing", {"gen_ai.operation.name": "sing"})
    assert rules_of(unknown) == [("genai_operation_name_unknown", "sing")]


def test_a_span_without_an_operation_may_be_called_anything() -> None:
    """A step of the app's own has no rules but that its attributes are known."""
    assert not rules_of(crafted.span("my step", {}))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("gen_ai.input.messages", MESSAGES, [{"role": "user"}]),
        ("gen_ai.output.messages", ANSWERS, MESSAGES),
        ("gen_ai.system_instructions", MESSAGES[0]["parts"], {"type": "text"}),
        ("gen_ai.tool.definitions", [{"type": "function", "name": "f"}], [{}]),
        ("gen_ai.retrieval.documents", [{"id": "1", "score": 1.0}], {"id": 1}),
    ],
)
def test_content_must_fit_its_schema(name: str, right: Any, wrong: Any) -> None:
    """JSON text of content is held against the schema of its attribute."""
    assert not rules_of(with_attribute(name, json.dumps(right)))
    found = {rule for rule, _ in rules_of(with_attribute(name, json.dumps(wrong)))}
    assert found == {"genai_content_schema"}


def test_content_that_is_no_json_is_fatal() -> None:
    """A text that is no JSON would stop the runner."""
    found = rules_of(with_attribute("gen_ai.input.messages", "Hi."))
    assert found == [("fatal", "gen_ai.input.messages is no JSON")]


def test_structures_are_looked_at_by_us_alone() -> None:
    """Content as a structure passes the runner; the stricter look finds it."""
    wrong = crafted.record(EVENT, {**CHAT, "gen_ai.input.messages": [{"role": "user"}]})
    right = crafted.record(EVENT, {**CHAT, "gen_ai.input.messages": MESSAGES})
    assert not rules_of(wrong)
    assert not stricter_findings(registry(), crafted.received(right))
    found = stricter_findings(registry(), crafted.received(wrong))
    assert {one.rule for one in found} == {"genai_content_schema"}


def test_status_ok_is_the_apps_to_set() -> None:
    """A span of success has no status."""
    done = crafted.span("chat m", CHAT, status=Status.STATUS_CODE_OK)
    assert rules_of(done) == [("span_status_ok_set_by_instrumentation", "OK")]


def test_errors_and_their_type_go_together() -> None:
    """The status ERROR needs a type, and a type needs the status."""
    typed = {**CHAT, "error.type": "Timeout"}
    assert rules_of(crafted.span("chat m", CHAT, status=FAILED)) == [
        ("error_type_missing_on_error", "error.type")
    ]
    assert rules_of(crafted.span("chat m", typed)) == [
        ("error_type_without_error_status", "error.type")
    ]
    assert not rules_of(crafted.span("chat m", typed, status=FAILED))


def test_the_kind_of_a_chat_is_not_looked_at() -> None:
    """The rule for kinds never fires in this revision."""
    assert not rules_of(crafted.span("chat m", CHAT, kind=Span.SPAN_KIND_INTERNAL))


def test_one_finding_is_counted_once() -> None:
    """The same thing wrong on two spans is one finding."""
    assert len(rules_of(without("server.address"), without("server.address"))) == 1


def test_other_buckets_are_reported() -> None:
    """Buckets that are not those advised are told, those of other metrics not."""
    advised = registry().metrics[USAGE].buckets
    right = crafted.histogram(USAGE, "{token}", TOKENS, advised)
    wrong = crafted.histogram(USAGE, "{token}", TOKENS, (1.0, 2.0))
    other = crafted.histogram("shop.sold", "1", {}, (1.0,))
    assert not wrong_buckets(registry(), crafted.received(right, other))
    assert wrong_buckets(registry(), crafted.received(wrong)) == {USAGE: (1.0, 2.0)}  # type: ignore[comparison-overlap]
