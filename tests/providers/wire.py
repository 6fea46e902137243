"""A loopback server that answers in the wire formats of providers."""

from __future__ import annotations

import binascii
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Roses."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 100,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 50,
        "output_tokens": 7,
        "service_tier": "standard",
    },
}
# As the API streams: the input's tokens come first, the output's last.
ANTHROPIC_STREAM: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            **ANTHROPIC,
            "content": [],
            "stop_reason": None,
            "usage": {**ANTHROPIC["usage"], "output_tokens": 1},  # type: ignore[dict-item]
        },
    },
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "text", "text": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": "Roses."},
    },
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 7},
    },
    {"type": "message_stop"},
]
MISTRAL = {
    "id": "cmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "mistral-small-2506",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Roses."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 150, "completion_tokens": 7, "total_tokens": 157},
}
OLLAMA = {
    "model": "llama3.2",
    "created_at": "2026-11-27T12:00:00Z",
    "message": {"role": "assistant", "content": "Roses."},
    "done": True,
    "done_reason": "stop",
    "total_duration": 5,
    "load_duration": 1,
    "prompt_eval_count": 150,
    "prompt_eval_duration": 2,
    "eval_count": 7,
    "eval_duration": 2,
}
GEMINI = {
    "candidates": [
        {
            "content": {"parts": [{"text": "Roses."}], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 150,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 2,
        "totalTokenCount": 157,
    },
    "modelVersion": "gemini-2.5-flash",
    "responseId": "resp_1",
}
BEDROCK = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Roses."}]}},
    "stopReason": "end_turn",
    "usage": {
        "inputTokens": 100,
        "outputTokens": 7,
        "totalTokens": 157,
        "cacheReadInputTokens": 50,
    },
    "metrics": {"latencyMs": 5},
}


TOOL = {"name": "look", "arguments": {"query": "roses"}}
"""What each provider asks for where the request has tools."""

ANTHROPIC_TOOL = {
    **ANTHROPIC,
    "content": [
        {"type": "tool_use", "id": "t1", "name": "look", "input": TOOL["arguments"]}
    ],
    "stop_reason": "tool_use",
}
MISTRAL_TOOL: dict[str, Any] = {
    **MISTRAL,
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {
                            "name": "look",
                            "arguments": json.dumps(TOOL["arguments"]),
                        },
                    }
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
}
OLLAMA_TOOL = {
    **OLLAMA,
    "message": {"role": "assistant", "content": "", "tool_calls": [{"function": TOOL}]},
}
GEMINI_TOOL = {
    **GEMINI,
    "candidates": [
        {
            "content": {
                "parts": [
                    {"functionCall": {"name": "look", "args": TOOL["arguments"]}}
                ],
                "role": "model",
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
}
BEDROCK_TOOL = {
    **BEDROCK,
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {
                    "toolUse": {
                        "toolUseId": "t1",
                        "name": "look",
                        "input": TOOL["arguments"],
                    }
                }
            ],
        }
    },
    "stopReason": "tool_use",
}
BEDROCK_STREAM: list[tuple[str, dict[str, Any]]] = [
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Roses."}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": BEDROCK["usage"], "metrics": {"latencyMs": 5}}),
]


def aws_events(events: list[tuple[str, dict[str, Any]]]) -> bytes:
    """Return events in AWS' binary form.

    https://docs.aws.amazon.com/transcribe/latest/dg/event-stream.html
    """
    made = (_aws_event(name, json.dumps(body).encode()) for name, body in events)
    return b"".join(made)


def _aws_event(name: str, body: bytes) -> bytes:
    """Return one event: lengths, headers and body, each with its sum."""
    about = {
        ":event-type": name,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    headers = b"".join(
        struct.pack("!B", len(key))
        + key.encode()
        + struct.pack("!BH", 7, len(value))
        + value.encode()
        for key, value in about.items()
    )
    start = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    start += struct.pack("!I", binascii.crc32(start))
    whole = start + headers + body
    return whole + struct.pack("!I", binascii.crc32(whole))


def sse(events: list[dict[str, Any]], *, named: bool = False) -> bytes:
    """Return events as a stream of them."""
    lines = [
        (f"event: {event['type']}\n" if named else "")
        + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return "".join(lines).encode()


def mistral_stream() -> bytes:
    """Return the chunks of a chat completion."""
    about = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1}
    about["model"] = "mistral-small-2506"
    first = {"index": 0, "delta": {"role": "assistant", "content": "Roses."}}
    last = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}
    chunks = [
        {**about, "choices": [{**first, "finish_reason": None}]},
        {**about, "choices": [last], "usage": MISTRAL["usage"]},
    ]
    return sse(chunks) + b"data: [DONE]\n\n"


# As they all say it; AWS' clients read the type.
REFUSAL = {"error": {"type": "x", "message": "no"}, "__type": "ThrottlingException"}


class _Handler(BaseHTTPRequestHandler):
    """Answers by the path, as each provider's clients ask."""

    def do_POST(self) -> None:
        """Answer."""
        request = json.loads(
            self.rfile.read(int(self.headers["content-length"])) or "{}"
        )
        status: int = self.server.status  # type: ignore[attr-defined]
        kind, body = "application/json", b""
        has_tools = "tools" in request or "toolConfig" in request
        if status != 200:
            body = json.dumps(REFUSAL).encode()
        elif self.path.startswith("/v1/messages"):
            if request.get("stream"):
                kind, body = "text/event-stream", sse(ANTHROPIC_STREAM, named=True)
            else:
                body = json.dumps(ANTHROPIC_TOOL if has_tools else ANTHROPIC).encode()
        elif self.path.startswith("/v1/chat/completions"):
            if request.get("stream"):
                kind, body = "text/event-stream", mistral_stream()
            else:
                body = json.dumps(MISTRAL_TOOL if has_tools else MISTRAL).encode()
        elif self.path == "/api/chat":
            reply = OLLAMA_TOOL if has_tools else OLLAMA
            kind, body = "application/x-ndjson", json.dumps(reply).encode() + b"\n"
        elif ":streamGenerateContent" in self.path:
            kind, body = "text/event-stream", sse([GEMINI])
        elif ":generateContent" in self.path:
            body = json.dumps(GEMINI_TOOL if has_tools else GEMINI).encode()
        elif self.path.endswith("/converse-stream"):
            kind = "application/vnd.amazon.eventstream"
            body = aws_events(BEDROCK_STREAM)
        else:
            body = json.dumps(BEDROCK_TOOL if has_tools else BEDROCK).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


class Wire:
    """The server, on a port of its own."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.fail_with(200)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def fail_with(self, status: int) -> None:
        """Answer with an HTTP status from now on."""
        self._server.status = status  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
