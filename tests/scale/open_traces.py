"""Measure what an open trace costs a sampler in memory, for ``docs/scale.md``.

``python tests/scale/open_traces.py [TRACES]`` starts one Collector with the file of
``deploy`` and sends it copies of a real trace without its root, so that none can be
judged. Memory is the process's, as the kernel and a limit see it.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

_HERE = Path(__file__).resolve().parent
_TESTS = _HERE.parent
sys.path[:0] = [
    *(str(_HERE), str(_TESTS), str(_TESTS / "e2e"), str(_TESTS / "e2e/servers")),
]

from binaries import binary  # noqa: E402 -- importable by the lines above
from processes import Server, eventually, free_ports  # noqa: E402
from traces import ORDINARY, record  # noqa: E402

_CONFIGURATION = _TESTS.parent / "deploy/collector/config.yaml"
_BATCH = 100
_STEPS = 4
_OPEN = "otelcol_processor_tail_sampling_sampling_traces_on_memory"


class Sampler:
    """One Collector whose traces stay open.

    Args:
        folder: Where its queue and its log go.
        traces: How many it may hold.
    """

    def __init__(self, folder: Path, traces: int) -> None:
        names = ("grpc", "http", "health", "lines", "metrics")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        at = {name: f"127.0.0.1:{port}" for name, port in self._ports.items()}
        self.server = Server(
            "sampler",
            [binary("otelcol-tiers"), f"--config={_CONFIGURATION}"],
            {
                "COLLECTOR_GRPC_ENDPOINT": at["grpc"],
                "COLLECTOR_HTTP_ENDPOINT": at["http"],
                "COLLECTOR_HEALTH_ENDPOINT": at["health"],
                "COLLECTOR_LINES_ENDPOINT": at["lines"],
                "COLLECTOR_METRICS_HOST": "127.0.0.1",
                "COLLECTOR_METRICS_PORT": str(self._ports["metrics"]),
                "COLLECTOR_STORAGE": str(folder / "data"),
                "COLLECTOR_OPEN_TRACES": str(traces + 1),
                # None is judged while it is looked at.
                "COLLECTOR_DECISION_WAIT": "3600s",
            },
            folder / "sampler.log",
            f"http://{at['health']}",
        )

    def send(self, body: bytes) -> None:
        """Send one request and expect that it is accepted."""
        url = f"http://127.0.0.1:{self._ports['http']}/v1/traces"
        kind = {"Content-Type": "application/x-protobuf"}
        with urlopen(Request(url, body, kind), timeout=60) as answer:
            assert answer.status == 200

    def open_traces(self) -> int:
        """Return how many it says that it holds."""
        url = f"http://127.0.0.1:{self._ports['metrics']}/metrics"
        with urlopen(url, timeout=60) as answer:
            text = answer.read().decode()
        lines = [one for one in text.splitlines() if one.startswith(_OPEN)]
        return int(float(lines[0].rsplit(" ", 1)[1])) if lines else 0

    def resident(self) -> int:
        """Return its memory in bytes."""
        pages = Path(f"/proc/{self.server.process_id}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main(traces: int) -> None:
    """Measure and print.

    Args:
        traces: How many are open at the end.
    """
    choices = record(with_roots=False)[ORDINARY]
    size = sum(len(one.body) for one in choices) / len(choices)
    with tempfile.TemporaryDirectory() as folder:
        sampler = Sampler(Path(folder), traces)
        sampler.server.start()
        try:
            empty = sampler.resident()
            sys.stdout.write(
                f"a trace: {len(choices[0].spans)} spans, {size:,.0f} bytes as OTLP\n"
                "| open traces | memory, MB | bytes for each |\n| --- | --- | --- |\n"
                f"| 0 | {empty / 1e6:,.0f} | |\n"
            )
            for step in range(1, _STEPS + 1):
                wanted = traces * step // _STEPS
                for _ in range(traces // _STEPS // _BATCH):
                    copies = (
                        choices[0].copy(secrets.token_bytes(16)) for _ in range(_BATCH)
                    )
                    sampler.send(b"".join(copies))
                eventually(
                    lambda wanted=wanted: sampler.open_traces() >= wanted,  # type: ignore[misc]
                    f"{wanted} traces are open",
                    240.0,
                )
                resident = sampler.resident()
                sys.stdout.write(
                    f"| {wanted:,} | {resident / 1e6:,.0f} "
                    f"| {(resident - empty) / wanted:,.0f} |\n"
                )
        finally:
            sampler.server.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40_000)
