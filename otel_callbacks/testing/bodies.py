"""Response bodies of the OpenAI API, plain and streamed.

Source: https://platform.openai.com/docs/api-reference
"""

from __future__ import annotations

import base64
import json
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from otel_callbacks.testing import replies
from otel_callbacks.testing.replies import Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_callbacks.testing.replies import Received

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_DONE: Final = b"data: [DONE]\n\n"
_BROKEN: Final = b'data: {"id": "chatcmpl-\n\n'


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def streamed_chat(exchange: Exchange) -> Body:
    """Return the stream of a chat completion: one chunk for each token.

    Usage is in a last chunk without choices, if requested.
    """
    head = chat_head(exchange, "chat.completion.chunk")
    texts = exchange.texts([exchange.received.text])
    choices = [
        choice
        for index, text in enumerate(texts)
        for choice in _chat_choices(exchange, index, text)
    ]
    return _stream(head, choices, exchange.tokens(texts))


def streamed_text(exchange: Exchange) -> Body:
    """Return the stream of a text completion: one chunk for each token."""
    texts = exchange.texts(exchange.received.prompts)
    choices = [
        {"index": index, "text": piece, "logprobs": None, "finish_reason": reason}
        for index, text in enumerate(texts)
        for piece, reason in [
            *((piece, None) for piece in replies.pieces_of(text)),
            ("", exchange.finish_reason()),
        ]
    ]
    return _stream(text_head(exchange), choices, exchange.tokens(texts))


def _stream(
    head: Mapping[str, Any], choices: list[dict[str, Any]], tokens: Tokens | None
) -> Body:
    """Return chunks with choices, then the usage, then the closing line."""
    chunks = [{**head, "choices": [choice]} for choice in choices]
    if tokens is not None:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**head, "choices": [], "usage": usage_of(tokens)})
    pieces = (*map(event, chunks), _DONE)
    return Body(EVENT_STREAM, pieces, tokens, usage_at=len(chunks) - 1)


def _chat_choices(
    exchange: Exchange, index: int, text: str
) -> Iterator[dict[str, Any]]:
    """Yield one answer as choices of chunks."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in replies.pieces_of(text)]
    for place, call in enumerate(exchange.tool_calls()):
        deltas += _tool_deltas(place, call)
    for delta in deltas:
        yield _choice(index, delta, None)
    yield _choice(index, {}, exchange.finish_reason())


def _tool_deltas(place: int, call: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a tool call in three pieces: its name, then its arguments in halves."""
    arguments = call["function"]["arguments"]
    half = len(arguments) // 2
    name = {"name": call["function"]["name"], "arguments": ""}
    first = {"index": place, "id": call["id"], "type": "function", "function": name}
    rest = [
        {"index": place, "function": {"arguments": piece}}
        for piece in (arguments[:half], arguments[half:])
    ]
    return [{"tool_calls": [one]} for one in (first, *rest)]


def _choice(index: int, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """Return one choice of a chunk."""
    choice = {"index": index, "delta": delta, "logprobs": None}
    return {**choice, "finish_reason": reason}


class Body(NamedTuple):
    """A response body on the wire, in the pieces that are sent."""

    content_type: str
    pieces: tuple[bytes, ...]
    tokens: Tokens | None = None
    usage_at: int = 0
    """The index of the piece with the usage."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, its reply and its running number, from 1, for ids."""

    received: Received
    reply: Reply
    number: int

    @property
    def model(self) -> str:
        """The response model."""
        requested = self.received.model
        return self.reply.model or str(replies.TEXTS["dated"].get(requested, requested))

    def response_id(self, prefix: str) -> str:
        """Return the response id."""
        return self.reply.response_id or f"{prefix}flower{self.number:06d}"

    def texts(self, prompts: list[str]) -> list[str]:
        """Return the texts of the response: for each prompt, one for each choice."""
        if self.reply.tool_calls:
            return [self.reply.text or ""]
        choices = int(self.received.json.get("n") or 1)
        if self.reply.text is not None:
            return [self.reply.text] * (choices * len(prompts))
        return [
            replies.answer_to(prompt, choice)
            for prompt in prompts
            for choice in range(choices)
        ]

    def tool_calls(self) -> list[dict[str, Any]]:
        """Return the tool calls in the shape of a message."""
        return [
            {
                "id": call.id or f"call_{self.number:06d}_{index}",
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json.dumps(dict(call.arguments), ensure_ascii=False),
                },
            }
            for index, call in enumerate(self.reply.tool_calls)
        ]

    def finish_reason(self) -> str:
        """Return the finish reason."""
        usual = "tool_calls" if self.reply.tool_calls else "stop"
        return self.reply.finish_reason or usual

    def tokens(self, texts: list[str]) -> Tokens | None:
        """Return the usage of the response, or None if it has none."""
        if not self.reply.send_usage or not self.received.wants_usage:
            return None
        calls = [call["function"]["arguments"] for call in self.tool_calls()]
        return self.reply.usage or Tokens(
            self.received.prompt_tokens,
            sum(map(replies.count_tokens, [*texts, *calls])),
        )


def chat(exchange: Exchange) -> Body:
    """Return the body of a chat completion."""
    texts = exchange.texts([exchange.received.text])
    calls = {"tool_calls": exchange.tool_calls()} if exchange.reply.tool_calls else {}
    tokens = exchange.tokens(texts)
    choices = [
        {
            "index": index,
            "message": {
                "role": "assistant",
                "content": text or None,
                "refusal": None,
                **calls,
            },
            "logprobs": None,
            "finish_reason": exchange.finish_reason(),
        }
        for index, text in enumerate(texts)
    ]
    return plain({**chat_head(exchange, "chat.completion"), "choices": choices}, tokens)


def chat_head(exchange: Exchange, kind: str) -> dict[str, Any]:
    """Return the first fields of a chat completion and of each of its chunks."""
    return {
        "id": exchange.response_id("chatcmpl-"),
        "object": kind,
        "created": int(time.time()),
        "model": exchange.model,
        "service_tier": exchange.reply.service_tier,
        "system_fingerprint": exchange.reply.system_fingerprint,
    }


def text(exchange: Exchange) -> Body:
    """Return the body of a text completion: one usage for all prompts."""
    texts = exchange.texts(exchange.received.prompts)
    choices = [
        {
            "index": index,
            "text": text,
            "logprobs": None,
            "finish_reason": exchange.finish_reason(),
        }
        for index, text in enumerate(texts)
    ]
    return plain({**text_head(exchange), "choices": choices}, exchange.tokens(texts))


def text_head(exchange: Exchange) -> dict[str, Any]:
    """Return the first fields of a text completion and of each of its chunks."""
    return {
        "id": exchange.response_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": exchange.model,
    }


def embeddings(exchange: Exchange) -> Body:
    """Return the body of an embeddings response, as numbers or as base64."""
    request = exchange.received.json
    vectors = [
        replies.vector_of(text, request.get("dimensions"))
        for text in exchange.received.prompts
    ]
    packed = request.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            # The API's base64 is of little-endian 32-bit floats.
            "embedding": base64.b64encode(
                struct.pack(f"<{len(vector)}f", *vector)
            ).decode()
            if packed
            else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = exchange.tokens([])
    head = {"object": "list", "model": exchange.model, "data": data}
    if tokens is None:
        return plain(head, None)
    usage = {"prompt_tokens": tokens.input, "total_tokens": tokens.input}
    return plain({**head, "usage": usage}, tokens)


def failure(exchange: Exchange) -> Body:
    """Return the body of an error."""
    kind, code, message = exchange.reply.error
    error = {"message": message, "type": kind, "param": None, "code": code}
    return plain({"error": error}, None)


def plain(body: Mapping[str, Any], tokens: Tokens | None) -> Body:
    """Return a JSON body in two halves, so that a fault can occur between them."""
    if tokens is not None and "usage" not in body:
        body = {**body, "usage": usage_of(tokens)}
    raw = json.dumps(body).encode()
    half = len(raw) // 2
    return Body("application/json", (raw[:half], raw[half:]), tokens, usage_at=1)


def broken(body: Body, at: int) -> Body:
    """Return a body with truncated JSON, in a piece of a stream."""
    if body.content_type == EVENT_STREAM:
        pieces = (*body.pieces[:at], _BROKEN, *body.pieces[at + 1 :])
    else:
        pieces = (body.pieces[0], b"")
    return body._replace(pieces=pieces, tokens=None)


def usage_of(tokens: Tokens) -> dict[str, Any]:
    """Return the ``usage`` of chat and text completions."""
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached,
            "audio_tokens": tokens.audio_input,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": tokens.audio_output,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
