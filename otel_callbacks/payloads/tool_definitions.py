"""The tools that a model is told of, out of a call's parameters.

Nothing else of the parameters is read as content: they may hold keys and headers, and
so may the definition of a tool on another server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._readers.values import mapping, text
from otel_callbacks.payloads.plain_json import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_callbacks.payloads.plain_json import Work

_KEYS: Final = ("tools", "functions")
_FUNCTION: Final = "function"
_SCHEMA_KEYS: Final = (
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "input_schema",
    "inputSchema",
)
_GROUPS: Final = ("function_declarations", "functionDeclarations", "tools")


def tool_definitions(params: object, work: Work) -> list[dict[str, Any]]:
    """Read the definitions of tools.

    Args:
        params: LangChain's invocation parameters.
        work: How much may be read.

    Returns:
        The definitions, as the conventions' schema has them.
    """
    given = mapping(params)
    found = [_tools(given.get(key), work) for key in _KEYS]
    found.append(_tools(mapping(given.get("toolConfig")).get("tools"), work))
    return [definition for tools in found for definition in tools]


def _tools(tools: object, work: Work) -> Iterator[dict[str, Any]]:
    """Read a list of tools in any provider's form."""
    if not isinstance(tools, list | tuple):
        return
    for tool in tools:
        if work.left <= 0:
            return
        work.left -= 1
        said = mapping(tool)
        group = next((key for key in _GROUPS if isinstance(said.get(key), list)), "")
        if group:
            yield from _tools(said[group], work)
        elif said:
            yield _definition(said, work)


def _definition(tool: dict[object, object], work: Work) -> dict[str, Any]:
    """Read one tool; of those that are no functions only what names them."""
    inner = mapping(tool.get("function") or tool.get("toolSpec")) or tool
    kind = text(tool.get("type"))
    name = text(inner.get("name"))
    if kind in ("", "custom") and name:
        kind = _FUNCTION
    if not kind:  # Google's built-in tools are named by their one key
        kind = next((key for key in tool if isinstance(key, str)), "unknown")
    definition: dict[str, Any] = {
        "type": kind,
        "name": name or text(tool.get("server_label")) or kind,
    }
    if isinstance(description := inner.get("description"), str):
        definition["description"] = str.__str__(description)
    for key in _SCHEMA_KEYS:
        if isinstance(inner.get(key), dict):
            schema = mapping(inner[key])
            schema = mapping(schema.get("json")) or schema
            definition["parameters"] = plain(schema, work)
            break
    return definition
