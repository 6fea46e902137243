"""Servers as child processes: started on free ports, ended by process id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_STOPS_WITHIN = 60.0
_POLL = 0.1

_T = TypeVar("_T")


def free_ports(count: int) -> list[int]:
    """Return free ports of the loopback address.

    Args:
        count: How many; all are different.
    """
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()


def eventually(probe: Callable[[], _T], what: str, within: float = WAIT_S) -> _T:
    """Poll until a probe returns a true value, and return it.

    Args:
        probe: Called repeatedly; a false value or an unreachable server means
            not yet.
        what: The subject of the message on a timeout.
        within: Seconds.

    Raises:
        AssertionError: The time is over; the message has the last result.
    """
    deadline = time.monotonic() + within
    last: object = None
    while time.monotonic() < deadline:
        try:
            found = probe()
        except (URLError, ConnectionError, TimeoutError) as error:
            last = error
        else:
            if found:
                return found
            last = found
        time.sleep(_POLL)
    message = f"{what}: not within {within:.0f} s; last seen: {last!r}"
    raise AssertionError(message)


class Server:
    """One server process and its log.

    Args:
        name: What messages call it.
        command: The binary and its arguments.
        environment: Variables beside ``PATH`` and ``HOME``; nothing else is passed
            on, so that the developer's own settings do not leak in.
        log: Where its output goes; a restart appends.
        health: A URL that answers with 200 when the server is ready.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        log: Path,
        health: str,
    ) -> None:
        self.name = name
        self.log = log
        self._command = [str(part) for part in command]
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        self._environment = kept | dict(environment)
        self._health = health
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process_id(self) -> int:
        """The running process' id."""
        assert self._process is not None, f"{self.name} has not been started"
        return self._process.pid

    def launch(self) -> None:
        """Start the process and return at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 -- our own binaries
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> None:
        """Start the process and wait until it is healthy.

        Raises:
            AssertionError: It ended or is not healthy; the message ends with its log.
        """
        self.launch()
        try:
            eventually(self._answers, f"{self.name} answers", WAIT_S)
        except AssertionError as error:
            self.kill()
            message = f"{error}\n{self.logged()[-3000:]}"
            raise AssertionError(message) from None

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            message = f"{self.name} has ended"
            raise AssertionError(message)
        try:
            with urlopen(self._health, timeout=60) as answer:  # noqa: S310 -- http, ours
                return bool(answer.status == 200)
        except HTTPError as error:
            error.close()  # it holds the connection
            return False

    def logged(self) -> str:
        """Return the log so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def ended(self, within: float = WAIT_S) -> int:
        """Wait until the process ends, and return its exit code.

        Args:
            within: Seconds.

        Raises:
            AssertionError: It still runs.
        """
        assert self._process is not None
        try:
            return self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
            message = f"{self.name} still runs after {within:.0f} s\n{self.logged()}"
            raise AssertionError(message) from None

    def stop(self) -> None:
        """Terminate the process, and kill it if it does not end."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(_STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the process at once, like a crash."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_STOPS_WITHIN)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
