"""Tools' definitions, arguments and results, and documents, without other values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.types import Command
from pydantic import BaseModel

from otel_callbacks._content.jsonable import Work
from otel_callbacks._content.tools import (
    documents,
    tool_arguments,
    tool_definitions,
    tool_result,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
def test_definitions_are_read(
    params: Any, expected: Any, check_schema: Callable[[str, Any], None]
) -> None:
    """Functions have name, description and schema, other tools only type and name."""
    found = tool_definitions(None, params, Work())
    assert found == expected
    check_schema("gen_ai.tool.definitions", found)


def test_work_is_bounded() -> None:
    """When the work is used up, no further tool is read."""
    params = {"tools": [{"type": "a"}] * 5}
    assert len(tool_definitions(None, params, Work(2))) == 2


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
def test_arguments_are_an_object(text: str, inputs: Any, expected: Any) -> None:
    """Arguments are those of the call, else its text, as an object."""
    assert tool_arguments(text, inputs, Work()) == expected


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
def test_a_result_is_an_object(output: Any, expected: Any) -> None:
    """Any result of a tool becomes an object."""
    assert tool_result(output, Work()) == expected


def test_documents_are_read() -> None:
    """Documents have id, score, text and the store's metadata."""
    found = [
        Document("Roses.", id="d1", metadata={"score": 0.5, "page": 2}),
        Document("Tulips."),
        "odd",
    ]
    assert documents(found, Work()) == (
        [
            {
                "id": "d1",
                "score": 0.5,
                "content": "Roses.",
                "metadata": {"score": 0.5, "page": 2},
            },
            {"content": "Tulips."},
            {"content": None},
        ],
        0,
    )


def test_many_documents_are_counted() -> None:
    """Beyond a thousand, documents are counted and not read."""
    read, unread = documents([Document("x")] * 1_200, Work())
    assert (len(read), unread) == (1_000, 200)
    assert documents(3, Work()) == ([], 0)
