"""What tools, retrievers and chains are started with, and a tool's own failure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.messages import ToolMessage
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.version import VERSION

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers.provider import class_name
from otel_callbacks._readers.request import add_metadata, ids_of
from otel_callbacks._readers.values import count, identifier, items, mapping, text
from otel_callbacks._records import ERROR, NO_ATTRIBUTES, Failure, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import FrameType
    from uuid import UUID

    from otel_callbacks._records import Attributes, AttributeValue


def enclosing_run_id() -> UUID | None:
    """Return the id of the run whose code calls, or None outside of any."""
    config = var_child_runnable_config.get()
    if not config:
        return None
    # A list of handlers where nothing runs yet, a manager inside a run.
    found: UUID | None = getattr(config.get("callbacks"), "parent_run_id", None)
    return found


_COPIES: Final = VERSION.startswith(("1.0.", "1.1.", "1.2."))
"""Whether LangChain copies the ids of a config into the metadata."""


class Configured(NamedTuple):
    """Ids in a config, which LangChain leaves out of the metadata since 1.3."""

    own: dict[str, AttributeValue]
    """Those of the run that starts."""
    outer: dict[str, AttributeValue]
    """Those of the run whose code calls it."""
    outer_id: UUID | None
    """The id of that run."""

    def added_to(self, attributes: Attributes) -> dict[str, AttributeValue]:
        """Return the attributes of the run that starts, with its own ids.

        Those in its metadata come first, unless they are copies of the outer run's.
        """
        copied = self.outer if _COPIES else NO_ATTRIBUTES
        return self.own | {
            name: value
            for name, value in attributes.items()
            if name not in copied or copied[name] != value
        }


_FRAMES_AT_MOST: Final = 40
"""From a callback up to the method that a config is given to are some ten."""


def configured() -> Configured | None:
    """Return the ids in the config at hand, where it has any.

    A call that is given a config of its own has that: two users that one step serves
    are two. Only where somebody is named are LangChain's frames looked at for it.
    """
    config = var_child_runnable_config.get()
    of_parent = mapping(config.get("configurable")) if config else None
    if not of_parent or not (outer := ids_of(of_parent)):
        return None
    own = _own_config()
    return Configured(
        outer if own is None else ids_of(mapping(own.get("configurable"))),
        outer,
        enclosing_run_id(),
    )


def _own_config() -> dict[object, object] | None:
    """Return the config in the nearest of LangChain's methods that has one."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 -- no public way up
    frames = _FRAMES_AT_MOST
    while frame is not None and frames:
        if "config" in frame.f_code.co_varnames and str(
            frame.f_globals.get("__name__")
        ).startswith(("langchain_core.", "langgraph.")):
            config = frame.f_locals.get("config")
            return config if isinstance(config, dict) else None
        frame, frames = frame.f_back, frames - 1
    return None


def retriever_response(documents: Any) -> Response:
    """Read what a retriever gave back: how many documents, not what is in them."""
    if not isinstance(documents, list | tuple):
        return Response(usage_expected=False)
    return Response(
        usage_expected=False,
        attributes={semconv.DOCUMENT_COUNT: len(documents)},
    )


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

_INPUT: Final = "input"
"""The one key of what a runnable that is streamed is started with: its input has yet
to come, and is empty."""


def is_composed(serialized: object, inputs: object, more: Mapping[str, object]) -> bool:
    """Tell a chain made of others from a single step: a function, prompt or parser."""
    if serialized is not None:
        return False
    if "run_type" not in more:
        return True
    if more["run_type"] is not None or not isinstance(inputs, dict):
        return False
    only_input = inputs.get(_INPUT) if len(inputs) == 1 else None
    return type(only_input) is str and not only_input


def graph_operation(
    name: str,
    about: dict[object, object],
    tags: object,
    outermost: bool = False,  # noqa: FBT001, FBT002 -- one of a reader's arguments
) -> tuple[str, str, dict[str, AttributeValue]]:
    """Say which operation of the conventions a chain's run is."""
    made_by = text(about.get("ls_integration"))
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
    """Return the thread that a graph keeps its state under, empty inside a node."""
    if "thread_id" not in about or "langgraph_node" in about:
        return ""
    return identifier(about["thread_id"])


def is_resumed(inputs: object) -> bool:
    """Say whether a graph with a thread goes on where it was interrupted."""
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


TOOL_ERROR: Final = "tool_error"
"""``error.type`` of a tool that reported a failure and raised nothing: MCP's word
(https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/)."""

_MOST_RESULTS: Final = 256
"""Results looked at, the outer ones first."""

_TOOL_FAILED: Final = Failure(ERROR, TOOL_ERROR, semconv.OTHER)

_TOP_K_KEYS: Final = ("k", "top_k", "limit")
_SEARCH_KEYS: Final = ("search_kwargs", "ls_search_kwargs")


def _named(serialized: object, name: object) -> str:
    """Name a step: by its run's name, its own name, else its class."""
    return text(name) or text(mapping(serialized).get("name")) or class_name(serialized)


class ToolStart(NamedTuple):
    """What a callback is given of a tool that starts."""

    serialized: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    name: str | None
    tool_call_id: str | None

    def read(self) -> Request:
        """Read what the tool is."""
        return tool_request(*self)


def tool_request(
    serialized: object,
    metadata: object,
    tags: object,
    name: object,
    tool_call_id: object,
) -> Request:
    """Read what a tool is started with."""
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


class RetrieverStart(NamedTuple):
    """What a callback is given of a retriever that starts."""

    serialized: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    name: str | None

    def read(self) -> Request:
        """Read what the retriever is."""
        return retriever_request(*self)


def retriever_request(
    serialized: object, metadata: object, tags: object, name: object
) -> Request:
    """Read what a retriever is started with."""
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


class ChainStart(NamedTuple):
    """What a callback is given of a chain or a graph's node that starts."""

    serialized: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    name: str | None
    is_outermost: bool
    inputs: object
    more: Mapping[str, object]

    def read(self) -> Request:
        """Read what the step is."""
        return chain_request(*self)


def chain_request(
    serialized: object,
    metadata: object,
    tags: object,
    name: object,
    outermost: bool = False,  # noqa: FBT001, FBT002 -- one of a reader's arguments
    inputs: object = "",
    more: Mapping[str, object] = NO_ATTRIBUTES,
) -> Request:
    """Read what a chain or a LangGraph node is started with."""
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


def tool_failed(output: object, call_id: object = None) -> Failure | None:
    """Tell whether a tool that ended without an exception failed all the same.

    Where the id of its call is known, a message must bear it: a tool may hand over the
    history of an agent that it has asked, in which others have failed.
    """
    return _TOOL_FAILED if _has_failed(output, text(call_id)) else None


def _has_failed(output: object, call_id: str) -> bool:
    """Look for a tool's message that says that it failed."""
    results = [output]
    # Else a dictionary may be what an agent has done that the tool has asked.
    is_deep = call_id != "" or type(output).__name__ in _OF_GRAPH
    for result in results:  # which grows
        kind = type(result)
        if issubclass(kind, ToolMessage):
            if text(getattr(result, "status", None)) == "error" and (
                not call_id or text(getattr(result, "tool_call_id", None)) == call_id
            ):
                return True
        elif len(results) < _MOST_RESULTS and kind is not str:
            results.extend(_within(result, kind, is_deep))
    return False


def _within(
    result: object,
    kind: type,
    is_deep: bool,  # noqa: FBT001 -- private
) -> Iterable[object]:
    """Return what a result holds; an app's own object is not asked: it may be lazy."""
    if issubclass(kind, list | tuple):
        return items(result)[:_MOST_RESULTS]
    if issubclass(kind, dict):
        return [*mapping(result).values()][:_MOST_RESULTS] if is_deep else ()
    if kind.__name__ not in _OF_GRAPH:
        return ()
    within: list[object] = []
    for name in _OF_GRAPH[kind.__name__]:
        state = getattr(result, name, None)
        about = state if type(state) is dict else getattr(state, "__dict__", None)
        within.append(state)
        within.extend(mapping(about).values())
    return within


_OF_GRAPH: Final = {
    "Command": ("update", "goto"),
    "Send": ("arg",),
    "Overwrite": ("value",),
}
"""LangGraph's classes, and where a tool's message stands in them; a state may be a
dictionary or an object."""
