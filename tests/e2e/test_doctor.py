"""The doctor on the real servers: all healthy, and each one broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from answers import trace
from processes import Server
from stack import PROMETHEUS_FLAGS, Stack
from waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

_SECONDS = "20"


def _environment(**variables: str) -> dict[str, str]:
    """Return this environment without the developer's own settings."""
    kept = {name: text for name, text in os.environ.items() if name[:5] != "OTEL_"}
    return {**kept, **variables}


def _examine(stack: Stack, *arguments: str, **variables: str) -> dict[str, Any]:
    """Run the doctor on a stack; return its report and its hops by name."""
    done = subprocess.run(  # noqa: S603 -- our own program
        [
            *(sys.executable, "-m", "otel_callbacks.cli", "doctor", "--json"),
            *("--jaeger", stack.url("jaeger_http")),
            *("--prometheus", stack.url("prometheus")),
            # Grafana cannot be built here; its hop is tested without it.
            *("--skip", "grafana", "--timeout", _SECONDS),
            *arguments,
        ],
        env=_environment(
            **{
                "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
                "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
                **variables,
            }
        ),
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=False,
    )
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0)
    report["hops"] = {hop["name"]: hop for hop in report["hops"]}
    return report


def _broken(report: dict[str, Any]) -> dict[str, list[str]]:
    """Return the reasons of the broken hops."""
    return {
        name: [trouble["reason"] for trouble in hop["troubles"]]
        for name, hop in report["hops"].items()
        if hop["state"] == "broken"
    }


@contextmanager
def _demo(stack: Stack) -> Iterator[None]:
    """Run the demo as the app, with its series at Prometheus' target."""
    demo = Server(
        "demo",
        [sys.executable, "-m", "otel_callbacks.cli", "demo", "--keep-serving"],
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.url("grpc"),
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(stack.app_port),
        },
        stack.folder / "demo.log",
        f"{stack.url('app')}/healthz",
    )
    try:
        demo.start()
        yield
    finally:
        demo.stop()


def test_all_is_well(stack: Stack) -> None:
    """Every hop is reached, by either protocol, and Jaeger has the very trace."""
    with _demo(stack):
        over_grpc = _examine(stack)
        over_http = _examine(
            stack, "--collector", stack.url("http"), **_protocol("http/protobuf")
        )
    for report in (over_grpc, over_http):
        assert _broken(report) == {}
        states = {name: hop["state"] for name, hop in report["hops"].items()}
        assert states.pop("grafana") == "skipped"
        assert {*states.values()} == {"reached"}
        spans = trace(stack.url("jaeger_http"), report["trace_id"])
        assert {span.service for span in spans} == {"otel-callbacks-doctor"}
        assert len(spans) == 3
        # An exemplar of the span metrics names the trace.
        assert "span metrics of the trace" in report["hops"]["prometheus"]["saw"]
        assert report["hops"]["prometheus"]["cautions"] == []


def _protocol(name: str) -> dict[str, str]:
    """Return the variable that chooses a protocol."""
    return {"OTEL_EXPORTER_OTLP_PROTOCOL": name}


@pytest.mark.parametrize(
    ("port", "ours", "theirs"),
    [("http", "grpc", "http/protobuf"), ("grpc", "http/protobuf", "grpc")],
)
def test_wrong_protocol_is_named(
    stack: Stack, port: str, ours: str, theirs: str
) -> None:
    """Sending gRPC to the HTTP port, or HTTP to the gRPC port, is named."""
    report = _examine(
        stack, "--collector", stack.url(port), "--skip=metrics", **_protocol(ours)
    )
    assert _broken(report) == {
        "collector": [
            f"wrong protocol on the port: {stack.address(port)} speaks {theirs}, not "
            + ours
        ]
    }
    (trouble,) = report["hops"]["collector"]["troubles"]
    assert f"OTEL_EXPORTER_OTLP_PROTOCOL={theirs}" in trouble["remedy"]


def test_port_of_another_server_is_named(stack: Stack) -> None:
    """Prometheus is recognized as neither a Collector nor a Jaeger."""
    other = stack.url("prometheus")
    report = _examine(stack, "--collector", other, "--jaeger", other, "--skip=metrics")
    reasons = _broken(report)
    assert [*reasons] == ["collector", "jaeger"]
    assert "does not speak OTLP" in reasons["collector"][0]
    assert "is not jaeger" in reasons["jaeger"][0]


def test_app_that_is_away_breaks_its_two_hops(stack: Stack) -> None:
    """Without the app, the series and Prometheus' target are broken."""
    reasons = _broken(_examine(stack))
    assert [*reasons] == ["metrics", "prometheus"]
    assert "connection refused" in reasons["metrics"][0]
    assert f"{stack.url('app')}/metrics is down: Get " in reasons["prometheus"][0]


def test_sampler_of_the_sdk_is_named(stack: Stack) -> None:
    """With the sampler off no trace is sent; the other hops still answer."""
    report = _examine(stack, "--skip=metrics", OTEL_TRACES_SAMPLER="always_off")
    assert _broken(report) == {
        "handler": ["sampled away: OTEL_TRACES_SAMPLER=always_off sends no trace"]
    }
    assert report["hops"]["collector"]["state"] == "answers"


def test_each_server_that_is_stopped_is_named(own_stack: Stack) -> None:
    """Each stopped server is named, and the running ones are not."""
    own_stack.start()
    for server, hop, port in (
        (own_stack.jaeger, "jaeger", "jaeger_http"),
        (own_stack.prometheus, "prometheus", "prometheus"),
        (own_stack.collector, "collector", "grpc"),
    ):
        server.stop()
        address = own_stack.address(port)
        assert _broken(_examine(own_stack, "--skip=metrics")) == {
            hop: [f"connection refused: nothing listens on {address}"]
        }
        server.start()
    assert _broken(_examine(own_stack, "--skip=metrics")) == {}


def test_collector_that_cannot_reach_jaeger_is_named(tmp_path: Path) -> None:
    """If the Collector cannot reach Jaeger, the trace waits in its queue."""
    stack = Stack(tmp_path, COLLECTOR_JAEGER_ENDPOINT="127.0.0.1:1")
    try:
        stack.start()
        reasons = _broken(_examine(stack, "--skip=metrics"))
        assert [*reasons] == ["jaeger"]
        assert "waits in the Collector's queue" in reasons["jaeger"][0]
    finally:
        stack.stop()


def test_sampled_away_is_named(tmp_path: Path) -> None:
    """If tail sampling drops the trace, the Collector's series show it."""
    stack = Stack(tmp_path, COLLECTOR_KEEP_PERCENT="0")
    try:
        stack.start()
        report = _examine(stack, "--skip=metrics")
    finally:
        stack.stop()
    reason = (
        "sampled away: since the trace was sent, the Collector's tail sampling has "
        "dropped 1 of 1 traces"
    )
    assert _broken(report) == {"jaeger": [reason]}
    assert report["hops"]["prometheus"]["state"] == "reached"


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("exemplar-storage", "no exemplar storage"),
        ("--web.enable-otlp-receiver", "the OTLP receiver is off"),
    ],
)
def test_switch_of_prometheus_is_named(
    tmp_path: Path, missing: str, reason: str
) -> None:
    """A missing flag of Prometheus is named."""
    (flag,) = (flag for flag in PROMETHEUS_FLAGS if missing in flag)
    stack = Stack(tmp_path)
    stack.prometheus._command.remove(flag)
    try:
        stack.start()
        report = _examine(stack, "--skip=metrics")
    finally:
        stack.stop()
    reasons = _broken(report)
    assert [*reasons] == ["prometheus"]
    assert [one.partition(":")[0] for one in reasons["prometheus"]] == [reason]
    (trouble,) = report["hops"]["prometheus"]["troubles"]
    assert missing in trouble["remedy"]
