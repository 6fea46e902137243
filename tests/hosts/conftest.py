"""A receiver, a provider, and processes that are really started and really ended.

These tests need packages of their own, so `make hosts` runs them and `make test` does
not collect them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from socket import create_server
from typing import TYPE_CHECKING, Any

import pytest
from otlp_receiver import PATIENCE, Receiver

from otel_callbacks.testing import FakeOpenAI

if TYPE_CHECKING:
    from collections.abc import Iterator

APPS = Path(__file__).parent / "apps"
collect_ignore_glob = [] if os.environ.get("HOSTS") else ["test_*.py"]


class Scene:
    """One host with what it talks to.

    Args:
        receiver: Takes spans and series.
        provider: Answers the model calls.
        folder: For what the host writes.
    """

    def __init__(self, receiver: Receiver, provider: FakeOpenAI, folder: Path) -> None:
        self.receiver = receiver
        self.provider = provider
        self.folder = folder
        self.port = free_port()
        self.protocol = "http/protobuf"
        self.more: dict[str, str] = {}
        self._log = folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables of the host's process."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
        return {
            **kept,
            **self.receiver.environment(self.protocol),
            # Served and pushed: the usual port is there once, sums come from all.
            "OTEL_METRICS_EXPORTER": "both",
            "PYTHONPATH": str(APPS),
            "PYTHONUNBUFFERED": "1",
            "SHOP_PORT": str(self.port),
            "SHOP_PROVIDER": self.provider.base_url,
            **self.more,
        }

    def start(self, *command: str, program: str = sys.executable) -> None:
        """Start the host."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- commands of ours
                [program, *command],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, *command: str) -> None:
        """Start the host, and wait for its own end."""
        self.start(*command)
        assert self.wait() == 0, self.log()

    def wait(self) -> int:
        """Return the exit code of the host's process."""
        assert self._process is not None
        return self._process.wait(2 * PATIENCE)

    def send(self, number: int) -> None:
        """Send a signal to the host's first process."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """End the host by a signal, and return its exit code."""
        self.send(number)
        return self.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C: every process of the terminal gets the signal."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGINT)
        self.wait()

    def kill(self) -> None:
        """Leave nothing of it."""
        if self._process is not None:
            with_all = -self._process.pid
            try:
                os.kill(with_all, signal.SIGKILL)
            except ProcessLookupError:
                return
            self._process.wait(PATIENCE)

    def log(self) -> str:
        """Return what the host has printed."""
        return self._log.read_text() if self._log.exists() else ""

    def answers(self, path: str) -> bool:
        """Say whether the host's service is up."""
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, times: int) -> None:
        """Ask the host's service; it must be up, and stay so."""
        deadline = time.monotonic() + PATIENCE
        for number in range(times):
            url = f"http://127.0.0.1:{self.port}/ask?question={number}"
            while True:
                try:
                    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                        assert answer.status == 200
                        break
                except ConnectionError:
                    pass
                except OSError as error:
                    if "refused" not in str(error):
                        raise
                assert time.monotonic() < deadline, self.log()
                assert self._process is not None
                assert self._process.poll() is None, self.log()
                time.sleep(0.1)

    def check(self, calls: int, *, lines: int) -> None:
        """Hold what every host promises, once it has ended.

        Args:
            calls: How many there were.
            lines: How many processes there were, each of which may log a line.
        """
        chats = [name for name in self.receiver.names() if name.startswith("chat ")]
        assert len(self.provider.requests) == calls, self.log()
        assert len(chats) == calls, (self.receiver.names(), self.log())
        reported = self.provider.total_usage
        expected = reported.input + reported.output
        counted = self.receiver.sums("otel_callbacks.tokens")
        assert sum(counted.values()) == expected, (counted, self.log())
        ours = [line for line in self.log().splitlines() if "otel_callbacks:" in line]
        assert len(ours) <= lines, ours
        assert "Traceback" not in self.log(), self.log()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(create_server(("127.0.0.1", 0))) as found:
        port: Any = found.getsockname()[1]
    return int(port)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return a host's surroundings; afterwards no process of it is left."""
    with Receiver() as receiver, FakeOpenAI() as provider:
        made = Scene(receiver, provider, tmp_path)
        yield made
        made.kill()
