"""What tools, retrievers and chains are started with, and a tool's own failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langchain_core.vectorstores import VectorStore
from langgraph import types
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command as GraphCommand

from otel_callbacks.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.embeddings import Embeddings
    from reporting import Reporter

    from otel_callbacks.testing import Capture, FakeOpenAI


@tool
def water(plant: str) -> str:
    """Water a plant."""
    return f"{plant} has water"


@pytest.mark.recent
def test_a_tool_call_of_a_model(telemetry: Capture) -> None:
    """Name, description and the model's id of the call; no argument."""
    call = {
        "name": "water",
        "args": {"plant": "rose"},
        "id": "call_1",
        "type": "tool_call",
    }
    water.invoke(
        call,
        config={
            "callbacks": [telemetry.handler],
            "metadata": {"lc_agent_name": "gardener", "thread_id": "t1"},
            "tags": ["shop"],
            "run_name": "morning round",
        },
    )
    span = telemetry.span("execute_tool water")
    assert span["status"] == "UNSET"
    assert span["attributes"] == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "water",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.description": "Water a plant.",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.agent.name": "gardener",
        "gen_ai.conversation.id": "t1",
        "otel_callbacks.tags": ("shop",),
    }


@pytest.mark.parametrize(
    ("serialized", "name", "expected"),
    [
        (None, "water", "water"),
        ({"id": ["shop", "Water"]}, None, "Water"),
        (None, None, ""),
        ({"name": 3}, ["x"], ""),
    ],
)
def test_a_tool_without_a_name_of_its_own(
    serialized: Any, name: Any, expected: str, reporter: Reporter
) -> None:
    """The run's name is next, then the class."""
    span = reporter.tool(serialized=serialized, name=name)
    assert span["name"] == f"execute_tool {expected}".strip()
    assert span["attributes"] == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": expected,
        "gen_ai.tool.type": "function",
    }


class _Almanac(VectorStore):
    """A store that knows one thing."""

    @classmethod
    def from_texts(
        cls, texts: list[str], embedding: Embeddings, metadatas: Any = None, **_: Any
    ) -> _Almanac:
        """Forget what it is given."""
        del texts, embedding, metadatas
        return cls()

    def similarity_search(self, query: str, k: int = 4, **_: Any) -> list[Document]:
        """Answer everything alike."""
        return [Document(f"{query} need water")] * k


@pytest.mark.parametrize(
    ("run_name", "source"), [(None, "_Almanac"), ("care guide", "care guide")]
)
def test_a_retriever_of_a_vector_store(
    run_name: str | None, source: str, telemetry: Capture
) -> None:
    """The store says more than the class of its retriever, the application most."""
    documents = (
        _Almanac()
        .as_retriever(search_kwargs={"k": 2})
        .invoke(
            "roses",
            config={
                "callbacks": [telemetry.handler],
                "metadata": {"user_id": "u1"},
                "run_name": run_name,
            },
        )
    )
    assert len(documents) == 2
    assert telemetry.span(f"retrieval {source}")["attributes"] == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": source,
        "user.id": "u1",
        "otel_callbacks.document_count": 2,
        "otel_callbacks.tags": ("_Almanac",),
    }


@pytest.mark.parametrize(
    ("serialized", "metadata", "name", "source", "top_k"),
    [
        (None, {"ls_vector_store_provider": "FAISS"}, None, "FAISS", None),
        (None, {"ls_retriever_name": "wiki"}, None, "wiki", None),
        ({"kwargs": {"search_kwargs": {"k": 4}}}, None, "docs", "docs", 4),
        ({"kwargs": {"top_k": 3}, "name": "docs"}, {}, None, "docs", 3),
        (None, {"ls_search_kwargs": {"k": 0}}, "docs", "docs", 0),
        ({"kwargs": {"k": "4"}}, {"k": -1}, "docs", "docs", None),
        (None, None, None, "", None),
    ],
)
def test_a_retrievers_source_and_number(
    serialized: Any,
    metadata: Any,
    name: Any,
    source: str,
    top_k: int | None,
    reporter: Reporter,
) -> None:
    """What is not reported is no attribute."""
    span = reporter.retrieval(serialized=serialized, metadata=metadata, name=name)
    assert span["name"] == f"retrieval {source}".strip()
    assert span["attributes"].get("gen_ai.data_source.id", "") == source
    assert span["attributes"].get("gen_ai.retrieval.top_k") == top_k


def test_a_step_is_named_by_its_run(telemetry: Capture) -> None:
    """It has no operation of the conventions."""
    chain = RunnableLambda(str.upper, name="shout") | RunnableLambda(str.strip)
    config: Any = {"callbacks": [telemetry.handler], "run_name": "flower shop"}
    chain.invoke("rose", config=config)
    assert telemetry.tree().splitlines() == [
        "invoke_workflow flower shop",
        "  shout",
        "  strip",
    ]
    assert [span["attributes"] for span in telemetry.spans[1:]] == [{}, {}]


@pytest.mark.recent
def test_a_handled_failure_of_a_tool(telemetry: Capture) -> None:
    """``handle_tool_error`` makes a message of the exception."""

    @tool
    def prune(plant: str) -> str:
        """Prune a plant."""
        message = f"no shears for {plant}"
        raise ToolException(message)

    prune.handle_tool_error = True
    call = {"name": "prune", "args": {"plant": "a"}, "id": "1", "type": "tool_call"}
    prune.invoke(call, config={"callbacks": [telemetry.handler]})
    span = telemetry.span("execute_tool prune")
    assert span["status"] == "ERROR"
    assert span["attributes"]["error.type"] == "tool_error"
    assert span["attributes"]["otel_callbacks.error_class"] == "other"


@pytest.mark.parametrize(
    "output",
    [
        None,
        "error",
        {"status": "error"},
        ToolMessage("done", tool_call_id="call_1"),
        type("Order", (), {"status": "error"})(),
    ],
)
def test_anything_else_is_no_failure(output: object, reporter: Reporter) -> None:
    """An application's own object may have a status, too."""
    assert reporter.tool(output)["status"] == "UNSET"


# The lowest LangGraph that is allowed has none.
OVERWRITE: Any = getattr(types, "Overwrite", list)
FAILED = ToolMessage("no water", tool_call_id="1", status="error")
WATERED = ToolMessage("watered", tool_call_id="2")


class Command:
    """As LangGraph's: what a tool changes in a graph's state."""

    def __init__(self, update: Any) -> None:
        self.update = update


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (FAILED, True),
        ([WATERED, FAILED], True),
        ((FAILED, {"artifact": 1}), True),
        (Command({"messages": [FAILED]}), True),
        (Command({"messages": [WATERED], "log": FAILED}), True),
        (Command([("messages", [FAILED])]), True),
        (
            [Command({"messages": [WATERED]}), Command({"messages": [FAILED]})],
            True,
        ),
        (Command({"messages": [WATERED]}), False),
        (Command(None), False),
        (Command({"sub": {"messages": [FAILED]}}), True),
        (Command(SimpleNamespace(messages=[FAILED])), True),
        (types.Command(update={"messages": OVERWRITE([FAILED])}), True),
        (types.Command(goto=[types.Send("bob", {"messages": [FAILED]})]), True),
        ([[[[[[FAILED]]]]]], True),
        ([[WATERED] * 300] * 300, False),
        ({"messages": [FAILED]}, False),
        ([WATERED, "error", 1, None], False),
    ],
)
def test_failure_within_a_result(
    output: object,
    expected: bool,  # noqa: FBT001
    reporter: Reporter,
) -> None:
    """A tool with an error within a list, a tuple or a command has failed."""
    assert (reporter.tool(output)["status"] == "ERROR") is expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (FAILED, True),
        ({"messages": [FAILED]}, True),
        (Command({"messages": [FAILED, WATERED]}), True),
        (Command({"messages": [WATERED]}), False),
        ({"messages": [ToolMessage("?", tool_call_id="3", status="error")]}, False),
        (ToolMessage("?", tool_call_id="3", status="error"), False),
    ],
)
def test_failure_of_the_call_itself(
    output: object,
    expected: bool,  # noqa: FBT001
    reporter: Reporter,
) -> None:
    """What failed in the history of an agent that a tool asks is no failure of it."""
    assert (reporter.tool(output, tool_call_id="1")["status"] == "ERROR") is expected


class Lazy:
    """As a row of a database that is read once it is looked at."""

    touched = 0

    def __getattr__(self, name: str) -> Any:
        Lazy.touched += 1
        raise AttributeError(name)


@pytest.mark.parametrize("make", [lambda x: x, lambda x: [x], lambda x: (x, {"a": x})])
def test_lazy_result_is_left_alone(make: Any, reporter: Reporter) -> None:
    """Telemetry reads no row that the app does not read."""
    assert reporter.tool(make(Lazy()))["status"] == "UNSET"
    assert Lazy.touched == 0


ODD = st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=2)
PAYLOADS = ODD | st.dictionaries(
    st.sampled_from(["name", "id", "kwargs", "description", "thread_id", "k"])
    | ODD.map(str),
    ODD | st.dictionaries(st.just("search_kwargs"), ODD, max_size=1),
    max_size=4,
)


def test_any_payload_gives_spans(reporter: Reporter) -> None:
    """What a run starts with is never a reason to lose it."""

    @given(PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS)
    def report(serialized: Any, metadata: Any, tags: Any, name: Any) -> None:
        about = {"serialized": serialized, "metadata": metadata, "tags": tags}
        for span in (
            reporter.tool(**about, name=name, tool_call_id=name),
            reporter.retrieval(**about, name=name),
            reporter.chain(**about, name=name),
        ):
            assert span["name"].encode()
            assert all(span["attributes"].keys())

    report()


@pytest.mark.parametrize("number", [0, 3])
def test_documents_are_counted(number: int, reporter: Reporter) -> None:
    """How many, and nothing of what is in them."""
    span = reporter.retrieval([Document("roses need water")] * number)
    assert span["attributes"] == {
        "gen_ai.operation.name": "retrieval",
        "otel_callbacks.document_count": number,
    }
    assert reporter.telemetry.value("otel_callbacks_usage_missing_total") == 0


@pytest.mark.parametrize("documents", [None, "roses", 3, {"a": 1}])
def test_anything_else_is_no_number(documents: object, reporter: Reporter) -> None:
    """A retriever never misses a usage."""
    span = reporter.retrieval(documents)
    assert span["attributes"] == {"gen_ai.operation.name": "retrieval"}
    assert reporter.telemetry.value("otel_callbacks_usage_missing_total") == 0


@tool
def price(flower: str) -> str:
    """Say what a flower costs."""
    return f"{flower}: 2 EUR"


ASKS = Reply(tool_calls=(ToolCall("price", {"flower": "rose"}),))


@pytest.mark.recent
@pytest.mark.parametrize("name", ["florist", None])
def test_agent_is_one_operation(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any], name: str | None
) -> None:
    """``create_agent``'s graph is an agent, with a name or without."""
    server.script(ASKS, Reply("Two."))
    named = {"name": name} if name else {}
    agent = create_agent(chat(callbacks=None), [price], **named)
    agent.invoke({"messages": [("user", "?")]}, {"callbacks": [telemetry.handler]})
    span = telemetry.spans[0]
    assert span["name"] == ("invoke_agent florist" if name else "invoke_agent")
    assert span["kind"] == "INTERNAL"
    assert span["attributes"].get("gen_ai.agent.name") == name
    assert span["attributes"]["otel_callbacks.calls"] == 2
    assert span["attributes"]["otel_callbacks.tool_calls"] == 1
    names = [one["name"] for one in telemetry.spans if one["parent"] == span["name"]]
    assert names == ["model", "tools", "model"]
    labels = {"gen_ai_agent_name": name or ""}
    duration = "gen_ai_invoke_agent_duration_seconds_count"
    assert telemetry.value(duration, **labels) == 1
    calls = "gen_ai_invoke_agent_inference_calls"
    assert telemetry.value(f"{calls}_sum", **labels) == 2
    assert telemetry.value(f"{calls}_count", **labels) == 1
    assert telemetry.value("gen_ai_invoke_agent_tool_calls_sum", **labels) == 1
    operations = "otel_callbacks_operations_total"
    assert telemetry.value(operations, gen_ai_operation_name="invoke_agent") == 1


@pytest.mark.recent
def test_agent_in_a_node_counts_its_own_calls(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """An agent inside a workflow is an agent; the graph around it a workflow."""
    server.script(ASKS, Reply("Two."))
    agent = create_agent(chat(callbacks=None), [price], name="florist")
    graph = StateGraph(dict)
    graph.add_node("ask", lambda _: agent.invoke({"messages": [("user", "?")]}))
    graph.add_node("pack", RunnableLambda(lambda _: {"done": True}, name="inner"))
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "pack")
    graph.add_edge("pack", END)
    graph.compile(name="shop").invoke({}, {"callbacks": [telemetry.handler]})
    assert telemetry.tree().splitlines()[:3] == [
        "invoke_workflow shop",
        "  ask",
        "    invoke_agent florist",
    ]
    assert telemetry.span("pack")["attributes"].get("gen_ai.operation.name") is None
    workflow = telemetry.span("invoke_workflow shop")["attributes"]
    assert workflow["gen_ai.workflow.name"] == "shop"
    assert workflow["otel_callbacks.calls"] == 2
    duration = "gen_ai_workflow_duration_seconds_count"
    assert telemetry.value(duration, gen_ai_workflow_name="shop") == 1
    calls = "gen_ai_invoke_agent_inference_calls_sum"
    assert telemetry.value(calls, gen_ai_agent_name="florist") == 2


AGENT = {"ls_integration": "langchain_create_agent"}
IN_NODE = {"langgraph_node": "ask"}
NAMED = {"lc_agent_name": "florist"}


@pytest.mark.parametrize(
    ("name", "about", "tags", "operation"),
    [
        ("LangGraph", AGENT, [], "invoke_agent"),
        ("florist", AGENT | NAMED | IN_NODE, ["seq:step:1"], "invoke_agent"),
        ("florist", AGENT | NAMED | IN_NODE, ["graph:step:1"], ""),
        ("deep", {"ls_integration": "deepagents"}, [], "invoke_agent"),
        ("inner", AGENT | NAMED | IN_NODE, [], ""),
        ("inner", AGENT | IN_NODE, [], ""),
        ("shop", {"ls_integration": "langgraph"}, None, "invoke_workflow"),
        ("inner", {"ls_integration": "langgraph"} | IN_NODE, [5], ""),
        ("agent", {}, [], ""),
        ("agent", {"ls_integration": ["langgraph"]}, [], ""),
    ],
)
def test_operation(
    name: str, about: Any, tags: Any, operation: str, reporter: Reporter
) -> None:
    """Neither a name nor a guess decides, but what made the graph."""
    span = reporter.chain(name=name, metadata=about, tags=tags, parent_run_id=uuid4())
    assert span["attributes"].get("gen_ai.operation.name", "") == operation


def test_an_agent_is_detected_by_its_metadata(reporter: Reporter) -> None:
    """LangChain has no place for its id, description and version; inside not known."""
    about: dict[Any, Any] = {
        **AGENT,
        **NAMED,
        "assistant_id": "a-1",
        "agent_id": "a-2",
        "agent_description": "sells",
        "agent_version": 2,
    }
    assert reporter.chain(name="florist", metadata=about)["attributes"] == {
        "gen_ai.agent.description": "sells",
        "gen_ai.agent.id": "a-1",
        "gen_ai.agent.name": "florist",
        "gen_ai.agent.version": "2",
        "gen_ai.operation.name": "invoke_agent",
    }
    inside = reporter.chain(name="florist", metadata=about | IN_NODE)["attributes"]
    assert inside == {
        "gen_ai.agent.name": "florist",
        "gen_ai.operation.name": "invoke_agent",
        "otel_callbacks.langgraph.node": "ask",
    }


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("flower advice", "invoke_workflow"),
        ("RunnableSequence", ""),
        ("RunnableParallel<a,b>", ""),
        ("", ""),
    ],
)
def test_an_outermost_chain_with_a_name(
    name: str, operation: str, reporter: Reporter
) -> None:
    """The app's own name makes a workflow, the name of LangChain's class does not."""
    attributes = reporter.chain("a", name=name)["attributes"]
    assert attributes.get("gen_ai.operation.name", "") == operation
    inner = reporter.chain("a", name=name, parent_run_id=uuid4())
    assert inner["attributes"] == {}


def test_which_chains_are_workflows(telemetry: Capture) -> None:
    """A chain of several with a name; no single step, no inner chain."""
    about: Any = {"callbacks": [telemetry.handler]}
    shout = RunnableLambda(str.upper, name="shout")
    inner = (shout | StrOutputParser()).with_config(run_name="inner")
    (inner | shout).with_config(run_name="whole").invoke("a", about)
    list((shout | shout).with_config(run_name="flow").stream("a", about))
    (shout | shout).invoke("a", about)
    shout.invoke("a", about)
    StrOutputParser().invoke("a", about)
    ChatPromptTemplate.from_template("a").invoke({}, about)
    roots = [span["name"] for span in telemetry.spans if span["parent"] is None]
    assert roots == [
        "invoke_workflow whole",
        "invoke_workflow flow",
        "RunnableSequence",
        "shout",
        "StrOutputParser",
        "ChatPromptTemplate",
    ]
    assert telemetry.span("inner")["attributes"] == {}


@pytest.mark.parametrize(
    ("serialized", "inputs", "more", "composed"),
    [
        (None, "a", {}, True),
        (None, {"input": ""}, {"run_type": None}, True),
        (None, "a", {"run_type": None}, False),
        (None, {"input": ""}, {"run_type": "parser"}, False),
        ({}, "a", {}, False),
    ],
)
def test_composed(
    serialized: Any, inputs: Any, more: Any, *, composed: bool, reporter: Reporter
) -> None:
    """LangChain says of a single step which kind of step it is."""
    span = reporter.chain(inputs, serialized=serialized, name="flow", **more)
    assert (span["name"] == "invoke_workflow flow") is composed


THREAD = {"ls_integration": "langgraph", "thread_id": 7}


def _resumes(reporter: Reporter, inputs: Any, about: Any = THREAD) -> bool:
    """Return whether a second run of a graph is linked to the first."""
    first = reporter.chain("a", name="shop", metadata=about)
    (*link,) = reporter.chain(inputs, name="shop", metadata=about)["links"]
    ids = {"trace_id": first["trace_id"], "span_id": first["span_id"]}
    assert link in ([], [ids])
    return bool(link)


@pytest.mark.parametrize(
    ("inputs", "resumed"),
    [
        (None, True),
        (GraphCommand(resume="yes"), True),
        (GraphCommand(goto="a"), False),
        (type("Command", (), {"resume": 1})(), False),
        ({"resume": 1}, False),
    ],
)
def test_resumed(inputs: Any, *, resumed: bool, reporter: Reporter) -> None:
    """By LangGraph's own command, or by no input."""
    assert _resumes(reporter, inputs) is resumed


def test_thread(reporter: Reporter) -> None:
    """The thread of the whole graph; a node's is not read."""
    assert _resumes(reporter, None)
    assert not _resumes(reporter, None, {"ls_integration": "langgraph"})
    agent = AGENT | {"lc_agent_name": "shop", "thread_id": 7}
    assert _resumes(reporter, None, agent)
    assert not _resumes(reporter, None, agent | IN_NODE)


@pytest.mark.recent
def test_an_agent_has_the_sums_of_its_calls(
    telemetry: Capture, server: FakeOpenAI, chat: Callable[..., Any]
) -> None:
    """An agent that is another one's tool is counted on both; usage is the sum."""
    inner: Any = create_agent(chat(callbacks=None, temperature=0.5), [], name="picker")

    @tool
    def pick(flower: str) -> str:
        """Pick a flower."""
        answer = inner.invoke({"messages": [("user", flower)]})
        return str(answer["messages"][-1].content)

    picks = Reply(tool_calls=(ToolCall("pick", {"flower": "rose"}),))
    server.script(picks, Reply("A rose."), Reply("Done."))
    outer: Any = create_agent(
        chat(callbacks=None, temperature=0.5), [pick], name="florist"
    )
    outer.invoke({"messages": [("user", "?")]}, {"callbacks": [telemetry.handler]})
    calls = [s["attributes"] for s in telemetry.spans if s["name"].startswith("chat")]
    assert len(calls) == 3
    for name, below in (("florist", calls), ("picker", calls[1:2])):
        attributes = telemetry.span(f"invoke_agent {name}")["attributes"]
        assert attributes["gen_ai.request.model"] == "gpt-4o-mini"
        assert attributes["gen_ai.request.temperature"] == 0.5
        assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
        for key in ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"):
            assert attributes[key] == sum(call[key] for call in below) > 0
        count = "gen_ai_invoke_agent_inference_calls_sum"
        assert telemetry.value(count, gen_ai_agent_name=name) == len(below)
    assert telemetry.span("invoke_agent picker")["parent"] == "execute_tool pick"
