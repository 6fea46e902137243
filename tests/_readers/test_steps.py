"""What tools, retrievers and chains are started with, and a tool's own failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langchain_core.vectorstores import VectorStore

from otel_callbacks._readers.steps import (
    chain_request,
    retriever_request,
    tool_failed,
    tool_request,
)
from otel_callbacks._records import Failure, Request

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class _Starts(BaseCallbackHandler):
    """Reads each start as the handler does."""

    run_inline = True
    raise_error = True

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.ends: list[Failure | None] = []

    def on_tool_start(self, serialized: Any, _input_str: str, **kwargs: Any) -> None:
        """Read a tool's start."""
        self.requests.append(
            tool_request(
                serialized,
                kwargs["metadata"],
                kwargs["tags"],
                kwargs["name"],
                kwargs["tool_call_id"],
                kwargs["inputs"],
            )
        )

    def on_tool_end(self, output: Any, **_: Any) -> None:
        """Read a tool's end."""
        self.ends.append(tool_failed(output))

    def on_retriever_start(self, serialized: Any, _query: str, **kwargs: Any) -> None:
        """Read a retriever's start."""
        self.requests.append(
            retriever_request(
                serialized, kwargs["metadata"], kwargs["tags"], kwargs["name"]
            )
        )

    def on_chain_start(self, serialized: Any, _inputs: Any, **kwargs: Any) -> None:
        """Read a chain's start."""
        self.requests.append(
            chain_request(
                serialized, kwargs["metadata"], kwargs["tags"], kwargs["name"]
            )
        )


@tool
def water(plant: str) -> str:
    """Water a plant."""
    return f"{plant} has water"


@pytest.mark.recent
def test_a_tool_call_of_a_model() -> None:
    """Name, description and the model's id of the call; no argument."""
    starts = _Starts()
    call = {
        "name": "water",
        "args": {"plant": "rose"},
        "id": "call_1",
        "type": "tool_call",
    }
    water.invoke(
        call,
        config={
            "callbacks": [starts],
            "metadata": {"lc_agent_name": "gardener", "thread_id": "t1"},
            "tags": ["shop"],
            "run_name": "morning round",
        },
    )
    (request,) = starts.requests
    assert request == Request(
        "execute_tool",
        "water",
        attributes={
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "water",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.description": "Water a plant.",
            "gen_ai.tool.call.id": "call_1",
            "gen_ai.agent.name": "gardener",
            "gen_ai.conversation.id": "t1",
            "otel_callbacks.tags": ("shop",),
        },
    )
    assert starts.ends == [None]


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
    serialized: object, name: object, expected: str
) -> None:
    """The run's name is next, then the class."""
    request = tool_request(serialized, None, None, name, None, None)
    assert request.target == expected
    assert request.attributes == {
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
def test_a_retriever_of_a_vector_store(run_name: str | None, source: str) -> None:
    """The store says more than the class of its retriever, the application most."""
    starts = _Starts()
    documents = (
        _Almanac()
        .as_retriever(search_kwargs={"k": 2})
        .invoke(
            "roses",
            config={
                "callbacks": [starts],
                "metadata": {"user_id": "u1"},
                "run_name": run_name,
            },
        )
    )
    assert len(documents) == 2
    assert starts.requests == [
        Request(
            "retrieval",
            source,
            attributes={
                "gen_ai.operation.name": "retrieval",
                "gen_ai.data_source.id": source,
                "user.id": "u1",
                "otel_callbacks.tags": ("_Almanac",),
            },
        )
    ]


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
    serialized: object, metadata: object, name: object, source: str, top_k: int | None
) -> None:
    """What is not said is not there."""
    request = retriever_request(serialized, metadata, None, name)
    assert request.target == source
    assert request.attributes.get("gen_ai.data_source.id", "") == source
    assert request.attributes.get("gen_ai.retrieval.top_k") == top_k


def test_a_chain_is_named_by_its_run() -> None:
    """It has no operation of the conventions."""
    starts = _Starts()
    chain = RunnableLambda(str.upper, name="shout") | RunnableLambda(str.strip)
    chain.invoke("rose", config={"callbacks": [starts], "run_name": "flower shop"})
    assert [(each.operation, each.target) for each in starts.requests] == [
        ("", "flower shop"),
        ("", "shout"),
        ("", "strip"),
    ]
    assert [dict(each.attributes) for each in starts.requests] == [{}] * 3


@pytest.mark.recent
def test_a_handled_failure_of_a_tool() -> None:
    """``handle_tool_error`` makes a message of the exception."""

    @tool
    def prune(plant: str) -> str:
        """Prune a plant."""
        message = f"no shears for {plant}"
        raise ToolException(message)

    starts = _Starts()
    prune.handle_tool_error = True
    call = {"name": "prune", "args": {"plant": "a"}, "id": "1", "type": "tool_call"}
    prune.invoke(call, config={"callbacks": [starts]})
    assert starts.ends == [Failure("error", "tool_error", "other")]


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
def test_anything_else_is_no_failure(output: object) -> None:
    """An application's own object may have a status, too."""
    assert tool_failed(output) is None


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
        ([Command({"messages": [WATERED]}), Command({"messages": [FAILED]})], True),
        (Command({"messages": [WATERED]}), False),
        (Command(None), False),
        ([[[[[[FAILED]]]]]], False),
        ({"messages": [FAILED]}, False),
        ([WATERED, "error", 1, None], False),
    ],
)
def test_failure_within_a_result(output: object, expected: bool) -> None:  # noqa: FBT001
    """A tool that says so within a list, a tuple or a command has failed."""
    assert (tool_failed(output) is not None) is expected


ODD = st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=2)
PAYLOADS = ODD | st.dictionaries(
    st.sampled_from(["name", "id", "kwargs", "description", "thread_id", "k"])
    | ODD.map(str),
    ODD | st.dictionaries(st.just("search_kwargs"), ODD, max_size=1),
    max_size=4,
)


@given(PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS)
def test_any_payload_gives_requests(
    serialized: object, metadata: object, tags: object, name: object
) -> None:
    """What a run starts with is never a reason to lose it."""
    for request in (
        tool_request(serialized, metadata, tags, name, name, serialized),
        retriever_request(serialized, metadata, tags, name),
        chain_request(serialized, metadata, tags, name),
    ):
        assert request.target.encode() or request.target == ""
        assert all(
            key and value is not None for key, value in request.attributes.items()
        )
