"""Read tool definitions, tool arguments and results, and documents.

Of a call's parameters only the tool definitions are content: others may hold keys and
headers, and so may the definition of a tool on another server.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from otel_callbacks._content.jsonable import Work, parsed, plain
from otel_callbacks._content.parts import content_parts
from otel_callbacks._readers.values import fields, mapping, number, text

if TYPE_CHECKING:
    from collections.abc import Iterator


_SCORES: Final = ("score", "relevance_score", "similarity_score", "_score")
_DOCUMENTS_AT_MOST: Final = 1_000


def tool_arguments(input_str: object, inputs: object, work: Work) -> dict[str, Any]:
    """Read a tool's arguments as an object, which the conventions require."""
    found = inputs if isinstance(inputs, dict) else parsed(input_str)
    copied = plain(found, work)
    return copied if isinstance(copied, dict) else {"input": copied}


def tool_result(output: object, work: Work) -> dict[str, Any]:
    """Read a tool's result as an object, which the conventions require."""
    update = getattr(output, "update", None)
    if isinstance(update, dict) and not isinstance(output, dict):
        messages = update.get("messages")
        is_one = isinstance(messages, list | tuple) and len(messages) == 1
        output = messages[0] if is_one and messages else update
    if hasattr(output, "tool_call_id"):
        output = getattr(output, "content", None)
    if isinstance(output, str):
        found = parsed(output)
        output = found if isinstance(found, dict) else output
    elif isinstance(output, list) and any(
        isinstance(item, dict) and isinstance(item.get("type"), str) for item in output
    ):
        return {"content": content_parts(output, work)}
    copied = plain(output, work)
    return copied if isinstance(copied, dict) else {"content": copied}


def documents(found: object, work: Work) -> tuple[list[dict[str, Any]], int]:
    """Read a retriever's documents, and count those left out."""
    if not isinstance(found, list | tuple):
        return [], 0
    read = [_document(each, work) for each in islice(found, _DOCUMENTS_AT_MOST)]
    return read, len(found) - len(read)


def _document(document: object, work: Work) -> dict[str, Any]:
    """Read one document."""
    metadata = mapping(getattr(document, "metadata", None))
    read: dict[str, Any] = {}
    if identifier := text(getattr(document, "id", None)):
        read["id"] = identifier
    scores = (number(metadata.get(key)) for key in _SCORES)
    score = next((score for score in scores if score is not None), None)
    if score is not None:
        read["score"] = score
    read["content"] = plain(getattr(document, "page_content", None), work)
    if metadata:
        read["metadata"] = plain(metadata, work)
    return read


_SCHEMA_KEYS: Final = (
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "input_schema",
    "inputSchema",
)
_GROUPS: Final = ("function_declarations", "functionDeclarations", "tools")


def tool_definitions(_: object, params: object, work: Work) -> list[dict[str, Any]]:
    """Read the tool definitions in a call's parameters."""
    named = mapping(params)
    found = [_tools(named.get(key), work) for key in ("tools", "functions")]
    found.append(_tools(mapping(named.get("toolConfig")).get("tools"), work))
    return [definition for tools in found for definition in tools]


def _tools(tools: object, work: Work) -> Iterator[dict[str, Any]]:
    """Read a list of tools in any provider's shape."""
    if not isinstance(tools, list | tuple):
        return
    for tool in tools:
        if work.remaining <= 0:
            return
        work.remaining -= 1
        described = fields(tool)
        group = next(
            (key for key in _GROUPS if isinstance(described.get(key), list)), ""
        )
        if group:
            yield from _tools(described[group], work)
        elif described:
            yield _definition(described, work)


def _definition(tool: dict[object, object], work: Work) -> dict[str, Any]:
    """Read one tool; a tool that is not a function by its type and name only."""
    inner = fields(tool.get("function")) or mapping(tool.get("toolSpec")) or tool
    kind = text(tool.get("type"))
    name = text(inner.get("name"))
    if kind in ("", "custom") and name:
        kind = "function"
    if not kind:  # Google's built-in tools are named by their one key
        kind = next((key for key in tool if isinstance(key, str)), "unknown")
    definition: dict[str, Any] = {
        "type": kind,
        "name": name or text(tool.get("server_label")) or kind,
    }
    if isinstance(description := inner.get("description"), str):
        definition["description"] = str.__str__(description)
    for key in _SCHEMA_KEYS:
        if isinstance(inner.get(key), dict | BaseModel):
            schema = fields(inner[key])
            schema = mapping(schema.get("json")) or schema
            definition["parameters"] = plain(schema, work)
            break
    return definition
