"""Compose and Kubernetes share their files: none of them is kept twice."""

from __future__ import annotations

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING

import pytest
import yaml
from manifests import DEPLOY, named, pods, resources

if TYPE_CHECKING:
    from types import ModuleType

_ANNOTATIONS_END_AT = 262_144
_SERVERS = ("overlays/small", "overlays/large", "overlays/dev")


def _builder() -> ModuleType:
    """Import the script that writes the rules, which is in no package."""
    file = DEPLOY / "kubernetes/monitoring/build.py"
    spec = spec_from_file_location("monitoring_build", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rules_are_those_of_the_rule_files() -> None:
    """Else: make kubernetes-files."""
    builder = _builder()
    written = list(yaml.safe_load_all(builder.RULES.read_text()))
    groups = {each["metadata"]["name"]: each["spec"] for each in written}
    assert groups == {
        f"otel-callbacks-{file.stem}": yaml.safe_load(file.read_text())
        for file in builder.sources()
    }
    assert builder.RULES.read_text() == builder.rules()


def test_prometheus_is_set_up_as_on_one_machine() -> None:
    """Else: make kubernetes-files."""
    builder = _builder()
    assert builder.SETTINGS.read_text() == builder.settings()
    spec = yaml.safe_load(builder.SETTINGS.read_text())["spec"]
    file = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    assert list(spec["otlp"].values()) == list(file["otlp"].values())
    assert spec["scrapeInterval"] == file["global"]["scrape_interval"]
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
    flags = compose["services"]["prometheus"]["command"]
    assert f"--enable-feature={','.join(spec['enableFeatures'])}" in flags
    assert spec["enableOTLPReceiver"] == ("--web.enable-otlp-receiver" in flags)


@pytest.mark.kubernetes
def test_the_first_call_of_a_series_is_on_the_boards_there_too() -> None:
    """Prometheus adds the zero of a counter's birth, and keeps exemplars."""
    for name in ("monitoring", "overlays/large"):
        prometheus = named(resources(name), "Prometheus", "otel-callbacks")
        assert {
            "exemplar-storage",
            "created-timestamp-zero-ingestion",
        } <= set(prometheus["spec"]["enableFeatures"])


def test_images_are_those_of_compose() -> None:
    """But for the Collector, whose exporters between tiers want a later one."""
    pinned = dict(
        re.findall(
            r"^(\w+_IMAGE)=(\S+)$", (DEPLOY.parent / ".env").read_text(), re.MULTILINE
        )
    )
    text = "\n".join(
        file.read_text() for file in (DEPLOY / "kubernetes").rglob("*.yaml")
    )
    assert pinned["PROMETHEUS_IMAGE"] in text
    name, tag, digest = re.split(r":|@", pinned["JAEGER_IMAGE"], maxsplit=2)
    entry = f"  - name: {name}\n    newTag: {tag}\n    digest: {digest}\n"
    for overlay in ("small", "large"):
        file = DEPLOY / f"kubernetes/overlays/{overlay}/kustomization.yaml"
        assert entry in file.read_text()


@pytest.mark.kubernetes
@pytest.mark.parametrize("name", _SERVERS)
def test_the_collector_runs_the_file_of_compose(name: str) -> None:
    """A change of deploy/collector/config.yaml is a change here."""
    found = named(resources(name), "ConfigMap", "otel-collector")
    file = DEPLOY / "collector/config.yaml"
    assert found["data"] == {"config.yaml": file.read_text()}


@pytest.mark.kubernetes
def test_jaeger_runs_the_file_of_compose() -> None:
    """In the small overlay; both have the pages' settings in common."""
    small, large = resources("overlays/small"), resources("overlays/large")
    pages = {"ui.json": (DEPLOY / "jaeger/ui.json").read_text()}
    assert named(small, "ConfigMap", "jaeger")["data"] == {
        "config.yaml": (DEPLOY / "jaeger/config.yaml").read_text()
    }
    assert named(small, "ConfigMap", "jaeger-ui")["data"] == pages
    assert named(large, "ConfigMap", "jaeger-ui")["data"] == pages


@pytest.mark.kubernetes
def test_each_dashboard_is_a_config_map_that_can_be_applied() -> None:
    """One each, none lost, none too large for a client-side apply."""
    found = {
        name: text
        for each in resources("monitoring")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in each["data"].items()
    }
    assert found == {
        file.name: file.read_text()
        for file in sorted((DEPLOY / "grafana/json").glob("*.json"))
    }
    for each in resources("monitoring"):
        size = len(json.dumps(each))
        assert size < _ANNOTATIONS_END_AT, f"{each['metadata']['name']}: {size}"


@pytest.mark.kubernetes
@pytest.mark.parametrize("name", _SERVERS)
def test_every_variable_is_one_that_a_configuration_reads(name: str) -> None:
    """A misspelt variable would be silently the default."""
    found = resources(name)
    text = "\n".join(
        value
        for each in found
        if each["kind"] == "ConfigMap"
        for value in each["data"].values()
    )
    read = set(re.findall(r"\$\{env:(\w+)", text))
    others = {
        *("GOMEMLIMIT", "OTEL_TRACES_SAMPLER", "RETENTION_DAYS"),
        *("INDEX_PREFIX", "ES_TLS_ENABLED", "ES_TLS_CA", "ES_USERNAME", "ES_PASSWORD"),
    }
    variables = {
        variable["name"]
        for pod, template in pods(found).items()
        if not pod.endswith(("/kafka", "/opensearch"))
        for container in template["spec"]["containers"]
        for variable in container.get("env", ())
    }
    addresses = {
        key
        for each in found
        if each["metadata"]["name"].startswith("otel-addresses")
        for key in each["data"]
    }
    assert (variables | addresses) - read - others == set()
