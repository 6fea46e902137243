"""Mistakes that are easily made, each planted into a good manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manifests import named, resources

if TYPE_CHECKING:
    from manifests import Resource


def port() -> Resource:
    """A port that no address has."""
    gateway = named(resources("overlays/small"), "Deployment", "otel-gateway")
    ports = gateway["spec"]["template"]["spec"]["containers"][0]["ports"]
    ports[0]["containerPort"] = 94640
    return gateway


def sampler() -> Resource:
    """A sampler that the operator does not know."""
    found = named(resources("zero-code"), "Instrumentation", "otel-callbacks")
    found["metadata"]["namespace"] = "shop"
    found["spec"]["sampler"]["type"] = "parentbased_sometimes"
    return found


def mode() -> Resource:
    """A mode of files written in decimal: 1777 instead of 0777."""
    gateway = named(resources("overlays/small"), "Deployment", "otel-gateway")
    (token,) = (
        each
        for each in gateway["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "token"
    )
    token["secret"]["defaultMode"] = 1777
    return gateway


def field() -> Resource:
    """A field misspelt by one capital letter."""
    jaeger = named(resources("overlays/small"), "StatefulSet", "jaeger")
    context = jaeger["spec"]["template"]["spec"]["containers"][0]["securityContext"]
    context["readOnlyRootFileSystem"] = context.pop("readOnlyRootFilesystem")
    return jaeger


def duration() -> Resource:
    """A duration as one would say it."""
    rules = named(resources("monitoring"), "PrometheusRule", "otel-callbacks-tiers")
    rules["spec"]["groups"][0]["rules"][0]["for"] = "5 minutes"
    return rules


# What each is refused for, in the words of the server.
REFUSED = {
    port: "must be between 1 and 65535",
    sampler: "Unsupported value",
    mode: "must be a number between 0 and 0777",
    field: "readOnlyRootFileSystem",
    duration: "should match",
}


def _gateway() -> tuple[Resource, Resource]:
    """Return the large overlay's gateway and its container."""
    found = named(resources("overlays/large"), "Deployment", "otel-gateway")
    return found, found["spec"]["template"]["spec"]["containers"][0]


def quantity() -> Resource:
    """Memory with a unit that Kubernetes does not know."""
    found, container = _gateway()
    container["resources"]["limits"]["memory"] = "512MB"
    return found


def volume() -> Resource:
    """A mount of a volume that the Pod does not have."""
    found, container = _gateway()
    container["volumeMounts"][0]["name"] = "configuration"
    return found


def port_name() -> Resource:
    """A name of a port that is too long."""
    found, container = _gateway()
    container["ports"][0]["name"] = "otlp-grpc-of-the-gateway"
    return found


def selector() -> Resource:
    """A selector that does not find the Deployment's own Pods."""
    found, _ = _gateway()
    found["spec"]["selector"]["matchLabels"] = {"app": "gateway"}
    return found


def protocol() -> Resource:
    """Two letters changed places."""
    found = named(resources("overlays/large"), "NetworkPolicy", "sampler")
    found["spec"]["ingress"][0]["ports"][0]["protocol"] = "TPC"
    return found


def schedule() -> Resource:
    """A minute that no hour has."""
    found = named(resources("overlays/large"), "CronJob", "jaeger-retention")
    found["spec"]["schedule"] = "61 * * * *"
    return found


def both() -> Resource:
    """A budget that says the same thing twice."""
    found = named(resources("overlays/large"), "PodDisruptionBudget", "otel-gateway")
    found["spec"]["minAvailable"] = 1
    return found


def replicas() -> Resource:
    """More at least than at most."""
    found = named(
        resources("overlays/large"), "HorizontalPodAutoscaler", "otel-gateway"
    )
    found["spec"]["minReplicas"] = 20
    return found


def monitor() -> Resource:
    """A field in the singular."""
    found = named(resources("monitoring"), "PodMonitor", "servers")
    found["spec"]["podMetricEndpoints"] = found["spec"].pop("podMetricsEndpoints")
    return found


def fewer_than_none() -> Resource:
    """A number of replicas with a minus."""
    found, _ = _gateway()
    found["spec"]["replicas"] = -1
    return found


def twice() -> Resource:
    """Two ports of one name."""
    found, container = _gateway()
    container["ports"][1]["name"] = container["ports"][0]["name"]
    return found


def service() -> Resource:
    """A type of Service with one small letter."""
    found = named(resources("overlays/small"), "Service", "otel-gateway")
    found["spec"]["type"] = "ClusterIp"
    return found


def name() -> Resource:
    """A name with a capital and an underscore."""
    found, _ = _gateway()
    found["metadata"]["name"] = "Otel_Gateway"
    return found


def version() -> Resource:
    """A version that Kubernetes took away in 1.16."""
    found = named(resources("overlays/large"), "StatefulSet", "otel-sampler")
    found["apiVersion"] = "apps/v1beta1"
    return found


# Where the schemas and tests/kubernetes/values.py say that each is wrong.
PLACES = {
    port: "base/gateway.yaml",
    sampler: "zero-code/instrumentation.yaml: Instrumentation/otel-callbacks: "
    "spec.sampler.type: ",
    mode: "Deployment/otel-gateway: spec.template.spec.volumes.",
    field: "small/jaeger.yaml: StatefulSet/jaeger: spec.template.spec.containers.0."
    "securityContext: ",
    duration: "PrometheusRule/otel-callbacks-tiers: spec.groups.0.rules.0.for: ",
    quantity: "containers.0.resources.limits.memory: '512MB'",
    volume: "containers.0.volumeMounts.0.name: 'configuration'",
    port_name: "containers.0.ports.0.name: ",
    selector: "Deployment/otel-gateway: spec.selector: ",
    protocol: "large/network.yaml: NetworkPolicy/sampler: "
    "spec.ingress.0.ports.0.protocol: ",
    schedule: "large/retention.yaml: CronJob/jaeger-retention: spec.schedule: ",
    both: "large/availability.yaml: PodDisruptionBudget/otel-gateway: spec: ",
    replicas: "HorizontalPodAutoscaler/otel-gateway: spec.minReplicas: ",
    monitor: "monitoring/monitors.yaml: PodMonitor/servers: spec: ",
    fewer_than_none: "Deployment/otel-gateway: spec.replicas: ",
    twice: "containers.0.ports.1.name: ",
    service: "Service/otel-gateway: spec.type: ",
    name: "metadata.name: ",
    version: "large/sampler.yaml: StatefulSet/otel-sampler: apiVersion: ",
}
