"""Read the requests of tools, retrievers and chains, and a tool's reported failure."""

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
    from types import CodeType, FrameType
    from uuid import UUID

    from otel_callbacks._records import Attributes, AttributeValue


def enclosing_run_id() -> UUID | None:
    """Return the id of the run whose code is running, or None outside of any run."""
    return _caller_of(var_child_runnable_config.get())


def _caller_of(
    config: Mapping[str, object] | dict[object, object] | None,
) -> UUID | None:
    """Return the id of the run that a config is made for what it calls."""
    if not config:
        return None
    # Outside a run, `callbacks` is a list of handlers; inside one, a manager.
    found: UUID | None = getattr(config.get("callbacks"), "parent_run_id", None)
    return found


_COPIES: Final = VERSION.startswith(("1.0.", "1.1.", "1.2."))
"""Whether LangChain copies the ids of a config into the metadata."""


class Configured(NamedTuple):
    """Ids in a config, which LangChain no longer copies to the metadata since 1.3."""

    own: dict[str, AttributeValue]
    """Ids of the run that starts."""
    outer: dict[str, AttributeValue]
    """Ids of the run whose code starts it."""
    outer_id: UUID | None
    """Run id of the outer run."""

    def added_to(self, attributes: Attributes) -> dict[str, AttributeValue]:
        """Return the attributes of the run that starts, with its own ids.

        Ids in its metadata win, unless they are copies of the outer run's.
        """
        copied = self.outer if _COPIES else NO_ATTRIBUTES
        return self.own | {
            name: value
            for name, value in attributes.items()
            if name not in copied or copied[name] != value
        }


_OURS: Final = 4
"""Frames from a callback to the search; without them it takes two thirds of the time,
as Python makes an object of each frame that is looked at."""
_FRAMES_AT_MOST: Final = 40
"""A callback is about ten frames below the method that takes the config."""


def configured() -> Configured | None:
    """Return the ids in the current config, or None if it has none.

    A call with a config of its own has the ids of that config: one step may serve two
    users. Inside a run, LangChain's frames are searched only where its config has ids.
    """
    config = var_child_runnable_config.get()
    outer: dict[str, AttributeValue] = {}
    if config:
        of_parent = mapping(config.get("configurable"))
        if not of_parent or not (outer := ids_of(of_parent)):
            return None
    near = _own_config()
    own = outer if near is None else ids_of(mapping(near.get("configurable")))
    if config:
        return Configured(own, outer, _caller_of(config))
    # At the start of all, or of a batch, whose steps have the config of the batch.
    return Configured(own, own, _caller_of(near)) if own else None


def _own_config() -> dict[object, object] | None:
    """Return the config of the nearest LangChain frame that has one."""
    caller: CodeType | None = None
    get_frame = sys._getframe  # noqa: SLF001 -- no public way up
    try:
        caller = get_frame(_OURS + _TO_CALLER).f_code
        distance, code = _last_found.get(id(caller), _NOT_FOUND)
        near = get_frame(distance)
        if near.f_code is code:
            return _config_in(near)
    except ValueError:  # fewer frames
        pass
    frame: FrameType | None = get_frame(_OURS)
    for distance in range(_OURS, _OURS + _FRAMES_AT_MOST):
        if frame is None:
            break
        known = _KNOWN_CODE.get(id(frame.f_code)) or _know_code(frame)
        if known[0]:
            if id(caller) in _KNOWN_CODE:
                _last_found[id(caller)] = distance, frame.f_code
            return _config_in(frame)
        frame = frame.f_back
    return None


def _config_in(frame: FrameType) -> dict[object, object] | None:
    """Return the config in a frame of LangChain's."""
    config = frame.f_locals.get("config")
    return config if isinstance(config, dict) else None


_TO_CALLER: Final = 3
"""Frames from a handler's callback to a function of LangChain's manager."""
# Not 0, this frame: one that knows itself would stay, with all above it.
_NOT_FOUND: Final = _OURS + _TO_CALLER, None
_last_found: dict[int, tuple[int, CodeType]] = {}
"""The distance and code of the last config found, by that function's code."""
_CODE_AT_MOST: Final = 10_000
_KNOWN_CODE: dict[int, tuple[bool, CodeType]] = {}
"""Whether code is a method of LangChain's with a config, by its id; it stays alive."""


def _know_code(frame: FrameType) -> tuple[bool, CodeType]:
    """Return whether a frame is of a LangChain method with a config."""
    code = frame.f_code
    module = str(frame.f_globals.get("__name__"))
    has_config = "config" in code.co_varnames
    known = has_config and module.startswith(("langchain_core.", "langgraph.")), code
    if len(_KNOWN_CODE) < _CODE_AT_MOST:
        _KNOWN_CODE[id(code)] = known
    return known


def retriever_response(documents: Any) -> Response:
    """Read a retriever's response: the number of documents, without their content."""
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
"""Class names, which LangChain uses for a composed runnable without a name."""

_INPUT: Final = "input"
"""The only key of a streamed runnable's inputs, with an empty value: the input
arrives later."""


def is_composed(serialized: object, inputs: object, more: Mapping[str, object]) -> bool:
    """Return whether a run is a composed chain, not one function, prompt or parser."""
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
    """Return the conventions' operation of a chain's run, its target and attributes."""
    made_by = text(about.get("ls_integration"))
    if made_by != _GRAPH and made_by not in _AGENTS:
        if outermost and name and name.partition("<")[0] not in _UNNAMED:
            return _workflow(name)
        return "", name, {}
    if _is_node(tags):
        return "", name, {}
    agent = text(about.get("lc_agent_name"))
    inside = "langgraph_node" in about
    # Inside a node, all runs inherit the graph's metadata. There an agent is
    # recognized only by a run with its name.
    if made_by in _AGENTS and (not inside or (agent and name == agent)):
        return semconv.INVOKE_AGENT, agent, _agent(agent, about, inside=inside)
    if made_by == _GRAPH and not inside:
        return _workflow(name)
    return "", name, {}


def thread_of(about: dict[object, object]) -> str:
    """Return the thread id of a graph's state, or an empty string inside a node."""
    if "thread_id" not in about or "langgraph_node" in about:
        return ""
    return identifier(about["thread_id"])


def is_resumed(inputs: object) -> bool:
    """Return whether a graph with a thread resumes after an interrupt."""
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
    """Return an agent's attributes."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.INVOKE_AGENT
    }
    if agent:
        attributes[semconv.AGENT_NAME] = agent
    if inside:  # the metadata is the outer agent's
        return attributes
    for keys, attribute in _ABOUT_AGENT:
        for key in keys:
            if key in about and (value := identifier(about[key])):
                attributes[attribute] = value
                break
    return attributes


def _workflow(name: str) -> tuple[str, str, dict[str, AttributeValue]]:
    """Return the operation, target and attributes of a workflow."""
    attributes: dict[str, AttributeValue] = {
        semconv.OPERATION_NAME: semconv.INVOKE_WORKFLOW,
        semconv.WORKFLOW_NAME: name,
    }
    return semconv.INVOKE_WORKFLOW, name, attributes


def _is_node(tags: object) -> bool:
    """Return whether a run is a node of a graph."""
    return isinstance(tags, list | tuple) and any(
        isinstance(tag, str) and tag.startswith(_NODE_TAG) for tag in tags
    )


TOOL_ERROR: Final = "tool_error"
"""``error.type`` of a tool that reported a failure without raising, as for MCP
(https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/)."""

_MOST_RESULTS: Final = 256
"""Most values searched in a tool's result, the outer ones first."""

_TOOL_FAILED: Final = Failure(ERROR, TOOL_ERROR, semconv.OTHER)

_TOP_K_KEYS: Final = ("k", "top_k", "limit")
_SEARCH_KEYS: Final = ("search_kwargs", "ls_search_kwargs")


def _named(serialized: object, name: object) -> str:
    """Return the run's name, else the step's own name, else its class."""
    return text(name) or text(mapping(serialized).get("name")) or class_name(serialized)


class ToolStart(NamedTuple):
    """The callback's arguments at the start of a tool."""

    serialized: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    name: str | None
    tool_call_id: str | None

    def read(self) -> Request:
        """Read the tool's request."""
        serialized, metadata, tags, name, tool_call_id = self
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
    """The callback's arguments at the start of a retriever."""

    serialized: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    name: str | None

    def read(self) -> Request:
        """Read the retriever's request."""
        serialized, metadata, tags, name = self
        about = mapping(metadata)
        source = _data_source(about, text(name)) or _named(serialized, None)
        attributes: dict[str, AttributeValue] = {
            semconv.OPERATION_NAME: semconv.RETRIEVAL,
        }
        if source:
            attributes[semconv.DATA_SOURCE_ID] = source
        top_k = _top_k(mapping(mapping(serialized).get("kwargs")), about)
        if top_k is not None:
            attributes[semconv.RETRIEVAL_TOP_K] = top_k
        add_metadata(attributes, about, tags)
        return Request(semconv.RETRIEVAL, source, attributes=attributes)


def _data_source(about: dict[object, object], name: str) -> str:
    """Return a retriever's name if the app chose it, else its store, else its class.

    Without a chosen name, the run's name is the class, and ``ls_retriever_name`` is the
    class in lower case without "Retriever".
    """
    store = text(about.get("ls_vector_store_provider"))
    own = text(about.get("ls_retriever_name"))
    if store and name.lower() in ("", f"{own}retriever", f"retriever{own}", own):
        return store
    return name or own


def _top_k(*places: dict[object, object]) -> int | None:
    """Return the number of requested documents, or None."""
    for place in places:
        for search in (place, *(mapping(place.get(key)) for key in _SEARCH_KEYS)):
            for key in _TOP_K_KEYS:
                if (top_k := count(search.get(key))) is not None:
                    return top_k
    return None


class ChainStart(NamedTuple):
    """The callback's arguments at the start of a chain or a graph's node."""

    serialized: dict[str, Any] | None
    metadata: dict[str, Any] | None
    tags: list[str] | None
    name: str | None
    is_outermost: bool = False
    inputs: object = ""
    more: Mapping[str, object] = NO_ATTRIBUTES

    def read(self) -> Request:
        """Read the request of a chain or a LangGraph node."""
        serialized, metadata, tags, name, outermost, inputs, more = self
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
    """Return the failure of a tool that ended without an exception, or None.

    If the call's id is known, only a message with that id counts: a tool may return the
    history of an agent that it called, with failures of other tools.
    """
    return _TOOL_FAILED if _has_failed(output, text(call_id)) else None


def _has_failed(output: object, call_id: str) -> bool:
    """Return whether the output holds a tool message with an error status."""
    results = [output]
    # Otherwise a dictionary may be the history of an agent that the tool called.
    is_deep = call_id != "" or type(output).__name__ in _OF_GRAPH
    for result in results:  # the list grows
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
    """Return the values inside a result, but none of an app's object, possibly lazy."""
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
"""LangGraph's class -> its fields that may hold a tool message; a state may be a
dictionary or an object."""
