"""Plain and streamed bodies of the Responses API.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from otel_callbacks.testing import bodies as streams
from otel_callbacks.testing import replies
from otel_callbacks.testing.bodies import Body, Exchange, plain

if TYPE_CHECKING:
    from otel_callbacks.testing.replies import Tokens

_MESSAGE_AT: Final = {"output_index": 0, "content_index": 0}


def body(exchange: Exchange) -> Body:
    """Return the body of a response."""
    return plain(_response(exchange), exchange.tokens([_text(exchange)]))


def stream(exchange: Exchange) -> Body:
    """Return the events of a streamed response; usage is in the last one."""
    whole = _response(exchange)
    started = {**whole, "status": "in_progress", "output": [], "usage": None}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for place, item in enumerate(whole["output"]):
        if item["type"] == "message":
            events += _message_events(item)
        else:
            events += _call_events(place, item)
    events.append({"type": "response.completed", "response": whole})
    pieces = tuple(
        streams.event({**one, "sequence_number": number}, one["type"])
        for number, one in enumerate(events)
    )
    usage_at = len(pieces) - 1
    return Body(
        streams.EVENT_STREAM, pieces, exchange.tokens([_text(exchange)]), usage_at
    )


def _text(exchange: Exchange) -> str:
    """Return the answer's text."""
    return exchange.texts([exchange.received.text])[0]


def _response(exchange: Exchange) -> dict[str, Any]:
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
        part = {"type": "output_text", "text": _text(exchange), "annotations": []}
        output.append(
            {
                "type": "message",
                "id": f"msg_flower{number:06d}",
                "status": "completed",
                "role": "assistant",
                "content": [part],
            }
        )
    tokens = exchange.tokens([_text(exchange)])
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
        "usage": None if tokens is None else _usage(tokens),
    }


def _usage(tokens: Tokens) -> dict[str, Any]:
    """Return the ``usage`` of a response."""
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.total,
    }


def _message_events(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a text message."""
    at = {"item_id": item["id"], **_MESSAGE_AT}
    part = item["content"][0]
    empty = {**part, "text": ""}
    started = {**item, "status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": 0, "item": started},
        {"type": "response.content_part.added", **at, "part": empty},
        *(
            {"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []}
            for piece in replies.pieces_of(part["text"])
        ),
        {
            "type": "response.output_text.done",
            **at,
            "text": part["text"],
            "logprobs": [],
        },
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]


def _call_events(place: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a tool call."""
    at = {"item_id": item["id"], "output_index": place}
    started = {**item, "status": "in_progress", "arguments": ""}
    kind = "response.function_call_arguments"
    return [
        {"type": "response.output_item.added", "output_index": place, "item": started},
        {"type": f"{kind}.delta", **at, "delta": item["arguments"]},
        {"type": f"{kind}.done", **at, "arguments": item["arguments"]},
        {"type": "response.output_item.done", "output_index": place, "item": item},
    ]
