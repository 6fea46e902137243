from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from waiting import WAIT_S

from otel_callbacks import Settings
from otel_callbacks.cli import main
from otel_callbacks.cli.env import BACKENDS, at, block, troubles
from otel_callbacks.settings import check_sdk_variables

_PAGE = Path(__file__).parents[3] / "docs" / "backends.md"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(params=BACKENDS)
def name(request: pytest.FixtureRequest) -> str:
    """Return each backend's name."""
    return str(request.param)


def _here(monkeypatch: pytest.MonkeyPatch, name: str, **others: str) -> Settings:
    """Set a backend's variables and others, and return the settings."""
    for variable, value in {**BACKENDS[name].variables, **others}.items():
        monkeypatch.setenv(variable, value)
    check_sdk_variables()
    return Settings.from_env()


def _troubles(monkeypatch: pytest.MonkeyPatch, name: str, **others: str) -> list[str]:
    """Return the faults of a backend's variables, some of them changed."""
    settings = _here(monkeypatch, name, **others)
    prefix = "OTEL_EXPORTER_OTLP_"
    url = os.environ.get(f"{prefix}TRACES_ENDPOINT") or os.environ[f"{prefix}ENDPOINT"]
    found = list(troubles(url, settings, os.environ))
    assert all(f"otel-callbacks env {name}" in remedy for _, remedy in found)
    return [reason for reason, _ in found]


def test_the_page_has_each_block_and_no_other() -> None:
    """The command and the page have one source."""
    blocks = _BLOCK.findall(_PAGE.read_text(encoding="utf-8"))
    assert blocks == ["\n".join(block(name)) + "\n" for name in BACKENDS]


def test_a_shell_reads_each_block(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell exports exactly the backend's variables."""
    assert main(["env", name]) == 0
    script = f"{capsys.readouterr().out}env"
    done = subprocess.run(  # noqa: S603 -- our own output
        ["/bin/sh", "-euc", script],
        env={},
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=True,
    )
    assert done.stderr == ""
    read = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert BACKENDS[name].variables.items() <= read.items()


def test_a_complete_environment_has_no_faults(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only possible fault is a placeholder."""
    found = _troubles(monkeypatch, name)
    assert all("still has the placeholder" in one for one in found)
    assert name in at(BACKENDS[name].endpoint)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://otlp-gateway-prod-eu-west-2.grafana.net/otlp", ["grafana-cloud"]),
        ("https://ingest.eu.signoz.cloud:443", ["signoz"]),
        ("https://ingest.eu.signoz.cloud", ["signoz"]),
        ("https://api.eu1.honeycomb.io", ["honeycomb"]),
        ("http://127.0.0.1:6006/v1/traces", ["phoenix"]),
        ("http://collector.internal:4317", []),
        ("https://grafana.net.evil.test", []),
    ],
)
def test_a_backend_is_recognised_by_its_host(url: str, names: list[str]) -> None:
    """Any value may replace a placeholder."""
    assert at(url) == names


def test_localhost_matches_several_backends() -> None:
    """With both protocols; the environment is not compared with any of them."""
    for port in (4317, 4318):
        found = at(f"http://127.0.0.1:{port}")
        assert {"watch", "jaeger", "collector", "datadog"} <= set(found)
        assert list(troubles(f"http://localhost:{port}", Settings(), {})) == []


_KEY = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20eA=="}
_BASE = "https://otlp-gateway-z.grafana.net"


@pytest.mark.parametrize(
    ("name", "variables", "wrong"),
    [
        ("grafana-cloud", _KEY, []),
        (
            "grafana-cloud",
            {**_KEY, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            ["Grafana Cloud accepts http/protobuf, but grpc is set"],
        ),
        (
            "grafana-cloud",
            {**_KEY, "OTEL_EXPORTER_OTLP_ENDPOINT": _BASE},
            ["Grafana Cloud accepts spans at /otlp/v1/traces, not at /v1/traces"],
        ),
        (
            "grafana-cloud",
            {**_KEY, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{_BASE}/otlp"},
            ["Grafana Cloud accepts spans at /otlp/v1/traces, not at /otlp"],
        ),
        (
            "honeycomb",
            {"OTEL_EXPORTER_OTLP_HEADERS": "x-other=1"},
            ["Honeycomb needs the header x-honeycomb-team"],
        ),
        (
            "honeycomb",
            {},
            ["the header x-honeycomb-team still has the placeholder KEY"],
        ),
        (
            "mlflow",
            {
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "X-MLflow-Experiment-Id=0",
                "OTEL_METRICS_EXPORTER": "both",
                "OTEL_LOGS_EXPORTER": "otlp",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:5000",
            },
            [
                "metrics are sent to MLflow, which accepts none",
                "logs are sent to MLflow, which accepts none",
            ],
        ),
        (
            "mlflow",
            {
                "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "x-mlflow-experiment-id=0",
                "OTEL_METRICS_EXPORTER": "otlp",
            },
            [],
        ),
    ],
)
def test_faults_are_named(
    name: str,
    variables: dict[str, str],
    wrong: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protocol, path, headers, and signals that a backend does not accept."""
    assert _troubles(monkeypatch, name, **variables) == wrong


def test_an_unknown_backend_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The error lists the known backends."""
    with pytest.raises(SystemExit):
        main(["env", "florist"])
    assert "honeycomb" in capsys.readouterr().err
