"""Replies of the fake server, with their tool calls and tokens."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, astuple, dataclass, field
from operator import add
from typing import Any, Final, Literal, TypeAlias

from otel_callbacks._data import data_beside

Fault = Literal["", "hang", "drop", "cut", "broken_json"]
"""What goes wrong on the wire, after ``Reply.after_chunks`` pieces were sent.

``hang``: nothing more comes until the client leaves or the server stops.
``drop``: the connection is closed. ``cut``: a stream ends politely, too early.
``broken_json``: that piece is not valid JSON.
"""

TEXTS: Final = data_beside(__file__)
_SERVER_ERROR: Final = ("server_error", "server_error", "The server had an error.")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Usage as the provider reports it; the details are parts of the two totals.

    Args:
        input: Tokens of the prompt, with cached ones.
        output: Tokens of the answer, with reasoning ones.
        cached: Part of ``input`` from the provider's cache.
        reasoning: Part of ``output`` spent on reasoning.
        audio_input: Part of ``input`` that is audio.
        audio_output: Part of ``output`` that is audio.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0

    @property
    def total(self) -> int:
        """Input and output tokens, as in ``total_tokens``."""
        return self.input + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of the model.

    Args:
        name: The tool's name.
        arguments: Its arguments, sent as JSON text.
        id: The call's id; if empty, derived from its position.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the fake server.

    Args:
        text: The answer; if None, a short one derived from the question.
        tool_calls: Tool calls instead of an answer.
        finish_reason: If None, ``tool_calls`` with tool calls, else ``stop``.
        usage: Exactly these tokens; if None, counted from the texts.
        send_usage: False for a provider that reports no usage.
        model: The response model; if None, the dated name.
        response_id: If None, ``chatcmpl-...`` with a running number.
        system_fingerprint: The backend's version in the response.
        service_tier: The tier that served the request.
        status: HTTP status; 400 and above send an error body.
        error: Type, code and message of the error body.
        headers: Further HTTP headers.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between two pieces of a stream.
        fault: The fault on the wire.
        after_chunks: The number of pieces before the fault; a plain body has
            two, its halves. With 0, not even the status is sent.
    """

    text: str | None = None
    _: KW_ONLY
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Tokens | None = None
    send_usage: bool = True
    model: str | None = None
    response_id: str | None = None
    system_fingerprint: str = "fp_flower_shop"
    service_tier: str = "default"
    status: int = 200
    error: tuple[str, str, str] = ("", "", "")
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    chunk_delay: float = 0.0
    fault: Fault = ""
    after_chunks: int = 0

    @classmethod
    def failing(
        cls,
        status: int,
        *,
        code: str = "",
        message: str = "",
        retry_after: float | None = None,
        delay: float = 0.0,
    ) -> Reply:
        """Return an error reply: 400, 401, 403, 404, 429, 500 and above.

        Args:
            status: HTTP status, 400 or more.
            code: The error's code, such as ``context_length_exceeded`` or
                ``content_filter``; if empty, the status' default.
            message: The error's message; if empty, the status' default.
            retry_after: Seconds for the client to wait, in the headers
                ``retry-after`` (whole seconds) and ``retry-after-ms``.
            delay: Seconds before the first byte.
        """
        kind, usual_code, usual_message = TEXTS["errors"].get(
            str(status), _SERVER_ERROR
        )
        headers: dict[str, str] = {}
        if retry_after is not None:
            headers = {
                "retry-after": str(round(retry_after)),
                "retry-after-ms": str(round(retry_after * 1000)),
            }
        return cls(
            status=status,
            error=(kind, code or usual_code, message or usual_message),
            headers=headers,
            delay=delay,
        )


Match: TypeAlias = str | Callable[["Received"], bool]
"""A text to look for in the question or to equal the model, or a question itself."""

Answer: TypeAlias = Reply | Callable[["Received"], Reply]
"""A reply, or how to make one for a request."""


_CJK: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_TOKEN: Final = re.compile(rf"[{_CJK}]|(?:(?![{_CJK}])\w)+|[^\w\s]")
_IS_CJK: Final = re.compile(rf"[{_CJK}]")

TOKENS_PER_MESSAGE: Final = 3
"""What each message of a prompt costs beside its text."""
_DIMENSIONS: Final = 16


def count_tokens(text: str) -> int:
    """Count the tokens of a text, as the fake server does.

    Args:
        text: Any text.
    """
    return len(_TOKEN.findall(text))


def pieces_of(text: str) -> list[str]:
    """Split a text into the pieces of a stream, one for each token."""
    starts = [0, *[match.start() for match in _TOKEN.finditer(text)][1:]]
    ends = [*starts[1:], len(text)]
    pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return [piece for piece in pieces if piece]


def answer_to(question: str, choice: int = 0) -> str:
    """Return the default answer to a question, in the question's script.

    Args:
        question: The last user message, or the prompt.
        choice: The index among the ``n`` choices, from 0.
    """
    answers: list[str] = TEXTS["cjk_answers" if _IS_CJK.search(question) else "answers"]
    return answers[(_number(question) + choice) % len(answers)]


def vector_of(text: str, dimensions: int | None = None) -> list[float]:
    """Return the deterministic embedding of a text, of length 1."""
    size = dimensions or _DIMENSIONS
    numbers = [_number(f"{index}:{text}") % 2001 - 1000 for index in range(size)]
    length = math.hypot(*numbers) or 1.0
    return [number / length for number in numbers]


def _number(text: str) -> int:
    """Return a number that depends only on the text, not on the process."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


_SECRET: Final = frozenset({"authorization", "api-key", "x-api-key", "cookie"})


@dataclass(frozen=True, slots=True)
class Received:
    """A received request.

    Args:
        path: The request's path, such as ``/v1/chat/completions``.
        json: The parsed body; ``{}`` without one.
        headers: HTTP headers, lower case; credentials are replaced by ``***``.
    """

    path: str
    json: Mapping[str, Any]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, path: str, json: Any, headers: Mapping[str, str]) -> Received:
        """Return a request without the values of its credentials."""
        safe = {
            name: "***" if name in _SECRET else value for name, value in headers.items()
        }
        return cls(path, json if isinstance(json, dict) else {}, safe)

    @property
    def model(self) -> str:
        """The requested model."""
        return str(self.json.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether the request is for a stream."""
        return bool(self.json.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether the response has usage; streams of completions need an option."""
        options = self.json.get("stream_options") or {}
        is_asked = not self.stream or bool(options.get("include_usage"))
        return is_asked or self.path.endswith("/responses")

    @property
    def traceparent(self) -> str:
        """The propagated trace context, or an empty string."""
        return self.headers.get("traceparent", "")

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The role and text of each message."""
        sent = self.json.get("messages") or self.json.get("input") or []
        if isinstance(sent, str):
            return [("user", sent)]
        return [
            (str(one.get("role") or one.get("type", "")), _text(one))
            for one in sent
            if isinstance(one, dict)
        ]

    @property
    def prompts(self) -> list[str]:
        """The prompts of a text completion or the texts of an embedding request."""
        sent = self.json.get("prompt", self.json.get("input", ""))
        if isinstance(sent, str):
            return [sent]
        if sent and isinstance(sent[0], int):
            return [" ".join(map(str, sent))]
        return [
            one if isinstance(one, str) else " ".join(map(str, one)) for one in sent
        ]

    @property
    def text(self) -> str:
        """The question: the last user message, or the first prompt."""
        if "prompt" in self.json:
            return self.prompts[0]
        questions = [text for role, text in self.messages if role == "user"]
        return questions[-1] if questions else ""

    @property
    def after_tool(self) -> bool:
        """Whether the last message is a tool's result."""
        last = self.messages[-1][0] if self.messages else ""
        return last in {"tool", "function", "function_call_output"}

    @property
    def prompt_tokens(self) -> int:
        """The number of tokens of the prompt, by `count_tokens`."""
        if "messages" not in self.json and not self.path.endswith("/responses"):
            return sum(map(count_tokens, self.prompts))
        messages = self.messages
        return sum(count_tokens(text) for _, text in messages) + (
            TOKENS_PER_MESSAGE * len(messages)
        )


def _text(message: Mapping[str, Any]) -> str:
    """Return the text of a message whose content is text or a list of parts."""
    content = message.get("content") or message.get("output") or ""
    if isinstance(content, str):
        return content
    return "".join(
        str(part.get("text", "")) for part in content if isinstance(part, dict)
    )
