"""What the compose file promises of its containers holds of the Pods, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from manifests import ROOT, pods, resources

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kubernetes

_SERVERS = ("overlays/small", "overlays/large", "overlays/dev")
# Development only; their images' start scripts write beside themselves.
_WRITES_ITS_ROOT = {"StatefulSet/kafka", "StatefulSet/opensearch"}
# Published by tag; no digest is known to us.
_BY_TAG = {"jaegertracing/jaeger-es-index-cleaner:1.76.0"}
_MEBIBYTES = {"Mi": 1, "Gi": 1024}


def _containers(name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for pod, template in pods(resources(name)).items():
        for container in template["spec"]["containers"]:
            yield pod, template["spec"], container


@pytest.mark.parametrize("name", _SERVERS)
def test_no_container_has_more_rights_than_it_needs(name: str) -> None:
    """No root, no capability, no written root, no token of the API server."""
    for pod, spec, container in _containers(name):
        assert spec["securityContext"]["runAsNonRoot"] is True, pod
        assert spec["securityContext"]["runAsUser"] >= 1000, pod
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False, pod
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": pod not in _WRITES_ITS_ROOT,
            "capabilities": {"drop": ["ALL"]},
        }, pod


@pytest.mark.parametrize("name", _SERVERS)
def test_every_container_has_requests_and_a_limit_of_memory(name: str) -> None:
    """And Go's own limit is 80 % of it, as everywhere here."""
    for pod, _, container in _containers(name):
        sizes = container["resources"]
        assert set(sizes["requests"]) == {"cpu", "memory"}, pod
        assert set(sizes["limits"]) == {"memory"}, pod
        number, unit = re.fullmatch(r"(\d+)(\w+)", sizes["limits"]["memory"]).groups()  # type: ignore[union-attr]
        for variable in container.get("env", ()):
            if variable["name"] == "GOMEMLIMIT":
                limit = int(number) * _MEBIBYTES[unit]
                assert variable["value"] == f"{limit * 80 // 100}MiB", pod


@pytest.mark.parametrize("name", _SERVERS)
def test_every_image_is_pinned_by_digest(name: str) -> None:
    """A tag can be moved."""
    for _, _, container in _containers(name):
        image = container["image"]
        assert re.search(r":[^:@]+@sha256:[0-9a-f]{64}$", image) or image in _BY_TAG


@pytest.mark.parametrize("name", _SERVERS)
def test_every_server_is_probed_and_ends_in_order(name: str) -> None:
    """What takes requests says when it is ready."""
    for pod, _, container in _containers(name):
        if container.get("ports"):
            assert "readinessProbe" in container, pod


@pytest.mark.parametrize("name", _SERVERS)
def test_the_network_is_closed_and_every_policy_selects_a_pod(name: str) -> None:
    """A policy whose labels match nothing opens nothing, and hides a mistake."""
    found = resources(name)
    labels = [each["metadata"]["labels"] for each in pods(found).values()]
    # The operator makes this Pod.
    labels.append(
        {
            "app.kubernetes.io/name": "prometheus",
            "app.kubernetes.io/part-of": "otel-callbacks",
            "otel-callbacks/job": "prometheus",
        }
    )
    policies = [each for each in found if each["kind"] == "NetworkPolicy"]
    assert any(
        each["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        for each in policies
    )
    for policy in policies:
        selector = policy["spec"]["podSelector"]
        assert any(_matches(selector, each) for each in labels), policy["metadata"]


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Say whether a label selector of the two operators used here takes labels."""
    wanted = selector.get("matchLabels", {})
    terms = selector.get("matchExpressions", ())
    return wanted.items() <= labels.items() and all(
        labels.get(term["key"]) in term["values"]
        if term["operator"] == "In"
        else term["key"] in labels
        for term in terms
    )


@pytest.mark.parametrize("name", _SERVERS)
def test_no_secret_is_in_the_repository_and_each_is_in_the_page(name: str) -> None:
    """Nothing has a default password; what is to be made is listed."""
    found = resources(name)
    assert [each for each in found if each["kind"] == "Secret"] == []
    wanted = set(re.findall(r"'(?:secretName|name)': '([\w-]+)'", str(pods(found))))
    page = (ROOT.parents[1] / "docs/kubernetes.md").read_text()
    secrets = wanted & {
        *("otel-gateway-token", "otel-gateway-tls"),
        *("kafka-client", "opensearch-jaeger"),
    }
    assert {"otel-gateway-token", "otel-gateway-tls"} <= secrets
    for each in secrets:
        assert f"`{each}`" in page


def test_parts_for_development_are_marked() -> None:
    """On every resource and in every file of its folder."""
    for each in resources("overlays/dev"):
        assert each["metadata"]["labels"]["otel-callbacks/development-only"] == "true"
    for file in ("kustomization", "kafka", "opensearch"):
        text = (ROOT / f"overlays/dev/{file}.yaml").read_text()
        assert text.startswith("# DEVELOPMENT ONLY")


def test_only_one_gateway_of_many_may_be_drained_at_a_time() -> None:
    """Each replicated server has a budget; one that stands alone has none."""
    budgets = {
        name: {
            each["metadata"]["name"]
            for each in resources(name)
            if each["kind"] == "PodDisruptionBudget"
        }
        for name in ("overlays/small", "overlays/large")
    }
    assert budgets == {
        "overlays/small": set(),
        "overlays/large": {
            *("otel-gateway", "otel-sampler", "jaeger-ingester", "jaeger-query"),
        },
    }
