"""What the commands of money read: an app's series, and what answers in its place."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, start_http_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
    "team",
)
MINI = ("chat", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18")
ROSE = ("chat", "garden", "rose-1", "rose-1")


def spend_of_a_day() -> CollectorRegistry:
    """Return series as an app shows them that has two teams and two models."""
    registry = CollectorRegistry()

    def counter(name: str, *labels: str) -> Counter:
        return Counter(f"otel_callbacks_{name}", "x", labels, registry=registry)

    tokens = counter("tokens", *BASE, "gen_ai_token_type", "outcome")
    tokens.labels(*MINI, "shop", "input", "ok").inc(1_000_000)
    tokens.labels(*MINI, "shop", "output", "ok").inc(100_000)
    tokens.labels(*MINI, "post", "input", "ok").inc(200_000)
    tokens.labels(*MINI, "post", "input", "cancelled").inc(500)
    tokens.labels(*ROSE, "shop", "input", "ok").inc(70)
    cost = counter("cost_usd", *BASE, "outcome")
    cost.labels(*MINI, "shop", "ok").inc(0.21)
    cost.labels(*MINI, "post", "ok").inc(0.03)
    cost.labels(*MINI, "post", "cancelled").inc(0.000075)
    calls = counter("operations", *BASE, "outcome", "error_class")
    calls.labels(*MINI, "shop", "ok", "").inc(90)
    calls.labels(*MINI, "shop", "cache_hit", "").inc(3)
    calls.labels(*MINI, "post", "ok", "").inc(10)
    calls.labels(*MINI, "post", "cancelled", "cancelled").inc(1)
    calls.labels(*ROSE, "shop", "ok", "").inc(2)
    calls.labels("execute_tool", "", "", "", "shop", "ok", "").inc(99)
    saved = counter("tokens_saved", *BASE, "gen_ai_token_type", "reason")
    saved.labels(*MINI, "shop", "input", "cache_hit").inc(30)
    cost_saved = counter("cost_saved_usd", *BASE, "reason")
    cost_saved.labels(*MINI, "shop", "cache_hit").inc(0.0000045)
    unpriced = counter(
        "unpriced_tokens", "gen_ai_provider_name", "gen_ai_request_model"
    )
    unpriced.labels("garden", "rose-1").inc(70)
    return registry


@contextmanager
def serving(registry: CollectorRegistry) -> Iterator[str]:
    """Serve series as an app does, and give their address.

    Args:
        registry: The series.
    """
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answering(answer: Callable[[str], tuple[int, str]]) -> Iterator[tuple[str, Any]]:
    """Serve something else; give its address and the requests that came.

    Args:
        answer: Status and text for a path.
    """
    requests: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append((self.path, self.headers.get("Authorization")))
            status, text = answer(self.path)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
