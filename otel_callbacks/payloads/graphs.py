"""What a graph is: an agent, a workflow, or a step of one.

LangGraph and LangChain's ``create_agent`` say by ``ls_integration`` in a graph's
metadata what made it. Its nodes inherit that, and are told by ``langgraph_node``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import semconv
from otel_callbacks.payloads.values import text

if TYPE_CHECKING:
    from otel_callbacks.operations import AttributeValue

_AGENT: Final = "langchain_create_agent"
_GRAPH: Final = "langgraph"
_NODE_TAG: Final = "graph:step:"


def graph_operation(
    name: str, about: dict[object, object], tags: object
) -> tuple[str, str, dict[str, AttributeValue]]:
    """Say which operation of the conventions a chain's run is.

    Args:
        name: The run's name.
        about: The run's metadata.
        tags: The run's tags.

    Returns:
        The operation, empty for a chain or a node; what it is done with; and the
        attributes that say so.
    """
    made_by = about.get("ls_integration")
    if made_by not in (_AGENT, _GRAPH) or _is_node(tags):
        return "", name, {}
    agent = text(about.get("lc_agent_name"))
    inside = "langgraph_node" in about
    # Inside a node everything inherits the graph's metadata; there only an agent that
    # has a name can be told, by its run bearing it.
    if made_by == _AGENT and (not inside or (agent and name == agent)):
        attributes: dict[str, AttributeValue] = {
            semconv.OPERATION_NAME: semconv.INVOKE_AGENT
        }
        if agent:
            attributes[semconv.AGENT_NAME] = agent
        return semconv.INVOKE_AGENT, agent, attributes
    if made_by == _GRAPH and not inside:
        return (
            semconv.INVOKE_WORKFLOW,
            name,
            {
                semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
                semconv.WORKFLOW_NAME: name,
            },
        )
    return "", name, {}


def _is_node(tags: object) -> bool:
    """Say whether a run is a node of a graph."""
    return isinstance(tags, list | tuple) and any(
        isinstance(tag, str) and tag.startswith(_NODE_TAG) for tag in tags
    )
