"""Build the real Collector, Jaeger and Prometheus from their Go modules.

``python tests/e2e/servers/binaries.py`` builds what is not in the cache yet, one
server after another, and says where each is; with names of binaries as arguments it
prints their paths instead. ``--build kubernetes`` and ``--build tiers`` build what
only ``make kubernetes`` and ``make scale`` need. The cache is
``$OTEL_CALLBACKS_STACK_CACHE``, else ``~/.cache/otel-callbacks/stack``; each build
has a folder named by the hash of its module files, so a changed version is a new
folder and an old one can be deleted. An interrupted build goes on where Go's own
build cache left off. Nothing but the standard library is imported, so that the
script runs before there is a virtual environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).resolve().parent
_GO = (1, 26)
_VERSION = "k8s.io/component-base/version"
_JAEGER = "github.com/jaegertracing/jaeger"


class BuildError(Exception):
    """A server could not be built; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """What ``go build`` is told for one server.

    Args:
        name: The folder beside this file that holds the module.
        packages: What is built, by binary; ``.`` is the module itself.
        flags: What Prometheus, Jaeger and the Collector each want of ``go build``.
    """

    name: str
    packages: dict[str, str]
    flags: tuple[str, ...]


SERVERS = (
    Server(
        name="otelcol",
        packages={"otelcol": "."},
        flags=("-ldflags=-s -w",),
    ),
    Server(
        name="prometheus",
        packages={
            "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
            "promtool": "github.com/prometheus/prometheus/cmd/promtool",
        },
        flags=(
            "-tags=remove_all_sd",
            "-ldflags=-s -w -X github.com/prometheus/common/version.Version=3.15.0",
        ),
    ),
    Server(
        name="jaeger",
        packages={"jaeger": f"{_JAEGER}/cmd/jaeger"},
        flags=(f"-ldflags=-s -w -X {_JAEGER}/internal/version.latestVersion=v2.13.0",),
    ),
)

# What the stack does without: an API server that checks manifests, and the
# Collector with the exporters that join the tiers of many machines.
FURTHER = (
    Server(
        name="kubernetes",
        packages={
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        },
        # kubectl refuses to talk to a server whose version it cannot read.
        flags=(f"-ldflags=-s -w -X {_VERSION}.gitVersion=v1.36.3",),
    ),
    Server(name="tiers", packages={"otelcol-tiers": "."}, flags=("-ldflags=-s -w",)),
    Server(
        name="victoria-metrics",
        packages={
            "victoria-metrics": (
                "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics"
            ),
        },
        flags=("-ldflags=-s -w",),
    ),
)


def cache() -> Path:
    """Return the folder that holds all builds, outside of the repository."""
    named = os.environ.get("OTEL_CALLBACKS_STACK_CACHE")
    return Path(named) if named else Path.home() / ".cache/otel-callbacks/stack"


def folder(server: Server) -> Path:
    """Return the folder that a server's binaries are in, built or not.

    Args:
        server: One of ``SERVERS``.
    """
    digest = hashlib.sha256(repr((server.packages, server.flags)).encode())
    for file in sorted((_HERE / server.name).iterdir()):
        if file.name.startswith(("go.", "main", "components")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return cache() / f"{server.name}-{digest.hexdigest()[:16]}"


def binary(name: str) -> Path:
    """Return the path of a built binary.

    Args:
        name: Such as ``otelcol``, ``jaeger``, ``prometheus`` or ``promtool``.

    Raises:
        BuildError: It has not been built.
    """
    server = next(each for each in (*SERVERS, *FURTHER) if name in each.packages)
    path = folder(server) / name
    if not path.exists():
        target = "kubernetes" if server.name == "kubernetes" else "tiers"
        target = target if server in FURTHER else "stack"
        message = f"{name} is not built: run make {target}-binaries"
        raise BuildError(message)
    return path


def _go() -> str:
    """Find a Go toolchain that is new enough, or say what is missing."""
    go = shutil.which("go")
    wanted = ".".join(map(str, _GO))
    if go is None:
        message = (
            f"Go is not on the PATH. The stack's servers are built with Go {wanted} or "
            "later: https://go.dev/dl/"
        )
        raise BuildError(message)
    version = subprocess.run(  # noqa: S603 -- the toolchain on the PATH
        [go, "env", "GOVERSION"], capture_output=True, text=True, check=True
    ).stdout.strip()
    numbers = tuple(int(part) for part in version.removeprefix("go").split(".")[:2])
    if numbers < _GO:
        message = f"{go} is {version}; the stack's servers need Go {wanted} or later"
        raise BuildError(message)
    return go


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one build run at a time; the lock goes with the process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another build holds {path}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    sys.stdout.write(f"stack-binaries: {text}\n")
    sys.stdout.flush()


def _cpu() -> float:
    """Return the CPU seconds that finished child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(command: list[str], at: Path) -> None:
    """Run one Go command in a module, its own output passed on."""
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        # What is committed is what is built: nothing is resolved here.
        "GOFLAGS": "-mod=readonly -buildvcs=false -trimpath",
        "GOTOOLCHAIN": "local",
    }
    ended = subprocess.run(command, cwd=at, env=environment, check=False)  # noqa: S603
    if ended.returncode != 0:
        message = f"{' '.join(command)} failed in {at} (exit {ended.returncode})"
        raise BuildError(message)


def _build(go: str, server: Server) -> None:
    """Build one server into the cache, whole or not at all."""
    target = folder(server)
    if all((target / name).exists() for name in server.packages):
        _say(f"{server.name}: there already, {target}")
        return
    began, cpu = time.monotonic(), _cpu()
    at = _HERE / server.name
    _say(f"{server.name}: fetching its modules")
    _run([go, "mod", "download"], at)
    _say(f"{server.name}: building (minutes from an empty cache, seconds after)")
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        for name, package in server.packages.items():
            output = str(Path(scratch) / name)
            _run([go, "build", *server.flags, "-o", output, package], at)
        target.mkdir(parents=True, exist_ok=True)
        for name in server.packages:
            (Path(scratch) / name).replace(target / name)
    _say(
        f"{server.name}: built in {time.monotonic() - began:.0f} s "
        f"({_cpu() - cpu:.0f} s of CPU), {target}"
    )


def main(names: list[str]) -> int:
    """Build every server that is missing, or print where binaries are.

    Args:
        names: Binaries to print the paths of; none to build the stack's servers;
            ``--build`` and a name to build one of the further ones.

    Returns:
        The exit code.
    """
    try:
        servers: tuple[Server, ...] = SERVERS
        if names[:1] == ["--build"]:
            servers = tuple(each for each in FURTHER if each.name in names[1:])
        elif names:
            sys.stdout.writelines(f"{binary(name)}\n" for name in names)
            return 0
        go = _go()
        with _locked(cache() / "lock"):
            for server in servers:
                _build(go, server)
    except BuildError as error:
        sys.stderr.write(f"stack-binaries: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
