"""What an injected copy lacks or hides is said once, and only then."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

# The check runs once, at import; here it runs on many folders without an interpreter
# of its own for each.
from otel_callbacks._instrument.start_check import check_injection

if TYPE_CHECKING:
    from pathlib import Path

_LOGGER = "otel_callbacks._instrument.start_check"


def _install(folder: Path, name: str, version: str) -> None:
    """Make what the metadata of an installed package is."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == _LOGGER]


@pytest.fixture
def injected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on ``PYTHONPATH``, as the operator leaves it."""
    folder = tmp_path / "injected"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere:{folder}")
    return folder


def test_a_copy_that_was_not_injected_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An installed one has what it needs, or pip said so."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    check_injection(tmp_path, [])
    assert _warnings(caplog) == []


def test_a_copy_that_fits_is_silent(
    injected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same version on both sides hides nothing."""
    app = tmp_path / "app"
    _install(injected, "wrapt", "2.0")
    _install(injected, "genai-prices", "0.2.3")
    _install(app, "wrapt", "2.0")
    _install(app, "langchain-core", "1.0.0")
    check_injection(injected, [str(injected), str(app)])
    assert _warnings(caplog) == []


@pytest.mark.parametrize(
    ("module", "named"),
    [
        ("genai_prices", "genai_prices"),
        ("langchain_core", "langchain_core"),
        ("prometheus_client", "prometheus_client"),
        ("opentelemetry", "opentelemetry.sdk"),
    ],
)
def test_what_is_missing_is_named(
    module: str,
    named: str,
    injected: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A package, or the package above it."""
    for name in [each for each in sys.modules if each.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", [str(injected)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with caplog.at_level(logging.WARNING):
        check_injection(injected, [])
    (line,) = _warnings(caplog)
    assert f"{named} is missing" in line


def test_what_is_hidden_is_named_with_both_versions(
    injected: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the names that pip shows, whatever their spelling."""
    app = tmp_path / "app"
    _install(injected, "langchain_core", "1.7.2")
    _install(injected, "pydantic", "2.14.3")
    _install(app, "langchain-core", "1.0.0")
    _install(app, "pydantic", "2.11.0")
    check_injection(injected, [str(injected), str(app)])
    (line,) = _warnings(caplog)
    assert "langchain-core 1.0.0 of the app is hidden by 1.7.2" in line
    assert "pydantic 2.11.0 of the app is hidden by 2.14.3" in line
    assert str(injected) in line


@pytest.mark.parametrize(
    "metadata",
    [None, b"", b"Metadata-Version: 2.1\n", b"Name: half\n", b"\xff\xfe\x00"],
)
@pytest.mark.parametrize("is_app", [True, False])
def test_a_half_removed_package_does_not_end_the_check(
    injected: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    metadata: bytes | None,
    *,
    is_app: bool,
) -> None:
    """What has no name or version hides nothing; the others are still compared."""
    app = tmp_path / "app"
    half = (app if is_app else injected) / "half-1.0.dist-info"
    half.mkdir(parents=True)
    if metadata is not None:
        (half / "METADATA").write_bytes(metadata)
    _install(injected, "typing.extensions", "4.1")
    _install(app, "typing_extensions", "4.2")
    check_injection(injected, [str(injected), str(app)])
    (line,) = _warnings(caplog)
    assert "typing-extensions 4.2 of the app is hidden by 4.1." in line
