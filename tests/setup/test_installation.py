"""The set-up installs what is pinned, whatever else the index offers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from future_index import (
    NEWER,
    REQUIREMENTS,
    ROOT,
    every_name,
    pins,
    write_newer,
    write_wheel,
)
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PIPS = ["pip-oldest", "pip-newest"]
_INSTALLS = re.compile(r"\bpip\b[^\n]*? install\b(?:[^\n]*\\\n)*[^\n]*")


@dataclass(frozen=True, slots=True)
class Future:
    """A checkout, and an index that has something newer for all it pins."""

    checkout: Path
    environment: dict[str, str]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout, where pip sees the future's index only."""
        return subprocess.run(  # noqa: S603 -- ours
            command,
            cwd=self.checkout,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )


@pytest.fixture(scope="module")
def future(tmp_path_factory: pytest.TempPathFactory) -> Future:
    """Copy what installs, with wheels without code for each pin, and newer ones."""
    folder = tmp_path_factory.mktemp("future")
    index, checkout = folder / "index", folder / "checkout"
    (checkout / "requirements").mkdir(parents=True)
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    write_newer(index)
    for name in every_name():
        file = REQUIREMENTS / f"{name}.txt"
        lines = []
        for pin in pins(file):
            digest = write_wheel(index, pin.name, pin.version)
            marker = f" ; {pin.marker}" if pin.marker else ""
            lines.append(
                f"{pin.name}=={pin.version}{marker} \\\n    --hash=sha256:{digest}\n"
            )
        (checkout / "requirements" / file.name).write_text("".join(lines))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    return Future(
        checkout,
        {
            **kept,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_FIND_LINKS": str(index),
        },
    )


def _environment_with(name: str, folder: Path) -> Path:
    """Make an environment whose pip is the pinned oldest or newest, from the index."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=300)  # noqa: S603
    file = REQUIREMENTS / f"{name}.txt"
    command = [
        str(folder / "bin/python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
    ]
    taken = subprocess.run(  # noqa: S603 -- ours
        [*command, "--require-hashes", "-r", str(file)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if taken.returncode:
        pytest.skip(f"no package index within reach for {pins(file)[0]}")
    return folder


_TOOLS = {"pip", "setuptools"}
"""A new environment has its own."""


def _installed(venv: Path) -> Iterator[tuple[str, str]]:
    """Yield what an environment holds, apart from its tools and the checkout."""
    for info in venv.glob("lib/python*/site-packages/*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").partition("-")
        if name not in {*_TOOLS, "otel_callbacks"}:
            yield canonicalize_name(name), version


def _expected(name: str) -> dict[str, str]:
    """Return what a file pins here, beside the tools that install the checkout."""
    return {
        pin.name: pin.version
        for each in ("build", name)
        for pin in pins(REQUIREMENTS / f"{each}.txt")
        if pin.holds_here and pin.name not in _TOOLS
    }


@pytest.mark.parametrize(
    "name",
    # Tools that install the others.
    [n for n in every_name() if not n.startswith(("pip-", "setuptools"))],
)
def test_newer_releases_change_nothing(
    name: str, future: Future, tmp_path: Path
) -> None:
    """With the bundled pip, each requirements file installs exactly its pins."""
    done = future.run(".ci/install", tmp_path / "venv", name, sys.executable)
    assert done.returncode == 0, done.stderr
    assert dict(_installed(tmp_path / "venv")) == _expected(name)


@pytest.mark.parametrize("pip", _PIPS)
def test_every_pip_installs_the_same(pip: str, future: Future, tmp_path: Path) -> None:
    """The oldest bundled pip and the newest pip install the same versions."""
    venv = _environment_with(pip, tmp_path / "venv")
    done = future.run(".ci/install", venv, "dev", sys.executable)
    assert done.returncode == 0, done.stderr
    assert dict(_installed(venv)) == _expected("dev")
    version = future.run(venv / "bin/python", "-m", "pip", "--version").stdout
    assert version.split()[1] == pins(REQUIREMENTS / f"{pip}.txt")[0].version


def test_the_index_is_a_trap(future: Future, tmp_path: Path) -> None:
    """Without the flags pip installs newer versions, so the test would fail."""
    venv = tmp_path / "venv"
    future.run(sys.executable, "-m", "venv", venv)
    pip = (venv / "bin/python", "-m", "pip", "install")
    assert future.run(*pip, "pytest-cov").returncode == 0
    found = dict(_installed(venv))
    assert found["pytest-cov"] == NEWER
    assert found["coverage"] == NEWER
    # The editable install, with a build environment of its own: the newer backend
    # holds no code.
    assert future.run(*pip, "--no-deps", "-e", ".").returncode != 0


def test_each_install_resolves_nothing() -> None:
    """Each install uses --no-deps, and each foreign package has a hash."""
    folders = (".ci", ".github", "deploy", "tests")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    files += [ROOT / "Dockerfile", ROOT / "Makefile"]
    # Both need the newest versions of the day. A module states no command.
    files = [
        file
        for file in files
        if file.is_file()
        and file.suffix in {"", ".mk", ".sh", ".yml", ".yaml"}
        and file.name not in {"constraints", "latest"}
    ]
    found = [
        (file.relative_to(ROOT).as_posix(), command)
        for file in files
        for command in _INSTALLS.findall(file.read_text(encoding="utf-8"))
    ]
    assert {name for name, _ in found} == {
        ".ci/install",
        ".ci/wheel",
        "Dockerfile",
        "deploy/kubernetes/injection/Dockerfile",
        "deploy/kubernetes/injection/fill.sh",
        "deploy/scale.mk",
        "tests/e2e/compose_up.sh",
    }
    for name, command in found:
        assert "--no-deps" in command, (name, command)
        # A function of fill.sh: each call has a flag of its own.
        calls = re.findall(r"^ *pip (-.*)$", (ROOT / name).read_text(), re.MULTILINE)
        assert bool(calls) == ('"$@"' in command)
        assert all("--require-hashes" in c or "--no-index" in c for c in calls), calls
        ours = calls or "--editable ." in command or ".whl" in command
        assert ours or "--require-hashes" in command, (name, command)
        assert "--editable" not in command or "--no-build-isolation" in command
