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
from otel_callbacks.testing.replies import Received, Reply, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping


EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
_BROKEN: Final = b'data: {"id": "chatcmpl-\n\n'


def event(data: Mapping[str, Any], name: str = "") -> bytes:
    """Return one server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


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

    def tokens(self, texts: list[str]) -> Tokens | None:
        """Return the usage of the response, or None if it has none."""
        if not self.reply.send_usage or not self.received.wants_usage:
            return None
        calls = [call["function"]["arguments"] for call in self.tool_calls()]
        return self.reply.usage or Tokens(
            self.received.prompt_tokens,
            sum(map(replies.count_tokens, [*texts, *calls])),
        )


class _Answer(NamedTuple):
    """The fields of one choice: of the whole one, and of each piece of a stream."""

    whole: dict[str, Any]
    pieces: list[dict[str, Any]]


def chat(exchange: Exchange) -> Body:
    """Return a chat completion, whole or as one chunk for each token."""
    texts = exchange.texts([exchange.received.text])
    calls = exchange.tool_calls()
    message: dict[str, Any] = {"role": "assistant", "refusal": None}
    if calls:
        message["tool_calls"] = calls
    answers = []
    for text in texts:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in replies.pieces_of(text)]
        for place, call in enumerate(calls):
            deltas += _tool_deltas(place, call)
        whole = {"message": {**message, "content": text or None}}
        answers.append(_Answer(whole, [{"delta": one} for one in (*deltas, {})]))
    head = {
        "id": exchange.response_id("chatcmpl-"),
        "object": f"chat.completion{'.chunk' * exchange.received.stream}",
        "service_tier": exchange.reply.service_tier,
        "system_fingerprint": exchange.reply.system_fingerprint,
    }
    return _completion(exchange, head, answers, exchange.tokens(texts))


def text(exchange: Exchange) -> Body:
    """Return a text completion, whole or as one chunk for each token."""
    texts = exchange.texts(exchange.received.prompts)
    answers = [
        _Answer(
            {"text": text},
            [{"text": piece} for piece in (*replies.pieces_of(text), "")],
        )
        for text in texts
    ]
    head = {"id": exchange.response_id("cmpl-"), "object": "text_completion"}
    return _completion(exchange, head, answers, exchange.tokens(texts))


def _completion(
    exchange: Exchange,
    head: Mapping[str, Any],
    answers: list[_Answer],
    tokens: Tokens | None,
) -> Body:
    """Return answers with one usage: a stream's is in a last chunk without choices."""
    head = {**head, "created": int(time.time()), "model": exchange.model}
    reply = exchange.reply
    reason = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
    usual = {"logprobs": None, "finish_reason": None}
    if not exchange.received.stream:
        choices = [
            {**usual, **answer.whole, "index": index, "finish_reason": reason}
            for index, answer in enumerate(answers)
        ]
        usage = {} if tokens is None else {"usage": usage_of(tokens)}
        return plain({**head, "choices": choices, **usage}, tokens)
    chunks = []
    for index, answer in enumerate(answers):
        pieces = [{**usual, **piece, "index": index} for piece in answer.pieces]
        pieces[-1]["finish_reason"] = reason
        chunks += [{**head, "choices": [piece]} for piece in pieces]
    if tokens is not None:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**head, "choices": [], "usage": usage_of(tokens)})
    sent = (*map(event, chunks), b"data: [DONE]\n\n")
    return Body(EVENT_STREAM, sent, tokens, usage_at=len(chunks) - 1)


def _tool_deltas(place: int, call: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a tool call in three pieces: its name, then its arguments in halves."""
    arguments = call["function"]["arguments"]
    half = len(arguments) // 2
    first = {**call, "function": {**call["function"], "arguments": ""}}
    rest = [
        {"function": {"arguments": piece}}
        for piece in (arguments[:half], arguments[half:])
    ]
    return [{"tool_calls": [{"index": place, **one}]} for one in (first, *rest)]


def response(exchange: Exchange) -> Body:
    """Return a response of the Responses API; a stream's usage is in its last event."""
    text = exchange.texts([exchange.received.text])[0]
    tokens = exchange.tokens([text])
    whole = _response(exchange, text, tokens)
    if not exchange.received.stream:
        return plain(whole, tokens)
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for place, item in enumerate(whole["output"]):
        is_message = item["type"] == "message"
        empty: dict[str, Any] = {"content": []} if is_message else {"arguments": ""}
        began = {**item, "status": "in_progress", **empty}
        events += [
            {
                "type": "response.output_item.added",
                "output_index": place,
                "item": began,
            },
            *(_message_events(item) if is_message else _call_events(place, item)),
            {"type": "response.output_item.done", "output_index": place, "item": item},
        ]
    events.append({"type": "response.completed", "response": whole})
    pieces = tuple(
        event({**one, "sequence_number": number}, one["type"])
        for number, one in enumerate(events)
    )
    return Body(EVENT_STREAM, pieces, tokens, usage_at=len(pieces) - 1)


def _response(exchange: Exchange, text: str, tokens: Tokens | None) -> dict[str, Any]:
    """Return the whole response object."""
    number = exchange.number
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_flower{number:06d}_{index}",
            "call_id": call["id"],
            "status": "completed",
            **call["function"],
        }
        for index, call in enumerate(exchange.tool_calls())
    ]
    if not output:
        part = {"type": "output_text", "text": text, "annotations": []}
        output.append(
            {
                "type": "message",
                "id": f"msg_flower{number:06d}",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    return {
        "id": exchange.response_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": exchange.model,
        "output": output,
        "parallel_tool_calls": True,
        "service_tier": exchange.reply.service_tier,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": exchange.received.json.get("tools", []),
        "top_p": 1.0,
        "usage": None
        if tokens is None
        else {
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.total,
        },
    }


def _message_events(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a text message, between its start and its end."""
    at = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    part = item["content"][0]
    kind = "response.output_text"
    return [
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *(
            {"type": f"{kind}.delta", **at, "delta": piece, "logprobs": []}
            for piece in replies.pieces_of(part["text"])
        ),
        {"type": f"{kind}.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _call_events(place: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a tool call, between its start and its end."""
    at = {"item_id": item["id"], "output_index": place}
    kind = "response.function_call_arguments"
    return [
        {"type": f"{kind}.delta", **at, "delta": item["arguments"]},
        {"type": f"{kind}.done", **at, "arguments": item["arguments"]},
    ]


def embeddings(exchange: Exchange) -> Body:
    """Return the body of an embeddings response, as numbers or as base64."""
    request = exchange.received.json
    data: list[dict[str, Any]] = []
    for index, text in enumerate(exchange.received.prompts):
        vector = replies.vector_of(text, request.get("dimensions"))
        data.append({"object": "embedding", "index": index, "embedding": vector})
        if request.get("encoding_format") == "base64":
            # The API's base64 is of little-endian 32-bit floats.
            packed = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector))
            data[-1]["embedding"] = packed.decode()
    body: dict[str, Any] = {"object": "list", "model": exchange.model, "data": data}
    if (tokens := exchange.tokens([])) is not None:
        body["usage"] = {"prompt_tokens": tokens.input, "total_tokens": tokens.input}
    return plain(body, tokens)


def failure(exchange: Exchange) -> Body:
    """Return the body of an error."""
    kind, code, message = exchange.reply.error
    error = {"message": message, "type": kind, "param": None, "code": code}
    return plain({"error": error})


def plain(body: Mapping[str, Any], tokens: Tokens | None = None) -> Body:
    """Return a JSON body in two halves, so that a fault can occur between them."""
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
