"""Tools that the provider runs itself: their calls and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_callbacks._readers.values import text
from otel_callbacks.payloads.plain_json import parsed, plain

if TYPE_CHECKING:
    from otel_callbacks.payloads.plain_json import Work

SERVER_CALLS: Final = (
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_use",
    "mcp_tool_use",
    "mcp_call",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "computer_call",
    "executable_code",
)
"""Types of blocks that call one."""

SERVER_RESULTS: Final = (
    "server_tool_result",
    "code_execution_result",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "mcp_tool_result",
)
"""Types of blocks that hold what one gave back."""


def server_call(kind: str, block: dict[object, object], work: Work) -> dict[str, Any]:
    """Read a call of a tool that the provider ran itself.

    Args:
        kind: The block's type.
        block: The block.
        work: How much may be read.
    """
    part: dict[str, Any] = {"type": "server_tool_call"}
    if identifier := text(block.get("id")):
        part["id"] = identifier
    name = text(block.get("name")) or kind.removesuffix("_call")
    part["name"] = name
    keys = ("args", "input", "arguments", "action", "queries", "code")
    said = {key: plain(parsed(block[key]), work) for key in keys if block.get(key)}
    part["server_tool_call"] = {"type": name, **said}
    return part


def server_result(kind: str, block: dict[object, object], work: Work) -> dict[str, Any]:
    """Read what a tool of the provider's gave back.

    Args:
        kind: The block's type.
        block: The block.
        work: How much may be read.
    """
    part: dict[str, Any] = {"type": "server_tool_call_response"}
    if found := text(block.get("tool_use_id") or block.get("tool_call_id")):
        part["id"] = found
    keys = ("output", "content", "outcome", "status")
    said = {key: plain(block[key], work) for key in keys if key in block}
    part["server_tool_call_response"] = {"type": kind.removesuffix("_result"), **said}
    return part
