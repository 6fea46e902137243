from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

from otel_callbacks import Settings
from otel_callbacks.cli import _addresses as stack

if TYPE_CHECKING:
    import pytest


def test_a_port_answers_or_is_free_but_not_both() -> None:
    """Before, while and after somebody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        assert stack.answers("127.0.0.1", port)
        assert not stack.is_free("127.0.0.1", port)
    assert not stack.answers("127.0.0.1", port)
    assert stack.is_free("127.0.0.1", port)


def test_spans_are_sent_only_where_a_collector_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody there: no exporter, so no line about a failed export."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(stack, "_COLLECTORS", {"grpc": port})
        assert stack.exporting(Settings(), {}).traces_exporter == "otlp"
    assert stack.exporting(Settings(), {}).traces_exporter == "none"


def test_what_the_environment_asks_for_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A named endpoint may come up later; another exporter is the user's choice."""
    monkeypatch.setattr(stack, "_COLLECTORS", {})
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector:4317"}
    assert stack.exporting(Settings(), named).traces_exporter == "otlp"
    chosen = Settings(traces_exporter="console")
    assert stack.exporting(chosen, {}) is chosen
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4317")
    assert stack.exporting(Settings()).traces_exporter == "otlp"
