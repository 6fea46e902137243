"""A folder of wheels that holds a newer version of every pinned package.

``python tests/setup/future_index.py FOLDER`` writes one for ``PIP_FIND_LINKS``.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
NEWER = "999999999!1"
"""Newer than any release, whatever its epoch."""

_BACKEND = '''
"""What stands in for hatchling: it installs the checkout as an empty package."""
from pathlib import Path
from zipfile import ZipFile


def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "otel_callbacks-0-py3-none-any.whl"
    info = "otel_callbacks-0.dist-info"
    with ZipFile(Path(folder) / name, "w") as wheel:
        wheel.writestr(f"{info}/METADATA",
            "Metadata-Version: 2.1\\nName: otel-callbacks\\nVersion: 0\\n"
            "Requires-Dist: coverage[toml]\\n")
        wheel.writestr(f"{info}/WHEEL",
            "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
'''


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a file of requirements."""

    name: str
    version: str
    marker: str

    @property
    def holds_here(self) -> bool:
        """Say whether this interpreter installs it."""
        return not self.marker or bool(
            Requirement(f"{self.name}; {self.marker}").marker.evaluate()  # type: ignore[union-attr]
        )


def pins(file: Path) -> list[Pin]:
    """Return what a file of requirements pins.

    Args:
        file: The file, as ``.ci/constraints`` writes it.

    Returns:
        Its pins, in the file's order.
    """
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith((" ", "#")):
            name, _, rest = line.removesuffix("\\").partition("==")
            version, _, marker = rest.partition(";")
            found.append(Pin(canonicalize_name(name), version.strip(), marker.strip()))
    return found


def every_name() -> list[str]:
    """Return the name of each file in ``requirements/``."""
    return sorted(file.stem for file in REQUIREMENTS.glob("*.txt"))


def write_wheel(folder: Path, name: str, version: str) -> str:
    """Write a wheel without code that needs what the real package needs.

    Args:
        folder: Where to write it.
        name: The package's name.
        version: Its version.

    Returns:
        The wheel's SHA-256.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    try:
        needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        needs = []
    files = {
        f"{stem}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            "Provides-Extra: toml\n"
            + "".join(f"Requires-Dist: {need}\n" for need in needs)
        ),
        f"{stem}.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            "Tag: py3-none-any\n"
        ),
    }
    if name == "hatchling" and version != NEWER:
        files["hatchling/__init__.py"] = ""
        files["hatchling/build.py"] = _BACKEND
    record = "".join(
        f"{path},sha256={_record_hash(text)},{len(text.encode())}\n"
        for path, text in files.items()
    )
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            # One date for all: two lists pin a package, and its hash is one.
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def _record_hash(text: str) -> str:
    """Return a file's hash as a wheel's record writes it."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def write_newer(folder: Path) -> None:
    """Write a newer version of every package that a file pins.

    Args:
        folder: Where to write them; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = {pin.name for n in every_name() for pin in pins(REQUIREMENTS / f"{n}.txt")}
    for name in sorted(names):
        write_wheel(folder, name, NEWER)


if __name__ == "__main__":
    write_newer(Path(sys.argv[1]))
