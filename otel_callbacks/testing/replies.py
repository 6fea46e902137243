"""What the fake server is to answer: a reply, its tool calls, its tokens."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from otel_callbacks.testing.received import Received

if TYPE_CHECKING:
    from collections.abc import Mapping

Fault = Literal["", "hang", "drop", "cut", "broken_json"]
"""What goes wrong on the wire, after ``Reply.after_chunks`` pieces were sent.

``hang``: nothing more comes until the client leaves or the server stops.
``drop``: the connection is closed. ``cut``: a stream ends politely, too early.
``broken_json``: that piece is not valid JSON.
"""

# Status -> type, code and message of the error body, as the OpenAI API words them:
# https://platform.openai.com/docs/guides/error-codes
_ERRORS: Final = {
    400: ("invalid_request_error", "invalid_value", "Invalid value in the request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "forbidden", "Not allowed for this project."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
}
_SERVER_ERROR: Final = ("server_error", "server_error", "The server had an error.")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens as the provider counts them; the details are parts of the two totals.

    Args:
        input: Tokens of the prompt, cached ones too.
        output: Tokens of the answer, reasoning ones too.
        cached: Part of ``input`` that was read from the provider's cache.
        reasoning: Part of ``output`` that was spent on reasoning.
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
        """Input and output together, as ``total_tokens`` says it."""
        return self.input + self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            *(
                getattr(self, one.name) + getattr(other, one.name)
                for one in fields(self)
            )
        )


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model asks for.

    Args:
        name: The tool's name.
        arguments: Its arguments, sent as JSON text.
        id: The call's id; made from its position when empty.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the fake server.

    Args:
        text: The answer; a short one made from the question when None.
        tool_calls: Tools that the model asks for instead of answering.
        finish_reason: ``stop``, or ``tool_calls`` when there are some, when None.
        usage: Exactly these tokens; counted from the texts when None.
        send_usage: False for a provider that does not say its tokens.
        model: The model named in the answer; the dated name when None.
        response_id: ``chatcmpl-...`` with a running number when None.
        system_fingerprint: The backend's version in the answer.
        service_tier: The tier that served the request.
        status: HTTP status; from 400 on, an error body is sent.
        error: Type, code and message of the error body.
        headers: Further HTTP headers.
        delay: Seconds before the first byte.
        chunk_delay: Seconds between two pieces of a stream.
        fault: What goes wrong on the wire.
        after_chunks: How many pieces are sent before it does; a plain answer has
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
        """Make an error answer: 400, 401, 403, 404, 429, 500 and above.

        Args:
            status: HTTP status, 400 or more.
            code: The error's code, such as ``context_length_exceeded`` or
                ``content_filter``; the status' usual one when empty.
            message: The error's message; the status' usual one when empty.
            retry_after: Seconds that the client is told to wait, in the headers
                ``retry-after`` (whole seconds) and ``retry-after-ms``.
            delay: Seconds before the first byte.
        """
        kind, usual_code, usual_message = _ERRORS.get(status, _SERVER_ERROR)
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


Match: TypeAlias = str | Callable[[Received], bool]
"""A text to look for in the question or to equal the model, or a question itself."""

Answer: TypeAlias = Reply | Callable[[Received], Reply]
"""A reply, or how to make one for a request."""


class Script:
    """Rules first, then the queue, then the usual reply; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Answer] = deque()
        self._rules: list[tuple[Match, deque[Answer]]] = []

    def add(self, *replies: Answer) -> None:
        """Queue replies for the next requests that no rule answers.

        Args:
            replies: One for each request, in order.
        """
        with self._lock:
            self._queue.extend(replies)

    def when(self, match: Match, *replies: Answer) -> None:
        """Answer certain requests; the newest rule that matches is taken.

        Args:
            match: A part of the question, a whole model name, or a predicate.
            replies: Given one after another; the last one stays.

        Raises:
            ValueError: There is no reply.
        """
        if not replies:
            message = "when() needs at least one reply"
            raise ValueError(message)
        with self._lock:
            self._rules.insert(0, (match, deque(replies)))

    def clear(self) -> None:
        """Forget the queue and the rules."""
        with self._lock:
            self._queue.clear()
            self._rules.clear()

    def reply(self, received: Received) -> Reply:
        """Choose the reply for a request and use it up.

        Args:
            received: The request.
        """
        answer = self._next(received)
        return answer(received) if callable(answer) else answer

    def _next(self, received: Received) -> Answer:
        """Take the next answer out of the first place that has one."""
        with self._lock:
            for match, replies in self._rules:
                if _matches(match, received):
                    return replies[0] if len(replies) == 1 else replies.popleft()
            return self._queue.popleft() if self._queue else Reply()


def _matches(match: Match, received: Received) -> bool:
    """Say whether a rule is for this request."""
    if callable(match):
        return match(received)
    return match == received.model or match in received.text
