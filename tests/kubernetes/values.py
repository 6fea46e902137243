"""What the API server knows about values and no schema says.

Ranges, units, words of a closed set, and names that one part of a manifest has of
another. Sources: https://kubernetes.io/docs/reference/kubernetes-api/ and
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str | int, ...]

_QUANTITY: Final = re.compile(
    r"[+-]?(\d+|\d+\.\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?"
)
_PORT_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9](-?[a-z0-9])*")
_PORT_NAME_LENGTH: Final = 15
_HIGHEST_PORT: Final = 65535
_HIGHEST_MODE: Final = 0o777

# A field -> the words it takes.
_WORDS: Final = {
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "protocol": {"TCP", "UDP", "SCTP"},
    "restartPolicy": {"Always", "OnFailure", "Never"},
    "concurrencyPolicy": {"Allow", "Forbid", "Replace"},
    "policyTypes": {"Ingress", "Egress"},
    "accessModes": {
        *("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"),
    },
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    "podManagementPolicy": {"OrderedReady", "Parallel"},
    "operator": {
        *("In", "NotIn", "Exists", "DoesNotExist"),
        *("Gt", "Lt", "Equal"),
    },
    "scheme": {"HTTP", "HTTPS"},
}
_SERVICES: Final = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}
_PORTS: Final = {"port", "containerPort", "targetPort", "hostPort", "nodePort"}
_MODES: Final = {"defaultMode", "mode"}
# Each below one of these is a quantity.
_AMOUNTS: Final = {"requests", "limits", "sizeLimit", "averageValue", "capacity"}
# Minute, hour, day of the month, month, day of the week: the highest of each.
_CRON: Final = (59, 23, 31, 12, 7)


def wrong_values(resource: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Find values that the API server refuses, and where they stand.

    Args:
        resource: One of Kubernetes' own kinds.
    """
    for place, value in _leaves(resource, ()):
        yield from ((place, wrong) for wrong in _of_one(place, value))
    yield from _whole(resource)
    spec = resource.get("spec", {})
    if resource["kind"] == "CronJob":
        yield from _schedule(str(spec.get("schedule", "")))
        spec = spec.get("jobTemplate", {}).get("spec", {})
    if "template" in spec:
        yield from _pod(spec)
    if resource["kind"] == "HorizontalPodAutoscaler" and (
        spec.get("minReplicas", 1) > spec["maxReplicas"]
    ):
        yield ("spec", "minReplicas"), "is more than maxReplicas"
    if resource["kind"] == "PodDisruptionBudget" and (
        ("minAvailable" in spec) == ("maxUnavailable" in spec)
    ):
        yield ("spec",), "wants either minAvailable or maxUnavailable"


def _whole(resource: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Judge the name of a resource, how many there are, and a Service's type."""
    name = resource["metadata"]["name"]
    # https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
    if re.fullmatch(r"[a-z0-9]([a-z0-9.:-]*[a-z0-9])?", name) is None:
        yield ("metadata", "name"), f"{name!r} has more than a-z, 0-9, '-' and '.'"
    spec = resource.get("spec", {})
    if spec.get("replicas", 0) < 0:
        yield ("spec", "replicas"), "is less than 0"
    kind = spec.get("type", "ClusterIP")
    if resource["kind"] == "Service" and kind not in _SERVICES:
        yield ("spec", "type"), f"{kind!r} is none of {', '.join(sorted(_SERVICES))}"


def _leaves(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Walk down to what is neither a list nor a mapping."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from _leaves(inner, (*place, at))
    else:
        yield place, value


def _of_one(place: Place, value: Any) -> Iterator[str]:
    """Judge one value by the field that it stands in."""
    if place[:1] in {("metadata",), ("data",)}:
        return
    names = [part for part in place if isinstance(part, str)]
    field = names[-1] if names else ""
    if value is None:
        yield "has no value"
    elif field in _PORTS and isinstance(value, int):
        if not 1 <= value <= _HIGHEST_PORT:
            yield f"{value} must be between 1 and {_HIGHEST_PORT}"
    elif field in _MODES and isinstance(value, int):
        if not 0 <= value <= _HIGHEST_MODE:
            yield f"{value} must be a number between 0 and 0777 (octal)"
    elif field in _WORDS and value not in _WORDS[field]:
        yield f"{value!r} is none of {', '.join(sorted(_WORDS[field]))}"
    elif _AMOUNTS & set(names[-2:]) and not _QUANTITY.fullmatch(str(value)):
        yield f"{value!r} is no quantity, such as 500m or 512Mi"


def _schedule(text: str) -> Iterator[tuple[Place, str]]:
    """Judge the five fields of a schedule."""
    fields = text.split()
    fits = len(fields) == len(_CRON) and all(
        int(number) <= highest
        for field, highest in zip(fields, _CRON, strict=True)
        for number in re.findall(r"\d+", field.partition("/")[0])
    )
    if not fits:
        yield ("spec", "schedule"), f"{text!r} is no schedule of five fields"


def _pod(spec: dict[str, Any]) -> Iterator[tuple[Place, str]]:
    """Judge what the parts of a Pod's template say of each other."""
    template = spec["template"]
    labels = template.get("metadata", {}).get("labels", {})
    wanted = spec.get("selector", {}).get("matchLabels", {})
    if not wanted.items() <= labels.items():
        yield ("spec", "selector"), "does not match the template's labels"
    pod = template["spec"]
    claims = spec.get("volumeClaimTemplates", ())
    volumes = {one["name"] for one in pod.get("volumes", ())}
    volumes |= {one["metadata"]["name"] for one in claims}
    for at, container in enumerate(pod["containers"]):
        place = ("spec", "template", "spec", "containers", at)
        if not container.get("image"):
            yield (*place, "image"), "is missing"
        for number, mount in enumerate(container.get("volumeMounts", ())):
            if mount["name"] not in volumes:
                yield (
                    (*place, "volumeMounts", number, "name"),
                    f"{mount['name']!r} is no volume of this Pod",
                )
        names = [port.get("name", "") for port in container.get("ports", ())]
        for number, wrong in _port_names(names):
            yield (*place, "ports", number, "name"), wrong
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if isinstance(port, str) and port not in names:
                yield (
                    (*place, probe, "httpGet", "port"),
                    f"{port!r} is no port of this container",
                )


def _port_names(names: list[str]) -> Iterator[tuple[int, str]]:
    """Judge the names of a container's ports, and find those that are there twice."""
    for number, name in enumerate(names):
        if name and name in names[:number]:
            yield number, f"{name!r} is the name of another port"
        elif name and (len(name) > _PORT_NAME_LENGTH or not _PORT_NAME.fullmatch(name)):
            yield number, f"{name!r} is no name of at most {_PORT_NAME_LENGTH} letters"
