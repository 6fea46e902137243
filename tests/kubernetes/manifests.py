"""What kustomize makes of ``deploy/kubernetes``, and whether its schemas allow it.

Kinds of Kubernetes itself are held to the schemas of kubernetes-validate, those of
the operators to their CustomResourceDefinitions, which come from the operators' Go
modules. Both strictly: a field that no schema knows is a mistake.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import yaml
from values import wrong_values

if TYPE_CHECKING:
    from values import Place

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ROOT = DEPLOY / "kubernetes"
BUILT = ("overlays/small", "overlays/large", "overlays/dev", "monitoring", "zero-code")
KUBERNETES = "1.36"

# The newest whose modules are served with their definitions.
_OPERATORS = {
    "github.com/open-telemetry/opentelemetry-operator@v0.140.0": "config/crd/bases",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd"
    ),
}

Resource = dict[str, Any]


@functools.cache
def _rendered(name: str) -> str:
    """Run kustomize as a user does, by kubectl, with its restrictions on."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        message = "kubectl is not on the PATH; its kustomize renders deploy/kubernetes"
        raise FileNotFoundError(message)
    ended = subprocess.run(  # noqa: S603 -- kubectl from the PATH
        [kubectl, "kustomize", str(ROOT / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def rendered(name: str) -> str:
    """Return what kustomize makes of a folder, as YAML.

    Args:
        name: A folder under ``deploy/kubernetes``.
    """
    return _rendered(name)


@functools.cache
def _parsed(name: str) -> list[Resource]:
    return list(yaml.load_all(rendered(name), yaml.CSafeLoader))


def resources(name: str) -> list[Resource]:
    """Return the resources of a folder; they are the caller's own.

    Args:
        name: A folder under ``deploy/kubernetes``.
    """
    return deepcopy(_parsed(name))


def named(found: list[Resource], kind: str, name: str) -> Resource:
    """Return the one resource of a kind and a name.

    Args:
        found: Where to look.
        kind: Such as ``Deployment``.
        name: Its ``metadata.name``, without the hash of a generated ConfigMap.
    """
    (one,) = (
        each
        for each in found
        if each["kind"] == kind
        and (
            each["metadata"]["name"] == name
            or (kind == "ConfigMap" and each["metadata"]["name"][:-11] == name)
        )
    )
    return one


def pods(found: list[Resource]) -> dict[str, Resource]:
    """Return the Pod specifications of all workloads, by kind and name.

    Args:
        found: Resources of a folder.
    """
    specs = {}
    for each in found:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if each["kind"] in {"Deployment", "StatefulSet", "CronJob"}:
            specs[f"{each['kind']}/{each['metadata']['name']}"] = spec["template"]
    return specs


@functools.cache
def definitions() -> list[Path]:
    """Return the files of the operators' CustomResourceDefinitions."""
    go = shutil.which("go")
    if go is None:
        message = "go is not on the PATH; it fetches the operators' definitions"
        raise FileNotFoundError(message)
    found: list[Path] = []
    for module, folder in _OPERATORS.items():
        ended = subprocess.run(  # noqa: S603 -- go from the PATH
            [go, "mod", "download", "-json", module],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        found += sorted((Path(json.loads(ended.stdout)["Dir"]) / folder).glob("*.yaml"))
    return found


class _Definitions(yaml.CSafeLoader):
    """YAML in which a bare ``=``, one of a matcher's operators, is text."""


_Definitions.add_constructor(
    "tag:yaml.org,2002:value", yaml.constructor.SafeConstructor.construct_yaml_str
)


def _strict(schema: Any) -> Any:
    """Close every object of a structural schema, as the API server's pruning does."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        closed["properties"] = {
            key: _strict(value) for key, value in schema["properties"].items()
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    return closed


@functools.cache
def _custom() -> dict[tuple[str, str], Resource]:
    """Return the schemas of the operators' kinds, by apiVersion and kind."""
    schemas = {}
    for file in definitions():
        spec = yaml.load(file.read_bytes(), _Definitions)["spec"]  # noqa: S506
        for version in spec["versions"]:
            schema = _strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
            schemas[key] = schema
    return schemas


def _source(resource: Resource) -> str:
    """Return the files that a resource is written in: its own, and its patches."""
    name = re.sub(r"-[a-z0-9]{10}$", "", resource["metadata"]["name"])
    kind = re.compile(rf"^kind: {resource['kind']}$", re.MULTILINE)
    named = re.compile(rf"^  name: {re.escape(name)}$", re.MULTILINE)
    found = [
        str(file.relative_to(DEPLOY.parent))
        for file in sorted(ROOT.rglob("*.yaml"))
        for part in file.read_text().split("\n---\n")
        if kind.search(part) and named.search(part)
    ]
    return " + ".join(found) or "made by kustomize"


def mistakes(resource: Resource) -> list[str]:
    """Return what a resource is refused for: file, resource, field and reason.

    Args:
        resource: One of Kubernetes' own kinds, or of an operator's.
    """
    where = f"{_source(resource)}: {resource['kind']}/{resource['metadata']['name']}"
    return [
        f"{where}: {'.'.join(map(str, place))}: {wrong}"
        for place, wrong in _mistakes(resource)
    ]


def _mistakes(resource: Resource) -> list[tuple[Place, str]]:
    """Ask the schema first; what it allows may still have a wrong value."""
    import kubernetes_validate  # noqa: PLC0415 -- only make kubernetes installs it

    kind = (resource["apiVersion"], resource["kind"])
    if kind in _custom():
        validator = jsonschema.Draft7Validator(_custom()[kind])
        return [
            (tuple(each.absolute_path), each.message)
            for each in validator.iter_errors(resource)
        ]
    try:
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [(tuple(error.absolute_path), error.message)]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [(("apiVersion",), error.message)]
    return list(wrong_values(resource))
