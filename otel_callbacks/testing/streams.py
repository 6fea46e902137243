"""The bodies of streamed answers: server-sent events of the OpenAI API.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.testing import answers, bodies
from otel_callbacks.testing.bodies import Body, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_callbacks.testing.replies import Tokens

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_DONE: Final = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """Return one server-sent event.

    Args:
        data: The JSON object.
        name: The event's name, for APIs that name them.
    """
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


def chat(exchange: Exchange) -> Body:
    """Make the stream of a chat completion: one chunk for each token.

    Usage comes in a last chunk without choices, if it was asked for.

    Args:
        exchange: The request and its reply.
    """
    head = bodies.chat_head(exchange, "chat.completion.chunk")
    texts = exchange.texts([exchange.received.text])
    choices = [
        choice
        for index, text in enumerate(texts)
        for choice in _chat_choices(exchange, index, text)
    ]
    return _stream(head, choices, exchange.tokens(texts))


def text(exchange: Exchange) -> Body:
    """Make the stream of a text completion: one chunk for each token.

    Args:
        exchange: The request and its reply.
    """
    texts = exchange.texts(exchange.received.prompts)
    choices = [
        {"index": index, "text": piece, "logprobs": None, "finish_reason": reason}
        for index, text in enumerate(texts)
        for piece, reason in [
            *((piece, None) for piece in answers.pieces_of(text)),
            ("", exchange.finish_reason()),
        ]
    ]
    return _stream(bodies.text_head(exchange), choices, exchange.tokens(texts))


def _stream(
    head: Mapping[str, Any], choices: list[dict[str, Any]], tokens: Tokens | None
) -> Body:
    """Put choices into chunks, the usage after them, and the closing line."""
    chunks = [{**head, "choices": [choice]} for choice in choices]
    if tokens is not None:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**head, "choices": [], "usage": bodies.usage_of(tokens)})
    pieces = (*map(event, chunks), _DONE)
    return Body(EVENT_STREAM, pieces, tokens, usage_at=len(chunks) - 1)


def _chat_choices(
    exchange: Exchange, index: int, text: str
) -> Iterator[dict[str, Any]]:
    """Yield the choices that make up one answer, piece by piece."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in answers.pieces_of(text)]
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
    return {
        "index": index,
        "delta": delta,
        "logprobs": None,
        "finish_reason": reason,
    }
