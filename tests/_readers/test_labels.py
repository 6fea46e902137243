"""Values of chosen labels from metadata and tags, in real chains and graphs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import uuid4

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import StateGraph

from otel_callbacks.settings import Settings
from otel_callbacks.testing import Capture, FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = "otel_callbacks_operations_total"
CHOSEN = "team:2,langgraph_node,chain,tag.vip"
USAGE: Any = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


@pytest.fixture
def shop() -> Iterator[Capture]:
    """Return a handler whose spend series have labels."""
    with capture(Settings(strict=True, labels=CHOSEN)) as telemetry:
        yield telemetry


def config(shop: Capture, **metadata: Any) -> Any:
    """Return a request's config."""
    return {"callbacks": [shop.handler], "metadata": metadata}


def test_calls_in_a_chain_have_its_metadata_and_name(shop: Capture) -> None:
    """The model call inside inherits a chain's metadata."""
    model = FakeChatModel(usage=USAGE)
    chain: Any = RunnableLambda(lambda x: model.invoke(f"{x}")).with_config(
        run_name="bouquet"
    )
    chain.invoke("?", {**config(shop, team="roses"), "tags": ["vip"]})
    labels = {"team": "roses", "chain": "bouquet", "tag_vip": "true"}
    assert shop.value(OPERATIONS, gen_ai_operation_name="chat", **labels) == 1
    assert shop.value("otel_callbacks_tokens_total", **labels) == 10
    assert shop.value("otel_callbacks_tokens_total", langgraph_node="") == 10
    usage = [dict(labels) for name, labels in shop.samples if "token_usage" in name]
    assert usage
    assert all("team" not in labels for labels in usage)


def test_node_of_a_graph(shop: Capture) -> None:
    """LangGraph puts the node into the metadata."""

    class State(TypedDict):
        text: str

    graph: Any = StateGraph(State)
    model = FakeChatModel(usage=USAGE)
    graph.add_node("florist", lambda state: {"text": str(model.invoke(state["text"]))})
    graph.set_entry_point("florist")
    graph.set_finish_point("florist")
    graph.compile().invoke({"text": "?"}, config(shop))
    assert shop.value(OPERATIONS, langgraph_node="florist", chain="LangGraph") == 1


def test_each_request_of_a_batch_has_its_own(shop: Capture) -> None:
    """Metadata may differ from call to call of one model."""
    model = FakeChatModel(usage=USAGE)
    teams = [config(shop, team=team) for team in ("roses", "tulips", "roses")]
    model.batch(["a", "b", "c"], teams)
    asyncio.run(model.abatch(["a", "b", "c"], teams))
    assert shop.value(OPERATIONS, team="roses") == 4
    assert shop.value(OPERATIONS, team="tulips") == 2
    assert shop.value(OPERATIONS, chain="") == 6


def test_values_beyond_the_limit_are_other(shop: Capture) -> None:
    """A label's own limit applies, and values beyond it are counted."""
    for team in ("a", "b", "c", "d"):
        FakeChatModel(usage=USAGE).invoke("?", config(shop, team=team))
    assert shop.value(OPERATIONS, team="other") == 2
    overflowed = "otel_callbacks_labels_overflowed_total"
    assert shop.value(overflowed, label="team") == 2


def test_tools_have_labels_too(shop: Capture) -> None:
    """A tool's call is an operation like a model's."""

    @tool
    def price(flower: str) -> str:
        """Return a price."""
        return flower

    price.invoke({"flower": "rose"}, {**config(shop), "tags": ["team=roses"]})
    assert (
        shop.value(OPERATIONS, team="roses", gen_ai_operation_name="execute_tool") == 1
    )


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("roses", "roses"),
        ("花店", "花店"),
        ("\ud83c", "\ufffd"),
        ("x" * 500, "x" * 128),
        (7, "7"),
        (True, "true"),
        (None, "red"),
        (["a"], "red"),
        (1.5, "red"),
    ],
)
def test_values_are_bounded_text(value: object, read: str, shop: Capture) -> None:
    """If the metadata has no text, integer or boolean, the tags decide."""
    tags: Any = ["other:x", 3, "team: red"]
    report(shop, metadata={"team": value}, tags=tags)
    assert shop.value(OPERATIONS, team=read) == 1


def test_missing_value_is_empty(shop: Capture) -> None:
    """Neither key nor tag, no tags at all, a step that is no operation."""
    report(shop)
    assert shop.value(OPERATIONS, team="", tag_vip="", chain="") == 1
    RunnableLambda(str).invoke("?", config(shop, team="roses"))
    assert shop.value(OPERATIONS, team="roses") == 0


def report(shop: Capture, **about: Any) -> None:
    """Report a retriever's run, with any metadata and tags."""
    run_id = uuid4()
    shop.handler.on_retriever_start({}, "Roses?", run_id=run_id, **about)
    shop.handler.on_retriever_end([], run_id=run_id)
