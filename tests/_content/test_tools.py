"""Tools' definitions, arguments and results, and documents, without other values."""

from __future__ import annotations

from collections import UserDict
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.types import Command
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Content

ARGUMENTS = "gen_ai.tool.call.arguments"
DEFINITIONS = "gen_ai.tool.definitions"
DOCUMENTS = "gen_ai.retrieval.documents"
RESULT = "gen_ai.tool.call.result"
SCHEMA = {"type": "object", "properties": {"of": {"type": "string"}}}
PRICE = {
    "type": "function",
    "name": "price",
    "description": "Price of a flower.",
    "parameters": SCHEMA,
}
ABOUT = {"name": "price", "description": "Price of a flower."}


class Schema(BaseModel):
    """A JSON schema as an object."""

    type: str = "object"
    properties: dict[str, Any] = {}
    required: list[str] | None = None


class Function(BaseModel):
    """A function as an object."""

    name: str = "price"
    description: str = "Price of a flower."
    parameters: dict[str, Any] | Schema


class Tool(BaseModel):
    """A tool as an object."""

    type: str = "function"
    function: Function


class Group(BaseModel):
    """Google's tools as an object."""

    function_declarations: list[Function] | None = None
    google_search: dict[str, Any] | None = None


@tool("price")
def price(of: str) -> str:
    """Price of a flower."""
    return of


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {
                "tools": [
                    {"type": "function", "function": {**ABOUT, "parameters": SCHEMA}}
                ]
            },
            [PRICE],
        ),
        ({"tools": [PRICE]}, [PRICE]),
        # Objects instead of dictionaries, as Cohere's package binds them.
        ({"tools": [Tool(function=Function(parameters=SCHEMA))]}, [PRICE]),
        (
            {"tools": [Function(parameters=Schema(properties=SCHEMA["properties"]))]},
            [PRICE],
        ),
        (
            {"tools": [Group(function_declarations=[Function(parameters=SCHEMA)])]},
            [PRICE],
        ),
        (
            {"tools": [Group(google_search={})]},
            [{"type": "google_search", "name": "google_search"}],
        ),
        ({"tools": [price]}, [{**ABOUT, "type": "function"}]),
        ({"functions": [{**ABOUT, "parameters": SCHEMA}]}, [PRICE]),
        ({"tools": [{**ABOUT, "input_schema": SCHEMA}]}, [PRICE]),
        ({"tools": [{**ABOUT, "type": "custom", "input_schema": SCHEMA}]}, [PRICE]),
        (
            {"tools": [{"function_declarations": [{**ABOUT, "parameters": SCHEMA}]}]},
            [PRICE],
        ),
        (
            {
                "toolConfig": {
                    "tools": [{"toolSpec": {**ABOUT, "inputSchema": {"json": SCHEMA}}}]
                }
            },
            [PRICE],
        ),
        (
            {"tools": [{"type": "web_search_preview"}]},
            [{"type": "web_search_preview", "name": "web_search_preview"}],
        ),
        (
            {"tools": [{"google_search": {}}]},
            [{"type": "google_search", "name": "google_search"}],
        ),
        (
            {
                "tools": [
                    {
                        "type": "mcp",
                        "server_label": "shop",
                        "server_url": "https://rosa:secret@shop.example",
                        "headers": {"Authorization": "Bearer secret"},
                        "authorization": "secret",
                    }
                ]
            },
            [{"type": "mcp", "name": "shop"}],
        ),
        ({"tools": [{}, 3]}, []),
        ({"tools": "price", "api_key": "secret"}, []),
        (None, []),
    ],
)
def test_definitions_are_read(params: Any, expected: Any, content: Content) -> None:
    """Functions have name, description and schema, other tools only type and name."""
    assert content.call([], params=params).get(DEFINITIONS, []) == expected


class Unreadable(UserDict[str, Any]):
    """A dictionary that raises."""

    def items(self) -> Any:
        """Fail."""
        raise RuntimeError


@pytest.mark.parametrize(("before", "errors"), [(167, {"content": 1}), (168, {})])
def test_work_is_bounded(
    before: int, errors: dict[str, int], content_of: Callable[..., Content]
) -> None:
    """With a limit of 1,024 bytes, 170 tools and values in them are read."""
    content = content_of(content_limit=1_024, strict=False)
    last = {"name": "price", "parameters": {"a": Unreadable(of="rose")}}
    content.call([], params={"tools": [*[{"type": "a"}] * before, last]})
    assert content.errors == errors
    found = content.call([], params={"tools": [{"type": "a"}] * 400})
    dropped = found["otel_callbacks.content.dropped.tool.definitions"]
    assert len(found[DEFINITIONS]) + dropped == 170


MESSAGE = ToolMessage("3", tool_call_id="c1")


@pytest.mark.parametrize(
    ("text", "inputs", "expected"),
    [
        ("{'of': 'rose'}", {"of": "rose"}, {"of": "rose"}),
        ('{"of": "rose"}', None, {"of": "rose"}),
        ("rose", None, {"input": "rose"}),
        ("3", None, {"input": 3}),
    ],
)
def test_arguments_are_an_object(
    text: str, inputs: Any, expected: Any, content: Content
) -> None:
    """Arguments are those of the call, else its text, as an object."""
    assert content.tool(text=text, inputs=inputs)[ARGUMENTS] == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("rose", {"content": "rose"}),
        ('{"price": 3}', {"price": 3}),
        ("3", {"content": "3"}),
        ({"price": 3}, {"price": 3}),
        (3, {"content": 3}),
        (MESSAGE, {"content": "3"}),
        (
            ToolMessage([{"type": "text", "text": "3"}], tool_call_id="c1"),
            {"content": [{"type": "text", "content": "3"}]},
        ),
        (["a", 3], {"content": ["a", 3]}),
        (Command(update={"messages": [MESSAGE]}), {"content": "3"}),
        (Command(update={"flower": "rose"}), {"flower": "rose"}),
        (
            Command(update={"messages": [MESSAGE, MESSAGE]}),
            {"messages": [{"type": "tool", "content": "3"}] * 2},
        ),
    ],
    ids=str,
)
def test_a_result_is_an_object(output: Any, expected: Any, content: Content) -> None:
    """Any result of a tool becomes an object."""
    assert content.tool(output)[RESULT] == expected


def test_documents_are_read(content: Content) -> None:
    """Documents have id, score, text and the store's metadata."""
    found = [
        Document("Roses.", id="d1", metadata={"score": 0.5, "page": 2}),
        Document("Tulips."),
        "odd",
    ]
    assert content.retrieval(found)[DOCUMENTS] == [
        {
            "id": "d1",
            "score": 0.5,
            "content": "Roses.",
            "metadata": {"score": 0.5, "page": 2},
        },
        {"content": "Tulips."},
        {"content": None},
    ]


def test_many_documents_are_counted(content_of: Callable[..., Content]) -> None:
    """Beyond a thousand, documents are counted and not read."""
    content = content_of(content_limit=1_000_000)
    found = content.retrieval([Document("x")] * 1_200)
    assert len(found[DOCUMENTS]) == 1_000
    assert found["otel_callbacks.content.dropped.retrieval.documents"] == 200
    assert DOCUMENTS not in content.retrieval(3)
