"""One request as the fake server got it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.testing import answers

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET: Final = frozenset({"authorization", "api-key", "x-api-key", "cookie"})


@dataclass(frozen=True, slots=True)
class Received:
    """What a client sent.

    Args:
        path: The request's path, such as ``/v1/chat/completions``.
        json: The parsed body, ``{}`` when there is none.
        headers: HTTP headers, lower case; credentials are replaced by ``***``.
    """

    path: str
    json: Mapping[str, Any]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, path: str, json: Any, headers: Mapping[str, str]) -> Received:
        """Take a request without the values of its credentials.

        Args:
            path: The request's path.
            json: The parsed body; anything but an object counts as none.
            headers: HTTP headers, lower case.
        """
        safe = {
            name: "***" if name in _SECRET else value for name, value in headers.items()
        }
        return cls(path, json if isinstance(json, dict) else {}, safe)

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.json.get("model", ""))

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return bool(self.json.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether usage was asked for: always, but in a stream by an option."""
        options = self.json.get("stream_options") or {}
        return not self.stream or bool(options.get("include_usage"))

    @property
    def traceparent(self) -> str:
        """The trace context that came with it, or an empty string."""
        return self.headers.get("traceparent", "")

    @property
    def messages(self) -> list[tuple[str, str]]:
        """Role and text of each message, of chat completions and responses."""
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
        asked = [text for role, text in self.messages if role == "user"]
        return asked[-1] if asked else ""

    @property
    def after_tool(self) -> bool:
        """Whether the last message is a tool's result."""
        last = self.messages[-1][0] if self.messages else ""
        return last in {"tool", "function", "function_call_output"}

    @property
    def prompt_tokens(self) -> int:
        """The tokens of the prompt, as ``answers`` counts them."""
        if "messages" not in self.json and not self.path.endswith("/responses"):
            return sum(map(answers.count_tokens, self.prompts))
        messages = self.messages
        return sum(answers.count_tokens(text) for _, text in messages) + (
            answers.TOKENS_PER_MESSAGE * len(messages)
        )


def _text(message: Mapping[str, Any]) -> str:
    """Return the text of a message whose content is text or a list of parts."""
    content = message.get("content") or message.get("output") or ""
    if isinstance(content, str):
        return content
    return "".join(
        str(part.get("text", "")) for part in content if isinstance(part, dict)
    )
