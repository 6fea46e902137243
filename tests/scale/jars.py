"""Fetch Kafka and OpenSearch with Maven, into the cache of the stack's binaries.

``python tests/scale/jars.py`` does nothing where they are there already.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(_HERE.parent / "e2e/servers"))

from binaries import cache  # noqa: E402 -- importable by the line above

_POM = _HERE / "maven/pom.xml"


def folder() -> Path:
    """Return where they are, fetched or not."""
    return cache() / f"jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:16]}"


def fetch() -> None:
    """Fetch and unpack them, whole or not at all.

    Raises:
        SystemExit: Maven is missing or failed.
    """
    if folder().exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        sys.exit("scale: mvn is not on the PATH; it fetches Kafka and OpenSearch")
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache()) as scratch:
        whole = Path(scratch) / "whole"
        subprocess.run(  # noqa: S603 -- Maven from the PATH
            [
                *(maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"),
                *("-DincludeScope=runtime", f"-DoutputDirectory={whole}/jars"),
            ],
            check=True,
        )
        (archive,) = (whole / "jars").glob("opensearch-*.zip")
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(whole)
        archive.unlink()
        next(whole.glob("opensearch-*")).rename(whole / "opensearch")
        whole.rename(folder())


if __name__ == "__main__":
    fetch()
    sys.stdout.write(f"scale: Kafka and OpenSearch are in {folder()}\n")
