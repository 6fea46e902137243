"""Five mistakes that are easily made, each planted into a good manifest."""

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
# Those that a schema can see: it knows names and patterns, no ranges.
SEEN_BY_SCHEMA = (sampler, field, duration)
