"""Read, redact and cut content for spans and events, where capture is on.

https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from otel_callbacks import _semconv as semconv
from otel_callbacks._content import tools
from otel_callbacks._content.cutting import cut, has_shape
from otel_callbacks._content.jsonable import Work, plain
from otel_callbacks._content.messages import (
    SYSTEM,
    input_messages,
    messages_in,
    messages_out,
    output_messages,
)
from otel_callbacks._readers import values
from otel_callbacks._readers.values import has_value, mapping, text

if TYPE_CHECKING:
    from otel_callbacks._records import Content, Request

Redact: TypeAlias = Callable[[str, Any], Any]
"""Takes an attribute's name and value, and returns the value to send."""

CONTENT: Final = "content"
REDACT: Final = "redact"
"""Places of ``otel_callbacks_errors_total{where}``."""

# https://ai.google.dev/api and others take system instructions beside the messages.
# Where they are one of the messages, the conventions keep them there.
_SEPARATE_SYSTEM: Final = frozenset(
    {"anthropic", "aws.bedrock", "gcp.gemini", "gcp.vertex_ai"}
)
_KEYS: Final = re.compile(r"(?i)\b(sk-|bearer\s+)[\w.*-]{6,}")
"""A provider's exception may quote the key that it refused."""

_DEEPEST: Final = 64
_LEAST_BYTES: Final = 6
"""Least bytes of a value with its key or comma: bounds how many values are read."""

_MOST_VALUES: Final = 20_000


class ContentError(Exception):
    """Names an exception without its message, which may quote the content."""


class Captured(NamedTuple):
    """The content read, and the errors on the way."""

    content: Content | None = None
    errors: tuple[tuple[str, ContentError], ...] = ()
    """The place and the exception of each attribute that failed."""


NOTHING: Final = Captured()
_Read: TypeAlias = Callable[[object, object, Work], Any]
"""Takes a callback's payload, its further arguments, and the work that is left."""


def _first(read: Callable[[object, Work], Any]) -> _Read:
    """Return a reader of the payload only."""
    return lambda payload, _, work: read(payload, work)


_READ_AT_START: Final[dict[str, tuple[str, _Read]]] = {
    semconv.INVOKE_AGENT: (semconv.INPUT_MESSAGES, _first(messages_in)),
    semconv.INVOKE_WORKFLOW: (semconv.INPUT_MESSAGES, _first(messages_in)),
    semconv.EXECUTE_TOOL: (semconv.TOOL_CALL_ARGUMENTS, tools.tool_arguments),
    semconv.RETRIEVAL: (semconv.RETRIEVAL_QUERY_TEXT, _first(plain)),
}
_READ_AT_END: Final[dict[str, tuple[str, _Read]]] = {
    semconv.INVOKE_AGENT: (semconv.OUTPUT_MESSAGES, _first(messages_out)),
    semconv.INVOKE_WORKFLOW: (semconv.OUTPUT_MESSAGES, _first(messages_out)),
    semconv.EXECUTE_TOOL: (semconv.TOOL_CALL_RESULT, _first(tools.tool_result)),
    semconv.RETRIEVAL: (semconv.RETRIEVAL_DOCUMENTS, _first(tools.documents)),
}
_AGENT_CONTENT: Final = (semconv.SYSTEM_INSTRUCTIONS, semconv.TOOL_DEFINITIONS)


@dataclass(frozen=True, slots=True)
class Capture:
    """Reads content from LangChain's payloads; never raises."""

    redact: Redact | None
    limit: int
    extensions: bool = True
    exceptions: bool = False

    def of_start(self, request: Request, payload: object, more: object) -> Captured:
        """Read the content of a run's start."""
        read: tuple[tuple[str, _Read], ...]
        if request.operation in semconv.MODEL_OPERATIONS:
            apart = request.provider in _SEPARATE_SYSTEM
            read = (
                (semconv.INPUT_MESSAGES, partial(_messages_in, apart=apart)),
                (semconv.SYSTEM_INSTRUCTIONS, partial(_instructions, apart=apart)),
                (semconv.TOOL_DEFINITIONS, tools.tool_definitions),
            )
        elif request.operation in _READ_AT_START:
            read = (_READ_AT_START[request.operation],)
        else:
            return NOTHING
        return self._capture(payload, more, *read)

    def of_end(
        self,
        request: Request,
        at_start: Content | None,
        payload: object,
        error: BaseException | None = None,
    ) -> Captured:
        """Read the content of a run's end."""
        read: tuple[tuple[str, _Read], ...] = ()
        operation = request.operation
        if payload is not None and operation in semconv.MODEL_OPERATIONS:
            messages = partial(output_messages, finished=error is None)
            read = ((semconv.OUTPUT_MESSAGES, _first(messages)),)
        elif payload is not None and operation in _READ_AT_END:
            read = (_READ_AT_END[operation],)
        if error is not None and self.exceptions:
            read += (
                (
                    semconv.EXCEPTION_MESSAGE,
                    lambda *_: _KEYS.sub("REDACTED", str(error)[: 4 * self.limit]),
                ),
            )
        captured = self._capture(payload, None, *read)
        if request.operation == semconv.INVOKE_AGENT and at_start:
            of_agent = {
                name: at_start[name] for name in _AGENT_CONTENT if name in at_start
            }
            return Captured(
                {**(captured.content or {}), **of_agent} or None, captured.errors
            )
        return captured

    def _capture(
        self, payload: object, more: object, *attributes: tuple[str, _Read]
    ) -> Captured:
        """Read attributes, each independently of the others' failures."""
        content: dict[str, Any] = {}
        errors: list[tuple[str, ContentError]] = []
        for name, read in attributes:
            found, error = self._read(read, payload, more)
            if error is not None:
                errors.append((CONTENT, _error_of(error)))
            try:
                self._add(content, name, found)
            except Exception as error:  # noqa: BLE001 -- reported by the caller
                errors.append((REDACT, _error_of(error)))
        return Captured(content or None, tuple(errors))

    def _read(
        self, read: _Read, payload: object, more: object
    ) -> tuple[Any, Exception | None]:
        """Read one attribute, without the values that raise."""
        first: Exception | None = None
        for seen in (lambda payload: payload, values.plain):
            work = Work(min(_MOST_VALUES, self.limit // _LEAST_BYTES))
            try:
                return read(seen(payload), seen(more), work), first or work.error
            except Exception as error:  # noqa: BLE001 -- reported by the caller
                first = first or error
        return None, first

    def _add(self, content: dict[str, Any], name: str, found: Any) -> None:
        """Redact and cut one attribute, and record how much was left out."""
        value, unread = found if isinstance(found, tuple) else (found, 0)
        if not has_value(value):
            return
        if self.redact is not None:
            value = self.redact(name, value)
            if value is None:
                return
            value = plain(value, Work(strict=True), _DEEPEST)
            if not has_shape(name, value):
                message = f"redact gave back something that is no {name}"
                raise ContentError(message)
        fitted, length, dropped = cut(name, value, self.limit)
        content[name] = fitted
        if self.extensions:
            short = name.removeprefix("gen_ai.")
            if length:
                content[f"{semconv.CONTENT_LENGTH}.{short}"] = length
            if dropped + unread:
                content[f"{semconv.CONTENT_DROPPED}.{short}"] = dropped + unread


def copy_to_agent(run: Any) -> None:
    """Copy tools and instructions to the agent's run, to which LangChain gives none."""
    content: Content | None = run.content
    if not content or run.request.operation not in semconv.MODEL_OPERATIONS:
        return
    agent = run.parent_run
    while agent is not None and agent.request.operation != semconv.INVOKE_AGENT:
        agent = agent.parent_run
    if agent is None:
        return
    of_agent = {name: content[name] for name in _AGENT_CONTENT if name in content}
    if semconv.SYSTEM_INSTRUCTIONS not in of_agent:
        messages = content.get(semconv.INPUT_MESSAGES, [])
        system = [message["parts"] for message in messages if message["role"] == SYSTEM]
        if system:
            of_agent[semconv.SYSTEM_INSTRUCTIONS] = [*chain.from_iterable(system)]
    agent.content = {**of_agent, **(agent.content or {})}


def _messages_in(
    payload: object, _: object, work: Work, *, apart: bool
) -> tuple[Any, int]:
    """Read a call's messages, without system messages where they are separate."""
    messages, unread = input_messages(payload, work)
    if apart:
        messages = [message for message in messages if message["role"] != SYSTEM]
    return messages, unread


def _instructions(
    payload: object, params: object, work: Work, *, apart: bool
) -> list[Any]:
    """Read the system instructions where they are separate from the messages."""
    parts: list[Any] = []
    if isinstance(own := mapping(params).get("instructions"), str) and own:
        parts.append({"type": "text", "content": str.__str__(own)})
    if apart and isinstance(payload, list):
        system = [e for e in payload if text(getattr(e, "type", None)) == SYSTEM]
        for message in input_messages(system, work)[0]:
            parts += message["parts"]
    return parts


def _error_of(error: Exception) -> ContentError:
    """Return an exception with the class and traceback, without the message."""
    if isinstance(error, ContentError):
        return error
    return ContentError(type(error).__qualname__).with_traceback(error.__traceback__)
