"""Definitions of tools in all providers' forms, without what else they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from otel_callbacks._content.jsonable import Work
from otel_callbacks._content.tools import tool_definitions

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
    """Functions have name, description and schema, other tools only a name."""
    found = tool_definitions(params, Work())
    assert found == expected
    check_schema("gen_ai.tool.definitions", found)


def test_work_is_bounded() -> None:
    """Beyond the work that is allowed no further tool is read."""
    params = {"tools": [{"type": "a"}] * 5}
    assert len(tool_definitions(params, Work(2))) == 2
