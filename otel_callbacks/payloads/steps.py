"""What tools, retrievers and chains are started with, and a tool's own failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_callbacks import _semconv as semconv
from otel_callbacks._records import ERROR, NO_ATTRIBUTES, Failure, Request
from otel_callbacks.payloads.graphs import (
    graph_operation,
    is_composed,
    is_resumed,
    thread_of,
)
from otel_callbacks.payloads.metadata import add_metadata
from otel_callbacks.payloads.providers import class_name
from otel_callbacks.payloads.values import count, mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_callbacks._records import AttributeValue

TOOL_ERROR: Final = "tool_error"
"""``error.type`` of a tool that reported a failure and raised nothing: MCP's word
(https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/)."""

_TOOL_FAILED: Final = Failure(ERROR, TOOL_ERROR, semconv.OTHER)

_TOP_K_KEYS: Final = ("k", "top_k", "limit")
_SEARCH_KEYS: Final = ("search_kwargs", "ls_search_kwargs")


def _named(serialized: object, name: object) -> str:
    """Name a step: by its run's name, its own name, else its class."""
    return text(name) or text(mapping(serialized).get("name")) or class_name(serialized)


def tool_request(
    serialized: object,
    metadata: object,
    tags: object,
    name: object,
    tool_call_id: object,
    inputs: object,  # noqa: ARG001 -- the callback's own; content is read elsewhere
) -> Request:
    """Read what a tool is started with.

    Args:
        serialized: ``{"name": ..., "description": ...}``.
        metadata: The run's metadata.
        tags: The run's tags.
        name: The run's name; a tool is named by itself first.
        tool_call_id: The id that the model gave its call.
        inputs: The tool's arguments, not read here.

    Returns:
        The request of ``execute_tool {tool}``.
    """
    payload = mapping(serialized)
    tool = text(payload.get("name")) or _named(serialized, name)
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.EXECUTE_TOOL,
        semconv.TOOL_NAME: tool,
        semconv.TOOL_TYPE: semconv.TOOL_FUNCTION,
    }
    if description := text(payload.get("description")):
        attributes[semconv.TOOL_DESCRIPTION] = description
    if call_id := text(tool_call_id):
        attributes[semconv.TOOL_CALL_ID] = call_id
    if agent := text(mapping(metadata).get("lc_agent_name")):
        attributes[semconv.AGENT_NAME] = agent
    add_metadata(attributes, metadata, tags)
    return Request(semconv.EXECUTE_TOOL, tool, attributes=attributes)


def retriever_request(
    serialized: object, metadata: object, tags: object, name: object
) -> Request:
    """Read what a retriever is started with.

    Args:
        serialized: The retriever as ``dumpd`` wrote it; LangChain gives ``None``.
        metadata: The run's metadata, with ``ls_retriever_name`` and
            ``ls_vector_store_provider``.
        tags: The run's tags.
        name: The run's name, else the retriever's class.

    Returns:
        The request of ``retrieval {source}``.
    """
    about = mapping(metadata)
    source = _data_source(about, text(name)) or _named(serialized, None)
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.RETRIEVAL,
    }
    if source:
        attributes[semconv.DATA_SOURCE_ID] = source
    if (top_k := _top_k(mapping(mapping(serialized).get("kwargs")), about)) is not None:
        attributes[semconv.RETRIEVAL_TOP_K] = top_k
    add_metadata(attributes, about, tags)
    return Request(semconv.RETRIEVAL, source, attributes=attributes)


def _data_source(about: dict[object, object], name: str) -> str:
    """Name the application's name of a retriever, else its store, else its class.

    Without a name of the application's LangChain gives the class, and the same in
    small letters and without "Retriever" as ``ls_retriever_name``.
    """
    store = text(about.get("ls_vector_store_provider"))
    own = text(about.get("ls_retriever_name"))
    if store and name.lower() in ("", f"{own}retriever", f"retriever{own}", own):
        return store
    return name or own


def _top_k(*places: dict[object, object]) -> int | None:
    """Find how many documents are asked for."""
    for place in places:
        for search in (place, *(mapping(place.get(key)) for key in _SEARCH_KEYS)):
            for key in _TOP_K_KEYS:
                if (top_k := count(search.get(key))) is not None:
                    return top_k
    return None


def chain_request(
    serialized: object,
    metadata: object,
    tags: object,
    name: object,
    outermost: bool = False,  # noqa: FBT001, FBT002 -- one of a reader's arguments
    inputs: object = "",
    more: Mapping[str, object] = NO_ATTRIBUTES,
) -> Request:
    """Read what a chain or a LangGraph node is started with.

    Args:
        serialized: The chain as ``dumpd`` wrote it, mostly ``None``.
        metadata: The run's metadata.
        tags: The run's tags.
        name: The run's name; for a node of a graph the node's.
        outermost: Whether it is part of no run.
        inputs: What it is started with, which tells whether a graph goes on.
        more: Further arguments of the callback, which tell a chain made of others.

    Returns:
        The request of ``invoke_agent`` or ``invoke_workflow`` for a graph and for an
        outermost chain with a name; an inner step has no operation of the conventions.
    """
    about = mapping(metadata)
    whole = outermost and is_composed(serialized, inputs, more)
    own = _named(serialized, name)
    operation, target, attributes = graph_operation(own, about, tags, whole)
    add_metadata(attributes, metadata, tags)
    thread = thread_of(about) if operation else ""
    resumes = thread != "" and is_resumed(inputs)
    return Request(
        operation, target, attributes=attributes, thread=thread, resumes=resumes
    )


def tool_failed(output: object) -> Failure | None:
    """Tell whether a tool that ended without an exception failed all the same.

    Args:
        output: What the tool gave back; ``ToolMessage(status="error")`` is a failure
            that was handled.

    Returns:
        The failure, or ``None``.
    """
    if getattr(output, "status", None) == "error" and hasattr(output, "tool_call_id"):
        return _TOOL_FAILED
    return None
