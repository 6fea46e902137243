"""How many declared attributes each signal of each scenario must carry at least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAT: Final = "gen_ai.inference.client"
AGENT: Final = "gen_ai.invoke_agent.internal"
TOOL: Final = "gen_ai.execute_tool.internal"
WORKFLOW: Final = "gen_ai.invoke_workflow.internal"
EMBEDDINGS: Final = "gen_ai.embeddings.client"
EVENT: Final = "gen_ai.client.inference.operation.details"

_CALL: Final = {
    "gen_ai.client.operation.duration": 6,  # the seventh is for errors
    "gen_ai.client.token.usage": 7,
}
_STREAM: Final = {
    "gen_ai.client.operation.time_per_output_chunk": 6,
    "gen_ai.client.operation.time_to_first_chunk": 6,
}
_AGENT: Final = {
    "gen_ai.invoke_agent.duration": 2,
    "gen_ai.invoke_agent.inference_calls": 1,
    "gen_ai.invoke_agent.tool_calls": 1,
}
_WORKFLOW: Final = {WORKFLOW: 4, "gen_ai.workflow.duration": 1}
_TOOL: Final = {TOOL: 8, "gen_ai.execute_tool.duration": 3}


def _chat(count: int) -> dict[str, int]:
    """Return the floors of a model call; its event says what its span says."""
    return {CHAT: count, EVENT: count, **_CALL}


FLOORS: Final[Mapping[str, Mapping[str, int]]] = {
    "workflow": {**_WORKFLOW, **_chat(14)},
    "invoke_agent": {AGENT: 10, **_AGENT, **_chat(14)},
    "automatic_tool_calling": {AGENT: 11, **_AGENT, **_TOOL, **_chat(15)},
    "inference": _chat(19),
    "streaming": {**_chat(21), **_STREAM},
    "tool_calling": _chat(15),
    "structured_output": _chat(15),
    "multimodal": _chat(14),
    "embeddings": {EMBEDDINGS: 9, **_CALL},
    "graph": {**_WORKFLOW, **_chat(14)},
}
"""Scenario, then span type, metric or event."""
