"""What a contributor is told is there."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from waiting import WAIT_S

_ROOT = Path(__file__).resolve().parents[2]
_ADDRESS = "https://example.org/someone/otel-callbacks"


def test_every_usual_change_names_files_that_exist() -> None:
    """The table has at least ten rows, and all its paths exist."""
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.partition("## Where do I change X?")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 10
    for row in rows:
        paths = re.findall(r"`([^`]+)`", row.split("|")[2])
        assert paths, row
        assert [path for path in paths if not (_ROOT / path).exists()] == [], row


def test_every_command_of_the_page_is_a_target() -> None:
    """A target that the page names is in the Makefile or what it includes."""
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = [
        _ROOT / "Makefile",
        *_ROOT.glob("deploy/*.mk"),
        *_ROOT.glob("tests/*/*.mk"),
    ]
    targets = {
        target
        for file in files
        for target in re.findall(r"^([a-z0-9-]+):", file.read_text(), re.MULTILINE)
    }
    assert set(re.findall(r"`make ([a-z0-9-]+)", text)) <= targets
    listed = (_ROOT / ".ci/run").read_text().split("stages='")[1].partition("'")[0]
    stages = {line.partition("|")[0].strip() for line in listed.split("\n") if line}
    assert "test" in stages
    assert stages <= targets


def test_the_index_names_every_page() -> None:
    """No page of the documentation is left out of its index."""
    text = (_ROOT / "docs/README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (_ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\(([a-z-]+\.md)\)", text)) == pages


@pytest.mark.parametrize(
    "file", sorted((_ROOT / ".github").rglob("*.yml")), ids=lambda file: file.stem
)
def test_hosted_files_can_be_read(file: Path) -> None:
    """The hosted files are valid YAML and run the same commands as CI."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    if file.stem == "ci":
        steps = content["jobs"]["run"]["steps"]
        assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    if file.stem == "release":
        # YAML reads "on" as true.
        assert list(content[True]) == ["push"]
        assert list(content[True]["push"]) == ["tags"]


@pytest.mark.slow
def test_a_release_leads_to_the_repository(tmp_path: Path) -> None:
    """The uploaded README has no relative links, and the project URLs are set."""
    clone = tmp_path / "clone"
    subprocess.run(  # noqa: S603 -- ours
        ["git", "clone", "--quiet", _ROOT, clone],  # noqa: S607
        check=True,
        timeout=WAIT_S,
    )
    python = clone / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    command = [clone / ".ci/distributions", _ADDRESS, "HEAD"]
    subprocess.run(command, check=True, timeout=WAIT_S)  # noqa: S603 -- ours
    (wheel,) = (clone / "dist").glob("*.whl")
    (sdist,) = (clone / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("METADATA")]
        metadata = archive.read(name).decode()
    assert f"Project-URL: Issues, {_ADDRESS}/issues" in metadata
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", metadata)
    relative = [
        link
        for pair in links
        if not (link := "".join(pair)).startswith(("https:", "http:", "#", "mailto:"))
    ]
    assert links
    assert relative == []
    with tarfile.open(sdist) as archive:
        assert any(n.endswith("/SECURITY.md") for n in archive.getnames())
