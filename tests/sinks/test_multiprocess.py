"""Real worker processes that share prometheus_client's files."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from otel_callbacks.sinks.multiprocess import is_multiprocess

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import sys
from opentelemetry.sdk.trace import TracerProvider
from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import FakeChatModel

usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
extensions = sys.argv[1] == "all"
handler = OTelCallbackHandler(
    tracer_provider=TracerProvider(),
    settings=Settings(strict=True, labels="team", extensions=extensions),
)
config = {"callbacks": [handler], "metadata": {"team": "roses"}}
for _ in range(5):
    list(FakeChatModel(usage=usage).stream("?", config))
FakeChatModel().invoke("?", config)
"""


def work(folder: Path, *, extensions: bool = True) -> dict[str, float]:
    """Let two workers make six calls each, and add up their files."""
    environment = {
        **{name: value for name, value in os.environ.items() if "OTEL" not in name},
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }
    kind = "all" if extensions else "conventions"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, kind], env=environment)  # noqa: S603
        for _ in range(2)
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    sums: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
            assert "team" not in sample.labels or sample.labels["team"] == "roses"
    return sums


def test_workers_add_up(tmp_path: Path) -> None:
    """Counters, histograms and what is open are sums over both workers."""
    sums = work(tmp_path)
    assert sums["otel_callbacks_operations_total"] == 12
    assert sums["otel_callbacks_tokens_total"] == 100
    assert sums["otel_callbacks_unpriced_tokens_total"] == 100
    assert sums["otel_callbacks_usage_missing_total"] == 2
    assert sums["gen_ai_client_token_usage_sum"] == 100
    assert sums["gen_ai_client_operation_duration_seconds_count"] == 12
    assert sums["gen_ai_client_operation_time_to_first_chunk_seconds_count"] == 10
    assert sums["gen_ai_client_operation_time_per_output_chunk_seconds_count"] > 0
    assert sums["otel_callbacks_open_runs"] == 0
    assert sums["otel_callbacks_operations_in_flight"] == 0


def test_conventions_alone(tmp_path: Path) -> None:
    """Without extensions the files hold nothing of ours."""
    sums = work(tmp_path, extensions=False)
    assert sums["gen_ai_client_token_usage_sum"] == 100
    assert not [name for name in sums if name.startswith("otel_callbacks")]


def test_one_process_is_the_usual_way() -> None:
    """Without the folder nothing of this is used."""
    assert not is_multiprocess()
