"""What a chain's run is: an agent, a workflow, or a step of one.

LangGraph, LangChain's ``create_agent`` and deepagents say by ``ls_integration`` in a
graph's metadata what made it. Its nodes inherit that, and are told by LangGraph's own
tag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks.payloads.metadata import identifier
from otel_callbacks.payloads.values import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_callbacks._records import AttributeValue

_AGENTS: Final = ("langchain_create_agent", "deepagents")
_GRAPH: Final = "langgraph"
_NODE_TAG: Final = "graph:step:"

_ABOUT_AGENT: Final = (
    (("assistant_id", "agent_id"), semconv.AGENT_ID),
    (("agent_description",), semconv.AGENT_DESCRIPTION),
    (("agent_version",), semconv.AGENT_VERSION),
)
"""Metadata keys, the first that is set -> attribute. LangGraph's server sets
``assistant_id``; the others are an app's to set: LangChain has no place for them."""

_UNNAMED: Final = frozenset(
    {
        "RunnableBranch",
        "RunnableParallel",
        "RunnableSequence",
        "RunnableWithFallbacks",
        "RunnableWithMessageHistory",
    }
)
"""What LangChain calls a composed runnable that the app gave no name: its class."""

# What a runnable that is streamed is started with: its input has yet to come.
_STREAMED: Final = {"input": ""}


def is_composed(serialized: object, inputs: object, more: Mapping[str, object]) -> bool:
    """Tell a chain made of others from a single step: a function, prompt or parser.

    Args:
        serialized: The chain as ``dumpd`` wrote it: nothing, if it is made of others.
        inputs: What the chain is started with.
        more: Further arguments of ``on_chain_start``. Single steps name their
            ``run_type``, and so does any runnable that is streamed.
    """
    if serialized is not None:
        return False
    if "run_type" not in more:
        return True
    return more["run_type"] is None and inputs == _STREAMED


def graph_operation(
    name: str,
    about: dict[object, object],
    tags: object,
    outermost: bool = False,  # noqa: FBT001, FBT002 -- one of a reader's arguments
) -> tuple[str, str, dict[str, AttributeValue]]:
    """Say which operation of the conventions a chain's run is.

    Args:
        name: The run's name.
        about: The run's metadata.
        tags: The run's tags.
        outermost: Whether it is a chain made of others, and part of no run.

    Returns:
        The operation, empty for an inner chain or a node; what it is done with; and
        the attributes that say so.
    """
    made_by = about.get("ls_integration")
    if made_by != _GRAPH and made_by not in _AGENTS:
        if outermost and name and name.partition("<")[0] not in _UNNAMED:
            return _workflow(name)
        return "", name, {}
    if _is_node(tags):
        return "", name, {}
    agent = text(about.get("lc_agent_name"))
    inside = "langgraph_node" in about
    # Inside a node everything inherits the graph's metadata; there only an agent that
    # has a name can be told, by its run bearing it.
    if made_by in _AGENTS and (not inside or (agent and name == agent)):
        return semconv.INVOKE_AGENT, agent, _agent(agent, about, inside=inside)
    if made_by == _GRAPH and not inside:
        return _workflow(name)
    return "", name, {}


def thread_of(about: dict[object, object]) -> str:
    """Return the thread that a graph keeps its state under, empty inside a node.

    Args:
        about: The graph's metadata.
    """
    if "thread_id" not in about or "langgraph_node" in about:
        return ""
    return identifier(about["thread_id"])


def is_resumed(inputs: object) -> bool:
    """Say whether a graph with a thread goes on where it was interrupted.

    Args:
        inputs: What the graph is started with: nothing, or ``Command(resume=...)``.
    """
    if inputs is None:
        return True
    kind = type(inputs)
    return (
        kind.__name__ == "Command"
        and kind.__module__.startswith("langgraph")
        and getattr(inputs, "resume", None) is not None
    )


def _agent(
    agent: str, about: dict[object, object], *, inside: bool
) -> dict[str, AttributeValue]:
    """Return what is known of an agent."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.INVOKE_AGENT
    }
    if agent:
        attributes[semconv.AGENT_NAME] = agent
    if inside:  # there the metadata is that of the agent outside
        return attributes
    for keys, attribute in _ABOUT_AGENT:
        for key in keys:
            if key in about and (value := identifier(about[key])):
                attributes[attribute] = value
                break
    return attributes


def _workflow(name: str) -> tuple[str, str, dict[str, AttributeValue]]:
    """Return the operation of a workflow."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
        semconv.WORKFLOW_NAME: name,
    }
    return semconv.INVOKE_WORKFLOW, name, attributes


def _is_node(tags: object) -> bool:
    """Say whether a run is a node of a graph."""
    return isinstance(tags, list | tuple) and any(
        isinstance(tag, str) and tag.startswith(_NODE_TAG) for tag in tags
    )
