"""LangGraph's own server, where it is installed: `make langgraph-server`."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Scene

APPS = Path(__file__).parent / "apps"
CALLS = 3
PYTHON = os.environ.get("LANGGRAPH_PYTHON", "")


@pytest.mark.skipif(
    not PYTHON, reason="langgraph-api is not installed: make langgraph-server"
)
def test_langgraph_dev(scene: Scene) -> None:
    """The lifespan of a custom app exports the last calls at SIGTERM."""
    graphs = {"shop": f"{APPS / 'graph.py'}:graph"}
    described = {
        "dependencies": [str(APPS)],
        "graphs": graphs,
        "http": {"app": f"{APPS / 'graph_webapp.py'}:app"},
    }
    (scene.folder / "langgraph.json").write_text(json.dumps(described))
    # At its default intervals nothing would have been sent before the end.
    scene.more = {"OTEL_BSP_SCHEDULE_DELAY": "600000", "LANGSMITH_TRACING": "false"}
    command = Path(PYTHON).with_name("langgraph")
    scene.start(
        *("dev", "--no-browser", "--no-reload", "--port", str(scene.port)),
        program=str(command),
    )
    scene.receiver.wait_for(lambda: scene.answers("/ok"))
    for number in range(CALLS):
        message = {"role": "user", "content": str(number)}
        run = {"assistant_id": "shop", "input": {"messages": [message]}}
        request = urllib.request.Request(
            f"http://127.0.0.1:{scene.port}/runs/wait",
            json.dumps(run).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            # The status comes at once, the answer when the run is over.
            assert json.load(answer)["messages"]
    scene.end(signal.SIGTERM)
    scene.check(CALLS, lines=1)
