"""Servers that are really started, and an app that really sends to them.

These tests need packages of their own, so `make backends` runs them and `make test`
does not collect them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_server
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from waiting import WAIT_S, wait_until

from otel_callbacks.cli.env import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = Path(__file__).parent / "florist.py"
sys.path.insert(0, str(APP.parent))
collect_ignore_glob = [] if os.environ.get("BACKENDS") else ["test_*.py"]


class Tokens(NamedTuple):
    """What the provider says that it was asked for."""

    input: int
    output: int


class Server:
    """A backend's server, asked over its API."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask, and return the JSON that comes back."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310
            return json.load(answer)

    def sends(self, placeholder: str, name: str, *, content: bool) -> Tokens:
        """Run the app with the variables that `otel-callbacks env` prints.

        Args:
            placeholder: The word that is the user's to replace.
            name: What it is replaced by.
            content: Whether what is said is captured.
        """
        backend = BACKENDS[self.name]
        variables = {
            variable: value.replace(placeholder, name).replace(
                backend.endpoint.removesuffix("/v1/traces"), self.url
            )
            for variable, value in backend.variables.items()
        }
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        mode = "SPAN_ONLY" if content else "NO_CONTENT"
        done = subprocess.run(  # noqa: S603 -- our own app
            [sys.executable, str(APP)],
            env={
                **kept,
                **variables,
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": mode,
                # The server's first answer may take long.
                "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
                "OTEL_EXPORTER_PROMETHEUS_PORT": "0",
            },
            capture_output=True,
            encoding="utf-8",
            timeout=WAIT_S,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return Tokens(*map(int, done.stdout.split()))


@contextmanager
def serving(
    name: str, command: list[str], folder: Path, ready: str, **variables: str
) -> Iterator[Server]:
    """Run a server until the tests are over; PORT in its command is a free port."""
    with closing(create_server(("127.0.0.1", 0))) as found:
        port = str(found.getsockname()[1])
    server = Server(name, f"http://localhost:{port}")
    environment = {
        name: value.replace("PORT", port) for name, value in variables.items()
    }
    # The script that is beside this Python, which another environment may hide.
    command[0] = str(Path(sys.executable).with_name(command[0]))
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(  # noqa: S603 -- commands of ours
            [one.replace("PORT", port) for one in command],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(
                lambda: process.poll() is not None or _is_up(server.url + ready),
                f"{name} does not come up",
            )
            assert process.poll() is None, (folder / "log.txt").read_text()
            yield server
        finally:
            process.terminate()
            process.wait(WAIT_S)


def _is_up(url: str) -> bool:
    """Say whether a server answers."""
    try:
        with urllib.request.urlopen(url, timeout=WAIT_S):  # noqa: S310 -- loopback
            return True
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give MLflow's server."""
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", "PORT"]
    command += ["--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"]
    folder = tmp_path_factory.mktemp("mlflow")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
    with serving("mlflow", command, folder, "/health", **quiet) as server:
        yield server


@pytest.fixture(scope="session")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give Phoenix's server."""
    folder = tmp_path_factory.mktemp("phoenix")
    with closing(create_server(("127.0.0.1", 0))) as found:
        grpc = str(found.getsockname()[1])
    variables = {
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": "PORT",
        "PHOENIX_GRPC_PORT": grpc,
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    command = ["phoenix", "serve"]
    with serving("phoenix", command, folder, "/healthz", **variables) as server:
        yield server
