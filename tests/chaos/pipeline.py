"""Attacks through the real Collector, Jaeger and Prometheus, and what each showed.

```
make chaos-pipeline               # some ten minutes
make chaos-pipeline ARGS="--only latency"
```
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

HERE: Final = Path(__file__).resolve().parent
TESTS: Final = HERE.parent
sys.path[:0] = [str(TESTS), str(TESTS / "e2e"), str(TESTS / "e2e" / "servers")]

from answers import total, trace  # noqa: E402 -- the folders of the tests come first
from otlp_receiver import Receiver  # noqa: E402
from processes import eventually, free_ports  # noqa: E402
from stack import Stack  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A trace is in the Collector's memory until its root has come, a short wait and the
# sampler's tick are over: what is there when it is killed is not promised.
_WINDOW: Final = 5.0
_ENDS_WITHIN: Final = 60


class App:
    """The app as a process of its own.

    Args:
        stack: Where Prometheus looks for its series.
        endpoint: Where it sends spans.
        asked: What it shall do.
        more: Variables of its environment.
    """

    def __init__(
        self, stack: Stack, endpoint: str, *arguments: str, **more: str
    ) -> None:
        self.service = f"attacked-{arguments[0]}"
        self.process = subprocess.Popen(  # noqa: S603 -- our own program
            [sys.executable, HERE / "pipeline_app.py", self.service, *arguments[1:]],
            env={
                **{k: v for k, v in os.environ.items() if "OTEL" not in k},
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
                "OTEL_BSP_MAX_QUEUE_SIZE": "20000",
                **more,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def did(self) -> dict[str, Any]:
        """Return its report."""
        assert self.process.stdout is not None
        report: dict[str, Any] = json.loads(self.process.stdout.readline())
        return report

    def end(self) -> int:
        """Let it end, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(_ENDS_WITHIN)

    def kill(self) -> None:
        """Kill it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(_ENDS_WITHIN)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@contextmanager
def running(app: App) -> Iterator[App]:
    """Run an app, and kill it at the end in any case."""
    try:
        yield app
    finally:
        app.kill()


def missing(stack: Stack, ids: list[str], within: float) -> list[str]:
    """Return which traces Jaeger does not have, after waiting for them."""
    url = stack.url("jaeger_http")
    left = ids
    deadline = time.monotonic() + within
    with ThreadPoolExecutor(4) as pool:
        while left and time.monotonic() < deadline:
            time.sleep(1)
            there = pool.map(lambda one: bool(trace(url, one)), left)
            left = [one for one, found in zip(left, there, strict=True) if not found]
    return left


def concurrent(stack: Stack) -> str:
    """10,000 `agenerate` at once: every trace in Jaeger, counters exact."""
    calls = 10_000
    with running(App(stack, stack.url("grpc"), "many", "--at-once", str(calls))) as app:
        did = app.did()
        assert len(did["ended"]) == calls
        assert did["open"] == 0
        assert not did["lost"]
        for query, value in (
            ('sum(otel_callbacks_operations_total{job="app"})', calls),
            ('sum(otel_callbacks_tokens_total{job="app"})', 5 * calls),
            (
                f'sum(traces_span_metrics_calls_total{{service_name="{app.service}"}})',
                calls,
            ),
        ):
            eventually(_is(stack, query, value), query)
        left = missing(stack, list(did["ended"]), 240)
        assert not left, f"{len(left)} of {calls} are not in Jaeger"
        assert app.end() == 0
    return f"{calls:,} traces of {calls:,} in Jaeger, operations and tokens exact"


def _is(stack: Stack, query: str, value: float) -> Callable[[], bool]:
    """Return what asks Prometheus whether a query has a value."""
    return lambda: total(stack.url("prometheus"), query) == value


def latency(stack: Stack) -> str:
    """What a call costs the app while the Collector is up, slow, refusing, hanging."""
    (nobody,) = free_ports(1)
    http = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    rows = []

    def measure(name: str, endpoint: str, **more: str) -> None:
        with running(App(stack, endpoint, name, "--compare", "3000", **more)) as app:
            found = app.did()["latency"]
            app.end()
        added = [
            round(one - two)
            for one, two in zip(found["traced"], found["bare"], strict=True)
        ]
        bare = [round(one) for one in found["bare"]]
        rows.append(f"{name} +{added[0]}/+{added[1]}")
        if len(rows) == 1:
            rows.insert(0, f"a call alone {bare[0]}/{bare[1]}")

    measure("up", stack.url("grpc"))
    with Receiver() as receiver:
        receiver.status = 503
        measure("refusing", f"http://127.0.0.1:{receiver.http_port}", **http)
    with _dragging(stack):
        measure("slow", stack.url("grpc"))
    os.kill(stack.collector.process_id, signal.SIGSTOP)
    try:
        measure("hanging", stack.url("grpc"))
    finally:
        os.kill(stack.collector.process_id, signal.SIGCONT)
    measure("gone", f"http://127.0.0.1:{nobody}")
    return f"µs p50/p99: {', '.join(rows)}"


@contextmanager
def _dragging(stack: Stack) -> Iterator[None]:
    """Stop the Collector for nine tenths of the time."""
    script = (
        "import os,signal,sys,time\n"
        "pid=int(sys.argv[1])\n"
        "while True:\n"
        "  os.kill(pid,signal.SIGSTOP); time.sleep(0.9)\n"
        "  os.kill(pid,signal.SIGCONT); time.sleep(0.1)\n"
    )
    pid = stack.collector.process_id
    dragger = subprocess.Popen([sys.executable, "-c", script, str(pid)])  # noqa: S603
    try:
        yield
    finally:
        dragger.kill()
        dragger.wait()
        os.kill(pid, signal.SIGCONT)


def collector_killed(stack: Stack) -> str:
    """Kill the Collector for 60 s under load: what is lost is counted."""
    options = ("killed", "--rate", "20", "--seconds", "85")
    with running(App(stack, stack.url("grpc"), *options)) as app:
        time.sleep(10)
        killed = time.time()
        stack.collector.kill()
        time.sleep(60)
        stack.collector.start()
        did = app.did()
        ended = did["ended"]
        left = missing(stack, list(ended), 30)
        window = [one for one in left if killed - _WINDOW < ended[one] < killed]
        lost, counted = len(left), int(did["lost"] or 0)
        assert did["open"] == 0
        assert lost <= counted + len(window), (lost, counted, len(window))
        assert app.end() == 0
    return (
        f"{len(ended):,} traces, {lost:,} lost, {counted:,} of them counted, "
        f"{len(window)} in the Collector's memory"
    )


def jaeger_killed(stack: Stack) -> str:
    """Kill Jaeger for 20 s under load: the Collector's queue keeps all."""
    options = ("behind", "--rate", "20", "--seconds", "40")
    with running(App(stack, stack.url("grpc"), *options)) as app:
        time.sleep(10)
        stack.jaeger.kill()
        time.sleep(20)
        stack.jaeger.start()
        did = app.did()
        left = missing(stack, list(did["ended"]), 180)
        assert not did["lost"]
        assert did["open"] == 0
        assert app.end() == 0
    # What Jaeger had taken and not written when it was killed is its own.
    assert len(left) <= 20 * _WINDOW, len(left)
    return (
        f"{len(did['ended']):,} traces, {len(left)} lost: taken by Jaeger, not written"
    )


def terminated(stack: Stack) -> str:
    """SIGTERM in the middle of 100 calls: those are sent as given up."""
    options = ("term", "--at-once", "500", "--hold", "100")
    with running(App(stack, stack.url("grpc"), *options)) as app:
        did = app.did()
        _in_flight(stack, 100)
        began = time.monotonic()
        app.process.send_signal(signal.SIGTERM)
        code = app.process.wait(_ENDS_WITHIN)
        took = time.monotonic() - began
        assert code == -signal.SIGTERM, code
        assert not missing(stack, list(did["ended"]), 120)
        given_up = (
            f'sum(traces_span_metrics_calls_total{{service_name="{app.service}", '
            'error_type=~"cancelled|abandoned"})'
        )
        eventually(_is(stack, given_up, 100), given_up)
    return f"500 ended and 100 open calls: all 600 found, gone after {took:.1f} s"


def killed(stack: Stack) -> str:
    """SIGKILL in the middle of 100 calls: what had ended before is there."""
    options = ("kill", "--at-once", "500", "--hold", "100")
    with running(App(stack, stack.url("grpc"), *options)) as app:
        did = app.did()
        _in_flight(stack, 100)
        app.process.kill()
        app.process.wait(_ENDS_WITHIN)
        assert not missing(stack, list(did["ended"]), 120)
    return (
        "500 ended and flushed calls found, 100 open ones are lost with their process"
    )


def _in_flight(stack: Stack, calls: int) -> None:
    """Wait until Prometheus has this number of open calls."""
    query = 'sum(otel_callbacks_operations_in_flight{job="app"})'
    eventually(_is(stack, query, calls), query)


ATTACKS: Final[dict[str, Callable[[Stack], str]]] = {
    "10,000 at once": concurrent,
    "latency": latency,
    "collector killed for 60 s": collector_killed,
    "jaeger killed for 20 s": jaeger_killed,
    "SIGTERM mid-call": terminated,
    "SIGKILL mid-call": killed,
}


def main() -> int:
    """Run the attacks, each on new servers, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    only = parser.parse_args().only
    failed = 0
    for name, attack in ATTACKS.items():
        if only not in name:
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            stack = Stack(Path(folder))
            try:
                stack.start()
                outcome = attack(stack)
            except Exception as error:  # noqa: BLE001 -- a row of the table
                failed += 1
                outcome = f"FAILED: {type(error).__name__}: {error}"
            finally:
                stack.stop()
        line = f"{name:28} {time.monotonic() - started:6.1f} s  {outcome}"
        print(line, flush=True)  # noqa: T201 -- a command
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
