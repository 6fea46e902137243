"""A loopback server that answers in the wire formats of providers."""

from __future__ import annotations

import json
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


class _Handler(BaseHTTPRequestHandler):
    """Answers by the path, as each provider's clients ask."""

    def do_POST(self) -> None:
        """Answer."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])) or "{}")
        status: int = self.server.status  # type: ignore[attr-defined]
        kind, body = "application/json", b""
        if status != 200:
            body = json.dumps({"error": {"type": "x", "message": "no"}}).encode()
        elif self.path.startswith("/v1/messages"):
            if asked.get("stream"):
                kind, body = "text/event-stream", sse(ANTHROPIC_STREAM, named=True)
            else:
                body = json.dumps(ANTHROPIC).encode()
        elif self.path.startswith("/v1/chat/completions"):
            if asked.get("stream"):
                kind, body = "text/event-stream", mistral_stream()
            else:
                body = json.dumps(MISTRAL).encode()
        elif self.path == "/api/chat":
            kind, body = "application/x-ndjson", json.dumps(OLLAMA).encode() + b"\n"
        elif ":streamGenerateContent" in self.path:
            kind, body = "text/event-stream", sse([GEMINI])
        elif ":generateContent" in self.path:
            body = json.dumps(GEMINI).encode()
        else:
            body = json.dumps(BEDROCK).encode()
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
