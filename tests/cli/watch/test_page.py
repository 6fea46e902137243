from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from waiting import WAIT_S

from otel_callbacks.cli.watch.receiver import Receiver, page_routes
from otel_callbacks.cli.watch.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


class Running:
    """A live page on a free port, with one trace."""

    def __init__(self, *, any_host: bool) -> None:
        self.store = Store()
        messages = [
            {"role": "user", "parts": [{"type": "text", "content": "<i>Roses?"}]}
        ]
        self.store.add(
            [
                {
                    "name": "<b>chat</b>",
                    "kind": "CLIENT",
                    "status": "UNSET",
                    "attributes": {
                        "gen_ai.operation.name": "chat",
                        "gen_ai.input.messages": json.dumps(messages),
                    },
                    "parent_id": None,
                    "span_id": "a",
                    "trace_id": "t1",
                    "start_ns": 0,
                    "end_ns": 1,
                }
            ]
        )
        found = page_routes(self.store, any_host=any_host)
        self.receiver = Receiver(self.store, http_port=0, grpc_port=0, routes=found)

    def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        """Return status, text and headers of a page."""
        url = f"http://127.0.0.1:{self.receiver.http_port}{path}"
        answer = httpx.get(url, headers=headers, timeout=WAIT_S, trust_env=False)
        return answer.status_code, answer.text, answer.headers


@pytest.fixture
def running() -> Iterator[Running]:
    """Give a page that is served."""
    one = Running(any_host=False)
    with one.receiver:
        yield one


def test_the_page_loads_nothing_from_elsewhere(running: Running) -> None:
    """Its script is its own, and no other runs."""
    status, html, headers = running.get("/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "http" not in html.replace("http-equiv", "").replace("HTTP", "").replace(
        'class="bar http"', ""
    ).replace(".http", "")
    assert "--cache_hit" in html
    assert running.get("/live.js")[0] == 200


def test_the_list_is_sent_when_it_has_changed(running: Running) -> None:
    """By its version; the search is the store's."""
    status, text, _ = running.get("/api/traces")
    found = json.loads(text)
    assert (status, [one["id"] for one in found["traces"]]) == (200, ["t1"])
    assert running.get(f"/api/traces?version={found['version']}")[0] == 204
    assert json.loads(running.get("/api/traces?search=none")[1])["traces"] == []


def test_one_trace_is_html_that_is_escaped(running: Running) -> None:
    """What an app sends is text, never markup."""
    status, text, _ = running.get("/api/traces/t1")
    assert status == 200
    assert "&lt;b&gt;chat&lt;/b&gt;" in text
    assert "<span>&lt;i&gt;Roses?</span>" in text
    assert running.get("/api/traces/t2")[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:1", 200), ("127.0.0.1", 200), ("[::1]:1", 200), ("evil.test:1", 421)],
)
def test_only_this_machines_names_are_answered(
    running: Running, host: str, status: int
) -> None:
    """A web page whose name points here reads nothing."""
    assert running.get("/api/traces", Host=host)[0] == status


def test_on_another_address_any_name_is_answered() -> None:
    """In a container nobody knows its name."""
    one = Running(any_host=True)
    with one.receiver:
        assert one.get("/api/traces", Host="shop.internal:4318")[0] == 200
