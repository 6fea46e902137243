"""The compose file keeps the rules that hold for every service."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

_SERVICES: Final = {
    "app",
    "otel-collector",
    "otel-collector-health",
    "jaeger",
    "prometheus",
    "grafana",
    "volumes",
}
_NO_HEALTH_CHECK: Final = {
    "app": "the Dockerfile has it",
    "otel-collector": "FROM scratch: otel-collector-health probes it from outside",
    "volumes": "runs once and ends",
}
_PIN: Final = re.compile(r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}")
# What the compose file itself decides, so that nobody else has to.
_ADDRESSES: Final = re.compile(r".*_(ENDPOINT|URL|HOST|PORT|STORAGE|DIRECTORY|CONFIG)")


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.own-app.yml"])
def test_the_file_keeps_the_schema(root: Path, name: str) -> None:
    """Both files are valid by the Compose specification."""
    schema = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    check = subprocess.run(  # noqa: S603 -- a tool of our own environment
        [sys.executable, "-m", *schema, str(root / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout


def test_the_services_are_those_of_the_stack(
    services: dict[str, dict[str, Any]],
) -> None:
    """Other files and the documentation name these services."""
    assert set(services) == _SERVICES


def test_every_image_is_pinned_by_tag_and_digest(
    services: dict[str, dict[str, Any]], settings: dict[str, str]
) -> None:
    """A tag alone may point to another image later."""
    pins = {name: value for name, value in settings.items() if name.endswith("_IMAGE")}
    assert [name for name, pin in pins.items() if not _PIN.fullmatch(pin)] == []
    assert services["app"]["build"]["context"] == "."
    images = {n: s["image"] for n, s in services.items() if "build" not in s}
    for image in images.values():
        variable = re.fullmatch(r"\$\{(\w+):\?.+\}", image)
        assert variable
        assert variable[1] in pins


def test_the_demo_is_built_from_the_pinned_python(
    root: Path, settings: dict[str, str]
) -> None:
    """The Dockerfile's own default is the pin of .env."""
    dockerfile = (root / "Dockerfile").read_text()
    assert f"ARG PYTHON_IMAGE={settings['PYTHON_IMAGE']}\n" in dockerfile
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == 2 * [
        "${PYTHON_IMAGE}"
    ]


def test_the_demo_is_not_root_and_has_a_health_check(root: Path) -> None:
    """The image runs with a numeric user and checks its own /healthz."""
    dockerfile = (root / "Dockerfile").read_text()
    user = re.findall(r"^USER (\d+):\d+$", dockerfile, re.MULTILINE)
    assert user
    assert int(user[-1]) > 0
    assert "HEALTHCHECK" in dockerfile
    assert "/healthz" in dockerfile


def test_requirements_of_the_image_have_hashes(root: Path) -> None:
    """Each package that is installed into the image has a hash."""
    dockerfile = (root / "Dockerfile").read_text().replace("\\\n", " ")
    installs = re.findall(r"pip .*?install ([^&\n]*)", dockerfile)
    assert installs
    assert [
        i for i in installs if "--require-hashes" not in i and "--no-index" not in i
    ] == []


def test_every_port_is_bound_to_loopback(
    services: dict[str, dict[str, Any]],
) -> None:
    """No service of the stack is reachable from another machine."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert len(ports) == 6
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert [n for n, s in services.items() if s.get("network_mode") == "host"] == []


@pytest.mark.parametrize("name", sorted(_SERVICES))
def test_a_service_is_contained(services: dict[str, dict[str, Any]], name: str) -> None:
    """No service can write its own files, gain rights, or take all the memory."""
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "volumes" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service["deploy"]["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", sorted(_SERVICES))
def test_a_service_rotates_its_log_and_restarts(
    services: dict[str, dict[str, Any]], name: str
) -> None:
    """Logs are rotated, and a crashed service restarts."""
    service = services[name]
    assert service["logging"]["driver"] == "json-file"
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name == "volumes" else "unless-stopped")


@pytest.mark.parametrize("name", sorted(_SERVICES))
def test_a_service_has_a_health_check_or_a_reason(
    services: dict[str, dict[str, Any]], name: str
) -> None:
    """`up --wait` waits for the health check of each service."""
    check = services[name].get("healthcheck")
    assert bool(check) is (name not in _NO_HEALTH_CHECK)
    if check:
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_services_wait_for_the_health_of_others(
    services: dict[str, dict[str, Any]],
) -> None:
    """A service waits for the health checks of its dependencies."""
    for service in services.values():
        for other, dependency in service.get("depends_on", {}).items():
            expected = "service_healthy"
            if other == "volumes":
                expected = "service_completed_successfully"
            if other == "otel-collector":
                expected = "service_started"
            assert dependency["condition"] == expected


def test_go_frees_memory_before_the_kernel_kills(
    services: dict[str, dict[str, Any]],
) -> None:
    """GOMEMLIMIT is at most 80 % of the limit."""
    units = {"M": 1, "G": 1024}
    for name in ("otel-collector", "jaeger", "prometheus", "grafana"):
        limit = services[name]["deploy"]["resources"]["limits"]["memory"]
        hard = int(limit[:-1]) * units[limit[-1]]
        soft = services[name]["environment"]["GOMEMLIMIT"]
        assert 0.3 * hard < int(soft.removesuffix("MiB")) <= 0.8 * hard


def test_volumes_are_named_and_made_writable(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    """Every volume is owned by the service that writes it before it starts."""
    mounts = {
        name: [m.split(":")[0] for m in service.get("volumes", ()) if m[0] != "."]
        for name, service in services.items()
    }
    assert set(mounts["volumes"]) == set(compose["volumes"])
    (script,) = services["volumes"]["command"][2:]
    prepared = [m.split(":")[1] for m in services["volumes"]["volumes"]]
    assert [folder for folder in prepared if folder not in script] == []
    for name, volumes in mounts.items():
        if volumes and name != "volumes":
            assert "volumes" in services[name]["depends_on"]
    written = sorted(v for n, all_ in mounts.items() if n != "volumes" for v in all_)
    assert written == sorted(compose["volumes"])


def test_configurations_are_mounted_for_reading(
    root: Path, services: dict[str, dict[str, Any]]
) -> None:
    """Configuration files are mounted read-only."""
    mounts = [
        mount.split(":")
        for service in services.values()
        for mount in service.get("volumes", ())
        if mount.startswith("./")
    ]
    assert len(mounts) >= 6
    for source, _, mode in mounts:
        assert mode == "ro"
        assert (root / source).is_dir()


def test_nobody_administers_grafana_by_default(
    services: dict[str, dict[str, Any]], settings: dict[str, str]
) -> None:
    """Without a set password Grafana has a random one, and visitors are viewers."""
    grafana = services["grafana"]
    environment = grafana["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    value = environment["GF_SECURITY_ADMIN_PASSWORD"]
    assert value == "${GRAFANA_ADMIN_PASSWORD:-}"
    assert environment["GF_USERS_ALLOW_SIGN_UP"] == "false"
    assert "/dev/urandom" in grafana["entrypoint"][2]
    assert "GRAFANA_ADMIN_PASSWORD" not in settings


def test_a_random_password_is_made_only_where_none_is_given(
    services: dict[str, dict[str, Any]],
) -> None:
    """Grafana's start script makes a password only if none is set."""
    script = services["grafana"]["entrypoint"][2].replace("$$", "$")
    script = script.replace("exec /run.sh", 'echo "$GF_SECURITY_ADMIN_PASSWORD"')

    def password(value: str) -> str:
        shell = subprocess.run(  # noqa: S603 -- our own script
            ["/bin/sh", "-ec", script],
            env={"PATH": "/usr/bin:/bin", "GF_SECURITY_ADMIN_PASSWORD": value},
            capture_output=True,
            text=True,
            check=True,
        )
        return shell.stdout.strip()

    assert password("correct horse") == "correct horse"
    first, second = password(""), password("")
    assert len(first) == len(second) == 32
    assert first != second


def test_grafana_fetches_nothing_at_start(
    services: dict[str, dict[str, Any]],
) -> None:
    """An update at start breaks the data sources in a read-only root."""
    environment = services["grafana"]["environment"]
    off = {name: environment[name] for name in environment if "_ANALYTICS_" in name}
    assert set(off.values()) == {"false"}
    assert environment["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"] == "false"
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


@pytest.mark.parametrize(
    ("service", "configuration"),
    [
        ("otel-collector", "deploy/collector/config.yaml"),
        ("jaeger", "deploy/jaeger/config.yaml"),
    ],
)
def test_settings_reach_the_service_and_are_documented(
    root: Path, services: dict[str, dict[str, Any]], service: str, configuration: str
) -> None:
    """Each variable that a configuration reads can be set and is documented."""
    read = set(re.findall(r"\$\{env:(\w+)", (root / configuration).read_text()))
    handed_on = set(services[service]["environment"])
    assert {n for n in read if not _ADDRESSES.fullmatch(n)} <= handed_on
    documented = (root / "docs" / "stack.md").read_text()
    assert [n for n in sorted(read) if f"`{n}`" not in documented] == []


def test_settings_of_the_compose_file_are_documented(root: Path) -> None:
    """Every variable has a line in .env.example or .env, and in the documentation."""
    text = (root / "docker-compose.yml").read_text()
    read = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    listed = (root / ".env.example").read_text() + (root / ".env").read_text()
    assert [name for name in sorted(read) if f"{name}=" not in listed] == []
    documented = (root / "docs" / "stack.md").read_text()
    assert [n for n in sorted(read) if f"`{n}`" not in documented] == []


def test_the_second_file_leaves_the_demo_out(root: Path) -> None:
    """With the second file `app` is your own, and the demo starts only on request."""
    second = yaml.safe_load((root / "docker-compose.own-app.yml").read_text())
    assert second["services"]["app"]["profiles"] == ["demo"]
    assert second["services"]["prometheus"]["extra_hosts"] == ["app:host-gateway"]
    scraped = (root / "deploy" / "prometheus" / "prometheus.yml").read_text()
    assert "app:9464" in scraped


def test_the_image_is_built_from_little(root: Path) -> None:
    """The build context has only the listed files."""
    lines = (root / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        source
        for line in (root / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == allowed
