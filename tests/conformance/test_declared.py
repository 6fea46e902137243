"""How coverage is counted, and what its table says."""

from __future__ import annotations

from measure import crafted
from measure.declared import carried, declared_count, table
from measure.registry import registry
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CHAT = "gen_ai.inference.client"
USAGE = "gen_ai.client.token.usage"
EVENT = "gen_ai.client.inference.operation.details"
EXCEPTION = "gen_ai.client.operation.exception"


def test_declared_attributes_are_counted_once_for_all_spans_of_a_type() -> None:
    """Two spans of one type are counted together, each name once."""
    both = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    one = crafted.span("chat m", both)
    other = crafted.span("chat m", {**both, "gen_ai.request.seed": 1})
    found = carried(registry(), crafted.received(one, other))
    assert found == {CHAT: frozenset({*both, "gen_ai.request.seed"})}


def test_refinements_templates_and_wrong_types_do_not_count() -> None:
    """A provider's own, a template's instance and a wrong type add nothing."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "openai.api.type": "responses",
        "gen_ai.prompt.variable.flower": "lily",
        "gen_ai.request.seed": "1",
    }
    found = carried(registry(), crafted.received(crafted.span("chat", attributes)))
    assert found == {CHAT: frozenset({"gen_ai.operation.name"})}


def test_an_agent_is_counted_by_its_kind() -> None:
    """An agent elsewhere is another span type than one in this process."""
    attributes = {"gen_ai.operation.name": "invoke_agent"}
    spans = [
        crafted.span("invoke_agent", attributes, kind=kind)
        for kind in (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL)
    ]
    found = carried(registry(), crafted.received(*spans))
    assert set(found) == {"gen_ai.invoke_agent.client", "gen_ai.invoke_agent.internal"}


def test_a_chat_of_another_kind_is_still_a_chat() -> None:
    """Where one type is declared for an operation the kind does not matter."""
    attributes = {"gen_ai.operation.name": "chat"}
    one = crafted.span("chat", attributes, kind=Span.SPAN_KIND_INTERNAL)
    assert set(carried(registry(), crafted.received(one))) == {CHAT}


def test_metrics_and_events_are_counted_like_spans() -> None:
    """What points and records carry counts; unknown metrics and events do not."""
    point = {"gen_ai.operation.name": "chat", "server.port": "80", "team": "x"}
    found = carried(
        registry(),
        crafted.received(
            crafted.histogram(USAGE, "{token}", point),
            crafted.histogram("shop.sold", "1", point),
            crafted.record(EVENT, {"gen_ai.response.id": "1"}),
            crafted.record("shop.sold", {"gen_ai.response.id": "1"}),
            crafted.span("step", {}),
        ),
    )
    assert found == {
        EVENT: frozenset({"gen_ai.response.id"}),
        USAGE: frozenset({"gen_ai.operation.name"}),
    }


def test_what_is_declared_is_known_of_spans_metrics_and_events() -> None:
    """Templates are no attribute of their own."""
    counts = [declared_count(registry(), name) for name in (CHAT, USAGE, EXCEPTION)]
    assert counts == [36, 7, 3]


def test_the_table_has_present_and_required_attributes() -> None:
    """One line for each signal of each scenario; no floor where none is set."""
    names = frozenset({"gen_ai.operation.name"})
    text = table(registry(), {"one": {CHAT: names, USAGE: names}}, {"one": {CHAT: 14}})
    assert text.splitlines() == [
        "| scenario | signal | carried | declared | at least |",
        "| --- | --- | --- | --- | --- |",
        f"| one | `{CHAT}` | 1 | 36 | 14 |",
        f"| one | `{USAGE}` | 1 | 7 |  |",
    ]
