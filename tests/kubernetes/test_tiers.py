"""The tiers' files, merged over the Collector's own, make whole pipelines."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from binaries import BuildError, binary
from manifests import DEPLOY, mistakes, pods, rendered

if TYPE_CHECKING:
    from pathlib import Path

_BASE = DEPLOY / "collector/config.yaml"
_SECURE = DEPLOY / "kubernetes/base/secure.yaml"
_LARGE = DEPLOY / "kubernetes/overlays/large"
_TIERS = {
    "small": (_BASE, _SECURE),
    "gateway": (_BASE, _SECURE, _LARGE / "gateway-tier.yaml"),
    "sampler": (_BASE, _SECURE, _LARGE / "sampler-tier.yaml"),
}
_LOGIN = DEPLOY / "kubernetes/kafka-login"
_WITH_LOGIN = (*_TIERS["sampler"], _LOGIN / "sampler.yaml")


def _merged(under: Any, over: Any) -> Any:
    """Merge as the Collector does: map by map, everything else replaced."""
    if isinstance(under, dict) and isinstance(over, dict):
        return under | {
            key: _merged(under.get(key), value) for key, value in over.items()
        }
    return over


@pytest.mark.parametrize("tier", _TIERS)
def test_every_pipeline_is_joined_to_the_others(tier: str) -> None:
    """A connector that only one side uses would keep the Collector from starting."""
    merged: dict[str, Any] = {}
    for file in _TIERS[tier]:
        merged = _merged(merged, yaml.safe_load(file.read_text()))
    pipelines = merged["service"]["pipelines"].values()
    taken_in = {name for each in pipelines for name in each["receivers"]}
    sent_out = {name for each in pipelines for name in each["exporters"]}
    joints = set(merged["connectors"])
    assert taken_in & joints == sent_out & joints
    assert taken_in - joints <= set(merged["receivers"])
    assert sent_out - joints <= set(merged["exporters"])
    for each in pipelines:
        assert set(each.get("processors", ())) <= set(merged["processors"])


def test_every_tier_does_its_own_work() -> None:
    """Gateways split by trace, samplers count and sample; neither does both."""
    work = {}
    for tier, files in _TIERS.items():
        merged: dict[str, Any] = {}
        for file in files:
            merged = _merged(merged, yaml.safe_load(file.read_text()))
        pipelines = merged["service"]["pipelines"].values()
        work[tier] = {
            name
            for each in pipelines
            for name in (*each.get("processors", ()), *each["exporters"])
        } & {
            *("load_balancing", "span_metrics", "tail_sampling", "kafka"),
            *("otlp_grpc/jaeger", "redaction/keys"),
        }
    assert work == {
        "small": {
            *("span_metrics", "tail_sampling", "otlp_grpc/jaeger", "redaction/keys"),
        },
        "gateway": {"load_balancing", "redaction/keys"},
        "sampler": {"span_metrics", "tail_sampling", "kafka", "redaction/keys"},
    }


def test_jaeger_reads_the_series_of_spans_as_on_one_machine() -> None:
    """The unit, the names: all but the address."""
    one = yaml.safe_load((DEPLOY / "jaeger/config.yaml").read_text())
    many = yaml.safe_load((_LARGE / "jaeger-query.yaml").read_text())
    found = []
    for file in (one, many):
        backends = file["extensions"]["jaeger_storage"]["metric_backends"]
        found.append(backends["span_metrics"]["prometheus"] | {"endpoint": None})
    assert found[0] == found[1]


@pytest.mark.kubernetes
def test_a_login_of_kafka_is_one_line_in_an_overlay(tmp_path: Path) -> None:
    """Samplers and ingesters get user and password of a Secret, nobody else does."""
    folders = {
        "resources": [os.path.relpath(_LARGE, tmp_path)],
        "components": [os.path.relpath(_LOGIN, tmp_path)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(folders))
    found = list(yaml.safe_load_all(rendered(str(tmp_path))))
    assert [wrong for each in found for wrong in mistakes(each)] == []
    for pod, template in pods(found).items():
        (container,) = template["spec"]["containers"]
        logs_in = pod in {"StatefulSet/otel-sampler", "Deployment/jaeger-ingester"}
        secrets = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"]
            for variable in container.get("env", ())
            if variable["name"].startswith("KAFKA_")
        }
        assert secrets == (
            {
                "KAFKA_USER": {"name": "kafka-login", "key": "username"},
                "KAFKA_PASSWORD": {"name": "kafka-login", "key": "password"},
            }
            if logs_in
            else {}
        )
        assert ("kafka-login" in repr(container["args"])) == logs_in, pod
    # Each file says it of what the tier's own file has.
    for name, kind, file in (
        ("sampler", "exporters", "sampler-tier"),
        ("ingester", "receivers", "jaeger-ingester"),
    ):
        more = yaml.safe_load((_LOGIN / f"{name}.yaml").read_text())
        assert list(more) == [kind]
        tier = yaml.safe_load((_LARGE / f"{file}.yaml").read_text())
        assert set(more[kind]) <= set(tier[kind])


@pytest.mark.kubernetes
@pytest.mark.parametrize("tier", [*_TIERS, "sampler that logs in"])
def test_the_collector_understands_it(tier: str, tmp_path: Path) -> None:
    """``otelcol validate`` of the version that the manifests name."""
    try:
        collector = binary("otelcol-tiers")
    except BuildError as error:
        pytest.skip(str(error))
    for name in ("tls.crt", "tls.key", "ca.crt", "token"):
        (tmp_path / name).touch()
    ended = subprocess.run(  # noqa: S603 -- our own binary
        [
            *(str(collector), "validate"),
            *(f"--config={file}" for file in _TIERS.get(tier, _WITH_LOGIN)),
        ],
        env={
            "COLLECTOR_STORAGE": str(tmp_path),
            "COLLECTOR_TOKEN_FILE": str(tmp_path / "token"),
            "COLLECTOR_TLS": str(tmp_path),
            "COLLECTOR_SAMPLERS": "[one:4317, two:4317]",
            "KAFKA_BROKERS": "[one:9093]",
            "KAFKA_USER": "jaeger",
            "KAFKA_PASSWORD": "none",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
